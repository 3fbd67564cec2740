//! The genesis: who is in the consortium, under which policy, and with which first audit key.
//!
//! - **Place**: `genesis.toml`, the same file at every member -> chain id, genesis block, first state
//! - **Shapes**: 1 to 100 members sorted by name; 3 distinct keys each; a file of at most 1 MiB
//! - **Invariants**: [`Genesis::check`] holds for every genesis a ledger opens or a light client trusts
//! - **Errors**: [`GenesisError`] (the consortium's founder; the text names what to change)
//! - **Source**: DESIGN.md section 10; specs/ledger.md#genesis

use std::collections::BTreeSet;

use riskveil_crypto::codec;
use riskveil_crypto::digest::{self, Digest32};
use riskveil_crypto::escrow::{self, KnowledgeProof};
use riskveil_crypto::group::Element;
use riskveil_crypto::seal::{self, SealPossessionProof, SealPublicKey};
use riskveil_exchange::dst::AUDIT_KEY;
use riskveil_exchange::ids::{AuditKeyId, Height, MemberId};
use riskveil_exchange::member::{Member, Roles};
use riskveil_exchange::message::{HeaderUnexpected, Kind, MessageHeader};
use riskveil_exchange::policy::{Policy, PolicyInvalid};
use serde::{Deserialize, Serialize};

use crate::dst;

/// Most members of a consortium.
pub const MAX_MEMBERS: usize = 100;
/// Longest network name, bytes.
pub const MAX_NETWORK_LEN: usize = 32;
/// Longest `host:port`, bytes.
pub const MAX_ADDRESS_LEN: usize = 255;
/// Longest genesis file, bytes.
pub const MAX_GENESIS_BYTES: usize = 1 << 20;
/// The one currency of amounts.
pub const CURRENCY: &str = "CNY";

/// The first audit key, number 0, live from the genesis on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GenesisAuditKey {
    /// Who holds it.
    pub regulator: MemberId,
    /// The escrow key Y.
    pub y: Element,
    /// Possession of y, over [`Genesis::audit_key_context`].
    pub y_possession: KnowledgeProof,
    /// The HPKE key that requests and log windows are sealed to.
    pub seal_key: SealPublicKey,
    /// Possession of the seal key, over [`Genesis::audit_key_context`].
    pub seal_possession: SealPossessionProof,
    /// First second, Unix time, at which it is no longer live.
    pub until_s: u64,
}

/// What every member starts from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Genesis {
    /// Kind [`Kind::Genesis`].
    pub header: MessageHeader,
    /// Name of the network, 1 to 32 characters of `a-z 0-9 -`.
    pub network: String,
    /// Unix time of the genesis block, s; period 0 and window 0 begin here.
    pub genesis_time_s: u64,
    /// `CNY`.
    pub currency: String,
    /// The parameters every rule counts in; missing ones take their defaults.
    #[serde(default)]
    pub policy: Policy,
    /// The first audit key.
    pub audit_key: GenesisAuditKey,
    /// Members sorted by name.
    pub members: Vec<Member>,
}

/// A genesis that no chain can start from.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GenesisError {
    /// Another version, kind or suite.
    #[error(transparent)]
    Header(#[from] HeaderUnexpected),
    /// The network's name.
    #[error("genesis: network must be 1 to 32 characters of a-z, 0-9 and '-'")]
    Network,
    /// The genesis time.
    #[error("genesis: genesis_time_s must be a Unix time between 2001 and 2255")]
    Time,
    /// Another currency.
    #[error("genesis: currency must be CNY")]
    Currency,
    /// The policy.
    #[error(transparent)]
    Policy(#[from] PolicyInvalid),
    /// The number of members.
    #[error("genesis: a consortium has 1 to 100 members")]
    MemberCount,
    /// Members out of order or repeated.
    #[error("genesis: members must be sorted by name, each once; {0} is not after the one before it")]
    MemberOrder(MemberId),
    /// A key used twice.
    #[error(
        "genesis: {0} has a key that stands in the genesis already; identity, TLS and engine keys are all distinct"
    )]
    KeyRepeated(MemberId),
    /// An address.
    #[error("genesis: peer_address and engine_address of {0} must be host:port of at most 255 characters")]
    Address(MemberId),
    /// No validator.
    #[error("genesis: at least one member must have the role validator")]
    NoValidator,
    /// The regulator.
    #[error("genesis: audit_key.regulator must name a member with the role regulator")]
    RegulatorMissing,
    /// A regulator that does something else too.
    #[error("genesis: {0} has the role regulator and another role; a regulator has no other role")]
    RegulatorRole(MemberId),
    /// The audit key's end.
    #[error("genesis: audit_key.until_s must be after genesis_time_s")]
    AuditKeyEnd,
    /// A possession proof of the audit key.
    #[error("genesis: a possession proof of audit_key does not verify for this network and regulator")]
    PossessionInvalid,
    /// The file is not a genesis.
    #[error("genesis: line {line}: not a genesis file: {problem}")]
    File {
        /// Line, from 1; 0 when unknown.
        line: usize,
        /// What the parser says of names and types in the file (a genesis holds nothing secret).
        problem: String,
    },
    /// The file is too long.
    #[error("genesis: the file is longer than 1 MiB")]
    TooLong,
}

impl Genesis {
    /// Checks every rule.
    ///
    /// # Errors
    /// The first rule that does not hold.
    pub fn check(&self) -> Result<(), GenesisError> {
        self.header.expect(Kind::Genesis)?;
        let network_byte = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        if !(1..=MAX_NETWORK_LEN).contains(&self.network.len()) || !self.network.bytes().all(network_byte) {
            return Err(GenesisError::Network);
        }
        if !(1_000_000_000..=9_000_000_000).contains(&self.genesis_time_s) {
            return Err(GenesisError::Time);
        }
        if self.currency != CURRENCY {
            return Err(GenesisError::Currency);
        }
        if self.policy.period_s > u64::from(u32::MAX) {
            return Err(PolicyInvalid { parameter: "period_s", range: "at most 2^32 - 1 s" }.into());
        }
        if self.policy.freeze_s > self.policy.period_s {
            return Err(PolicyInvalid { parameter: "freeze_s", range: "at most half of period_s" }.into());
        }
        self.policy.check()?;
        self.check_members()?;
        self.check_audit_key()
    }

    fn check_members(&self) -> Result<(), GenesisError> {
        if !(1..=MAX_MEMBERS).contains(&self.members.len()) {
            return Err(GenesisError::MemberCount);
        }
        let mut keys = BTreeSet::new();
        let mut before: Option<&MemberId> = None;
        for member in &self.members {
            if before.is_some_and(|b| *b >= member.id) {
                return Err(GenesisError::MemberOrder(member.id.clone()));
            }
            before = Some(&member.id);
            for key in [&member.identity_key, &member.tls_key, &member.engine_key] {
                if !keys.insert(*key.as_bytes()) {
                    return Err(GenesisError::KeyRepeated(member.id.clone()));
                }
            }
            if !is_address(&member.peer_address) || !is_address(&member.engine_address) {
                return Err(GenesisError::Address(member.id.clone()));
            }
            let Roles { lender, publisher, validator, regulator } = member.roles;
            if regulator && (lender || publisher || validator) {
                return Err(GenesisError::RegulatorRole(member.id.clone()));
            }
        }
        if !self.members.iter().any(|m| m.roles.validator) {
            return Err(GenesisError::NoValidator);
        }
        Ok(())
    }

    fn check_audit_key(&self) -> Result<(), GenesisError> {
        let key = &self.audit_key;
        if !self.member(&key.regulator).is_some_and(|m| m.roles.regulator) {
            return Err(GenesisError::RegulatorMissing);
        }
        if key.until_s <= self.genesis_time_s {
            return Err(GenesisError::AuditKeyEnd);
        }
        let context = self.audit_key_context();
        escrow::verify_audit_key(&key.y, &context, &key.y_possession).map_err(|_| GenesisError::PossessionInvalid)?;
        seal::verify_seal_key(&key.seal_key, &context, &key.seal_possession)
            .map_err(|_| GenesisError::PossessionInvalid)
    }

    /// The chain id: `hash(GENESIS, BCS(genesis))`.
    #[must_use]
    pub fn chain_id(&self) -> Digest32 {
        digest::hash(dst::GENESIS, &[&codec::encode(self)])
    }

    /// What the possession proofs of the first audit key are bound to: BCS of (tag, network, regulator). Not the chain
    /// id, which is the hash of a genesis that holds the proofs.
    #[must_use]
    pub fn audit_key_context(&self) -> Vec<u8> {
        genesis_audit_key_context(&self.network, &self.audit_key.regulator)
    }

    /// The member of this name.
    #[must_use]
    pub fn member(&self, id: &MemberId) -> Option<&Member> {
        let position = self.members.binary_search_by(|m| m.id.cmp(id)).ok()?;
        self.members.get(position)
    }

    /// Engine keys of the members with the role validator, sorted by bytes: the committee of every term.
    #[must_use]
    pub fn validators(&self) -> Vec<[u8; 32]> {
        let mut keys: Vec<[u8; 32]> =
            self.members.iter().filter(|m| m.roles.validator).map(|m| *m.engine_key.as_bytes()).collect();
        keys.sort_unstable();
        keys
    }

    /// The term that a height falls in: term t covers heights `[t * term_blocks, (t + 1) * term_blocks)`.
    #[must_use]
    pub fn term_of(&self, height: Height) -> u64 {
        height.0 / self.policy.term_blocks.max(1)
    }

    /// Whether a block of this height carries the next term's committee: genesis and the last block of each term.
    #[must_use]
    pub fn is_boundary(&self, height: Height) -> bool {
        height.0 == 0 || self.term_of(height) != self.term_of(height.next())
    }

    /// First second of a period, Unix time.
    #[must_use]
    pub fn period_start_s(&self, period: riskveil_exchange::ids::Period) -> u64 {
        self.genesis_time_s.saturating_add(u64::from(period.0).saturating_mul(self.policy.period_s))
    }

    /// First second after a period, Unix time.
    #[must_use]
    pub fn period_end_s(&self, period: riskveil_exchange::ids::Period) -> u64 {
        self.period_start_s(period).saturating_add(self.policy.period_s)
    }

    /// First second from which nothing of a period changes, Unix time.
    #[must_use]
    pub fn freeze_start_s(&self, period: riskveil_exchange::ids::Period) -> u64 {
        self.period_end_s(period).saturating_sub(self.policy.freeze_s)
    }

    /// The text of `genesis.toml`.
    ///
    /// # Errors
    /// [`GenesisError::File`] for a number above 2^63 - 1, which TOML cannot hold.
    pub fn to_toml(&self) -> Result<String, GenesisError> {
        toml::to_string(self).map_err(|e| GenesisError::File { line: 0, problem: e.to_string() })
    }

    /// Reads `genesis.toml`; unknown keys are refused, missing policy keys take their defaults. Checked.
    ///
    /// # Errors
    /// [`GenesisError`]: not a genesis file (with its line), or the first rule that does not hold.
    pub fn from_toml(text: &str) -> Result<Self, GenesisError> {
        if text.len() > MAX_GENESIS_BYTES {
            return Err(GenesisError::TooLong);
        }
        let genesis: Self = toml::from_str(text).map_err(|e| {
            let at = e.span().map_or(0, |span| span.start.min(text.len()));
            let line = text.as_bytes().iter().take(at).filter(|b| **b == b'\n').count() + 1;
            GenesisError::File { line, problem: e.message().to_owned() }
        })?;
        genesis.check()?;
        Ok(genesis)
    }
}

/// What the possession proofs of the first audit key are bound to: BCS of (tag, network, regulator).
#[must_use]
pub fn genesis_audit_key_context(network: &str, regulator: &MemberId) -> Vec<u8> {
    codec::encode(&(AUDIT_KEY.as_str(), network, regulator))
}

/// What the possession proofs of an audit key announced on chain are bound to: BCS of (tag, chain id, regulator, number).
#[must_use]
pub fn announced_audit_key_context(chain_id: &Digest32, regulator: &MemberId, audit_key_id: AuditKeyId) -> Vec<u8> {
    codec::encode(&(AUDIT_KEY.as_str(), chain_id, regulator, audit_key_id))
}

fn is_address(address: &str) -> bool {
    let Some((host, port)) = address.rsplit_once(':') else { return false };
    let host_byte = |b: u8| b.is_ascii_alphanumeric() || b".-_[]:".contains(&b);
    address.len() <= MAX_ADDRESS_LEN
        && !host.is_empty()
        && host.bytes().all(host_byte)
        && port.parse::<u16>().is_ok_and(|p| p != 0)
}
