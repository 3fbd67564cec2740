//! `participant-agent disclose`: after a hit, asks its publisher for one value of the record, or for its range.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use riskveil_crypto::Digest32;
use riskveil_exchange::ids::MemberId;
use riskveil_exchange::publish::Attribute;

use super::check::yuan;
use super::client::LocalApi;
use super::exit::{CliError, Exit};
use super::output::{print_json, print_line};
use super::screen::consent_digest;
use super::words;
use crate::api::auth::Role;
use crate::api::disclosures::{Bounds, DisclosureBody, DisclosureReport};

/// After a hit, with consent, learns one value of the record, or its range, from the publisher that holds it.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  participant-agent disclose --dir gamma --check 1f0c... --publisher BETA --attribute amount --consent consent.pdf --purpose pre_loan_approval\n  \
    participant-agent disclose --dir gamma --check 1f0c... --publisher BETA --fact 2 --attribute amount --between 1000..5000 --consent consent.pdf --purpose pre_loan_approval\n  \
    participant-agent disclose --dir gamma --check 1f0c... --publisher BETA --attribute days --between 60.. --consent consent.pdf --purpose pre_loan_approval\n\n\
    `check` prints the check's number, the institutions that hit and a number before each fact. Without --between the publisher opens \
    the value; with it, the publisher proves that the value lies between the bounds, both included, and tells nothing else of it. Either \
    way it is the value that the publisher committed to on the chain when it published: it can tell no other story now.\n\n\
    The publisher learns whom you asked about, and that it hit; the regulator learns that you asked for more. The person's consent must \
    cover that. A check can be disclosed until its period ends; after a screening, check that applicant first.\n\n\
    Exit codes: 0 disclosed, 1 the publisher's answer is a lie (named, its signed answer kept), 2 nothing to ask or a wrong option, 3 the \
    agent is not running, 4 refused, 5 the publisher did not answer."
)]
pub struct DiscloseArgs {
    /// The agent's directory.
    #[arg(long, value_name = "DIR", default_value = ".")]
    dir: PathBuf,
    /// The check that hit: its number as `check` prints it, 64 hex digits.
    #[arg(long, value_name = "ID")]
    check: String,
    /// The institution that hit.
    #[arg(long, value_name = "NAME")]
    publisher: String,
    /// Which of its facts, by the number before it; may be left out if there is one.
    #[arg(long, value_name = "N")]
    fact: Option<u32>,
    /// Which value.
    #[arg(long, value_name = "VALUE")]
    attribute: AttributeArg,
    /// Prove that it lies between these instead of opening it: days, or CNY with up to 2 decimals. LO.. and ..HI are open.
    #[arg(long, value_name = "LO..HI")]
    between: Option<String>,
    /// The person's consent to this disclosure: any file; its SHA-256 is bound to the request.
    #[arg(long, value_name = "FILE")]
    consent: PathBuf,
    /// Why: pre_loan_approval, post_loan_management, guarantor_check, dispute_check or subject_access.
    #[arg(long, value_name = "CODE")]
    purpose: String,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum AttributeArg {
    /// Days overdue.
    Days,
    /// The amount, in CNY.
    Amount,
}

impl From<AttributeArg> for Attribute {
    fn from(arg: AttributeArg) -> Self {
        match arg {
            AttributeArg::Days => Self::Days,
            AttributeArg::Amount => Self::Amount,
        }
    }
}

/// Asks and prints what is proven.
///
/// # Errors
/// [`CliError`].
pub async fn execute(args: DiscloseArgs, json: bool) -> Result<Exit, CliError> {
    let usage = |what: &str| CliError::new(Exit::Usage, what);
    let purpose = args.purpose.parse().map_err(|error| CliError::new(Exit::Usage, error))?;
    let check: Digest32 = args.check.parse().map_err(|_| usage("--check is 64 hex digits, as `check` prints them"))?;
    let publisher = MemberId::new(args.publisher.to_uppercase()).map_err(|error| CliError::new(Exit::Usage, error))?;
    let attribute = args.attribute.into();
    let between = args.between.as_deref().map(|text| bounds(text, attribute)).transpose()?;
    let consent_digest = consent_digest(&args.consent)?;
    let body = DisclosureBody { check, publisher, fact: args.fact, attribute, between, purpose, consent_digest };
    let api = LocalApi::open(&args.dir, Role::Underwriter)?;
    let report: DisclosureReport = api.post("/v1/disclosures", &body).await?;
    if json {
        print_json(&report)
    } else {
        print(&report)
    }
    Ok(match report.outcome.as_str() {
        "disclosed" => Exit::Done,
        "faulty" => Exit::NotHeld,
        "refused" => Exit::Refused,
        _ => Exit::Unanswered,
    })
}

/// `LO..HI`, `LO..` or `..HI`.
fn bounds(text: &str, attribute: Attribute) -> Result<Bounds, CliError> {
    let wrong = || {
        let unit = match attribute {
            Attribute::Days => "days, such as 60..90",
            Attribute::Amount => "CNY, such as 1000..5000 or 0.01..499.99",
        };
        CliError::new(Exit::Usage, format_args!("--between is LO..HI in {unit}; LO at most HI"))
    };
    let (lo, hi) = text.split_once("..").ok_or_else(wrong)?;
    let read = |side: &str, absent: u64| match side.trim() {
        "" => Some(absent),
        number => value(number, attribute),
    };
    let max = attribute.bits().max();
    let bounds = Bounds { lo: read(lo, 0).ok_or_else(wrong)?, hi: read(hi, max).ok_or_else(wrong)? };
    if bounds.lo > bounds.hi || bounds.hi > max { Err(wrong()) } else { Ok(bounds) }
}

/// Days, or CNY as minor units.
fn value(number: &str, attribute: Attribute) -> Option<u64> {
    let (whole, part) = match attribute {
        Attribute::Days => return number.parse().ok(),
        Attribute::Amount => number.split_once('.').unwrap_or((number, "")),
    };
    if part.len() > 2 || !part.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let minor: u64 = format!("{part:0<2}").parse().ok()?;
    whole.parse::<u64>().ok()?.checked_mul(100)?.checked_add(minor)
}

fn print(report: &DisclosureReport) {
    let word = words::both(&report.outcome);
    let reason = report.reason.as_deref().map(|reason| format!(": {}", words::both(reason))).unwrap_or_default();
    print_line(&format!("disclosure 披露 {}", report.disclosure));
    print_line(&format!("  {:<14} {word}{reason}", report.publisher));
    let what = match report.attribute {
        Attribute::Days => "days overdue 逾期天数",
        Attribute::Amount => "amount 金额, CNY 元",
    };
    let number = |value: &u64| match report.attribute {
        Attribute::Days => value.to_string(),
        Attribute::Amount => yuan(value),
    };
    let more = if report.or_more { " or more 或以上" } else { "" };
    if let Some(value) = &report.value {
        print_line(&format!("  fact {} {what}: {}{more}, opened 已打开", report.fact, number(value)));
    }
    if let Some(Bounds { lo, hi }) = &report.between {
        let (lo, hi, fact) = (number(lo), number(hi), report.fact);
        print_line(&format!(
            "  fact {fact} {what}: {lo} to {hi}{more}, proven 已证明; the value itself was not told 数值未透露"
        ));
    }
    if let Some(commitment) = &report.commitment {
        print_line(&format!(
            "  it proves 证明: this is what {0} committed to in block {1} for this record of this person; {0} can tell no other value\n           \
             机构在区块 {1} 中为此人此条记录所承诺的正是该数值, 无法改口",
            report.publisher, commitment.height
        ));
        print_line(&format!(
            "  commitment 承诺 batch {} place {}; range proofs of the batch, verified here 本机验证: {}",
            commitment.batch_seq,
            commitment.index,
            words::both(&commitment.range_proofs)
        ));
    }
    if report.outcome == "faulty" {
        let kept = if report.evidence.is_some() {
            "; its signed answer is kept, --json shows it 已保存其签名应答"
        } else {
            ""
        };
        print_line(&format!("  {} answered with what does not hold 应答不成立{kept}", report.publisher));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_days_or_yuan_and_may_be_open() {
        let read = |text: &str, attribute| bounds(text, attribute).ok().map(|bounds| (bounds.lo, bounds.hi));
        assert_eq!(read("60..90", Attribute::Days), Some((60, 90)));
        assert_eq!(read("60..", Attribute::Days), Some((60, 65_535)));
        assert_eq!(read("..5", Attribute::Days), Some((0, 5)));
        assert_eq!(read("1000..4999.99", Attribute::Amount), Some((100_000, 499_999)));
        assert_eq!(read("0.5 .. 0.50", Attribute::Amount), Some((50, 50)));
        assert_eq!(read("..", Attribute::Amount), Some((0, 4_294_967_295)));
        for bad in ["", "5", "9..8", "a..b", "1.5..2", "-1..2", "0..65536"] {
            assert_eq!(read(bad, Attribute::Days), None, "{bad}");
        }
        for bad in ["1.234..2", "1.x..2", "0..42949672.96", "0..99999999999999999999", "1,000..2"] {
            assert_eq!(read(bad, Attribute::Amount), None, "{bad}");
        }
    }
}
