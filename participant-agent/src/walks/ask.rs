//! Steps B3 to B5: one question to every publisher at once, journalled before it leaves, every answer verified.
//!
//! - **Place**: `Subject` -> escrowed, addressed request -> wire -> verified response, refusal, or why there is neither
//! - **Shapes**: all items go to all publishers at once; what one answers never changes what another is asked
//! - **Invariants**: the query journal has every envelope on disk before its first byte is sent; an answer that does not verify
//!   is kept as what it is and never unblinded
//! - **Errors**: [`QueryError`]: nothing was sent
//! - **Security**: a publisher learns that this lender asks, when and for what purpose; not about whom, nor what it finds
//! - **Source**: DESIGN.md sections 3 ("Query = audit escrow") and 4

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use rand::rngs::OsRng;
use riskveil_chain::state::view::{AuditKeyState, FinalizedView, StateRead};
use riskveil_crypto::{Digest32, Element, VerifyingKey};
use riskveil_exchange::audit::entry::{Outcome, QueryEntry};
use riskveil_exchange::ids::{MemberId, Period};
use riskveil_exchange::purpose::Purpose;
use riskveil_exchange::query::answer::UnavailableReason;
use riskveil_exchange::query::messages::{EvaluateRequest, Shape};
use riskveil_exchange::query::session::{
    Accepted, Addressed, Addressee, AwaitingEvaluations, Consent, PublisherView, QueryParameters, ResponseFault,
    Session, SignedRefusal, Subject, VerifiedResponse,
};

use super::{QueryError, blocking};
use crate::context::Context;
use crate::peers::client::PeerError;

/// Where a request is posted.
pub const EVALUATE_PATH: &str = "/peer/v1/evaluate";
/// Its content type.
pub const EVALUATE_TYPE: &str = "application/vnd.riskveil+binary; message=evaluate-request; v=1";

/// What to ask of everyone.
#[derive(Clone, Debug)]
pub struct Question {
    /// Check or chunk.
    pub shape: Shape,
    /// Whom about, with the digest of a consent each.
    pub subjects: Arc<[(Subject, Digest32)]>,
    /// Why.
    pub purpose: Purpose,
    /// How long answers are waited for.
    pub deadline: Duration,
}

/// What came of asking one publisher.
#[derive(Debug)]
pub enum Heard {
    /// An evaluation whose proof holds.
    Evaluated(Box<VerifiedResponse>),
    /// A signed refusal.
    Refused(Box<SignedRefusal>),
    /// Bytes that are no answer.
    Faulty(ResponseFault),
    /// No answer arrived in time, or there was nothing to ask with.
    Nothing(UnavailableReason),
}

/// A question and what came of it.
#[derive(Debug)]
pub struct Asked {
    /// Holds the secrets that unblind.
    pub state: Arc<AwaitingEvaluations>,
    /// Every publisher of the consortium, asked or not.
    pub heard: BTreeMap<MemberId, Heard>,
    /// Responses as they arrived, for the evidence.
    pub responses: BTreeMap<MemberId, Bytes>,
    /// What was asked, for the evidence.
    pub entry: QueryEntry,
    /// The period asked about.
    pub period: Period,
    /// How long each step took.
    pub took: Took,
}

/// How long the steps of one question took.
#[derive(Clone, Copy, Debug, Default)]
pub struct Took {
    /// B3: blind, prove, seal, sign.
    pub prepare: Duration,
    /// B3: journal.
    pub journal: Duration,
    /// B4 and B5: wire, evaluation at the peers, verification here.
    pub ask: Duration,
}

/// What this lender sent and received.
#[derive(Debug, Default)]
pub struct Traffic {
    /// Single checks.
    pub checks: Bodies,
    /// Screening chunks.
    pub chunks: Bodies,
}

/// Bodies of answered requests and of their responses, over all publishers.
#[derive(Debug, Default)]
pub struct Bodies {
    requests: AtomicU64,
    items: AtomicU64,
    sent: AtomicU64,
    received: AtomicU64,
}

/// [`Bodies`] at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BodiesSoFar {
    /// Requests answered.
    pub requests: u64,
    /// Items in them, dummies included.
    pub items: u64,
    /// Bytes of requests.
    pub sent: u64,
    /// Bytes of responses.
    pub received: u64,
}

impl Bodies {
    /// The sums so far.
    #[must_use]
    pub fn so_far(&self) -> BodiesSoFar {
        let read = |sum: &AtomicU64| sum.load(Ordering::Relaxed);
        let [requests, items, sent, received] = [&self.requests, &self.items, &self.sent, &self.received].map(read);
        BodiesSoFar { requests, items, sent, received }
    }

    fn count(&self, items: usize, sent: usize, received: usize) {
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.items.fetch_add(items as u64, Ordering::Relaxed);
        self.sent.fetch_add(sent as u64, Ordering::Relaxed);
        self.received.fetch_add(received as u64, Ordering::Relaxed);
    }
}

/// How long the first answers of a check wait for more to be verified with; the last one never waits.
const GATHERED_FOR: Duration = Duration::from_millis(1);

struct Asking {
    publisher: MemberId,
    identity_key: VerifyingKey,
    k: Element,
    k_y: Element,
}

/// Asks every publisher that has a sealed snapshot bound to the current audit key.
///
/// # Errors
/// [`QueryError`]: nothing was sent.
pub async fn ask(context: &Context, question: Question) -> Result<Asked, QueryError> {
    let view = context.ledger.view();
    let audit_key = usable(context, &view, question.purpose)?;
    let period = view.period(context.ledger.genesis());
    let (asking, mut heard) = addressees(context, &view, period, &audit_key);
    // B3: blind = escrow, proofs of knowledge, seal, one signed envelope each
    let started = Instant::now();
    let (Question { shape, subjects, purpose, deadline }, identity) = (question, context.keystore.clone());
    let (parameters, member) =
        (Parameters::new(context, &view, period, &audit_key, purpose), context.member.id.clone());
    let (asking, addressed) = blocking(move || {
        // a fresh salt each time: equal commitments would link two requests
        let (subjects, digests): (Vec<&Subject>, Vec<Digest32>) = subjects.iter().map(|(one, d)| (one, *d)).unzip();
        let consents = Consent::of_each(&digests, &mut OsRng);
        let subjects: Vec<(&Subject, Consent)> = subjects.into_iter().zip(consents).collect();
        let prepared = Session::start(&parameters.of(&member), shape, &subjects, &mut OsRng)?;
        let to: Vec<Addressee<'_>> =
            asking.iter().map(|to: &Asking| Addressee { publisher: &to.publisher, k: &to.k }).collect();
        let addressed = prepared.address(&to, &identity.member().identity, &mut OsRng);
        Ok::<_, QueryError>((asking, addressed))
    })
    .await?;
    let prepare = started.elapsed();
    // B3: durable before anything is sent; a question to nobody has no envelope to log
    let Addressed { state, requests, entry } = addressed;
    let ticket = match requests.is_empty() {
        true => None,
        false => Some(context.query_log.begin(entry.clone()).await?),
    };
    let journal = started.elapsed().saturating_sub(prepare);
    // B4, B5: everyone at once; whoever has not answered by the deadline is not waited for
    let state = Arc::new(state);
    let mut responses = BTreeMap::new();
    let mut outcomes = Vec::new();
    let mut heard_from = |answers: Vec<Answer>| {
        for Answer { publisher, heard: answer, bytes } in answers {
            outcomes.extend(outcome(&answer));
            responses.extend(bytes.map(|bytes| (publisher.clone(), bytes)));
            heard.insert(publisher, answer);
        }
    };
    let posts = asking.into_iter().zip(requests).map(|(to, request)| ask_one(context, shape, to, request, deadline));
    let mut waiting: FuturesUnordered<_> = posts.collect();
    let (mut arrived, mut verifying) = (Vec::new(), FuturesUnordered::new());
    let mut longest = pin!(tokio::time::sleep(Duration::ZERO));
    loop {
        tokio::select! {
            biased;
            Some(one) = waiting.next() => {
                if arrived.is_empty() {
                    longest.as_mut().reset(tokio::time::Instant::now() + GATHERED_FOR);
                }
                arrived.push(one);
                // a check's answers do not fill the lanes alone; a chunk's do, and take all cores
                if shape != Shape::Check || waiting.is_empty() {
                    verifying.push(verify(state.clone(), std::mem::take(&mut arrived)));
                }
            }
            () = longest.as_mut(), if !arrived.is_empty() => {
                verifying.push(verify(state.clone(), std::mem::take(&mut arrived)));
            }
            Some(answers) = verifying.next() => heard_from(answers),
            else => break,
        }
    }
    drop((waiting, verifying));
    if let Some(ticket) = ticket {
        context.query_log.finish(ticket, outcomes);
    }
    let took = Took { prepare, journal, ask: started.elapsed().saturating_sub(prepare + journal) };
    Ok(Asked { state, heard, responses, entry, period, took })
}

/// The current audit key, if this replica may be asked with at all.
fn usable(context: &Context, view: &FinalizedView, purpose: Purpose) -> Result<AuditKeyState, QueryError> {
    may_ask(context, view, purpose)?;
    view.audit_keys_live_at(view.time_s()).pop().ok_or(QueryError::NoAuditKey)
}

/// Whether this agent asks anything of anybody for this purpose, by this view of the chain.
pub(super) fn may_ask(context: &Context, view: &FinalizedView, purpose: Purpose) -> Result<(), QueryError> {
    if !context.member.roles.lender {
        return Err(QueryError::NotALender);
    }
    let policy = &context.ledger.genesis().policy;
    if !policy.purposes.contains(&purpose) {
        return Err(QueryError::PurposeNotAllowed);
    }
    let behind_s = context.clock.now_s().saturating_sub(view.time_s());
    if behind_s > policy.fresh_tip_s {
        return Err(QueryError::ReplicaBehind { behind_s });
    }
    Ok(())
}

/// Publishers to ask, and those that there is nothing to ask with.
fn addressees(
    context: &Context,
    view: &FinalizedView,
    period: Period,
    audit_key: &AuditKeyState,
) -> (Vec<Asking>, BTreeMap<MemberId, Heard>) {
    let (mut asking, mut heard) = (Vec::new(), BTreeMap::new());
    for member in context.ledger.genesis().members.iter().filter(|member| member.roles.publisher) {
        let key = view.period_key(period, &member.id).filter(|key| key.sealed.is_some() && !key.revoked);
        let bound = view.binding(period, &member.id, audit_key.audit_key_id);
        match (key, bound) {
            (Some(key), Some(bound)) => asking.push(Asking {
                publisher: member.id.clone(),
                identity_key: member.identity_key,
                k: key.k,
                k_y: bound.k_y,
            }),
            (Some(_), None) => drop(heard.insert(member.id.clone(), Heard::Nothing(UnavailableReason::NoAuditBinding))),
            (None, _) => drop(heard.insert(member.id.clone(), Heard::Nothing(UnavailableReason::NoSnapshot))),
        }
    }
    (asking, heard)
}

/// A publisher and what it sent, or why it sent nothing.
type Arrived = (Asking, Result<Bytes, UnavailableReason>);

/// What came of asking a publisher, with the bytes of its response.
struct Answer {
    publisher: MemberId,
    heard: Heard,
    bytes: Option<Bytes>,
}

async fn ask_one(context: &Context, shape: Shape, to: Asking, request: EvaluateRequest, deadline: Duration) -> Arrived {
    let body = request.encode();
    drop(request);
    let sent_bytes = body.len();
    let bytes = match context.peers.post(&to.publisher, EVALUATE_PATH, EVALUATE_TYPE, body, deadline).await {
        Ok(bytes) => bytes,
        Err(error) => {
            tracing::warn!(publisher = %to.publisher, %error, "a publisher did not answer");
            return (to, Err(not_reached(&error)));
        }
    };
    if let Some(lender) = &context.lender {
        let bodies = if shape == Shape::Check { &lender.traffic.checks } else { &lender.traffic.chunks };
        bodies.count(shape.item_count(), sent_bytes, bytes.len());
    }
    (to, Ok(bytes))
}

async fn verify(state: Arc<AwaitingEvaluations>, arrived: Vec<Arrived>) -> Vec<Answer> {
    let verify = move || {
        let (mut answers, mut answered) = (Vec::with_capacity(arrived.len()), Vec::with_capacity(arrived.len()));
        for (to, sent) in arrived {
            match sent {
                Ok(bytes) => answered.push((to, bytes)),
                Err(reason) => {
                    let heard = Heard::Nothing(reason);
                    answers.push(Answer { publisher: to.publisher, heard, bytes: None });
                }
            }
        }
        let responses: Vec<(PublisherView<'_>, &[u8])> = answered
            .iter()
            .map(|(to, bytes)| {
                let from = PublisherView { publisher: &to.publisher, identity_key: &to.identity_key, k_y: &to.k_y };
                (from, &bytes[..])
            })
            .collect();
        let accepted = state.accept_all(&responses);
        answers.extend(answered.into_iter().zip(accepted).map(|((to, bytes), accepted)| {
            let heard = match accepted {
                Ok(Accepted::Evaluated(response)) => Heard::Evaluated(response),
                Ok(Accepted::Refused(refusal)) => Heard::Refused(Box::new(refusal)),
                Err(rejected) => {
                    tracing::warn!(publisher = %rejected.publisher, fault = %rejected.fault, "a response does not verify");
                    Heard::Faulty(rejected.fault)
                }
            };
            Answer { publisher: to.publisher, heard, bytes: Some(bytes) }
        }));
        Ok::<_, std::convert::Infallible>(answers)
    };
    match blocking(verify).await {
        Ok(answers) => answers,
        Err(never) => match never {},
    }
}

pub(super) fn not_reached(error: &PeerError) -> UnavailableReason {
    match error {
        PeerError::Timeout => UnavailableReason::TimedOut,
        _ => UnavailableReason::NotReached,
    }
}

fn outcome(heard: &Heard) -> Option<(Digest32, Outcome)> {
    let head = match heard {
        Heard::Evaluated(response) => &response.head,
        Heard::Refused(refusal) => &refusal.head,
        Heard::Faulty(_) | Heard::Nothing(_) => return None,
    };
    Some((head.envelope_digest, head.outcome.clone()))
}

/// What [`QueryParameters`] borrows, owned, so that it can move to a blocking thread.
struct Parameters {
    chain_id: Digest32,
    period: Period,
    audit_key: AuditKeyState,
    ref_height: riskveil_exchange::ids::Height,
    ref_header_hash: Digest32,
    purpose: Purpose,
    now_s: u64,
    ttl_s: u64,
}

impl Parameters {
    fn new(
        context: &Context,
        view: &FinalizedView,
        period: Period,
        audit_key: &AuditKeyState,
        purpose: Purpose,
    ) -> Self {
        Self {
            chain_id: context.chain_id,
            period,
            audit_key: audit_key.clone(),
            ref_height: view.height(),
            ref_header_hash: view.digest,
            purpose,
            now_s: context.clock.now_s(),
            ttl_s: context.ledger.genesis().policy.request_ttl_s,
        }
    }

    fn of<'a>(&'a self, lender: &'a MemberId) -> QueryParameters<'a> {
        QueryParameters {
            chain_id: &self.chain_id,
            lender,
            period: self.period,
            audit_key_id: self.audit_key.audit_key_id,
            y: &self.audit_key.y,
            seal_key: &self.audit_key.seal_key,
            ref_height: self.ref_height,
            ref_header_hash: self.ref_header_hash,
            purpose: self.purpose,
            now_s: self.now_s,
            ttl_s: self.ttl_s,
        }
    }
}
