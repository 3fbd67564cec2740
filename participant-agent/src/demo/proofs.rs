//! Commitments and their range proofs, as the members' agents report them: made and verified behind everything else.
//!
//! - **Place**: after the audit; nothing before it waits for a range proof
//! - **Shapes**: `commitments` of `/v1/chain/status` of every member

use std::time::{Duration, Instant};

use anyhow::Result;
use indicatif::ProgressBar;
use serde_json::Value;

use super::consortium::Consortium;

/// How long a demo that ends by itself waits for range proofs.
const WITHIN: Duration = Duration::from_secs(90);
const POLL: Duration = Duration::from_millis(500);
/// Commitments under one pair of range proofs.
const CHUNK: f64 = 64.0;

/// What every member reports of commitments.
pub(super) struct RangeProofs {
    /// Name, whether it is an institution, and what it reports.
    members: Vec<(String, bool, Value)>,
    waited: Duration,
}

/// What the members report now.
pub(super) async fn look(consortium: &Consortium) -> Result<RangeProofs> {
    let mut members = Vec::new();
    for member in &consortium.members {
        let status: Value = member.api.get("/v1/chain/status").await?;
        members.push((member.id.clone(), member.records.is_some(), status["commitments"].clone()));
    }
    Ok(RangeProofs { members, waited: Duration::ZERO })
}

/// Waits until every proof is made and verified by every member, but no longer than [`WITHIN`].
pub(super) async fn wait(consortium: &mut Consortium) -> Result<RangeProofs> {
    let spinner = ProgressBar::new_spinner();
    spinner.enable_steady_tick(Duration::from_millis(120));
    let began = Instant::now();
    loop {
        let mut seen = look(consortium).await?;
        seen.waited = began.elapsed();
        if seen.is_complete() || seen.waited > WITHIN {
            spinner.finish_and_clear();
            return Ok(seen);
        }
        let (proved, total) = seen.progress();
        spinner.set_message(format!("range proofs go on in the background: {proved} of {total} commitments proven"));
        consortium.check_alive()?;
        tokio::time::sleep(POLL).await;
    }
}

impl RangeProofs {
    /// Whether every institution's commitments are on chain and every member has verified all of them.
    pub(super) fn is_complete(&self) -> bool {
        let published = self.institutions().all(|of| {
            let own = &of["own"];
            count(own, "total") > 0 && count(own, "published") == count(own, "total")
        });
        let (_, total) = self.progress();
        let verified = |of: &Value| count(of, "on_chain") == total && count(of, "unproved") == 0;
        published && self.members.iter().all(|(_, _, of)| verified(of))
    }

    /// Members that call a batch invalid.
    pub(super) fn accusing(&self) -> impl Iterator<Item = &str> {
        self.members.iter().filter(|(_, _, of)| count(of, "invalid") > 0).map(|(id, ..)| id.as_str())
    }

    /// Commitments proven and planned, of all institutions.
    fn progress(&self) -> (u64, u64) {
        let sum = |field: &str| self.institutions().map(|of| count(&of["own"], field)).sum();
        (sum("proved"), sum("total"))
    }

    pub(super) fn print(&self) {
        let (proved, total) = self.progress();
        let published: u64 = self.institutions().map(|of| count(&of["own"], "published")).sum();
        println!("\nCommitments 承诺: {total} with padding, {proved} proven, {published} on chain");
        let made = self.institutions().map(|of| &of["made"]);
        let verified = self.members.iter().map(|(_, _, of)| &of["verified"]);
        println!(
            "  range proofs made: {:.0} commitments a second by all institutions together, on all cores at nice 19",
            speed(made)
        );
        let chunks: u64 = self.members.iter().map(|(_, _, of)| count(&of["verified"], "chunks")).sum();
        println!(
            "  range proofs verified: {chunks} chunks of 64 by {} members, {:.0} commitments a second together",
            self.members.len(),
            speed(verified)
        );
        let state = if self.is_complete() {
            "every batch is proved at every member 每个成员均已验证".to_owned()
        } else {
            let behind = self.members.iter().filter(|(_, _, of)| count(of, "unproved") > 0).count();
            format!("not finished; they go on in the background: {behind} members have batches that are still unproved")
        };
        println!("  after {:.1} s of waiting: {state}", self.waited.as_secs_f64());
    }

    fn institutions(&self) -> impl Iterator<Item = &Value> {
        self.members.iter().filter(|(_, institution, _)| *institution).map(|(_, _, of)| of)
    }
}

/// Commitments a second, of work done side by side.
fn speed<'a>(work: impl Iterator<Item = &'a Value>) -> f64 {
    let rate = |of: &Value| {
        let (chunks, busy_ms) = (of["chunks"].as_f64()?, of["busy_ms"].as_f64()?);
        (busy_ms > 0.0).then(|| chunks * CHUNK * 1e3 / busy_ms)
    };
    work.filter_map(rate).sum()
}

fn count(of: &Value, field: &str) -> u64 {
    of[field].as_u64().unwrap_or(0)
}
