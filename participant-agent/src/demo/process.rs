//! The demo's children: one agent process a member, and command-line calls of the same binary.
//!
//! - **Errors**: a call that fails gives its own last sentence on standard error
//! - **Security**: nothing personal in argv; output of agents goes to `agent.log` in their directory

use std::ffi::OsStr;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use serde_json::Value;
use tokio::process::{Child, Command};

/// How long an agent gets to stop before it is killed.
const STOP_GRACE: Duration = Duration::from_secs(10);

fn binary() -> Result<PathBuf> {
    std::env::current_exe().context("finding the path of this program")
}

/// What a command-line call printed and how it ended.
pub(super) struct Called {
    /// Its exit code.
    pub(super) code: i32,
    /// Its standard output, which is JSON.
    pub(super) output: Value,
}

/// Runs `participant-agent ARGS --json` and reads its output; any exit code in `accepted` is an answer.
pub(super) async fn call<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>, accepted: &[i32]) -> Result<Called> {
    let mut command = Command::new(binary()?);
    command.args(args).arg("--json").stdin(Stdio::null()).kill_on_drop(true);
    let out = command.output().await.context("starting this program's own command line")?;
    let code = out.status.code().unwrap_or(-1);
    let stdout = String::from_utf8_lossy(&out.stdout);
    if !accepted.contains(&code) {
        let stderr = String::from_utf8_lossy(&out.stderr);
        let told = if stderr.trim().is_empty() { stdout } else { stderr };
        bail!("{} (exit code {code})", told.trim());
    }
    let output = serde_json::from_str(stdout.trim()).unwrap_or(Value::Null);
    Ok(Called { code, output })
}

/// A running agent; killed when dropped.
pub(super) struct AgentProcess {
    name: String,
    log: PathBuf,
    child: Child,
}

impl AgentProcess {
    /// Starts `participant-agent run --dir DIR`.
    pub(super) fn start(name: &str, dir: &Path) -> Result<Self> {
        let log = dir.join("agent.log");
        let file = File::create(&log).with_context(|| format!("creating {}", log.display()))?;
        let child = Command::new(binary()?)
            .arg("run")
            .arg("--dir")
            .arg(dir)
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("starting the agent of {name}"))?;
        Ok(Self { name: name.to_owned(), log, child })
    }

    /// Fails with the agent's last words if it has ended.
    pub(super) fn check_alive(&mut self) -> Result<()> {
        let Some(status) = self.child.try_wait()? else { return Ok(()) };
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let last = text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("it said nothing");
        Err(anyhow!("the agent of {} ended ({status}): {last}; its log is {}", self.name, self.log.display()))
    }

    /// Asks it to stop, and kills it when it does not.
    pub(super) async fn stop(mut self) -> Result<()> {
        let Some(pid) = self.child.id() else { return Ok(()) };
        let asked = Command::new("kill").arg("-TERM").arg(pid.to_string()).status().await;
        let stopped = tokio::time::timeout(STOP_GRACE, self.child.wait()).await;
        if asked.is_err() || stopped.is_err() {
            self.child.kill().await.with_context(|| format!("stopping the agent of {}", self.name))?;
        }
        Ok(())
    }
}
