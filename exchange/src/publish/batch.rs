//! Packs rows into batches whose order and size tell an observer nothing about the records.
//!
//! - **Place**: A4, `[Row]` -> `[RowBatch]` -> `chain::tx::PublishRows`
//! - **Shapes**: a batch has 64 * 2^k rows, at most `max_rows_per_tx`; its payload is 92 bytes a row, concatenated
//! - **Invariants**: tags strictly ascend within a batch and over the batches of one plan, so the batches of a snapshot tile
//!   the tag space and absence needs one batch; only [`plan_batches`] constructs a [`RowBatch`]
//! - **Errors**: `DuplicateTag` (caller: a slot was used twice, or draw another padding seed), `TooManyRows` (caller: split)
//! - **Security**: a padding row looks like a row to everyone without the padding seed. Leaks to all members: publisher,
//!   period, padded size, time
//! - **Source**: DESIGN.md sections 3 ("Fingerprint") and 5; specs/wire.md

use riskveil_crypto::label::{ROW_LEN, Row, padding_row};
use riskveil_crypto::{Digest32, SecretBytes, digest, merkle};

use crate::publish::error::PublishError;

/// Rows in the smallest batch.
pub const MIN_BUCKET: u32 = 64;
/// Most rows in one plan, padding included.
pub const MAX_PLAN_ROWS: u64 = 1 << 30;

/// A sorted, padded batch of rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowBatch {
    rows: Vec<Row>,
}

impl RowBatch {
    /// The rows, strictly ascending by tag; a bucket of them.
    #[must_use]
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// The number of rows, padding included.
    #[must_use]
    pub fn count(&self) -> u32 {
        // plan_batches cuts at max_rows, which is a u32
        u32::try_from(self.rows.len()).unwrap_or(u32::MAX)
    }

    /// The payload: the rows one after the other, 92 bytes each.
    #[must_use]
    pub fn payload(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.rows.len() * ROW_LEN);
        for row in &self.rows {
            bytes.extend_from_slice(&row.to_bytes());
        }
        bytes
    }

    /// The Merkle root over the rows (RFC 9162 hashing, one leaf a row).
    #[must_use]
    pub fn root(&self) -> Digest32 {
        let leaves: Vec<Digest32> = self.rows.iter().map(|row| merkle::leaf_hash(&row.to_bytes())).collect();
        merkle::root_of_hashes(&leaves)
    }

    /// SHA-256 of the payload.
    #[must_use]
    pub fn digest(&self) -> Digest32 {
        digest::sha256(&self.payload())
    }
}

/// The least 64 * 2^k that holds `count` rows; 64 for none, saturating at 2^31.
#[must_use]
pub const fn bucket(count: u32) -> u32 {
    let mut size = MIN_BUCKET;
    while size < count && size < 1 << 31 {
        size *= 2;
    }
    size
}

/// Sorts rows, fills them up with padding rows and cuts them into batches of `max_rows` and one last bucket.
///
/// No rows at all give one batch of 64 padding rows. Padding row i is `padding_row(padding_seed, i)`; a seed is used for one
/// plan only and journalled by the caller.
///
/// # Errors
/// `DuplicateTag`, `TooManyRows`, `NotABucket` when `max_rows` is not a bucket size.
pub fn plan_batches(
    mut rows: Vec<Row>,
    padding_seed: &SecretBytes<32>,
    max_rows: u32,
) -> Result<Vec<RowBatch>, PublishError> {
    if max_rows != bucket(max_rows) {
        return Err(PublishError::NotABucket { count: max_rows, max: max_rows });
    }
    let too_many = PublishError::TooManyRows { max: MAX_PLAN_ROWS };
    let count = u32::try_from(rows.len()).map_err(|_| too_many)?;
    let full = count / max_rows;
    let rest = count % max_rows;
    let padded =
        u64::from(full) * u64::from(max_rows) + if rest > 0 || full == 0 { u64::from(bucket(rest)) } else { 0 };
    if padded > MAX_PLAN_ROWS {
        return Err(too_many);
    }
    let padding = u32::try_from(padded - u64::from(count)).map_err(|_| too_many)?;
    rows.reserve_exact(padding as usize);
    rows.extend((0..padding).map(|index| padding_row(padding_seed, index)));
    rows.sort_unstable_by_key(|row| row.tag);
    if rows.windows(2).any(|pair| pair[0].tag == pair[1].tag) {
        return Err(PublishError::DuplicateTag);
    }
    Ok(rows.chunks(max_rows as usize).map(|chunk| RowBatch { rows: chunk.to_vec() }).collect())
}
