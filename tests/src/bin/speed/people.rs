//! People by number: valid resident ids, each used once, and one record of each.

use riskveil_exchange::record::{RawRow, Record};

/// Numbers below this give different people.
pub(crate) const MOST: u64 = 16_800 * 999 * 30;

/// The resident id of a person: 18 characters of GB 11643-1999 with a valid check character.
pub(crate) fn resident_id(person: u64) -> String {
    assert!(person < MOST);
    // province codes that exist, birth dates 1950-01-01 to 1999-12-28, sequence numbers 001 to 999
    const PROVINCES: [u64; 30] = [
        11, 12, 13, 14, 15, 21, 22, 23, 31, 32, 33, 34, 35, 36, 37, 41, 42, 43, 44, 45, 46, 50, 51, 52, 53, 54, 61, 62,
        63, 64,
    ];
    let (date, rest) = (person % 16_800, person / 16_800);
    let (sequence, province) = (1 + rest % 999, PROVINCES[usize::try_from(rest / 999).unwrap()]);
    let (year, month, day) = (1950 + date % 50, 1 + date / 50 % 12, 1 + date / 600);
    let body = format!("{province}0101{year}{month:02}{day:02}{sequence:03}");
    // ISO 7064 MOD 11-2
    let weights = [7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2];
    let sum: usize = body.bytes().zip(weights).map(|(digit, weight)| usize::from(digit - b'0') * weight).sum();
    let check = b"10X98765432"[sum % 11];
    format!("{body}{}", char::from(check))
}

/// The one record of a person.
pub(crate) fn record(person: u64) -> Record {
    let mut row = RawRow::default();
    row.id_type.push_str("resident_id");
    row.id_number = resident_id(person);
    row.category.push_str("overdue");
    row.severity.push('2');
    row.overdue_days = (person % 400).to_string();
    row.amount_cents = (person % 10_000_000).to_string();
    row.currency.push_str("CNY");
    row.event_date.push_str("2026-01-02");
    Record::parse(&row, as_of()).expect("a valid record")
}

/// The business date.
pub(crate) fn as_of() -> riskveil_exchange::record::Day {
    "2026-06-30".parse().unwrap()
}
