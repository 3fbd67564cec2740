//! `participant-agent publish FILE`: sends a file of records to the running agent and waits until it is on chain.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};

use super::client::LocalApi;
use super::exit::{CliError, Exit};
use super::output::{date, print_json, print_line, progress_bar};
use super::words;
use crate::api::auth::Role;
use crate::api::models::{PublicationStatus, Started, WorkState};
use crate::api::publications::MAX_BODY;
use crate::records::drawn::DrawProgress;

const POLL: Duration = Duration::from_millis(100);
/// Rejected rows that are listed.
const MAX_SHOWN: usize = 10;

/// Publishes the records of a CSV file.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  participant-agent publish records.csv --dir alpha\n  \
    participant-agent publish records.csv --dir alpha --as-of 2026-06-30 --rejects rejects.csv\n\n\
    records.csv has a header with id_type,id_number,category,severity,overdue_days,amount_cents,currency,event_date and, if you have \
    them, name,mobile,source_ref; UTF-8 or GB18030. id_type: resident_id, uscc, bank_card, mobile. category: blacklist, overdue, \
    cash_out, fraud. severity: 1 to 5. overdue_days and amount_cents: whole numbers, 0 where there is none. Dates: YYYY-MM-DD.\n\n\
    A bad row is rejected whole, with its number and reason; the others are published. The same file again changes nothing. The \
    command waits until the records are final on the chain and the snapshot is sealed; if it is interrupted, the agent goes on, and the same \
    command again shows the outcome.\n\n\
    Exit codes: 0 published (rejected rows included), 2 not a file of records, 3 the agent is not running, 4 refused by a rule.")]
pub struct PublishArgs {
    /// The file of records.
    pub file: PathBuf,
    /// The agent's directory.
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub dir: PathBuf,
    /// Business date, YYYY-MM-DD; the agent's when absent.
    #[arg(long, value_name = "DATE")]
    pub as_of: Option<String>,
    /// Writes record number and reason of every rejected row to this file.
    #[arg(long, value_name = "FILE")]
    pub rejects: Option<PathBuf>,
}

/// Publishes and prints what became of the file.
///
/// # Errors
/// [`CliError`].
pub async fn execute(args: PublishArgs, json: bool) -> Result<Exit, CliError> {
    let bytes = std::fs::read(&args.file).map_err(|error| CliError::io(&args.file, &error))?;
    if bytes.len() as u64 > MAX_BODY {
        let most = MAX_BODY >> 20;
        return Err(CliError::new(
            Exit::Usage,
            format_args!("{} is larger than {most} MiB; split it", args.file.display()),
        ));
    }
    let api = LocalApi::open(&args.dir, Role::Operator)?;
    let path = match &args.as_of {
        Some(text) => format!("/v1/publications?as_of={}", date(text)?),
        None => "/v1/publications".to_owned(),
    };
    let started: Started = api.post_bytes(&path, "text/csv", bytes).await?;
    let bar = progress_bar(json, "publishing");
    let mut status = wait(&api, &started.id, &bar).await?;
    bar.finish_and_clear();
    while let Some(offset) = status.next {
        let path = format!("/v1/publications/{}?limit=10000&offset={offset}", started.id);
        let page: PublicationStatus = api.get(&path).await?;
        status.rejected.extend(page.rejected);
        status.next = page.next;
    }
    if let Some(path) = &args.rejects {
        write_rejects(path, &status)?;
    }
    if json {
        print_json(&status)
    } else {
        print(&status, args.rejects.as_deref())
    }
    Ok(Exit::Done)
}

async fn wait(api: &LocalApi, id: &str, bar: &ProgressBar) -> Result<PublicationStatus, CliError> {
    bar.set_style(ProgressStyle::default_spinner());
    loop {
        let status: PublicationStatus = api.get(&format!("/v1/publications/{id}")).await?;
        if status.state == WorkState::Done {
            return Ok(status);
        }
        let waits = status.waiting_for.as_ref().map(|reason| format!(" ({reason})")).unwrap_or_default();
        match status.rows {
            Some(DrawProgress { drawn, total, rows_per_s, seconds_left }) if drawn < total => {
                let left = seconds_left.map(|s| format!(", {s} s left")).unwrap_or_default();
                bar.set_message(format!("{drawn} of {total} rows drawn, {rows_per_s} a second{left}{waits}"));
            }
            _ => bar.set_message(format!("{} records accepted, {} batches{waits}", status.accepted, status.batches)),
        }
        bar.tick();
        tokio::time::sleep(POLL).await;
    }
}

fn write_rejects(path: &Path, status: &PublicationStatus) -> Result<(), CliError> {
    let mut text = String::from("record_number,reason\n");
    for row in &status.rejected {
        text.push_str(&format!("{},{}\n", row.record_number, row.reason));
    }
    std::fs::write(path, text).map_err(|error| CliError::io(path, &error))
}

fn print(status: &PublicationStatus, rejects: Option<&Path>) {
    print_line(&format!(
        "accepted 接受 {}, duplicates 重复 {}, rejected 拒绝 {}, blank lines 空行 {}",
        status.accepted,
        status.duplicates,
        status.rejected.len(),
        status.blank_lines
    ));
    for column in &status.ignored_columns {
        print_line(&format!("ignored column 忽略的列: {column}"));
    }
    for row in status.rejected.iter().take(MAX_SHOWN) {
        print_line(&format!("  record {} rejected 第 {0} 条拒绝: {}", row.record_number, words::both(&row.reason)));
    }
    if let Some(more) = status.rejected.len().checked_sub(MAX_SHOWN).filter(|more| *more > 0) {
        print_line(&format!("  and {more} more; --rejects FILE writes them all"));
    }
    if let Some(path) = rejects {
        print_line(&format!("record numbers and reasons are in {}", path.display()));
    }
    let batches = if status.batches == 1 { "1 batch".to_owned() } else { format!("{} batches", status.batches) };
    let height = status.height.map(|height| format!(", final at height {height}")).unwrap_or_default();
    let sealed = if status.sealed { "sealed 已封存" } else { "not sealed 未封存" };
    print_line(&format!("{batches} 批次{height}; snapshot 快照 {sealed}"));
    print_line(&commitments(status));
}

/// What is said of the commitments: nobody waits for them.
fn commitments(status: &PublicationStatus) -> String {
    match &status.commitments {
        Some(of) if of.published >= of.total => {
            format!("{} commitments 承诺 on chain, with their range proofs", of.total)
        }
        Some(of) => format!(
            "commitments 承诺: {} of {} proven, {} on chain; range proofs go on in the background 范围证明在后台继续",
            of.proved, of.total, of.published
        ),
        None => "commitments 承诺: range proofs are made in the background 范围证明在后台生成".to_owned(),
    }
}
