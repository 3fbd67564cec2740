//! `participant-agent audit`: the regulator lists queries, follows a person's trail, and reconciles the logs.
//!
//! - **Security**: a person's identifiers come from a file or standard input, never from the command line. Tables show
//!   identifiers shortened; `--json` shows them whole

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, Subcommand};
use indicatif::ProgressStyle;
use riskveil_crypto::Digest32;
use riskveil_exchange::audit::{Finding, Proof, SubjectTrail};
use riskveil_exchange::ids::MemberId;
use riskveil_exchange::purpose::Purpose;
use serde_json::Value;

use super::check::{save_evidence, subject};
use super::client::LocalApi;
use super::exit::{CliError, Exit};
use super::output::{print_json, print_line, progress_bar};
use super::words;
use crate::api::audit::{ReconcileQuery, SubjectQuery};
use crate::api::auth::Role;
use crate::config;
use crate::regulator::{AuditLine, DisclosureLine, LogPage, Reconciled, SubjectReport};
use crate::run::read_genesis;

/// How long a reconciliation may take.
const TIMEOUT: Duration = Duration::from_secs(3600);
/// Requests or findings asked for at a time.
const PAGE: usize = 10_000;
/// Findings shown in a table.
const MAX_SHOWN: usize = 200;
/// Applicants of one screening request shown in a table.
const MAX_SUBJECTS_SHOWN: usize = 4;
/// Pause between two looks at what is logged.
const POLL: Duration = Duration::from_millis(500);

/// Audits the consortium; needs the agent of a regulator.
#[derive(Debug, Args)]
pub struct AuditArgs {
    #[command(subcommand)]
    command: AuditCommand,
}

#[derive(Debug, Subcommand)]
enum AuditCommand {
    /// Who asked about whom, when, why, on which consent, and who answered; newest first.
    #[command(after_help = "Examples:\n  participant-agent audit log --dir regulator --limit 20\n  \
        participant-agent audit log --dir regulator --lender GAMMA --from 120 --to 180 --json\n\n\
        A query stands here once its log window has closed and is on the chain: one to two windows after it was made. Every look \
        is itself logged on the chain. Exit codes: 0 listed, 2 no regulator's directory, or windows that have not closed, 3 the agent is not running.")]
    Log(LogArgs),
    /// Who asked about one person, found by seal and by ciphertext, in lenders' and in responders' logs.
    #[command(after_help = "Examples:\n  participant-agent audit subject --dir regulator --subject applicant.json\n  \
        echo '{\"mobile\": \"...\"}' | participant-agent audit subject --dir regulator --subject -\n\n\
        Every look is itself logged on the chain. Exit codes: 0 searched, 2 no regulator's directory or no valid identifier, 3 the agent is not running.")]
    Subject(SubjectArgs),
    /// Compares what lenders and responders logged and names whoever deviated.
    #[command(after_help = "Examples:\n  participant-agent audit reconcile --dir regulator\n  \
        participant-agent audit reconcile --dir regulator --wait\n  \
        participant-agent audit reconcile --dir regulator --through 42 --json\n\n\
        Without --through everything is judged whose other side is due (leaf_due_windows of the policy). --wait waits until what was \
        asked up to now is on the chain from every side (one to two log windows), or overdue, and judges that too. \
        Exit codes: 0 no finding, 1 findings, 2 nothing to judge yet or no regulator's directory, 3 the agent is not running.")]
    Reconcile(ReconcileArgs),
    /// Writes a file that shows one logged query and its receipts to anyone, offline; see `verify`.
    #[command(
        after_help = "Examples:\n  participant-agent audit export --dir regulator --query 1f3a... --out query.evidence\n  \
        participant-agent verify query.evidence --genesis regulator/genesis.toml\n\n\
        --query takes what `audit log` shows behind `request`. The file shows whom the query is about, by the audit key's proofs, its \
        consent's digest, and where both sides logged it; no answer follows from it. Screenings are not exported.\n\n\
        Exit codes: 0 written, 2 no such query or no regulator's directory, 3 the agent is not running, 4 a screening, 6 the file cannot be written."
    )]
    Export(ExportArgs),
}

#[derive(Debug, Args)]
struct LogArgs {
    /// The agent's directory.
    #[arg(long, value_name = "DIR", default_value = ".")]
    dir: PathBuf,
    /// First log window; 0 when absent.
    #[arg(long, value_name = "WINDOW")]
    from: Option<u64>,
    /// Last log window; the newest closed one when absent.
    #[arg(long, value_name = "WINDOW")]
    to: Option<u64>,
    /// Only queries of this lender.
    #[arg(long, value_name = "MEMBER")]
    lender: Option<MemberId>,
    /// Only queries sent to this publisher.
    #[arg(long, value_name = "MEMBER")]
    publisher: Option<MemberId>,
    /// Only queries for this purpose.
    #[arg(long, value_name = "CODE")]
    purpose: Option<Purpose>,
    /// Most queries, up to 10000.
    #[arg(long, value_name = "N", default_value_t = 100)]
    limit: usize,
    /// Matching queries left out at the front.
    #[arg(long, value_name = "N", default_value_t = 0)]
    offset: usize,
}

#[derive(Debug, Args)]
struct SubjectArgs {
    /// The agent's directory.
    #[arg(long, value_name = "DIR", default_value = ".")]
    dir: PathBuf,
    /// JSON file with the identifiers, or - for standard input; asked for when absent.
    #[arg(long, value_name = "FILE")]
    subject: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct ExportArgs {
    /// The agent's directory.
    #[arg(long, value_name = "DIR", default_value = ".")]
    dir: PathBuf,
    /// The query: the digits that `audit log` shows behind `request`, or all 64 of them.
    #[arg(long, value_name = "HEX", value_parser = digits)]
    query: String,
    /// Where the file goes; readable by its owner alone.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

#[derive(Debug, Args)]
struct ReconcileArgs {
    /// The agent's directory.
    #[arg(long, value_name = "DIR", default_value = ".")]
    dir: PathBuf,
    /// First log window; 0 when absent.
    #[arg(long, value_name = "WINDOW")]
    from: Option<u64>,
    /// Last log window, any closed one; when absent the last one whose other side is due.
    #[arg(long, value_name = "WINDOW")]
    through: Option<u64>,
    /// Waits until everything asked up to now can be judged.
    #[arg(long, conflicts_with = "through")]
    wait: bool,
}

/// Audits and prints.
///
/// # Errors
/// [`CliError`].
pub async fn execute(args: AuditArgs, json: bool) -> Result<Exit, CliError> {
    match args.command {
        AuditCommand::Log(args) => log(args, json).await,
        AuditCommand::Subject(args) => trail(args, json).await,
        AuditCommand::Reconcile(args) => reconcile(args, json).await,
        AuditCommand::Export(args) => export(args, json).await,
    }
}

/// The API of a regulator's agent.
fn auditor(dir: &Path) -> Result<LocalApi, CliError> {
    let api = LocalApi::open(dir, Role::Auditor)?.timeout(TIMEOUT);
    let (config, genesis) = (config::load(dir)?, read_genesis(dir)?);
    if genesis.member(&config.member).is_some_and(|member| !member.roles.regulator) {
        let sentence = format!(
            "{} is no regulator; name the directory of {} with --dir",
            config.member, genesis.audit_key.regulator
        );
        return Err(CliError::new(Exit::Usage, sentence));
    }
    Ok(api)
}

/// Waits until every member has logged the window that is open now, or until it is overdue; gives that window.
async fn everything_logged(api: &LocalApi, due_windows: u64, json: bool) -> Result<u64, CliError> {
    let status = async || api.get::<Value>("/v1/chain/status").await;
    let damaged = || CliError::new(Exit::NoAgent, "the agent's status has no log window; is it of the same version?");
    let open = status().await?["window"].as_u64().ok_or_else(damaged)?;
    let overdue = open.saturating_add(due_windows).saturating_add(1);
    let bar = progress_bar(json, "waiting for the logs of every member");
    bar.set_style(ProgressStyle::default_spinner());
    loop {
        let status = status().await?;
        let logged = status["logged_through"].as_u64();
        let now = status["window"].as_u64().ok_or_else(damaged)?;
        if logged >= Some(open) || now > overdue {
            bar.finish_and_clear();
            return Ok(open);
        }
        let shown = logged.map_or_else(|| "none".to_owned(), |window| window.to_string());
        bar.set_message(format!("waiting for window {open} from every member: logged through {shown}, now {now}"));
        bar.tick();
        tokio::time::sleep(POLL).await;
    }
}

async fn log(args: LogArgs, json: bool) -> Result<Exit, CliError> {
    let api = auditor(&args.dir)?;
    let mut path = format!("/v1/audit/log?limit={}&offset={}", args.limit, args.offset);
    let numbers = [("from", args.from), ("to", args.to)];
    let words = [
        ("lender", args.lender.map(|member| member.to_string())),
        ("publisher", args.publisher.map(|member| member.to_string())),
        ("purpose", args.purpose.map(|purpose| purpose.to_string())),
    ];
    let numbers = numbers.into_iter().map(|(name, value)| (name, value.map(|value| value.to_string())));
    for (name, value) in numbers.chain(words) {
        // names, purposes and numbers need no escaping in an address
        path.extend(value.map(|value| format!("&{name}={value}")));
    }
    let page: LogPage = api.get(&path).await?;
    if json {
        print_json(&page);
        return Ok(Exit::Done);
    }
    print_line(&format!(
        "windows 窗口 {} to {}: {} of {} queries 查询",
        page.from,
        page.to,
        page.entries.len(),
        page.matching
    ));
    if page.matching == 0 {
        print_line("  a query stands here once its log window has closed and is on the chain 窗口结束并上链后才可见");
    }
    page.entries.iter().for_each(print_query);
    if page.matching_disclosures > 0 {
        let shown = page.disclosures.len();
        print_line(&format!("{shown} of {} disclosures 披露", page.matching_disclosures));
        page.disclosures.iter().for_each(print_disclosure);
    }
    Ok(Exit::Done)
}

async fn trail(args: SubjectArgs, json: bool) -> Result<Exit, CliError> {
    let subject = subject(args.subject.as_deref())?;
    let api = auditor(&args.dir)?;
    let mut query = SubjectQuery { subject, offset: None, limit: Some(PAGE) };
    let mut report: SubjectReport = api.post("/v1/audit/subject", &query).await?;
    while let Some(offset) = report.next {
        query.offset = Some(offset);
        let page: SubjectReport = api.post("/v1/audit/subject", &query).await?;
        report.trail.extend(page.trail);
        report.next = page.next;
    }
    if json {
        print_json(&report);
        return Ok(Exit::Done);
    }
    print_line(&format!(
        "windows 窗口 {} to {}: asked about in {} queries 次查询, by {} identifiers in all",
        report.from,
        report.to,
        report.trail.iter().map(|one| one.core_digest).collect::<BTreeSet<_>>().len(),
        report.trail.len()
    ));
    report.trail.iter().for_each(print_trail);
    Ok(Exit::Done)
}

async fn export(args: ExportArgs, json: bool) -> Result<Exit, CliError> {
    let api = auditor(&args.dir)?;
    let query = whole_digest(&api, &args.query).await?;
    save_evidence(&api, &format!("/v1/audit/evidence/{query}"), &args.out, json).await?;
    if json {
        print_json(&serde_json::json!({ "query": query, "file": args.out }));
    }
    Ok(Exit::Done)
}

/// The query whose digest begins so.
async fn whole_digest(api: &LocalApi, digits: &str) -> Result<Digest32, CliError> {
    if let Ok(whole) = digits.parse() {
        return Ok(whole);
    }
    let mut found = BTreeSet::new();
    let mut offset = 0;
    loop {
        let page: LogPage = api.get(&format!("/v1/audit/log?limit={PAGE}&offset={offset}")).await?;
        found.extend(page.entries.iter().map(|line| line.core_digest).filter(|one| one.to_hex().starts_with(digits)));
        match page.next {
            Some(next) => offset = next,
            None => break,
        }
    }
    match (found.pop_first(), found.is_empty()) {
        (Some(one), true) => Ok(one),
        (None, _) => Err(CliError::new(
            Exit::Usage,
            format_args!(
                "no logged query begins with {digits}; `audit log` lists them, one or two windows after they were made"
            ),
        )),
        _ => Err(CliError::new(Exit::Usage, format_args!("several queries begin with {digits}; give more digits"))),
    }
}

async fn reconcile(args: ReconcileArgs, json: bool) -> Result<Exit, CliError> {
    let api = auditor(&args.dir)?;
    let through = match args.wait {
        true => Some(everything_logged(&api, read_genesis(&args.dir)?.policy.leaf_due_windows, json).await?),
        false => args.through,
    };
    let mut query = ReconcileQuery { from: args.from, through, offset: None, limit: Some(PAGE) };
    let mut report: Reconciled = api.post("/v1/audit/reconcile", &query).await?;
    while let Some(offset) = report.next {
        query = ReconcileQuery { through: Some(report.through.0), offset: Some(offset), ..query };
        let page: Reconciled = api.post("/v1/audit/reconcile", &query).await?;
        report.findings.extend(page.findings);
        report.next = page.next;
    }
    if json {
        print_json(&report)
    } else {
        print_reconciled(&report)
    }
    Ok(if report.findings.is_empty() { Exit::Done } else { Exit::NotHeld })
}

fn print_query(line: &AuditLine) {
    print_line(&format!(
        "{}  {} {} window {} block {} request {}",
        time(line.issued_at_s),
        line.lender,
        words::both(line.purpose.word()),
        line.last_window,
        line.height,
        short(&line.core_digest.to_hex())
    ));
    match &line.subjects {
        None => print_line("    the seal does not open 密封无法打开"),
        Some(subjects) => {
            for subject in subjects.iter().take(MAX_SUBJECTS_SHOWN) {
                let shown: Vec<String> = subject
                    .identifiers
                    .iter()
                    .map(|one| format!("{} {}", one.id_type, shorten(one.value.expose())))
                    .collect();
                let consent = subject.consent_digest.to_hex();
                print_line(&format!("    about 被查询人 {}  consent 授权 {}", shown.join(", "), short(&consent)));
            }
            if let Some(more) = subjects.len().checked_sub(MAX_SUBJECTS_SHOWN).filter(|more| *more > 0) {
                print_line(&format!("    and {more} more; --json shows all"));
            }
        }
    }
    let responders: Vec<String> =
        line.responders.iter().map(|one| format!("{} {}", one.publisher, words::both(&one.status))).collect();
    print_line(&format!("    asked 应答方 {}", responders.join(", ")));
}

fn print_disclosure(line: &DisclosureLine) {
    print_line(&format!(
        "{}  {} {} window 窗口 {} block 区块 {} disclosure 披露 {}",
        time(line.issued_at_s),
        line.lender,
        words::both(line.purpose.word()),
        line.last_window,
        line.height,
        short(&line.disclosure.to_hex())
    ));
    let request = line.core_digest.map_or_else(|| "not read".to_owned(), |digest| short(&digest.to_hex()).to_owned());
    print_line(&format!(
        "    asked 应答方 {} {}, after request 原查询 {request}, consent 授权 {}",
        line.publisher,
        words::both(&line.status),
        short(&line.consent_digest.to_hex())
    ));
}

fn print_trail(one: &SubjectTrail) {
    let found = match (one.by_seal, one.by_escrow) {
        (true, true) => "found by seal and ciphertext 密封与密文均相符",
        (true, false) => "found by seal only 仅密封相符",
        _ => "found by ciphertext only 仅密文相符",
    };
    print_line(&format!(
        "{}  {} {} by {} block {} request {} {found}",
        time(one.issued_at_s),
        one.lender,
        words::both(one.purpose.word()),
        words::both(one.id_type.as_str()),
        one.height,
        short(&one.core_digest.to_hex())
    ));
    let consent = one.consent_digest.map_or_else(|| "none".to_owned(), |digest| digest.to_hex());
    print_line(&format!("    consent 授权 {consent}"));
    for responder in &one.responders {
        let logged = match (responder.logged_by_lender, responder.logged_by_responder) {
            (true, true) => "logged by both 双方均已记录",
            (true, false) => "logged by the lender only 仅查询方记录",
            _ => "logged by the responder only 仅应答方记录",
        };
        print_line(&format!(
            "    {:<14} {}, {logged}",
            responder.publisher,
            words::both(&crate::regulator::status_word(responder.status))
        ));
    }
    for disclosure in &one.disclosures {
        print_line(&format!(
            "    {} asked to disclose 请求披露 {:<14} {}, {}, consent 授权 {}",
            time(disclosure.issued_at_s),
            disclosure.publisher,
            words::both(&crate::regulator::disclosure_word(disclosure.status)),
            words::both(disclosure.purpose.word()),
            short(&disclosure.consent_digest.to_hex())
        ));
    }
}

fn print_reconciled(report: &Reconciled) {
    print_line(&format!(
        "windows 窗口 {} to {}, judged at height {}: {} log transactions, {} leaves",
        report.from, report.through, report.head_height, report.windows, report.leaves
    ));
    print_line(&format!(
        "{} queries 查询 with {} envelopes, {} receipts 回执, {} matched 相符, {} pending 待定, {} requests checked",
        report.queries, report.envelopes, report.receipts, report.matched, report.pending, report.requests
    ));
    print_line(&format!(
        "{} disclosures 披露 asked for, {} received, {} matched 相符",
        report.disclosures, report.disclosure_receipts, report.disclosures_matched
    ));
    if report.excused > 0 {
        print_line(&format!("{} findings excused: the chain stood still meanwhile", report.excused));
    }
    print_line(&format!("findings 发现: {}", report.findings.len()));
    for finding in report.findings.iter().take(MAX_SHOWN) {
        print_line(&format!("  {}", sentence(finding)));
    }
    if report.findings.len() > MAX_SHOWN {
        print_line(&format!("  and {} more; --json shows all with their proofs", report.findings.len() - MAX_SHOWN));
    }
}

fn sentence(finding: &Finding) -> String {
    let mut text = format!("{}: {}", words::both(finding.kind.as_str()), finding.party);
    if let Some(fault) = finding.fault {
        text.push_str(&format!(" {fault:?}"));
    }
    if let Some((first, last)) = finding.windows {
        text.push_str(&format!(" windows {first} to {last}"));
    }
    if let Some(digest) = finding.core_digest {
        text.push_str(&format!(" request {}", short(&digest.to_hex())));
    }
    if let Some(digest) = finding.disclosure {
        text.push_str(&format!(" disclosure {}", short(&digest.to_hex())));
    }
    if let Some(item) = finding.item {
        text.push_str(&format!(" item {item}"));
    }
    for proof in &finding.proof {
        match proof {
            Proof::OnChain { member, last_window, height, .. } => {
                text.push_str(&format!("; {member} logged window {last_window} in block {height}"));
            }
            Proof::SignedEnvelope { envelope, .. } => {
                text.push_str(&format!("; envelope {} to {}", short(&envelope.digest().to_hex()), envelope.publisher));
            }
            Proof::SignedDisclosure { head, .. } => {
                text.push_str(&format!("; disclosure {} to {}", short(&head.digest().to_hex()), head.publisher));
            }
            Proof::SignedOutcome { publisher, outcome, .. } => {
                text.push_str(&format!("; {publisher} signed response {}", short(&outcome.response_digest.to_hex())));
            }
            Proof::Commitments { batch_seq, height, chunk, attribute, .. } => {
                let what = attribute.as_str();
                text.push_str(&format!(
                    "; the proof of {what} in chunk {chunk} of commitment batch {batch_seq}, block {height}"
                ));
            }
            Proof::AbsentAt { due_s, .. } => text.push_str(&format!("; due by {}", time(*due_s))),
        }
    }
    text
}

/// The first digits of a digest: 8 to 64.
fn digits(text: &str) -> Result<String, String> {
    let text = text.to_ascii_lowercase();
    let hex = text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if hex && (8..=64).contains(&text.len()) { Ok(text) } else { Err("give 8 to 64 hex digits".to_owned()) }
}

/// The first 16 digits of a digest.
fn short(hex: &str) -> &str {
    hex.get(..16).unwrap_or(hex)
}

/// An identifier with its middle hidden.
fn shorten(text: &str) -> String {
    let count = text.chars().count();
    let keep = if count > 8 { 4 } else { 1 };
    text.chars().enumerate().map(|(at, c)| if at < keep || at + keep >= count { c } else { '*' }).collect()
}

/// A Unix time in UTC.
fn time(seconds: u64) -> String {
    let time = i64::try_from(seconds).ok().and_then(|s| time::OffsetDateTime::from_unix_timestamp(s).ok());
    time.map_or_else(
        || seconds.to_string(),
        |t| {
            let (date, clock) = (t.date(), t.time());
            format!("{date} {:02}:{:02}:{:02}Z", clock.hour(), clock.minute(), clock.second())
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_hide_the_middle_of_identifiers() {
        assert_eq!(shorten("11010519491231002X"), "1101**********002X");
        assert_eq!(shorten("138"), "1*8");
        assert_eq!(digits("AB12cd34").as_deref(), Ok("ab12cd34"));
        assert!(digits("ab12").is_err() && digits("ab12cd3g").is_err() && digits(&"a".repeat(65)).is_err());
        assert_eq!(time(1_700_000_000), "2023-11-14 22:13:20Z");
    }
}
