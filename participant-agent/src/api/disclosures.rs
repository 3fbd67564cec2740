//! `POST /v1/disclosures`: one value of one record that a check hit, opened or bounded by its publisher.
//!
//! - **Place**: JSON -> `walks::disclose` -> report
//! - **Errors**: 400 malformed body, 404 no such check, 422 nothing to ask (`no_hit`, `no_fact`, `period_over`, `bounds`), consent
//!   missing or purpose not allowed, 503 replica behind. What the publisher answered, be it a refusal or a lie, is a report: 200
//! - **Idempotency**: the same `Idempotency-Key` with the same body answers with the same report for a day; with another 409

use std::sync::Arc;

use riskveil_crypto::Digest32;
use riskveil_exchange::disclose::{Ask, AskError, Claim, CommitmentPosition, Disclosure};
use riskveil_exchange::ids::{Height, MemberId};
use riskveil_exchange::publish::Attribute;
use riskveil_exchange::purpose::Purpose;
use serde::{Deserialize, Serialize};

use super::checks::{self, consent, json_response, not_a_lender};
use super::json;
use super::models::{whole, whole_number};
use super::once::{self, Once, once};
use super::problem::{Problem, ProblemKind};
use super::route::{Answered, Call, shown};
use crate::context::{Context, Lender};
use crate::walks::disclose::{AskedFor, DiscloseError, DisclosureQuestion, Told, disclose};
use crate::walks::disclosures::KeptDisclosure;

/// What to ask for.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DisclosureBody {
    /// The check that hit: `query.core_digest` of its report.
    pub check: Digest32,
    /// Who hit.
    pub publisher: MemberId,
    /// Which of its facts, from 1 in the order of the report; may be absent if there is one.
    #[serde(default, deserialize_with = "whole", skip_serializing_if = "Option::is_none")]
    pub fact: Option<u32>,
    /// `days` or `amount`.
    pub attribute: Attribute,
    /// Shown to lie between these; opened when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub between: Option<Bounds>,
    /// Why: a word of the purpose registry.
    pub purpose: Purpose,
    /// SHA-256 of the consent file for this disclosure, 64 hex digits.
    pub consent_digest: String,
}

/// Both included; days, or minor units.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bounds {
    /// The least value.
    #[serde(deserialize_with = "whole_number")]
    pub lo: u64,
    /// The greatest value.
    #[serde(deserialize_with = "whole_number")]
    pub hi: u64,
}

/// What came of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DisclosureReport {
    /// Names the request: both sides' logs have it.
    pub disclosure: Digest32,
    /// The check it follows.
    pub check: Digest32,
    /// Who was asked.
    pub publisher: MemberId,
    /// Which fact of its answer, from 1.
    pub fact: usize,
    /// Which value.
    pub attribute: Attribute,
    /// `disclosed`, `refused`, `faulty` or `unavailable`.
    pub outcome: String,
    /// Why, unless it was disclosed: a refusal, a fault or a reason of `specs/errors.md`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The value, if it was opened; days, or minor units.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<u64>,
    /// The bounds that it was shown to lie between.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub between: Option<Bounds>,
    /// The largest value that can be committed was reached: it also stands for more.
    #[serde(default)]
    pub or_more: bool,
    /// The commitment that showed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commitment: Option<CommitmentInfo>,
    /// What this proves, in one sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proves: Option<String>,
    /// For a fault that the publisher signed: request and response as they went over the wire, hex.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<SignedLie>,
}

/// A commitment on chain.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CommitmentInfo {
    /// The publisher's batch.
    pub batch_seq: u32,
    /// Its place in the batch.
    pub index: u32,
    /// Its leaf.
    pub leaf: Digest32,
    /// The block that carries the batch.
    pub height: Height,
    /// `proved`, `unproved` or `invalid`: the range proofs of the batch, as verified here.
    pub range_proofs: String,
}

/// Bytes that show a lie.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SignedLie {
    /// What was asked, signed by this lender.
    pub request: String,
    /// What was answered, signed by the publisher.
    pub response: String,
}

/// `POST /v1/disclosures`.
pub(super) async fn make(context: Arc<Context>, call: Call) -> Answered {
    let lender = context.lender.as_ref().ok_or_else(not_a_lender)?;
    let body: DisclosureBody = json(&call.body)?;
    let question = question(&body)?;
    let claim = match call.request_key("/v1/disclosures") {
        None => None,
        Some(key) => match once(context.requests.begin(&key, context.clock.now_s()))? {
            Once::Do(claim) => Some(claim),
            Once::Done(report) => return Ok(json_response(report.as_bytes().to_vec())),
        },
    };
    let asked = disclose(&context, lender, question).await.map_err(|error| problem_of(&error))?;
    let report = report(&body, &asked);
    let text = serde_json::to_string(&report).map_err(|_| Problem::new(ProblemKind::Internal))?;
    keep(&context, lender, body.check, asked, text.clone()).await?;
    once::keep(&context, claim, &text).await?;
    shown(&report)
}

fn question(body: &DisclosureBody) -> Result<DisclosureQuestion, Problem> {
    Ok(DisclosureQuestion {
        check: body.check,
        publisher: body.publisher.clone(),
        fact: body.fact.map(|fact| usize::try_from(fact).unwrap_or(usize::MAX)),
        attribute: body.attribute,
        ask: body.between.map_or(Ask::Open, |Bounds { lo, hi }| Ask::Between { lo, hi }),
        consent: consent(&body.consent_digest)?,
        purpose: body.purpose,
    })
}

/// On disk before it is shown.
async fn keep(
    context: &Context,
    lender: &Lender,
    core_digest: Digest32,
    asked: AskedFor,
    json: String,
) -> Result<(), Problem> {
    let kept = KeptDisclosure {
        kept_at_s: context.clock.now_s(),
        core_digest,
        head_digest: asked.head_digest,
        request: asked.request,
        response: asked.response.map(|bytes| bytes.to_vec()).unwrap_or_default(),
        json,
    };
    lender.disclosures.keep(kept).await.map_err(|error| {
        tracing::error!(%error, "a disclosure could not be journalled");
        Problem::new(ProblemKind::Internal).detail("the disclosure could not be journalled")
    })
}

fn report(body: &DisclosureBody, asked: &AskedFor) -> DisclosureReport {
    let (outcome, reason) = match &asked.told {
        Told::Disclosed { .. } => ("disclosed", None),
        Told::Refused(reason) => ("refused", Some(reason.as_str())),
        Told::Faulty(fault) => ("faulty", Some(fault.as_str())),
        Told::Unavailable(reason) => ("unavailable", Some(reason.as_str())),
    };
    let mut report = DisclosureReport {
        disclosure: asked.head_digest,
        check: body.check,
        publisher: body.publisher.clone(),
        fact: asked.fact,
        attribute: body.attribute,
        outcome: outcome.to_owned(),
        reason: reason.map(str::to_owned),
        value: None,
        between: None,
        or_more: false,
        commitment: None,
        proves: None,
        evidence: None,
    };
    match (&asked.told, &asked.response) {
        (Told::Disclosed { disclosure, height, range_proofs }, _) => {
            let CommitmentPosition { batch_seq, index } = disclosure.position;
            match disclosure.claim {
                Claim::Value(value) => report.value = Some(value),
                Claim::Between { lo, hi } => report.between = Some(Bounds { lo, hi }),
            }
            report.or_more = disclosure.is_open_above();
            report.proves = Some(sentence(disclosure, *height));
            let (leaf, range_proofs) = (disclosure.leaf, range_proofs.as_str().to_owned());
            report.commitment = Some(CommitmentInfo { batch_seq, index, leaf, height: *height, range_proofs });
        }
        (Told::Faulty(fault), Some(response)) if fault.is_signed() => {
            let (request, response) = (hex::encode(&asked.request), hex::encode(response));
            report.evidence = Some(SignedLie { request, response });
        }
        _ => {}
    }
    report
}

fn sentence(disclosure: &Disclosure, height: Height) -> String {
    let (what, unit) = match disclosure.attribute {
        Attribute::Days => ("the days overdue", "days"),
        Attribute::Amount => ("the amount", "minor units"),
    };
    let more = if disclosure.is_open_above() { ", or more" } else { "" };
    let publisher = &disclosure.publisher;
    let shown = match disclosure.claim {
        Claim::Value(value) => format!("{publisher} opened {what}: {value} {unit}{more}"),
        Claim::Between { lo, hi } => {
            format!("{publisher} proved that {what} is between {lo} and {hi} {unit}{more}, and told nothing else of it")
        }
    };
    format!("{shown}. It is what {publisher} committed to in block {height} for this record of this person")
}

fn problem_of(error: &DiscloseError) -> Problem {
    let (kind, reason) = match error {
        DiscloseError::NoCheck => (ProblemKind::NotFound, "no_check"),
        DiscloseError::NoHit { .. } => (ProblemKind::Invalid, "no_hit"),
        DiscloseError::NoFact { .. } => (ProblemKind::Invalid, "no_fact"),
        DiscloseError::PeriodOver => (ProblemKind::Invalid, "period_over"),
        DiscloseError::Ask(AskError::Bounds { .. }) => (ProblemKind::Invalid, "bounds"),
        DiscloseError::Ask(AskError::NoConsent) => (ProblemKind::Refused, "no_consent"),
        DiscloseError::MayNotAsk(error) => return checks::problem_of(error),
        DiscloseError::ReplicaIncomplete => (ProblemKind::Unavailable, "replica_incomplete"),
        DiscloseError::Ask(_) | DiscloseError::Kept(_) | DiscloseError::Mismatch(_) | DiscloseError::Log(_) => {
            tracing::error!(%error, "a disclosure failed");
            return Problem::new(ProblemKind::Internal).detail(error.to_string());
        }
    };
    Problem::new(kind).reason(reason).detail(error.to_string())
}
