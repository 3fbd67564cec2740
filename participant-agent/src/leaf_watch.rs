//! A responder's memory of which lenders owe the chain a log leaf: whoever owes one for too long is refused.
//!
//! - **Place**: B4: [`crate::query_log::QueryLog::receipt`] expects a leaf; `responder.rs` asks [`LeafWatch::is_overdue`]
//! - **Shapes**: one expectation per receipt, 32 bytes and a window; found leaves are forgotten
//! - **Invariants**: time is header time only. An expectation belongs to the window that was open at this agent's finalized
//!   tip when the receipt was given; it is overdue once `refuse_after_windows` further windows have closed without it
//! - **Security**: a leaf counts only in the log of the lender that owes it; a lender that logs late is served again
//! - **Restart**: [`LeafWatch::position`] stands in every built receipt window: receipts given before it are settled, and
//!   reading the lenders' logs from it on finds every leaf of the others
//! - **Source**: DESIGN.md section 4, "Request, response, log"

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use riskveil_chain::{
    node::Node,
    state::{store::StoreError, view::StateRead},
};
use riskveil_crypto::Digest32;
use riskveil_exchange::{
    audit::entry::LogKind,
    ids::{MemberId, Window},
    policy::Policy,
};
use tokio::sync::watch;

use crate::windows::blocks::{self, LogMissing};

/// Log transactions read of one lender at a time.
const LOGS_AT_ONCE: usize = 64;
/// How long to wait before a block that cannot be read is tried again.
const RETRY: Duration = Duration::from_secs(2);

/// The expectations; clones share them.
#[derive(Clone, Debug)]
pub struct LeafWatch(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    policy: Policy,
    genesis_time_s: u64,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Every leaf of a receipt given before this window has been found.
    settled_before: Window,
    owed: BTreeMap<MemberId, Owed>,
    /// Leaves logged lately: a lender that gave up waiting may have logged before the receipt was given.
    recent: VecDeque<Logged>,
    is_caught_up: bool,
}

#[derive(Debug, Default)]
struct Owed {
    leaves: BTreeMap<Digest32, Window>,
    by_window: BTreeSet<(Window, Digest32)>,
}

#[derive(Debug)]
struct Logged {
    lender: MemberId,
    time_s: u64,
    leaves: BTreeSet<Digest32>,
}

/// Why a lender's log cannot be read now.
#[derive(Debug, thiserror::Error)]
enum ReadError {
    #[error(transparent)]
    Missing(#[from] LogMissing),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl LeafWatch {
    /// A watch that expects nothing.
    #[must_use]
    pub fn new(policy: Policy, genesis_time_s: u64) -> Self {
        Self(Arc::new(Inner { policy, genesis_time_s, state: Mutex::default() }))
    }

    /// Expects the lender's leaf of what was received in `window`.
    pub fn expect(&self, lender: &MemberId, leaf: Digest32, window: Window) {
        let mut state = self.state();
        let is_logged = state.recent.iter().any(|logged| logged.lender == *lender && logged.leaves.contains(&leaf));
        if window >= state.settled_before && !is_logged {
            state.owed.entry(lender.clone()).or_default().expect(leaf, window);
        }
    }

    /// Whether the chain still lacks a leaf of this lender after `refuse_after_windows` closed windows, at header time
    /// `header_time_s`. Nobody is overdue until the lenders' logs have been read once since the start.
    #[must_use]
    pub fn is_overdue(&self, lender: &MemberId, header_time_s: u64) -> bool {
        let now = self.0.policy.window_at(self.0.genesis_time_s, header_time_s);
        let state = self.state();
        let oldest = state.owed.get(lender).filter(|_| state.is_caught_up).and_then(Owed::oldest);
        oldest.is_some_and(|window| now.0 > window.0.saturating_add(self.0.policy.refuse_after_windows))
    }

    /// How many leaves of this lender are expected.
    #[must_use]
    pub fn owed(&self, lender: &MemberId) -> usize {
        self.state().owed.get(lender).map_or(0, |owed| owed.leaves.len())
    }

    /// The window before which everything is settled, given that no receipt of a window before `closed` is to come.
    #[must_use]
    pub fn position(&self, closed: Window) -> Window {
        let state = self.state();
        state.owed.values().filter_map(Owed::oldest).min().unwrap_or(closed).min(closed)
    }

    /// Takes the position that a replayed journal names.
    pub(crate) fn resume(&self, settled_before: Window) {
        let mut state = self.state();
        state.settled_before = settled_before;
        for owed in state.owed.values_mut() {
            owed.forget_before(settled_before);
        }
    }

    /// Takes note of leaves that a lender logged in a block of header time `time_s`.
    pub fn logged(&self, lender: &MemberId, time_s: u64, leaves: impl IntoIterator<Item = Digest32>) {
        let leaves: BTreeSet<Digest32> = leaves.into_iter().collect();
        let mut state = self.state();
        if let Some(owed) = state.owed.get_mut(lender) {
            leaves.iter().for_each(|leaf| owed.found(leaf));
        }
        state.recent.push_back(Logged { lender: lender.clone(), time_s, leaves });
    }

    /// Takes note that every lender's log has been read up to the tip.
    pub fn caught_up(&self) {
        self.state().is_caught_up = true;
    }

    /// Takes note of the finalized tip's header time.
    pub fn tip(&self, time_s: u64) {
        let keep_from_s = time_s.saturating_sub(self.lender_ahead_s());
        self.state().recent.retain(|logged| logged.time_s >= keep_from_s);
    }

    /// Follows the lenders' logs on the finalized chain until `shutdown` is true.
    pub async fn run(self, node: Node, mut shutdown: watch::Receiver<bool>) {
        let lenders: Vec<MemberId> =
            node.ledger().genesis().members.iter().filter(|m| m.roles.lender).map(|m| m.id.clone()).collect();
        let first = self.earliest_log_window();
        let mut next: BTreeMap<MemberId, Window> = lenders.into_iter().map(|lender| (lender, first)).collect();
        let mut tip = node.ledger().watch();
        while !*shutdown.borrow() {
            tip.borrow_and_update();
            self.tip(node.ledger().view().time_s());
            let mut all_read = true;
            for (lender, from) in &mut next {
                if let Err(error) = self.read(&node, lender, from).await {
                    if *shutdown.borrow() {
                        return;
                    }
                    tracing::warn!(%lender, %error, "a lender's log cannot be read yet");
                    all_read = false;
                }
            }
            if all_read {
                self.caught_up();
            }
            tokio::select! {
                changed = tip.changed() => if changed.is_err() { return },
                () = tokio::time::sleep(RETRY), if !all_read => {}
                changed = shutdown.changed() => if changed.is_err() { return },
            }
        }
    }

    /// Reads what a lender logged from window `from` on, and moves `from` on.
    async fn read(&self, node: &Node, lender: &MemberId, from: &mut Window) -> Result<(), ReadError> {
        let kind = LogKind::Queries;
        while node.ledger().view().last_window(kind, lender).is_some_and(|last| last >= *from) {
            let locations = node.ledger().logs(kind, lender, *from, LOGS_AT_ONCE)?;
            if locations.is_empty() {
                return Ok(());
            }
            for location in locations {
                let logged = blocks::fetch(node, lender, LogKind::Queries, &location).await?;
                self.logged(lender, logged.time_s, logged.payload.leaves);
                *from = location.last_window.next();
            }
        }
        Ok(())
    }

    /// Logs that end before this window hold no leaf that is still expected.
    fn earliest_log_window(&self) -> Window {
        let (policy, genesis_time_s) = (&self.0.policy, self.0.genesis_time_s);
        let settled_before = self.state().settled_before;
        let start_s = policy.window_end_s(genesis_time_s, settled_before).saturating_sub(policy.log_window_s);
        let window = policy.window_at(genesis_time_s, start_s.saturating_sub(self.lender_ahead_s()));
        Window(window.0.saturating_sub(1))
    }

    /// How long before a receipt its lender may have given up and logged: a request's lifetime, clocks, and one window.
    fn lender_ahead_s(&self) -> u64 {
        let policy = &self.0.policy;
        policy.request_ttl_s.saturating_add(policy.clock_skew_s.saturating_mul(2)).saturating_add(policy.log_window_s)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Owed {
    fn expect(&mut self, leaf: Digest32, window: Window) {
        if let std::collections::btree_map::Entry::Vacant(place) = self.leaves.entry(leaf) {
            place.insert(window);
            self.by_window.insert((window, leaf));
        }
    }

    fn found(&mut self, leaf: &Digest32) {
        if let Some(window) = self.leaves.remove(leaf) {
            self.by_window.remove(&(window, *leaf));
        }
    }

    fn forget_before(&mut self, window: Window) {
        self.by_window = self.by_window.split_off(&(window, Digest32::ZERO));
        self.leaves.retain(|_, expected| *expected >= window);
    }

    fn oldest(&self) -> Option<Window> {
        self.by_window.first().map(|(window, _)| *window)
    }
}
