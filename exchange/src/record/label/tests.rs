use proptest::prelude::*;

use super::*;
use crate::record::RawRow;

fn record(days: &str, amount: &str) -> Record {
    let mut raw = RawRow::default();
    raw.id_type.push_str("mobile");
    raw.id_number.push_str("13812345678");
    raw.category.push_str("cash_out");
    raw.severity.push('3');
    raw.overdue_days.push_str(days);
    raw.amount_cents.push_str(amount);
    raw.currency.push_str("CNY");
    raw.event_date.push_str("2024-02-29");
    Record::parse(&raw, "2026-06-30".parse().unwrap()).unwrap()
}

fn label(level: Level) -> Label {
    Label::new(&record("42", "421916"), level, 5, [7; 32])
}

/// Changes one byte of an encoded label and decodes it.
fn changed(level: Level, offset: usize, value: u8) -> Result<Label, LabelError> {
    let mut bytes = label(level).encode();
    bytes[offset] = value;
    Label::decode(&bytes)
}

#[test]
fn bytes_stand_where_the_table_says() {
    let bytes = label(Level::Exact).encode();
    assert_eq!(bytes[..4], [0x13, 3, 0, 3]);
    assert_eq!(bytes[4..6], 19_782u16.to_le_bytes()); // 2024-02-29
    assert_eq!(bytes[6..8], 21_609u16.to_le_bytes()); // 2029-03-01
    assert_eq!(bytes[8..10], 42u16.to_le_bytes());
    assert_eq!(bytes[10..14], 421_916u32.to_le_bytes());
    assert_eq!(bytes[14..46], [7; 32]);
    assert_eq!(bytes[46..], [0, 0]);
    assert_eq!(label(Level::Banded).encode()[8..14], [2, 0, 2, 0, 0, 0]);
    assert_eq!(label(Level::Match).encode()[8..14], [0; 6]);
}

#[test]
fn every_level_survives_a_round_trip() {
    for level in Level::ALL {
        let label = label(level);
        assert_eq!(Label::decode(&label.encode()).unwrap(), label);
        assert_eq!(label.detail().level(), level);
        assert_eq!(format!("{label:?}{:?}", label.detail()), format!("Label(..)Detail({level}, ..)"));
    }
}

#[test]
fn large_values_saturate_with_their_flag() {
    let fields = |days: &str, amount: &str| {
        let bytes = Label::new(&record(days, amount), Level::Exact, 5, [0; 32]).encode();
        assert!(Label::decode(&bytes).is_ok());
        (bytes[2], bytes[8..10].to_vec(), bytes[10..14].to_vec())
    };
    assert_eq!(fields("65535", "4294967295"), (0, vec![0xff; 2], vec![0xff; 4]));
    assert_eq!(fields("65536", "4294967295"), (1, vec![0xff; 2], vec![0xff; 4]));
    assert_eq!(fields("65535", "4294967296"), (2, vec![0xff; 2], vec![0xff; 4]));
    assert_eq!(fields("4294967295", "18446744073709551615"), (3, vec![0xff; 2], vec![0xff; 4]));
}

#[test]
fn unknown_bytes_are_refused_by_name() {
    assert_eq!(changed(Level::Exact, 0, 0x23), Err(LabelError::Version));
    assert_eq!(changed(Level::Exact, 0, 0x03), Err(LabelError::Version));
    assert_eq!(changed(Level::Exact, 0, 0x10), Err(LabelError::Category));
    assert_eq!(changed(Level::Exact, 0, 0x15), Err(LabelError::Category));
    assert_eq!(changed(Level::Exact, 1, 0), Err(LabelError::Severity));
    assert_eq!(changed(Level::Exact, 1, 6), Err(LabelError::Severity));
    assert_eq!(changed(Level::Exact, 2, 4), Err(LabelError::Flags));
    assert_eq!(changed(Level::Exact, 2, 1), Err(LabelError::Flags));
    assert_eq!(changed(Level::Banded, 2, 2), Err(LabelError::Flags));
    assert_eq!(changed(Level::Exact, 3, 0), Err(LabelError::Level));
    assert_eq!(changed(Level::Exact, 3, 4), Err(LabelError::Level));
    assert_eq!(changed(Level::Exact, 7, 0), Err(LabelError::Expiry));
    assert_eq!(changed(Level::Match, 8, 1), Err(LabelError::Value));
    assert_eq!(changed(Level::Match, 13, 1), Err(LabelError::Value));
    assert_eq!(changed(Level::Banded, 8, 8), Err(LabelError::Value));
    assert_eq!(changed(Level::Banded, 9, 1), Err(LabelError::Value));
    assert_eq!(changed(Level::Banded, 10, 8), Err(LabelError::Value));
    assert_eq!(changed(Level::Exact, 46, 1), Err(LabelError::Reserved));
    assert_eq!(changed(Level::Exact, 47, 1), Err(LabelError::Reserved));
}

#[test]
fn a_label_is_held_up_to_its_expiry_day() {
    let label = label(Level::Match);
    assert!(!label.is_expired("2029-03-01".parse().unwrap()));
    assert!(label.is_expired("2029-03-02".parse().unwrap()));
}

proptest! {
    #[test]
    fn any_bytes_decode_to_the_one_label_that_encodes_to_them(
        head in prop::array::uniform14(0u8..8), first in 0x10u8..0x16, link in any::<[u8; 32]>(), tail in prop::array::uniform2(0u8..2)
    ) {
        let mut bytes = [0u8; LABEL_BYTES];
        bytes[..14].copy_from_slice(&head);
        bytes[0] = first;
        bytes[14..46].copy_from_slice(&link);
        bytes[46..].copy_from_slice(&tail);
        if let Ok(label) = Label::decode(&bytes) {
            prop_assert_eq!(*label.encode(), bytes);
        }
    }
}
