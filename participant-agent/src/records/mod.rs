//! A publisher's records and the batches they went into: an encrypted journal, and the book in memory that it rebuilds.
//!
//! - **Place**: A2 (a record is durable before its file is acknowledged), A4 (rows are durable before a batch is signed)
//! - **Shapes**: records stand in the order of acceptance, each with a commitment seed of its own; a plan covers every record before
//!   `records_until` that is live, so what is not published yet is always a suffix. Records and the batches that are not on
//!   chain yet are in memory: some 700 bytes a record
//! - **Invariants**: a publication without its closing entry, and batches without their closing plan, never happened: nothing of
//!   them was acknowledged or signed. A planned row is never drawn again: after a restart the same bytes are sent
//! - **Errors**: [`RecordsError`] (disk)
//! - **Security**: personal data: in memory without name, mobile and source reference, on disk encrypted; nothing here prints
//! - **Source**: DESIGN.md sections 3 ("Fingerprint") and 10 ("Same record")

mod book;
mod commitments;
pub mod drawn;
mod stored;

use std::fmt;
use std::num::NonZero;
use std::ops::Range;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rand::rngs::OsRng;
use riskveil_crypto::at_rest::AtRestKey;
use riskveil_crypto::fingerprint::Tag;
use riskveil_crypto::{Digest32, SecretBytes};
use riskveil_exchange::ids::Period;
use riskveil_exchange::publish::{CommitmentSeed, RowBatch, commitment};
use riskveil_exchange::record::{Record, RejectReason};
use serde::{Deserialize, Serialize};

use self::book::{Book, PeriodBook, batches_of};
pub use self::commitments::{CommitmentPlan, MAX_PLAN_RECORDS, PlannedCommitments};
use self::drawn::{DrawProgress, DrawnRows};
use crate::ingest::csv::Ingested;
use crate::journal::{Journal, JournalError};

/// The journal's name, for its key and its file.
pub const JOURNAL_NAME: &str = "records";

/// Why the book cannot be kept. The records themselves are never the reason.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecordsError {
    /// The journal cannot be read or written.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// An entry of the journal does not mean what the entries before it allow.
    #[error("the record journal contradicts itself at entry {entry}; restore it from a backup")]
    Contradiction {
        /// Counted from 0.
        entry: usize,
    },
}

/// What a file brought, as it is acknowledged.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Publication {
    /// 32 hex digits: random, or of the caller's idempotency key.
    pub id: String,
    /// SHA-256 of the file.
    pub file: Digest32,
    /// Records taken.
    pub accepted: u64,
    /// Records that were there already.
    pub duplicates: u64,
    /// Wholly blank lines.
    pub blank_lines: u64,
    /// Columns that were ignored, by name.
    pub ignored_columns: Vec<String>,
    /// Rows refused, by number (from 1) and reason.
    pub rejected: Vec<(u64, RejectReason)>,
    /// The book's length after it.
    pub records_until: u64,
}

/// A batch as it is signed: its number in the period and its bytes.
#[derive(Clone, Serialize, Deserialize)]
pub struct PlannedBatch {
    /// From 0 in its period, without gaps.
    pub batch_seq: u32,
    /// Rows, padding included.
    pub count: u32,
    /// Merkle root over the rows.
    pub root: Digest32,
    /// The rows, 92 bytes each.
    #[serde(with = "serde_bytes")]
    pub payload: Vec<u8>,
}

/// A record and its commitment.
#[derive(Clone)]
pub struct HeldRecord {
    /// The record, without name, mobile and source reference after a restart.
    pub record: Record,
    /// Its commitment, and what ties each period's row to it, come from this.
    pub seed: CommitmentSeed,
    /// The commitment's leaf: computed once, when the record is accepted, for the rows of all periods.
    pub leaf: Digest32,
}

impl HeldRecord {
    /// These records, each with a fresh commitment; on all cores.
    #[must_use]
    pub fn new_all(records: Vec<Record>) -> Vec<HeldRecord> {
        let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
        let seeds: Vec<CommitmentSeed> = records.iter().map(|_| CommitmentSeed::random(&mut OsRng)).collect();
        let pairs: Vec<(&Record, &CommitmentSeed)> = records.iter().zip(&seeds).collect();
        let share = pairs.len().div_ceil(cores).max(1);
        let leaves: Vec<Digest32> = std::thread::scope(|scope| {
            let threads: Vec<_> = pairs.chunks(share).map(|pairs| scope.spawn(|| commitment::leaves(pairs))).collect();
            let join = |thread: std::thread::ScopedJoinHandle<'_, Vec<Digest32>>| {
                thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            };
            threads.into_iter().flat_map(join).collect()
        });
        drop(pairs);
        let held = records.into_iter().zip(seeds).zip(leaves);
        held.map(|((record, seed), leaf)| HeldRecord { record, seed, leaf }).collect()
    }
}

/// A record that waits to be published under a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PendingRow {
    /// Its place in the book.
    pub place: u64,
    /// The slot it takes.
    pub slot: u8,
}

/// A row of this publisher, and the record behind it.
#[derive(Clone)]
pub struct OwnRow {
    /// The record.
    pub held: HeldRecord,
    /// The slot of its identifier that the row stands in.
    pub slot: u8,
    /// The serial of the key it was made with.
    pub key_serial: u32,
    /// One of these commitment batches has the record's leaf; none while they are not planned.
    pub commitment_batches: Option<Range<u32>>,
}

/// Records that wait to be published under a key, with the slots they take.
pub struct PendingRows {
    /// In the order of the book.
    pub records: Vec<PendingRow>,
    /// The book's length they reach to.
    pub records_until: u64,
    /// The number of the next batch.
    pub next_batch: u32,
}

/// A publisher's records and plans; a cheap clone handle.
#[derive(Clone)]
pub struct RecordBook {
    inner: Arc<Mutex<Book>>,
    drawn: Arc<Mutex<DrawnRows>>,
}

impl RecordBook {
    /// Opens `records.log` and `drawn.log` in the directory of journals and rebuilds the book; `key_of` is asked for the key of a
    /// journal by its name.
    ///
    /// # Errors
    /// [`RecordsError`] when a journal is damaged or contradicts itself.
    pub fn open(journals: &Path, key_of: impl Fn(&'static str) -> AtRestKey) -> Result<Self, RecordsError> {
        let opened = Journal::open(journals, JOURNAL_NAME, key_of(JOURNAL_NAME))?;
        let book = Book::rebuild(opened.journal, opened.entries)?;
        let drawn = DrawnRows::open(journals, key_of(drawn::JOURNAL_NAME))?;
        Ok(Self { inner: Arc::new(Mutex::new(book)), drawn: Arc::new(Mutex::new(drawn)) })
    }

    /// How far the rows that are being drawn are; none while they are sorted and when there are none.
    #[must_use]
    pub fn drawing(&self) -> Option<DrawProgress> {
        self.drawn.try_lock().ok()?.progress()
    }

    /// The rows that are drawn and not planned.
    pub fn drawn(&self) -> MutexGuard<'_, DrawnRows> {
        self.drawn.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the records of a file that are new; durable when it returns. The same file again changes nothing, the same id
    /// again is the same publication.
    ///
    /// # Errors
    /// [`RecordsError::Journal`] when the disk refuses; then nothing of the file was taken.
    pub fn accept(&self, id: String, digest: Digest32, file: Ingested) -> Result<Publication, RecordsError> {
        if let Some(same) = self.lock().publications.iter().find(|publication| publication.id == id) {
            return Ok(same.clone());
        }
        let Ingested { accepted, rejected, duplicates, blank, ignored_columns } = file;
        let (numbers, records): (Vec<u64>, Vec<Record>) = accepted.into_iter().unzip();
        let arrived = numbers.into_iter().zip(HeldRecord::new_all(records)).collect();
        let rest = Ingested { accepted: Vec::new(), rejected, duplicates, blank, ignored_columns };
        let mut inner = self.lock();
        match inner.publications.iter().find(|publication| publication.id == id) {
            Some(same) => Ok(same.clone()),
            None => inner.accept(id, digest, arrived, rest),
        }
    }

    /// The records that no plan under this key covers, with their slots. `is_live` leaves out those that are no longer held.
    #[must_use]
    pub fn pending(&self, period: Period, key_serial: u32, is_live: impl Fn(&Record) -> bool) -> PendingRows {
        self.lock().pending(period, key_serial, is_live)
    }

    /// Makes a plan durable. After this its batches may be signed.
    ///
    /// # Errors
    /// [`RecordsError::Journal`] when the disk refuses; then there is no plan.
    pub fn plan(
        &self,
        period: Period,
        key_serial: u32,
        pending: &PendingRows,
        tags: &[Tag],
        batches: Vec<RowBatch>,
        padding_seed: &SecretBytes<32>,
    ) -> Result<(), RecordsError> {
        self.lock().plan(period, key_serial, pending, tags, batches, padding_seed)
    }

    /// The records of these rows, in their order.
    #[must_use]
    pub fn held_of(&self, rows: &[PendingRow]) -> Vec<HeldRecord> {
        let inner = self.lock();
        rows.iter().filter_map(|row| inner.held(row.place).cloned()).collect()
    }

    /// The record behind a row that was planned here in this period; plans are kept until the period after it is over.
    #[must_use]
    pub fn by_tag(&self, period: Period, tag: &Tag) -> Option<OwnRow> {
        self.lock().by_tag(period, tag)
    }

    /// Of the book's first `until` records, those whose commitments are planned next; none when there is nothing to plan.
    #[must_use]
    pub fn commitments_due(&self, until: u64) -> Option<Range<u64>> {
        self.lock().commitments.due(until)
    }

    /// The number of the first batch of the next plan of commitments.
    #[must_use]
    pub fn next_commitment_batch(&self) -> u32 {
        self.lock().commitments.next_batch()
    }

    /// The records at these places.
    #[must_use]
    pub fn held(&self, places: Range<u64>) -> Vec<HeldRecord> {
        self.lock().held_in(places).to_vec()
    }

    /// Makes a plan of commitments durable. After this its batches may be signed.
    ///
    /// # Errors
    /// [`RecordsError::Journal`] when the disk refuses; then there is no plan.
    pub fn plan_commitments(&self, plan: CommitmentPlan) -> Result<(), RecordsError> {
        self.lock().plan_commitments(plan)
    }

    /// Every plan of commitments, in order.
    #[must_use]
    pub fn commitment_plans(&self) -> Vec<CommitmentPlan> {
        self.lock().commitments.plans().to_vec()
    }

    /// The records that every plan under this key reaches to.
    #[must_use]
    pub fn planned_until(&self, period: Period, key_serial: u32) -> u64 {
        self.lock().periods.get(&(period, key_serial)).map_or(0, |book| book.records_until)
    }

    /// The places of a publication's records.
    #[must_use]
    pub fn places_of(&self, id: &str) -> Option<Range<u64>> {
        let inner = self.lock();
        let at = inner.publications.iter().position(|publication| publication.id == id)?;
        let before = at.checked_sub(1).map_or(0, |before| inner.publications[before].records_until);
        Some(before..inner.publications[at].records_until)
    }

    /// A planned batch under this key.
    #[must_use]
    pub fn batch(&self, period: Period, key_serial: u32, batch_seq: u32) -> Option<PlannedBatch> {
        let inner = self.lock();
        inner.periods.get(&(period, key_serial))?.batches.get(usize::try_from(batch_seq).ok()?).cloned()
    }

    /// How many batches are planned under this key.
    #[must_use]
    pub fn planned(&self, period: Period, key_serial: u32) -> u32 {
        self.lock().periods.get(&(period, key_serial)).map_or(0, PeriodBook::planned)
    }

    /// Frees the payloads of batches that are on chain, and the plans of periods that are over.
    pub fn release(&self, period: Period, key_serial: u32, below: u32) {
        let mut inner = self.lock();
        inner.forget_before(period);
        if let Some(book) = inner.periods.get_mut(&(period, key_serial)) {
            for batch in book.batches.iter_mut().filter(|batch| batch.batch_seq < below) {
                batch.payload = Vec::new();
            }
        }
    }

    /// Whether anything was ever published here, be it an empty file.
    #[must_use]
    pub fn has_publications(&self) -> bool {
        !self.lock().publications.is_empty()
    }

    /// Whether every record is covered by a plan under this key.
    #[must_use]
    pub fn covered(&self, period: Period, key_serial: u32) -> bool {
        let inner = self.lock();
        inner.periods.get(&(period, key_serial)).map_or(0, |book| book.records_until) == inner.records.len() as u64
    }

    /// A publication, and under this key the numbers `[first, end)` of the batches that carried it, once planned.
    #[must_use]
    pub fn publication(&self, id: &str, period: Period, key_serial: u32) -> Option<(Publication, Option<(u32, u32)>)> {
        let inner = self.lock();
        let at = inner.publications.iter().position(|publication| publication.id == id)?;
        let before = at.checked_sub(1).map_or(0, |before| inner.publications[before].records_until);
        let publication = inner.publications[at].clone();
        let plans = inner.periods.get(&(period, key_serial)).map(|book| book.plans.as_slice()).unwrap_or_default();
        let range = batches_of(plans, before, publication.records_until);
        Some((publication, range))
    }

    /// Records held.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lock().records.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn lock(&self) -> MutexGuard<'_, Book> {
        // every change of the book is applied after its journal entry in one go, so a panic elsewhere leaves it whole
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for RecordBook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RecordBook({} records)", self.len())
    }
}

impl fmt::Debug for PendingRows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PendingRows({} records)", self.records.len())
    }
}

impl fmt::Debug for HeldRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HeldRecord(..)")
    }
}

impl fmt::Debug for OwnRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OwnRow(..)")
    }
}

impl fmt::Debug for PlannedBatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PlannedBatch({}, {} rows)", self.batch_seq, self.count)
    }
}

#[cfg(test)]
mod tests;
