//! `participant-agent doctor`: everything that has to hold before an agent can do its work, and what to do if it does not.
//!
//! - **Place**: gathers what [`crate::doctor`] judges: from the directory, from the other members, and from the running
//!   agent's `GET /v1/doctor` or, while it is stopped, from its state on disk

use std::path::{Path, PathBuf};

use clap::Args;
use riskveil_chain::genesis::Genesis;
use riskveil_chain::ledger::Ledger;
use serde_json::json;

use super::client::{LocalApi, Role};
use super::exit::{CliError, Exit};
use super::output::print_line;
use crate::clock::Clock;
use crate::config::{self, ValidConfig};
use crate::doctor::replica::ReplicaFacts;
use crate::doctor::{Finding, Status, Text, local, peers, replica, worst};
use crate::keystore::{Keystore, Unlock};
use crate::lock::{DirLock, LockError};
use crate::run::CHAIN_DIR;

/// Checks this member as its operator would; each check reads ok, warning or failed and says what to do.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  participant-agent doctor --dir alpha\n  \
    participant-agent doctor --dir alpha --offline --json\n\n\
    Works while the agent runs (it is asked through its API) and while it is stopped (its directory is read).\n\n\
    Checks: directory, configuration, tokens, disk (room, a written probe), genesis, keys (present, private, opened), member (the genesis \
    names these keys), ports, peer (each member reached with its TLS key), validators (enough for the chain to move), clock (against \
    genesis, newest block and the members' clocks), replica (age and height of the tip, against the members'), period_key (live, held \
    here, bound to the audit key), snapshot and snapshots (own and others', sealed), range_proofs (backlog), logs and others_logs \
    (windows missing on the chain).\n\n\
    Exit codes: 0 every check is ok or a warning, 1 one failed.")]
pub struct DoctorArgs {
    /// The agent's directory.
    #[arg(long, value_name = "DIR", default_value = ".")]
    dir: PathBuf,
    /// Asks no other member.
    #[arg(long)]
    offline: bool,
}

/// Runs every check that can be run and prints all of them.
///
/// # Errors
/// None: what does not hold is a finding.
pub async fn execute(args: DoctorArgs, json: bool) -> Result<Exit, CliError> {
    let findings = examine(&args.dir, args.offline).await;
    if json {
        print_line(&json!({ "ok": worst(&findings) != Status::Failed, "checks": findings }).to_string());
    } else {
        findings.iter().for_each(print);
    }
    Ok(if worst(&findings) == Status::Failed { Exit::NotHeld } else { Exit::Done })
}

async fn examine(dir: &Path, offline: bool) -> Vec<Finding> {
    let mut findings = vec![local::directory(dir)];
    let config = config::load(dir);
    findings.push(local::configuration(&config));
    findings.extend([local::tokens(dir), local::disk(dir)]);
    let genesis = match local::genesis(dir) {
        Ok((genesis, finding)) => {
            findings.push(finding);
            Some(genesis)
        }
        Err(finding) => {
            findings.push(finding);
            None
        }
    };
    let Ok(config) = config else { return findings };
    let opened = Unlock::obtain(config.key_protection, false).and_then(|unlock| Keystore::open(dir, &unlock));
    findings.extend(local::keys(dir, &config, genesis.as_ref(), &opened));
    let running = matches!(DirLock::acquire(dir), Err(LockError::Held { .. }));
    findings.push(local::ports(&config, running));
    if let (Some(genesis), Ok(keystore)) = (&genesis, &opened) {
        findings.extend(consortium(dir, &config, genesis, keystore, running, offline).await);
    }
    findings
}

/// What needs the other members or the replica.
async fn consortium(
    dir: &Path,
    config: &ValidConfig,
    genesis: &Genesis,
    keystore: &Keystore,
    running: bool,
    offline: bool,
) -> Vec<Finding> {
    let (own, clock) = (&config.member, Clock::system());
    let mut findings = Vec::new();
    let mut seen = Vec::new();
    if !offline {
        match peers::look(genesis, own, keystore).await {
            Ok(answers) => {
                findings.extend(peers::judge(genesis, own, &answers));
                seen = answers;
            }
            Err(finding) => findings.push(finding),
        }
    }
    let facts = if running { ask_agent(dir).await } else { read_state(dir, genesis) };
    let header_time_s = facts.as_ref().ok().map(|facts| facts.header_time_s);
    findings.extend(peers::judge_clock(genesis, clock.now_ms(), header_time_s, &seen));
    let facts = match facts {
        Ok(facts) => facts,
        Err(finding) => {
            findings.push(finding);
            return findings;
        }
    };
    findings.extend(replica::judge_tip(genesis, &facts, running, clock.now_s(), &seen));
    findings.extend(replica::judge_period_key(&facts, own, keystore));
    findings.extend(replica::judge_snapshots(&facts, own));
    findings.extend(replica::judge_range_proofs(&facts));
    findings.extend(replica::judge_logs(genesis, &facts, own));
    findings
}

async fn ask_agent(dir: &Path) -> Result<ReplicaFacts, Finding> {
    let asked = async { LocalApi::open(dir, Role::Operator)?.get::<ReplicaFacts>("/v1/doctor").await };
    asked.await.map_err(|error| {
        Finding::failed(
            "replica",
            Text::new(format!("the running agent does not say: {error}"), format!("运行中的服务无应答: {error}")),
            Text::new("read its log; restart it if it hangs", "查看日志; 若无响应请重启"),
        )
    })
}

/// The state of a stopped agent, opened as `run` would open it.
fn read_state(dir: &Path, genesis: &Genesis) -> Result<ReplicaFacts, Finding> {
    let chain = dir.join(CHAIN_DIR);
    if !chain.exists() {
        return Err(Finding::warning(
            "replica",
            Text::new("none yet: the agent never ran", "尚无: 服务从未运行"),
            Text::new("start it with `participant-agent run`", "执行 `participant-agent run` 启动"),
        ));
    }
    match Ledger::open(&chain, genesis.clone()) {
        Ok(opened) => Ok(replica::facts(genesis, &opened.ledger.view())),
        Err(error) => Err(Finding::failed(
            "replica",
            Text::new(error.to_string(), format!("账本无法打开: {error}")),
            Text::new(
                "if it is another chain's, the directory or the genesis is the wrong one; otherwise move chain/ aside and start the agent: it is fetched again",
                "若属于另一条链, 则目录或创世文件有误; 否则移走 chain/ 后启动, 会自动重新获取",
            ),
        )),
    }
}

fn print(finding: &Finding) {
    let status = match finding.status {
        Status::Ok => "ok      正常",
        Status::Warning => "warning 注意",
        Status::Failed => "failed  失败",
    };
    let Finding { check, detail: Text { en, zh }, to_do, .. } = finding;
    print_line(&format!("{status}  {check:<13} {en}{}", if en == zh { String::new() } else { format!(" | {zh}") }));
    if let Some(Text { en, zh }) = to_do {
        print_line(&format!("              -> {en}"));
        print_line(&format!("              -> {zh}"));
    }
}
