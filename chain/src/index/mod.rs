//! The replicated rows: one immutable, checksummed, memory-mapped segment per batch, looked up by tag; and the files of
//! commitments ([`commitments`]).
//!
//! - **Place**: A8: applied batch -> segment; B6: tag -> row or absence, locally
//! - **Shapes**: `DIR/p<period>/<publisher>-<batch>.rows`; format in [`segment`]
//! - **Invariants**: a held segment passed its checksum and has the root, digest count and place that the state records;
//!   a segment is never changed, only written whole, synced and renamed into place
//! - **Errors**: [`IndexError`]: a counted batch is not held (replay brings it), or the disk
//! - **Security**: look-ups touch memory only, so nothing outside the machine learns of them
//! - **Source**: DESIGN.md sections 4 (condition 4 of `clear`) and 5 (storage); ADR 0003

pub mod commitments;
mod durable;
pub mod segment;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use riskveil_crypto::digest::Digest32;
use riskveil_crypto::fingerprint::Tag;
use riskveil_crypto::label::Row;
use riskveil_exchange::ids::{Height, MemberId, Period};

use crate::index::commitments::CommitmentFileError;
use crate::index::segment::{Segment, SegmentError, SegmentName};
use crate::state::BatchState;
use crate::state::view::StateRead;

/// A row that a look-up found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundRow {
    /// The row.
    pub row: Row,
    /// Its batch.
    pub batch_seq: u32,
    /// Its place in the batch, from 0.
    pub position: u32,
    /// Whether a later batch withdrew its tag. (Tombstone segments are reserved in the format; no transaction makes one.)
    pub withdrawn: bool,
}

/// Why a look-up or a write failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IndexError {
    /// The state counts a batch that this replica does not hold.
    #[error("batch {batch_seq} of {publisher} in period {period} is not held")]
    BatchNotHeld {
        /// The period.
        period: Period,
        /// The publisher.
        publisher: MemberId,
        /// The lowest batch that is missing.
        batch_seq: u32,
    },
    /// A segment could not be written.
    #[error(transparent)]
    Segment(#[from] SegmentError),
    /// The state counts a batch of commitments that this replica does not hold.
    #[error("commitment batch {batch_seq} of {publisher} is not held")]
    CommitmentsNotHeld {
        /// The publisher.
        publisher: MemberId,
        /// The batch.
        batch_seq: u32,
    },
    /// Commitments could not be written or read.
    #[error(transparent)]
    Commitments(#[from] CommitmentFileError),
}

/// Segments of one publisher and period, by batch number.
type Segments = Vec<Option<Arc<Segment>>>;

/// Every segment held; a cheap clone handle.
#[derive(Clone, Debug)]
pub struct RowIndex {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    dir: PathBuf,
    chain_id: Digest32,
    segments: RwLock<BTreeMap<(Period, MemberId), Segments>>,
}

impl RowIndex {
    /// Opens every segment that the state counts. Returns, besides the index, the lowest height whose block carries a
    /// batch that is missing or damaged; damaged files are moved aside.
    ///
    /// # Errors
    /// [`IndexError::Segment`] when the directory cannot be made or a damaged file not be moved.
    pub fn open(dir: &Path, chain_id: Digest32, state: &dyn StateRead) -> Result<(Self, Option<Height>), IndexError> {
        segment::create_dir(dir)?;
        let shared = Shared { dir: dir.to_owned(), chain_id, segments: RwLock::default() };
        let index = Self { shared: Arc::new(shared) };
        let mut first_missing: Option<Height> = None;
        for (period, publisher, batch_seq, batch) in state.batches() {
            let name = SegmentName { chain_id, period, publisher, batch_seq };
            match Segment::open(dir, &name, &batch.root, batch.count) {
                Ok(segment) => index.insert(&name, segment),
                Err(problem) => {
                    segment::move_aside(dir, &name)?;
                    tracing::warn!(%period, batch_seq, height = %batch.height, %problem, "segment will be rebuilt");
                    first_missing = Some(first_missing.map_or(batch.height, |h| h.min(batch.height)));
                }
            }
        }
        Ok((index, first_missing))
    }

    /// Writes a batch durably and holds it; does nothing if it is held, and takes a file that is already whole.
    ///
    /// # Errors
    /// [`IndexError::Segment`]: the disk.
    pub fn add(
        &self,
        period: Period,
        publisher: &MemberId,
        batch_seq: u32,
        batch: &BatchState,
        rows: &[u8],
    ) -> Result<(), IndexError> {
        if self.segment(period, publisher, batch_seq).is_some() {
            return Ok(());
        }
        let Shared { dir, chain_id, .. } = self.shared.as_ref();
        let name = SegmentName { chain_id: *chain_id, period, publisher: publisher.clone(), batch_seq };
        let segment = match Segment::open(dir, &name, &batch.root, batch.count) {
            Ok(segment) => segment,
            Err(_) => {
                segment::write(dir, &name, &batch.root, rows)?;
                Segment::open(dir, &name, &batch.root, batch.count)?
            }
        };
        self.insert(&name, segment);
        Ok(())
    }

    /// The row with this tag among batches `0..batch_count`; the lowest (batch, position) counts.
    ///
    /// # Errors
    /// [`IndexError::BatchNotHeld`] if any of these batches is not held, whether or not another has the tag.
    pub fn lookup(
        &self,
        period: Period,
        publisher: &MemberId,
        batch_count: u32,
        tag: &Tag,
    ) -> Result<Option<FoundRow>, IndexError> {
        let all = self.shared.segments.read().unwrap_or_else(PoisonError::into_inner);
        let held = all.get(&(period, publisher.clone())).map_or(&[][..], Vec::as_slice);
        if let Some(batch_seq) = first_gap(held, batch_count) {
            return Err(IndexError::BatchNotHeld { period, publisher: publisher.clone(), batch_seq });
        }
        for (batch_seq, segment) in (0..batch_count).zip(held.iter().flatten()) {
            if let Some((position, row)) = segment.lookup(tag) {
                return Ok(Some(FoundRow { row, batch_seq, position, withdrawn: false }));
            }
        }
        Ok(None)
    }

    /// Whether every batch of `0..batch_count` is held.
    #[must_use]
    pub fn holds(&self, period: Period, publisher: &MemberId, batch_count: u32) -> bool {
        let all = self.shared.segments.read().unwrap_or_else(PoisonError::into_inner);
        let held = all.get(&(period, publisher.clone())).map_or(&[][..], Vec::as_slice);
        first_gap(held, batch_count).is_none()
    }

    /// The rows of a held batch, 92 bytes each.
    #[must_use]
    pub fn segment(&self, period: Period, publisher: &MemberId, batch_seq: u32) -> Option<Arc<Segment>> {
        let all = self.shared.segments.read().unwrap_or_else(PoisonError::into_inner);
        all.get(&(period, publisher.clone()))?.get(usize::try_from(batch_seq).ok()?)?.clone()
    }

    /// Rows held, padding included.
    #[must_use]
    pub fn rows_held(&self) -> u64 {
        let all = self.shared.segments.read().unwrap_or_else(PoisonError::into_inner);
        all.values().flatten().flatten().map(|s| u64::from(s.count())).sum()
    }

    fn insert(&self, name: &SegmentName, segment: Segment) {
        let mut all = self.shared.segments.write().unwrap_or_else(PoisonError::into_inner);
        let held = all.entry((name.period, name.publisher.clone())).or_default();
        let at = name.batch_seq as usize;
        if held.len() <= at {
            held.resize(at + 1, None);
        }
        if let Some(slot) = held.get_mut(at) {
            *slot = Some(Arc::new(segment));
        }
    }
}

/// The lowest of `0..batch_count` that is not held.
fn first_gap(held: &[Option<Arc<Segment>>], batch_count: u32) -> Option<u32> {
    (0..batch_count).find(|seq| held.get(*seq as usize).is_none_or(Option::is_none))
}
