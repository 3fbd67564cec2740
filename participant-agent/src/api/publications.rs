//! `/v1/publications`: a file of records in, what became of it out.
//!
//! - **Place**: A1 (bytes in); `walks::publish` and its task do the rest behind it
//! - **Invariants**: the id is answered when the file's new records are on disk; the same file again accepts nothing new
//! - **Idempotency**: the same `Idempotency-Key` with the same file is the same publication; with another file 409
//! - **Errors**: 422 no file of records (nothing is published) or no publisher, 413 over 64 MiB, 404 an unknown id

use std::sync::Arc;

use rand::RngCore;
use rand::rngs::OsRng;
use riskveil_crypto::digest;
use riskveil_exchange::record::Day;
use warp::http::StatusCode;

use super::models::Started;
use super::once::{self, Once};
use super::problem::{Problem, ProblemKind};
use super::route::{Answered, Call, shown, with_status};
use crate::context::Context;
use crate::dst;
use crate::idempotency::RequestKey;
use crate::walks::publisher::Publisher;
use crate::walks::{PublishError, blocking, publish};

/// Longest body, bytes.
pub const MAX_BODY: u64 = 64 << 20;
/// Rejected rows on a page, usually and at most.
const PAGE: (usize, usize) = (1_000, 10_000);

/// `POST /v1/publications`.
pub(super) async fn start(context: Arc<Context>, call: Call) -> Answered {
    let publisher = publisher(&context)?;
    let as_of = call.query::<Day>("as_of")?.unwrap_or_else(|| context.as_of());
    let (key, call) = digested(call).await?;
    let claim = match &key {
        None => None,
        Some(key) => match once::once(context.requests.begin(key, context.clock.now_s()))? {
            Once::Do(claim) => Some(claim),
            Once::Done(id) => return with_status(StatusCode::ACCEPTED, &Started { id: id.to_string() }),
        },
    };
    let id = key.map_or_else(random_id, |key| id_of(&key));
    let accepted = publish::accept(&publisher.book, id, call.body, as_of).await.map_err(|error| {
        let kind = if matches!(error, PublishError::Ingest(_)) { ProblemKind::Invalid } else { ProblemKind::Internal };
        if kind == ProblemKind::Internal {
            tracing::error!(%error, "a publication could not be journalled");
        }
        Problem::new(kind).detail(error.to_string())
    })?;
    publisher.wake();
    once::keep(&context, claim, &accepted.id).await?;
    with_status(StatusCode::ACCEPTED, &Started { id: accepted.id })
}

/// `GET /v1/publications/{id}`.
pub(super) async fn status(context: Arc<Context>, call: Call) -> Answered {
    let page = call.page(PAGE.0, PAGE.1)?;
    let status = publisher(&context)?.status(&context, call.segment("id"));
    let mut status = status.ok_or_else(|| Problem::new(ProblemKind::NotFound))?;
    status.rejected_total = status.rejected.len();
    status.next = page.next(status.rejected_total);
    status.rejected = status.rejected.into_iter().skip(page.offset).take(page.limit).collect();
    shown(&status)
}

/// The key with the digest of its request, which takes a while for a large file.
async fn digested(call: Call) -> Result<(Option<RequestKey>, Call), Problem> {
    blocking(move || Ok((call.request_key("/v1/publications"), call))).await
}

/// The id of a request under its key: after a crash before the key was on disk, the same publication.
fn id_of(key: &RequestKey) -> String {
    let id = digest::hash(dst::API_REQUEST, &[key.key.as_bytes(), key.request.as_bytes()]);
    id.to_string().chars().take(32).collect()
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
