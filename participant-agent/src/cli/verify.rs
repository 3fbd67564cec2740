//! `participant-agent verify`: checks an evidence file offline and says what it proves. No agent, no network, no clock.
//!
//! - **Errors**: exit code 0 it holds, 1 a rule of specs/evidence.md refuses it, 2 the file or the trusted chain cannot be read
//! - **Security**: sentences show identifiers shortened; `--json` shows them whole

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use clap::Args;
use riskveil_chain::evidence::words::{Language, explain};
use riskveil_chain::evidence::{
    AnswerStatement, LogStatement, LoggedAt, MAX_EVIDENCE_BYTES, ProvenAnswer, Refused, Rule, Shown, Statement,
    Verified, verify,
};
use riskveil_chain::genesis::{Genesis, MAX_GENESIS_BYTES};
use riskveil_crypto::Digest32;
use riskveil_exchange::record::Identifier;
use serde_json::{Value, json};

use super::exit::{CliError, Exit};
use super::output::{print_json, print_line};

/// Verifies an evidence file offline and says in plain words what it proves.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  participant-agent verify check.evidence --genesis genesis.toml\n  \
    participant-agent verify export.evidence --chain-id 5f2c... --json\n\n\
    The one thing that is trusted is the chain: its genesis.toml from a source you trust, or the chain id (the hash of it).\n\
    Everything else is in the file and is recomputed. What the file does not prove is said too.\n\n\
    Exit codes: 0 it holds, 1 it is refused (the rule of specs/evidence.md is named), 2 it is no evidence file or cannot be read.")]
pub struct VerifyArgs {
    /// The evidence file.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The consortium's genesis.toml.
    #[arg(long, value_name = "FILE", required_unless_present = "chain_id", conflicts_with = "chain_id")]
    genesis: Option<PathBuf>,
    /// The chain id, 64 hex digits.
    #[arg(long, value_name = "HEX")]
    chain_id: Option<Digest32>,
}

/// Verifies and prints.
///
/// # Errors
/// [`CliError`] when a file cannot be read.
pub fn execute(args: &VerifyArgs, json: bool) -> Result<Exit, CliError> {
    let chain_id = match (&args.chain_id, &args.genesis) {
        (Some(chain_id), _) => *chain_id,
        (None, Some(path)) => trusted(path)?,
        (None, None) => return Err(CliError::new(Exit::Usage, "name the trusted chain with --genesis or --chain-id")),
    };
    let bytes = read(&args.file, MAX_EVIDENCE_BYTES)?;
    match verify(&bytes, &chain_id) {
        Ok(verified) => {
            if json {
                print_json(&shown(&verified))
            } else {
                print(&verified)
            }
            Ok(Exit::Done)
        }
        Err(refused) => {
            if json {
                print_json(&shown_refusal(&refused))
            } else {
                print_refusal(&refused)
            }
            Ok(if refused.rule == Rule::Form { Exit::Usage } else { Exit::NotHeld })
        }
    }
}

fn trusted(path: &Path) -> Result<Digest32, CliError> {
    let bytes = read(path, MAX_GENESIS_BYTES)?;
    let text = std::str::from_utf8(&bytes);
    let text = text.map_err(|_| CliError::new(Exit::Usage, format_args!("{}: not a text file", path.display())))?;
    let genesis = Genesis::from_toml(text);
    let genesis = genesis.map_err(|error| CliError::new(Exit::Usage, format_args!("{}: {error}", path.display())))?;
    Ok(genesis.chain_id())
}

/// The file's bytes, at most one more than `max`.
fn read(path: &Path, max: usize) -> Result<Vec<u8>, CliError> {
    let mut bytes = Vec::new();
    let file = File::open(path).and_then(|file| file.take(max as u64 + 1).read_to_end(&mut bytes));
    file.map_err(|error| CliError::new(Exit::Usage, format_args!("{}: {error}", path.display())))?;
    Ok(bytes)
}

fn print(verified: &Verified) {
    print_line("VERIFIED 验证通过");
    for language in [Language::Chinese, Language::English] {
        print_line("");
        explain(verified, language).iter().for_each(|line| print_line(line));
    }
}

fn print_refusal(refused: &Refused) {
    print_line("REFUSED 验证未通过：该文件不证明任何内容");
    print_line(&refused.to_string());
}

fn shown_refusal(refused: &Refused) -> Value {
    json!({
        "verified": false,
        "rule": format!("EV-{}", refused.rule.number()),
        "sentence": refused.to_string(),
        "publisher": refused.publisher,
    })
}

fn shown(verified: &Verified) -> Value {
    let words = |language| explain(verified, language);
    json!({
        "verified": true,
        "chain_id": verified.chain_id,
        "network": verified.network,
        "newest_height": verified.newest_height,
        "newest_time_s": verified.newest_time_s,
        "statement": match &verified.statement {
            Statement::Answers(statement) => shown_answers(statement),
            Statement::LogEntry(statement) => shown_log(statement),
        },
        "zh": words(Language::Chinese),
        "en": words(Language::English),
    })
}

fn shown_answers(statement: &AnswerStatement) -> Value {
    let answers = statement.answers.iter().map(|(publisher, answer)| match answer {
        ProvenAnswer::Hit { facts, shown } => {
            json!({ "institution": publisher, "verdict": "hit", "facts": facts, "shown": shown_basis(shown) })
        }
        ProvenAnswer::Clear { shown } => {
            json!({ "institution": publisher, "verdict": "clear", "shown": shown_basis(shown) })
        }
        ProvenAnswer::Refused { reason, served_at_s } => {
            json!({ "institution": publisher, "verdict": "refused", "reason": reason, "served_at_s": served_at_s })
        }
        ProvenAnswer::NotProven { stated } => {
            json!({ "institution": publisher, "verdict": "not_proven", "stated": stated })
        }
    });
    json!({
        "claim": "answers",
        "outcome": statement.outcome().as_str(),
        "lender": statement.lender,
        "purpose": statement.purpose.word(),
        "issued_at_s": statement.issued_at_s,
        "core_digest": statement.core_digest,
        "period": statement.period,
        "height": statement.height,
        "header_digest": statement.header_digest,
        "header_time_s": statement.header_time_s,
        "as_of_stated": statement.as_of,
        "asked": people(&statement.asked),
        "answers": answers.collect::<Vec<_>>(),
    })
}

fn shown_basis(shown: &Shown) -> Value {
    let Shown { served_at_s, tip_height, batches, rows, expired } = shown;
    json!({
        "served_at_s": served_at_s, "tip_height": tip_height, "batches": batches, "rows": rows, "expired": expired
    })
}

fn shown_log(statement: &LogStatement) -> Value {
    let responders = statement.responders.iter().map(|one| {
        json!({
            "publisher": one.publisher,
            "status": crate::regulator::status_word(one.status),
            "receipt": one.receipt.as_ref().map(shown_place),
        })
    });
    json!({
        "claim": "log_entry",
        "lender": statement.lender,
        "purpose": statement.purpose.word(),
        "issued_at_s": statement.issued_at_s,
        "core_digest": statement.core_digest,
        "period": statement.period,
        "asked": people(&statement.asked),
        "consent_digest": statement.consent_digest,
        "logged": shown_place(&statement.logged),
        "responders": responders.collect::<Vec<_>>(),
    })
}

fn shown_place(at: &LoggedAt) -> Value {
    let LoggedAt { height, time_s, first_window, last_window } = at;
    json!({ "height": height, "time_s": time_s, "first_window": first_window, "last_window": last_window })
}

fn people(asked: &[Identifier]) -> Vec<Value> {
    let one = |identifier: &Identifier| json!({ "id_type": identifier.id_type().as_str(), "value": identifier.canonical_expose(str::to_owned) });
    asked.iter().map(one).collect()
}
