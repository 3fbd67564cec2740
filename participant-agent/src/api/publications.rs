//! `/v1/publications`: a file of records in, what became of it out.
//!
//! - **Place**: A1 (bytes in); `walks::publish` and its task do the rest behind it
//! - **Invariants**: the id is answered when the file's new records are on disk; the same file again accepts nothing new
//! - **Idempotency**: the same `Idempotency-Key` with the same file is the same publication; with another file 409
//! - **Errors**: 400 no file of records (nothing is published), 413 over 64 MiB, 404 an unknown id, 422 no publisher

use std::sync::Arc;

use bytes::Bytes;
use rand::RngCore;
use rand::rngs::OsRng;
use riskveil_crypto::digest;
use riskveil_exchange::record::Day;
use serde::Deserialize;
use warp::Filter;
use warp::http::StatusCode;

use super::auth::{Role, Tokens, require};
use super::models::Started;
use super::problem::{Problem, ProblemKind};
use super::{Resource, reply, with};
use crate::context::Context;
use crate::walks::publisher::Publisher;
use crate::walks::{PublishError, publish};

/// Longest body, bytes.
pub const MAX_BODY: u64 = 64 << 20;
/// Longest idempotency key, bytes.
const MAX_KEY: usize = 128;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Parameters {
    as_of: Option<Day>,
}

/// Every route of this resource.
pub fn routes(context: &Arc<Context>, tokens: &Arc<Tokens>) -> Resource {
    let role = || require(tokens.clone(), &[Role::Operator]);
    let start = warp::path!("v1" / "publications")
        .and(warp::post())
        .and(role())
        .and(warp::header::optional::<String>("idempotency-key"))
        .and(warp::query())
        .and(warp::body::content_length_limit(MAX_BODY))
        .and(warp::body::bytes())
        .and(with(context))
        .then(
            |_role, key, parameters, body, context| async move { reply(start(&context, key, parameters, body).await) },
        );
    let status = warp::path!("v1" / "publications" / String).and(warp::get()).and(role()).and(with(context)).map(
        |id: String, _role, context: Arc<Context>| {
            let status = publisher(&context).and_then(|publisher| {
                publisher.status(&context, &id).ok_or_else(|| Problem::new(ProblemKind::NotFound))
            });
            reply(status.map(|status| warp::reply::json(&status)))
        },
    );
    start.or(status).unify().boxed()
}

async fn start(
    context: &Arc<Context>,
    key: Option<String>,
    parameters: Parameters,
    body: Bytes,
) -> Result<impl warp::Reply + use<>, Problem> {
    let publisher = publisher(context)?;
    let id = match key {
        Some(key) => id_of(&key, publisher, &body)?,
        None => random_id(),
    };
    let as_of = parameters.as_of.unwrap_or_else(|| context.as_of());
    let accepted = publish::accept(&publisher.book, id, body, as_of).await.map_err(|error| {
        let kind =
            if matches!(error, PublishError::Ingest(_)) { ProblemKind::Malformed } else { ProblemKind::Internal };
        if kind == ProblemKind::Internal {
            tracing::error!(%error, "a publication could not be journalled");
        }
        Problem::new(kind).detail(error.to_string())
    })?;
    publisher.wake();
    Ok(warp::reply::with_status(warp::reply::json(&Started { id: accepted.id }), StatusCode::ACCEPTED))
}

/// The id of an idempotency key; a key that came with another file is refused.
fn id_of(key: &str, publisher: &Publisher, body: &[u8]) -> Result<String, Problem> {
    if key.is_empty() || key.len() > MAX_KEY {
        return Err(Problem::new(ProblemKind::Malformed).detail("an idempotency key has 1 to 128 bytes"));
    }
    let id: String = digest::sha256(key.as_bytes()).to_string().chars().take(32).collect();
    match publisher.book.file_of(&id) {
        Some(file) if file != digest::sha256(body) => {
            Err(Problem::new(ProblemKind::Conflict).detail("this idempotency key was used with another file"))
        }
        _ => Ok(id),
    }
}

fn random_id() -> String {
    let mut id = [0; 16];
    OsRng.fill_bytes(&mut id);
    hex::encode(id)
}

fn publisher(context: &Context) -> Result<&Publisher, Problem> {
    let no_publisher = || {
        Problem::new(ProblemKind::Refused)
            .reason("not_a_publisher")
            .detail("this agent does not have the role of a publisher")
    };
    context.publisher.as_ref().ok_or_else(no_publisher)
}
