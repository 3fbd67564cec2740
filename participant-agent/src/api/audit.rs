//! `/v1/audit/...`: the regulator reads the logs on its own replica.
//!
//! ```text
//! GET  /v1/audit/log?from=&to=&lender=&publisher=&purpose=&offset=&limit=   who asked about whom, newest first
//! POST /v1/audit/subject    {"subject": {...}}                      who asked about this person
//! POST /v1/audit/reconcile  {"from": w, "through": w}               who deviated; both optional
//! GET  /v1/audit/evidence/{core_digest}                             one logged query and its receipts, as a file
//! ```
//!
//! - **Place**: B10, -> [`Regulator`]
//! - **Errors**: 400 malformed; 422 no regulator, no valid identifier, or a range that is not of closed windows; 503 the replica or the outbox cannot do it now
//! - **Security**: role `auditor` only; identifiers stand in bodies, never in addresses

use std::sync::Arc;

use riskveil_crypto::Digest32;
use riskveil_exchange::{
    ids::Window,
    record::{Day, Identifier},
};
use serde::{Deserialize, Serialize};

use super::{
    checks::not_built,
    evidence_file, json,
    models::{SubjectBody, object, whole},
    problem::{Problem, ProblemKind},
    route::{Answered, Call, Page, shown},
};
use crate::context::Context;
use crate::regulator::{LogFilter, MAX_LOG_LINES, Regulator, RegulatorError};

/// Requests about a person, or findings, on a page: usually and at most.
const PAGE: (usize, usize) = (1_000, 10_000);

/// Whom to look for.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SubjectQuery {
    /// At least one identifier.
    #[serde(deserialize_with = "object")]
    pub subject: SubjectBody,
    /// Requests left out at the front.
    #[serde(default, deserialize_with = "whole", skip_serializing_if = "Option::is_none")]
    pub offset: Option<usize>,
    /// Most requests.
    #[serde(default, deserialize_with = "whole", skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
}

/// What to reconcile.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReconcileQuery {
    /// First window; window 0 without it.
    #[serde(default, deserialize_with = "whole", skip_serializing_if = "Option::is_none")]
    pub from: Option<u64>,
    /// Last window, any closed one; without it the last one whose other side is due.
    #[serde(default, deserialize_with = "whole", skip_serializing_if = "Option::is_none")]
    pub through: Option<u64>,
    /// Findings left out at the front.
    #[serde(default, deserialize_with = "whole", skip_serializing_if = "Option::is_none")]
    pub offset: Option<usize>,
    /// Most findings.
    #[serde(default, deserialize_with = "whole", skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
}

/// `GET /v1/audit/log`.
pub(super) async fn log(context: Arc<Context>, call: Call) -> Answered {
    let regulator = regulator(&context)?;
    let page = call.page(100, MAX_LOG_LINES)?;
    let filter = LogFilter {
        from: call.query("from")?.map(Window),
        to: call.query("to")?.map(Window),
        lender: call.query("lender")?,
        publisher: call.query("publisher")?,
        purpose: call.query("purpose")?,
        offset: page.offset,
        limit: page.limit,
    };
    let mut listed = regulator.log(filter).await.map_err(|error| problem(&error))?;
    listed.next = page.next(listed.matching.max(listed.matching_disclosures));
    shown(&listed)
}

/// `POST /v1/audit/subject`.
pub(super) async fn subject(context: Arc<Context>, call: Call) -> Answered {
    let regulator = regulator(&context)?;
    let query: SubjectQuery = json(&call.body)?;
    let page = Page::new(query.offset, query.limit, PAGE.0, PAGE.1)?;
    let identifiers = identifiers(&query.subject)?;
    let mut report = regulator.subject(identifiers).await.map_err(|error| problem(&error))?;
    report.matching = report.trail.len();
    report.next = page.next(report.matching);
    report.trail = report.trail.into_iter().skip(page.offset).take(page.limit).collect();
    shown(&report)
}

/// `POST /v1/audit/reconcile`.
pub(super) async fn reconcile(context: Arc<Context>, call: Call) -> Answered {
    let regulator = regulator(&context)?;
    let query: ReconcileQuery = json(&call.body)?;
    let page = Page::new(query.offset, query.limit, PAGE.0, PAGE.1)?;
    let mut report = regulator
        .reconcile(query.from.map(Window), query.through.map(Window))
        .await
        .map_err(|error| problem(&error))?;
    report.findings.extend(context.range_proofs.findings(&context.ledger.view()));
    report.findings_total = report.findings.len();
    report.next = page.next(report.findings_total);
    report.findings = report.findings.into_iter().skip(page.offset).take(page.limit).collect();
    shown(&report)
}

/// `GET /v1/audit/evidence/{core_digest}`.
pub(super) async fn evidence(context: Arc<Context>, call: Call) -> Answered {
    let regulator = regulator(&context)?;
    let core_digest: Digest32 = call.path("core_digest")?;
    let built = regulator.export(core_digest).await.map_err(|error| problem(&error))?;
    let none = || Problem::new(ProblemKind::NotFound).detail("no lender logged a query with this core_digest");
    Ok(evidence_file(built.ok_or_else(none)?.bytes))
}

fn regulator(context: &Context) -> Result<&Regulator, Problem> {
    let no_regulator = || {
        Problem::new(ProblemKind::Refused)
            .reason("not_a_regulator")
            .detail("this agent does not have the role of a regulator")
    };
    context.regulator.as_ref().ok_or_else(no_regulator)
}

/// The identifiers in canonical form; a birth date may lie in the future of any business date.
fn identifiers(subject: &SubjectBody) -> Result<Vec<Identifier>, Problem> {
    let invalid = |detail: String| Problem::new(ProblemKind::Invalid).detail(detail);
    let given = subject.given();
    if given.is_empty() {
        return Err(invalid("name at least one identifier".to_owned()));
    }
    let parse = |(id_type, text): (riskveil_exchange::record::IdType, &super::models::PersonalText)| {
        Identifier::parse(id_type, text.expose(), Day::MAX)
            .map_err(|reason| invalid(format!("{} is not valid: {}", id_type.as_str(), reason.as_str())))
    };
    given.into_iter().map(parse).collect()
}

fn problem(error: &RegulatorError) -> Problem {
    let kind = match error {
        RegulatorError::Export(error) => return not_built(error),
        RegulatorError::Range { .. } | RegulatorError::NothingDue { .. } => ProblemKind::Invalid,
        _ => ProblemKind::Unavailable,
    };
    Problem::new(kind).detail(error.to_string())
}
