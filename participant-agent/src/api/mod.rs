//! The local HTTP API and the peer API: every route on one screen.
//!
//! ```text
//! POST /v1/checks                       underwriter           checks.rs        walk B for one applicant
//! POST /v1/screenings                   underwriter           screenings.rs    walk B for a file of applicants
//! GET  /v1/screenings/{id}              underwriter           screenings.rs
//! GET  /v1/screenings/{id}/answers      underwriter           screenings.rs
//! POST /v1/publications                 operator              publications.rs  walk A for a file of records
//! GET  /v1/publications/{id}            operator              publications.rs
//! GET  /v1/chain/status                 any token             chain.rs
//! GET  /v1/chain/headers/{height}       any token             chain.rs
//! GET  /v1/chain/finality/{height}      any token             chain.rs
//! GET  /v1/members                      any token             chain.rs
//!      /v1/audit/...                    auditor               audit.rs
//! GET  /healthz /readyz /metrics        none (loopback)       health.rs
//! POST /peer/v1/evaluate                member, mutual TLS    peer.rs
//! POST /peer/v1/transactions            member, mutual TLS    peer.rs
//! ```
//!
//! - **Errors**: every refusal is a problem document ([`problem`])

pub mod audit;
pub mod auth;
pub mod chain;
pub mod checks;
pub mod health;
pub mod models;
pub mod peer;
pub mod problem;
pub mod publications;
pub mod screenings;

use std::sync::Arc;

use warp::Filter;
use warp::filters::BoxedFilter;
use warp::reply::Response;

use self::auth::Tokens;
use crate::context::Context;
use crate::peers::server::Routes;

/// One resource's routes.
pub type Resource = BoxedFilter<(Response,)>;

/// The local API; `more` are routes of other resources.
#[must_use]
pub fn local(context: &Arc<Context>, tokens: &Arc<Tokens>, more: Option<Resource>) -> Routes {
    let routes = checks::routes(context, tokens)
        .or(screenings::routes(context, tokens))
        .unify()
        .or(publications::routes(context, tokens))
        .unify()
        .or(chain::routes(context, tokens))
        .unify()
        .or(health::routes(context))
        .unify();
    match more {
        Some(more) => problem::routes(routes.or(more).unify()),
        None => problem::routes(routes),
    }
}

/// What other members' agents may call.
#[must_use]
pub fn peers(context: &Arc<Context>) -> Routes {
    problem::routes(peer::routes(context))
}

/// Hands a shared handle to a handler.
pub(crate) fn with<T: Clone + Send + Sync + 'static>(
    value: &T,
) -> impl Filter<Extract = (T,), Error = std::convert::Infallible> + Clone + Send + Sync + 'static {
    let value = value.clone();
    warp::any().map(move || value.clone())
}

/// A handler's outcome as a response.
pub(crate) fn reply<R: warp::Reply>(outcome: Result<R, problem::Problem>) -> Response {
    match outcome {
        Ok(reply) => reply.into_response(),
        Err(problem) => warp::Reply::into_response(problem),
    }
}

/// Reads a JSON body.
///
/// # Errors
/// A malformed problem with the position, never the content.
pub(crate) fn json<T: serde::de::DeserializeOwned>(body: &[u8]) -> Result<T, problem::Problem> {
    serde_json::from_slice(body).map_err(|error| {
        problem::Problem::new(problem::ProblemKind::Malformed).detail(format!(
            "the body is not the JSON of this address (line {}, column {})",
            error.line(),
            error.column()
        ))
    })
}
