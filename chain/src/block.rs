//! Blocks: a header that commits to everything, transactions as opaque bytes, and the payloads beside them.
//!
//! - **Place**: A6, B9: mempool -> [`Block`] -> engine -> `execute` -> state
//! - **Shapes**: encoded length at most `policy.max_block_bytes`; at most [`MAX_TRANSACTIONS`] transactions
//! - **Invariants**: a [`Block`] from [`Block::decode`] has the transactions and payloads its header commits to
//! - **Errors**: [`BlockDecodeError`] (the peer that sent it)
//! - **Source**: DESIGN.md section 5; specs/ledger.md#blocks

use riskveil_crypto::codec::{self, DecodeError};
use riskveil_crypto::digest::{self, Digest32, sha256};
use riskveil_crypto::merkle::{self, InclusionProof};
use riskveil_exchange::ids::Height;
use riskveil_exchange::message::{HeaderUnexpected, Kind, MessageHeader};
use serde::{Deserialize, Serialize};

use crate::dst;
use crate::receipt::Receipt;

/// Most transactions in a block.
pub const MAX_TRANSACTIONS: usize = 20_000;
/// Longest encoded [`Header`], bytes: 100 committee keys and all else.
pub const MAX_HEADER_BYTES: usize = 4096;

/// What validators vote on; its digest is the engine's block digest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// Kind [`Kind::BlockHeader`].
    pub header: MessageHeader,
    /// The chain.
    pub chain_id: Digest32,
    /// One more than the parent's.
    pub height: Height,
    /// The parent header's digest; zero in the genesis block.
    pub parent: Digest32,
    /// Unix time, ms; later than the parent's.
    pub time_ms: u64,
    /// `height / term_blocks`.
    pub term: u64,
    /// Engine key of the validator that proposed it; zero in the genesis block.
    pub proposer: [u8; 32],
    /// RFC 9162 root over the transactions' bytes.
    pub tx_root: Digest32,
    /// RFC 9162 root over the payloads' SHA-256 digests.
    pub payload_root: Digest32,
    /// RFC 9162 root over the receipts' BCS.
    pub receipts_root: Digest32,
    /// The state after this block.
    pub state_root: Digest32,
    /// Engine keys of the next term's committee, sorted; exactly on the last block of a term and in the genesis
    /// (there: term 0's).
    pub next_committee: Option<Vec<[u8; 32]>>,
}

impl Header {
    /// `hash(HEADER, BCS(header))`.
    #[must_use]
    pub fn digest(&self) -> Digest32 {
        digest::hash(dst::HEADER, &[&self.encode()])
    }

    /// BCS.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        codec::encode(self)
    }

    /// Decodes strictly.
    ///
    /// # Errors
    /// [`BlockDecodeError`]: too long, not canonical, or another version.
    pub fn decode(bytes: &[u8]) -> Result<Self, BlockDecodeError> {
        let header: Self = codec::decode(bytes, MAX_HEADER_BYTES)?;
        header.header.expect(Kind::BlockHeader)?;
        Ok(header)
    }

    /// Header time in whole seconds, which periods and windows count in.
    #[must_use]
    pub const fn time_s(&self) -> u64 {
        self.time_ms / 1000
    }
}

/// A block.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Block {
    /// The header.
    pub header: Header,
    /// Transactions; any bytes.
    #[serde(with = "byte_strings")]
    pub transactions: Vec<Vec<u8>>,
    /// The payloads that transactions of this block name, each once.
    #[serde(with = "byte_strings")]
    pub payloads: Vec<Vec<u8>>,
}

/// Bytes that are not a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BlockDecodeError {
    /// Too long, not canonical, or bytes left over.
    #[error("not a block")]
    Malformed,
    /// Another version, kind or suite.
    #[error(transparent)]
    Header(#[from] HeaderUnexpected),
    /// The transactions or payloads are not those of the header.
    #[error("a block's body does not match its header")]
    BodyMismatch,
}

impl From<DecodeError> for BlockDecodeError {
    fn from(_: DecodeError) -> Self {
        Self::Malformed
    }
}

impl Block {
    /// BCS.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        codec::encode(self)
    }

    /// Decodes strictly and checks the body against the header's roots.
    ///
    /// # Errors
    /// [`BlockDecodeError`].
    pub fn decode(bytes: &[u8], max_len: usize) -> Result<Self, BlockDecodeError> {
        let block: Self = codec::decode(bytes, max_len)?;
        block.header.header.expect(Kind::BlockHeader)?;
        if !block.body_matches_header() {
            return Err(BlockDecodeError::BodyMismatch);
        }
        Ok(block)
    }

    /// The header's digest.
    #[must_use]
    pub fn digest(&self) -> Digest32 {
        self.header.digest()
    }

    /// Shows that the transaction at `position` is under the header's `tx_root`; `None` if there is none there.
    #[must_use]
    pub fn prove_transaction(&self, position: usize) -> Option<InclusionProof> {
        let hashes: Vec<Digest32> = self.transactions.iter().map(|t| merkle::leaf_hash(t)).collect();
        InclusionProof::prove(&hashes, position as u64).ok()
    }

    /// Shows that the payload at `position` is under the header's `payload_root`; `None` if there is none there.
    #[must_use]
    pub fn prove_payload(&self, position: usize) -> Option<InclusionProof> {
        let hashes: Vec<Digest32> = self.payloads.iter().map(|p| merkle::leaf_hash(sha256(p).as_bytes())).collect();
        InclusionProof::prove(&hashes, position as u64).ok()
    }

    /// Whether the header commits to these transactions and payloads.
    #[must_use]
    pub fn body_matches_header(&self) -> bool {
        let digests: Vec<Digest32> = self.payloads.iter().map(|p| sha256(p)).collect();
        tx_root(&self.transactions) == self.header.tx_root && payload_root(&digests) == self.header.payload_root
    }
}

/// Root over the transactions' bytes.
#[must_use]
pub fn tx_root(transactions: &[Vec<u8>]) -> Digest32 {
    merkle::root(transactions)
}

/// Root over payload digests.
#[must_use]
pub fn payload_root(digests: &[Digest32]) -> Digest32 {
    let leaves: Vec<&[u8; 32]> = digests.iter().map(Digest32::as_bytes).collect();
    merkle::root(&leaves)
}

/// Root over receipts.
#[must_use]
pub fn receipts_root(receipts: &[Receipt]) -> Digest32 {
    let leaves: Vec<Vec<u8>> = receipts.iter().map(Receipt::encode).collect();
    merkle::root(&leaves)
}

/// `Vec<Vec<u8>>` as a BCS sequence of byte strings (serde would visit every byte on its own).
mod byte_strings {
    use serde::ser::SerializeSeq;
    use serde::{Deserialize, Deserializer, Serializer};
    use serde_bytes::{ByteBuf, Bytes};

    pub(super) fn serialize<S: Serializer>(strings: &[Vec<u8>], serializer: S) -> Result<S::Ok, S::Error> {
        let mut sequence = serializer.serialize_seq(Some(strings.len()))?;
        for string in strings {
            sequence.serialize_element(Bytes::new(string))?;
        }
        sequence.end()
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Vec<u8>>, D::Error> {
        let strings = Vec::<ByteBuf>::deserialize(deserializer)?;
        Ok(strings.into_iter().map(ByteBuf::into_vec).collect())
    }
}
