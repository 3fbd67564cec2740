//! The judges are judged: the oracle gives the generator's truth, and the checker finds every kind of wrong answer.

#![allow(clippy::unwrap_used, reason = "a test stops where it fails")]

use std::collections::BTreeSet;

use riskveil_tests::{
    Malformed,
    answers::{Answer, Pair, dense, read_truth, write_answers},
    checker::{DEFAULT_KEYS, EXIT_EXACT, EXIT_MALFORMED, EXIT_MISMATCH, Form, Mismatch, Report, check, exit_code},
    fixtures::Fixture,
    oracle::{Institution, Reference, naive_match, reference_match},
};
use time::{Date, Month};

fn as_of() -> Date {
    Date::from_calendar_date(2026, Month::June, 30).unwrap()
}

fn reference(fixture: &Fixture) -> Reference {
    reference_match(&fixture.institutions().unwrap(), &fixture.file("applicants.csv").unwrap(), as_of()).unwrap()
}

fn dense_answers(fixture: &Fixture, hits: &BTreeSet<Pair>) -> Vec<Answer> {
    let names: Vec<String> = fixture.institutions().unwrap().into_iter().map(|institution| institution.name).collect();
    dense(&reference(fixture).applicant_refs, &names, |pair| hits.contains(pair))
}

fn judge(fixture: &Fixture, answers: &[Answer], form: Form) -> Result<Report, Malformed> {
    check(&fixture.file("truth.csv").unwrap(), &write_answers(answers), &DEFAULT_KEYS, form)
}

#[test]
fn oracle_gives_truth_and_expected_rejects_on_every_fixture() {
    let fixtures = Fixture::all().unwrap();
    assert!(fixtures.len() >= 7);
    let mut rejects = 0;
    for fixture in &fixtures {
        let mut reference = reference(fixture);
        let result = judge(fixture, &dense_answers(fixture, &reference.hits), Form::Dense);
        assert_eq!(exit_code(&result), EXIT_EXACT, "{}: {}", fixture.name(), result.unwrap());
        reference.rejects.sort();
        assert_eq!(reference.rejects, fixture.expected_rejects().unwrap(), "{}", fixture.name());
        rejects += reference.rejects.len();
    }
    assert!(rejects > 50, "the fixtures hold bad rows: {rejects}");
}

#[test]
fn exact_string_matching_is_not_enough() {
    let recall_is_full = |name: &str| {
        let fixture = Fixture::consortium(name);
        let hits = naive_match(&fixture.institutions().unwrap(), &fixture.file("applicants.csv").unwrap()).unwrap();
        judge(&fixture, &dense_answers(&fixture, &hits), Form::Dense).unwrap().counts.missed == 0
    };
    assert!(recall_is_full("none-independent"));
    assert!(!recall_is_full("light-clustered"));
    assert!(!recall_is_full("harsh-clustered"));
}

#[test]
fn checker_finds_a_dropped_and_an_added_hit() {
    let sample = Fixture::sample();
    let exact = dense_answers(&sample, &reference(&sample).hits);
    for hit in [true, false] {
        let mut answers = exact.clone();
        let changed = answers.iter_mut().find(|answer| answer.hit == hit).unwrap();
        changed.hit = !hit;
        let pair = changed.pair.clone();
        let result = judge(&sample, &answers, Form::Dense);
        assert_eq!(exit_code(&result), EXIT_MISMATCH);
        let report = result.unwrap();
        let expected = if hit { Mismatch::Missed } else { Mismatch::FalseHit };
        assert_eq!(report.mismatches, [(expected, pair)]);
        assert_eq!((report.counts.missed, report.counts.false_hits), if hit { (1, 0) } else { (0, 1) });
        assert_eq!(report.by_kind.values().sum::<usize>(), 1);
    }
}

#[test]
fn checker_finds_conflicts_false_references_and_missing_answers() {
    let sample = Fixture::sample();
    let exact = dense_answers(&sample, &reference(&sample).hits);
    let held = exact.iter().find(|answer| answer.hit).unwrap().clone();

    let mut conflict = exact.clone();
    conflict.push(Answer { hit: false, ..held.clone() });
    assert_eq!(judge(&sample, &conflict, Form::Sparse).unwrap().mismatches, [(Mismatch::Conflict, held.pair.clone())]);

    let mut repeated = exact.clone();
    repeated.push(held.clone());
    assert!(judge(&sample, &repeated, Form::Dense).unwrap().is_exact());

    let stranger = Pair::new("A999999", "INST-01", "fraud");
    let mut false_reference = exact.clone();
    false_reference.push(Answer { pair: stranger.clone(), hit: true });
    let report = judge(&sample, &false_reference, Form::Dense).unwrap();
    assert_eq!(report.mismatches, [(Mismatch::FalseHitNotInTruth, stranger)]);
    assert_eq!(report.counts.false_hits, 1);

    let hits: Vec<Answer> = exact.iter().filter(|answer| answer.hit).cloned().collect();
    assert!(judge(&sample, &hits, Form::Sparse).unwrap().is_exact());
    let report = judge(&sample, &hits, Form::Dense).unwrap();
    assert_eq!(report.mismatches.len(), exact.len() - hits.len());
    assert!(report.mismatches.iter().all(|(mismatch, _)| *mismatch == Mismatch::NoAnswer));
}

#[test]
fn keys_choose_which_matches_count() {
    let sample = Fixture::sample();
    let truth = sample.file("truth.csv").unwrap();
    let all = ["id", "card", "phone", "attr_mobile", "attr_mobile_name"];
    let held = |keys: &[&str]| {
        let facts = read_truth(&truth).unwrap();
        let answers: Vec<Answer> = facts
            .iter()
            .map(|(pair, fact)| Answer {
                pair: pair.clone(),
                hit: keys.iter().any(|key| fact.match_keys.contains(*key)),
            })
            .collect();
        let report = check(&truth, &write_answers(&answers), keys, Form::Dense).unwrap();
        assert!(report.is_exact());
        report.counts.true_hits
    };
    assert!(held(&["id"]) < held(&DEFAULT_KEYS));
    assert!(held(&DEFAULT_KEYS) < held(&all));
}

#[test]
fn malformed_input_is_not_judged() {
    let truth = Fixture::sample().file("truth.csv").unwrap();
    let answers = |text: &str| format!("applicant_ref,institution,category,hit\n{text}").into_bytes();
    let malformed = |truth: &[u8], answers: &[u8], keys: &[&str]| {
        let result = check(truth, answers, keys, Form::Dense);
        assert_eq!(exit_code(&result), EXIT_MALFORMED);
        result.unwrap_err().0
    };
    let keys = &DEFAULT_KEYS;
    assert!(malformed(&truth, &answers("A000001,INST-01,fraud,maybe\n"), keys).contains("line 2"));
    assert!(malformed(&truth, &answers("A000001,INST-01,fraud\n"), keys).contains("hit"));
    assert!(malformed(&truth, &answers("A000001,INST-01,theft,1\n"), keys).contains("category"));
    assert!(malformed(&truth, b"applicant_ref,institution,hit\n", keys).contains("no column category"));
    assert!(malformed(&truth, b"\xff\xfe", keys).contains("UTF-8"));
    assert!(malformed(&truth, b"", keys).contains("no column"));
    assert!(malformed(&truth, &answers(""), &["name"]).contains("keys"));
    assert!(malformed(&truth, &answers(""), &[]).contains("keys"));
    let repeated = b"applicant_ref,institution,category,match_keys\nA,I,fraud,\nA,I,fraud,id\n";
    assert!(malformed(repeated, &answers(""), keys).contains("repeats"));
}

#[test]
fn oracle_refuses_files_that_it_cannot_read() {
    let institution = |bytes: &[u8]| Institution { name: "X".to_owned(), bytes: bytes.to_vec() };
    let applicants = b"applicant_ref,id_type,id_number,mobile,bank_card\n";
    assert!(reference_match(&[institution(b"id_type,id_number\n")], applicants, as_of()).is_err());
    assert!(reference_match(&[institution(b"\xff\xff\xff")], applicants, as_of()).is_err());
    assert!(reference_match(&[], b"applicant_ref\n", as_of()).is_err());
}

#[test]
fn judges_share_no_code_with_what_they_judge() {
    let sources = [
        include_str!("src/answers.rs"),
        include_str!("src/checker.rs"),
        include_str!("src/oracle.rs"),
        include_str!("src/table.rs"),
    ];
    for source in sources {
        for room in ["riskveil_crypto", "riskveil_exchange", "riskveil_chain", "participant_agent"] {
            assert!(!source.contains(room));
        }
    }
}
