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
use super::output::{date, print_json, print_line};
use super::screen::consent_digest;
use super::words;
use crate::api::auth::Role;
use crate::api::models::{CheckBody, PersonalText, SubjectBody};
use crate::keystore::write_private;

/// Longest subject, bytes.
const MAX_SUBJECT: u64 = 4096;

/// Checks one applicant.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  participant-agent check --dir gamma --purpose pre_loan_approval --consent consent.pdf --subject applicant.json\n  \
    participant-agent check --dir gamma --purpose pre_loan_approval --consent consent.pdf    (asks for the identifiers)\n  \
    participant-agent check --dir gamma --purpose pre_loan_approval --consent consent.pdf --subject applicant.json --evidence check.evidence\n\n\
    applicant.json holds at least one of: {\"resident_id\": \"...\", \"uscc\": \"...\", \"bank_card\": \"...\", \"mobile\": \"...\"}\n\n\
    Every publisher is asked at once and none learns about whom. An institution reads `clear` only if it proved that it holds no \
    record; one that is silent, behind or contradicts the chain reads `unavailable`, `refused` or `malformed`, each with its reason.\n\n\
    Exit codes: 0 everyone answered (hit or clear), 2 no valid identifier or a file that cannot be read as one, 3 the agent is not running, 4 refused by a \
    rule, 5 somebody did not answer."
)]
pub struct CheckArgs {
    /// The agent's directory.
    #[arg(long, value_name = "DIR", default_value = ".")]
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
    /// Writes what shows the answers to this file; anyone verifies it with `verify`. It holds the identifiers.
    #[arg(long, value_name = "FILE")]
    pub evidence: Option<PathBuf>,
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
    if let Some(path) = &args.evidence {
        let core_digest = report["query"]["core_digest"].as_str().unwrap_or_default();
        save_evidence(&api, &format!("/v1/checks/{core_digest}/evidence"), path, json).await?;
    }
    let answers = report["answers"].as_array().map(Vec::as_slice).unwrap_or_default();
    let everyone = answers.iter().all(|answer| answer["verdict"] == "hit" || answer["verdict"] == "clear");
    Ok(if everyone && !answers.is_empty() { Exit::Done } else { Exit::Unanswered })
}

/// Gets an evidence file from the agent and writes it, readable by its owner alone.
pub(super) async fn save_evidence(api: &LocalApi, from: &str, to: &Path, json: bool) -> Result<(), CliError> {
    let bytes = api.get_bytes(from).await?;
    write_private(to, &bytes).map_err(|error| CliError::io(to, &error))?;
    if !json {
        print_line(&format!(
            "evidence 证据: {} ({} bytes), check with `participant-agent verify`",
            to.display(),
            bytes.len()
        ));
    }
    Ok(())
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
    let word = |value: &Value| words::both(&text(value));
    print_line(&format!("report 报告 {}", text(&report["report_id"])));
    let query = &report["query"];
    print_line(&format!("check 查询编号 {}", text(&query["core_digest"])));
    print_line(&format!(
        "result 结果: {} (period {}, height {})",
        word(&report["outcome"]),
        query["period"],
        query["height"]
    ));
    for answer in report["answers"].as_array().into_iter().flatten() {
        let reason = answer["reason"].as_str().map(|reason| format!(": {}", words::both(reason))).unwrap_or_default();
        print_line(&format!("  {:<14} {}{reason}", text(&answer["institution"]), word(&answer["verdict"])));
        for (number, fact) in (1..).zip(answer["facts"].as_array().into_iter().flatten()) {
            print_line(&format!(
                "      {number}. {}, severity 严重程度 {}, {}{}{}{}",
                word(&fact["category"]),
                fact["severity"],
                text(&fact["event_day"]),
                range(&fact["overdue_days"], u64::to_string, "days overdue 逾期天数"),
                range(&fact["amount_minor"], yuan, "CNY 元"),
                if fact["weak"] == true { ", by mobile number alone: weak 仅凭手机号" } else { "" }
            ));
        }
    }
    if report["outcome"] == "hit" {
        print_line(
            "  more of a record, with consent 在授权下了解更多: participant-agent disclose --check ID --publisher NAME --fact N",
        );
    }
    for left_out in report["not_asked"].as_array().into_iter().flatten() {
        print_line(&format!("  not asked 未查询: {}: {}", word(&left_out["id_type"]), word(&left_out["reason"])));
    }
    for warning in report["warnings"].as_array().into_iter().flatten() {
        print_line(&format!("  note 注意: {}", word(warning)));
    }
}

/// Minor units as yuan.
pub(super) fn yuan(minor: &u64) -> String {
    format!("{}.{:02}", minor / 100, minor % 100)
}

/// `, FROM to TO UNIT`; nothing for a range that is absent or zero.
fn range(range: &Value, show: impl Fn(&u64) -> String, unit: &str) -> String {
    match (range["from"].as_u64(), range["to"].as_u64()) {
        (None, _) | (Some(0), Some(0)) => String::new(),
        (Some(from), None) => format!(", {} or more {unit}", show(&from)),
        (Some(from), Some(to)) if from == to => format!(", {} {unit}", show(&from)),
        (Some(from), Some(to)) => format!(", {} to {} {unit}", show(&from), show(&to)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn ranges_read_as_people_say_them() {
        let days = |value: Value| range(&value, u64::to_string, "days");
        assert_eq!(days(json!({ "from": 31, "to": 60 })), ", 31 to 60 days");
        assert_eq!(days(json!({ "from": 91, "to": null })), ", 91 or more days");
        assert_eq!(days(json!({ "from": 7, "to": 7 })), ", 7 days");
        assert_eq!(days(json!({ "from": 0, "to": 0 })), "");
        assert_eq!(days(Value::Null), "");
        assert_eq!(range(&json!({ "from": 500_005, "to": 999_999 }), yuan, "CNY"), ", 5000.05 to 9999.99 CNY");
    }
}
