//! A publisher's records and the batches they went into: an encrypted journal, and the book in memory that it rebuilds.
//!
//! - **Place**: A2 (a record is durable before its file is acknowledged), A4 (rows are durable before a batch is signed)
//! - **Shapes**: records stand in the order of acceptance; a plan covers every record before `records_until` that is live, so
//!   what is not published yet is always a suffix
//! - **Invariants**: a publication without its closing entry, and batches without their closing plan, never happened: nothing of
//!   them was acknowledged or signed. A planned row is never drawn again: after a restart the same bytes are sent
//! - **Errors**: [`RecordsError`] (disk)
//! - **Security**: personal data: in memory without name, mobile and source reference, on disk encrypted; nothing here prints
//! - **Source**: DESIGN.md sections 3 ("Fingerprint") and 10 ("Same record")

mod stored;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use riskveil_crypto::at_rest::AtRestKey;
use riskveil_crypto::fingerprint::MAX_SLOTS;
use riskveil_crypto::{Digest32, SecretBytes, digest};
use riskveil_exchange::ids::Period;
use riskveil_exchange::publish::{RowBatch, SlotBook};
use riskveil_exchange::record::{MAX_RECORDS_PER_IDENTIFIER, Record, RejectReason};
use serde::{Deserialize, Serialize};

use self::stored::{StoredRecord, load, store};

use crate::ingest::csv::Ingested;
use crate::journal::{Journal, JournalError};

/// The journal's name, for its key and its file.
pub const JOURNAL_NAME: &str = "records";
/// Records in one journal entry.
const RECORDS_PER_FRAME: usize = 4096;
/// (record, slot) pairs in one journal entry.
const SLOTS_PER_FRAME: usize = 65_536;

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

/// Records that wait to be published under a key, with the slots they take.
pub struct PendingRows {
    /// (place in the book, record, slot).
    pub records: Vec<(u64, Record, u8)>,
    /// The book's length they reach to.
    pub records_until: u64,
    /// The number of the next batch.
    pub next_batch: u32,
}

/// A publisher's records and plans.
pub struct RecordBook {
    inner: Mutex<Inner>,
}

struct Inner {
    journal: Journal<Entry>,
    records: Vec<Record>,
    same: HashSet<Digest32>,
    per_identifier: HashMap<Digest32, usize>,
    publications: Vec<Publication>,
    periods: BTreeMap<(Period, u32), PeriodBook>,
}

#[derive(Default)]
struct PeriodBook {
    records_until: u64,
    /// (place in the book, slot), every one that is taken.
    slots: Vec<(u64, u8)>,
    batches: Vec<PlannedBatch>,
    /// (records_until, batches planned) after each plan.
    plans: Vec<(u64, u32)>,
}

impl PeriodBook {
    fn planned(&self) -> u32 {
        u32::try_from(self.batches.len()).unwrap_or(u32::MAX)
    }
}

#[derive(Serialize, Deserialize)]
enum Entry {
    /// Records of the publication whose `Publication` entry follows.
    Records(Vec<StoredRecord>),
    /// Closes a publication.
    Publication(Publication),
    /// A batch of the plan whose `Plan` entry follows.
    Batch(PlannedBatch),
    /// (place in the book, slot) of the plan whose `Plan` entry follows.
    Slots(Vec<(u64, u8)>),
    /// Closes a plan.
    Plan(PlanEntry),
}

#[derive(Serialize, Deserialize)]
struct PlanEntry {
    period: Period,
    key_serial: u32,
    records_until: u64,
    /// How many of the `Batch` entries before it are its own.
    batches: u64,
    /// How many (place, slot) pairs before it are its own.
    slots: u64,
    /// Shows later which rows are padding.
    padding_seed: [u8; 32],
}

impl RecordBook {
    /// Opens `records.log` in the directory of journals and rebuilds the book.
    ///
    /// # Errors
    /// [`RecordsError`] when the journal is damaged or contradicts itself.
    pub fn open(journals: &Path, key: AtRestKey) -> Result<Self, RecordsError> {
        let opened = Journal::open(journals, JOURNAL_NAME, key)?;
        let mut inner = Inner {
            journal: opened.journal,
            records: Vec::new(),
            same: HashSet::new(),
            per_identifier: HashMap::new(),
            publications: Vec::new(),
            periods: BTreeMap::new(),
        };
        inner.replay(opened.entries)?;
        Ok(Self { inner: Mutex::new(inner) })
    }

    /// Takes the records of a file that are new; durable when it returns. The same file again changes nothing, the same id
    /// again is the same publication.
    ///
    /// # Errors
    /// [`RecordsError::Journal`] when the disk refuses; then nothing of the file was taken.
    pub fn accept(&self, id: String, digest: Digest32, file: Ingested) -> Result<Publication, RecordsError> {
        let mut inner = self.lock();
        match inner.publications.iter().find(|publication| publication.id == id) {
            Some(same) => Ok(same.clone()),
            None => inner.accept(id, digest, file),
        }
    }

    /// The file that a publication of this id brought, if there is one.
    #[must_use]
    pub fn file_of(&self, id: &str) -> Option<Digest32> {
        self.lock().publications.iter().find(|publication| publication.id == id).map(|publication| publication.file)
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
        batches: &[RowBatch],
        padding_seed: &SecretBytes<32>,
    ) -> Result<(), RecordsError> {
        self.lock().plan(period, key_serial, pending, batches, padding_seed)
    }

    /// The planned batches under this key from number `from` on.
    #[must_use]
    pub fn batches_from(&self, period: Period, key_serial: u32, from: u32) -> Vec<PlannedBatch> {
        let inner = self.lock();
        let Some(book) = inner.periods.get(&(period, key_serial)) else { return Vec::new() };
        book.batches.iter().filter(|batch| batch.batch_seq >= from).cloned().collect()
    }

    /// How many batches are planned under this key.
    #[must_use]
    pub fn planned(&self, period: Period, key_serial: u32) -> u32 {
        self.lock().periods.get(&(period, key_serial)).map_or(0, PeriodBook::planned)
    }

    /// Frees the payloads of batches that are on chain.
    pub fn release(&self, period: Period, key_serial: u32, below: u32) {
        if let Some(book) = self.lock().periods.get_mut(&(period, key_serial)) {
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

    fn lock(&self) -> MutexGuard<'_, Inner> {
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

impl fmt::Debug for PlannedBatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PlannedBatch({}, {} rows)", self.batch_seq, self.count)
    }
}

impl Inner {
    fn accept(&mut self, id: String, digest: Digest32, file: Ingested) -> Result<Publication, RecordsError> {
        let mut taken: Vec<(Digest32, Digest32, Record)> = Vec::new();
        let mut added: HashMap<Digest32, usize> = HashMap::new();
        let mut rejected: Vec<_> = file.rejected.iter().map(|row| (row.record_number, row.reason)).collect();
        let mut duplicates = file.duplicates;
        for (number, record) in file.accepted {
            let (same, identifier) = keys(&record);
            if self.same.contains(&same) {
                duplicates += 1;
                continue;
            }
            let held = self.per_identifier.get(&identifier).copied().unwrap_or(0);
            let count = added.entry(identifier).or_insert(held);
            if *count >= MAX_RECORDS_PER_IDENTIFIER {
                rejected.push((number, RejectReason::TooManyRecords));
                continue;
            }
            *count += 1;
            taken.push((same, identifier, record));
        }
        rejected.sort_unstable();
        let publication = Publication {
            id,
            file: digest,
            accepted: taken.len() as u64,
            duplicates,
            blank_lines: file.blank,
            ignored_columns: file.ignored_columns,
            rejected,
            records_until: (self.records.len() + taken.len()) as u64,
        };
        let stored = taken.chunks(RECORDS_PER_FRAME).map(|chunk| Entry::Records(chunk.iter().map(|t| store(&t.2)).collect()));
        let entries: Vec<Entry> = stored.chain([Entry::Publication(publication.clone())]).collect();
        self.journal.append_all(&entries)?;
        for (same, identifier, record) in taken {
            self.take(same, identifier, record);
        }
        self.publications.push(publication.clone());
        Ok(publication)
    }

    fn take(&mut self, same: Digest32, identifier: Digest32, record: Record) {
        self.same.insert(same);
        *self.per_identifier.entry(identifier).or_insert(0) += 1;
        self.records.push(record);
    }

    fn pending(&self, period: Period, key_serial: u32, is_live: impl Fn(&Record) -> bool) -> PendingRows {
        let empty = PeriodBook::default();
        let book = self.periods.get(&(period, key_serial)).unwrap_or(&empty);
        let mut slots = SlotBook::default();
        for (place, slot) in &book.slots {
            if let Some(record) = self.record(*place) {
                // a slot of 64 or above was refused when the plan was applied
                let _in_range = slots.restore(record.identifier(), *slot);
            }
        }
        let from = usize::try_from(book.records_until).unwrap_or(usize::MAX);
        let waiting = self.records.iter().enumerate().skip(from).filter(|(_, record)| is_live(record));
        // at most 64 records of one identifier were accepted, so every one finds a slot
        let records = waiting
            .filter_map(|(place, record)| Some((place as u64, record.clone(), slots.take(record.identifier()).ok()?)))
            .collect();
        PendingRows { records, records_until: self.records.len() as u64, next_batch: book.planned() }
    }

    fn record(&self, place: u64) -> Option<&Record> {
        self.records.get(usize::try_from(place).ok()?)
    }

    fn plan(
        &mut self,
        period: Period,
        key_serial: u32,
        pending: &PendingRows,
        batches: &[RowBatch],
        padding_seed: &SecretBytes<32>,
    ) -> Result<(), RecordsError> {
        let planned: Vec<PlannedBatch> = (pending.next_batch..)
            .zip(batches)
            .map(|(batch_seq, batch)| PlannedBatch {
                batch_seq,
                count: batch.count(),
                root: batch.root(),
                payload: batch.payload(),
            })
            .collect();
        let slots: Vec<(u64, u8)> = pending.records.iter().map(|(place, _, slot)| (*place, *slot)).collect();
        let entries: Vec<Entry> = planned
            .iter()
            .cloned()
            .map(Entry::Batch)
            .chain(slots.chunks(SLOTS_PER_FRAME).map(|chunk| Entry::Slots(chunk.to_vec())))
            .chain([Entry::Plan(PlanEntry {
                period,
                key_serial,
                records_until: pending.records_until,
                batches: planned.len() as u64,
                slots: slots.len() as u64,
                padding_seed: padding_seed.expose(|seed| *seed),
            })])
            .collect();
        self.journal.append_all(&entries)?;
        self.apply_plan(period, key_serial, pending.records_until, planned, slots);
        Ok(())
    }

    fn apply_plan(
        &mut self,
        period: Period,
        key_serial: u32,
        records_until: u64,
        batches: Vec<PlannedBatch>,
        slots: Vec<(u64, u8)>,
    ) -> bool {
        let known = self.records.len() as u64;
        let book = self.periods.entry((period, key_serial)).or_default();
        let follows = batches.iter().zip(book.planned()..).all(|(batch, expected)| batch.batch_seq == expected);
        let in_range = slots.iter().all(|(place, slot)| *place < known && *slot < MAX_SLOTS);
        if !follows || !in_range || records_until < book.records_until || records_until > known {
            return false;
        }
        book.records_until = records_until;
        book.slots.extend(slots);
        book.batches.extend(batches);
        book.plans.push((records_until, book.planned()));
        true
    }

    fn replay(&mut self, entries: Vec<Entry>) -> Result<(), RecordsError> {
        let mut records: Vec<StoredRecord> = Vec::new();
        let mut batches: Vec<PlannedBatch> = Vec::new();
        let mut slots: Vec<(u64, u8)> = Vec::new();
        for (entry, what) in entries.into_iter().enumerate() {
            let contradiction = RecordsError::Contradiction { entry };
            match what {
                Entry::Records(more) => records.extend(more),
                Entry::Batch(batch) => batches.push(batch),
                Entry::Slots(more) => slots.extend(more),
                Entry::Publication(publication) => {
                    for stored in own(&mut records, publication.accepted).ok_or(contradiction)? {
                        let record = load(&stored).ok_or(RecordsError::Contradiction { entry })?;
                        let (same, identifier) = keys(&record);
                        self.take(same, identifier, record);
                    }
                    self.publications.push(publication);
                }
                Entry::Plan(plan) => {
                    let batches = own(&mut batches, plan.batches).ok_or(RecordsError::Contradiction { entry })?;
                    let slots = own(&mut slots, plan.slots).ok_or(RecordsError::Contradiction { entry })?;
                    if !self.apply_plan(plan.period, plan.key_serial, plan.records_until, batches, slots) {
                        return Err(contradiction);
                    }
                }
            }
        }
        Ok(())
    }
}

/// The last `count` of what stands before a closing entry; earlier ones are of something that was interrupted.
fn own<T>(collected: &mut Vec<T>, count: u64) -> Option<Vec<T>> {
    let skip = collected.len().checked_sub(usize::try_from(count).ok()?)?;
    Some(std::mem::take(collected).into_iter().skip(skip).collect())
}

/// The batches that plans drew for records `[before, until)`; `None` while they are not all planned.
fn batches_of(plans: &[(u64, u32)], before: u64, until: u64) -> Option<(u32, u32)> {
    let end = plans.iter().find(|(records_until, _)| *records_until >= until)?.1;
    if before == until {
        return Some((end, end));
    }
    let first = plans.iter().rev().find(|(records_until, _)| *records_until <= before).map_or(0, |plan| plan.1);
    Some((first, end))
}

/// Digests in memory that tell the same record, and the same person, again.
fn keys(record: &Record) -> (Digest32, Digest32) {
    let identifier = digest::sha256(&record.identifier().oprf_input());
    (record.same_record_key().expose(digest::sha256), identifier)
}
