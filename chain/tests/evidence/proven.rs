//! What good files prove.

use riskveil_chain::evidence::words::{Language, explain};
use riskveil_chain::evidence::{
    AnswerStatement, LogStatement, MAX_EVIDENCE_BYTES, Outcome, ProvenAnswer, Statement, Verified, verify,
};
use riskveil_exchange::ids::{Height, Window};
use riskveil_exchange::query::refusal::RefusalReason;
use riskveil_exchange::record::{Category, IdType};

use crate::common::id;
use crate::world::{JUDGED, MOBILE, RESIDENT, STRANGER, TWO_RECORDS, World};

pub(crate) fn answers(verified: &Verified) -> &AnswerStatement {
    match &verified.statement {
        Statement::Answers(statement) => statement,
        Statement::LogEntry(_) => panic!("a log entry"),
    }
}

fn logged(verified: &Verified) -> &LogStatement {
    match &verified.statement {
        Statement::LogEntry(statement) => statement,
        Statement::Answers(_) => panic!("answers"),
    }
}

#[test]
fn a_hit_is_proven_with_its_facts_and_a_clear_with_every_batch() {
    let mut world = World::new(TWO_RECORDS);
    let check = world.ask(&[(IdType::ResidentId, RESIDENT), (IdType::Mobile, MOBILE)]);
    world.go_on();
    let built = world.export(&check);
    let verified = verify(&built.bytes, world.chain.ledger.chain_id()).unwrap();
    let statement = answers(&verified);
    assert_eq!((statement.outcome(), statement.height), (Outcome::Hit, Height(JUDGED)));
    assert_eq!((statement.lender.clone(), statement.asked.len()), (id("LENDER-01"), 2));
    let [(first, hit), (second, clear)] = statement.answers.as_slice() else { panic!("two publishers") };
    assert_eq!((first, second), (&id("INST-01"), &id("INST-02")));
    let ProvenAnswer::Hit { facts, shown } = hit else { panic!("{hit:?}") };
    assert_eq!((facts.len(), facts[0].category, facts[0].found_by), (1, Category::Overdue, IdType::ResidentId));
    // the delta after the judged height does not count; the record that is held no longer is told apart
    assert_eq!((shown.batches, shown.rows, shown.expired, shown.tip_height), (2, 128, 1, Height(JUDGED - 1)));
    let ProvenAnswer::Clear { shown } = clear else { panic!("{clear:?}") };
    assert_eq!((shown.batches, shown.rows, shown.expired), (1, 64, 0));
    assert!(built.bytes.len() < 64 << 10, "{}", built.bytes.len());
}

#[test]
fn a_clear_is_proven_for_every_publisher_at_the_tip_itself() {
    let mut world = World::new(TWO_RECORDS);
    let check = world.ask(&[(IdType::ResidentId, STRANGER)]);
    let built = world.export(&check);
    let verified = verify(&built.bytes, world.chain.ledger.chain_id()).unwrap();
    assert_eq!(answers(&verified).outcome(), Outcome::Clear);
    let chinese = explain(&verified, Language::Chinese).join("\n");
    assert!(chinese.contains("INST-02：无记录，已证明") && chinese.contains("不足三分之一"), "{chinese}");
    let english = explain(&verified, Language::English).join("\n");
    assert!(english.contains("INST-01: CLEAR, proven") && english.contains("Not proven: that nothing was added later"));
    assert!(!english.contains(STRANGER) && !format!("{verified:?}").contains(STRANGER));
}

#[test]
fn who_refused_or_is_not_shown_makes_it_incomplete_and_is_named() {
    let mut world = World::new(TWO_RECORDS);
    let mut check = world.ask(&[(IdType::ResidentId, STRANGER)]);
    world.refuse(&mut check, 0, RefusalReason::QuotaExceeded, [0; 64]);
    check.responses.remove(&id("INST-02"));
    check.unanswered.insert(id("INST-02"), "unavailable(timed_out)".to_owned());
    let built = world.export(&check);
    let statement = answers(&built.verified);
    assert_eq!(statement.outcome(), Outcome::Incomplete);
    let [(_, refused), (_, silent)] = statement.answers.as_slice() else { panic!("two publishers") };
    assert!(matches!(refused, ProvenAnswer::Refused { reason: RefusalReason::QuotaExceeded, .. }), "{refused:?}");
    assert_eq!(*silent, ProvenAnswer::NotProven { stated: "unavailable(timed_out)".to_owned() });
    let words = explain(&built.verified, Language::English).join("\n");
    assert!(
        words.contains("INST-01: refused (quota_exceeded)") && words.contains("INST-02: nothing is proven"),
        "{words}"
    );
    assert!(words.contains("this is not a clear"));
}

#[test]
fn a_publisher_with_many_full_batches_fits_and_is_shown_in_reasonable_time() {
    let mut world = World::with_full_batches(16);
    let check = world.ask(&[(IdType::ResidentId, STRANGER), (IdType::Mobile, MOBILE)]);
    let started = std::time::Instant::now();
    let draft = world.draft(&check);
    let made = started.elapsed();
    let parts = world.parts(&draft);
    let built = draft.finish(parts).unwrap();
    let statement = answers(&built.verified);
    assert_eq!(statement.outcome(), Outcome::Clear);
    let ProvenAnswer::Clear { shown } = &statement.answers[0].1 else { panic!("{statement:?}") };
    assert_eq!((shown.batches, shown.rows), (17, 64 + 16 * 8192));
    println!("131,136 rows in 17 batches: drafted in {made:?}, {} bytes", built.bytes.len());
    assert!(built.bytes.len() < 300 << 10, "{}", built.bytes.len());
}

#[test]
fn a_logged_query_is_proven_with_its_subject_its_consent_and_its_receipts() {
    let mut world = World::new(TWO_RECORDS);
    let check = world.ask(&[(IdType::ResidentId, RESIDENT)]);
    let [(queries, _), (receipt, _), (_, refused)] = world.log(&check);
    assert_eq!(refused.number(), 600);
    let built = world.export_log(&check, queries, receipt);
    let verified = verify(&built.bytes, world.chain.ledger.chain_id()).unwrap();
    let statement = logged(&verified);
    assert_eq!((statement.logged.height, statement.logged.last_window), (queries, Window(4)));
    assert_eq!(statement.consent_digest, check.consent.digest);
    assert_eq!(statement.asked, [check.identifiers[0].clone().unwrap()]);
    let [one, two] = statement.responders.as_slice() else { panic!("two responders") };
    assert_eq!((one.status, one.receipt.map(|at| at.height)), (Some(0), Some(receipt)));
    assert_eq!((two.status, two.receipt), (Some(0), None));
    for language in [Language::Chinese, Language::English] {
        let words = explain(&verified, language).join("\n");
        assert!(words.contains("5132**********8094") && !words.contains(RESIDENT), "{words}");
    }
    // the regulator's file holds nothing from which an output follows
    assert!(
        !check
            .secrets
            .iter()
            .any(|secret| { secret.expose(|secret| built.bytes.windows(32).any(|window| window == secret)) })
    );
    assert!(built.bytes.len() < MAX_EVIDENCE_BYTES);
}
