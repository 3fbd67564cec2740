//! Puts a member's log on chain: one transaction per kind for every window that closes, even if nothing happened in it.
//!
//! - **Place**: B9, `query_log` -> `SealedWindow` -> outbox -> `LogQueries` (lenders), `LogReceipts` (publishers)
//! - **Invariants**: a payload is journalled before its transaction is signed and sent again unchanged after a crash; ranges
//!   follow each other without a gap, so downtime makes one long range. One transaction per kind is under way at a time;
//!   when finality takes longer than a window, the next range is longer
//! - **Windows**: a window has closed when the header time of this agent's finalized tip has reached its end; the chain
//!   refuses earlier ones. Entries that do not fit half a block wait for the next window
//! - **Errors**: [`WindowsError`]; the agent must not go on querying or answering with a log that cannot be written
//! - **Source**: DESIGN.md section 4, "Request, response, log"; specs/ledger.md#logs

pub mod blocks;

use std::time::Duration;

use rand::rngs::OsRng;
use riskveil_chain::{
    ledger::Ledger,
    receipt::ReceiptCode,
    state::view::StateRead,
    tx::{LogWindows, PayloadRef, TxBody},
};
use riskveil_crypto::digest::sha256;
use riskveil_exchange::{
    audit::{
        entry::{LogEntry, LogKind},
        window::{SealTo, SealedWindow, WindowError, WindowScope, payload_budget},
    },
    ids::{MemberId, Window},
};
use tokio::sync::watch;

use crate::{
    leaf_watch::LeafWatch,
    outbox::{Outbox, OutboxError},
    query_log::{Built, QueryLog, QueryLogError},
};

/// How long to wait after a transaction that the chain refused, or while no audit key is live.
const RETRY: Duration = Duration::from_secs(5);

/// Why a member's log cannot go on chain.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WindowsError {
    /// The journals.
    #[error(transparent)]
    QueryLog(#[from] QueryLogError),
    /// The outbox.
    #[error(transparent)]
    Outbox(#[from] OutboxError),
    /// The window cannot be sealed.
    #[error(transparent)]
    Window(#[from] WindowError),
    /// The chain has windows of this member that this directory never built.
    #[error(
        "the chain has log windows of this member up to {logged}, which this agent did not write: it was restored from a \
         backup, or another agent runs with the same keys; restore the newest journals"
    )]
    Diverged {
        /// The last window on chain.
        logged: Window,
    },
}

/// Writes one kind of log of one member.
#[derive(Debug)]
pub struct WindowTask {
    /// Whose log.
    pub member: MemberId,
    /// Which log.
    pub kind: LogKind,
    /// The member's own replica.
    pub ledger: Ledger,
    /// Signs and sends.
    pub outbox: Outbox,
    /// What is logged.
    pub query_log: QueryLog,
    /// What responders expect of lenders.
    pub leaf_watch: LeafWatch,
}

impl WindowTask {
    /// Writes windows until `shutdown` is true.
    ///
    /// # Errors
    /// [`WindowsError`]: the disk, or another agent writes under this name.
    pub async fn run(self, mut shutdown: watch::Receiver<bool>) -> Result<(), WindowsError> {
        let mut tip = self.ledger.watch();
        while !*shutdown.borrow() {
            tip.borrow_and_update();
            let step = tokio::select! {
                step = self.step() => step?,
                _ = shutdown.changed() => continue,
            };
            let retry = match step {
                Step::Waiting => Duration::MAX,
                Step::Logged => Duration::ZERO,
                Step::Refused => RETRY,
            };
            if retry.is_zero() {
                continue;
            }
            tokio::select! {
                changed = tip.changed(), if step == Step::Waiting => if changed.is_err() { return Ok(()) },
                () = tokio::time::sleep(retry), if step == Step::Refused => {}
                changed = shutdown.changed() => if changed.is_err() { return Ok(()) },
            }
        }
        Ok(())
    }

    /// Logs the windows that have closed and are not on chain yet, if there are any.
    async fn step(&self) -> Result<Step, WindowsError> {
        let view = self.ledger.view();
        let genesis = self.ledger.genesis();
        let open = genesis.policy.window_at(genesis.genesis_time_s, view.time_s());
        self.query_log.set_open_window(open);
        let logged = view.last_window(self.kind, &self.member);
        let next = logged.map_or(Window(0), Window::next);
        if next >= open {
            return Ok(Step::Waiting);
        }
        let built = match self.last_built() {
            Some(built) if built.last >= next => built,
            last => {
                // Everything on chain must be what this directory built.
                if let Some(logged) = logged.filter(|logged| last.is_none_or(|built| built.last != *logged)) {
                    return Err(WindowsError::Diverged { logged });
                }
                let closed = Window(open.0.saturating_sub(1));
                match self.build(next, closed).await? {
                    Some(built) => built,
                    None => return Ok(Step::Refused),
                }
            }
        };
        if built.first > next {
            // This replica was lost and fetches blocks again: the windows before are on chain already.
            return Ok(Step::Waiting);
        }
        if built.first < next {
            return Err(WindowsError::Diverged { logged: Window(next.0.saturating_sub(1)) });
        }
        self.submit(built).await
    }

    /// Draws and journals the payload of windows `first` to `last`; none while no audit key is live.
    async fn build(&self, first: Window, last: Window) -> Result<Option<Built>, WindowsError> {
        let built = match self.kind {
            LogKind::Queries => self.seal(first, last, |budget| self.query_log.queries_up_to(last, budget))?,
            LogKind::Receipts => self.seal(first, last, |budget| self.query_log.receipts_up_to(last, budget))?,
        };
        let Some(built) = built else { return Ok(None) };
        match self.kind {
            LogKind::Queries => self.query_log.queries_built(built.clone()).await?,
            LogKind::Receipts => self.query_log.receipts_built(built.clone()).await?,
        }
        Ok(Some(built))
    }

    fn seal<E: LogEntry>(
        &self,
        first: Window,
        last: Window,
        waiting: impl FnOnce(usize) -> Vec<(u64, E)>,
    ) -> Result<Option<Built>, WindowsError> {
        let view = self.ledger.view();
        let policy = &self.ledger.genesis().policy;
        let Some(audit_key) = view.audit_keys_live_at(view.time_s()).pop() else {
            tracing::error!("no audit key is live: log windows wait until the regulator announces one");
            return Ok(None);
        };
        let budget = payload_budget(policy);
        let (numbers, entries): (Vec<u64>, Vec<E>) = waiting(budget).into_iter().unzip();
        let scope = WindowScope {
            chain_id: *self.ledger.chain_id(),
            member: self.member.clone(),
            first_window: first,
            last_window: last,
        };
        let to = SealTo { audit_key_id: audit_key.audit_key_id, key: &audit_key.seal_key };
        let sealed = SealedWindow::build(&scope, &entries, to, policy.min_log_bucket, budget, &mut OsRng)?;
        Ok(Some(Built {
            first,
            last,
            entries: numbers.into_iter().take(sealed.taken).collect(),
            leaf_count: sealed.payload.count(),
            root: sealed.payload.root(),
            payload: sealed.payload.encode(),
            settled_before: match self.kind {
                LogKind::Queries => Window(0),
                LogKind::Receipts => self.leaf_watch.position(last),
            },
        }))
    }

    async fn submit(&self, built: Built) -> Result<Step, WindowsError> {
        let (first_window, last_window) = (built.first, built.last);
        let log = PayloadRef {
            digest: sha256(&built.payload),
            len: u32::try_from(built.payload.len()).unwrap_or(u32::MAX),
            count: built.leaf_count,
            root: built.root,
        };
        let windows = LogWindows { first_window, last_window, log };
        let body = match self.kind {
            LogKind::Queries => TxBody::LogQueries(windows),
            LogKind::Receipts => TxBody::LogReceipts(windows),
        };
        // After a restart it may be on its way already.
        let sequence = match self.outbox.on_its_way(|other| *other == body) {
            Some(sequence) => sequence,
            None => self.outbox.submit(body, Some(built.payload)).await?.sequence,
        };
        let (height, code) = self.outbox.await_outcome(sequence).await?;
        if code == ReceiptCode::Applied {
            return Ok(Step::Logged);
        }
        tracing::warn!(%height, ?code, kind = ?self.kind, "the chain refused a log window");
        Ok(Step::Refused)
    }

    fn last_built(&self) -> Option<Built> {
        match self.kind {
            LogKind::Queries => self.query_log.last_built_queries(),
            LogKind::Receipts => self.query_log.last_built_receipts(),
        }
    }
}

/// What a step came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// No window has closed since the last one logged.
    Waiting,
    /// A range is on chain.
    Logged,
    /// The chain refused it, or it cannot be sealed yet.
    Refused,
}
