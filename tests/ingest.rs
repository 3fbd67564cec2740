//! Our reading of files against the oracle's: the same rows refused, the same people matched, hostile files refused whole.

#![allow(clippy::unwrap_used, reason = "a test stops where it fails")]

use std::collections::{BTreeMap, BTreeSet};

use participant_agent::ingest::{
    IngestError, MAX_COLUMNS, MAX_FIELD_BYTES,
    applicants::read_applicants,
    csv::{Ingested, read_records},
};
use riskveil_exchange::record::{Applicant, Category, Day, Identifier, RejectReason, SameRecordKey};
use riskveil_tests::{
    answers::{Pair, dense, write_answers},
    checker::{DEFAULT_KEYS, Form, check},
    fixtures::{AS_OF, Fixture},
    oracle::{Institution, Reject, reference_match},
};
use time::{Date, Month};

fn as_of() -> Day {
    AS_OF.parse().unwrap()
}

fn read(bytes: &[u8]) -> Result<Ingested, IngestError> {
    read_records(bytes, as_of(), None)
}

fn keys(ingested: &Ingested) -> BTreeSet<SameRecordKey> {
    ingested.accepted.iter().map(|(_, record)| record.same_record_key()).collect()
}

#[test]
fn rejected_rows_are_the_expected_ones_on_every_fixture() {
    for fixture in Fixture::all().unwrap() {
        let mut rejects = Vec::new();
        for institution in fixture.institutions().unwrap() {
            for rejected in read(&institution.bytes).unwrap().rejected {
                rejects.push(Reject {
                    institution: institution.name.clone(),
                    record_number: rejected.record_number,
                    reason: rejected.reason.as_str().to_owned(),
                });
            }
        }
        rejects.sort();
        assert_eq!(rejects, fixture.expected_rejects().unwrap(), "{}", fixture.name());
    }
}

#[test]
fn accepted_records_are_the_generators_clean_ones_without_duplicates() {
    for fixture in Fixture::all().unwrap() {
        let manifest: serde_json::Value = serde_json::from_slice(&fixture.file("manifest.json").unwrap()).unwrap();
        let expected = fixture.file("expected_records.csv").unwrap();
        let mut reader = csv::Reader::from_reader(expected.as_slice());
        let header = reader.headers().unwrap().clone();
        let mut clean: BTreeMap<String, csv::Writer<Vec<u8>>> = BTreeMap::new();
        for row in reader.records().map(Result::unwrap) {
            let file = clean.entry(row[0].to_owned()).or_insert_with(|| {
                let mut file = csv::Writer::from_writer(Vec::new());
                file.write_record(&header).unwrap();
                file
            });
            file.write_record(&row).unwrap();
        }
        for institution in fixture.institutions().unwrap() {
            let ingested = read(&institution.bytes).unwrap();
            let clean = read(&clean.remove(&institution.name).unwrap().into_inner().unwrap()).unwrap();
            assert!(clean.rejected.is_empty());
            assert_eq!(clean.ignored_columns, ["institution"]);
            assert_eq!(keys(&ingested), keys(&clean), "{} {}", fixture.name(), institution.name);
            let counts = &manifest["institutions"][&institution.name];
            assert_eq!(counts["duplicates"], ingested.duplicates);
            assert_eq!(counts["good"], ingested.accepted.len());
            assert_eq!(counts["bad"], ingested.rejected.len());
        }
        assert!(clean.is_empty());
    }
}

#[test]
fn plaintext_matching_through_our_canonical_forms_gives_exactly_the_truth() {
    for fixture in Fixture::all().unwrap() {
        let institutions = fixture.institutions().unwrap();
        let mut held: BTreeMap<Identifier, BTreeSet<(&str, Category)>> = BTreeMap::new();
        for institution in &institutions {
            for (_, record) in read(&institution.bytes).unwrap().accepted {
                let entry = held.entry(record.identifier().clone()).or_default();
                entry.insert((&institution.name, record.category()));
            }
        }
        let applicants = read_applicants(&fixture.file("applicants.csv").unwrap(), as_of()).unwrap().applicants;
        let mut hits = BTreeSet::new();
        for (_, applicant) in &applicants {
            assert!(applicant.invalid().is_empty(), "the generator makes valid applicants");
            for (institution, category) in applicant.subjects().iter().filter_map(|subject| held.get(subject)).flatten()
            {
                hits.insert(Pair::new(applicant.applicant_ref().as_str(), institution, category.as_str()));
            }
        }
        let refs: Vec<String> =
            applicants.iter().map(|(_, a): &(u64, Applicant)| a.applicant_ref().to_string()).collect();
        let names: Vec<String> = institutions.iter().map(|institution| institution.name.clone()).collect();
        let answers = write_answers(&dense(&refs, &names, |pair| hits.contains(pair)));
        let report = check(&fixture.file("truth.csv").unwrap(), &answers, &DEFAULT_KEYS, Form::Dense).unwrap();
        assert!(report.is_exact(), "{}: {report}", fixture.name());
        assert!(report.counts.true_hits > 0);
    }
}

const COLUMNS: [&str; 8] =
    ["id_type", "id_number", "category", "severity", "overdue_days", "amount_cents", "currency", "event_date"];
const GOOD: [&str; 8] = ["resident_id", "513230196105128094", "overdue", "2", "42", "198000", "CNY", "2026-05-19"];

/// Cells that people and programs write, good and bad, for each of [`COLUMNS`].
const CELLS: [&[&str]; 8] = [
    &["", " RESIDENT_ID", "uscc", "bank_card", "mobile", "ｍｏｂｉｌｅ", "passport", "resident id"],
    &[
        "",
        "  ",
        "\u{3000}-",
        "５１３２３０１９６１０５１２８０９４",
        "513230-19610512-8094",
        "51323019610512809",
        "513230196105128090",
        "37078619700116954x",
        "410802200102290665",
        "000000195708245058",
        "542524199511100000",
        "91110000ma005ucq5p",
        "9111000010000106X1",
        "6229 2609 0283 6859",
        "6229260902836850",
        "0000000000000000",
        "+86 138-1234-5678",
        "（８６）13812345678",
        "0086 138 1234 5678",
        "12812345678",
        "86138123456789",
        "1381234567Ⅷ",
        "١٣٨١٢٣٤٥٦٧٨",
    ],
    &["", "OVERDUE", " cash_out ", "ｆｒａｕｄ", "cash-out", "黑名单", "blacklist\n"],
    &["", "0", "5", "６", "-1", "1.0", "+1", "x", "0000000000000000000000000000000000000005"],
    &["", "0", "-0", "-5", " 7", "１０", "1e3", "12.5"],
    &["", "0", "-1", "１９８０００", "198,000", "12.5", "abc", "9007199254740993"],
    &["", "cny", " CNY", "ＣＮＹ", "USD"],
    &[
        "",
        "2026/05/19",
        "20260519",
        "2026-5-19",
        "2026-05/19",
        "2025-02-30",
        "2026-06-30",
        "2026-07-01",
        "９９９９-12-31",
        "n/a",
    ],
];

/// Every pair of cells in one file: our verdict on each row is the oracle's, but for the rules that are ours alone.
#[test]
fn verdicts_on_every_pair_of_odd_cells_are_the_oracles() {
    let mut rows = vec![GOOD];
    for (first, first_cells) in CELLS.iter().enumerate() {
        for (second, second_cells) in CELLS.iter().enumerate().skip(first + 1) {
            for first_cell in *first_cells {
                for second_cell in *second_cells {
                    let mut row = GOOD;
                    row[first] = first_cell;
                    row[second] = second_cell;
                    rows.push(row);
                }
            }
        }
    }
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(COLUMNS).unwrap();
    rows.iter().for_each(|row| writer.write_record(row).unwrap());
    let bytes = writer.into_inner().unwrap();

    let today = Date::from_calendar_date(2026, Month::June, 30).unwrap();
    let institution = Institution { name: "X".to_owned(), bytes: bytes.clone() };
    let applicants = b"applicant_ref,id_type,id_number,mobile,bank_card\n";
    let theirs: BTreeMap<u64, String> = reference_match(&[institution], applicants, today)
        .unwrap()
        .rejects
        .into_iter()
        .map(|reject| (reject.record_number, reject.reason))
        .collect();
    let ours: BTreeMap<u64, RejectReason> =
        read(&bytes).unwrap().rejected.into_iter().map(|reject| (reject.record_number, reject.reason)).collect();
    let mut seen: BTreeSet<RejectReason> = BTreeSet::new();
    for (number, row) in (1..).zip(&rows) {
        let expected = match (ours.get(&number), theirs.get(&number).map(String::as_str)) {
            (Some(reason), None) => *reason >= RejectReason::IdRegion,
            // 15 digits are upgraded here and too short there.
            (Some(RejectReason::IdBirthDate), Some("id_length")) => {
                row[1].chars().filter(char::is_ascii_digit).count() == 15
            }
            // Without type and number, DESIGN.md section 10 puts the type first.
            (Some(RejectReason::IdType), Some("id_missing")) => true,
            (ours, theirs) => ours.map(|reason| reason.as_str()) == theirs,
        };
        assert!(expected, "{row:?}: {:?} and {:?}", ours.get(&number), theirs.get(&number));
        seen.extend(ours.get(&number));
    }
    assert!(rows.len() > 2000);
    let never: Vec<RejectReason> = RejectReason::ALL.into_iter().filter(|reason| !seen.contains(reason)).collect();
    assert_eq!(never, [RejectReason::TooManyRecords]);
}

fn file(rows: &str) -> Vec<u8> {
    format!("{}\n{rows}", COLUMNS.join(",")).into_bytes()
}

#[test]
fn hostile_files_publish_nothing_and_say_why() {
    let good = GOOD.join(",");
    let refused = |bytes: &[u8]| {
        let error = read(bytes).unwrap_err();
        assert!(!error.to_string().contains("513230"), "no content in {error}");
        error
    };
    assert_eq!(refused(b""), IngestError::NoHeader);
    assert_eq!(refused(b"\xef\xbb\xbf\r\n"), IngestError::NoHeader);
    assert_eq!(
        refused(&file(&format!("{good}\n\"resident_id,{good}\n"))),
        IngestError::UnclosedQuote { record_number: 2 }
    );
    assert_eq!(refused(&file(&format!("{good}\0\n"))), IngestError::NulByte);
    assert_eq!(refused(&file(&good).iter().flat_map(|byte| [*byte, 0]).collect::<Vec<u8>>()), IngestError::NulByte);
    assert_eq!(refused(&[file(&good), vec![0xff, 0xfe]].concat()), IngestError::Encoding);
    let named = file(&format!("{good},张三\n{good},李四"));
    assert_eq!(refused(&named[..named.len() - 1]), IngestError::CutOff);
    let huge = format!("{good},{}\n", "x".repeat(MAX_FIELD_BYTES + 1));
    assert_eq!(refused(&file(&huge)), IngestError::FieldTooLong { record_number: 1 });
    let wide = format!("{good}\n{}\n", ",".repeat(MAX_COLUMNS));
    assert_eq!(refused(&file(&wide)), IngestError::TooManyColumns { record_number: 2 });
    for missing in COLUMNS {
        let header: Vec<&str> = COLUMNS.into_iter().filter(|column| *column != missing).collect();
        let bytes = format!("{}\n{good}\n", header.join(",")).into_bytes();
        assert_eq!(refused(&bytes), IngestError::MissingColumns { columns: vec![missing] });
        let bytes = format!("{},{missing}\n{good}\n", COLUMNS.join(",")).into_bytes();
        assert_eq!(refused(&bytes), IngestError::DuplicateColumn { column: missing });
    }
    // A file without a header names none of the data in its refusal.
    assert!(matches!(refused(format!("{good}\n").as_bytes()), IngestError::MissingColumns { .. }));
}

#[test]
fn every_truncation_of_a_file_is_refused_or_loses_only_its_end() {
    let bytes = Fixture::consortium("harsh-clustered").institutions().unwrap().remove(0).bytes;
    let whole = read(&bytes).unwrap();
    for length in (0..bytes.len()).step_by(37) {
        let Ok(part) = read(&bytes[..length]) else { continue };
        // The last record may be cut within a field and then read as another one; all before it are as in the whole file.
        let before_last = part.accepted.len().saturating_sub(1);
        let numbers =
            |ingested: &Ingested, count| ingested.accepted[..count].iter().map(|(n, _)| *n).collect::<Vec<_>>();
        assert_eq!(numbers(&part, before_last), numbers(&whole, before_last), "cut at {length}");
    }
}
