//! A member of the consortium: its roles, its three public keys and where its agent listens.
//!
//! - **Place**: genesis -> state -> every signature, channel and vote
//! - **Invariants**: identity, TLS and engine keys are separate keys (the genesis refuses equal ones); none has small order
//! - **Source**: DESIGN.md sections 2 and 10

use riskveil_crypto::VerifyingKey;
use serde::{Deserialize, Serialize};

use crate::ids::MemberId;

/// What a member may do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Roles {
    /// May query.
    #[serde(default)]
    pub lender: bool,
    /// May publish rows, and answers queries.
    #[serde(default)]
    pub publisher: bool,
    /// Votes on blocks.
    #[serde(default)]
    pub validator: bool,
    /// Holds the audit keys; has no other role.
    #[serde(default)]
    pub regulator: bool,
}

/// One member as the genesis names it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Member {
    /// Its name.
    pub id: MemberId,
    /// What it may do.
    pub roles: Roles,
    /// Ed25519; signs transactions, requests, responses.
    pub identity_key: VerifyingKey,
    /// Ed25519; the raw public key (RFC 7250) of its peer channel.
    pub tls_key: VerifyingKey,
    /// Ed25519; its key in the consensus engine.
    pub engine_key: VerifyingKey,
    /// `host:port` of its peer API.
    pub peer_address: String,
    /// `host:port` of its consensus engine.
    pub engine_address: String,
}
