//! Counts the items that each lender asks of a responder in a day.
//!
//! - **Place**: B4, between `Responder::judge` and the evaluation; the agent keeps it across restarts
//! - **Shapes**: UTC days; one count per lender; an evaluated request costs its item count, a refused one nothing
//! - **Errors**: `quota_exceeded`
//! - **Source**: DESIGN.md section 10, "Policy"

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::ids::MemberId;
use crate::query::refusal::RefusalReason;

const DAY_S: u64 = 86_400;

/// Items used today, per lender.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuotaCounter {
    day: u64,
    used: BTreeMap<MemberId, u64>,
}

impl QuotaCounter {
    /// Items that a lender has left at `now_s` under a limit per day.
    #[must_use]
    pub fn left(&self, lender: &MemberId, now_s: u64, limit: u64) -> u64 {
        let used = if self.day == now_s / DAY_S { self.used.get(lender).copied().unwrap_or(0) } else { 0 };
        limit.saturating_sub(used)
    }

    /// Takes `items` of a lender's quota; a clock that goes back a day does not give it a second one.
    ///
    /// # Errors
    /// [`RefusalReason::QuotaExceeded`] when fewer are left; nothing is taken then.
    pub fn take(&mut self, lender: &MemberId, items: usize, now_s: u64, limit: u64) -> Result<(), RefusalReason> {
        let today = now_s / DAY_S;
        if today > self.day {
            self.day = today;
            self.used.clear();
        }
        let used = self.used.entry(lender.clone()).or_insert(0);
        let total = used.saturating_add(items as u64);
        if total > limit {
            return Err(RefusalReason::QuotaExceeded);
        }
        *used = total;
        Ok(())
    }
}
