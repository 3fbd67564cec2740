//! `kill -9` of real processes: nothing acknowledged is lost, nobody needs a hand to come back, and silence is never "clear".

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use riskveil_tests::answers::{Pair, read_answers, read_truth};
use riskveil_tests::fixtures::{AS_OF, Fixture};
use riskveil_tests::processes::{Agent, Processes, binary, call};
use serde_json::Value;

/// Short windows, and a replica counts as stale after 5 s.
const POLICY: &str = "log_window_s = 2\nfresh_tip_s = 5\nempty_block_ms = 500\nterm_blocks = 20\n";

fn fixture() -> Fixture {
    Fixture::consortium("harsh-clustered")
}

fn records(institution: &str) -> std::path::PathBuf {
    fixture().dir().join("institutions").join(format!("{institution}.csv"))
}

fn fresh(agent: &mut Agent) -> Value {
    agent.until("a fresh replica", |status| status["fresh"] == true)
}

fn publish(network: &Processes, institution: &str) -> Value {
    let (dir, file) = (network.dir(institution), records(institution));
    let args = ["publish", &file.display().to_string(), "--dir", &dir.display().to_string(), "--as-of", AS_OF]
        .map(str::to_owned);
    let (code, status, stderr) = call(args);
    assert_eq!(code, 0, "{stderr}");
    status
}

/// Screens all applicants; gives the exit code and the answers.
fn screen(network: &Processes, out: &str) -> (i32, BTreeMap<Pair, bool>) {
    let consents = network.folder("consents");
    let applicants = fixture().dir().join("applicants.csv");
    let consent = consents.join("all.txt");
    fs::write(&consent, "they agreed").expect("a consent");
    let folder = network.folder(out);
    let lender = network.dir("LENDER-01");
    let paths = [&applicants, &lender, &consent, &folder].map(|path| path.display().to_string());
    let [applicants, lender, consent, folder_text] = paths.each_ref().map(String::as_str);
    let (code, _, stderr) = call([
        "screen",
        applicants,
        "--dir",
        lender,
        "--consent-batch",
        consent,
        "--purpose",
        "pre_loan_approval",
        "--as-of",
        AS_OF,
        "--out",
        folder_text,
    ]);
    assert!(code == 0 || code == 5, "{stderr}");
    let answers = read_answers(&fs::read(folder.join("answers.csv")).expect("answers.csv")).expect("answers");
    (code, answers.into_iter().map(|answer| (answer.pair, answer.hit)).collect())
}

fn assert_exact_for(institutions: &[&str], answers: &BTreeMap<Pair, bool>) {
    let truth = read_truth(&fixture().file("truth.csv").expect("truth.csv")).expect("truth");
    let mut compared = 0;
    for (pair, fact) in truth.iter().filter(|(pair, _)| institutions.contains(&pair.institution.as_str())) {
        let held = ["id", "card", "phone"].iter().any(|key| fact.match_keys.contains(*key));
        assert_eq!(answers.get(pair), Some(&held), "{pair}");
        compared += 1;
    }
    assert!(compared > 0);
}

#[test]
fn a_publisher_killed_at_any_moment_of_a_publication_publishes_exactly_its_file() {
    let network = Processes::new(4, POLICY);
    let mut others: Vec<Agent> = ["INST-02", "INST-03", "INST-04", "LENDER-01", "REGULATOR-01"]
        .map(|id| network.start(id))
        .into_iter()
        .collect();
    let mut publisher = network.start("INST-01");
    fresh(&mut publisher);
    fresh(&mut others[3]);
    for delay_ms in [5, 20, 60, 150, 400] {
        let (dir, file) = (network.dir("INST-01"), records("INST-01"));
        let mut publishing = Command::new(binary())
            .args(["publish".as_ref(), file.as_os_str(), "--dir".as_ref(), dir.as_os_str()])
            .args(["--as-of", AS_OF, "--json"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("publish starts");
        std::thread::sleep(Duration::from_millis(delay_ms));
        publisher.kill();
        publishing.wait().expect("publish ends");
        publisher = network.start("INST-01");
        fresh(&mut publisher);
    }
    let status = publish(&network, "INST-01");
    let taken = status["accepted"].as_u64().expect("accepted") + status["duplicates"].as_u64().expect("duplicates");
    assert_eq!(taken, 26 + 9, "{status}");
    assert_eq!(status["sealed"], true, "{status}");
    let again = publish(&network, "INST-01");
    assert_eq!(again["accepted"], 0, "publishing the same file twice changes nothing: {again}");
    assert_eq!(again["batches"], status["batches"]);

    // INST-01 is exact; the others have no snapshot and therefore no answer, which is not "clear".
    let (code, answers) = screen(&network, "after-kills");
    assert_eq!(code, 5);
    assert_exact_for(&["INST-01"], &answers);
    assert!(
        answers.keys().all(|pair| pair.institution == "INST-01"),
        "an institution without a snapshot never answers"
    );
}

fn overwrite(path: &Path) {
    let mut bytes = fs::read(path).expect("a file");
    let middle = bytes.len() / 2;
    for byte in bytes.iter_mut().skip(middle).take(16) {
        *byte ^= 0xa5;
    }
    fs::write(path, bytes).expect("a damaged file");
}

fn files_below(dir: &Path) -> Vec<std::path::PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).expect("a folder").flatten() {
        let path = entry.path();
        if path.is_dir() { files.extend(files_below(&path)) } else { files.push(path) }
    }
    files
}

#[test]
fn a_lender_killed_and_its_state_deleted_or_damaged_comes_back_exact_without_a_hand() {
    let network = Processes::new(4, POLICY);
    let mut institutions: Vec<Agent> = (1..=4).map(|number| network.start(&format!("INST-{number:02}"))).collect();
    let mut lender = network.start("LENDER-01");
    let _regulator = network.start("REGULATOR-01");
    for agent in &mut institutions {
        fresh(agent);
    }
    let names = ["INST-01", "INST-02", "INST-03", "INST-04"];
    for institution in names {
        publish(&network, institution);
    }
    fresh(&mut lender);
    lender.until("verified range proofs", |status| commitments(status, "proved") == 4);

    // sled, rows and commitments deleted
    lender.kill();
    let chain = network.dir("LENDER-01").join("chain");
    fs::remove_dir_all(chain.join("state")).expect("the state is there");
    fs::remove_dir_all(chain.join("segments")).expect("the rows are there");
    fs::remove_dir_all(chain.join("commitments")).expect("the commitments are there");
    let mut lender = network.start("LENDER-01");
    fresh(&mut lender);
    let (code, answers) = screen(&network, "deleted");
    assert_eq!(code, 0);
    assert_exact_for(&names, &answers);

    // 16 damaged bytes in the middle of every file of all three
    lender.kill();
    let damaged: Vec<_> =
        ["state", "segments", "commitments"].iter().flat_map(|folder| files_below(&chain.join(folder))).collect();
    assert!(damaged.len() > 4, "{damaged:?}");
    damaged.iter().filter(|path| fs::metadata(path).is_ok_and(|m| m.len() > 64)).for_each(|path| overwrite(path));
    let mut lender = network.start("LENDER-01");
    let status = fresh(&mut lender);
    assert_eq!((commitments(&status, "batches"), commitments(&status, "proved")), (4, 4), "{status}");
    let (code, answers) = screen(&network, "damaged");
    assert_eq!(code, 0);
    assert_exact_for(&names, &answers);

    // the same chain as everybody's
    let height = status["height"].as_u64().expect("a height");
    let header = format!("/v1/chain/headers/{height}");
    let own = lender.get(&header).expect("own header");
    institutions[0].until("the same height", |status| status["height"].as_u64() >= Some(height));
    assert_eq!(own["digest"], institutions[0].get(&header).expect("their header")["digest"]);
}

#[test]
fn when_half_of_the_validators_are_dead_nobody_is_clear_and_the_chain_goes_on_when_they_return() {
    let network = Processes::new(4, POLICY);
    let mut institutions: Vec<Agent> = (1..=4).map(|number| network.start(&format!("INST-{number:02}"))).collect();
    let mut lender = network.start("LENDER-01");
    for agent in &mut institutions {
        fresh(agent);
    }
    for institution in ["INST-01", "INST-02"] {
        publish(&network, institution);
    }
    let before = fresh(&mut lender)["height"].as_u64();
    institutions.pop().expect("INST-04").kill();
    institutions.pop().expect("INST-03").kill();
    lender.until("a stale replica", |status| status["fresh"] == false);
    let subject = network.folder("subject").join("subject.json");
    fs::write(&subject, r#"{"mobile":"13812345678"}"#).expect("a subject");
    let (lender_dir, subject) = (network.dir("LENDER-01").display().to_string(), subject.display().to_string());
    let check =
        ["check", "--dir", &lender_dir, "--subject", &subject, "--consent", &subject, "--purpose", "guarantor_check"];
    let (code, report, stderr) = call(check);
    assert!(code != 0, "a stale replica answers nobody: {report} {stderr}");
    assert!(!report.to_string().contains("\"clear\""), "{report}");

    institutions.push(network.start("INST-03"));
    institutions.push(network.start("INST-04"));
    for agent in institutions.iter_mut().take(2).chain([&mut lender]) {
        agent.until("new blocks", |status| status["fresh"] == true && status["height"].as_u64() > before);
    }
    let (code, report, stderr) = call(check);
    assert_eq!(code, 5, "INST-03 and INST-04 have no snapshot: {report} {stderr}");
    let verdict = |name: &str| {
        let answers = report["answers"].as_array().cloned().unwrap_or_default();
        answers.into_iter().find(|answer| answer["institution"] == name).map(|answer| answer["verdict"].clone())
    };
    assert_eq!(verdict("INST-01"), Some("clear".into()), "{report}");
    assert!(verdict("INST-03") != Some("clear".into()) && verdict("INST-04") != Some("clear".into()), "{report}");
}

fn commitments(status: &Value, path: &str) -> u64 {
    status.pointer(&format!("/commitments/{path}")).and_then(Value::as_u64).unwrap_or(0)
}

#[test]
fn a_publisher_killed_while_it_proves_commits_to_every_record_once_and_every_member_verifies_it() {
    let network = Processes::new(4, POLICY);
    let mut others: Vec<Agent> =
        ["INST-02", "INST-03", "INST-04", "LENDER-01"].map(|id| network.start(id)).into_iter().collect();
    let mut publisher = network.start("INST-01");
    fresh(&mut publisher);
    fresh(&mut others[3]);
    let mut text = "id_type,id_number,category,severity,overdue_days,amount_cents,currency,event_date\n".to_owned();
    for n in 0..300 {
        text += &format!("mobile,139{n:08},overdue,2,{n},{n}00,CNY,2026-01-02\n");
    }
    let file = network.folder("records").join("many.csv");
    fs::write(&file, text).expect("many.csv");
    let (dir, file) = (network.dir("INST-01").display().to_string(), file.display().to_string());
    let (code, status, stderr) = call(["publish", &file, "--dir", &dir, "--as-of", AS_OF]);
    assert_eq!(code, 0, "{stderr}");
    assert_eq!(status["sealed"], true, "rows do not wait for range proofs: {status}");

    // killed again whenever a chunk of the eight was proven since; the lender in the middle of its verification too
    let mut kept = 0;
    for _ in 0..4 {
        let status = publisher.until("another proof", |status| commitments(status, "own/proved") > kept);
        kept = commitments(&status, "own/proved");
        publisher.kill();
        publisher = network.start("INST-01");
        let again = fresh(&mut publisher);
        assert!(commitments(&again, "own/proved") >= kept, "a proof that counted is kept: {again}");
        if kept >= 512 {
            break;
        }
    }
    let mut lender = others.pop().expect("LENDER-01");
    lender.until("the batch", |status| commitments(status, "batches") == 1);
    lender.kill();
    others.push(network.start("LENDER-01"));
    for agent in others.iter_mut().chain([&mut publisher]) {
        let status = agent.until("verified range proofs", |status| commitments(status, "proved") == 1);
        assert_eq!((commitments(&status, "on_chain"), commitments(&status, "invalid")), (512, 0), "{status}");
    }

    // published again, nothing is committed to twice
    let (code, again, stderr) = call(["publish", &file, "--dir", &dir, "--as-of", AS_OF]);
    assert_eq!((code, &again["accepted"]), (0, &Value::from(0)), "{stderr}");
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(commitments(&fresh(&mut publisher), "own/total"), 512);
}
