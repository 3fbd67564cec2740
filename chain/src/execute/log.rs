//! `LogQueries`, `LogReceipts` and `LogAuditAccess`: what was asked, what was answered, and what the regulator looked at.
//!
//! - **Place**: B9; the windows of a member and kind follow each other without a gap, empty ones included
//! - **Source**: DESIGN.md section 4, "Request, response, log"; specs/ledger.md#log-windows, #log-audit-access

use riskveil_exchange::audit::{LogKind, LogPayload, LogPayloadError};
use riskveil_exchange::ids::{MemberId, Window};

use super::overlay::Overlay;
use super::{BlockContext, payload_length};
use crate::receipt::ReceiptCode;
use crate::state::keys;
use crate::state::view::{AuditAccessState, LogState, StateRead};
use crate::tx::{LogAuditAccess, LogWindows};

pub(super) fn check_stateless(
    context: &BlockContext<'_>,
    windows: &LogWindows,
    payload: &[u8],
) -> Result<(), ReceiptCode> {
    if windows.last_window < windows.first_window {
        return Err(ReceiptCode::WindowNotNext);
    }
    let policy = &context.genesis.policy;
    if policy.window_end_s(context.genesis.genesis_time_s, windows.last_window) > context.time_s() {
        return Err(ReceiptCode::WindowNotOver);
    }
    let log = &windows.log;
    payload_length(log, payload)?;
    let decoded = match LogPayload::decode(payload, payload.len(), policy.min_log_bucket) {
        Ok(decoded) => decoded,
        Err(LogPayloadError::NotABucket { .. }) => return Err(ReceiptCode::LogBucket),
        Err(_) => return Err(ReceiptCode::LogMalformed),
    };
    if decoded.count() != log.count {
        return Err(ReceiptCode::LogBucket);
    }
    if decoded.root() != log.root {
        return Err(ReceiptCode::LogRoot);
    }
    Ok(())
}

pub(super) fn check_stateful(
    state: &impl StateRead,
    kind: LogKind,
    sender: &MemberId,
    windows: &LogWindows,
) -> Result<(), ReceiptCode> {
    let expected = state.last_window(kind, sender).map_or(Window(0), Window::next);
    if windows.first_window == expected { Ok(()) } else { Err(ReceiptCode::WindowNotNext) }
}

pub(super) fn apply(
    context: &BlockContext<'_>,
    overlay: &mut Overlay<'_>,
    kind: LogKind,
    sender: &MemberId,
    windows: &LogWindows,
) {
    let log = LogState {
        first_window: windows.first_window,
        last_window: windows.last_window,
        root: windows.log.root,
        digest: windows.log.digest,
        count: windows.log.count,
        height: context.height,
        time_s: context.time_s(),
    };
    overlay.put(keys::log(kind, sender), &log);
}

pub(super) fn check_access(access: &LogAuditAccess) -> Result<(), ReceiptCode> {
    if !(1..=3).contains(&access.action) {
        return Err(ReceiptCode::AuditActionUnknown);
    }
    if access.to < access.from { Err(ReceiptCode::AuditRangeReversed) } else { Ok(()) }
}

pub(super) fn apply_access(
    context: &BlockContext<'_>,
    overlay: &mut Overlay<'_>,
    sender: &MemberId,
    access: &LogAuditAccess,
) {
    let count = overlay.audit_access(sender).count.saturating_add(1);
    let newest = AuditAccessState { count, height: context.height, scope_commit: Some(access.scope_commit) };
    overlay.put(keys::audit_access(sender), &newest);
}
