//! The consortium's parameters, fixed in the genesis; every rule counts in these and never in literals.
//!
//! - **Place**: genesis -> every rule of both walks
//! - **Invariants**: [`Policy::check`] holds for every policy a chain runs under (the genesis refuses others)
//! - **Source**: DESIGN.md section 10, "Policy"

use serde::{Deserialize, Serialize};

use crate::ids::{Period, Window};
use crate::purpose::Purpose;
use crate::record::Level;

/// Genesis parameters. Times in seconds unless the name says otherwise.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Policy {
    /// Length of a key period, s.
    pub period_s: u64,
    /// Before a period's end, how long nothing of it changes, s.
    pub freeze_s: u64,
    /// Length of a log window, s.
    pub log_window_s: u64,
    /// Windows after which a log leaf that is not on chain is late.
    pub leaf_due_windows: u64,
    /// Windows after which a responder refuses a lender whose leaf is still missing.
    pub refuse_after_windows: u64,
    /// How old the finalized tip may be for an answer to count, s.
    pub fresh_tip_s: u64,
    /// Longest lifetime of a request, s.
    pub request_ttl_s: u64,
    /// Largest accepted difference of clocks, s.
    pub clock_skew_s: u64,
    /// Blocks in a term (the engine's epoch); at least 2.
    pub term_blocks: u64,
    /// Largest block with the payloads beside it, bytes.
    pub max_block_bytes: u64,
    /// Most rows in one `PublishRows`; a bucket size.
    pub max_rows_per_tx: u32,
    /// Query items a lender may ask of one responder in a day (UTC days).
    pub quota_items_per_lender_per_day: u64,
    /// Years after the event that a record is held.
    pub retention_years: u8,
    /// How much a hit tells.
    pub level: Level,
    /// Least number of leaves in a log window, a power of two.
    pub min_log_bucket: u32,
    /// Least time between blocks that carry transactions, ms.
    pub commit_delay_ms: u64,
    /// Time between blocks when there is nothing to carry, ms.
    pub empty_block_ms: u64,
    /// Purposes a request may state.
    pub purposes: Vec<Purpose>,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            period_s: 604_800,
            freeze_s: 600,
            log_window_s: 60,
            leaf_due_windows: 10,
            refuse_after_windows: 20,
            fresh_tip_s: 30,
            request_ttl_s: 30,
            clock_skew_s: 10,
            term_blocks: 1200,
            max_block_bytes: 4 << 20,
            max_rows_per_tx: 8192,
            quota_items_per_lender_per_day: 1_000_000,
            retention_years: 5,
            level: Level::Banded,
            min_log_bucket: 4,
            commit_delay_ms: 200,
            empty_block_ms: 2500,
            purposes: Purpose::ALL.to_vec(),
        }
    }
}

/// A policy that no chain can run under; the text names the parameter and its range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("policy: {parameter} must be {range}")]
pub struct PolicyInvalid {
    /// The parameter's name in the genesis file.
    pub parameter: &'static str,
    /// What it must be.
    pub range: &'static str,
}

impl Policy {
    /// Checks every range.
    ///
    /// # Errors
    /// [`PolicyInvalid`] names the first parameter out of its range.
    pub fn check(&self) -> Result<(), PolicyInvalid> {
        let rules: [(bool, &'static str, &'static str); 14] = [
            (self.period_s >= 3600, "period_s", "at least 3600 s"),
            (self.freeze_s * 2 <= self.period_s, "freeze_s", "at most half of period_s"),
            ((1..=3600).contains(&self.log_window_s), "log_window_s", "1 to 3600 s"),
            (self.leaf_due_windows >= 1, "leaf_due_windows", "at least 1"),
            (self.refuse_after_windows >= self.leaf_due_windows, "refuse_after_windows", "at least leaf_due_windows"),
            ((5..=600).contains(&self.fresh_tip_s), "fresh_tip_s", "5 to 600 s"),
            ((5..=120).contains(&self.request_ttl_s), "request_ttl_s", "5 to 120 s"),
            ((1..=60).contains(&self.clock_skew_s), "clock_skew_s", "1 to 60 s"),
            (self.term_blocks >= 2, "term_blocks", "at least 2"),
            ((1 << 20..=64 << 20).contains(&self.max_block_bytes), "max_block_bytes", "1 MiB to 64 MiB"),
            (
                self.max_rows_per_tx.is_power_of_two()
                    && (64..=32_768).contains(&self.max_rows_per_tx)
                    && u64::from(self.max_rows_per_tx) * 92 * 2 <= self.max_block_bytes,
                "max_rows_per_tx",
                "a power of two from 64 to 32768 whose rows fill at most half a block",
            ),
            (self.retention_years <= 50, "retention_years", "at most 50"),
            (
                self.min_log_bucket.is_power_of_two() && self.min_log_bucket <= 4096,
                "min_log_bucket",
                "a power of two up to 4096",
            ),
            (
                self.commit_delay_ms >= 10 && (self.commit_delay_ms..=10_000).contains(&self.empty_block_ms),
                "empty_block_ms",
                "at least commit_delay_ms (itself at least 10 ms) and at most 10000 ms",
            ),
        ];
        match rules.into_iter().find(|(holds, ..)| !holds) {
            Some((_, parameter, range)) => Err(PolicyInvalid { parameter, range }),
            None => Ok(()),
        }
    }

    /// The period that header time `time_s` falls in; period 0 before the genesis time.
    #[must_use]
    pub fn period_at(&self, genesis_time_s: u64, time_s: u64) -> Period {
        let number = time_s.saturating_sub(genesis_time_s) / self.period_s.max(1);
        Period(u32::try_from(number).unwrap_or(u32::MAX))
    }

    /// The log window that header time `time_s` falls in; window 0 before the genesis time.
    #[must_use]
    pub fn window_at(&self, genesis_time_s: u64, time_s: u64) -> Window {
        Window(time_s.saturating_sub(genesis_time_s) / self.log_window_s.max(1))
    }

    /// The first second after window `window`.
    #[must_use]
    pub fn window_end_s(&self, genesis_time_s: u64, window: Window) -> u64 {
        genesis_time_s.saturating_add(window.0.saturating_add(1).saturating_mul(self.log_window_s))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_policy_holds_and_each_parameter_out_of_range_is_named() {
        assert_eq!(Policy::default().check(), Ok(()));
        let wrong = |change: fn(&mut Policy), name: &str| {
            let mut policy = Policy::default();
            change(&mut policy);
            assert_eq!(policy.check().unwrap_err().parameter, name);
        };
        wrong(|p| p.period_s = 10, "period_s");
        wrong(|p| p.log_window_s = 0, "log_window_s");
        wrong(|p| p.term_blocks = 1, "term_blocks");
        wrong(|p| p.max_rows_per_tx = 100, "max_rows_per_tx");
        wrong(|p| p.min_log_bucket = 3, "min_log_bucket");
        wrong(|p| p.empty_block_ms = 1, "empty_block_ms");
    }

    #[test]
    fn windows_and_periods_start_at_the_genesis_time() {
        let policy = Policy::default();
        assert_eq!(policy.window_at(1000, 900), Window(0));
        assert_eq!(policy.window_at(1000, 1059), Window(0));
        assert_eq!(policy.window_at(1000, 1060), Window(1));
        assert_eq!(policy.window_end_s(1000, Window(0)), 1060);
        assert_eq!(policy.period_at(1000, 1000 + 604_800), Period(1));
    }
}
