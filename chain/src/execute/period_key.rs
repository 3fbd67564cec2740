//! `AnnouncePeriodKey` and `BindAuditKey`: a publisher's OPRF key of a period, and its product with each audit key.
//!
//! - **Source**: DESIGN.md section 3, "Keys of a period"; specs/ledger.md#announce-period-key, #bind-audit-key

use riskveil_crypto::announce::{KeyBinding, verify_key_binding};
use riskveil_crypto::group::Element;
use riskveil_exchange::ids::{AuditKeyId, MemberId, Period};
use riskveil_exchange::publish::key::key_binding_context;

use super::BlockContext;
use super::overlay::Overlay;
use crate::receipt::ReceiptCode;
use crate::state::keys;
use crate::state::view::{BindingState, PeriodKeyState, StateRead};
use crate::tx::{AnnouncePeriodKey, AuditKeyBinding, BindAuditKey};

/// Bindings that verified.
pub(super) struct Bound(Vec<(AuditKeyId, BindingState)>);

pub(super) fn check_stateless(announce: &AnnouncePeriodKey) -> Result<(), ReceiptCode> {
    let ascending = announce.bindings.windows(2).all(|pair| match pair {
        [a, b] => a.audit_key_id < b.audit_key_id,
        _ => true,
    });
    if ascending { Ok(()) } else { Err(ReceiptCode::BindingUnexpected) }
}

pub(super) fn check_stateful(
    context: &BlockContext<'_>,
    state: &impl StateRead,
    sender: &MemberId,
    announce: &AnnouncePeriodKey,
) -> Result<Bound, ReceiptCode> {
    period_changes(context, announce.period)?;
    let expected_serial = match state.period_key(announce.period, sender) {
        Some(key) if !key.revoked => return Err(ReceiptCode::KeyAlreadyLive),
        Some(key) => key.key_serial.saturating_add(1),
        None => 0,
    };
    if announce.key_serial != expected_serial {
        return Err(ReceiptCode::KeySerialWrong);
    }
    if state.get(&keys::period_key_seen(announce.k.as_bytes())).is_some() {
        return Err(ReceiptCode::KeySeen);
    }
    let bound_here = |id: AuditKeyId| announce.bindings.iter().any(|b| b.audit_key_id == id);
    if state.audit_keys_live_at(context.time_s()).iter().any(|key| !bound_here(key.audit_key_id)) {
        return Err(ReceiptCode::BindingMissing);
    }
    let key = KeyOf { period: announce.period, key_serial: announce.key_serial, k: &announce.k, publisher: sender };
    announce.bindings.iter().map(|b| verify_binding(context, state, &key, b)).collect::<Result<_, _>>().map(Bound)
}

pub(super) fn apply(
    context: &BlockContext<'_>,
    overlay: &mut Overlay<'_>,
    sender: &MemberId,
    announce: &AnnouncePeriodKey,
    bound: Bound,
) {
    let key = PeriodKeyState {
        k: announce.k,
        key_serial: announce.key_serial,
        announced_at: context.height,
        batch_count: 0,
        rows_total: 0,
        sealed: None,
        revoked: false,
    };
    overlay.put(keys::period_key(announce.period, sender), &key);
    overlay.put(keys::period_key_seen(announce.k.as_bytes()), &(sender, announce.period, announce.key_serial));
    put_bindings(overlay, announce.period, sender, bound);
}

pub(super) fn check_binding(
    context: &BlockContext<'_>,
    state: &impl StateRead,
    sender: &MemberId,
    bind: &BindAuditKey,
) -> Result<Bound, ReceiptCode> {
    period_changes(context, bind.period)?;
    let key = live_key(state, bind.period, sender, bind.key_serial)?;
    if state.binding(bind.period, sender, bind.binding.audit_key_id).is_some() {
        return Err(ReceiptCode::BindingExists);
    }
    let key = KeyOf { period: bind.period, key_serial: key.key_serial, k: &key.k, publisher: sender };
    verify_binding(context, state, &key, &bind.binding).map(|bound| Bound(vec![bound]))
}

pub(super) fn apply_binding(overlay: &mut Overlay<'_>, sender: &MemberId, bind: &BindAuditKey, bound: Bound) {
    put_bindings(overlay, bind.period, sender, bound);
}

/// Whether anything of a period may change now: it is the current or the next, and not frozen.
pub(super) fn period_changes(context: &BlockContext<'_>, period: Period) -> Result<(), ReceiptCode> {
    let now = context.period_now();
    if period != now && period != now.next() {
        return Err(ReceiptCode::PeriodNotOpen);
    }
    if context.time_s() >= context.genesis.freeze_start_s(period) {
        return Err(ReceiptCode::PeriodFrozen);
    }
    Ok(())
}

/// The publisher's key of a period, if it has this serial and is not revoked.
pub(super) fn live_key(
    state: &impl StateRead,
    period: Period,
    publisher: &MemberId,
    key_serial: u32,
) -> Result<PeriodKeyState, ReceiptCode> {
    let key = state.period_key(period, publisher).filter(|key| !key.revoked).ok_or(ReceiptCode::PeriodKeyUnknown)?;
    if key.key_serial == key_serial { Ok(key) } else { Err(ReceiptCode::KeySerialWrong) }
}

struct KeyOf<'a> {
    period: Period,
    key_serial: u32,
    k: &'a Element,
    publisher: &'a MemberId,
}

fn verify_binding(
    context: &BlockContext<'_>,
    state: &impl StateRead,
    key: &KeyOf<'_>,
    binding: &AuditKeyBinding,
) -> Result<(AuditKeyId, BindingState), ReceiptCode> {
    let id = binding.audit_key_id;
    let audit_key =
        state.audit_key(id).filter(|a| a.until_s > context.time_s()).ok_or(ReceiptCode::BindingUnexpected)?;
    let bound_to = key_binding_context(context.chain_id, key.publisher, key.period, key.key_serial, id);
    let claim = KeyBinding { k: *key.k, k_y: binding.k_y, proof: binding.proof };
    verify_key_binding(&claim, &audit_key.y, &bound_to).map_err(|_| ReceiptCode::BindingInvalid)?;
    Ok((id, BindingState { k_y: binding.k_y, proof: binding.proof }))
}

fn put_bindings(overlay: &mut Overlay<'_>, period: Period, publisher: &MemberId, bound: Bound) {
    for (id, binding) in bound.0 {
        overlay.put(keys::binding(period, publisher, id), &binding);
    }
}
