//! A record as the encrypted journal keeps it.
//!
//! - **Invariants**: `load(store(record))` is the same record with its commitment seed, without name, mobile and source reference
//! - **Security**: personal data; cleared on drop, serialised into the encrypted journal only

use riskveil_crypto::Digest32;
use riskveil_exchange::publish::CommitmentSeed;
use riskveil_exchange::record::{Category, Currency, Day, IdType, RawRow, Record};
use serde::{Deserialize, Serialize};
use zeroize::Zeroize;

use super::HeldRecord;

/// A record in the journal.
#[derive(Serialize, Deserialize)]
pub(super) struct StoredRecord {
    id_type: IdType,
    canonical: String,
    category: Category,
    severity: u8,
    overdue_days: u32,
    amount_minor: u64,
    event_day: Day,
    name: String,
    mobile: String,
    source_ref: String,
    commitment_seed: [u8; 32],
    leaf: Digest32,
}

/// What the journal keeps of a record.
pub(super) fn store(HeldRecord { record, seed, leaf }: &HeldRecord) -> StoredRecord {
    record.personal_expose(|personal| StoredRecord {
        id_type: record.identifier().id_type(),
        canonical: record.identifier().canonical_expose(str::to_owned),
        category: record.category(),
        severity: record.severity().value(),
        overdue_days: record.overdue_days().days(),
        amount_minor: record.amount().minor_units(),
        event_day: record.event_day(),
        name: personal.name.to_owned(),
        mobile: personal.mobile.to_owned(),
        source_ref: personal.source_ref.to_owned(),
        commitment_seed: seed.expose(|seed| *seed),
        leaf: *leaf,
    })
}

/// The record of a stored one, without what is never published; `None` if it is not one.
pub(super) fn load(stored: &StoredRecord) -> Option<HeldRecord> {
    let mut raw = RawRow::default();
    raw.id_type.push_str(stored.id_type.as_str());
    raw.id_number.push_str(&stored.canonical);
    raw.category.push_str(stored.category.as_str());
    raw.severity = stored.severity.to_string();
    raw.overdue_days = stored.overdue_days.to_string();
    raw.amount_cents = stored.amount_minor.to_string();
    raw.currency.push_str(Currency::Cny.as_str());
    raw.event_date = stored.event_day.to_string();
    // the dates were judged when the record was accepted
    let record = Record::parse(&raw, Day::MAX).ok()?;
    let seed = CommitmentSeed::from_bytes(stored.commitment_seed);
    Some(HeldRecord { record, seed, leaf: stored.leaf })
}

impl Drop for StoredRecord {
    fn drop(&mut self) {
        self.canonical.zeroize();
        self.name.zeroize();
        self.mobile.zeroize();
        self.source_ref.zeroize();
        self.commitment_seed.zeroize();
    }
}
