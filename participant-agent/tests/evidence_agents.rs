//! Evidence through whole agents on loopback: made by a lender and a regulator, verified by somebody with a genesis and no agent.

#![allow(clippy::unwrap_used)] // a test that cannot go on says so

mod agents;

use std::path::Path;
use std::time::{Duration, Instant};

use agents::{AS_OF, Agent, Consortium, HEADER, LENDER, PATIENCE, PUBLISHER, REGULATOR, VALIDATOR};
use clap::Parser;
use participant_agent::api::auth::Role;
use participant_agent::cli::{Cli, dispatch, exit::Exit};
use riskveil_chain::evidence::{Outcome, ProvenAnswer, Rule, Statement, Verified, verify};
use riskveil_exchange::ids::MemberId;
use riskveil_exchange::member::Roles;
use serde_json::{Value, json};

const RECORDS: &str = "\
resident_id,513230196105128094,张三,13812345678,overdue,2,42,198000,CNY,2026-05-19,a1\n\
resident_id,513230196105128094,张三,13812345678,blacklist,5,0,0,CNY,2026-01-02,a2\n";
const LATER: &str = "resident_id,513230196105128094,张三,13812345678,fraud,3,0,0,CNY,2026-02-03,a3\n";
const SUBJECT: &str = "513230196105128094";
const STRANGER: &str = "410803198802084193";
const MEMBERS: [(&str, Roles); 4] =
    [("INST-01", VALIDATOR), ("INST-02", PUBLISHER), ("LENDER-01", LENDER), ("REGULATOR-01", REGULATOR)];

fn answers(verified: &Verified) -> (Outcome, Vec<ProvenAnswer>) {
    match &verified.statement {
        Statement::Answers(statement) => {
            (statement.outcome(), statement.answers.iter().map(|(_, answer)| answer.clone()).collect())
        }
        Statement::LogEntry(_) => panic!("a log entry"),
    }
}

async fn evidence_of(lender: &Agent, report: &Value) -> Vec<u8> {
    let core_digest = report["query"]["core_digest"].as_str().unwrap();
    let path = format!("/v1/checks/{core_digest}/evidence");
    lender.api(Role::Underwriter).get_bytes(&path).await.unwrap().to_vec()
}

/// Runs a command as somebody at a terminal would.
async fn command(words: &[&str]) -> Exit {
    dispatch(Cli::try_parse_from(["participant-agent", "--json"].iter().chain(words)).unwrap()).await
}

async fn verified_by_command(file: &Path, trusted: &[&str]) -> Exit {
    command(&[&["verify", file.to_str().unwrap()], trusted].concat()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_lender_was_told_and_what_was_logged_is_verified_from_the_genesis_alone() {
    // short terms: the files cross many changes of the committee's term
    let consortium = Consortium::new(&MEMBERS, |policy| policy.term_blocks = 8);
    let chain_id = consortium.genesis.chain_id();
    let mut agents = MEMBERS.map(|(name, _)| consortium.start(name));
    for agent in &mut agents {
        agent.until("a fresh replica", |status| status["fresh"] == true && status["height"].as_u64() > Some(0)).await;
    }
    let [one, two, mut lender, regulator] = agents;
    one.publish(&format!("{HEADER}{RECORDS}")).await;
    let height = two.publish(HEADER).await["height"].as_u64();
    lender.until("the publications", |status| status["height"].as_u64() >= height).await;

    // a hit, a clear, and a subject of which one identifier hits
    let hit = lender.check(json!({ "resident_id": SUBJECT, "mobile": "13912345678" })).await.unwrap();
    let clear = lender.check(json!({ "resident_id": STRANGER })).await.unwrap();
    let bytes = evidence_of(&lender, &clear).await;
    let (outcome, answered) = answers(&verify(&bytes, &chain_id).unwrap());
    assert_eq!((outcome, answered.len()), (Outcome::Clear, 2));

    // what is published later changes nothing about what was told; the lender's agent restarts in between
    one.publish(&format!("{HEADER}{RECORDS}{LATER}")).await;
    lender.stop().await.unwrap();
    let mut lender = consortium.start("LENDER-01");
    lender.until("the lender", |status| status["fresh"] == true && status["term"].as_u64() > Some(2)).await;
    let bytes = evidence_of(&lender, &hit).await;
    let verified = verify(&bytes, &chain_id).unwrap();
    let (outcome, answered) = answers(&verified);
    assert_eq!(outcome, Outcome::Hit);
    let [ProvenAnswer::Hit { facts, shown }, ProvenAnswer::Clear { .. }] = answered.as_slice() else {
        panic!("{answered:?}")
    };
    assert_eq!((facts.len(), shown.batches), (2, 1));
    let told: Vec<Value> = facts.iter().map(|fact| serde_json::to_value(fact).unwrap()).collect();
    assert_eq!(Value::from(told), hit["answers"][0]["facts"]);
    println!("evidence of a hit at two publishers after {} blocks: {} bytes", verified.newest_height, bytes.len());

    // a silent publisher is not left out
    two.stop().await.unwrap();
    let silent = lender.check(json!({ "resident_id": STRANGER })).await.unwrap();
    let (outcome, answered) = answers(&verify(&evidence_of(&lender, &silent).await, &chain_id).unwrap());
    assert_eq!(outcome, Outcome::Incomplete);
    assert!(
        matches!(&answered[1], ProvenAnswer::NotProven { stated } if stated.starts_with("unavailable(")),
        "{answered:?}"
    );

    commands(&consortium, &lender, &hit).await;
    regulators_file(&consortium, &regulator, &hit).await;
    for agent in [one, lender, regulator] {
        agent.stop().await.unwrap();
    }
}

/// `check --evidence` and `verify`, with their exit codes.
async fn commands(consortium: &Consortium, lender: &Agent, hit: &Value) {
    let unknown = format!("/v1/checks/{}/evidence", "00".repeat(32));
    assert!(lender.api(Role::Underwriter).get_bytes(&unknown).await.unwrap_err().to_string().contains("core_digest"));
    assert!(lender.api(Role::Underwriter).get_bytes("/v1/checks/nonsense/evidence").await.is_err());
    let path = format!("/v1/checks/{}/evidence", hit["query"]["core_digest"].as_str().unwrap());
    assert!(lender.api(Role::Operator).get_bytes(&path).await.is_err(), "an operator reads no evidence");

    let dir = consortium.root.path();
    let write = |name: &str, text: &str| {
        let path = dir.join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let consent = write("consent.txt", "consent");
    let subject = write("subject.json", &json!({ "resident_id": SUBJECT }).to_string());
    let file = dir.join("check.evidence");
    let (lender_dir, out) = (lender.dir.to_str().unwrap(), file.to_str().unwrap());
    let checked = command(&[
        "check",
        "--dir",
        lender_dir,
        "--consent",
        &consent,
        "--purpose",
        "pre_loan_approval",
        "--subject",
        &subject,
        "--as-of",
        AS_OF,
        "--evidence",
        out,
    ])
    .await;
    assert_eq!(checked, Exit::Unanswered);
    use std::os::unix::fs::PermissionsExt;
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);

    let genesis = lender.dir.join("genesis.toml");
    let genesis = genesis.to_str().unwrap();
    assert_eq!(verified_by_command(&file, &["--genesis", genesis]).await, Exit::Done);
    let chain_id = consortium.genesis.chain_id().to_hex();
    assert_eq!(verified_by_command(&file, &["--chain-id", &chain_id]).await, Exit::Done);
    assert_eq!(verified_by_command(&file, &["--chain-id", &"11".repeat(32)]).await, Exit::NotHeld);
    assert_eq!(verified_by_command(Path::new(&consent), &["--chain-id", &chain_id]).await, Exit::Usage);
    assert_eq!(verified_by_command(&dir.join("missing"), &["--chain-id", &chain_id]).await, Exit::Usage);
    assert_eq!(verified_by_command(&file, &["--genesis", &consent]).await, Exit::Usage);
    assert!(Cli::try_parse_from(["participant-agent", "verify", out]).is_err(), "a trusted chain must be named");
}

/// `audit export` of the hit, once everybody has logged it.
async fn regulators_file(consortium: &Consortium, regulator: &Agent, hit: &Value) {
    let core_digest = hit["query"]["core_digest"].as_str().unwrap();
    let path = format!("/v1/audit/evidence/{core_digest}");
    let api = regulator.api(Role::Auditor);
    let deadline = Instant::now() + PATIENCE;
    let chain_id = consortium.genesis.chain_id();
    let bytes = loop {
        // first nobody has logged it, then the lender alone
        if let Ok(bytes) = api.get_bytes(&path).await {
            let verified = verify(&bytes, &chain_id).unwrap();
            let Statement::LogEntry(statement) = &verified.statement else { panic!("answers") };
            if statement.responders.iter().all(|one| one.receipt.is_some()) {
                break bytes;
            }
        }
        assert!(Instant::now() < deadline, "the query is not logged by everyone");
        tokio::time::sleep(Duration::from_millis(300)).await;
    };
    let verified = verify(&bytes, &chain_id).unwrap();
    let Statement::LogEntry(statement) = &verified.statement else { panic!("answers") };
    assert_eq!((statement.responders.len(), statement.asked.len()), (2, 2));
    assert_eq!(statement.consent_digest.to_hex(), "ab".repeat(32));
    assert!(statement.responders.iter().all(|one| one.status == Some(0)));
    assert_eq!(statement.lender, MemberId::new("LENDER-01").unwrap());
    println!("evidence of a logged query: {} bytes", bytes.len());

    let file = consortium.root.path().join("query.evidence");
    let (dir, out) = (regulator.dir.to_str().unwrap(), file.to_str().unwrap());
    let exported = command(&["audit", "export", "--dir", dir, "--query", core_digest, "--out", out]).await;
    assert_eq!(exported, Exit::Done);
    assert_eq!(verified_by_command(&file, &["--chain-id", &chain_id.to_hex()]).await, Exit::Done);
    let missing = command(&["audit", "export", "--dir", dir, "--query", &"00".repeat(32), "--out", out]).await;
    assert_eq!(missing, Exit::Usage);
    let mut forged = std::fs::read(&file).unwrap();
    let last = forged.len() - 1;
    forged[last] ^= 1;
    assert!(matches!(verify(&forged, &chain_id).unwrap_err().rule, Rule::Receipt | Rule::Form));
}
