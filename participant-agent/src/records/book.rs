//! The record book in memory, and the journal entries that rebuild it.
//!
//! - **Invariants**: a change is applied after its journal entries in one go. Entries that no closing entry follows, or that stand
//!   before the count a closing entry states, are of something that was interrupted: they are dropped

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::Range;

use riskveil_crypto::fingerprint::{MAX_SLOTS, Tag};
use riskveil_crypto::{Digest32, SecretBytes, digest};
use riskveil_exchange::ids::Period;
use riskveil_exchange::publish::{RowBatch, SlotBook};
use riskveil_exchange::record::{MAX_RECORDS_PER_IDENTIFIER, Record, RejectReason};
use serde::{Deserialize, Serialize};

use super::commitments::{CommitmentBook, CommitmentPlan};
use super::stored::{StoredRecord, load, store};
use super::{HeldRecord, OwnRow, PendingRow, PendingRows, PlannedBatch, Publication, RecordsError};
use crate::ingest::csv::Ingested;
use crate::journal::Journal;

/// Records in one journal entry.
const RECORDS_PER_ENTRY: usize = 4096;
/// Taken slots in one journal entry.
const SLOTS_PER_ENTRY: usize = 65_536;

/// Records, publications and plans, and where they are journalled.
pub(super) struct Book {
    journal: Journal<Entry>,
    pub(super) records: Vec<HeldRecord>,
    same: HashSet<Digest32>,
    per_identifier: HashMap<Digest32, usize>,
    pub(super) publications: Vec<Publication>,
    pub(super) periods: BTreeMap<(Period, u32), PeriodBook>,
    pub(super) commitments: CommitmentBook,
}

/// A slot that a planned row took.
#[derive(Clone, Copy, Serialize, Deserialize)]
pub(super) struct TakenSlot {
    /// The record's place in the book.
    place: u64,
    slot: u8,
    /// The row's.
    tag: Tag,
}

/// What is planned under one key.
#[derive(Default)]
pub(super) struct PeriodBook {
    pub(super) records_until: u64,
    /// Every one that is taken.
    slots: Vec<TakenSlot>,
    pub(super) batches: Vec<PlannedBatch>,
    /// (records_until, batches planned) after each plan.
    pub(super) plans: Vec<(u64, u32)>,
}

impl PeriodBook {
    /// Batches planned so far.
    pub(super) fn planned(&self) -> u32 {
        u32::try_from(self.batches.len()).unwrap_or(u32::MAX)
    }
}

/// One line of the record journal.
#[derive(Serialize, Deserialize)]
pub(super) enum Entry {
    /// Records of the publication whose `Publication` entry follows.
    Records(Vec<StoredRecord>),
    /// Closes a publication.
    Publication(Publication),
    /// A batch of the plan whose `Plan` entry follows.
    Batch(PlannedBatch),
    /// Slots of the plan whose `Plan` entry follows.
    Slots(Vec<TakenSlot>),
    /// Closes a plan.
    Plan(PlanEntry),
    /// A plan of commitments, whole in itself.
    Commitments(CommitmentPlan),
}

#[derive(Serialize, Deserialize)]
pub(super) struct PlanEntry {
    period: Period,
    key_serial: u32,
    records_until: u64,
    /// How many of the `Batch` entries before it are its own.
    batches: u64,
    /// How many taken slots before it are its own.
    slots: u64,
    /// Shows later which rows are padding.
    padding_seed: [u8; 32],
}

impl Book {
    /// An empty book with this journal, and what the journal's entries make of it.
    pub(super) fn rebuild(journal: Journal<Entry>, entries: Vec<Entry>) -> Result<Self, RecordsError> {
        let mut book = Self {
            journal,
            records: Vec::new(),
            same: HashSet::new(),
            per_identifier: HashMap::new(),
            publications: Vec::new(),
            periods: BTreeMap::new(),
            commitments: CommitmentBook::default(),
        };
        book.replay(entries)?;
        if let Some(newest) = book.periods.keys().map(|(period, _)| *period).max() {
            book.forget_before(newest);
        }
        Ok(book)
    }

    /// Forgets the plans of periods that are over, given that `period` is being published: the one before it may still be on.
    pub(super) fn forget_before(&mut self, period: Period) {
        self.periods.retain(|(planned, _), _| planned.next() >= period);
    }

    /// Takes those of the records that `arrived` that are new; `file` says what else the file held.
    pub(super) fn accept(
        &mut self,
        id: String,
        digest: Digest32,
        arrived: Vec<(u64, HeldRecord)>,
        file: Ingested,
    ) -> Result<Publication, RecordsError> {
        let mut taken: Vec<(Digest32, Digest32, HeldRecord)> = Vec::new();
        let mut added: HashMap<Digest32, usize> = HashMap::new();
        let mut rejected: Vec<_> = file.rejected.iter().map(|row| (row.record_number, row.reason)).collect();
        let mut duplicates = file.duplicates;
        for (number, held_record) in arrived {
            let (same, identifier) = keys(&held_record.record);
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
            taken.push((same, identifier, held_record));
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
        let stored =
            taken.chunks(RECORDS_PER_ENTRY).map(|chunk| Entry::Records(chunk.iter().map(|t| store(&t.2)).collect()));
        let entries: Vec<Entry> = stored.chain([Entry::Publication(publication.clone())]).collect();
        self.journal.append_all(&entries)?;
        for (same, identifier, record) in taken {
            self.take(same, identifier, record);
        }
        self.publications.push(publication.clone());
        Ok(publication)
    }

    fn take(&mut self, same: Digest32, identifier: Digest32, record: HeldRecord) {
        self.same.insert(same);
        *self.per_identifier.entry(identifier).or_insert(0) += 1;
        self.records.push(record);
    }

    pub(super) fn pending(&self, period: Period, key_serial: u32, is_live: impl Fn(&Record) -> bool) -> PendingRows {
        let empty = PeriodBook::default();
        let book = self.periods.get(&(period, key_serial)).unwrap_or(&empty);
        let mut slots = SlotBook::default();
        for taken in &book.slots {
            if let Some(held) = self.held(taken.place) {
                // a slot of 64 or above was refused when the plan was applied
                let _in_range = slots.restore(held.record.identifier(), taken.slot);
            }
        }
        let from = usize::try_from(book.records_until).unwrap_or(usize::MAX);
        let waiting = self.records.iter().enumerate().skip(from).filter(|(_, held)| is_live(&held.record));
        // at most 64 records of one identifier were accepted, so every one finds a slot
        let records = waiting
            .filter_map(|(place, held)| {
                let slot = slots.take(held.record.identifier()).ok()?;
                Some(PendingRow { place: place as u64, slot })
            })
            .collect();
        PendingRows { records, records_until: self.records.len() as u64, next_batch: book.planned() }
    }

    pub(super) fn held(&self, place: u64) -> Option<&HeldRecord> {
        self.records.get(usize::try_from(place).ok()?)
    }

    /// The records at these places.
    pub(super) fn held_in(&self, places: Range<u64>) -> &[HeldRecord] {
        let at = |place: u64| usize::try_from(place).unwrap_or(usize::MAX);
        self.records.get(at(places.start)..at(places.end)).unwrap_or_default()
    }

    pub(super) fn by_tag(&self, period: Period, tag: &Tag) -> Option<OwnRow> {
        let of_period = self.periods.range((period, 0)..=(period, u32::MAX));
        let found = of_period.flat_map(|((_, serial), book)| book.slots.iter().map(move |taken| (*serial, taken)));
        // to the end whatever is found: how long it takes must not tell a row's tag from one of padding (`disclose`)
        let (key_serial, taken) = found.fold(None, |found, one| if one.1.tag == *tag { Some(one) } else { found })?;
        Some(OwnRow {
            held: self.held(taken.place)?.clone(),
            slot: taken.slot,
            key_serial,
            commitment_batches: self.commitments.batches_of(taken.place),
        })
    }

    pub(super) fn plan_commitments(&mut self, plan: CommitmentPlan) -> Result<(), RecordsError> {
        self.journal.append(&Entry::Commitments(plan.clone()))?;
        // the one task that plans took the range from this book
        let _follows = self.commitments.apply(plan, self.records.len() as u64);
        Ok(())
    }

    pub(super) fn plan(
        &mut self,
        period: Period,
        key_serial: u32,
        pending: &PendingRows,
        tags: &[Tag],
        batches: Vec<RowBatch>,
        padding_seed: &SecretBytes<32>,
    ) -> Result<(), RecordsError> {
        let planned: Vec<PlannedBatch> = (pending.next_batch..)
            .zip(batches)
            .map(|(batch_seq, batch): (u32, RowBatch)| PlannedBatch {
                batch_seq,
                count: batch.count(),
                root: batch.root(),
                payload: batch.payload(),
            })
            .collect();
        let taken = |(row, tag): (&PendingRow, &Tag)| TakenSlot { place: row.place, slot: row.slot, tag: *tag };
        let slots: Vec<TakenSlot> = pending.records.iter().zip(tags).map(taken).collect();
        // one by one: a frame of all batches would hold them twice
        for batch in &planned {
            self.journal.append(&Entry::Batch(batch.clone()))?;
        }
        let closing = PlanEntry {
            period,
            key_serial,
            records_until: pending.records_until,
            batches: planned.len() as u64,
            slots: slots.len() as u64,
            padding_seed: padding_seed.expose(|seed| *seed),
        };
        let slot_entries = slots.chunks(SLOTS_PER_ENTRY).map(|chunk| Entry::Slots(chunk.to_vec()));
        let entries: Vec<Entry> = slot_entries.chain([Entry::Plan(closing)]).collect();
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
        slots: Vec<TakenSlot>,
    ) -> bool {
        let known = self.records.len() as u64;
        let book = self.periods.entry((period, key_serial)).or_default();
        let follows = batches.iter().zip(book.planned()..).all(|(batch, expected)| batch.batch_seq == expected);
        let in_range = slots.iter().all(|taken| taken.place < known && taken.slot < MAX_SLOTS);
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
        let mut slots: Vec<TakenSlot> = Vec::new();
        for (entry, what) in entries.into_iter().enumerate() {
            let contradiction = RecordsError::Contradiction { entry };
            match what {
                Entry::Records(more) => records.extend(more),
                Entry::Batch(batch) => batches.push(batch),
                Entry::Slots(more) => slots.extend(more),
                Entry::Publication(publication) => {
                    for stored in own(&mut records, publication.accepted).ok_or(contradiction)? {
                        let held = load(&stored).ok_or(RecordsError::Contradiction { entry })?;
                        let (same, identifier) = keys(&held.record);
                        self.take(same, identifier, held);
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
                Entry::Commitments(plan) => {
                    if !self.commitments.apply(plan, self.records.len() as u64) {
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
pub(super) fn batches_of(plans: &[(u64, u32)], before: u64, until: u64) -> Option<(u32, u32)> {
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
