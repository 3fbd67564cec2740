//! `/v1/audit/...`: the regulator reads the logs on its own replica.
//!
//! ```text
//! GET  /v1/audit/log?from=&to=&lender=&publisher=&purpose=&limit=   who asked about whom, newest first
//! POST /v1/audit/subject    {"subject": {...}}                      who asked about this person
//! POST /v1/audit/reconcile  {"from": w, "through": w}               who deviated; both optional
//! ```
//!
//! - **Place**: B10, -> [`Regulator`]
//! - **Errors**: 400 malformed, or a range that is not of closed windows; 503 the replica or the outbox cannot do it now
//! - **Security**: role `auditor` only; identifiers stand in bodies, never in addresses

use std::sync::Arc;

use bytes::Bytes;
use riskveil_exchange::{
    ids::Window,
    record::{Day, Identifier},
};
use serde::{Deserialize, Serialize};
use warp::Filter;

use super::{
    Resource,
    auth::{Role, Tokens, require},
    json,
    models::SubjectBody,
    problem::{Problem, ProblemKind},
    reply, with,
};
use crate::regulator::{LogFilter, Reconciled, Regulator, RegulatorError, SubjectReport};

/// Longest body, bytes.
const MAX_BODY: u64 = 4 << 10;

/// Whom to look for.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SubjectQuery {
    /// At least one identifier.
    pub subject: SubjectBody,
}

/// What to reconcile.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReconcileQuery {
    /// First window; window 0 without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Window>,
    /// Last window, any closed one; without it the last one whose other side is due.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub through: Option<Window>,
}

/// The routes of a regulator's agent.
pub fn routes(regulator: &Arc<Regulator>, tokens: &Arc<Tokens>) -> Resource {
    let auditor = || require(tokens.clone(), &[Role::Auditor]);
    let log = warp::path!("v1" / "audit" / "log")
        .and(warp::get())
        .and(auditor())
        .and(warp::query::<LogFilter>())
        .and(with(regulator))
        .then(|_role, filter, regulator: Arc<Regulator>| async move {
            reply(regulator.log(filter).await.map(|page| warp::reply::json(&page)).map_err(|error| problem(&error)))
        });
    let subject = warp::path!("v1" / "audit" / "subject")
        .and(warp::post())
        .and(auditor())
        .and(warp::body::content_length_limit(MAX_BODY))
        .and(warp::body::bytes())
        .and(with(regulator))
        .then(|_role, body, regulator| async move {
            reply(subject(regulator, body).await.map(|report| warp::reply::json(&report)))
        });
    let reconcile = warp::path!("v1" / "audit" / "reconcile")
        .and(warp::post())
        .and(auditor())
        .and(warp::body::content_length_limit(MAX_BODY))
        .and(warp::body::bytes())
        .and(with(regulator))
        .then(|_role, body, regulator| async move {
            reply(reconcile(regulator, body).await.map(|report| warp::reply::json(&report)))
        });
    log.or(subject).unify().or(reconcile).unify().boxed()
}

async fn subject(regulator: Arc<Regulator>, body: Bytes) -> Result<SubjectReport, Problem> {
    let query: SubjectQuery = json(&body)?;
    let identifiers = identifiers(&query.subject)?;
    regulator.subject(identifiers).await.map_err(|error| problem(&error))
}

async fn reconcile(regulator: Arc<Regulator>, body: Bytes) -> Result<Reconciled, Problem> {
    let query: ReconcileQuery = json(&body)?;
    regulator.reconcile(query.from, query.through).await.map_err(|error| problem(&error))
}

/// The identifiers in canonical form; a birth date may lie in the future of any business date.
fn identifiers(subject: &SubjectBody) -> Result<Vec<Identifier>, Problem> {
    let malformed = |detail: String| Problem::new(ProblemKind::Malformed).detail(detail);
    let given = subject.given();
    if given.is_empty() {
        return Err(malformed("name at least one identifier".to_owned()));
    }
    let parse = |(id_type, text): (riskveil_exchange::record::IdType, &super::models::PersonalText)| {
        Identifier::parse(id_type, text.expose(), Day::MAX)
            .map_err(|reason| malformed(format!("{} is not valid: {}", id_type.as_str(), reason.as_str())))
    };
    given.into_iter().map(parse).collect()
}

fn problem(error: &RegulatorError) -> Problem {
    let kind = match error {
        RegulatorError::Range { .. } | RegulatorError::NothingDue { .. } => ProblemKind::Malformed,
        _ => ProblemKind::Unavailable,
    };
    Problem::new(kind).detail(error.to_string())
}
