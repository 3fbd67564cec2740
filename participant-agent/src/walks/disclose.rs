//! After a hit: asks the publisher for one value of one record, or for its range, and believes only what holds.
//!
//! - **Place**: a kept check -> signed request -> wire -> judged answer; before it `walks::check`, behind it the publisher's
//!   `responder::disclose`
//! - **Shapes**: one publisher, one record, one value; [`DEADLINE`] for its answer, 5 s for the own replica to reach its tip
//! - **Invariants**: the query journal has the request's head on disk before its first byte is sent; what was answered is on disk
//!   before anyone sees it. A value is told only if commitment, link, facts and opening hold
//! - **Errors**: [`DiscloseError`]: nothing was sent
//! - **Security**: the publisher learns whom this lender asked about and that it hit: the caller has the person's consent for it
//! - **Source**: DESIGN.md section 3, "Commitment"; specs/protocol.md#disclosure

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rand::rngs::OsRng;
use riskveil_chain::state::view::{FinalizedView, StateRead};
use riskveil_crypto::{Digest32, VerifyingKey};
use riskveil_exchange::audit::entry::Outcome;
use riskveil_exchange::disclose::rows::HitRow;
use riskveil_exchange::disclose::{
    AcceptedAnswer, Ask, AskError, Asked, AskingLender, CommitmentPosition, CommitmentUnavailable, CommitmentView,
    Disclosure, DisclosureFault, DisclosureRefusal, DisclosureRejected, HeldCheck, HeldRow, VerifyError, ask, hit_rows,
};
use riskveil_exchange::ids::{Height, MemberId};
use riskveil_exchange::publish::{Attribute, PeriodKeyId, RecordCommitment};
use riskveil_exchange::purpose::Purpose;
use riskveil_exchange::query::answer::UnavailableReason;
use riskveil_exchange::query::clear::NotAnswered;
use riskveil_exchange::query::session::{
    Accepted, AwaitingEvaluations, Consent, KeptMismatch, PublisherView, VerifiedResponse,
};
use riskveil_exchange::record::Identifier;
use tokio::sync::Semaphore;

use super::ask::{may_ask, not_reached};
use super::judge::{ReplicaRows, counted_at, reached};
use super::kept::CheckEvidence;
use super::range_proofs::BatchProofs;
use super::reports::ReadKeptError;
use super::{QueryError, blocking};
use crate::context::{Context, Lender};
use crate::query_log::QueryLogError;

/// Where a request is posted.
pub const DISCLOSE_PATH: &str = "/peer/v1/disclose";
/// Its content type.
const DISCLOSE_TYPE: &str = "application/vnd.riskveil+binary; message=disclose-request; v=1";
/// Journals of checks read at one time.
static READING: Semaphore = Semaphore::const_new(1);
/// How long the publisher's answer is waited for.
pub const DEADLINE: Duration = Duration::from_secs(10);

/// What to ask for.
#[derive(Clone, Debug)]
pub struct DisclosureQuestion {
    /// The check that hit: the digest of its core.
    pub check: Digest32,
    /// Who hit.
    pub publisher: MemberId,
    /// Which of its facts, from 1 as the report has them; the only one when absent.
    pub fact: Option<usize>,
    /// Which value.
    pub attribute: Attribute,
    /// Opened or bounded.
    pub ask: Ask,
    /// SHA-256 of the consent file for this disclosure.
    pub consent: Digest32,
    /// Why.
    pub purpose: Purpose,
}

/// Why nothing was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DiscloseError {
    /// No check with this digest was made here.
    #[error("this agent made no check with this core_digest")]
    NoCheck,
    /// The publisher did not evaluate that check, or found nothing.
    #[error("{publisher} has no hit in this check")]
    NoHit {
        /// Who was named.
        publisher: MemberId,
    },
    /// The check's period has ended.
    #[error("the period of this check is over; check again and disclose within the period")]
    PeriodOver,
    /// No such fact.
    #[error("{publisher} has {count} facts in this check; name one of 1 to {count}")]
    NoFact {
        /// Who was named.
        publisher: MemberId,
        /// How many facts it has.
        count: usize,
    },
    /// This agent asks nobody for this purpose, or not now.
    #[error(transparent)]
    MayNotAsk(#[from] QueryError),
    /// The replica does not hold what the check was judged by.
    #[error("this agent's replica cannot judge the check again now")]
    ReplicaIncomplete,
    /// What is asked cannot be asked.
    #[error(transparent)]
    Ask(#[from] AskError),
    /// What was kept of the check.
    #[error(transparent)]
    Kept(#[from] ReadKeptError),
    /// What was kept of the check is not what was sent.
    #[error(transparent)]
    Mismatch(#[from] KeptMismatch),
    /// The query journal: nothing was sent.
    #[error(transparent)]
    Log(#[from] QueryLogError),
}

/// What came of asking.
#[derive(Debug)]
pub enum Told {
    /// It holds.
    Disclosed {
        /// What was shown.
        disclosure: Disclosure,
        /// The block that carries the commitment.
        height: Height,
        /// What is known here of the range proofs of its batch.
        range_proofs: BatchProofs,
    },
    /// The publisher refused.
    Refused(DisclosureRefusal),
    /// The publisher's answer is a lie.
    Faulty(DisclosureFault),
    /// No answer, or none that this replica can judge.
    Unavailable(UnavailableReason),
}

/// A disclosure that was asked for.
#[derive(Debug)]
pub struct AskedFor {
    /// Which fact, from 1.
    pub fact: usize,
    /// Names the request.
    pub head_digest: Digest32,
    /// What was sent.
    pub request: Vec<u8>,
    /// What came back, for the publisher's own word.
    pub response: Option<Bytes>,
    /// What it came to.
    pub told: Told,
}

/// Asks, journals, sends, judges.
///
/// # Errors
/// [`DiscloseError`]: nothing was sent.
pub async fn disclose(
    context: &Arc<Context>,
    lender: &Lender,
    question: DisclosureQuestion,
) -> Result<AskedFor, DiscloseError> {
    let view = context.ledger.view();
    may_ask(context, &view, question.purpose)?;
    let kept = {
        // each reads the journal of checks from its start
        let _turn = READING.acquire().await;
        tokio::task::block_in_place(|| lender.reports.evidence(&question.check))?
    };
    let kept = kept.ok_or(DiscloseError::NoCheck)?;
    let (asking, publisher) = (context.clone(), question.publisher.clone());
    let identity_key = view.member(&publisher).map(|member| member.identity_key);
    let identity_key = identity_key.ok_or(DiscloseError::NoHit { publisher: publisher.clone() })?;
    let made = blocking(move || prepare(&asking, &view, &identity_key, &kept, &question)).await?;
    let (fact, Asked { state, request, entry }) = made;
    // durable before anything is sent
    let ticket = context.query_log.begin(entry).await?;
    let head_digest = *state.request_digest();
    let request = request.encode();
    let sent = context.peers.post(&publisher, DISCLOSE_PATH, DISCLOSE_TYPE, request.clone(), DEADLINE).await;
    let response = match sent {
        Ok(bytes) => bytes,
        Err(error) => {
            tracing::warn!(%publisher, %error, "a publisher did not answer a disclosure");
            context.query_log.finish(ticket, Vec::new());
            let told = Told::Unavailable(not_reached(&error));
            return Ok(AskedFor { fact, head_digest, request, response: None, told });
        }
    };
    let opened = state.open(&identity_key, &response);
    context.query_log.finish(ticket, signed(&opened).map(|outcome| (head_digest, outcome)).into_iter().collect());
    let told = match opened {
        Err(rejected) => faulty(&rejected),
        Ok(AcceptedAnswer::Refused(refusal)) => Told::Refused(refusal.reason),
        Ok(AcceptedAnswer::Disclosed(answer)) => match reached(context, answer.head.tip_height).await {
            false => Told::Unavailable(UnavailableReason::TipUnknown),
            true => {
                let view = context.ledger.view();
                let chain = Commitments { context, view: &view };
                tokio::task::block_in_place(|| told(context, &view, state.verify(&answer, &chain)))
            }
        },
    };
    let outcome = match &told {
        Told::Disclosed { .. } => "disclosed",
        Told::Refused(reason) => reason.as_str(),
        Told::Faulty(fault) => fault.as_str(),
        Told::Unavailable(reason) => reason.as_str(),
    };
    context.metrics.disclosures.get_or_create(&[("outcome", outcome)]).inc();
    Ok(AskedFor { fact, head_digest, request, response: Some(response), told })
}

/// Judges the kept answer again, finds the fact, and makes the request.
fn prepare(
    context: &Context,
    view: &FinalizedView,
    identity_key: &VerifyingKey,
    kept: &CheckEvidence,
    question: &DisclosureQuestion,
) -> Result<(usize, Asked), DiscloseError> {
    let (core, publisher) = (&kept.entry.core, &question.publisher);
    let no_hit = || DiscloseError::NoHit { publisher: publisher.clone() };
    if core.period != view.period(context.ledger.genesis()) {
        return Err(DiscloseError::PeriodOver);
    }
    let items: Vec<_> = kept.items.iter().map(|item| (item.identifier.as_ref(), &item.secret)).collect();
    let state = AwaitingEvaluations::restore(&kept.entry, &items)?;
    let envelopes = &kept.entry.envelopes;
    let envelope = envelopes.iter().map(|one| &one.envelope).find(|one| one.publisher == *publisher);
    let (Some(envelope), Some(response)) = (envelope, kept.responses.get(publisher)) else { return Err(no_hit()) };
    let bound = view.binding(core.period, publisher, core.audit_key_id).ok_or_else(no_hit)?;
    let from = PublisherView { publisher, identity_key, k_y: &bound.k_y };
    let Ok(Accepted::Evaluated(evaluated)) = state.accept(&from, response) else { return Err(no_hit()) };
    let key = view.period_key(core.period, publisher).ok_or_else(no_hit)?;
    let key = PeriodKeyId {
        chain_id: context.chain_id,
        publisher: publisher.clone(),
        period: core.period,
        key_serial: key.key_serial,
    };
    let facts = facts(context, view, kept, &state, &evaluated, &key)?;
    let fact = match (question.fact, facts.len()) {
        (_, 0) => return Err(no_hit()),
        (None, 1) => 1,
        (Some(fact), count) if (1..=count).contains(&fact) => fact,
        (_, count) => return Err(DiscloseError::NoFact { publisher: publisher.clone(), count }),
    };
    let (item, identifier, row) = facts.get(fact - 1).ok_or_else(no_hit)?;
    let audit_key = view.audit_key(core.audit_key_id).ok_or(DiscloseError::ReplicaIncomplete)?;
    let secret = state.secret(usize::from(*item)).ok_or(KeptMismatch)?;
    let (lender, outcome) = (context.member.id.clone(), evaluated.head.outcome.clone());
    let asking = AskingLender {
        lender: &lender,
        identity: context.identity(),
        purpose: question.purpose,
        consent: Consent::new(question.consent, &mut OsRng),
        now_s: context.clock.now_s(),
        ttl_s: context.ledger.genesis().policy.request_ttl_s,
    };
    let check = HeldCheck { core, envelope, outcome: &outcome, item: *item, identifier, secret, y: &audit_key.y };
    let row = HeldRow { tag: row.tag, label: &row.label, key: &key };
    Ok((fact, ask(&asking, &check, &row, (question.attribute, question.ask), &mut OsRng)?))
}

/// The facts of the report again, in its order, as of the height at which the check was judged.
fn facts(
    context: &Context,
    view: &FinalizedView,
    kept: &CheckEvidence,
    state: &AwaitingEvaluations,
    evaluated: &VerifiedResponse,
    key: &PeriodKeyId,
) -> Result<Vec<(u8, Identifier, HitRow)>, DiscloseError> {
    let counted = view.period_key(key.period, &key.publisher).map_or(0, |state| state.batch_count);
    let batch_count = counted_at(view, key.period, &key.publisher, counted, kept.judged_height);
    let index = context.ledger.index();
    let rows = ReplicaRows::new(index, key.period, &key.publisher, batch_count);
    let mut facts = Vec::new();
    let no_hit = |_| DiscloseError::NoHit { publisher: key.publisher.clone() };
    for asked in state.outputs(evaluated, 0).map_err(no_hit)? {
        let items = (0_u8..).zip(&kept.items);
        let found = items.filter_map(|(item, one)| Some((item, one.identifier.as_ref()?)));
        let Some((item, identifier)) = found.into_iter().find(|(_, one)| one.id_type() == asked.id_type) else {
            continue;
        };
        let held = hit_rows(&asked.output, key, &rows, kept.as_of).map_err(|reason| match reason {
            NotAnswered::Unavailable(_) => DiscloseError::ReplicaIncomplete,
            NotAnswered::Malformed(_) => DiscloseError::NoHit { publisher: key.publisher.clone() },
        })?;
        facts.extend(held.into_iter().map(|row| (item, identifier.clone(), row)));
    }
    Ok(facts)
}

/// What the publisher signed, for the log entry.
fn signed(opened: &Result<AcceptedAnswer, DisclosureRejected>) -> Option<Outcome> {
    match opened {
        Ok(AcceptedAnswer::Disclosed(answer)) => Some(answer.head.outcome.clone()),
        Ok(AcceptedAnswer::Refused(refusal)) => Some(refusal.head.outcome.clone()),
        Err(rejected) => rejected.outcome.as_deref().cloned(),
    }
}

fn faulty(rejected: &DisclosureRejected) -> Told {
    tracing::warn!(publisher = %rejected.publisher, fault = %rejected.fault, "a disclosure does not hold");
    Told::Faulty(rejected.fault)
}

fn told(context: &Context, view: &FinalizedView, verified: Result<Disclosure, VerifyError>) -> Told {
    match verified {
        Err(VerifyError::Rejected(rejected)) => faulty(&rejected),
        Err(_) => Told::Unavailable(UnavailableReason::ReplicaIncomplete),
        Ok(disclosure) => {
            let (publisher, batch_seq) = (&disclosure.publisher, disclosure.position.batch_seq);
            match view.commitment_batch(publisher, batch_seq) {
                None => Told::Unavailable(UnavailableReason::ReplicaIncomplete),
                Some(batch) => Told::Disclosed {
                    range_proofs: context.range_proofs.of(publisher, batch_seq, &batch),
                    height: batch.height,
                    disclosure,
                },
            }
        }
    }
}

/// The commitments that a finalized view counts, as the replica holds them.
struct Commitments<'a> {
    context: &'a Context,
    view: &'a FinalizedView,
}

impl CommitmentView for Commitments<'_> {
    fn commitment(
        &self,
        publisher: &MemberId,
        position: CommitmentPosition,
    ) -> Result<Option<RecordCommitment>, CommitmentUnavailable> {
        if self.view.commitment_batch(publisher, position.batch_seq).is_none() {
            return Ok(None);
        }
        let held = self.context.ledger.commitments().at(publisher, position.batch_seq, position.index);
        held.map_err(|error| {
            tracing::error!(%error, "a batch of commitments cannot be read");
            CommitmentUnavailable
        })
    }
}
