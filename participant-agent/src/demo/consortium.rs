//! Seven members on this machine: directories, keys, genesis, processes.
//!
//! - **Place**: before walk A; uses `init member`, `init genesis`, `run` and the agents' HTTP API like any operator
//! - **Shapes**: one member a file in `DIR/institutions` (the first four by name validate), `LENDER-01`, `REGULATOR-01`

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use super::process::{AgentProcess, call};
use crate::cli::client::{LocalApi, Role};
use crate::cli::free_base_port;

/// The demo's network, which the regulator's audit key is bound to.
const NETWORK: &str = "demo";
/// The only parameters in which the demo's genesis differs from the defaults.
const POLICY: &str = "log_window_s = 3\nterm_blocks = 50\n";
/// The querier.
pub(super) const LENDER: &str = "LENDER-01";
/// The auditor.
pub(super) const REGULATOR: &str = "REGULATOR-01";
/// How many institutions validate.
const VALIDATORS: usize = 4;
/// How long agents get until their replica is fresh.
const READY_WITHIN: Duration = Duration::from_secs(60);

/// One member of the demo.
pub(super) struct DemoMember {
    /// Its name, for example `INST-01`.
    pub(super) id: String,
    /// Its directory.
    pub(super) dir: PathBuf,
    /// Its records, if it is an institution.
    pub(super) records: Option<PathBuf>,
    /// Its local API.
    pub(super) api: LocalApi,
    process: AgentProcess,
}

/// All members, running.
pub(super) struct Consortium {
    /// Institutions by name, then the lender, then the regulator.
    pub(super) members: Vec<DemoMember>,
}

struct Planned {
    id: String,
    roles: &'static str,
    token: Role,
    dir: PathBuf,
    records: Option<PathBuf>,
}

impl Consortium {
    /// Writes every member's directory below `out/members`, makes the genesis, and starts one process each.
    pub(super) async fn start(data: &Path, out: &Path, base_port: u16, as_of: &str) -> Result<Self> {
        let planned = plan(data, out)?;
        let ports = u16::try_from(planned.len() * 10).context("too many institutions for one machine")?;
        let base_port = match base_port {
            0 => free_base_port(ports).context("looking for free ports")?,
            chosen => chosen,
        };
        for (index, member) in (0..).zip(&planned) {
            let port = base_port.checked_add(index * 10).context("--base-port is too high")?;
            let dir = member.dir.as_os_str().to_owned();
            let port = port.to_string();
            let args = [
                "init",
                "member",
                "--id",
                &member.id,
                "--roles",
                member.roles,
                "--base-port",
                &port,
                "--as-of",
                as_of,
                "--network",
                NETWORK,
            ];
            let args = args.iter().map(Into::into).chain([std::ffi::OsString::from("--dir"), dir]);
            call(args, &[0]).await.with_context(|| format!("making the keys of {}", member.id))?;
        }
        make_genesis(out, &planned).await?;
        let mut members = Vec::new();
        for Planned { id, dir, records, token, .. } in planned {
            let process = AgentProcess::start(&id, &dir)?;
            let api = LocalApi::open(&dir, token)?;
            members.push(DemoMember { id, dir, records, api, process });
        }
        let mut consortium = Self { members };
        consortium.wait_until(READY_WITHIN, "agents to follow the chain", |status| status["fresh"] == true).await?;
        Ok(consortium)
    }

    /// Institutions, in order of name.
    pub(super) fn institutions(&self) -> impl Iterator<Item = &DemoMember> {
        self.members.iter().filter(|member| member.records.is_some())
    }

    /// The member of this name.
    pub(super) fn member(&self, id: &str) -> Result<&DemoMember> {
        self.members.iter().find(|member| member.id == id).with_context(|| format!("no member {id}"))
    }

    /// Waits until every member's chain status holds; an agent that ended is an error at once.
    pub(super) async fn wait_until(
        &mut self,
        within: Duration,
        what: &str,
        holds: impl Fn(&Value) -> bool,
    ) -> Result<()> {
        let deadline = Instant::now() + within;
        for at in 0..self.members.len() {
            loop {
                let member = &mut self.members[at];
                member.process.check_alive()?;
                if member.api.get::<Value>("/v1/chain/status").await.is_ok_and(|status| holds(&status)) {
                    break;
                }
                ensure!(Instant::now() < deadline, "waited {} s for {what}; {} is behind", within.as_secs(), member.id);
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
        Ok(())
    }

    /// Fails if any agent has ended.
    pub(super) fn check_alive(&mut self) -> Result<()> {
        self.members.iter_mut().try_for_each(|member| member.process.check_alive())
    }

    /// Stops every agent.
    pub(super) async fn stop(self) -> Result<()> {
        let stops = self.members.into_iter().map(|member| member.process.stop());
        futures::future::try_join_all(stops).await.map(drop)
    }
}

fn plan(data: &Path, out: &Path) -> Result<Vec<Planned>> {
    let folder = data.join("institutions");
    let mut files: Vec<PathBuf> = fs::read_dir(&folder)
        .with_context(|| format!("reading {}; --data needs institutions/*.csv and applicants.csv", folder.display()))?
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "csv"))
        .collect();
    files.sort();
    if files.is_empty() {
        bail!("{} holds no .csv file", folder.display());
    }
    let members = out.join("members");
    let mut planned = Vec::new();
    for (index, path) in files.into_iter().enumerate() {
        let id = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
        let roles = if index < VALIDATORS { "publisher,validator" } else { "publisher" };
        planned.push(Planned { dir: members.join(&id), id, roles, token: Role::Operator, records: Some(path) });
    }
    for (id, roles, token) in [(LENDER, "lender", Role::Underwriter), (REGULATOR, "regulator", Role::Auditor)] {
        planned.push(Planned { id: id.to_owned(), roles, token, dir: members.join(id), records: None });
    }
    Ok(planned)
}

async fn make_genesis(out: &Path, planned: &[Planned]) -> Result<()> {
    let policy = out.join("policy.toml");
    let genesis = out.join("genesis.toml");
    fs::write(&policy, POLICY).with_context(|| format!("writing {}", policy.display()))?;
    let mut args: Vec<std::ffi::OsString> = vec!["init".into(), "genesis".into(), "--network".into(), NETWORK.into()];
    args.extend(["--policy".into(), policy.into_os_string(), "--out".into(), genesis.clone().into_os_string()]);
    args.extend(planned.iter().map(|member| member.dir.join("member.toml").into_os_string()));
    call(args, &[0]).await.context("making the genesis")?;
    for member in planned {
        let copy = member.dir.join("genesis.toml");
        fs::copy(&genesis, &copy).with_context(|| format!("writing {}", copy.display()))?;
    }
    Ok(())
}
