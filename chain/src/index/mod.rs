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
pub mod rows;
pub mod segment;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use riskveil_crypto::digest::Digest32;
use riskveil_crypto::fingerprint::Tag;
use riskveil_crypto::label::Row;
use riskveil_exchange::ids::{Height, MemberId, Period};

use crate::index::commitments::CommitmentFileError;
pub use crate::index::rows::Rows;
use crate::index::rows::Run;
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

/// Segments of one publisher and period.
#[derive(Debug, Default)]
struct Held {
    /// By batch number.
    segments: Vec<Option<Arc<Segment>>>,
    /// The number of the first batch that is not held.
    first_gap: usize,
    /// Of the batches before the first gap; made when it is asked for.
    runs: Option<Arc<Vec<Run>>>,
}

impl Held {
    /// Batches held without a gap from the first.
    fn whole(&self) -> u32 {
        u32::try_from(self.first_gap).unwrap_or(u32::MAX)
    }

    fn insert(&mut self, batch_seq: usize, segment: Arc<Segment>) {
        if self.segments.len() <= batch_seq {
            self.segments.resize(batch_seq + 1, None);
        }
        if let Some(slot) = self.segments.get_mut(batch_seq) {
            *slot = Some(segment);
        }
        while self.segments.get(self.first_gap).is_some_and(Option::is_some) {
            self.first_gap += 1;
        }
        self.runs = None;
    }

    fn runs(&mut self) -> Arc<Vec<Run>> {
        let whole = self.segments.get(..self.first_gap).unwrap_or_default();
        self.runs.get_or_insert_with(|| Arc::new(rows::runs(whole.iter().flatten()))).clone()
    }
}

/// Every segment held; a cheap clone handle.
#[derive(Clone, Debug)]
pub struct RowIndex {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    dir: PathBuf,
    chain_id: Digest32,
    segments: RwLock<BTreeMap<(Period, MemberId), Held>>,
}

impl RowIndex {
    /// An index that holds nothing yet.
    ///
    /// # Errors
    /// [`IndexError::Segment`] when the directory cannot be made.
    pub fn empty(dir: &Path, chain_id: Digest32) -> Result<Self, IndexError> {
        segment::create_dir(dir)?;
        Ok(Self { shared: Arc::new(Shared { dir: dir.to_owned(), chain_id, segments: RwLock::default() }) })
    }

    /// Opens every segment that the state counts. Returns, besides the index, the lowest height whose block carries a
    /// batch that is missing or damaged; damaged files are moved aside.
    ///
    /// # Errors
    /// [`IndexError::Segment`] when the directory cannot be made or a damaged file not be moved.
    pub fn open(dir: &Path, chain_id: Digest32, state: &dyn StateRead) -> Result<(Self, Option<Height>), IndexError> {
        let index = Self::empty(dir, chain_id)?;
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
        Ok(self.rows(period, publisher, batch_count)?.lookup(tag))
    }

    /// The rows of batches `0..batch_count`, for any number of look-ups: they take no lock and see no later batch.
    ///
    /// # Errors
    /// [`IndexError::BatchNotHeld`] if any of these batches is not held.
    pub fn rows(&self, period: Period, publisher: &MemberId, batch_count: u32) -> Result<Rows, IndexError> {
        let not_held = |batch_seq| IndexError::BatchNotHeld { period, publisher: publisher.clone(), batch_seq };
        let mut all = self.shared.segments.write().unwrap_or_else(PoisonError::into_inner);
        let Some(held) = all.get_mut(&(period, publisher.clone())) else {
            return if batch_count == 0 { Ok(Rows::default()) } else { Err(not_held(0)) };
        };
        if held.whole() < batch_count {
            return Err(not_held(held.whole()));
        }
        Ok(Rows { runs: held.runs(), batch_count })
    }

    /// Whether every batch of `0..batch_count` is held.
    #[must_use]
    pub fn holds(&self, period: Period, publisher: &MemberId, batch_count: u32) -> bool {
        let all = self.shared.segments.read().unwrap_or_else(PoisonError::into_inner);
        all.get(&(period, publisher.clone())).map_or(0, Held::whole) >= batch_count
    }

    /// The rows of a held batch, 92 bytes each.
    #[must_use]
    pub fn segment(&self, period: Period, publisher: &MemberId, batch_seq: u32) -> Option<Arc<Segment>> {
        let all = self.shared.segments.read().unwrap_or_else(PoisonError::into_inner);
        all.get(&(period, publisher.clone()))?.segments.get(usize::try_from(batch_seq).ok()?)?.clone()
    }

    /// Rows held, padding included.
    #[must_use]
    pub fn rows_held(&self) -> u64 {
        let all = self.shared.segments.read().unwrap_or_else(PoisonError::into_inner);
        all.values().flat_map(|held| held.segments.iter().flatten()).map(|s| u64::from(s.count())).sum()
    }

    fn insert(&self, name: &SegmentName, segment: Segment) {
        let mut all = self.shared.segments.write().unwrap_or_else(PoisonError::into_inner);
        let held = all.entry((name.period, name.publisher.clone())).or_default();
        held.insert(name.batch_seq as usize, Arc::new(segment));
    }
}
