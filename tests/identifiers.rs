//! Identifiers against `specs/vectors/identifier_vectors.json`: every verdict, and one canonical form per person.

#![allow(clippy::unwrap_used, reason = "a test stops where it fails")]

use riskveil_exchange::record::{Day, IdType, Identifier, RejectReason};
use riskveil_tests::fixtures::AS_OF;
use serde_json::Value;

const VECTORS: &str = include_str!("../specs/vectors/identifier_vectors.json");

fn vectors(section: &str) -> Vec<Value> {
    let all: Value = serde_json::from_str(VECTORS).unwrap();
    let vectors = all[section].as_array().unwrap().clone();
    assert!(!vectors.is_empty());
    vectors
}

fn parse(id_type: IdType, raw: &str) -> Result<String, RejectReason> {
    let as_of: Day = AS_OF.parse().unwrap();
    Identifier::parse(id_type, raw, as_of).map(|identifier| identifier.canonical_expose(str::to_owned))
}

/// Judges a section; returns how many were accepted and refused.
fn judge(section: &str, id_type: IdType) -> (usize, usize) {
    let mut counts = (0, 0);
    for vector in vectors(section) {
        let (raw, why) = (vector["value"].as_str().unwrap(), vector["why"].as_str().unwrap());
        let verdict = parse(id_type, raw);
        assert_eq!(verdict.is_ok(), vector["valid"].as_bool().unwrap(), "{section} {raw}: {why}: {verdict:?}");
        if let Some(normalised) = vector.get("normalised") {
            assert_eq!(verdict.clone().ok().as_deref(), normalised.as_str(), "{section} {raw}: {why}");
        }
        if verdict.is_ok() { counts.0 += 1 } else { counts.1 += 1 }
    }
    counts
}

#[test]
fn resident_id_verdicts_are_the_vectors() {
    assert_eq!(judge("gb11643", IdType::ResidentId), (29, 16));
}

#[test]
fn uscc_verdicts_are_the_vectors() {
    assert_eq!(judge("gb32100", IdType::Uscc), (72, 8));
}

#[test]
fn bank_card_verdicts_are_the_vectors() {
    assert_eq!(judge("luhn_bank_card", IdType::BankCard), (9, 4));
}

#[test]
fn mobile_verdicts_and_canonical_forms_are_the_vectors() {
    assert_eq!(judge("mobile", IdType::Mobile), (11, 7));
}

#[test]
fn refusals_give_the_reason_that_the_vector_describes() {
    let reasons = [
        ("1900 is not a leap year", RejectReason::IdBirthDate),
        ("no 29 Feb 2001", RejectReason::IdBirthDate),
        ("month 13", RejectReason::IdBirthDate),
        ("31 April", RejectReason::IdBirthDate),
        ("day 0", RejectReason::IdBirthDate),
        ("birth date in the future", RejectReason::IdBirthDate),
        ("wrong check character", RejectReason::IdCheckDigit),
        ("adjacent digits swapped", RejectReason::IdCheckDigit),
        ("17 characters", RejectReason::IdLength),
        ("19 characters", RejectReason::IdLength),
        ("empty", RejectReason::IdMissing),
        ("X not in last place", RejectReason::IdLength),
        ("province 99 not assigned", RejectReason::IdRegion),
        ("sequence 000 (never issued; policy choice)", RejectReason::IdSequence),
    ];
    for (why, reason) in reasons {
        let vector = vectors("gb11643").into_iter().find(|vector| vector["why"] == why).unwrap();
        assert_eq!(parse(IdType::ResidentId, vector["value"].as_str().unwrap()), Err(reason), "{why}");
    }
}

#[test]
fn every_way_of_writing_one_number_gives_one_oprf_input() {
    let as_of: Day = AS_OF.parse().unwrap();
    let input = |raw: &str| Identifier::parse(IdType::ResidentId, raw, as_of).unwrap().oprf_input();
    assert_eq!(input("130503670401001"), input("130503196704010016"));
    assert_eq!(input("37078619700116954x"), input("３７０７８６１９７００１１６９５４Ｘ"));
    assert_eq!(input("610629 20061226 4767"), input("610629\u{3000}20061226-4767\u{200b}"));
    let mobile = Identifier::parse(IdType::Mobile, "（＋８６）１３８１２３４５６７８", as_of).unwrap().oprf_input();
    assert!(mobile.ends_with(b"\x04\x0b13812345678"));
}
