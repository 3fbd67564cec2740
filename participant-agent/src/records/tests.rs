//! What the book remembers over a restart, and what never happened.

use std::path::Path;

use rand::rngs::OsRng;
use riskveil_crypto::at_rest::KeyEncryptionKey;
use riskveil_crypto::digest::sha256;
use riskveil_crypto::label::{Row, padding_row};
use riskveil_exchange::publish::{plan_batches, plan_commitments};

use super::book::Entry;
use super::stored::store;
use super::*;
use crate::ingest::csv::read_records;

const HEADER: &str = "id_type,id_number,category,severity,overdue_days,amount_cents,currency,event_date\n";
const PERIOD: Period = Period(3);

struct Files {
    dir: tempfile::TempDir,
    kek: KeyEncryptionKey,
}

impl Files {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap(), kek: KeyEncryptionKey::random(&mut OsRng) }
    }

    fn key(&self) -> AtRestKey {
        self.key_of(JOURNAL_NAME)
    }

    fn key_of(&self, name: &str) -> AtRestKey {
        self.kek.purpose_key(crate::dst::JOURNAL, name.as_bytes())
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    fn open(&self) -> RecordBook {
        RecordBook::open(self.path(), |name| self.key_of(name)).unwrap()
    }
}

fn file(rows: &[(&str, u32)]) -> Ingested {
    let row = |(number, days): &(&str, u32)| format!("mobile,{number},overdue,2,{days},100,CNY,2026-01-02\n");
    let text: String = std::iter::once(HEADER.to_owned()).chain(rows.iter().map(row)).collect();
    read_records(text.as_bytes(), "2026-06-30".parse().unwrap(), None).unwrap()
}

fn accept(book: &RecordBook, id: &str, rows: &[(&str, u32)]) -> Publication {
    book.accept(id.to_owned(), sha256(id.as_bytes()), file(rows)).unwrap()
}

fn held(record: Record) -> HeldRecord {
    HeldRecord::new_all(vec![record]).remove(0)
}

fn rows(count: usize) -> Vec<Row> {
    let seed = SecretBytes::random(&mut OsRng);
    (0u32..).take(count).map(|at| padding_row(&seed, at)).collect()
}

fn payloads(book: &RecordBook) -> Vec<Vec<u8>> {
    (0..book.planned(PERIOD, 0)).map(|seq| book.batch(PERIOD, 0, seq).unwrap().payload).collect()
}

fn plan(book: &RecordBook) -> PendingRows {
    let pending = book.pending(PERIOD, 0, |_| true);
    let seed = SecretBytes::random(&mut OsRng);
    let rows = rows(pending.records.len());
    let tags: Vec<Tag> = rows.iter().map(|row| row.tag).collect();
    let batches = plan_batches(rows, &seed, 64).unwrap();
    book.plan(PERIOD, 0, &pending, &tags, batches.clone(), &seed).unwrap();
    pending
}

#[test]
fn the_same_file_again_changes_nothing_and_slots_go_on_over_a_restart() {
    let files = Files::new();
    let book = files.open();
    let first = accept(&book, "a", &[("13812345678", 1), ("13812345678", 2), ("13912345678", 1)]);
    assert_eq!((first.accepted, first.duplicates), (3, 0));
    let slots: Vec<u8> = plan(&book).records.iter().map(|row| row.slot).collect();
    assert_eq!(slots, [0, 1, 0]);
    let sent: Vec<Vec<u8>> = payloads(&book);
    drop(book);

    let book = files.open();
    let again = accept(&book, "b", &[("13812345678", 2), ("13812345678", 3)]);
    assert_eq!((again.accepted, again.duplicates), (1, 1));
    let resent: Vec<Vec<u8>> = payloads(&book);
    assert_eq!(resent, sent, "planned rows are never drawn again");
    let pending = book.pending(PERIOD, 0, |_| true);
    assert_eq!(pending.records.iter().map(|row| row.slot).collect::<Vec<_>>(), [2]);
    assert_eq!(pending.next_batch, 1);
    assert_eq!(book.pending(Period(4), 0, |_| true).records.len(), 4, "a new period publishes everything anew");
    assert_eq!(book.publication("a", PERIOD, 0).unwrap().1, Some((0, 1)));
    assert_eq!(book.publication("b", PERIOD, 0).unwrap().1, None);
    assert!(format!("{book:?}{pending:?}").find("138").is_none());
}

#[test]
fn the_same_id_again_is_the_same_publication() {
    let book_files = Files::new();
    let book = book_files.open();
    let first = accept(&book, "a", &[("13812345678", 1)]);
    let again = accept(&book, "a", &[("13812345678", 1)]);
    assert_eq!((first.accepted, again.accepted), (1, 1));
    assert_eq!(book.len(), 1);
}

#[test]
fn the_65th_record_of_an_identifier_is_rejected_over_several_files() {
    let files = Files::new();
    let book = files.open();
    let many: Vec<(&str, u32)> = (0..60).map(|days| ("13812345678", days)).collect();
    assert_eq!(accept(&book, "a", &many).accepted, 60);
    let more: Vec<(&str, u32)> = (60..70).map(|days| ("13812345678", days)).collect();
    let second = accept(&book, "b", &more);
    assert_eq!(second.accepted, 4);
    assert_eq!(second.rejected.len(), 6);
    assert_eq!(second.rejected[0], (5, RejectReason::TooManyRecords));
}

#[test]
fn what_was_interrupted_before_its_closing_entry_never_happened() {
    let files = Files::new();
    let mut journal = Journal::<Entry>::open(files.path(), JOURNAL_NAME, files.key()).unwrap().journal;
    let left = file(&[("13812345678", 1), ("13912345678", 1)]);
    journal
        .append(&Entry::Records(left.accepted.iter().map(|(_, record)| store(&held(record.clone()))).collect()))
        .unwrap();
    let batch = &plan_batches(rows(1), &SecretBytes::random(&mut OsRng), 64).unwrap()[0];
    let orphan = PlannedBatch { batch_seq: 0, count: batch.count(), root: batch.root(), payload: batch.payload() };
    journal.append(&Entry::Batch(orphan)).unwrap();
    drop(journal);

    let book = files.open();
    assert!(book.is_empty() && !book.has_publications());
    assert_eq!(accept(&book, "a", &[("13812345678", 1)]).accepted, 1);
    plan(&book);
    drop(book);
    let book = files.open();
    assert_eq!((book.len(), book.planned(PERIOD, 0)), (1, 1));
    assert!(book.covered(PERIOD, 0));
}

#[test]
fn a_plan_that_skips_a_batch_number_is_a_contradiction() {
    let files = Files::new();
    let book = files.open();
    accept(&book, "a", &[("13812345678", 1)]);
    let mut pending = book.pending(PERIOD, 0, |_| true);
    pending.next_batch = 7;
    let seed = SecretBytes::random(&mut OsRng);
    let batches = plan_batches(rows(1), &seed, 64).unwrap();
    book.plan(PERIOD, 0, &pending, &[], batches, &seed).unwrap();
    drop(book);
    let reopened = RecordBook::open(files.path(), |name| files.key_of(name));
    assert!(matches!(reopened, Err(RecordsError::Contradiction { .. })));
}

/// The leaf of every record, in the order of the book.
fn leaves(book: &RecordBook) -> Vec<Digest32> {
    book.held(0..book.len() as u64).iter().map(|held| held.seed.open(&held.record).commitment().leaf()).collect()
}

fn plan_due(book: &RecordBook, until: u64) -> CommitmentPlan {
    let due = book.commitments_due(until).unwrap();
    let openings = book.held(due.clone()).iter().map(|held| held.seed.open(&held.record)).collect();
    let seed = SecretBytes::random(&mut OsRng);
    let batches = plan_commitments(openings, &seed, 64).unwrap();
    let plan = CommitmentPlan::new(due, book.next_commitment_batch(), &batches, &seed);
    book.plan_commitments(plan.clone()).unwrap();
    plan
}

#[test]
fn a_record_has_one_commitment_over_restarts_and_periods_and_is_planned_once() {
    let files = Files::new();
    let book = files.open();
    assert_eq!(book.commitments_due(0), Some(0..0), "a book without records plans padding once");
    accept(&book, "a", &[("13812345678", 1), ("13912345678", 1)]);
    let before = leaves(&book);
    assert_ne!(before[0], before[1]);
    let planned = plan_due(&book, 2);
    assert_eq!((planned.records.clone(), planned.batch_seqs()), (0..2, 0..1));
    assert_eq!(book.commitments_due(2), None);
    drop(book);

    let book = files.open();
    assert_eq!(leaves(&book), before);
    let plans = book.commitment_plans();
    let again = plans[0].rebuild(&book.held(plans[0].records.clone()), 64).unwrap();
    assert_eq!((again.len(), again[0].root()), (1, planned.batches[0].root), "the same leaves, padding included");
    accept(&book, "b", &[("13712345678", 1)]);
    assert_eq!(book.commitments_due(2), None, "its rows are not planned yet");
    let second = plan_due(&book, 3);
    assert_eq!((second.records.clone(), second.batch_seqs()), (2..3, 1..2));
    assert!(format!("{second:?}{:?}", book.held(0..3)).find("138").is_none());
}

#[test]
fn a_plan_of_commitments_that_skips_a_record_or_a_batch_is_a_contradiction() {
    for (from, first_batch) in [(1, 0), (0, 1)] {
        let files = Files::new();
        let book = files.open();
        accept(&book, "a", &[("13812345678", 1), ("13912345678", 1)]);
        let seed = SecretBytes::random(&mut OsRng);
        let batches = plan_commitments(Vec::new(), &seed, 64).unwrap();
        book.plan_commitments(CommitmentPlan::new(from..2, first_batch, &batches, &seed)).unwrap();
        drop(book);
        let reopened = RecordBook::open(files.path(), |name| files.key_of(name));
        assert!(matches!(reopened, Err(RecordsError::Contradiction { .. })));
    }
}

#[test]
fn the_record_behind_a_row_is_found_by_its_tag_over_a_restart_and_no_other() {
    let files = Files::new();
    let book = files.open();
    accept(&book, "a", &[("13812345678", 1), ("13812345678", 2)]);
    let pending = book.pending(PERIOD, 0, |_| true);
    let seed = SecretBytes::random(&mut OsRng);
    let rows = rows(2);
    let tags: Vec<Tag> = rows.iter().map(|row| row.tag).collect();
    let batches = plan_batches(rows, &seed, 64).unwrap();
    book.plan(PERIOD, 0, &pending, &tags, batches.clone(), &seed).unwrap();
    assert!(book.by_tag(PERIOD, &tags[1]).unwrap().commitment_batches.is_none());
    plan_due(&book, 2);
    drop(book);

    let book = files.open();
    let row = book.by_tag(PERIOD, &tags[1]).unwrap();
    assert_eq!((row.slot, row.key_serial, row.held.record.overdue_days().days()), (1, 0, 2));
    assert_eq!(row.commitment_batches, Some(0..1));
    assert_eq!(row.held.seed.open(&row.held.record).commitment().leaf(), leaves(&book)[1]);
    let padding = batches[0].rows().iter().find(|row| !tags.contains(&row.tag)).unwrap();
    assert!(book.by_tag(PERIOD, &padding.tag).is_none(), "a padding row has no record");
    assert!(book.by_tag(PERIOD.next(), &tags[1]).is_none());
}
