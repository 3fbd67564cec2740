//! What each side journals of a query or a disclosure and later seals to the regulator; never Z, hit or clear.
//!
//! - **Place**: B8, made by `query::session` and `disclose::ask` before anything is sent and by the responder before it answers
//! - **Shapes**: a lender's query holds one core and one record per responder asked, answered or not; a responder's holds one
//! - **Invariants**: everything needed to check an entry is inside it: envelopes are signed by the lender, outcomes by the
//!   responder
//! - **Source**: DESIGN.md section 4, "Request, response, log"; specs/wire.md

use riskveil_crypto::{Digest32, Signature, SigningKey, VerifyingKey, signature::SignatureInvalid};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};

use crate::audit::leaf::{query_leaf, receipt_leaf};
use crate::disclose::entry::{DisclosureEntry, DisclosureReceipt};
use crate::dst;
use crate::message::Kind;
use crate::query::messages::{Envelope, EvaluateRequest, Proofs, RequestCore, outcome_statement};

/// An entry of either log.
pub trait LogEntry: Serialize + DeserializeOwned {
    /// Whose log it belongs to.
    const KIND: LogKind;

    /// Its leaves, in order.
    fn leaves(&self) -> Vec<Digest32>;
}

/// What a lender logs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(clippy::large_enum_variant)] // nearly all are queries
pub enum LenderEntry {
    /// A check or a chunk of a screening.
    Query(QueryEntry),
    /// A disclosure it asked for.
    Disclosure(DisclosureEntry),
}

impl LenderEntry {
    /// Notes how an envelope or a disclosure was answered; false when the entry has none of this digest.
    pub fn note_outcome(&mut self, digest: &Digest32, outcome: Outcome) -> bool {
        match self {
            Self::Query(entry) => entry.note_outcome(digest, outcome),
            Self::Disclosure(entry) => entry.note_outcome(digest, outcome),
        }
    }
}

impl LogEntry for LenderEntry {
    const KIND: LogKind = LogKind::Queries;

    fn leaves(&self) -> Vec<Digest32> {
        match self {
            Self::Query(entry) => entry.leaves(),
            Self::Disclosure(entry) => vec![entry.leaf()],
        }
    }
}

impl From<QueryEntry> for LenderEntry {
    fn from(entry: QueryEntry) -> Self {
        Self::Query(entry)
    }
}

impl From<DisclosureEntry> for LenderEntry {
    fn from(entry: DisclosureEntry) -> Self {
        Self::Disclosure(entry)
    }
}

/// What a responder logs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(clippy::large_enum_variant)] // nearly all are receipts
pub enum ResponderEntry {
    /// A request to evaluate.
    Receipt(ReceiptEntry),
    /// A request to disclose.
    Disclosure(DisclosureReceipt),
}

impl LogEntry for ResponderEntry {
    const KIND: LogKind = LogKind::Receipts;

    fn leaves(&self) -> Vec<Digest32> {
        match self {
            Self::Receipt(entry) => vec![entry.leaf()],
            Self::Disclosure(entry) => vec![entry.leaf()],
        }
    }
}

impl From<ReceiptEntry> for ResponderEntry {
    fn from(entry: ReceiptEntry) -> Self {
        Self::Receipt(entry)
    }
}

impl From<DisclosureReceipt> for ResponderEntry {
    fn from(entry: DisclosureReceipt) -> Self {
        Self::Disclosure(entry)
    }
}

/// Whose log a window is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogKind {
    /// A lender's: what it sent.
    Queries,
    /// A responder's: what it received.
    Receipts,
}

impl LogKind {
    /// The kind of the window's plaintext.
    #[must_use]
    pub const fn message_kind(self) -> Kind {
        match self {
            Self::Queries => Kind::QueryLog,
            Self::Receipts => Kind::ReceiptLog,
        }
    }
}

/// How a responder answered an envelope, or a publisher a disclosure's head, signed by it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// 0 evaluated or disclosed, otherwise the code of a refusal.
    pub status: u8,
    /// The digest of the response.
    pub response_digest: Digest32,
    /// The responder's signature over both and the digest of the envelope or head.
    pub signature: Signature,
}

impl Outcome {
    /// Signs as the responder.
    #[must_use]
    pub fn sign(
        chain_id: &Digest32,
        envelope_digest: &Digest32,
        status: u8,
        response_digest: Digest32,
        responder: &SigningKey,
    ) -> Self {
        let statement = outcome_statement(envelope_digest, status, &response_digest);
        Self { status, response_digest, signature: responder.sign(dst::OUTCOME, chain_id, &statement) }
    }

    /// Verifies that this responder answered this envelope so.
    ///
    /// # Errors
    /// [`SignatureInvalid`].
    pub fn verify(
        &self,
        chain_id: &Digest32,
        envelope_digest: &Digest32,
        responder: &VerifyingKey,
    ) -> Result<(), SignatureInvalid> {
        let statement = outcome_statement(envelope_digest, self.status, &self.response_digest);
        responder.verify(dst::OUTCOME, chain_id, &statement, &self.signature)
    }
}

/// One responder of a lender's entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EntryEnvelope {
    /// What was sent.
    pub envelope: Envelope,
    /// The lender's signature over it.
    pub signature: Signature,
    /// How it was answered; none when no signed answer arrived.
    pub outcome: Option<Outcome>,
}

/// Entries are kept by the thousand, their points are not.
fn without_points<'de, D: Deserializer<'de>>(deserializer: D) -> Result<RequestCore, D::Error> {
    let mut core = RequestCore::deserialize(deserializer)?;
    core.items.forget_points();
    Ok(core)
}

/// A lender's log entry of one query.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueryEntry {
    /// What was asked.
    #[serde(deserialize_with = "without_points")]
    pub core: RequestCore,
    /// Its proofs of knowledge.
    pub proofs: Proofs,
    /// Its seal.
    #[serde(with = "serde_bytes")]
    pub seal: Vec<u8>,
    /// Everyone it was sent to, answered or not.
    pub envelopes: Vec<EntryEnvelope>,
}

impl QueryEntry {
    /// Notes how an envelope was answered; false when the entry has no such envelope.
    pub fn note_outcome(&mut self, envelope_digest: &Digest32, outcome: Outcome) -> bool {
        let found = self.envelopes.iter_mut().find(|one| one.envelope.digest() == *envelope_digest);
        found.map(|one| one.outcome = Some(outcome)).is_some()
    }

    /// Its leaves, one per envelope.
    #[must_use]
    pub fn leaves(&self) -> Vec<Digest32> {
        self.envelopes.iter().map(|one| query_leaf(&one.envelope.salt, &one.envelope.digest())).collect()
    }
}

/// A responder's log entry of one request with a valid signature, evaluated or refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReceiptEntry {
    /// What was asked.
    #[serde(deserialize_with = "without_points")]
    pub core: RequestCore,
    /// Its proofs of knowledge.
    pub proofs: Proofs,
    /// Its seal.
    #[serde(with = "serde_bytes")]
    pub seal: Vec<u8>,
    /// The envelope to this responder.
    pub envelope: Envelope,
    /// The lender's signature over it.
    pub signature: Signature,
    /// 0 evaluated, otherwise the code of a refusal reason.
    pub status: u8,
    /// The digest of the response given.
    pub response_digest: Digest32,
}

impl ReceiptEntry {
    /// The receipt of a request and its answer.
    #[must_use]
    pub fn new(request: EvaluateRequest, status: u8, response_digest: Digest32) -> Self {
        let EvaluateRequest { mut core, proofs, seal, envelope, signature } = request;
        core.items.forget_points();
        Self { core, proofs, seal, envelope, signature, status, response_digest }
    }

    /// The leaf of this entry.
    #[must_use]
    pub fn leaf(&self) -> Digest32 {
        receipt_leaf(&self.envelope.salt, &self.envelope.digest())
    }

    /// The leaf that the lender owes the chain.
    #[must_use]
    pub fn lender_leaf(&self) -> Digest32 {
        query_leaf(&self.envelope.salt, &self.envelope.digest())
    }
}
