//! Packs rows into batches whose order and size tell an observer nothing about the records.
//!
//! - **Place**: A4, `[Row]` -> `[RowBatch]` -> `chain::tx::PublishRows`
//! - **Shapes**: a batch has 64 * 2^k rows, at most `max_rows_per_tx`; its payload is 92 bytes a row, concatenated
//! - **Invariants**: tags strictly ascend within a batch and over the batches of one plan, so the batches of a snapshot tile
//!   the tag space and absence needs one batch; only a [`BatchPlanner`] constructs a [`RowBatch`]
//! - **Errors**: `DuplicateTag` (caller: a slot was used twice, or draw another padding seed), `TooManyRows` (caller: split)
//! - **Security**: a padding row looks like a row to everyone without the padding seed. Leaks to all members: publisher,
//!   period, padded size, time
//! - **Source**: DESIGN.md sections 3 ("Fingerprint") and 5; specs/wire.md

use riskveil_crypto::fingerprint::Tag;
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
        // the planner cuts at max_rows, which is a u32
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
    rows: Vec<Row>,
    padding_seed: &SecretBytes<32>,
    max_rows: u32,
) -> Result<Vec<RowBatch>, PublishError> {
    let mut planner = BatchPlanner::new(rows.len() as u64, padding_seed, max_rows)?;
    let mut batches = planner.take(rows)?;
    batches.extend(planner.finish()?);
    Ok(batches)
}

/// [`plan_batches`] of more rows than are held at once: they come in parts, each of a range of tags above the one before.
pub struct BatchPlanner {
    max_rows: usize,
    /// Rows that were not taken yet.
    awaited: u64,
    /// Descending by tag, so that the lowest is taken off the end.
    padding: Vec<Row>,
    /// Ascending; fewer than a batch.
    waiting: Vec<Row>,
    highest: Option<Tag>,
}

impl BatchPlanner {
    /// A plan of `count` rows, padding not counted.
    ///
    /// # Errors
    /// `TooManyRows`, `NotABucket` when `max_rows` is not a bucket size.
    pub fn new(count: u64, padding_seed: &SecretBytes<32>, max_rows: u32) -> Result<Self, PublishError> {
        if max_rows != bucket(max_rows) {
            return Err(PublishError::NotABucket { count: max_rows, max: max_rows });
        }
        let too_many = PublishError::TooManyRows { max: MAX_PLAN_ROWS };
        let (full, rest) = (count / u64::from(max_rows), count % u64::from(max_rows));
        // the rest is below max_rows
        let last = if rest > 0 || full == 0 { bucket(rest as u32) } else { 0 };
        if full.saturating_mul(u64::from(max_rows)).saturating_add(u64::from(last)) > MAX_PLAN_ROWS {
            return Err(too_many);
        }
        let padding = u32::try_from(u64::from(last).saturating_sub(rest)).map_err(|_| too_many)?;
        let mut padding: Vec<Row> = (0..padding).map(|index| padding_row(padding_seed, index)).collect();
        padding.sort_unstable_by_key(|row| std::cmp::Reverse(row.tag));
        Ok(Self { max_rows: max_rows as usize, awaited: count, padding, waiting: Vec::new(), highest: None })
    }

    /// Takes rows whose tags are all above those taken before; returns the batches that are full now.
    ///
    /// # Errors
    /// `DuplicateTag`, also for a tag below one taken before; `TooManyRows` for more rows than the plan is of.
    pub fn take(&mut self, mut rows: Vec<Row>) -> Result<Vec<RowBatch>, PublishError> {
        self.awaited =
            self.awaited.checked_sub(rows.len() as u64).ok_or(PublishError::TooManyRows { max: MAX_PLAN_ROWS })?;
        rows.sort_unstable_by_key(|row| row.tag);
        let Some(last) = rows.last().map(|row| row.tag) else { return Ok(Vec::new()) };
        // padding up to the last tag belongs among these rows
        while let Some(row) = self.padding.pop_if(|row| row.tag <= last) {
            rows.push(row);
        }
        rows.sort_unstable_by_key(|row| row.tag);
        self.append(rows)
    }

    /// The batches of what is left.
    ///
    /// # Errors
    /// `DuplicateTag`.
    ///
    /// # Panics
    /// When fewer rows were taken than the plan is of, which is a mistake of the caller.
    pub fn finish(mut self) -> Result<Vec<RowBatch>, PublishError> {
        assert_eq!(self.awaited, 0, "a plan is finished when all its rows were taken");
        let padding: Vec<Row> = std::mem::take(&mut self.padding).into_iter().rev().collect();
        let mut batches = self.append(padding)?;
        if !self.waiting.is_empty() {
            batches.push(RowBatch { rows: self.waiting });
        }
        Ok(batches)
    }

    fn append(&mut self, rows: Vec<Row>) -> Result<Vec<RowBatch>, PublishError> {
        let mut batches = Vec::with_capacity(rows.len() / self.max_rows + 1);
        for row in rows {
            if self.highest.is_some_and(|highest| highest >= row.tag) {
                return Err(PublishError::DuplicateTag);
            }
            self.highest = Some(row.tag);
            self.waiting.push(row);
            if self.waiting.len() == self.max_rows {
                batches
                    .push(RowBatch { rows: std::mem::replace(&mut self.waiting, Vec::with_capacity(self.max_rows)) });
            }
        }
        Ok(batches)
    }
}

impl std::fmt::Debug for BatchPlanner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "BatchPlanner({} rows awaited)", self.awaited)
    }
}
