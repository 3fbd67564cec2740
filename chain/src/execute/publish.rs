//! `PublishRows` and `SealSnapshot`: batches in strict sequence, and the statement that those so far are the snapshot.
//!
//! - **Place**: A7, over `exchange::publish::verify`
//! - **Source**: DESIGN.md section 4, "Period boundary"; specs/ledger.md#publish-rows, #seal-snapshot

use riskveil_crypto::digest::Digest32;
use riskveil_exchange::ids::{MemberId, Period};
use riskveil_exchange::publish::{PublishError, snapshot_root, verify_rows};

use super::overlay::Overlay;
use super::period_key::{live_key, period_changes};
use super::{BlockContext, payload_length};
use crate::receipt::ReceiptCode;
use crate::state::keys;
use crate::state::view::{BatchState, PeriodKeyState, Seal, StateRead};
use crate::tx::{PublishRows, SealSnapshot};

pub(super) fn check_stateless(
    context: &BlockContext<'_>,
    publish: &PublishRows,
    payload: &[u8],
) -> Result<(), ReceiptCode> {
    let rows = &publish.rows;
    payload_length(rows, payload)?;
    match verify_rows(payload, rows.count, &rows.root, context.genesis.policy.max_rows_per_tx) {
        Ok(_) => Ok(()),
        Err(PublishError::NotAscending { .. } | PublishError::DuplicateTag) => Err(ReceiptCode::BatchOrder),
        Err(PublishError::RootMismatch) => Err(ReceiptCode::BatchRoot),
        Err(_) => Err(ReceiptCode::BatchCount),
    }
}

pub(super) fn check_stateful(
    context: &BlockContext<'_>,
    state: &impl StateRead,
    sender: &MemberId,
    publish: &PublishRows,
) -> Result<PeriodKeyState, ReceiptCode> {
    period_changes(context, publish.period)?;
    let key = live_key(state, publish.period, sender, publish.key_serial)?;
    if publish.batch_seq != key.batch_count || key.batch_count == u32::MAX {
        return Err(ReceiptCode::BatchNotNext);
    }
    Ok(key)
}

pub(super) fn apply(
    context: &BlockContext<'_>,
    overlay: &mut Overlay<'_>,
    sender: &MemberId,
    publish: &PublishRows,
    mut key: PeriodKeyState,
) -> BatchState {
    let rows = &publish.rows;
    let batch =
        BatchState { root: rows.root, digest: rows.digest, count: rows.count, len: rows.len, height: context.height };
    key.batch_count = key.batch_count.saturating_add(1);
    key.rows_total = key.rows_total.saturating_add(u64::from(rows.count));
    overlay.put(keys::period_key(publish.period, sender), &key);
    overlay.put(keys::batch(publish.period, sender, publish.batch_seq), &batch);
    batch
}

/// A snapshot of the next period is sealed once the current period is frozen; one of the current period at any time.
pub(super) fn check_seal(
    context: &BlockContext<'_>,
    state: &impl StateRead,
    sender: &MemberId,
    seal: &SealSnapshot,
) -> Result<PeriodKeyState, ReceiptCode> {
    let now = context.period_now();
    if seal.period != now && seal.period != now.next() {
        return Err(ReceiptCode::PeriodNotOpen);
    }
    if seal.period != now && context.time_s() < context.genesis.freeze_start_s(now) {
        return Err(ReceiptCode::SealTooEarly);
    }
    let key = live_key(state, seal.period, sender, seal.key_serial)?;
    if key.sealed.is_some() {
        return Err(ReceiptCode::AlreadySealed);
    }
    if seal.batch_count != key.batch_count {
        return Err(ReceiptCode::SealCount);
    }
    let roots: Vec<Digest32> =
        (0..key.batch_count).filter_map(|seq| state.batch(seal.period, sender, seq)).map(|b| b.root).collect();
    if seal.root != snapshot_root(&roots) {
        return Err(ReceiptCode::SealRoot);
    }
    let before = seal.period.0.checked_sub(1).and_then(|p| state.period_key(Period(p), sender));
    if seal.covers_prev_seq != before.map_or(0, |key| key.batch_count) {
        return Err(ReceiptCode::SealCoverage);
    }
    Ok(key)
}

pub(super) fn apply_seal(
    context: &BlockContext<'_>,
    overlay: &mut Overlay<'_>,
    sender: &MemberId,
    seal: &SealSnapshot,
    mut key: PeriodKeyState,
) {
    let (height, time_s) = (context.height, context.time_s());
    key.sealed = Some(Seal { height, time_s, batch_count: seal.batch_count, root: seal.root });
    overlay.put(keys::period_key(seal.period, sender), &key);
}
