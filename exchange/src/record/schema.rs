//! One row of an institution's file: the columns as text, and the record that they mean or the reason why not.
//!
//! - **Place**: walk A2, [`RawRow`] -> [`Record`] -> `publish::entry`
//! - **Invariants**: a [`Record`] is about one valid [`Identifier`], its own primary one; the person's name, mobile and the
//!   source reference are kept as written, never published, and do not take part in matching
//! - **Errors**: the smallest [`RejectReason`] of all columns; a row is refused whole
//! - **Security**: personal data: redacted `Debug`, no serde, cleared on drop
//! - **Source**: DESIGN.md section 10 (Same record, Rejects)

use std::fmt;

use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::{
    canonical,
    day::{Day, parse_date},
    facts::{AmountMinor, Category, Currency, OverdueDays, Severity},
    identifier::{IdType, Identifier, push_bcs_string},
    reject::RejectReason,
};

/// Records of one identifier at one publisher: the number of slots. Further ones are [`RejectReason::TooManyRecords`].
pub const MAX_RECORDS_PER_IDENTIFIER: usize = 64;

/// The columns of a row, as text.
#[derive(Clone, Default, Zeroize, ZeroizeOnDrop)]
pub struct RawRow {
    /// `resident_id`, `uscc`, `bank_card` or `mobile`.
    pub id_type: String,
    /// The number of that type.
    pub id_number: String,
    /// The person's or company's name.
    pub name: String,
    /// The person's mobile number, an attribute here.
    pub mobile: String,
    /// `blacklist`, `overdue`, `cash_out` or `fraud`.
    pub category: String,
    /// 1 to 5.
    pub severity: String,
    /// Days, 0 if none.
    pub overdue_days: String,
    /// Minor units.
    pub amount_cents: String,
    /// `CNY`.
    pub currency: String,
    /// `YYYY-MM-DD`, `YYYY/MM/DD` or `YYYYMMDD`.
    pub event_date: String,
    /// The institution's own reference of the case.
    pub source_ref: String,
}

impl fmt::Debug for RawRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RawRow(..)")
    }
}

/// A valid record.
#[derive(Clone)]
pub struct Record {
    identifier: Identifier,
    category: Category,
    severity: Severity,
    overdue_days: OverdueDays,
    amount: AmountMinor,
    currency: Currency,
    event_day: Day,
    name: Zeroizing<String>,
    mobile: Zeroizing<String>,
    source_ref: Zeroizing<String>,
}

/// The attributes of a record that stay at its institution, as [`Record::personal_expose`] shows them.
#[derive(Copy, Clone)]
pub struct PersonalData<'a> {
    /// Name, after NFKC; may be empty.
    pub name: &'a str,
    /// Mobile number as written, after NFKC; may be empty or invalid.
    pub mobile: &'a str,
    /// The institution's own reference of the case; may be empty.
    pub source_ref: &'a str,
}

impl fmt::Debug for PersonalData<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PersonalData(..)")
    }
}

impl Record {
    /// The record that this row means on the as-of date.
    ///
    /// # Errors
    /// The smallest [`RejectReason`] that applies; never [`RejectReason::TooManyRecords`], which only a whole file can show.
    pub fn parse(raw: &RawRow, as_of: Day) -> Result<Record, RejectReason> {
        let identifier =
            IdType::parse(&raw.id_type).and_then(|id_type| Identifier::parse(id_type, &raw.id_number, as_of));
        let category = Category::parse(&raw.category);
        let severity = Severity::parse(&raw.severity);
        let overdue_days = OverdueDays::parse(&raw.overdue_days);
        let amount = AmountMinor::parse(&raw.amount_cents);
        let event_day = parse_event_day(&raw.event_date, as_of);
        let currency = Currency::parse(&raw.currency);
        let reasons = [
            identifier.as_ref().err(),
            category.as_ref().err(),
            severity.as_ref().err(),
            overdue_days.as_ref().err(),
            amount.as_ref().err(),
            event_day.as_ref().err(),
            currency.as_ref().err(),
        ];
        if let Some(first) = reasons.into_iter().flatten().min() {
            return Err(*first);
        }
        Ok(Record {
            identifier: identifier?,
            category: category?,
            severity: severity?,
            overdue_days: overdue_days?,
            amount: amount?,
            currency: currency?,
            event_day: event_day?,
            name: canonical::fold(&raw.name),
            mobile: canonical::fold(&raw.mobile),
            source_ref: canonical::fold(&raw.source_ref),
        })
    }

    /// Whom the record is about, and the only identifier it is indexed by.
    pub fn identifier(&self) -> &Identifier {
        &self.identifier
    }

    /// The kind of record.
    pub fn category(&self) -> Category {
        self.category
    }

    /// 1 to 5.
    pub fn severity(&self) -> Severity {
        self.severity
    }

    /// Days overdue.
    pub fn overdue_days(&self) -> OverdueDays {
        self.overdue_days
    }

    /// Amount in minor units of [`Record::currency`].
    pub fn amount(&self) -> AmountMinor {
        self.amount
    }

    /// The consortium's currency.
    pub fn currency(&self) -> Currency {
        self.currency
    }

    /// The day of the event, not after the as-of date it was read with.
    pub fn event_day(&self) -> Day {
        self.event_day
    }

    /// Lets `read` see the attributes that are never published.
    pub fn personal_expose<R>(&self, read: impl FnOnce(PersonalData<'_>) -> R) -> R {
        read(PersonalData { name: &self.name, mobile: &self.mobile, source_ref: &self.source_ref })
    }

    /// What makes two rows the same record; name, mobile and source reference do not count.
    pub fn same_record_key(&self) -> SameRecordKey {
        // BCS { id_type u8, canonical string, category u8, severity u8, overdue_days u32, amount u64, currency u8, event_day u16 }
        let mut key = Vec::with_capacity(48);
        key.push(self.identifier.id_type().code());
        self.identifier.canonical_expose(|canonical| push_bcs_string(&mut key, canonical));
        key.push(self.category.code());
        key.push(self.severity.value());
        key.extend_from_slice(&self.overdue_days.days().to_le_bytes());
        key.extend_from_slice(&self.amount.minor_units().to_le_bytes());
        key.push(self.currency.code());
        key.extend_from_slice(&self.event_day.number().to_le_bytes());
        SameRecordKey(key)
    }
}

impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Record(..)")
    }
}

/// Equal for two rows that are the same record. Personal data: for sets in memory, or to be stored encrypted.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Zeroize, ZeroizeOnDrop)]
pub struct SameRecordKey(Vec<u8>);

impl SameRecordKey {
    /// Lets `read` see the key's bytes (at most 39), for a keyed digest or an encrypted journal.
    pub fn expose<R>(&self, read: impl FnOnce(&[u8]) -> R) -> R {
        read(&self.0)
    }
}

impl fmt::Debug for SameRecordKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SameRecordKey(..)")
    }
}

/// A date after the as-of date is `event_date_future`, however far; one before 1970 has no day number: `event_date`.
fn parse_event_day(raw: &str, as_of: Day) -> Result<Day, RejectReason> {
    let date = parse_date(&canonical::fold(raw)).ok_or(RejectReason::EventDate)?;
    if date > as_of.date() {
        return Err(RejectReason::EventDateFuture);
    }
    Day::from_date(date).map_err(|_| RejectReason::EventDate)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn as_of() -> Day {
        "2026-06-30".parse().unwrap()
    }

    fn good() -> RawRow {
        let mut raw = RawRow::default();
        raw.id_type.push_str("resident_id");
        raw.id_number.push_str("513230196105128094");
        raw.name.push_str("张三");
        raw.mobile.push_str("13812345678");
        raw.category.push_str("overdue");
        raw.severity.push('2');
        raw.overdue_days.push_str("42");
        raw.amount_cents.push_str("198000");
        raw.currency.push_str("CNY");
        raw.event_date.push_str("2026-05-19");
        raw.source_ref.push_str("case 7");
        raw
    }

    fn with(change: impl FnOnce(&mut RawRow)) -> RawRow {
        let mut raw = good();
        change(&mut raw);
        raw
    }

    fn reason(change: impl FnOnce(&mut RawRow)) -> RejectReason {
        Record::parse(&with(change), as_of()).unwrap_err()
    }

    #[test]
    fn each_bad_column_gives_its_reason() {
        assert!(Record::parse(&good(), as_of()).is_ok());
        assert_eq!(reason(|r| r.id_type = "passport".into()), RejectReason::IdType);
        assert_eq!(reason(|r| r.id_number.clear()), RejectReason::IdMissing);
        assert_eq!(reason(|r| r.id_number.truncate(16)), RejectReason::IdLength);
        assert_eq!(reason(|r| r.id_number = "513230196105128090".into()), RejectReason::IdCheckDigit);
        assert_eq!(reason(|r| r.id_number = "421003199913013121".into()), RejectReason::IdBirthDate);
        assert_eq!(reason(|r| r.category.clear()), RejectReason::Category);
        assert_eq!(reason(|r| r.severity = "9".into()), RejectReason::Severity);
        assert_eq!(reason(|r| r.overdue_days = "-5".into()), RejectReason::OverdueDays);
        assert_eq!(reason(|r| r.amount_cents = "12.5".into()), RejectReason::Amount);
        assert_eq!(reason(|r| r.event_date = "2025-02-30".into()), RejectReason::EventDate);
        assert_eq!(reason(|r| r.event_date = "1969-12-31".into()), RejectReason::EventDate);
        assert_eq!(reason(|r| r.event_date = "2026-07-01".into()), RejectReason::EventDateFuture);
        assert_eq!(reason(|r| r.event_date = "9999-12-31".into()), RejectReason::EventDateFuture);
        assert_eq!(reason(|r| r.currency = "USD".into()), RejectReason::Currency);
    }

    #[test]
    fn the_first_reason_in_order_is_given() {
        assert_eq!(
            reason(|r| {
                r.currency.clear();
                r.severity.clear();
                r.amount_cents.clear()
            }),
            RejectReason::Severity
        );
        assert_eq!(
            reason(|r| {
                r.id_type.clear();
                r.id_number.clear()
            }),
            RejectReason::IdType
        );
        // 542524199511100000 has sequence 000; every other fault goes before it.
        assert_eq!(reason(|r| r.id_number = "542524199511100000".into()), RejectReason::IdSequence);
        assert_eq!(
            reason(|r| {
                r.id_number = "542524199511100000".into();
                r.event_date = "n/a".into()
            }),
            RejectReason::EventDate
        );
        assert_eq!(
            reason(|r| {
                r.id_number = "990101200610197574".into();
                r.currency = "USD".into()
            }),
            RejectReason::IdRegion
        );
    }

    #[test]
    fn same_record_ignores_writing_and_personal_attributes_only() {
        let key = |raw: &RawRow| Record::parse(raw, as_of()).unwrap().same_record_key();
        let original = key(&good());
        let rewritten = with(|r| {
            r.id_number = " ５１３２３０ 19610512-8094".into();
            r.name = "李四".into();
            r.mobile.clear();
            r.source_ref = "other".into();
            r.amount_cents = "１９８０００".into();
            r.event_date = "2026/05/19".into();
            r.category = "OVERDUE".into();
            r.currency = "cny".into();
        });
        assert_eq!(key(&rewritten), original);
        let changes: [fn(&mut RawRow); 6] = [
            |r| r.id_number = "410803198802084193".into(),
            |r| r.category = "fraud".into(),
            |r| r.severity = "3".into(),
            |r| r.overdue_days = "43".into(),
            |r| r.amount_cents = "198001".into(),
            |r| r.event_date = "2026-05-20".into(),
        ];
        for change in changes {
            assert_ne!(key(&with(change)), original);
        }
    }

    #[test]
    fn debug_shows_nothing_of_a_person() {
        let raw = good();
        let record = Record::parse(&raw, as_of()).unwrap();
        let personal = record.personal_expose(|data| format!("{data:?}"));
        let shown = format!("{raw:?}{record:?}{:?}{personal}", record.same_record_key());
        assert_eq!(shown, "RawRow(..)Record(..)SameRecordKey(..)PersonalData(..)");
        assert!(record.personal_expose(|data| data.name == "张三"
            && data.mobile == "13812345678"
            && data.source_ref == "case 7"));
    }
}
