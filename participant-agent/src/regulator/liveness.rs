//! Excuses what was late only because the chain itself stood still: nobody can log on a chain that makes no blocks.
//!
//! - **Place**: B10, after `exchange::audit::reconcile`
//! - **Shapes**: walks at most as many headers back as the chain makes in `leaf_due_windows`
//! - **Invariants**: a finding about time holds if the chain was alive for `leaf_due_windows` since what it is about; between
//!   two blocks the chain counts as alive for at most [`MAX_GAP_BLOCKS`] empty blocks' time
//! - **Source**: DESIGN.md section 4 ("10 minutes of header time")

use std::collections::BTreeMap;

use riskveil_chain::node::Node;
use riskveil_exchange::{
    audit::{Finding, FindingKind, Proof},
    ids::Height,
    policy::Policy,
};

use crate::windows::blocks::LogMissing;

/// Empty blocks' time that may pass between two blocks of a live chain.
const MAX_GAP_BLOCKS: u64 = 4;

/// What a finding about time rests on: nothing happened from `since_s` to the block `until`.
struct Stretch {
    since_s: u64,
    until: Height,
}

/// Splits findings into those that hold and the number of those that are excused.
pub(super) async fn excuse(
    node: &Node,
    head: Height,
    findings: Vec<Finding>,
) -> Result<(Vec<Finding>, u64), LogMissing> {
    let policy = &node.ledger().genesis().policy;
    let genesis_time_s = node.ledger().genesis().genesis_time_s;
    let mut times = BTreeMap::new();
    let (mut holding, mut excused) = (Vec::new(), 0);
    for finding in findings {
        let is_excused = match stretch(policy, genesis_time_s, head, &finding) {
            Some(stretch) => !was_alive(node, policy, &mut times, &stretch).await?,
            None => false,
        };
        if is_excused {
            excused += 1;
        } else {
            holding.push(finding);
        }
    }
    Ok((holding, excused))
}

fn grace_s(policy: &Policy) -> u64 {
    policy.leaf_due_windows.saturating_mul(policy.log_window_s)
}

fn stretch(policy: &Policy, genesis_time_s: u64, head: Height, finding: &Finding) -> Option<Stretch> {
    let grace_s = grace_s(policy);
    match finding.kind {
        FindingKind::Late => finding.proof.iter().find_map(|proof| match proof {
            Proof::OnChain { first_window, height, .. } => {
                let closed_s = policy.window_end_s(genesis_time_s, *first_window);
                // An entry finished before the window that logs it closed, or waited for room.
                let is_of_an_entry = finding.core_digest.is_some() || finding.disclosure.is_some();
                let waited_s = if is_of_an_entry { grace_s } else { 0 };
                Some(Stretch { since_s: closed_s.saturating_sub(waited_s), until: *height })
            }
            _ => None,
        }),
        FindingKind::MissingWindow | FindingKind::LenderOmitted | FindingKind::ResponderOmitted => {
            finding.proof.iter().find_map(|proof| match proof {
                Proof::AbsentAt { due_s, .. } => Some(Stretch { since_s: due_s.saturating_sub(grace_s), until: head }),
                _ => None,
            })
        }
        _ => None,
    }
}

/// Whether the chain was alive for the whole grace within a stretch.
async fn was_alive(
    node: &Node,
    policy: &Policy,
    times: &mut BTreeMap<Height, u64>,
    stretch: &Stretch,
) -> Result<bool, LogMissing> {
    let most_ms = policy.empty_block_ms.saturating_mul(MAX_GAP_BLOCKS);
    let wanted_ms = grace_s(policy).saturating_mul(1000);
    let mut alive_ms = 0_u64;
    let mut height = stretch.until;
    let mut later_ms = time_ms(node, times, height).await?;
    while alive_ms < wanted_ms && height.0 > 1 && later_ms / 1000 > stretch.since_s {
        height = Height(height.0 - 1);
        let earlier_ms = time_ms(node, times, height).await?;
        alive_ms = alive_ms.saturating_add(later_ms.saturating_sub(earlier_ms).min(most_ms));
        later_ms = earlier_ms;
    }
    Ok(alive_ms >= wanted_ms)
}

async fn time_ms(node: &Node, times: &mut BTreeMap<Height, u64>, height: Height) -> Result<u64, LogMissing> {
    if let Some(time_ms) = times.get(&height) {
        return Ok(*time_ms);
    }
    let header = node.header(height).await.ok_or(LogMissing { height })?;
    times.insert(height, header.time_ms);
    Ok(header.time_ms)
}
