//! The six conditions under which an answer counts, judged once at one height of the lender's own finalized replica.
//!
//! - **Place**: B6, between a [`VerifiedResponse`] and its labels; conditions 1 to 5 here, condition 6 by
//!   [`walk_is_whole`] over `query::lookup`
//! - **Invariants**: every input is explicit: no clock, no chain access; the chain decides, never the response
//! - **Errors**: [`NotAnswered`]: `unavailable` (what the replica lacks) or `malformed` (what the publisher did), never "no"
//! - **Source**: DESIGN.md section 4, "`clear` requires"; specs/protocol.md#rules-of-clear

use riskveil_crypto::{Digest32, Element};

use crate::ids::{Height, Period};
use crate::policy::Policy;
use crate::query::answer::{MalformedReason, UnavailableReason};
use crate::query::lookup::WalkError;
use crate::query::session::VerifiedResponse;

/// How far a header's time may be ahead of the local clock, s.
pub const MAX_HEADER_AHEAD_S: u64 = 5;
/// How long a lender waits for its replica to reach a response's tip before it answers `unavailable(tip_unknown)`, s.
pub const TIP_WAIT_S: u64 = 5;

/// Why an answer is neither a hit nor clear.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotAnswered {
    /// Something is missing.
    Unavailable(UnavailableReason),
    /// The publisher did something wrong.
    Malformed(MalformedReason),
}

/// The publisher's key as the state at the judged height has it.
#[derive(Clone, Copy, Debug)]
pub struct KeyAtHeight<'a> {
    /// The live key.
    pub k: &'a Element,
    /// Its snapshot is sealed.
    pub sealed: bool,
    /// It was revoked.
    pub revoked: bool,
    /// It is bound to the query's audit key.
    pub bound: bool,
    /// Batches the state counts, rows and withdrawals.
    pub batch_count: u32,
}

/// What the lender's replica says at the height that is judged.
#[derive(Clone, Copy, Debug)]
pub struct Conditions<'a> {
    /// The consortium's parameters.
    pub policy: &'a Policy,
    /// The lender's clock, Unix seconds.
    pub now_s: u64,
    /// The height h.
    pub height: Height,
    /// Header time of h, Unix seconds.
    pub header_time_s: u64,
    /// `served_at_s` of every signed answer to this query.
    pub responder_times_s: &'a [u64],
    /// The lender's own header hash at the response's `tip_height`; none while h is below it.
    pub own_header_hash_at_tip: Option<Digest32>,
    /// The publisher is an active member with the publisher role.
    pub active: bool,
    /// The period that header time of h falls in.
    pub current_period: Period,
    /// The publisher's key of that period, if announced.
    pub key: Option<KeyAtHeight<'a>>,
    /// Batches of that key that the replica holds and has checked, counted without a gap from the first.
    pub batches_held: u32,
    /// Batches that the chain counted at the response's `tip_height`.
    pub batch_count_at_tip: u32,
}

/// Judges conditions 1 to 5 in order.
///
/// # Errors
/// The first condition that does not hold.
pub fn judge(
    at: &Conditions<'_>,
    period: Period,
    items: usize,
    response: &VerifiedResponse,
) -> Result<(), NotAnswered> {
    header_is_fresh(at)?;
    clock_agrees(at)?;
    tip_is_ours(at, response.head.tip_header_hash)?;
    key_is_current(at, period, &response.k)?;
    batches_are_held(at, response.head.last_batch_seq)?;
    items_are_verified(items, response.items_verified())
}

/// Condition 1, first half: header h is at most `fresh_tip_s` behind and 5 s ahead of the local clock.
///
/// # Errors
/// `stale_replica`, `header_ahead`.
pub fn header_is_fresh(at: &Conditions<'_>) -> Result<(), NotAnswered> {
    if at.now_s.saturating_sub(at.header_time_s) > at.policy.fresh_tip_s {
        return Err(NotAnswered::Unavailable(UnavailableReason::StaleReplica));
    }
    if at.header_time_s.saturating_sub(at.now_s) > MAX_HEADER_AHEAD_S {
        return Err(NotAnswered::Unavailable(UnavailableReason::HeaderAhead));
    }
    Ok(())
}

/// Condition 1, second half: the local clock is within `clock_skew_s` of the median of the responders' (the lower one of two).
///
/// # Errors
/// `clock_disagrees`, also when no responder told its time.
pub fn clock_agrees(at: &Conditions<'_>) -> Result<(), NotAnswered> {
    let mut times = at.responder_times_s.to_vec();
    times.sort_unstable();
    let median = times.get(times.len().saturating_sub(1) / 2);
    match median {
        Some(median) if median.abs_diff(at.now_s) <= at.policy.clock_skew_s => Ok(()),
        _ => Err(NotAnswered::Unavailable(UnavailableReason::ClockDisagrees)),
    }
}

/// Condition 2: h has reached the response's tip, and its header hash is ours.
///
/// # Errors
/// `tip_unknown` (wait up to [`TIP_WAIT_S`]), `tip_conflict` (the signed response is evidence of a fork).
pub fn tip_is_ours(at: &Conditions<'_>, tip_header_hash: Digest32) -> Result<(), NotAnswered> {
    match at.own_header_hash_at_tip {
        None => Err(NotAnswered::Unavailable(UnavailableReason::TipUnknown)),
        Some(own) if own != tip_header_hash => Err(NotAnswered::Unavailable(UnavailableReason::TipConflict)),
        Some(_) => Ok(()),
    }
}

/// Condition 3: the publisher is active, period and K are the current ones, the snapshot is sealed and not revoked.
///
/// # Errors
/// `not_active`, `period_over`, `key_changed`, `revoked`, `no_snapshot`, `no_audit_binding`.
pub fn key_is_current(at: &Conditions<'_>, period: Period, k: &Element) -> Result<(), NotAnswered> {
    let reason = match at.key {
        _ if !at.active => UnavailableReason::NotActive,
        _ if at.current_period != period => UnavailableReason::PeriodOver,
        None => UnavailableReason::NoSnapshot,
        Some(key) if key.revoked => UnavailableReason::Revoked,
        Some(key) if key.k != k => UnavailableReason::KeyChanged,
        Some(key) if !key.sealed => UnavailableReason::NoSnapshot,
        Some(key) if !key.bound => UnavailableReason::NoAuditBinding,
        Some(_) => return Ok(()),
    };
    Err(NotAnswered::Unavailable(reason))
}

/// Condition 4: every batch that the state at h counts is held and checked, and the response counts at its tip what the
/// chain counts there.
///
/// # Errors
/// `replica_incomplete`; malformed `batch_count`.
pub fn batches_are_held(at: &Conditions<'_>, last_batch_seq: u32) -> Result<(), NotAnswered> {
    let counted = at.key.map_or(u32::MAX, |key| key.batch_count);
    if at.batches_held < counted {
        return Err(NotAnswered::Unavailable(UnavailableReason::ReplicaIncomplete));
    }
    if last_batch_seq != at.batch_count_at_tip {
        return Err(NotAnswered::Malformed(MalformedReason::BatchCount));
    }
    Ok(())
}

/// Condition 5: all items were verified, dummies included.
///
/// # Errors
/// Malformed `items_unverified`.
pub fn items_are_verified(items: usize, verified: usize) -> Result<(), NotAnswered> {
    if items > 0 && items == verified { Ok(()) } else { Err(NotAnswered::Malformed(MalformedReason::ItemsUnverified)) }
}

/// Condition 6, first half: the walk of every real item ended in four never-used slots without a gap.
///
/// The second half, that every found tag opened, was withdrawn or has expired, is `query::answer`'s.
///
/// # Errors
/// Malformed `slot_gap`; `replica_incomplete`.
pub fn walk_is_whole<T>(walk: Result<T, WalkError>) -> Result<T, NotAnswered> {
    walk.map_err(|error| match error {
        WalkError::Gap => NotAnswered::Malformed(MalformedReason::SlotGap),
        WalkError::Unavailable(_) => NotAnswered::Unavailable(UnavailableReason::ReplicaIncomplete),
    })
}
