//! The task behind publications: brings the chain up to date with the record book, again and again.
//!
//! - **Place**: calls walk A's `publish_pending` when records arrive, when a period freezes or begins, when an audit key is announced,
//!   and after a restart
//! - **Invariants**: one publication at a time; what fails is tried again, and the reason is shown until it succeeds
//! - **Errors**: a full disk ends the agent; everything else waits

use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use riskveil_chain::state::view::StateRead;
use riskveil_exchange::ids::Height;
use tokio::sync::Notify;

use super::commitments::{self, Prover};
use super::{PublishError, publish};
use crate::api::models::{PublicationStatus, RejectedRow, WorkState};
use crate::context::Context;
use crate::period_keys;
use crate::records::{RecordBook, RecordsError};

const FIRST_RETRY: Duration = Duration::from_millis(500);
const LAST_RETRY: Duration = Duration::from_secs(10);

/// A publisher's record book and its task's state.
pub struct Publisher {
    /// Its records.
    pub book: RecordBook,
    /// Its range proofs.
    pub prover: Prover,
    wake: Notify,
    waiting_for: Mutex<Option<String>>,
}

impl fmt::Debug for Publisher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Publisher({:?})", self.book)
    }
}

impl Publisher {
    /// A publisher with this book and these range proofs.
    #[must_use]
    pub fn new(book: RecordBook, prover: Prover) -> Self {
        Self { book, prover, wake: Notify::new(), waiting_for: Mutex::new(None) }
    }

    /// Tells the task that there are new records.
    pub fn wake(&self) {
        self.wake.notify_one();
    }

    /// How far a publication is.
    #[must_use]
    pub fn status(&self, context: &Context, id: &str) -> Option<PublicationStatus> {
        let view = context.ledger.view();
        let period = period_keys::target(context, &view);
        let key = view.period_key(period, &context.member.id);
        let (publication, batches) = self.book.publication(id, period, key.as_ref().map_or(0, |key| key.key_serial))?;
        let counted = key.as_ref().map_or(0, |key| key.batch_count);
        let seal = key.as_ref().and_then(|key| key.sealed);
        let last = batches.and_then(|(_, end)| view.batch(period, &context.member.id, end.checked_sub(1)?));
        let is_final = batches.is_some_and(|(_, end)| counted >= end);
        let state = match (is_final, seal, batches) {
            (true, Some(_), _) => WorkState::Done,
            (_, _, Some(_)) => WorkState::Running,
            _ => WorkState::Queued,
        };
        let done = state == WorkState::Done;
        let places = self.book.places_of(id)?;
        let height = last.map(|batch| batch.height).into_iter().chain(seal.map(|seal| seal.height)).max();
        Some(PublicationStatus {
            id: publication.id,
            state,
            accepted: publication.accepted,
            duplicates: publication.duplicates,
            blank_lines: publication.blank_lines,
            ignored_columns: publication.ignored_columns,
            rejected: publication
                .rejected
                .iter()
                .map(|(record_number, reason)| RejectedRow {
                    record_number: *record_number,
                    reason: reason.to_string(),
                })
                .collect(),
            rejected_total: publication.rejected.len(),
            next: None,
            batches: batches.map_or(0, |(first, end)| end - first),
            height: height.filter(|_| done),
            sealed: seal.is_some(),
            rows: self.book.drawing().filter(|_| !done),
            commitments: commitments::progress(context, self, &places),
            waiting_for: self.waiting_for().or_else(|| stalled(context)).filter(|_| !done),
        })
    }

    /// Why the task is not going on, if it is not.
    #[must_use]
    pub fn waiting_for(&self) -> Option<String> {
        self.waiting_for.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether the current period has this publisher's sealed snapshot, or there is nothing to publish.
    #[must_use]
    pub fn is_ready(&self, context: &Context) -> bool {
        let view = context.ledger.view();
        let key = view.period_key(view.period(context.ledger.genesis()), &context.member.id);
        key.is_some_and(|key| key.sealed.is_some() || !self.book.has_publications())
    }

    fn set_waiting(&self, reason: Option<String>) {
        *self.waiting_for.lock().unwrap_or_else(PoisonError::into_inner) = reason;
    }
}

/// Why nothing becomes final, if the chain stands still.
fn stalled(context: &Context) -> Option<String> {
    let age_s = context.tip_age_s();
    (!context.is_fresh()).then(|| format!("the chain stands still for {age_s} s; too few validators are reached"))
}

/// Publishes whatever is pending for as long as the agent runs.
///
/// # Errors
/// [`RecordsError`] when the record journal cannot be written: the agent has to stop.
pub async fn run(context: &Context, publisher: &Publisher) -> Result<(), RecordsError> {
    let mut tip = context.ledger.watch();
    let mut retry = FIRST_RETRY;
    // what an earlier run signed has to be final first, so that the state counts it
    let mut in_doubt = true;
    loop {
        if std::mem::take(&mut in_doubt) && context.outbox.drained().await.is_err() {
            // the outbox is closed: the agent is stopping
            return Ok(());
        }
        match bring_up_to_date(context, publisher).await {
            Ok(height) => {
                publisher.set_waiting(None);
                retry = FIRST_RETRY;
                tracing::debug!(%height, "publications are complete");
                until_due(context, publisher, &mut tip).await;
            }
            Err(PublishError::Records(fatal)) => return Err(fatal),
            Err(waits) => {
                tracing::warn!(reason = %waits, "a publication waits");
                publisher.set_waiting(Some(waits.to_string()));
                tokio::time::sleep(retry).await;
                retry = (retry * 2).min(LAST_RETRY);
                in_doubt = true;
            }
        }
    }
}

/// The key of the period, and everything that is pending under it.
async fn bring_up_to_date(context: &Context, publisher: &Publisher) -> Result<Height, PublishError> {
    let height = if publisher.book.has_publications() {
        publish::publish_pending(context, &publisher.book).await?
    } else {
        period_keys::ensure(context, period_keys::target(context, &context.ledger.view())).await?;
        context.ledger.view().height()
    };
    Ok(height)
}

/// Waits for new records, a freeze, a new period, or an audit key without a binding.
async fn until_due(context: &Context, publisher: &Publisher, tip: &mut tokio::sync::watch::Receiver<Height>) {
    let settled = |context: &Context| {
        let view = context.ledger.view();
        let period = period_keys::target(context, &view);
        let unbound = view.audit_keys().iter().any(|key| {
            key.until_s > view.time_s() && view.binding(period, &context.member.id, key.audit_key_id).is_none()
        });
        let complete = view.period_key(period, &context.member.id).is_some_and(|key| {
            publisher.book.covered(period, key.key_serial)
                && (key.sealed.is_some() || !publisher.book.has_publications())
        });
        complete && !unbound
    };
    loop {
        tokio::select! {
            () = publisher.wake.notified() => return,
            changed = tip.changed() => match changed {
                Ok(()) if settled(context) => {
                    if let Err(error) = period_keys::destroy_ended(context) {
                        tracing::error!(%error, "the key of an ended period could not be destroyed");
                    }
                }
                Ok(()) => return,
                // the ledger is closed: the agent is stopping
                Err(_) => std::future::pending().await,
            },
        }
    }
}
