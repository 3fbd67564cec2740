//! Transactions: what a member asks of the chain, signed with its identity key.
//!
//! - **Place**: A5, B9: `RowBatch`, `UnprovenBatch`, log window, key -> [`SignedTransaction`] -> mempool -> block
//! - **Shapes**: at most [`MAX_TX_BYTES`] each; bulk bytes are payloads beside it, named by a [`PayloadRef`]
//! - **Invariants**: none by construction: a decoded transaction is a claim; `execute` decides
//! - **Errors**: [`TxDecodeError`] (the sender)
//! - **Security**: the signature binds the chain id; the id covers the signature, so an id that verified once stays verified
//! - **Source**: DESIGN.md section 5; specs/ledger.md#transactions

use riskveil_crypto::announce::KeyBindingProof;
use riskveil_crypto::codec::{self, DecodeError};
use riskveil_crypto::digest::{self, Digest32};
use riskveil_crypto::escrow::KnowledgeProof;
use riskveil_crypto::group::Element;
use riskveil_crypto::seal::{SealPossessionProof, SealPublicKey};
use riskveil_crypto::signature::SignatureInvalid;
use riskveil_crypto::{Signature, SigningKey};
use riskveil_exchange::ids::{AuditKeyId, Height, MemberId, Period, Window};
use riskveil_exchange::member::Member;
use riskveil_exchange::message::{Kind, MessageHeader};
use serde::{Deserialize, Serialize};

use crate::dst;

/// Longest encoded [`SignedTransaction`], bytes; its payload does not count.
pub const MAX_TX_BYTES: usize = 16 << 10;
/// Farthest a transaction's expiry height may lie above the height of its block.
pub const MAX_EXPIRY_BLOCKS: u64 = 10_000;

/// A transaction's id: hash of its signed bytes.
pub type TxId = Digest32;

/// Bulk bytes beside a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PayloadRef {
    /// SHA-256 of the bytes.
    pub digest: Digest32,
    /// Their number.
    pub len: u32,
    /// Rows, commitments or leaves.
    pub count: u32,
    /// RFC 9162 root over the rows, or over the leaves of commitments or of a log.
    pub root: Digest32,
}

/// K_Y of one audit key with its proof.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditKeyBinding {
    /// Which audit key.
    pub audit_key_id: AuditKeyId,
    /// `k * Y`.
    pub k_y: Element,
    /// DLEQ of (G, K; Y, K_Y).
    pub proof: KeyBindingProof,
}

/// A new audit key (kind 0; regulator).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AnnounceAuditKey {
    /// The next number.
    pub audit_key_id: AuditKeyId,
    /// The escrow key Y.
    pub y: Element,
    /// Possession of y, over [`crate::genesis::announced_audit_key_context`].
    pub y_possession: KnowledgeProof,
    /// The HPKE key.
    pub seal_key: SealPublicKey,
    /// Possession of it, over the same context.
    pub seal_possession: SealPossessionProof,
    /// First second it is live, Unix time; at least 24 hours after the block.
    pub from_s: u64,
    /// First second it is no longer live.
    pub until_s: u64,
}

/// A publisher's key of a period (kind 1; publisher).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AnnouncePeriodKey {
    /// The current period or the next.
    pub period: Period,
    /// 0, or one more than a revoked key's.
    pub key_serial: u32,
    /// `K = k * G`, never seen on this chain.
    pub k: Element,
    /// One per live audit key, ascending.
    pub bindings: Vec<AuditKeyBinding>,
}

/// K_Y for an audit key announced later (kind 2; publisher).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BindAuditKey {
    /// The period of the key.
    pub period: Period,
    /// Its serial.
    pub key_serial: u32,
    /// The binding.
    pub binding: AuditKeyBinding,
}

/// One batch of rows (kind 3; publisher).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublishRows {
    /// The period of the key they were made with.
    pub period: Period,
    /// Its serial.
    pub key_serial: u32,
    /// From 0, strictly the next.
    pub batch_seq: u32,
    /// Rows of 92 bytes, concatenated, strictly ascending by tag, a bucket full.
    pub rows: PayloadRef,
}

/// One batch of commitments, durable over all periods (kind 6; publisher).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublishCommitments {
    /// From 0, strictly the publisher's next, whatever the period.
    pub batch_seq: u32,
    /// Commitments of 96 bytes, strictly ascending by leaf, a bucket full, then two range proofs per 64 of them. The root is
    /// over the leaves.
    pub commitments: PayloadRef,
}

/// "My batches so far are my snapshot" (kind 5; publisher).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SealSnapshot {
    /// The period.
    pub period: Period,
    /// The key's serial.
    pub key_serial: u32,
    /// Number of batches; the state's.
    pub batch_count: u32,
    /// Root over the roots of batches `0..batch_count`.
    pub root: Digest32,
    /// Number of batches this publisher has in the period before; 0 if it had no key there.
    pub covers_prev_seq: u32,
}

/// One or more log windows in one payload (kinds 8 and 9; lender and publisher).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogWindows {
    /// The window after the last one logged.
    pub first_window: Window,
    /// The last window it covers, which is over.
    pub last_window: Window,
    /// BCS of `LogPayload { leaves, blob }`; count and root are those of the leaves.
    pub log: PayloadRef,
}

/// What the regulator looked at, committed (kind 10; regulator).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogAuditAccess {
    /// Commitment to what was looked for.
    pub scope_commit: Digest32,
    /// 1 log, 2 subject, 3 reconcile.
    pub action: u8,
    /// First window looked at.
    pub from: Window,
    /// Last window looked at.
    pub to: Window,
}

/// What a transaction asks. The BCS index of a variant is its kind number and never changes. Kinds that are reserved
/// carry bytes nobody reads and are refused with receipt code `KindReserved`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TxBody {
    /// Kind 0.
    AnnounceAuditKey(AnnounceAuditKey),
    /// Kind 1.
    AnnouncePeriodKey(AnnouncePeriodKey),
    /// Kind 2.
    BindAuditKey(BindAuditKey),
    /// Kind 3.
    PublishRows(PublishRows),
    /// Kind 4, reserved.
    Withdraw(#[serde(with = "serde_bytes")] Vec<u8>),
    /// Kind 5.
    SealSnapshot(SealSnapshot),
    /// Kind 6.
    PublishCommitments(PublishCommitments),
    /// Kind 7, reserved.
    RevokePeriodKey(#[serde(with = "serde_bytes")] Vec<u8>),
    /// Kind 8.
    LogQueries(LogWindows),
    /// Kind 9.
    LogReceipts(LogWindows),
    /// Kind 10.
    LogAuditAccess(LogAuditAccess),
    /// Kind 11, reserved.
    AnswerAudit(#[serde(with = "serde_bytes")] Vec<u8>),
    /// Kind 12, reserved.
    ChallengeProof(#[serde(with = "serde_bytes")] Vec<u8>),
    /// Kind 13, reserved.
    Propose(#[serde(with = "serde_bytes")] Vec<u8>),
    /// Kind 14, reserved.
    Vote(#[serde(with = "serde_bytes")] Vec<u8>),
    /// Kind 15, reserved.
    FlagDispute(#[serde(with = "serde_bytes")] Vec<u8>),
    /// Kind 16, reserved.
    ResolveDispute(#[serde(with = "serde_bytes")] Vec<u8>),
    /// Kind 17, reserved.
    SealStatement(#[serde(with = "serde_bytes")] Vec<u8>),
    /// Kind 18, reserved.
    AnchorEvidence(#[serde(with = "serde_bytes")] Vec<u8>),
}

/// What is signed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transaction {
    /// Kind [`Kind::Transaction`].
    pub header: MessageHeader,
    /// The chain it is for.
    pub chain_id: Digest32,
    /// Who asks.
    pub sender: MemberId,
    /// From 1, strictly the next of this sender.
    pub sequence: u64,
    /// Last height of a block that may carry it.
    pub expiry_height: Height,
    /// What it asks.
    pub body: TxBody,
}

/// A transaction with its sender's signature.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedTransaction {
    /// What is signed.
    pub transaction: Transaction,
    /// Ed25519 over the chain id and BCS of the transaction.
    pub signature: Signature,
}

/// Bytes that are not a signed transaction of at most [`MAX_TX_BYTES`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a signed transaction")]
pub struct TxDecodeError;

impl From<DecodeError> for TxDecodeError {
    fn from(_: DecodeError) -> Self {
        Self
    }
}

impl Transaction {
    /// A transaction of this version.
    #[must_use]
    pub fn new(chain_id: Digest32, sender: MemberId, sequence: u64, expiry_height: Height, body: TxBody) -> Self {
        Self { header: MessageHeader::new(Kind::Transaction), chain_id, sender, sequence, expiry_height, body }
    }
}

impl SignedTransaction {
    /// Signs with the sender's identity key.
    #[must_use]
    pub fn sign(transaction: Transaction, identity_key: &SigningKey) -> Self {
        let message = codec::encode(&transaction);
        let signature = identity_key.sign(dst::TX_SIGNATURE, &transaction.chain_id, &message);
        Self { transaction, signature }
    }

    /// Hash of the signed bytes.
    #[must_use]
    pub fn id(&self) -> TxId {
        tx_id(&self.encode())
    }

    /// Checks the signature strictly, under the sender's identity key and this chain's id.
    ///
    /// # Errors
    /// [`SignatureInvalid`].
    pub fn verify(&self, sender: &Member, chain_id: &Digest32) -> Result<(), SignatureInvalid> {
        let message = codec::encode(&self.transaction);
        sender.identity_key.verify(dst::TX_SIGNATURE, chain_id, &message, &self.signature)
    }

    /// The payload that must stand beside it in a block, if its kind has one.
    #[must_use]
    pub fn payload_ref(&self) -> Option<&PayloadRef> {
        match &self.transaction.body {
            TxBody::PublishRows(publish) => Some(&publish.rows),
            TxBody::PublishCommitments(publish) => Some(&publish.commitments),
            TxBody::LogQueries(windows) | TxBody::LogReceipts(windows) => Some(&windows.log),
            _ => None,
        }
    }

    /// BCS.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        codec::encode(self)
    }

    /// Decodes strictly.
    ///
    /// # Errors
    /// [`TxDecodeError`]: too long, not canonical, bytes left over.
    pub fn decode(bytes: &[u8]) -> Result<Self, TxDecodeError> {
        Ok(codec::decode(bytes, MAX_TX_BYTES)?)
    }
}

/// The id of a transaction's signed bytes.
#[must_use]
pub fn tx_id(signed_bytes: &[u8]) -> TxId {
    digest::hash(dst::TX_ID, &[signed_bytes])
}

/// What a member sends to a validator: a transaction and, if its kind has one, its payload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Submission {
    /// The transaction.
    pub transaction: SignedTransaction,
    /// The bytes its [`PayloadRef`] names.
    #[serde(with = "serde_bytes")]
    pub payload: Option<Vec<u8>>,
}

impl Submission {
    /// BCS.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        codec::encode(self)
    }

    /// Decodes strictly.
    ///
    /// # Errors
    /// [`TxDecodeError`]: longer than a transaction and `max_payload` bytes, not canonical, bytes left over.
    pub fn decode(bytes: &[u8], max_payload: usize) -> Result<Self, TxDecodeError> {
        Ok(codec::decode(bytes, MAX_TX_BYTES.saturating_add(max_payload).saturating_add(16))?)
    }

    /// Bytes it takes in a block, length prefixes included.
    #[must_use]
    pub fn block_bytes(&self) -> usize {
        self.transaction.encode().len() + 5 + self.payload.as_ref().map_or(0, |p| p.len() + 5)
    }
}
