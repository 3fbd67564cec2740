//! The local HTTP API and the peer API: every route on one screen, and nothing else is served.
//!
//! - **Place**: B1, B4, A1, B10 in; one line of [`LOCAL`] or [`PEERS`] is one route, with its caller, body and limits
//! - **Invariants**: `specs/openapi.yaml` describes exactly these routes (`tests/openapi.rs`)
//! - **Errors**: every refusal is a problem document ([`problem`])

pub mod audit;
pub mod auth;
pub mod chain;
pub mod checks;
mod commitments;
pub mod disclosures;
pub mod doctor;
pub mod health;
pub mod models;
mod once;
pub mod peer;
pub mod problem;
pub mod publications;
mod query;
pub mod route;
pub mod screenings;

use std::sync::Arc;
use std::time::Duration;

use warp::http::header::{CONTENT_TYPE, HeaderValue};
use warp::reply::Response;

use self::auth::{Role, Tokens};
use self::route::{Accepts, Access, Route};
use crate::context::Context;
use crate::peers::server::Routes;

const OPERATOR: Access = Access::Token(&[Role::Operator]);
const UNDERWRITER: Access = Access::Token(&[Role::Underwriter]);
const AUDITOR: Access = Access::Token(&[Role::Auditor]);
const ANY_TOKEN: Access = Access::Token(&Role::ALL);

/// Content type of an evidence file.
pub const EVIDENCE_TYPE: &str = "application/vnd.riskveil+binary; message=evidence; v=1";
/// Requests under way at one time; more are refused with 429.
pub const UNDER_WAY: usize = 64;
/// The same for members' agents.
const PEERS_UNDER_WAY: usize = 4096;
/// How long an export of evidence may take.
const EXPORT_TIME: Duration = Duration::from_secs(300);
/// How long the regulator's reading of the logs may take.
const AUDIT_TIME: Duration = Duration::from_secs(3600);

/// An `async fn(Arc<Context>, Call) -> Answered` as a table holds it.
macro_rules! to {
    ($handler:path) => {
        |context, call| Box::pin($handler(context, call))
    };
}

/// The local API.
pub static LOCAL: &[Route] = &[
    // walk B for one applicant, and for a file of applicants
    Route::post("/v1/checks", UNDERWRITER, Accepts::Json(16 << 10), to!(checks::make)).idempotent(),
    Route::get("/v1/checks/{core_digest}/evidence", UNDERWRITER, to!(checks::evidence)).within(EXPORT_TIME),
    Route::post("/v1/screenings", UNDERWRITER, Accepts::Json(64 << 20), to!(screenings::start)).idempotent(),
    Route::get("/v1/screenings/{id}", UNDERWRITER, to!(screenings::progress)),
    Route::get("/v1/screenings/{id}/answers", UNDERWRITER, to!(screenings::answers)).query(&["offset", "limit"]),
    // after a hit, with consent: one value of one record, or its range
    Route::post("/v1/disclosures", UNDERWRITER, Accepts::Json(16 << 10), to!(disclosures::make)).idempotent(),
    // walk A for a file of records
    Route::post("/v1/publications", OPERATOR, Accepts::Csv(64 << 20), to!(publications::start))
        .query(&["as_of"])
        .idempotent(),
    Route::get("/v1/publications/{id}", OPERATOR, to!(publications::status)).query(&["offset", "limit"]),
    // the chain as this agent's replica has it
    Route::get("/v1/chain/status", ANY_TOKEN, to!(chain::status)),
    Route::get("/v1/chain/headers/{height}", ANY_TOKEN, to!(chain::header)),
    Route::get("/v1/chain/finality/{height}", ANY_TOKEN, to!(chain::finality)),
    Route::get("/v1/chain/commitments", ANY_TOKEN, to!(commitments::list)).query(&["offset", "limit"]),
    Route::get("/v1/members", ANY_TOKEN, to!(chain::members)),
    // a regulator reads the logs
    Route::get("/v1/audit/log", AUDITOR, to!(audit::log))
        .query(&["from", "to", "lender", "publisher", "purpose", "offset", "limit"])
        .within(AUDIT_TIME),
    Route::post("/v1/audit/subject", AUDITOR, Accepts::Json(4 << 10), to!(audit::subject)).within(AUDIT_TIME),
    Route::post("/v1/audit/reconcile", AUDITOR, Accepts::Json(4 << 10), to!(audit::reconcile)).within(AUDIT_TIME),
    Route::get("/v1/audit/evidence/{core_digest}", AUDITOR, to!(audit::evidence)).within(AUDIT_TIME),
    // what `doctor` wants to know of this agent
    Route::get("/v1/doctor", ANY_TOKEN, to!(doctor::facts)),
    // for machines that watch this one; the API listens on loopback
    Route::get("/healthz", Access::Open, to!(health::alive)),
    Route::get("/readyz", Access::Open, to!(health::ready)),
    Route::get("/metrics", Access::Open, to!(health::metrics)),
];

/// What other members' agents may call, over mutual TLS.
pub static PEERS: &[Route] = &[
    Route::get("/peer/v1/tip", Access::Member, to!(doctor::tip)),
    Route::post("/peer/v1/evaluate", Access::Member, Accepts::Message(peer::max_request), to!(peer::evaluate)),
    Route::post("/peer/v1/disclose", Access::Member, Accepts::Message(peer::max_disclosure), to!(peer::disclose)),
    Route::post("/peer/v1/transactions", Access::Member, Accepts::Message(peer::max_submission), to!(peer::submit)),
];

/// The local API, ready to serve.
#[must_use]
pub fn local(context: &Arc<Context>, tokens: &Arc<Tokens>) -> Routes {
    route::serve(LOCAL, context, tokens, UNDER_WAY)
}

/// The peer API, ready to serve.
#[must_use]
pub fn peers(context: &Arc<Context>) -> Routes {
    route::serve(PEERS, context, &Arc::new(Tokens::none()), PEERS_UNDER_WAY)
}

/// A handler's outcome as a response.
pub(crate) fn reply<R: warp::Reply>(outcome: Result<R, problem::Problem>) -> Response {
    match outcome {
        Ok(reply) => reply.into_response(),
        Err(problem) => warp::Reply::into_response(problem),
    }
}

/// 200 with an evidence file.
pub(crate) fn evidence_file(bytes: Vec<u8>) -> Response {
    let mut response = Response::new(bytes.into());
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(EVIDENCE_TYPE));
    response
}

/// Reads a JSON body.
///
/// # Errors
/// A malformed problem with the position, never the content.
pub(crate) fn json<T: serde::de::DeserializeOwned>(body: &[u8]) -> Result<T, problem::Problem> {
    let object: Result<models::Object<T>, _> = serde_json::from_slice(body);
    object.map(|models::Object(value)| value).map_err(|error| {
        problem::Problem::new(problem::ProblemKind::Malformed).detail(format!(
            "the body is not the JSON of this address (line {}, column {})",
            error.line(),
            error.column()
        ))
    })
}
