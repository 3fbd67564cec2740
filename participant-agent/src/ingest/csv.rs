//! An institution's file -> the records to publish and the rows that were refused.
//!
//! - **Place**: walk A1 and A2 for a whole file -> `walks::publish`
//! - **Invariants**: `accepted` holds no record twice and at most
//!   [`MAX_RECORDS_PER_IDENTIFIER`] of one identifier; every row of the file is accepted, rejected, a duplicate or blank
//! - **Errors**: [`IngestError`]: the file publishes nothing
//! - **Source**: DESIGN.md section 10 (Same record, Rejects)

use std::collections::{HashMap, HashSet};

use riskveil_exchange::record::{
    Day, Identifier, MAX_RECORDS_PER_IDENTIFIER, RawRow, Record, RejectReason, SameRecordKey,
};

use super::{
    Progress,
    encoding::decode,
    error::IngestError,
    table::{Row, Table},
};

/// Columns that a file of records must have.
pub const NEEDED_COLUMNS: [&str; 8] =
    ["id_type", "id_number", "category", "severity", "overdue_days", "amount_cents", "currency", "event_date"];
/// Columns that a file of records may have.
pub const OPTIONAL_COLUMNS: [&str; 3] = ["name", "mobile", "source_ref"];

/// Records between two calls of the progress callback.
const PROGRESS_EVERY: u64 = 4096;

/// What a file of records holds.
#[derive(Debug, Default)]
pub struct Ingested {
    /// Record number and record, in the order of the file, without duplicates.
    pub accepted: Vec<(u64, Record)>,
    /// The rows that were refused, in the order of the file.
    pub rejected: Vec<Rejected>,
    /// Rows that repeat an accepted record of this file.
    pub duplicates: u64,
    /// Lines without content.
    pub blank: u64,
    /// Columns of the header that have no meaning here.
    pub ignored_columns: Vec<String>,
}

/// A row that was refused.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Rejected {
    /// Counted from 1 after the header; embedded newlines belong to their record.
    pub record_number: u64,
    /// Why.
    pub reason: RejectReason,
}

/// Reads a file of records as of a business date, telling `progress` every few thousand records and at the end.
///
/// # Errors
/// [`IngestError`] if the file as a whole cannot be read as records.
pub fn read_records(
    bytes: &[u8],
    as_of: Day,
    mut progress: Option<&mut dyn FnMut(Progress)>,
) -> Result<Ingested, IngestError> {
    let text = decode(bytes)?;
    let text = text.as_str();
    let mut table = Table::open(text, &NEEDED_COLUMNS, &OPTIONAL_COLUMNS)?;
    let ignored_columns = std::mem::take(&mut table.ignored_columns);
    let mut ingested =
        Ingested { accepted: Vec::new(), rejected: Vec::new(), duplicates: 0, blank: 0, ignored_columns };
    let mut seen = Seen::default();
    let mut records = 0;
    while let Some(row) = table.next_row()? {
        records = row.number;
        if row.is_blank() {
            ingested.blank += 1;
        } else {
            match Record::parse(&raw_row(&row), as_of).and_then(|record| seen.add(record)) {
                Ok(Some(record)) => ingested.accepted.push((row.number, record)),
                Ok(None) => ingested.duplicates += 1,
                Err(reason) => ingested.rejected.push(Rejected { record_number: row.number, reason }),
            }
        }
        if records.is_multiple_of(PROGRESS_EVERY) {
            report(&mut progress, text.len() - table.bytes_left(), text.len(), records);
        }
    }
    ingested.blank += table.empty_lines();
    report(&mut progress, text.len(), text.len(), records);
    Ok(ingested)
}

/// The records of one file so far.
#[derive(Default)]
struct Seen {
    records: HashSet<SameRecordKey>,
    of_identifier: HashMap<Identifier, usize>,
}

impl Seen {
    /// The record if it is new, `None` if it repeats an accepted one.
    fn add(&mut self, record: Record) -> Result<Option<Record>, RejectReason> {
        let key = record.same_record_key();
        if self.records.contains(&key) {
            return Ok(None);
        }
        let count = self.of_identifier.entry(record.identifier().clone()).or_default();
        if *count == MAX_RECORDS_PER_IDENTIFIER {
            return Err(RejectReason::TooManyRecords);
        }
        *count += 1;
        self.records.insert(key);
        Ok(Some(record))
    }
}

fn raw_row(row: &Row<'_, '_>) -> RawRow {
    // The numbers are positions in NEEDED_COLUMNS followed by OPTIONAL_COLUMNS.
    RawRow {
        id_type: row.field(0),
        id_number: row.field(1),
        category: row.field(2),
        severity: row.field(3),
        overdue_days: row.field(4),
        amount_cents: row.field(5),
        currency: row.field(6),
        event_date: row.field(7),
        name: row.field(8),
        mobile: row.field(9),
        source_ref: row.field(10),
    }
}

fn report(progress: &mut Option<&mut dyn FnMut(Progress)>, bytes_read: usize, bytes_total: usize, records: u64) {
    if let Some(progress) = progress {
        progress(Progress { bytes_read, bytes_total, records });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str = "id_type,id_number,category,severity,overdue_days,amount_cents,currency,event_date\n";

    fn as_of() -> Day {
        "2026-06-30".parse().unwrap()
    }

    fn row(amount: u64) -> String {
        format!("mobile,13812345678,overdue,2,42,{amount},CNY,2026-05-19\n")
    }

    #[test]
    fn more_than_64_records_of_one_identifier_are_too_many() {
        let mut file = HEADER.to_owned();
        for amount in 0..66 {
            file += &row(amount);
        }
        file += &row(0); // a duplicate of an accepted record stays a duplicate
        file += &row(65); // of a rejected one, rejected
        file += "mobile,13912345678,overdue,2,42,0,CNY,2026-05-19\n";
        let ingested = read_records(file.as_bytes(), as_of(), None).unwrap();
        assert_eq!(ingested.accepted.len(), 65);
        assert_eq!(ingested.duplicates, 1);
        let numbers: Vec<u64> = ingested.rejected.iter().map(|rejected| rejected.record_number).collect();
        assert_eq!(numbers, [65, 66, 68]);
        assert!(ingested.rejected.iter().all(|rejected| rejected.reason == RejectReason::TooManyRecords));
    }

    #[test]
    fn every_row_is_counted_once_and_progress_reaches_the_end() {
        let file = format!("{HEADER}{}\n , ,\n{}x,y\n{}", row(1), row(1), row(2));
        let mut last = None;
        let mut progress = |now: Progress| last = Some(now);
        let ingested = read_records(file.as_bytes(), as_of(), Some(&mut progress)).unwrap();
        assert_eq!((ingested.accepted.len(), ingested.duplicates, ingested.blank), (2, 1, 2));
        assert_eq!(ingested.rejected, [Rejected { record_number: 4, reason: RejectReason::IdType }]);
        assert_eq!(ingested.accepted.iter().map(|(number, _)| *number).collect::<Vec<_>>(), [1, 5]);
        assert_eq!(last, Some(Progress { bytes_read: file.len(), bytes_total: file.len(), records: 5 }));
        assert!(!format!("{ingested:?}").contains("138"));
    }
}
