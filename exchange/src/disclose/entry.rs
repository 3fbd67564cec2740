//! What each side journals of a disclosure and later seals to the regulator; never what was asked for or answered.
//!
//! - **Place**: B8 for a disclosure: made by `ask` before anything is sent, and by the publisher before it answers
//! - **Invariants**: everything needed to check an entry is inside it: the head is signed by the lender, the outcome by the
//!   publisher; the consent opens the head's commitment
//! - **Security**: the regulator learns who asked whom, when, why, on which consent and after which check; so that the publisher
//!   has a record of that check's person, once it disclosed. Not which record, which value, which bounds, nor the answer
//! - **Source**: specs/threat-model.md, specs/wire.md#log

use riskveil_crypto::{Digest32, Signature};
use serde::{Deserialize, Serialize};

use crate::audit::entry::Outcome;
use crate::audit::leaf::{query_leaf, receipt_leaf};
use crate::disclose::messages::{DisclosureHead, DisclosureRequest};
use crate::query::seal::Consent;

/// A lender's log entry of one disclosure that it asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DisclosureEntry {
    /// What was sent.
    pub head: DisclosureHead,
    /// Opens the head's consent commitment.
    pub consent: Consent,
    /// The lender's signature over the head.
    pub signature: Signature,
    /// How it was answered; none when no signed answer arrived.
    pub outcome: Option<Outcome>,
}

impl DisclosureEntry {
    /// Notes how it was answered; false when the outcome is of another request.
    pub fn note_outcome(&mut self, request_digest: &Digest32, outcome: Outcome) -> bool {
        let is_this = self.head.digest() == *request_digest;
        if is_this {
            self.outcome = Some(outcome);
        }
        is_this
    }

    /// Its leaf.
    #[must_use]
    pub fn leaf(&self) -> Digest32 {
        query_leaf(&self.head.nonce, &self.head.digest())
    }
}

/// A publisher's log entry of one request with a valid signature, disclosed or refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DisclosureReceipt {
    /// What was received.
    pub head: DisclosureHead,
    /// Opens the head's consent commitment.
    pub consent: Consent,
    /// The lender's signature over the head.
    pub signature: Signature,
    /// 0 disclosed, otherwise the code of a refusal.
    pub status: u8,
    /// The digest of the response given.
    pub response_digest: Digest32,
}

impl DisclosureReceipt {
    /// The receipt of a request and its answer.
    #[must_use]
    pub fn new(request: DisclosureRequest, status: u8, response_digest: Digest32) -> Self {
        let DisclosureRequest { head, body, signature } = request;
        Self { head, consent: body.consent, signature, status, response_digest }
    }

    /// Its leaf.
    #[must_use]
    pub fn leaf(&self) -> Digest32 {
        receipt_leaf(&self.head.nonce, &self.head.digest())
    }

    /// The leaf that the lender owes the chain.
    #[must_use]
    pub fn lender_leaf(&self) -> Digest32 {
        query_leaf(&self.head.nonce, &self.head.digest())
    }
}
