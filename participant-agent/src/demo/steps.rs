//! What the demo does, one function a step, through the command line and the HTTP API alone.
//!
//! - **Place**: walk A for every institution, walk B 200 times singly and once over all applicants, then the audit
//! - **Errors**: whatever an agent answered, in its own words, with the step in front

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use serde_json::{Value, json};

use super::consortium::{Consortium, LENDER, REGULATOR};
use super::process::call;
use super::proofs;
use crate::cli::client::LocalApi;
use crate::cli::screen::{ApplicantFile, consent_digest};

/// Single checks of a demo.
pub(super) const SINGLE_CHECKS: usize = 200;
/// Purpose that the demo's checks state.
const PURPOSE: &str = "pre_loan_approval";
/// How long a publication may take.
const PUBLISH_WITHIN: Duration = Duration::from_secs(600);
/// How long members may take to have the blocks of a publication.
const REPLICATED_WITHIN: Duration = Duration::from_secs(60);
/// Pause between two looks at work that goes on.
const POLL: Duration = Duration::from_millis(50);

/// One institution's publication.
pub(super) struct Published {
    /// The institution.
    pub(super) institution: String,
    /// The agent's last word on it (`PublicationStatus`).
    pub(super) status: Value,
}

/// What the single checks showed.
pub(super) struct SingleChecks {
    /// Wall-clock time of each call of `/v1/checks`, ascending.
    pub(super) latencies: Vec<Duration>,
    /// Verdicts over all responders, by word.
    pub(super) verdicts: BTreeMap<String, usize>,
    /// Whether range proofs were made or verified meanwhile, on the same cores.
    pub(super) beside_proofs: bool,
}

/// What the screening showed.
pub(super) struct Screened {
    /// Output of `screen --json`.
    pub(super) summary: Value,
    /// Exit code of `screen`: 0 when everyone answered.
    pub(super) code: i32,
    /// Applicants asked about.
    pub(super) applicants: usize,
    /// Wall-clock time.
    pub(super) took: Duration,
}

/// What the regulator found.
pub(super) struct Audited {
    /// Output of `audit reconcile --json`.
    pub(super) reconciled: Value,
    /// Exit code of `audit reconcile`: 0 without findings.
    pub(super) code: i32,
}

fn bar(bars: &MultiProgress, name: &str, length: u64) -> ProgressBar {
    let bar = bars.add(ProgressBar::new(length));
    let style = ProgressStyle::with_template("  {prefix:<14} [{bar:30}] {pos}/{len} {msg}");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar.set_prefix(name.to_owned());
    bar
}

/// Every institution publishes its file; all at once, as they would.
pub(super) async fn publish(consortium: &mut Consortium, as_of: &str) -> Result<Vec<Published>> {
    let bars = MultiProgress::new();
    let work = consortium.institutions().map(|member| {
        let bar = bar(&bars, &member.id, 0);
        async move {
            let file = member.records.as_ref().context("an institution has a file")?;
            let bytes = fs::read(file).with_context(|| format!("reading {}", file.display()))?;
            let status = publish_one(&member.api, bytes, as_of, &bar)
                .await
                .with_context(|| format!("publishing the records of {}", member.id))?;
            Ok::<_, anyhow::Error>(Published { institution: member.id.clone(), status })
        }
    });
    let published = futures::future::try_join_all(work).await;
    consortium.check_alive()?;
    published
}

/// Waits until every member's replica has the blocks of these publications: whoever asks before has nobody to ask.
pub(super) async fn replicated(consortium: &mut Consortium, published: &[Published]) -> Result<()> {
    let height = published.iter().filter_map(|one| one.status["height"].as_u64()).max();
    consortium.wait_until(REPLICATED_WITHIN, "the publications", |status| status["height"].as_u64() >= height).await
}

async fn publish_one(api: &LocalApi, bytes: Vec<u8>, as_of: &str, bar: &ProgressBar) -> Result<Value> {
    let started: Value = api.post_bytes(&format!("/v1/publications?as_of={as_of}"), "text/csv", bytes).await?;
    let id = started["id"].as_str().context("the agent named no publication")?.to_owned();
    let deadline = Instant::now() + PUBLISH_WITHIN;
    loop {
        let mut status: Value = api.get(&format!("/v1/publications/{id}")).await?;
        let accepted = status["accepted"].as_u64().unwrap_or(0);
        bar.set_length(accepted.max(1));
        bar.set_message(status["waiting_for"].as_str().unwrap_or("").to_owned());
        if status["state"] == "done" {
            bar.set_position(accepted);
            bar.finish_with_message("rows final");
            while let Some(offset) = status["next"].as_u64() {
                let page: Value = api.get(&format!("/v1/publications/{id}?limit=10000&offset={offset}")).await?;
                if let (Some(all), Some(more)) = (status["rejected"].as_array_mut(), page["rejected"].as_array()) {
                    all.extend(more.iter().cloned());
                }
                status["next"] = page["next"].clone();
            }
            return Ok(status);
        }
        ensure!(Instant::now() < deadline, "not final after {} s: {status}", PUBLISH_WITHIN.as_secs());
        tokio::time::sleep(POLL).await;
    }
}

/// One consent file an applicant, as a lender would have them.
pub(super) fn write_consents(dir: &Path, applicants: &ApplicantFile) -> Result<()> {
    fs::create_dir_all(dir)?;
    for reference in applicants.references() {
        let text = format!("{reference} agreed on the application form that consortium members are asked.\n");
        fs::write(dir.join(format!("{reference}.txt")), text)?;
    }
    Ok(())
}

/// Asks about the first applicants one at a time.
pub(super) async fn check_singly(
    consortium: &mut Consortium,
    applicants: &ApplicantFile,
    consents: &Path,
    as_of: &str,
) -> Result<SingleChecks> {
    let bars = MultiProgress::new();
    let bar = bar(&bars, "single checks", SINGLE_CHECKS as u64);
    let api = &consortium.member(LENDER)?.api;
    let beside_proofs = !proofs::look(consortium).await?.is_complete();
    let mut checks = SingleChecks { latencies: Vec::new(), verdicts: BTreeMap::new(), beside_proofs };
    for at in 0..SINGLE_CHECKS {
        let (reference, subject) = applicants.subject(at % applicants.len()).context("applicants.csv has no row")?;
        let digest = consent_digest(&consents.join(format!("{reference}.txt")))?;
        let body = json!({ "subject": subject, "purpose": PURPOSE, "consent_digest": digest, "as_of": as_of });
        let began = Instant::now();
        let report: Value = api.post("/v1/checks", &body).await.context("checking an applicant")?;
        checks.latencies.push(began.elapsed());
        for answer in report["answers"].as_array().context("the report has no answers")? {
            let word = answer["verdict"].as_str().context("an answer has no verdict")?;
            *checks.verdicts.entry(word.to_owned()).or_default() += 1;
        }
        bar.inc(1);
    }
    bar.finish();
    checks.latencies.sort_unstable();
    consortium.check_alive()?;
    Ok(checks)
}

/// Screens the whole applicant file with the command line; writes `answers.csv` and `unanswered.csv` into `out`.
pub(super) async fn screen(
    consortium: &mut Consortium,
    file: &Path,
    applicants: usize,
    consents: &Path,
    out: &Path,
    as_of: &str,
) -> Result<Screened> {
    let lender = consortium.member(LENDER)?;
    let mut args: Vec<OsString> = vec!["screen".into(), file.into(), "--dir".into(), lender.dir.clone().into()];
    args.extend(["--consents".into(), consents.into(), "--purpose".into(), PURPOSE.into()]);
    args.extend(["--as-of".into(), as_of.into(), "--out".into(), out.into()]);
    let began = Instant::now();
    let spinner = ProgressBar::new_spinner().with_message(format!("screening {applicants} applicants"));
    spinner.enable_steady_tick(Duration::from_millis(120));
    let called = call(args, &[0, 5]).await.context("screening the applicants")?;
    spinner.finish_and_clear();
    consortium.check_alive()?;
    Ok(Screened { summary: called.output, code: called.code, applicants, took: began.elapsed() })
}

/// Waits until two more log windows have closed and are on chain, then lets the regulator reconcile up to the first.
pub(super) async fn audit(consortium: &mut Consortium) -> Result<Audited> {
    let status: Value = consortium.member(LENDER)?.api.get("/v1/chain/status").await?;
    let last = status["window"].as_u64().context("the chain status names no log window")?;
    let spinner = ProgressBar::new_spinner().with_message("two log windows close and are sealed on chain");
    spinner.enable_steady_tick(Duration::from_millis(120));
    let logged = |status: &Value| status["logged_through"].as_u64().is_some_and(|window| window > last);
    consortium.wait_until(Duration::from_secs(120), "two log windows on chain", logged).await?;
    let regulator = consortium.member(REGULATOR)?;
    let mut args: Vec<OsString> =
        vec!["audit".into(), "reconcile".into(), "--dir".into(), regulator.dir.clone().into()];
    args.extend(["--through".into(), last.to_string().into()]);
    let called = call(args, &[0, 1]).await.context("reconciling the logs")?;
    spinner.finish_and_clear();
    consortium.check_alive()?;
    Ok(Audited { reconciled: called.output, code: called.code })
}

/// The chain as the regulator's replica sees it, after everything, with the lender's own count of its checks' bytes.
pub(super) async fn chain_status(consortium: &Consortium) -> Result<Value> {
    let mut status: Value = consortium.member(REGULATOR)?.api.get("/v1/chain/status").await?;
    if status["height"].as_u64().is_none() {
        bail!("the chain status names no height");
    }
    let lender: Value = consortium.member(LENDER)?.api.get("/v1/chain/status").await?;
    status["lender_traffic"] = lender["lender_traffic"].clone();
    Ok(status)
}
