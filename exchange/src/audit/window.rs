//! Seals the entries of a log window to the regulator and hides their number from everybody else.
//!
//! - **Place**: B9, entries -> [`LogPayload`] -> `LogQueries` or `LogReceipts`; B10 back
//! - **Shapes**: leaves are a power of two, at least the policy's `min_log_bucket`; the blob's length follows from that bucket
//!   and the mean length of an entry per leaf, rounded up to 128 bytes (at least 1,408 in the smallest bucket)
//! - **Invariants**: every leaf is an entry's or a padding leaf of the blob's seed; leaves stand in ascending order, which
//!   is a random order because they are hashes over secret salts
//! - **Errors**: [`WindowError`] (caller), [`BlobUnopenable`] (the member that logged), [`LogPayloadError`] (the sender)
//! - **Security**: everybody learns the bucket and that the window was logged. Entries that do not fit the budget stay for
//!   the next window. A screening's large entries show in the blob's length
//! - **Source**: DESIGN.md section 4, "Request, response, log"; specs/wire.md

use rand_core::{CryptoRng, RngCore};
use riskveil_crypto::codec::{self, DecodeError};
use riskveil_crypto::seal::{self, SEAL_OVERHEAD, SealPublicKey, SealSecretKey};
use riskveil_crypto::{Digest32, SecretBytes, merkle};
use serde::{Deserialize, Serialize};

use crate::audit::entry::{LogEntry, LogKind};
use crate::audit::leaf::pad_leaf;
use crate::dst;
use crate::ids::{AuditKeyId, MemberId, Window};
use crate::message::{MessageHeader, SUITE_1};
use crate::policy::Policy;

/// Bytes of blob per leaf in the smallest bucket: the longest receipt of a check, so that an empty window looks like a full one.
pub const MIN_BYTES_PER_LEAF: usize = 1_408;
const GRANULARITY: usize = 128;
const FRAME: usize = 256;
const KEY_ID_LEN: usize = 4;
const LENGTH_LEN: usize = 4;
/// Most leaves in a window.
pub const MAX_LEAVES: usize = 1 << 20;

/// What a `LogQueries` or `LogReceipts` carries beside it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogPayload {
    /// Ascending; a power of two of them.
    pub leaves: Vec<Digest32>,
    /// `audit_key_id u32 LE | HPKE`: the entries, sealed to the regulator.
    #[serde(with = "serde_bytes")]
    pub blob: Vec<u8>,
}

/// A payload that validators refuse.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LogPayloadError {
    /// Not BCS of a payload.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// The number of leaves is not a power of two from the policy's minimum on.
    #[error("a log window has {count} leaves; expected a power of two, at least {min}")]
    NotABucket {
        /// Leaves it has.
        count: usize,
        /// The policy's `min_log_bucket`.
        min: u32,
    },
    /// Leaves are not strictly ascending.
    #[error("the leaves of a log window are not strictly ascending")]
    NotAscending,
}

impl LogPayload {
    /// The payload's bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        codec::encode(self)
    }

    /// Reads a payload of at most `max_len` bytes and checks it.
    ///
    /// # Errors
    /// [`LogPayloadError`].
    pub fn decode(bytes: &[u8], max_len: usize, min_log_bucket: u32) -> Result<Self, LogPayloadError> {
        let payload: Self = codec::decode(bytes, max_len)?;
        payload.check(min_log_bucket)?;
        Ok(payload)
    }

    /// Checks bucket and order.
    ///
    /// # Errors
    /// [`LogPayloadError::NotABucket`], [`LogPayloadError::NotAscending`].
    pub fn check(&self, min_log_bucket: u32) -> Result<(), LogPayloadError> {
        let count = self.leaves.len();
        if !count.is_power_of_two() || count < min_log_bucket as usize || count > MAX_LEAVES {
            return Err(LogPayloadError::NotABucket { count, min: min_log_bucket });
        }
        if self.leaves.windows(2).any(|pair| pair[0] >= pair[1]) {
            return Err(LogPayloadError::NotAscending);
        }
        Ok(())
    }

    /// The Merkle root over the leaves.
    #[must_use]
    pub fn root(&self) -> Digest32 {
        merkle::root(&self.leaves)
    }

    /// The number of leaves, padding included.
    #[must_use]
    pub fn count(&self) -> u32 {
        u32::try_from(self.leaves.len()).unwrap_or(u32::MAX)
    }
}

/// Which windows of which member.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WindowScope {
    /// The chain.
    pub chain_id: Digest32,
    /// Whose log.
    pub member: MemberId,
    /// First window covered.
    pub first_window: Window,
    /// Last window covered.
    pub last_window: Window,
}

/// To whom a window is sealed.
#[derive(Clone, Copy, Debug)]
pub struct SealTo<'a> {
    /// The regulator's key by number.
    pub audit_key_id: AuditKeyId,
    /// Its HPKE key.
    pub key: &'a SealPublicKey,
}

/// A window that cannot be sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WindowError {
    /// One entry alone is above the budget; shapes that large must not be sent under this policy.
    #[error("one log entry makes a payload of {len} bytes; the budget is {budget}")]
    EntryTooLarge {
        /// Length of the payload it would make.
        len: usize,
        /// The budget.
        budget: usize,
    },
    /// HPKE refused.
    #[error("a log window could not be sealed")]
    SealFailed,
}

/// A blob that the regulator cannot read, or that is not about the window it stands in: finding `blob_unopenable`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the blob of a log window cannot be opened")]
pub struct BlobUnopenable;

/// The payload of a window and how many entries went into it.
#[derive(Clone, Debug)]
pub struct SealedWindow {
    /// What goes on chain.
    pub payload: LogPayload,
    /// The first `taken` entries are in it; the others wait for the next window.
    pub taken: usize,
}

/// What a window says once it is open.
#[derive(Debug)]
pub struct OpenedWindow<E> {
    /// The entries, in the order in which the member journalled them.
    pub entries: Vec<E>,
    /// The padding leaves that the blob accounts for.
    pub padding: Vec<Digest32>,
}

#[derive(Serialize)]
struct BodyRef<'a, E> {
    header: MessageHeader,
    scope: &'a WindowScope,
    padding_seed: [u8; 32],
    padding_count: u32,
    entries: &'a [E],
}

#[derive(Deserialize)]
struct Body<E> {
    header: MessageHeader,
    scope: WindowScope,
    padding_seed: [u8; 32],
    padding_count: u32,
    entries: Vec<E>,
}

/// The longest payload of a log window: half a block.
#[must_use]
pub fn payload_budget(policy: &Policy) -> usize {
    usize::try_from(policy.max_block_bytes / 2).unwrap_or(usize::MAX).saturating_sub(4_096)
}

/// Checks that a window can hold this entry alone. What cannot be logged must not be sent, and not be answered.
///
/// # Errors
/// [`WindowError::EntryTooLarge`].
pub fn check_loggable<E: LogEntry>(entry: &E, policy: &Policy) -> Result<(), WindowError> {
    fit(std::slice::from_ref(entry), policy.min_log_bucket, payload_budget(policy)).map(drop)
}

impl SealedWindow {
    /// Seals as many entries as fit the budget, in order.
    ///
    /// # Errors
    /// [`WindowError::EntryTooLarge`] when not even the first fits, [`WindowError::SealFailed`].
    pub fn build<E: LogEntry>(
        scope: &WindowScope,
        entries: &[E],
        to: SealTo<'_>,
        min_log_bucket: u32,
        budget: usize,
        rng: &mut (impl RngCore + CryptoRng),
    ) -> Result<Self, WindowError> {
        let size = fit(entries, min_log_bucket, budget)?;
        let entries = entries.get(..size.taken).unwrap_or(entries);
        let mut leaves: Vec<Digest32> = entries.iter().flat_map(LogEntry::leaves).collect();
        let padding_count = size.bucket - leaves.len();
        let seed = SecretBytes::random(rng);
        leaves.extend((0..padding_count).map(|index| pad_leaf(&seed, index as u32)));
        leaves.sort_unstable();

        let body = codec::encode(&BodyRef {
            header: MessageHeader::new(E::KIND.message_kind()),
            scope,
            padding_seed: seed.expose(|seed| *seed),
            padding_count: padding_count as u32,
            entries,
        });
        let mut plaintext = Vec::with_capacity(size.plaintext_len());
        plaintext.extend_from_slice(&(body.len() as u32).to_le_bytes());
        plaintext.extend_from_slice(&body);
        plaintext.resize(size.plaintext_len().max(plaintext.len()), 0);

        let info = info(&scope.chain_id, to.audit_key_id);
        let sealed = seal::seal(to.key, &info, &aad(E::KIND, scope), &plaintext, rng);
        let mut blob = to.audit_key_id.0.to_le_bytes().to_vec();
        blob.extend_from_slice(&sealed.map_err(|_| WindowError::SealFailed)?);
        Ok(Self { payload: LogPayload { leaves, blob }, taken: size.taken })
    }

    /// The number of the audit key that a blob is sealed to.
    #[must_use]
    pub fn audit_key_id(blob: &[u8]) -> Option<AuditKeyId> {
        blob.first_chunk::<KEY_ID_LEN>().map(|bytes| AuditKeyId(u32::from_le_bytes(*bytes)))
    }

    /// Opens a blob as the regulator.
    ///
    /// # Errors
    /// [`BlobUnopenable`]: another key, another scope, changed bytes, or entries that do not decode.
    pub fn open<E: LogEntry>(
        scope: &WindowScope,
        blob: &[u8],
        key: &SealSecretKey,
    ) -> Result<OpenedWindow<E>, BlobUnopenable> {
        let audit_key_id = Self::audit_key_id(blob).ok_or(BlobUnopenable)?;
        let info = info(&scope.chain_id, audit_key_id);
        let sealed = blob.get(KEY_ID_LEN..).ok_or(BlobUnopenable)?;
        let plaintext = seal::open(key, &info, &aad(E::KIND, scope), sealed).map_err(|_| BlobUnopenable)?;
        let (length, rest) = plaintext.split_first_chunk::<LENGTH_LEN>().ok_or(BlobUnopenable)?;
        let body = rest.get(..u32::from_le_bytes(*length) as usize).ok_or(BlobUnopenable)?;
        let body: Body<E> = codec::decode(body, body.len()).map_err(|_| BlobUnopenable)?;
        body.header.expect(E::KIND.message_kind()).map_err(|_| BlobUnopenable)?;
        if body.scope != *scope || body.padding_count as usize > MAX_LEAVES {
            return Err(BlobUnopenable);
        }
        let seed = SecretBytes::from_bytes(body.padding_seed);
        let padding = (0..body.padding_count).map(|index| pad_leaf(&seed, index)).collect();
        Ok(OpenedWindow { entries: body.entries, padding })
    }
}

/// What a prefix of the entries comes to.
#[derive(Clone, Copy)]
struct Size {
    taken: usize,
    bucket: usize,
    bytes_per_leaf: usize,
}

impl Size {
    fn of(taken: usize, leaves: usize, bytes: usize, min_log_bucket: u32) -> Self {
        let smallest = (min_log_bucket as usize).max(1);
        let bucket = leaves.max(smallest).next_power_of_two();
        let mean = bytes.div_ceil(leaves.max(1)).next_multiple_of(GRANULARITY);
        let bytes_per_leaf = if bucket == smallest { mean.max(MIN_BYTES_PER_LEAF) } else { mean };
        Self { taken, bucket, bytes_per_leaf }
    }

    const fn plaintext_len(self) -> usize {
        self.bucket * self.bytes_per_leaf + FRAME
    }

    const fn payload_len(self) -> usize {
        self.bucket * 32 + self.plaintext_len() + SEAL_OVERHEAD + KEY_ID_LEN + 16
    }
}

fn fit<E: LogEntry>(entries: &[E], min_log_bucket: u32, budget: usize) -> Result<Size, WindowError> {
    let (mut leaves, mut bytes) = (0, 0);
    let mut size = Size::of(0, 0, 0, min_log_bucket);
    for (index, entry) in entries.iter().enumerate() {
        leaves += entry.leaves().len();
        bytes += codec::encode(entry).len();
        let next = Size::of(index + 1, leaves, bytes, min_log_bucket);
        if next.payload_len() > budget || next.bucket > MAX_LEAVES {
            if index == 0 {
                return Err(WindowError::EntryTooLarge { len: next.payload_len(), budget });
            }
            break;
        }
        size = next;
    }
    Ok(size)
}

fn info(chain_id: &Digest32, audit_key_id: AuditKeyId) -> Vec<u8> {
    codec::encode(&(dst::LOG_INFO.as_str(), SUITE_1, chain_id, audit_key_id))
}

fn aad(kind: LogKind, scope: &WindowScope) -> Vec<u8> {
    codec::encode(&(dst::LOG_AAD.as_str(), kind, scope))
}
