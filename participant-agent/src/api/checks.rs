//! `POST /v1/checks`: one applicant, one report. `GET /v1/checks/{core_digest}/evidence`: what shows it, as a file.
//!
//! - **Place**: B1, JSON -> `CheckRequest` -> `walks::check` -> report; kept check -> `walks::evidence` -> bytes
//! - **Errors**: 400 malformed body, 422 no valid identifier, consent missing or purpose not allowed, 503 replica behind
//! - **Idempotency**: the same `Idempotency-Key` with the same body answers with the same report for a day; with another 409

use std::sync::Arc;

use riskveil_chain::evidence::build::BuildError;
use riskveil_crypto::Digest32;
use riskveil_exchange::ids::MemberId;
use riskveil_exchange::query::answer::{Fact, ResponderAnswer};
use riskveil_exchange::query::report::Report;
use serde::Serialize;
use warp::http::header::{CONTENT_TYPE, HeaderValue};
use warp::reply::Response;

use super::models::CheckBody;
use super::once::{Once, once};
use super::problem::{Problem, ProblemKind};
use super::route::{Answered, Call};
use super::{evidence_file, json};
use crate::context::{Context, Lender};
use crate::idempotency::Claim;
use crate::walks::QueryError;
use crate::walks::check::{CheckRequest, Checked, check, identify};
use crate::walks::evidence::{ExportError, export};

/// A report as the API shows it.
#[derive(Debug, Serialize)]
struct CheckReport<'a> {
    #[serde(flatten)]
    report: ReportFields<'a>,
    answers: Vec<Answer<'a>>,
    latency_ms: Latency,
}

#[derive(Debug, Serialize)]
struct ReportFields<'a> {
    report_id: &'a Digest32,
    query: &'a riskveil_exchange::query::report::ReportHead,
    outcome: &'a riskveil_exchange::query::report::ReportOutcome,
    asked: &'a [riskveil_exchange::record::IdType],
    not_asked: &'a [riskveil_exchange::query::report::NotAsked],
    not_reached: &'a [MemberId],
    warnings: &'a [riskveil_exchange::query::report::Warning],
}

/// One publisher's answer: `verdict` is `hit`, `clear`, `unavailable`, `refused` or `malformed`.
#[derive(Debug, Serialize)]
struct Answer<'a> {
    institution: &'a MemberId,
    verdict: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    facts: &'a [Fact],
}

/// Wall-clock time by phase, ms: B3 blind and prove, B3 journal, B4 and B5 ask and verify, B6 and B7 look up and judge.
#[derive(Debug, Serialize)]
struct Latency {
    prepare: f64,
    journal: f64,
    ask: f64,
    judge: f64,
}

/// `POST /v1/checks`.
pub(super) async fn make(context: Arc<Context>, call: Call) -> Answered {
    let lender = context.lender.as_ref().ok_or_else(not_a_lender)?;
    let request = parse(&context, &call.body)?;
    let claim = match call.request_key("/v1/checks") {
        None => None,
        Some(key) => match once(lender.reports.begin(&key, context.clock.now_s()))? {
            Once::Do(claim) => Some(claim),
            Once::Done(report) => return Ok(json_response(report.as_bytes().to_vec())),
        },
    };
    made(&context, lender, request, claim).await
}

/// `GET /v1/checks/{core_digest}/evidence`.
pub(super) async fn evidence(context: Arc<Context>, call: Call) -> Answered {
    context.lender.as_ref().ok_or_else(not_a_lender)?;
    let core_digest: Digest32 = call.path("core_digest")?;
    let built = export(&context, core_digest).await.map_err(|error| not_exported(&error))?;
    Ok(evidence_file(built.bytes))
}

fn not_exported(error: &ExportError) -> Problem {
    let kind = match error {
        ExportError::NotFound => ProblemKind::NotFound,
        ExportError::Build(error) => return not_built(error),
        ExportError::Read(_) => {
            tracing::error!(%error, "kept evidence cannot be read");
            return Problem::new(ProblemKind::Internal).detail("what was kept of this check cannot be read");
        }
        _ => ProblemKind::Unavailable,
    };
    Problem::new(kind).detail(error.to_string())
}

/// What the API says when there is no evidence file.
pub(super) fn not_built(error: &BuildError) -> Problem {
    let kind = match error {
        BuildError::NotACheck | BuildError::TooLarge { .. } => ProblemKind::Refused,
        BuildError::NotFinal(_) | BuildError::LogMissing(_) => ProblemKind::Unavailable,
        _ => {
            tracing::error!(%error, "an evidence file could not be made");
            ProblemKind::Internal
        }
    };
    Problem::new(kind).detail(error.to_string())
}

/// B1 and B2.
fn parse(context: &Context, body: &[u8]) -> Result<CheckRequest, Problem> {
    let body: CheckBody = json(body)?;
    let consent = consent(&body.consent_digest)?;
    let as_of = body.as_of.unwrap_or_else(|| context.as_of());
    let (subject, not_asked) = identify(&body.subject, as_of).map_err(|error| problem_of(&error))?;
    Ok(CheckRequest { subject, not_asked, consent, purpose: body.purpose, as_of })
}

/// The walk, and its report on disk before it is returned.
async fn made(context: &Arc<Context>, lender: &Lender, request: CheckRequest, claim: Option<Claim<'_>>) -> Answered {
    let (checked, evidence) = check(context, request).await.map_err(|error| problem_of(&error))?;
    let shown = serde_json::to_string(&show(&checked)).map_err(|_| Problem::new(ProblemKind::Internal))?;
    lender.reports.keep(shown.clone(), &evidence, claim, context.clock.now_s()).await.map_err(|error| {
        tracing::error!(%error, "a report could not be journalled");
        Problem::new(ProblemKind::Internal).detail("the report could not be journalled")
    })?;
    Ok(json_response(shown.into_bytes()))
}

fn show(checked: &Checked) -> CheckReport<'_> {
    let Checked { report, took, judge } = checked;
    let Report { report_id, query, outcome, asked, not_asked, answers, not_reached, warnings } = report;
    let ms = |took: &std::time::Duration| u32::try_from(took.as_micros()).map_or(f64::MAX, f64::from) / 1000.0;
    CheckReport {
        report: ReportFields { report_id, query, outcome, asked, not_asked, not_reached, warnings },
        answers: answers.iter().map(|(institution, answer)| show_answer(institution, answer)).collect(),
        latency_ms: Latency {
            prepare: ms(&took.prepare),
            journal: ms(&took.journal),
            ask: ms(&took.ask),
            judge: ms(judge),
        },
    }
}

fn show_answer<'a>(institution: &'a MemberId, answer: &'a ResponderAnswer) -> Answer<'a> {
    let (verdict, reason, facts) = match answer {
        ResponderAnswer::Hit(facts) => ("hit", None, facts.as_slice()),
        ResponderAnswer::Clear => ("clear", None, [].as_slice()),
        ResponderAnswer::Unavailable(reason) => ("unavailable", Some(reason.as_str()), [].as_slice()),
        ResponderAnswer::Refused(reason) => ("refused", Some(reason.as_str()), [].as_slice()),
        ResponderAnswer::Malformed(reason) => ("malformed", Some(reason.as_str()), [].as_slice()),
    };
    Answer { institution, verdict, reason, facts }
}

/// The digest of a consent file.
///
/// # Errors
/// A refusal with reason `no_consent`.
pub(super) fn consent(text: &str) -> Result<Digest32, Problem> {
    text.parse().map_err(|_| {
        Problem::new(ProblemKind::Refused).reason("no_consent").detail("consent_digest is not 64 hex digits")
    })
}

/// This agent does not ask.
pub(super) fn not_a_lender() -> Problem {
    problem_of(&QueryError::NotALender)
}

/// What the API says when nothing was asked.
pub(super) fn problem_of(error: &QueryError) -> Problem {
    let kind = match error {
        QueryError::NoIdentifier(_) => ProblemKind::Invalid,
        QueryError::NotALender | QueryError::PurposeNotAllowed => ProblemKind::Refused,
        QueryError::ReplicaBehind { .. } | QueryError::NoAuditKey => ProblemKind::Unavailable,
        QueryError::Session(_) | QueryError::Log(_) | QueryError::Journal(_) => {
            tracing::error!(%error, "a query failed");
            ProblemKind::Internal
        }
    };
    let problem = Problem::new(kind).detail(error.to_string());
    match error {
        QueryError::NoIdentifier(_) => problem.reason("no_identifier"),
        QueryError::NotALender => problem.reason("not_a_lender"),
        QueryError::PurposeNotAllowed => problem.reason("purpose_not_allowed"),
        QueryError::ReplicaBehind { .. } => problem.reason("stale_replica"),
        _ => problem,
    }
}

/// 200 with JSON that is text already.
pub(super) fn json_response(body: Vec<u8>) -> Response {
    let mut response = Response::new(body.into());
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
