//! A responder's memory of which lenders owe the chain a log leaf: whoever owes one for too long is refused.
//!
//! - **Place**: B4: [`crate::query_log::QueryLog::receipt`] expects a leaf; `responder.rs` asks [`LeafWatch::is_overdue`]
//! - **Shapes**: one expectation per receipt, 32 bytes and a window; found leaves are forgotten
//! - **Invariants**: time is header time only. An expectation belongs to the window that was open at this agent's finalized
//!   tip when the receipt was given; it is overdue once `refuse_after_windows` further windows have closed without it
//! - **Security**: a leaf counts only in the log of the lender that owes it; a lender that logs late is served again
//! - **Restart**: [`WatchStart`] stands in every built receipt window: receipts before its window are settled, and reading
//!   the chain from its height on finds every leaf of the others
//! - **Source**: DESIGN.md section 4, "Request, response, log"

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use riskveil_chain::node::Node;
use riskveil_crypto::Digest32;
use riskveil_exchange::{
    audit::{entry::LogKind, leaf::query_leaf},
    ids::{Height, MemberId, Window},
    policy::Policy,
    query::messages::Envelope,
};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::windows::blocks::{LoggedLeaves, logged_leaves};

const BLOCK_RETRY: Duration = Duration::from_millis(500);

/// Where reading starts after a restart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WatchStart {
    /// Every leaf expected before this window has been found.
    pub window: Window,
    /// No leaf expected since stands in a block below this height.
    pub height: Height,
}

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
    start: WatchStart,
    owed: BTreeMap<MemberId, Owed>,
    /// Leaves of the newest blocks: a lender that gave up waiting may have logged before the receipt was given.
    recent: VecDeque<RecentBlock>,
    /// The first block of each window, from one before the oldest that could hold an expected leaf.
    window_heights: BTreeMap<Window, Height>,
    open_window: Window,
}

#[derive(Debug, Default)]
struct Owed {
    leaves: BTreeMap<Digest32, Window>,
    by_window: BTreeSet<(Window, Digest32)>,
}

#[derive(Debug)]
struct RecentBlock {
    time_s: u64,
    leaves: BTreeSet<(MemberId, Digest32)>,
}

impl LeafWatch {
    /// A watch that owes nothing.
    #[must_use]
    pub fn new(policy: Policy, genesis_time_s: u64) -> Self {
        Self(Arc::new(Inner { policy, genesis_time_s, state: Mutex::default() }))
    }

    /// Expects the lender's leaf of an envelope that was received in `window`.
    pub fn expect(&self, lender: &MemberId, envelope: &Envelope, window: Window) {
        let leaf = query_leaf(&envelope.salt, &envelope.digest());
        let mut state = self.state();
        let key = (lender.clone(), leaf);
        if window < state.start.window || state.recent.iter().any(|block| block.leaves.contains(&key)) {
            return;
        }
        state.owed.entry(key.0).or_default().expect(leaf, window);
    }

    /// Whether the chain still lacks a leaf of this lender after `refuse_after_windows` closed windows, at header time
    /// `header_time_s`.
    #[must_use]
    pub fn is_overdue(&self, lender: &MemberId, header_time_s: u64) -> bool {
        let now = self.0.policy.window_at(self.0.genesis_time_s, header_time_s);
        let oldest = self.state().owed.get(lender).and_then(Owed::oldest);
        oldest.is_some_and(|window| now.0 > window.0.saturating_add(self.0.policy.refuse_after_windows))
    }

    /// How many leaves of this lender are expected.
    #[must_use]
    pub fn owed(&self, lender: &MemberId) -> usize {
        self.state().owed.get(lender).map_or(0, |owed| owed.leaves.len())
    }

    /// Where reading has to start if the agent ends now.
    #[must_use]
    pub fn position(&self) -> WatchStart {
        let state = self.state();
        let window = state.oldest_owed();
        let from = self.earliest_block_window(window);
        // Without a block before it, the first known block of that time may not be the first there is.
        let is_complete = state.window_heights.range(..from).next().is_some();
        let height = state.window_heights.range(from..).next().map(|(_, height)| *height);
        let height = if is_complete { height.unwrap_or(state.start.height) } else { state.start.height };
        WatchStart { window, height }
    }

    /// Takes the position that a replayed journal names.
    pub(crate) fn resume(&self, start: WatchStart) {
        let mut state = self.state();
        state.start = start;
        for owed in state.owed.values_mut() {
            owed.forget_before(start.window);
        }
    }

    /// Takes note of one finalized block.
    pub fn block(&self, height: Height, time_s: u64, logged: Vec<LoggedLeaves>) {
        let mut state = self.state();
        state.open_window = self.0.policy.window_at(self.0.genesis_time_s, time_s);
        let open_window = state.open_window;
        let mut leaves = BTreeSet::new();
        for log in logged.into_iter().filter(|log| log.kind == LogKind::Queries) {
            for leaf in log.leaves {
                if let Some(owed) = state.owed.get_mut(&log.sender) {
                    owed.found(&leaf);
                }
                leaves.insert((log.sender.clone(), leaf));
            }
        }
        state.recent.push_back(RecentBlock { time_s, leaves });
        let keep_from_s = time_s.saturating_sub(self.lender_ahead_s());
        while state.recent.front().is_some_and(|block| block.time_s < keep_from_s) {
            state.recent.pop_front();
        }
        state.window_heights.entry(open_window).or_insert(height);
        let from = self.earliest_block_window(state.oldest_owed());
        while state.window_heights.keys().nth(1).is_some_and(|second| *second < from) {
            state.window_heights.pop_first();
        }
    }

    /// Follows the finalized chain until `shutdown` is true.
    pub async fn run(self, node: Node, mut shutdown: watch::Receiver<bool>) {
        let ledger = node.ledger().clone();
        let mut tip = ledger.watch();
        let mut next = self.state().start.height.max(Height(1));
        while !*shutdown.borrow() {
            while next <= *tip.borrow_and_update() && !*shutdown.borrow() {
                match node.block(next).await {
                    Some(block) => {
                        self.block(next, block.header.time_s(), logged_leaves(&ledger, &block));
                        next = next.next();
                    }
                    None => tokio::time::sleep(BLOCK_RETRY).await,
                }
            }
            tokio::select! {
                changed = tip.changed() => if changed.is_err() { return },
                changed = shutdown.changed() => if changed.is_err() { return },
            }
        }
    }

    /// How long before a receipt its lender may have given up and logged: a request's lifetime, clocks, and one window.
    fn lender_ahead_s(&self) -> u64 {
        let policy = &self.0.policy;
        policy.request_ttl_s.saturating_add(policy.clock_skew_s.saturating_mul(2)).saturating_add(policy.log_window_s)
    }

    /// The window of the earliest block that can hold the leaf of a receipt given in `window`.
    fn earliest_block_window(&self, window: Window) -> Window {
        let (policy, genesis_time_s) = (&self.0.policy, self.0.genesis_time_s);
        let start_s = policy.window_end_s(genesis_time_s, window).saturating_sub(policy.log_window_s);
        policy.window_at(genesis_time_s, start_s.saturating_sub(self.lender_ahead_s()))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The window of the oldest expectation; the open one when nothing is expected.
    fn oldest_owed(&self) -> Window {
        self.owed.values().filter_map(Owed::oldest).min().unwrap_or(self.open_window)
    }
}

impl Owed {
    fn expect(&mut self, leaf: Digest32, window: Window) {
        if self.leaves.insert(leaf, window).is_none() {
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
