//! The bytes of an evidence file.
//!
//! - **Shapes**: BCS; whatever is hashed or signed as a whole (genesis, headers, transactions, messages) stands as a byte string
//! - **Invariants**: [`Evidence::decode`] has bounded every count; it has verified nothing else
//! - **Errors**: [`Rule::Form`]
//! - **Security**: identifiers and secrets are in it; nothing here prints their bytes
//! - **Source**: specs/evidence.md#bytes

use std::fmt;

use riskveil_crypto::codec::{self, bytes_n};
use riskveil_crypto::escrow_opening::EqualityProof;
use riskveil_crypto::label::Row;
use riskveil_crypto::merkle::InclusionProof;
use riskveil_crypto::{Digest32, SecretBytes, Signature};
use riskveil_exchange::audit::entry::Outcome;
use riskveil_exchange::ids::{Height, MemberId};
use riskveil_exchange::message::{Kind, MessageHeader};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::error::{Refused, Rule};
use crate::genesis::MAX_MEMBERS;

/// Longest evidence file, bytes.
pub const MAX_EVIDENCE_BYTES: usize = 16 << 20;
/// Most boundaries: terms of a chain.
pub const MAX_BOUNDARIES: usize = 32_768;
/// Most runs of linked headers.
pub const MAX_CHAINS: usize = 256;
/// Most headers in all runs.
pub const MAX_HEADERS: usize = 8_192;
/// Most state entries.
pub const MAX_STATE_ENTRIES: usize = 65_536;
/// Most batches of one publisher.
pub const MAX_BATCHES: usize = 16_384;
/// Most rows that are opened in one batch.
pub const MAX_OPENED_ROWS: usize = 1_024;
/// Longest stated reason, bytes.
pub const MAX_REASON: usize = 64;
/// Longest canonical identifier, bytes.
pub const MAX_CANONICAL: usize = 24;

/// Bytes of something that is hashed, signed or named as a whole.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Blob(#[serde(with = "serde_bytes")] pub Vec<u8>);

impl fmt::Debug for Blob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Blob({} bytes)", self.0.len())
    }
}

/// An evidence file.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Evidence {
    /// Kind [`Kind::Evidence`].
    pub header: MessageHeader,
    /// The chain it is about.
    pub chain_id: Digest32,
    /// BCS of the genesis.
    pub genesis: Blob,
    /// The last header of each term from 0 on, certified by that term's committee.
    pub boundaries: Vec<CertifiedHeader>,
    /// The headers that the claim needs, in runs that end with a certified one.
    pub chains: Vec<HeaderChain>,
    /// What the claim needs of the state.
    pub state: StateOpening,
    /// What is claimed.
    pub claim: Claim,
}

/// A header with its own certificate.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CertifiedHeader {
    /// BCS of the header.
    pub header: Blob,
    /// The engine's finality certificate.
    pub certificate: Blob,
}

/// Headers that follow each other, the last one certified.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct HeaderChain {
    /// BCS of each header, ascending.
    pub headers: Vec<Blob>,
    /// The engine's finality certificate of the last one.
    pub certificate: Blob,
}

/// Entries of the state after one block.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct StateOpening {
    /// The block.
    pub height: Height,
    /// Entries of the whole state.
    pub size: u64,
    /// Merkle root over them.
    pub entries_root: Digest32,
    /// Those that are shown, ascending by key.
    pub entries: Vec<StateEntry>,
}

/// One entry of the state.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct StateEntry {
    /// The key.
    pub key: Blob,
    /// The value.
    pub value: Blob,
    /// Its position, from 0.
    pub index: u64,
    /// Siblings from the leaf to the root.
    pub path: Vec<Digest32>,
}

/// What a file claims.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Claim {
    /// What every publisher answered about one subject.
    Answers(Box<AnswerClaim>),
    /// That a query was logged, and who logged its receipt.
    LogEntry(Box<LogClaim>),
}

/// What every publisher answered about one subject.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AnswerClaim {
    /// BCS of the request core.
    pub core: Blob,
    /// BCS of its proofs of knowledge.
    pub proofs: Blob,
    /// The height at which the answers are judged.
    pub judged_height: Height,
    /// The business date, days since 1970-01-01 in Asia/Shanghai.
    pub as_of: u16,
    /// One per item of the request.
    pub items: Vec<ItemOpening>,
    /// One per publisher of the genesis, in its order.
    pub publishers: Vec<PublisherClaim>,
}

/// What one item of a check asks about.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum ItemOpening {
    /// A person or company: the canonical identifier (its type is the item's position plus one) and the escrow secret.
    Identifier {
        /// ASCII.
        canonical: Blob,
        /// s.
        secret: ExportedScalar,
    },
    /// Nobody: shown without s.
    Dummy {
        /// DLEQ (G, C1; Y, C2 - D).
        proof: EqualityProof,
    },
}

/// An escrow secret in a file.
#[derive(Clone, Debug)]
pub struct ExportedScalar(pub SecretBytes<32>);

impl Serialize for ExportedScalar {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.expose(|bytes| bytes_n::serialize(bytes, serializer))
    }
}

impl<'de> Deserialize<'de> for ExportedScalar {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self(SecretBytes::from_bytes(bytes_n::deserialize(deserializer)?)))
    }
}

/// What the file says of one publisher.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PublisherClaim {
    /// Who.
    pub publisher: MemberId,
    /// What.
    pub said: Said,
}

/// How one publisher answered.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Said {
    /// It evaluated: a hit or a clear follows.
    Evaluated(Box<Evaluated>),
    /// It refused, signed.
    Refused(Box<Exchange>),
    /// Nothing is shown.
    NotProven {
        /// What whoever made the file says of it: 1 to 64 characters of `a-z _ ( )`.
        reason: String,
    },
}

/// A request to one publisher and its response.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Exchange {
    /// BCS of the envelope.
    pub envelope: Blob,
    /// The lender's signature over it.
    pub signature: Signature,
    /// BCS of the response.
    pub response: Blob,
}

/// An evaluation and the rows that decide it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Evaluated {
    /// Request and response.
    pub exchange: Exchange,
    /// One per batch that the chain counted at the judged height, from batch 0 on.
    pub batches: Vec<BatchOpening>,
}

/// Rows of one batch: enough of them to decide for each tag that is looked up whether it is there.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct BatchOpening {
    /// Ascending by position.
    pub rows: Vec<OpenedRow>,
}

/// One row of a batch.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct OpenedRow {
    /// Its position, from 0.
    pub index: u32,
    /// Its 92 bytes.
    pub row: Row,
    /// Siblings from the leaf to the root.
    pub path: Vec<Digest32>,
}

/// That a query stands in its lender's log, and its receipts in its responders' logs.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LogClaim {
    /// BCS of the request core.
    pub core: Blob,
    /// BCS of its proofs of knowledge.
    pub proofs: Blob,
    /// One per item of the request.
    pub items: Vec<ItemDecryption>,
    /// SHA-256 of the consent document.
    pub consent_digest: Digest32,
    /// The salt of its commitment.
    #[serde(with = "bytes_n")]
    pub consent_salt: [u8; 32],
    /// The lender's log transaction.
    pub queries: LoggedTransaction,
    /// Envelopes of the query, ascending by publisher.
    pub envelopes: Vec<LoggedEnvelope>,
}

/// What one item of a logged check asks about, by the audit key.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum ItemDecryption {
    /// A person or company.
    Identifier {
        /// ASCII; its type is the item's position plus one.
        canonical: Blob,
        /// DLEQ (G, Y; C1, C2 - P).
        proof: EqualityProof,
    },
    /// Nobody.
    Dummy {
        /// DLEQ (G, Y; C1, C2 - D).
        proof: EqualityProof,
    },
}

/// A log transaction that was applied.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LoggedTransaction {
    /// Its block.
    pub height: Height,
    /// The signed transaction's bytes.
    pub transaction: Blob,
    /// Where it stands under `tx_root`.
    pub inclusion: InclusionProof,
    /// Where its receipt `Applied` stands under `receipts_root`.
    pub receipt: InclusionProof,
}

/// One envelope of a logged query.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LoggedEnvelope {
    /// BCS of the envelope.
    pub envelope: Blob,
    /// The lender's signature over it.
    pub signature: Signature,
    /// Where its query leaf stands under the root of the lender's log transaction.
    pub leaf: InclusionProof,
    /// How the responder answered, signed by it; none if no signed answer is known.
    pub outcome: Option<Outcome>,
    /// Where the responder logged its receipt.
    pub receipt: Option<LoggedReceipt>,
}

/// A receipt in a responder's log.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LoggedReceipt {
    /// The responder's log transaction.
    pub transaction: LoggedTransaction,
    /// Where the receipt leaf stands under its root.
    pub leaf: InclusionProof,
}

impl Evidence {
    /// The file's bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        codec::encode(self)
    }

    /// Reads a file and bounds every count in it.
    ///
    /// # Errors
    /// [`Rule::Form`].
    pub fn decode(bytes: &[u8]) -> Result<Self, Refused> {
        let evidence: Self = codec::decode(bytes, MAX_EVIDENCE_BYTES).map_err(|_| Rule::Form)?;
        evidence.header.expect(Kind::Evidence).map_err(|_| Rule::Form)?;
        if evidence.counts_are_bounded() { Ok(evidence) } else { Err(Rule::Form.into()) }
    }

    fn counts_are_bounded(&self) -> bool {
        let headers: usize = self.chains.iter().map(|chain| chain.headers.len()).sum();
        self.boundaries.len() <= MAX_BOUNDARIES
            && self.chains.len() <= MAX_CHAINS
            && headers <= MAX_HEADERS
            && self.state.entries.len() <= MAX_STATE_ENTRIES
            && match &self.claim {
                Claim::Answers(claim) => claim.counts_are_bounded(),
                Claim::LogEntry(claim) => claim.items.len() <= 4 && claim.envelopes.len() <= MAX_MEMBERS,
            }
    }
}

impl AnswerClaim {
    fn counts_are_bounded(&self) -> bool {
        let batches = |claim: &PublisherClaim| match &claim.said {
            Said::Evaluated(evaluated) => {
                evaluated.batches.len() <= MAX_BATCHES
                    && evaluated.batches.iter().all(|batch| batch.rows.len() <= MAX_OPENED_ROWS)
            }
            Said::Refused(_) => true,
            Said::NotProven { reason } => reason.len() <= MAX_REASON,
        };
        self.items.len() <= 4 && self.publishers.len() <= MAX_MEMBERS && self.publishers.iter().all(batches)
    }
}
