//! `AnnounceAuditKey`: a regulator's next escrow key and seal key, a day ahead.
//!
//! - **Security**: possession is verified here, before anybody computes `k*Y`: with `Y := H(x*)` that product would be an
//!   OPRF output
//! - **Source**: DESIGN.md section 3, "Keys of a period"; specs/ledger.md#announce-audit-key

use riskveil_crypto::escrow;
use riskveil_crypto::seal;
use riskveil_exchange::ids::{AuditKeyId, MemberId};

use super::BlockContext;
use super::overlay::Overlay;
use crate::genesis::announced_audit_key_context;
use crate::receipt::ReceiptCode;
use crate::state::keys;
use crate::state::view::{AuditKeyState, StateRead};
use crate::tx::AnnounceAuditKey;

/// How long before it is live an audit key is announced, s.
pub(crate) const NOTICE_S: u64 = 86_400;
/// Most audit keys that have not ended.
pub(crate) const MAX_NOT_ENDED: usize = 8;

pub(super) fn check_stateless(
    context: &BlockContext<'_>,
    sender: &MemberId,
    announce: &AnnounceAuditKey,
) -> Result<(), ReceiptCode> {
    if announce.from_s < context.time_s().saturating_add(NOTICE_S) {
        return Err(ReceiptCode::AuditKeyTooSoon);
    }
    if announce.until_s <= announce.from_s {
        return Err(ReceiptCode::AuditKeyInterval);
    }
    let bound_to = announced_audit_key_context(context.chain_id, sender, announce.audit_key_id);
    escrow::verify_audit_key(&announce.y, &bound_to, &announce.y_possession)
        .and_then(|()| seal::verify_seal_key(&announce.seal_key, &bound_to, &announce.seal_possession))
        .map_err(|_| ReceiptCode::PossessionInvalid)
}

pub(super) fn check_stateful(
    context: &BlockContext<'_>,
    state: &impl StateRead,
    announce: &AnnounceAuditKey,
) -> Result<(), ReceiptCode> {
    let known = state.audit_keys();
    let next = known.last().map_or(AuditKeyId(0), |key| key.audit_key_id.next());
    if announce.audit_key_id != next {
        return Err(ReceiptCode::AuditKeyNotNext);
    }
    let seen = |bytes: &[u8; 32]| state.get(&keys::audit_key_seen(bytes)).is_some();
    if seen(announce.y.as_bytes()) || seen(announce.seal_key.as_bytes()) {
        return Err(ReceiptCode::AuditKeyReused);
    }
    if known.iter().filter(|key| key.until_s > context.time_s()).count() >= MAX_NOT_ENDED {
        return Err(ReceiptCode::AuditKeyTooMany);
    }
    Ok(())
}

pub(super) fn apply(
    context: &BlockContext<'_>,
    overlay: &mut Overlay<'_>,
    sender: &MemberId,
    announce: &AnnounceAuditKey,
) {
    let key = AuditKeyState {
        audit_key_id: announce.audit_key_id,
        regulator: sender.clone(),
        y: announce.y,
        seal_key: announce.seal_key,
        from_s: announce.from_s,
        until_s: announce.until_s,
        announced_at: context.height,
    };
    overlay.put(keys::audit_key(key.audit_key_id), &key);
    overlay.put(keys::audit_key_seen(key.y.as_bytes()), &key.audit_key_id);
    overlay.put(keys::audit_key_seen(key.seal_key.as_bytes()), &key.audit_key_id);
}
