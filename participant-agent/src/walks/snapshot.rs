//! The end of a publication: seal the period's snapshot, and see that this replica holds all of it.
//!
//! - **Place**: A7 and A8
//! - **Invariants**: a snapshot is sealed once in a period, when every planned batch of it is final
//! - **Source**: DESIGN.md section 4, "Period boundary"

use std::time::Duration;

use riskveil_chain::receipt::ReceiptCode;
use riskveil_chain::state::view::{FinalizedView, PeriodKeyState, StateRead};
use riskveil_chain::tx::{SealSnapshot, TxBody};
use riskveil_crypto::Digest32;
use riskveil_exchange::ids::{Height, MemberId, Period};
use riskveil_exchange::publish::{PeriodKeyId, snapshot_root};

use super::PublishError;
use crate::context::Context;
use crate::period_keys::LiveKey;
use crate::records::RecordBook;

/// How long this replica may take to index what its own state counts.
const REPLICATION_TIMEOUT: Duration = Duration::from_secs(30);

/// Seals the snapshot if it is not; returns the height of the seal.
///
/// # Errors
/// [`PublishError::Refused`] when the chain does not agree with the counts or roots of its own state.
pub async fn seal(context: &Context, key: &LiveKey, book: &RecordBook) -> Result<Height, PublishError> {
    let PeriodKeyId { period, key_serial, .. } = key.id;
    let view = context.ledger.view();
    let state = key_state(&view, key)?;
    if let Some(seal) = state.sealed {
        return Ok(seal.height);
    }
    if state.batch_count != book.planned(period, key_serial) {
        return Err(PublishError::PeriodOver(period));
    }
    let roots: Option<Vec<Digest32>> =
        (0..state.batch_count).map(|seq| Some(view.batch(period, &key.id.publisher, seq)?.root)).collect();
    let body = SealSnapshot {
        period,
        key_serial,
        batch_count: state.batch_count,
        root: snapshot_root(&roots.unwrap_or_default()),
        covers_prev_seq: batches_before(&view, period, &key.id.publisher),
    };
    let submitted = context.outbox.submit(TxBody::SealSnapshot(body), None).await?;
    match context.outbox.await_outcome(submitted.sequence).await? {
        (height, ReceiptCode::Applied | ReceiptCode::AlreadySealed) => Ok(height),
        (_, code) => Err(PublishError::Refused(code)),
    }
}

/// Waits until this replica's index holds every batch that its state counts.
///
/// # Errors
/// [`PublishError::NotReplicated`] after 30 s.
pub async fn replicated(context: &Context, key: &LiveKey) -> Result<(), PublishError> {
    let holds = || {
        let view = context.ledger.view();
        let counted = key_state(&view, key).map_or(0, |state| state.batch_count);
        context.ledger.index().holds(key.id.period, &key.id.publisher, counted)
    };
    let mut tip = context.ledger.watch();
    let wait = async {
        while !holds() {
            if tip.changed().await.is_err() {
                break;
            }
        }
    };
    match tokio::time::timeout(REPLICATION_TIMEOUT, wait).await {
        Ok(()) if holds() => Ok(()),
        _ => Err(PublishError::NotReplicated),
    }
}

fn key_state(view: &FinalizedView, key: &LiveKey) -> Result<PeriodKeyState, PublishError> {
    view.period_key(key.id.period, &key.id.publisher).ok_or(PublishError::PeriodOver(key.id.period))
}

fn batches_before(view: &FinalizedView, period: Period, publisher: &MemberId) -> u32 {
    let before = period.0.checked_sub(1).and_then(|before| view.period_key(Period(before), publisher));
    before.map_or(0, |state| state.batch_count)
}
