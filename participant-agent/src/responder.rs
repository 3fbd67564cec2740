//! A publisher's side of a query: judges a request, evaluates it, journals the receipt, answers.
//!
//! - **Place**: B4, bytes from a peer -> `exchange::query::responder` -> signed response
//! - **Shapes**: a refusal is as long as an evaluation; at most [`MAX_WAITING`] requests wait for a core
//! - **Invariants**: a nonce is used up once its request is authentic, a quota before anything is
//!   evaluated; a receipt is on disk before
//!   its response leaves. Quota and unexpired nonces survive a restart through the receipts journal
//! - **Errors**: [`NotAnswered`]: bytes that are no request, or a receipt that could not be written
//! - **Security**: learns lender, time, purpose and padded size; every rule is exchange's, nothing is decided here
//! - **Source**: DESIGN.md section 4; specs/protocol.md

pub mod disclose;
mod gather;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use riskveil_chain::state::view::{FinalizedView, StateRead};
use riskveil_exchange::audit::entry::{ReceiptEntry, ResponderEntry};
use riskveil_exchange::audit::window::payload_budget;
use riskveil_exchange::disclose::refusal::took_quota;
use riskveil_exchange::ids::MemberId;
use riskveil_exchange::policy::Policy;
use riskveil_exchange::query::messages::{EvaluateRequest, EvaluateResponse, MessageError};
use riskveil_exchange::query::quota::QuotaCounter;
use riskveil_exchange::query::refusal::{RefusalReason, STATUS_EVALUATED};
use riskveil_exchange::query::replay::SeenNonces;
use riskveil_exchange::query::responder::{
    Admitted, CurrentAuditKey, OwnPeriodKey, Responder, ResponderContext, Standing, Tip,
};
use tokio::sync::{Semaphore, SemaphorePermit};

use self::gather::{Evaluated, Gatherer, Job};
use crate::context::Context;
use crate::period_keys::{self, LiveKey};
use crate::query_log::QueryLogError;
use crate::walks::blocking;

/// Requests that are judged or wait for a core at one time; more are turned away.
const MAX_WAITING: usize = 256;
/// Requests remembered until they expire.
const MAX_NONCES: usize = 1 << 20;

/// Why a peer gets an HTTP error instead of a signed answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NotAnswered {
    /// The bytes are no request; there is nothing to sign an answer to.
    #[error(transparent)]
    Malformed(#[from] MessageError),
    /// The receipt could not be written, so that nothing may leave.
    #[error(transparent)]
    Log(#[from] QueryLogError),
    /// Too much waits here. Nothing was judged, so nothing is signed and nothing is receipted.
    #[error("too many requests wait here")]
    Overloaded,
}

/// What a responder remembers between requests.
pub struct ResponderMemory {
    started_at_s: u64,
    memory: Mutex<Memory>,
    waiting: Semaphore,
    gatherer: Gatherer,
}

struct Memory {
    seen: SeenNonces,
    quota: QuotaCounter,
}

impl fmt::Debug for ResponderMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ResponderMemory(since {})", self.started_at_s)
    }
}

impl ResponderMemory {
    /// A memory that begins now, with what earlier receipts say.
    #[must_use]
    pub fn new(started_at_s: u64, restored: Restored) -> Self {
        let Restored { seen, quota } = restored;
        Self {
            started_at_s,
            memory: Mutex::new(Memory { seen, quota }),
            waiting: Semaphore::new(MAX_WAITING),
            gatherer: Gatherer::default(),
        }
    }

    /// Requests under way, from their arrival to their answer.
    fn under_way(&self) -> usize {
        MAX_WAITING - self.waiting.available_permits()
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        // nonces and quota are each changed in one call
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Quota and nonces as the receipts journal gives them back, receipt by receipt.
#[derive(Debug)]
pub struct Restored {
    seen: SeenNonces,
    quota: QuotaCounter,
}

impl Default for Restored {
    fn default() -> Self {
        Self { seen: SeenNonces::new(MAX_NONCES), quota: QuotaCounter::default() }
    }
}

impl Restored {
    /// Takes one receipt of the journal, oldest first.
    pub fn receipt(&mut self, entry: &ResponderEntry, now_s: u64) {
        let (lender, nonce, issued_at_s, expires_at_s, items) = match entry {
            ResponderEntry::Receipt(entry) => {
                let (core, items) = (&entry.core, entry.core.items.len());
                let used = if entry.status == STATUS_EVALUATED { items } else { 0 };
                (&core.lender, &core.nonce, core.issued_at_s, core.expires_at_s, used)
            }
            ResponderEntry::Disclosure(entry) => {
                let (head, used) = (&entry.head, usize::from(took_quota(entry.status)));
                (&head.lender, &head.nonce, head.issued_at_s, head.expires_at_s, used)
            }
        };
        if items > 0 {
            // the limit was judged when it was answered
            let _taken = self.quota.take(lender, items, issued_at_s, u64::MAX);
        }
        if expires_at_s >= now_s {
            let _known = self.seen.insert(lender, nonce, expires_at_s, now_s);
        }
    }
}

/// Answers one request of a peer.
///
/// # Errors
/// [`NotAnswered`].
pub async fn answer(context: &Arc<Context>, peer: MemberId, bytes: Bytes) -> Result<Vec<u8>, NotAnswered> {
    let _place = place(context)?;
    let started = std::time::Instant::now();
    let admitting = context.clone();
    let admit = move || {
        let request = EvaluateRequest::decode(&bytes)?;
        Ok::<_, NotAnswered>(match admit(&admitting, &peer, &request) {
            // on this thread: another one would have to be woken
            Ok(admission) if gather::goes_alone(&admitting, &request) => {
                Judged::Answered(gather::evaluate_alone(&admitting, Job { request, admission }))
            }
            Ok(admission) => Judged::ToGather(Job { request, admission }),
            Err(refusal) => Judged::Answered((request, *refusal)),
        })
    };
    let (request, response) = match blocking(admit).await? {
        Judged::Answered(answered) => answered,
        Judged::ToGather(job) => gather::evaluate(context, job).await,
    };
    context.metrics.evaluate_seconds.observe(started.elapsed().as_secs_f64());
    let outcome = response.refusal().map_or("evaluated", RefusalReason::as_str);
    context.metrics.evaluations.get_or_create(&[("outcome", outcome)]).inc();
    if response.refusal().is_none_or(RefusalReason::is_receipted) {
        context.query_log.receipt(ReceiptEntry::new(request, response.status, response.digest())).await?;
    }
    Ok(response.encode())
}

/// A request that was judged.
enum Judged {
    Answered(Evaluated),
    ToGather(Job),
}

/// A place among the requests under way, while receipts are logged in time.
fn place(context: &Context) -> Result<SemaphorePermit<'_>, NotAnswered> {
    let place = context.responder.waiting.try_acquire().map_err(|_| NotAnswered::Overloaded)?;
    let in_time = context.query_log.backlog().receipt_bytes <= receipts_in_time(&context.ledger.genesis().policy);
    if in_time { Ok(place) } else { Err(NotAnswered::Overloaded) }
}

/// Bytes of receipts that may wait: a window takes half a block, and a receipt is due `leaf_due_windows` later.
fn receipts_in_time(policy: &Policy) -> usize {
    let windows = usize::try_from(policy.leaf_due_windows.saturating_mul(3) / 4).unwrap_or(1).max(1);
    payload_budget(policy).saturating_mul(windows)
}

/// A request that every rule admitted, with what its evaluation needs.
struct Admission {
    admitted: Admitted,
    standing: Standing,
    key: LiveKey,
    view: Arc<FinalizedView>,
}

/// Judges with every rule at one finalized view, takes nonce and quota; a refusal is signed here.
fn admit(context: &Context, peer: &MemberId, request: &EvaluateRequest) -> Result<Admission, Box<EvaluateResponse>> {
    let view = context.ledger.view();
    let genesis = context.ledger.genesis();
    let responder = responder(context);
    let now_s = context.clock.now_s();
    let period = view.period(genesis);
    let lender = view.member(&request.core.lender).filter(|member| member.roles.lender);
    let own = view.period_key(period, &context.member.id).filter(|key| !key.revoked);
    let audit_key = view.audit_key(request.core.audit_key_id).filter(|key| key.is_live(view.time_s()));
    let bound = view.binding(period, &context.member.id, request.core.audit_key_id).is_some();
    let limit = genesis.policy.quota_items_per_lender_per_day;
    let at = ResponderContext {
        now_s,
        started_at_s: context.responder.started_at_s,
        tip: tip(&view),
        lender_key: lender.as_ref().map(|member| &member.identity_key),
        period_key: own.as_ref().map(|key| OwnPeriodKey {
            k: &key.k,
            sealed: key.sealed.is_some(),
            batch_count: key.batch_count,
        }),
        audit_key: audit_key.as_ref().map(|key| CurrentAuditKey { y: &key.y, bound }),
        quota_left: context.responder.memory().quota.left(&request.core.lender, now_s, limit),
        lender_overdue: context.leaf_watch.is_overdue(&request.core.lender, view.time_s()),
    };
    // whoever signed it in time used its nonce up, whatever is judged then
    let authentic = responder.authenticate(request, peer, &at).and_then(|authentic| {
        let core = &request.core;
        context.responder.memory().seen.insert(&core.lender, &core.nonce, core.expires_at_s, now_s)?;
        Ok(authentic)
    });
    let judged = authentic.and_then(|authentic| responder.judge(&authentic, request, &at));
    let refuse = |reason| Box::new(refuse_at(context, &view, request, reason));
    let admitted = judged.map_err(refuse)?;
    // the tip has this key as live, so a missing secret is an operator's fault that is logged when it is found
    let Ok(Some(key)) = period_keys::live(context, &view, period) else {
        return Err(refuse(RefusalReason::NotReady));
    };
    let taken = context.responder.memory().quota.take(&request.core.lender, admitted.item_count(), now_s, limit);
    taken.map_err(refuse)?;
    Ok(Admission { admitted, standing: standing(context, &view), key, view })
}

fn refuse_at(
    context: &Context,
    view: &FinalizedView,
    request: &EvaluateRequest,
    reason: RefusalReason,
) -> EvaluateResponse {
    responder(context).refuse(request, reason, &standing(context, view), context.identity())
}

fn responder(context: &Context) -> Responder<'_> {
    let genesis = context.ledger.genesis();
    Responder {
        chain_id: &context.chain_id,
        publisher: &context.member.id,
        genesis_time_s: genesis.genesis_time_s,
        policy: &genesis.policy,
    }
}

fn tip(view: &FinalizedView) -> Tip {
    Tip { height: view.height(), header_hash: view.digest, time_s: view.time_s() }
}

fn standing(context: &Context, view: &FinalizedView) -> Standing {
    let period = view.period(context.ledger.genesis());
    let counted = view.period_key(period, &context.member.id).map_or(0, |key| key.batch_count);
    Standing { tip: tip(view), last_batch_seq: counted, now_s: context.clock.now_s() }
}
