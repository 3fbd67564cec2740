//! `participant-agent demo`: a consortium on this machine, both walks and the audit, from outside.
//!
//! - **Place**: neither walk: it does what an operator would do, with `init`, `run`, `screen`, `audit` and the HTTP API
//! - **Shapes**: one process per file of `DIR/institutions`, one lender, one regulator; `answers.csv`, `unanswered.csv`,
//!   `rejects.csv` below `--out`
//! - **Errors**: exit code 0 only if every publication was sealed, every responder answered and the audit found nothing
//! - **Security**: imports nothing of the rooms below; an architecture test holds that

mod consortium;
mod process;
mod proofs;
mod report;
mod sample;
mod steps;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use clap::Args;
use tokio::signal::unix::{SignalKind, signal};

use self::consortium::Consortium;
use self::report::Outcome;
use crate::cli::screen::ApplicantFile;

/// A folder with this file in it was made by a demo and may be emptied by the next.
const MARKER: &str = ".riskveil-demo";

/// Starts a consortium on this machine, publishes, checks, screens and audits, then stays up until Ctrl-C.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  participant-agent demo\n  participant-agent demo --exit --out /tmp/riskveil\n  \
    participant-agent demo --data DIR --as-of 2026-06-30 --base-port 0 --exit\n\n\
    DIR holds institutions/*.csv and applicants.csv. Exit code 0 only if everything held.")]
pub struct DemoArgs {
    /// Folder with institutions/*.csv and applicants.csv; the bundled sample when absent.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Business date of the data, YYYY-MM-DD; the sample's own when absent, today for other data.
    #[arg(long, value_name = "DATE")]
    as_of: Option<String>,
    /// Folder for the members' directories and the results.
    #[arg(long, value_name = "DIR", default_value = "riskveil-demo")]
    out: PathBuf,
    /// Agent i serves its API on N+10i, members on +1, the engine on +2; 0 picks free ports.
    #[arg(long, value_name = "N", default_value_t = 17800)]
    base_port: u16,
    /// End when everything is done instead of staying up; range proofs get at most 90 s more.
    #[arg(long)]
    exit: bool,
}

/// Runs the demo; true if everything held.
///
/// # Errors
/// What an agent or command answered, with the step in front.
pub async fn execute(args: DemoArgs) -> Result<bool> {
    let mut told = std::pin::pin!(told_to_stop()?);
    let (mut consortium, held) = tokio::select! {
        ended = demonstrate(&args) => ended?,
        // agents are killed as the consortium is dropped
        () = &mut told => bail!("stopped before the end"),
    };
    if !args.exit {
        stay_up(&mut consortium, told).await?;
    }
    consortium.stop().await?;
    Ok(held)
}

/// Everything up to the summary; true if all held.
async fn demonstrate(args: &DemoArgs) -> Result<(Consortium, bool)> {
    let began = Instant::now();
    let out = prepare(&args.out)?;
    let data = match &args.data {
        Some(data) => data.clone(),
        None => {
            let data = out.join("data");
            sample::write_to(&data).with_context(|| format!("writing the sample to {}", data.display()))?;
            data
        }
    };
    let as_of = match (&args.as_of, &args.data) {
        (Some(date), _) => date.clone(),
        (None, None) => sample::AS_OF.to_owned(),
        (None, Some(_)) => crate::cli::today(),
    };

    println!("Riskveil demo: one process a member, data in {}, as of {as_of}", data.display());
    let mut consortium = Consortium::start(&data, &out, args.base_port, &as_of).await?;
    println!("{} agents follow the chain after {:.1} s", consortium.members.len(), began.elapsed().as_secs_f64());
    let outcome = run(&mut consortium, &data, args, &out, &as_of).await?;
    outcome.write_rejects(&out)?;
    outcome.print(&out);

    let failures = outcome.failures();
    for failure in &failures {
        println!("DID NOT HOLD 未达成: {failure}");
    }
    if failures.is_empty() {
        println!("Everything held. 全部成立。");
    }
    Ok((consortium, failures.is_empty()))
}

/// The steps in their order.
async fn run(consortium: &mut Consortium, data: &Path, args: &DemoArgs, out: &Path, as_of: &str) -> Result<Outcome> {
    let began = Instant::now();
    let published = steps::publish(consortium, as_of).await?;
    steps::replicated(consortium, &published).await?;

    let file = data.join("applicants.csv");
    let applicants = ApplicantFile::read(&file, Some(as_of))?;
    let consents = out.join("consents");
    steps::write_consents(&consents, &applicants)?;
    let singly = steps::check_singly(consortium, &applicants, &consents, as_of).await?;
    let screened = steps::screen(consortium, &file, applicants.len(), &consents, out, as_of).await?;

    let audited = steps::audit(consortium).await?;
    let took = began.elapsed();
    let proofs = if args.exit { proofs::wait(consortium).await? } else { proofs::look(consortium).await? };
    let chain = steps::chain_status(consortium).await?;
    Ok(Outcome { published, singly, screened, audited, proofs, chain, took })
}

/// An empty folder of ours: made new, or emptied when a demo made it before.
fn prepare(out: &Path) -> Result<PathBuf> {
    if out.exists() {
        let mut entries = fs::read_dir(out).with_context(|| format!("reading {}", out.display()))?;
        let ours = out.join(MARKER).exists();
        if !ours && entries.next().is_some() {
            bail!("{} is not empty and no demo made it; name another folder with --out", out.display());
        }
        if ours {
            fs::remove_dir_all(out).with_context(|| format!("emptying {}", out.display()))?;
        }
    }
    fs::create_dir_all(out).with_context(|| format!("creating {}", out.display()))?;
    fs::write(out.join(MARKER), "made by `participant-agent demo`; the next demo may empty this folder\n")?;
    out.canonicalize().with_context(|| format!("finding {}", out.display()))
}

/// Ready when the process is told to stop, by Ctrl-C or SIGTERM.
fn told_to_stop() -> Result<impl Future<Output = ()>> {
    let mut interrupt = signal(SignalKind::interrupt()).context("waiting for Ctrl-C")?;
    let mut terminate = signal(SignalKind::terminate()).context("waiting for SIGTERM")?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}

/// Serves until told to stop; fails if an agent ends before.
async fn stay_up(consortium: &mut Consortium, mut told: impl Future<Output = ()> + Unpin) -> Result<()> {
    println!("\nServing 服务地址 (Ctrl-C ends 结束):");
    for member in &consortium.members {
        println!("  {:<14} {}   token in {}", member.id, member.api.base_url(), member.dir.join("api.token").display());
    }
    let mut beat = tokio::time::interval(std::time::Duration::from_secs(1));
    loop {
        tokio::select! {
            // Ctrl-C reaches the agents too: that they end then is no failure
            biased;
            () = &mut told => return Ok(()),
            _ = beat.tick() => consortium.check_alive()?,
        }
    }
}
