//! `doctor` beside running and stopped agents: what is well reads ok, and each thing that is broken is found and named.

#![allow(clippy::unwrap_used)] // a test that cannot go on says so

mod agents;

use std::path::Path;
use std::process::{Command, Stdio};

use agents::{Agent, Consortium, REGULATOR, VALIDATOR};
use riskveil_exchange::member::Roles;
use serde_json::Value;

const RECORDS: &str = "id_type,id_number,category,severity,overdue_days,amount_cents,currency,event_date\n\
    mobile,13812345678,overdue,2,40,198000,CNY,2026-05-01\n";
const BOTH: Roles = Roles { lender: true, ..VALIDATOR };

/// The exit code and the findings.
fn doctor(dir: &Path, more: &[&str]) -> (i32, Vec<Value>) {
    let run = Command::new(env!("CARGO_BIN_EXE_participant-agent"))
        .args(["doctor", "--json", "--dir"])
        .arg(dir)
        .args(more)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let report: Value = serde_json::from_slice(&run.stdout).unwrap();
    let findings = report["checks"].as_array().unwrap().clone();
    for finding in &findings {
        let well = finding["status"] == "ok";
        assert_eq!(well, finding["to_do"].is_null(), "{finding}");
        assert!(!finding["detail"]["zh"].as_str().unwrap().is_empty(), "{finding}");
    }
    assert_eq!(report["ok"] == true, run.status.success(), "{report}");
    (run.status.code().unwrap(), findings)
}

/// `status: detail` of each finding of a check.
fn of(findings: &[Value], check: &str) -> Vec<String> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let of_check = findings.iter().filter(|finding| finding["check"] == check);
    of_check.map(|one| format!("{}: {}", text(&one["status"]), text(&one["detail"]["en"]))).collect()
}

#[track_caller]
fn says(findings: &[Value], check: &str, what: &str) {
    let found = of(findings, check);
    assert!(found.iter().any(|finding| finding.starts_with(what)), "{check} does not say {what}: {found:?}");
}

/// Off the runtime's threads: the agents of this process have to answer meanwhile.
async fn ask(dir: &Path, more: &'static [&'static str]) -> (i32, Vec<Value>) {
    let dir = dir.to_owned();
    tokio::task::spawn_blocking(move || doctor(&dir, more)).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn doctor_finds_what_is_well_what_is_missing_and_what_stands_still() {
    let members =
        [("ALPHA", BOTH), ("BETA", VALIDATOR), ("DELTA", VALIDATOR), ("GAMMA", VALIDATOR), ("REGULATOR", REGULATOR)];
    let consortium = Consortium::new(&members, |policy| policy.fresh_tip_s = 6);
    let dir = consortium.dir("ALPHA");

    let (code, findings) = ask(&dir, &["--offline"]).await;
    assert_eq!(code, 0, "a directory that never ran is in order: {findings:?}");
    says(&findings, "replica", "warning: none yet: the agent never ran");
    says(&findings, "ports", "ok: free");
    let (code, findings) = ask(&dir, &[]).await;
    assert_eq!(code, 1);
    says(&findings, "peer", "warning: BETA at 127.0.0.1:");
    says(&findings, "validators", "failed: 1 of 4 validators reached, this one counted, 3 are needed");

    let mut running: Vec<Agent> = members.iter().map(|(name, _)| consortium.start(name)).collect();
    for agent in &mut running {
        agent.until("a fresh replica", |status| status["fresh"] == true && status["height"].as_u64() > Some(1)).await;
    }
    let (_, findings) = ask(&dir, &[]).await;
    says(&findings, "snapshot", "warning: nothing was published yet");
    says(&findings, "snapshots", "warning: not sealed in period 0: BETA, DELTA, GAMMA");
    for agent in &running[..4] {
        agent.publish(RECORDS).await;
    }
    running[0].until("the snapshots", |status| status["fresh"] == true).await;
    let (code, findings) = ask(&dir, &[]).await;
    assert_eq!(code, 0, "{findings:?}");
    for check in
        ["directory", "configuration", "tokens", "genesis", "keys", "member", "validators", "period_key", "snapshot"]
    {
        says(&findings, check, "ok: ");
    }
    says(&findings, "ports", "ok: the running agent listens on all three");
    says(&findings, "clock", "ok: 0.");
    assert_eq!(of(&findings, "peer").len(), 4);
    assert!(of(&findings, "peer").iter().all(|one| one.starts_with("ok: ")), "{findings:?}");
    assert_eq!(of(&findings, "logs").len(), 2, "queries and receipts are owed: {findings:?}");

    // the key of the period is gone from this machine, though the running agent still has it in memory
    let periods = dir.join("keys/periods");
    let key = std::fs::read_dir(&periods).unwrap().next().unwrap().unwrap().path();
    let kept = std::fs::read(&key).unwrap();
    std::fs::remove_file(&key).unwrap();
    let (code, findings) = ask(&dir, &[]).await;
    assert_eq!(code, 1);
    says(&findings, "period_key", "failed: the chain has a key of period 0 whose secret is not in keys/periods");
    participant_agent::keystore::write_private(&key, &kept).unwrap();

    // somebody else answers at a member's address
    let genesis = std::fs::read_to_string(dir.join("genesis.toml")).unwrap();
    let [beta, delta] = [1, 2].map(|at: usize| consortium.genesis.members[at].peer_address.clone());
    std::fs::write(dir.join("genesis.toml"), genesis.replace(&beta, &delta)).unwrap();
    let (code, findings) = ask(&dir, &[]).await;
    assert_eq!(code, 1);
    says(&findings, "peer", &format!("failed: BETA at {delta} refused the handshake or has another key"));
    std::fs::write(dir.join("genesis.toml"), &genesis).unwrap();

    // three of four are gone: the chain stands still
    let stays = running.remove(0);
    for agent in running {
        agent.stop().await.unwrap();
    }
    tokio::time::sleep(std::time::Duration::from_secs(7)).await;
    let (code, findings) = ask(&dir, &[]).await;
    assert_eq!(code, 1);
    says(&findings, "replica", "failed: height ");
    says(&findings, "peer", "warning: DELTA at 127.0.0.1:");
    says(&findings, "validators", "failed: 1 of 4");

    // stopped: the directory alone
    stays.stop().await.unwrap();
    let (code, findings) = ask(&dir, &["--offline"]).await;
    assert_eq!(code, 0, "{findings:?}");
    says(&findings, "replica", "ok: height ");
    says(&findings, "period_key", "ok: live in period 0");
    says(&findings, "snapshot", "ok: sealed");
    std::fs::write(dir.join("genesis.toml"), genesis.replace(&beta, &delta)).unwrap();
    let (code, findings) = ask(&dir, &["--offline"]).await;
    assert_eq!(code, 1);
    says(&findings, "replica", "failed: ");
    assert!(of(&findings, "replica")[0].contains("chain"), "{findings:?}");
}
