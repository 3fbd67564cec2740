//! What the demo prints and writes at its end: tables for people, `rejects.csv` for the checker, and whether all held.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;

use super::proofs::RangeProofs;
use super::steps::{Audited, Published, Screened, SingleChecks};

/// Everything the demo saw.
pub(super) struct Outcome {
    pub(super) published: Vec<Published>,
    pub(super) singly: SingleChecks,
    pub(super) screened: Screened,
    pub(super) audited: Audited,
    pub(super) proofs: RangeProofs,
    pub(super) chain: Value,
    pub(super) took: Duration,
}

impl Outcome {
    /// What did not hold, one sentence each; empty when everything did.
    pub(super) fn failures(&self) -> Vec<String> {
        let mut failures = Vec::new();
        for published in &self.published {
            if published.status["sealed"] != true {
                failures.push(format!("the snapshot of {} is not sealed", published.institution));
            }
        }
        for (verdict, count) in &self.singly.verdicts {
            if verdict != "hit" && verdict != "clear" {
                failures.push(format!("{count} single answers were {verdict}"));
            }
        }
        if self.screened.code != 0 {
            failures.push("the screening has unanswered applicants; see unanswered.csv".to_owned());
        }
        if self.audited.code != 0 {
            failures.push("the reconciliation has findings; see the audit summary above".to_owned());
        }
        for member in self.proofs.accusing() {
            failures.push(format!("{member} found a range proof that does not hold"));
        }
        failures
    }

    /// Writes `rejects.csv` (institution, record_number, reason).
    pub(super) fn write_rejects(&self, out: &Path) -> Result<()> {
        let mut text = String::from("institution,record_number,reason\n");
        for published in &self.published {
            for row in published.status["rejected"].as_array().into_iter().flatten() {
                let (number, reason) = (&row["record_number"], row["reason"].as_str().unwrap_or_default());
                writeln!(text, "{},{number},{reason}", published.institution)?;
            }
        }
        let path = out.join("rejects.csv");
        fs::write(&path, text).with_context(|| format!("writing {}", path.display()))
    }

    /// Prints the summary.
    pub(super) fn print(&self, out: &Path) {
        self.print_published();
        self.print_answers();
        self.print_chain();
        self.proofs.print();
        self.print_audit();
        println!("\nFiles 文件: answers.csv, unanswered.csv, rejects.csv in {}", out.display());
        println!("Publishing to audit 全程: {:.1} s", self.took.as_secs_f64());
    }

    fn print_published(&self) {
        println!("\nPublished 发布                 accepted  duplicates  rejected  batches  height  reasons");
        for Published { institution, status } in &self.published {
            let rejected: Vec<&Value> = status["rejected"].as_array().into_iter().flatten().collect();
            let mut reasons = std::collections::BTreeMap::<&str, usize>::new();
            for row in &rejected {
                *reasons.entry(row["reason"].as_str().unwrap_or("?")).or_default() += 1;
            }
            let reasons: Vec<String> = reasons.into_iter().map(|(reason, count)| format!("{reason} {count}")).collect();
            println!(
                "  {institution:<28} {:>8}  {:>10}  {:>8}  {:>7}  {:>6}  {}",
                number(&status["accepted"]),
                number(&status["duplicates"]),
                rejected.len(),
                number(&status["batches"]),
                number(&status["height"]),
                reasons.join(", ")
            );
        }
    }

    fn print_answers(&self) {
        let verdicts: Vec<String> =
            self.singly.verdicts.iter().map(|(verdict, count)| format!("{verdict} {count}")).collect();
        println!("\nSingle checks 单笔查询: {} ({})", self.singly.latencies.len(), verdicts.join(", "));
        let at = |share: usize| {
            let sorted = &self.singly.latencies;
            let index = (sorted.len() * share / 100).min(sorted.len().saturating_sub(1));
            sorted.get(index).map_or(0.0, |latency| latency.as_secs_f64() * 1e3)
        };
        let beside = if self.singly.beside_proofs {
            "while range proofs were made on the same cores"
        } else {
            "no range proofs running"
        };
        println!(
            "  latency at the lender's API: p50 {:.1} ms, p95 {:.1} ms, p99 {:.1} ms ({beside})",
            at(50),
            at(95),
            at(99)
        );
        let traffic = &self.chain["lender_traffic"];
        if let (Some(sent), Some(received)) =
            (traffic["sent_per_check"].as_u64(), traffic["received_per_check"].as_u64())
        {
            println!("  bytes per responder: {sent} out, {received} back (request and response bodies)");
        }
        let summary = &self.screened.summary;
        println!(
            "Screening 批量筛查: {} applicants in {:.1} s: {} hits, {} answers, {} unanswered",
            self.screened.applicants,
            self.screened.took.as_secs_f64(),
            number(&summary["hits"]),
            number(&summary["answers"]),
            number(&summary["unanswered"]),
        );
    }

    fn print_chain(&self) {
        let chain = &self.chain;
        println!(
            "\nChain 联盟链: height {}, term {}, {} rows and {} bytes on chain, {} validators",
            number(&chain["height"]),
            number(&chain["term"]),
            number(&chain["rows_on_chain"]),
            number(&chain["bytes_on_chain"]),
            number(&chain["validators"]),
        );
        let finality = &chain["finality_ms"];
        println!(
            "  finality latency (block time to finalized here): p50 {} ms, p99 {} ms",
            number(&finality["p50"]),
            number(&finality["p99"])
        );
    }

    fn print_audit(&self) {
        let report = &self.audited.reconciled;
        println!("\nAudit 审计 (through window {}):", number(&report["through"]));
        println!(
            "  {} queries and {} receipts opened, {} matched, {} leaves accounted for",
            number(&report["queries"]),
            number(&report["receipts"]),
            number(&report["matched"]),
            number(&report["leaves"]),
        );
        let findings = report["findings"].as_array().map_or(0, Vec::len);
        println!("  findings 发现: {findings}");
        for finding in report["findings"].as_array().into_iter().flatten().take(10) {
            println!("    {}", finding);
        }
    }
}

fn number(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::Number(number) => number.as_f64().map_or_else(
            || number.to_string(),
            |float| if number.is_f64() { format!("{float:.1}") } else { number.to_string() },
        ),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
