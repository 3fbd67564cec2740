//! `participant-agent check`: asks every publisher about one applicant.
//!
//! - **Security**: identifiers come from a file, standard input or prompts, never from the command line

use std::io::{IsTerminal, Read};
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::Value;
use zeroize::Zeroizing;

use super::client::LocalApi;
use super::exit::{CliError, Exit};
use super::output::{date, print_json};
use super::screen::consent_digest;
use crate::api::auth::Role;
use crate::api::models::{CheckBody, PersonalText, SubjectBody};

/// Longest subject, bytes.
const MAX_SUBJECT: u64 = 4096;

/// Checks one applicant.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  participant-agent check --dir lender --consent consent.pdf --purpose pre_loan_approval\n  \
    participant-agent check --dir lender --consent consent.pdf --purpose pre_loan_approval --subject subject.json\n\n\
    subject.json: {\"resident_id\": \"...\", \"uscc\": \"...\", \"bank_card\": \"...\", \"mobile\": \"...\"}, at least one of them.\n\
    Exit codes: 0 everyone answered, 4 refused, 5 somebody did not answer."
)]
pub struct CheckArgs {
    /// The agent's directory.
    #[arg(long, value_name = "DIR")]
    pub dir: PathBuf,
    /// The applicant's consent: any file; its SHA-256 is bound to the query.
    #[arg(long, value_name = "FILE")]
    pub consent: PathBuf,
    /// Why: pre_loan_approval, post_loan_management, guarantor_check, dispute_check or subject_access.
    #[arg(long, value_name = "CODE")]
    pub purpose: String,
    /// JSON file with the identifiers, or - for standard input; asked for when absent.
    #[arg(long, value_name = "FILE")]
    pub subject: Option<PathBuf>,
    /// Business date, YYYY-MM-DD; the agent's when absent.
    #[arg(long, value_name = "DATE")]
    pub as_of: Option<String>,
}

/// Checks and prints the report.
///
/// # Errors
/// [`CliError`].
pub async fn execute(args: CheckArgs, json: bool) -> Result<Exit, CliError> {
    let purpose = args.purpose.parse().map_err(|error| CliError::new(Exit::Usage, error))?;
    let as_of = args.as_of.as_deref().map(date).transpose()?;
    let consent_digest = consent_digest(&args.consent)?;
    let subject = subject(args.subject.as_deref())?;
    let api = LocalApi::open(&args.dir, Role::Underwriter)?;
    let body = CheckBody { subject, purpose, consent_digest, as_of };
    let report: Value = api.post("/v1/checks", &body).await?;
    if json {
        print_json(&report)
    } else {
        print(&report)
    }
    let answers = report["answers"].as_array().map(Vec::as_slice).unwrap_or_default();
    let everyone = answers.iter().all(|answer| answer["verdict"] == "hit" || answer["verdict"] == "clear");
    Ok(if everyone && !answers.is_empty() { Exit::Done } else { Exit::Unanswered })
}

pub(super) fn subject(source: Option<&Path>) -> Result<SubjectBody, CliError> {
    let Some(path) = source else { return prompt() };
    let mut text = Zeroizing::new(String::new());
    let read = if path == Path::new("-") {
        std::io::stdin().take(MAX_SUBJECT).read_to_string(&mut text)
    } else {
        std::fs::File::open(path).and_then(|file| file.take(MAX_SUBJECT).read_to_string(&mut text))
    };
    read.map_err(|error| CliError::io(path, &error))?;
    serde_json::from_str(&text).map_err(|error| {
        let at = format!("line {}, column {}", error.line(), error.column());
        CliError::new(Exit::Usage, format_args!("{}: not a subject ({at}); see `check --help`", path.display()))
    })
}

/// Asks for each identifier without showing it.
fn prompt() -> Result<SubjectBody, CliError> {
    if !std::io::stdin().is_terminal() {
        return Err(CliError::new(Exit::Usage, "name a file with --subject, or - for standard input"));
    }
    let ask = |what: &str| {
        let text = rpassword::prompt_password(format!("{what} (empty for none): "));
        let text = text.map_err(|error| CliError::new(Exit::Io, error))?;
        Ok::<_, CliError>(Some(PersonalText::new(text)).filter(|text| !text.is_blank()))
    };
    Ok(SubjectBody {
        resident_id: ask("resident ID")?,
        uscc: ask("unified social credit code")?,
        bank_card: ask("bank card")?,
        mobile: ask("mobile number")?,
    })
}

fn print(report: &Value) {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    println!("report {}: {}", text(&report["report_id"]), text(&report["outcome"]));
    println!("period {}, judged at height {}", report["query"]["period"], report["query"]["height"]);
    for answer in report["answers"].as_array().into_iter().flatten() {
        let reason = answer["reason"].as_str().map(|reason| format!(" ({reason})")).unwrap_or_default();
        println!("  {:<32} {}{reason}", text(&answer["institution"]), text(&answer["verdict"]));
        for fact in answer["facts"].as_array().into_iter().flatten() {
            println!(
                "      {} severity {} on {}{}{}{}",
                text(&fact["category"]),
                fact["severity"],
                text(&fact["event_day"]),
                range(", days overdue ", &fact["overdue_days"]),
                range(", amount in fen ", &fact["amount_minor"]),
                if fact["weak"] == true { ", by mobile number alone: weak" } else { "" }
            );
        }
    }
    for left_out in report["not_asked"].as_array().into_iter().flatten() {
        println!("  not asked: {} ({})", text(&left_out["id_type"]), text(&left_out["reason"]));
    }
    for warning in report["warnings"].as_array().into_iter().flatten() {
        println!("  warning: {}", text(warning));
    }
}

fn range(name: &str, range: &Value) -> String {
    match (&range["from"], &range["to"]) {
        (Value::Null, _) => String::new(),
        (from, Value::Null) => format!("{name}{from} or more"),
        (from, to) if from == to => format!("{name}{from}"),
        (from, to) => format!("{name}{from} to {to}"),
    }
}
