//! Journals every query sent and every receipt given before either leaves this machine, and hands them out by log window.
//!
//! - **Place**: B3 (before sending), B4 (before the response leaves), B8; out to `windows` (B9)
//! - **Shapes**: `journal/queries.log` and `journal/receipts.log`, one frame per step of an entry; entries stay in memory
//!   until the payload of their window is journalled
//! - **Invariants**: an entry with its envelopes is durable before [`QueryLog::begin`] returns, a receipt before
//!   [`QueryLog::receipt`] returns; every entry ever made durable is in exactly one built window, and a built payload is never
//!   drawn again. An entry that no window could hold is refused, so nothing waits for ever
//! - **Windows**: an entry belongs to the window that was open, by the header time of this agent's finalized tip, when it
//!   finished: the first one that closes after it. An entry that never finished (crash, cancelled task) is unanswered
//! - **Errors**: [`QueryLogError`]: the disk, or an entry that is too large; the caller must not send
//! - **Security**: frames hold what the log holds (escrowed items, seals, envelopes, digests of responses), never an
//!   identifier, Z, hit or clear; they are encrypted at rest like every journal
//! - **Source**: DESIGN.md section 4, "Request, response, log"

mod book;

use std::{
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use riskveil_crypto::{Digest32, at_rest::AtRestKey};
use riskveil_exchange::{
    audit::{
        entry::{LenderEntry, Outcome, ResponderEntry},
        window::{WindowError, check_loggable},
    },
    ids::Window,
    policy::Policy,
};
use serde::Serialize;

use self::book::{Book, QueryFrame, ReceiptFrame};
use crate::{
    journal::{Journal, JournalError, JournalWriter},
    leaf_watch::LeafWatch,
};

pub use self::book::Built;

/// A query log that cannot be opened or written, or an entry it cannot take.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum QueryLogError {
    /// A journal cannot be opened or written.
    #[error(transparent)]
    Journal(#[from] Arc<JournalError>),
    /// No window can hold the entry.
    #[error(transparent)]
    TooLarge(#[from] WindowError),
}

impl From<JournalError> for QueryLogError {
    fn from(error: JournalError) -> Self {
        Self::Journal(Arc::new(error))
    }
}

/// A query or disclosure under way. Dropping it without [`QueryLog::finish`] logs what was sent as unanswered.
#[derive(Debug)]
#[must_use = "dropping it logs the query as unanswered"]
pub struct QueryTicket {
    number: u64,
    log: QueryLog,
    finished: bool,
}

impl Drop for QueryTicket {
    fn drop(&mut self) {
        if !self.finished {
            self.log.settle(self.number, Vec::new());
        }
    }
}

/// The journals of queries and receipts; clones share them.
#[derive(Clone)]
pub struct QueryLog(Arc<Shared>);

struct Shared {
    queries: JournalWriter<QueryFrame>,
    receipts: JournalWriter<ReceiptFrame>,
    book: Mutex<Book>,
    watch: LeafWatch,
    policy: Policy,
}

/// The keys of the two journals.
#[derive(Debug)]
pub struct QueryLogKeys {
    /// Of `queries.log`.
    pub queries: AtRestKey,
    /// Of `receipts.log`.
    pub receipts: AtRestKey,
}

/// Entries that wait for a window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Backlog {
    /// Finished queries that are in no built window yet.
    pub queries: usize,
    /// Their encoded size.
    pub query_bytes: usize,
    /// Receipts that are in no built window yet.
    pub receipts: usize,
    /// Their encoded size.
    pub receipt_bytes: usize,
}

impl QueryLog {
    /// Opens both journals under `journal_dir`. Queries that a crash interrupted are finished as unanswered; `watch`
    /// expects the lender's leaf of every receipt, replayed or new. Every receipt in the journal is shown to `on_receipt`,
    /// oldest first: nonces seen and quota used are rebuilt from it.
    ///
    /// # Errors
    /// [`QueryLogError::Journal`] when a journal is damaged, of another key, or unreadable.
    pub fn open(
        journal_dir: &Path,
        keys: QueryLogKeys,
        policy: Policy,
        watch: LeafWatch,
        mut on_receipt: impl FnMut(&ResponderEntry),
    ) -> Result<Self, QueryLogError> {
        let mut book = Book::default();
        let (queries, _) = Journal::open_with(journal_dir, "queries", keys.queries, |frame| book.replay_query(frame))?;
        let (receipts, _) = Journal::open_with(journal_dir, "receipts", keys.receipts, |frame| {
            book.replay_receipt(frame, &watch, &mut on_receipt);
        })?;
        let interrupted = book.settle_interrupted();
        if interrupted > 0 {
            tracing::warn!(interrupted, "queries were under way when the agent ended; they are logged as unanswered");
        }
        let (queries, receipts) = (queries.into_writer(), receipts.into_writer());
        Ok(Self(Arc::new(Shared { queries, receipts, book: Mutex::new(book), watch, policy })))
    }

    /// Makes a query with all its envelopes, or a disclosure, durable; only when this returns `Ok` may it be sent.
    ///
    /// # Errors
    /// [`QueryLogError::TooLarge`] when no window can hold it, [`QueryLogError::Journal`] when the disk refuses: do not send.
    pub async fn begin(&self, entry: impl Into<LenderEntry>) -> Result<QueryTicket, QueryLogError> {
        let entry = entry.into();
        check_loggable(&entry, &self.0.policy)?;
        let number = self.book().draw_number();
        self.0.queries.append(QueryFrame::begun(number, entry.clone())).await?;
        self.book().begun(number, entry);
        Ok(QueryTicket { number, log: self.clone(), finished: false })
    }

    /// Records how responders answered, by the digest of the envelope or head; who is not named did not answer. Does not wait for the disk:
    /// what a crash takes here is logged as unanswered.
    pub fn finish(&self, mut ticket: QueryTicket, outcomes: Vec<(Digest32, Outcome)>) {
        ticket.finished = true;
        self.settle(ticket.number, outcomes);
    }

    /// Makes a receipt durable; only when this returns `Ok` may the response leave. Concurrent receipts share one fsync.
    ///
    /// # Errors
    /// [`QueryLogError::TooLarge`] when no window can hold it, [`QueryLogError::Journal`] when the disk refuses: do not
    /// answer.
    pub async fn receipt(&self, entry: impl Into<ResponderEntry>) -> Result<(), QueryLogError> {
        let entry = entry.into();
        check_loggable(&entry, &self.0.policy)?;
        let (number, window) = {
            let mut book = self.book();
            let window = book.open_window();
            let (lender, leaf) = book::owed(&entry);
            self.0.watch.expect(lender, leaf, window);
            (book.draw_number(), window)
        };
        self.0.receipts.append(ReceiptFrame::given(number, window, entry.clone())).await?;
        self.book().given(number, window, entry);
        Ok(())
    }

    /// What waits for a window: a screening paces itself by it, a responder refuses `overloaded` by it.
    #[must_use]
    pub fn backlog(&self) -> Backlog {
        self.book().backlog()
    }

    /// The window that is open by the header time of the finalized tip; `windows` keeps it up to date.
    pub fn set_open_window(&self, window: Window) {
        self.book().set_open_window(window);
    }

    /// Queries that finished in windows up to `closed`, oldest first, together at most `max_bytes` (but at least one).
    #[must_use]
    pub fn queries_up_to(&self, closed: Window, max_bytes: usize) -> Vec<(u64, LenderEntry)> {
        self.book().queries.up_to(closed, max_bytes)
    }

    /// Receipts given in windows up to `closed`, oldest first, together at most `max_bytes` (but at least one).
    #[must_use]
    pub fn receipts_up_to(&self, closed: Window, max_bytes: usize) -> Vec<(u64, ResponderEntry)> {
        self.book().receipts.up_to(closed, max_bytes)
    }

    /// Makes a built query window durable and releases its entries; only then may its transaction be signed.
    ///
    /// # Errors
    /// [`QueryLogError::Journal`] when the disk refuses: do not submit.
    pub async fn queries_built(&self, built: Built) -> Result<(), QueryLogError> {
        self.0.queries.append(QueryFrame::Built(built.clone())).await?;
        self.book().queries.built(built);
        Ok(())
    }

    /// Makes a built receipt window durable and releases its entries; only then may its transaction be signed.
    ///
    /// # Errors
    /// [`QueryLogError::Journal`] when the disk refuses: do not submit.
    pub async fn receipts_built(&self, built: Built) -> Result<(), QueryLogError> {
        self.0.receipts.append(ReceiptFrame::Built(built.clone())).await?;
        self.book().receipts.built(built);
        Ok(())
    }

    /// The query window built last; perhaps not on chain yet.
    #[must_use]
    pub fn last_built_queries(&self) -> Option<Built> {
        self.book().queries.last_built()
    }

    /// The receipt window built last; perhaps not on chain yet.
    #[must_use]
    pub fn last_built_receipts(&self) -> Option<Built> {
        self.book().receipts.last_built()
    }

    fn settle(&self, number: u64, outcomes: Vec<(Digest32, Outcome)>) {
        let Some(window) = self.book().finish(number, &outcomes) else { return };
        // Outside a runtime the agent is ending; after a restart the entry is unanswered.
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let queries = self.0.queries.clone();
        runtime.spawn(async move {
            if let Err(error) = queries.append(QueryFrame::Finished { number, window, outcomes }).await {
                tracing::error!(%error, "how a query was answered could not be journalled");
            }
        });
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.0.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for QueryLog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("QueryLog").field("backlog", &self.backlog()).finish_non_exhaustive()
    }
}
