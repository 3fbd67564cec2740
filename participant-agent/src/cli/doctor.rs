//! `participant-agent doctor`: everything that has to hold before an agent can do its work, one line each.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use riskveil_chain::genesis::Genesis;
use serde::Serialize;
use serde_json::json;

use super::exit::{CliError, Exit};
use super::keys;
use crate::api::auth::{TOKEN_FILE, Tokens};
use crate::clock::Clock;
use crate::config::{self, ValidConfig};
use crate::keystore::{Keystore, Unlock};
use crate::lock::{DirLock, LockError};
use crate::peers::client::PeerClient;
use crate::peers::directory::Directory;
use crate::peers::tls::TlsIdentity;
use crate::{ports, run};

/// Less free disk than this fails, bytes.
const LEAST_FREE_BYTES: u64 = 256 << 20;
/// Time for a TLS connection to a member.
const CONNECT: Duration = Duration::from_secs(3);

/// Checks a member's directory, keys, ports, clock, disk, and that every other member's agent is reached.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  participant-agent doctor --dir alpha\n  participant-agent doctor --dir alpha --offline --json\n\nExit code 0 if every check holds, 1 if one does not."
)]
pub struct DoctorArgs {
    /// The agent's directory.
    #[arg(long, value_name = "DIR", default_value = ".")]
    dir: PathBuf,
    /// Leaves out connecting to the other members.
    #[arg(long)]
    offline: bool,
}

/// One check and what came of it.
#[derive(Debug, Serialize)]
struct Finding {
    check: &'static str,
    ok: bool,
    detail: String,
}

/// What was looked at so far.
#[derive(Debug, Default)]
struct Findings(Vec<Finding>);

impl Findings {
    /// Notes a check; returns what it found if it holds.
    fn note<T>(&mut self, check: &'static str, outcome: Result<(T, String), String>) -> Option<T> {
        let (found, ok, detail) = match outcome {
            Ok((found, detail)) => (Some(found), true, detail),
            Err(detail) => (None, false, detail),
        };
        self.0.push(Finding { check, ok, detail });
        found
    }
}

/// Runs every check that can be run and prints all of them.
///
/// # Errors
/// None: what does not hold is a finding.
pub async fn execute(args: DoctorArgs, json: bool) -> Result<Exit, CliError> {
    let mut findings = Findings::default();
    let dir = &args.dir;
    findings.note("directory", private_directory(dir));
    let config = findings.note("configuration", said(config::load(dir), |config| config.member.to_string()));
    findings.note("tokens", said(Tokens::load(&dir.join(TOKEN_FILE)), |_| "a token for each role".to_owned()));
    findings.note("disk", free_space(dir));
    let genesis =
        findings.note("genesis", said(run::read_genesis(dir), |genesis| format!("chain {}", genesis.chain_id())));
    if let Some(genesis) = &genesis {
        findings.note("clock", clock(genesis));
    }
    if let Some(config) = &config {
        let keystore = findings.note("keys", open_keys(dir, config));
        let running = matches!(DirLock::acquire(dir), Err(LockError::Held { .. }));
        findings.note("ports", free_ports(config, running));
        if let (Some(genesis), Some(keystore)) = (&genesis, &keystore) {
            let agreed = keys::agree(genesis, config, keystore);
            findings.note("member", said(agreed, |()| "the genesis names these keys".to_owned()));
            if !args.offline {
                reach_members(&mut findings, genesis, config, keystore).await;
            }
        }
    }
    print(&findings, json);
    Ok(if findings.0.iter().all(|finding| finding.ok) { Exit::Done } else { Exit::NotHeld })
}

fn said<T>(outcome: Result<T, impl ToString>, say: impl Fn(&T) -> String) -> Result<(T, String), String> {
    outcome.map_err(|error| error.to_string()).map(|found| {
        let detail = say(&found);
        (found, detail)
    })
}

fn private_directory(dir: &Path) -> Result<((), String), String> {
    let mode = fs::metadata(dir).map_err(|error| format!("{}: {error}", dir.display()))?.permissions().mode() & 0o777;
    if mode & 0o022 != 0 {
        return Err(format!(
            "{} can be written by others (mode {mode:o}); run `chmod go-w {}`",
            dir.display(),
            dir.display()
        ));
    }
    Ok(((), format!("{} (mode {mode:o})", dir.display())))
}

fn free_space(dir: &Path) -> Result<((), String), String> {
    let free = fs4::available_space(dir).map_err(|error| error.to_string())?;
    let detail = format!("{} MiB free", free >> 20);
    if free < LEAST_FREE_BYTES { Err(format!("{detail}; make room for at least 256 MiB")) } else { Ok(((), detail)) }
}

fn clock(genesis: &Genesis) -> Result<((), String), String> {
    let now_s = Clock::system().now_s();
    if now_s + genesis.policy.clock_skew_s < genesis.genesis_time_s {
        return Err(format!("the clock is {} s before the genesis; set it", genesis.genesis_time_s - now_s));
    }
    Ok(((), format!("{} s after the genesis", now_s.saturating_sub(genesis.genesis_time_s))))
}

fn open_keys(dir: &Path, config: &ValidConfig) -> Result<(Keystore, String), String> {
    let unlock = Unlock::obtain(config.key_protection, false).map_err(|error| error.to_string())?;
    said(Keystore::open(dir, &unlock), |_| "open".to_owned())
}

fn free_ports(config: &ValidConfig, running: bool) -> Result<((), String), String> {
    if running {
        return Ok(((), "held by the running agent".to_owned()));
    }
    let wanted = [
        (config.api_listen, "api_listen in agent.toml"),
        (config.peer_listen, "peer_listen in agent.toml"),
        (config.engine_listen, "engine_listen in agent.toml"),
    ];
    for (address, setting) in wanted {
        ports::check_free(address, setting).map_err(|error| error.to_string())?;
    }
    Ok(((), "free".to_owned()))
}

/// Connects to every other member's agent and proves keys both ways.
async fn reach_members(findings: &mut Findings, genesis: &Genesis, config: &ValidConfig, keystore: &Keystore) {
    let directory = Directory::new(genesis.members.iter().cloned());
    let client = TlsIdentity::from_seed(&keystore.member().tls_seed)
        .and_then(|identity| PeerClient::new(&identity, &directory))
        .map(Arc::new);
    let client = match client {
        Ok(client) => client,
        Err(error) => {
            findings.note::<()>("peers", Err(error.to_string()));
            return;
        }
    };
    let others = directory.members().filter(|member| member.id != config.member);
    let attempts = others.map(|member| {
        let client = client.clone();
        async move { (member, client.warm(&member.id, CONNECT).await) }
    });
    for (member, reached) in futures::future::join_all(attempts).await {
        let name = format!("{} at {}", member.id, member.peer_address);
        let outcome = match reached {
            Ok(()) => Ok(((), name)),
            Err(error) => Err(format!("{name} {error}")),
        };
        findings.note("peer", outcome);
    }
}

fn print(findings: &Findings, json: bool) {
    if json {
        let ok = findings.0.iter().all(|finding| finding.ok);
        println!("{}", json!({ "ok": ok, "checks": findings.0 }));
        return;
    }
    for Finding { check, ok, detail } in &findings.0 {
        println!("{}  {check:<14} {detail}", if *ok { "ok  " } else { "FAIL" });
    }
}
