//! Idempotency keys over HTTP: answer again, refuse, or do the work.
//!
//! - **Errors**: 409 a key under way, or used with another request

use std::sync::Arc;

use riskveil_crypto::digest;

use super::problem::{Problem, ProblemKind};
use super::route::Call;
use crate::context::Context;
use crate::dst;
use crate::idempotency::{Claim, Repeat, RequestKey};

/// What is to be done about a request with a key.
#[derive(Debug)]
pub(super) enum Once<'a> {
    /// The work.
    Do(Claim<'a>),
    /// Nothing: this was the answer.
    Done(Arc<str>),
}

/// What a key says about its request.
///
/// # Errors
/// A conflict, with reason `key_under_way` or `key_reused`.
pub(super) fn once(repeat: Repeat<'_>) -> Result<Once<'_>, Problem> {
    let conflict = Problem::new(ProblemKind::Conflict);
    match repeat {
        Repeat::New(claim) => Ok(Once::Do(claim)),
        Repeat::Answered(answer) => Ok(Once::Done(answer)),
        Repeat::UnderWay => {
            Err(conflict.reason("key_under_way").detail("a request with this idempotency key is under way"))
        }
        Repeat::Other => {
            Err(conflict.reason("key_reused").detail("this idempotency key was used with another request"))
        }
    }
}

/// Makes the answer of a request durable under its key, if it has one.
///
/// # Errors
/// Internal, when the disk refuses.
pub(super) async fn keep(context: &Context, claim: Option<Claim<'_>>, answer: &str) -> Result<(), Problem> {
    let Some(claim) = claim else { return Ok(()) };
    context.requests.keep(claim, answer.to_owned(), context.clock.now_s()).await.map_err(|error| {
        tracing::error!(%error, "an idempotency key could not be journalled");
        Problem::new(ProblemKind::Internal).detail("the answer could not be journalled")
    })
}

impl Call {
    /// The idempotency key at an address, with the digest of what it came with.
    #[must_use]
    pub(super) fn request_key(&self, address: &str) -> Option<RequestKey> {
        let request = || digest::hash(dst::API_REQUEST, &[self.raw_query.as_bytes(), &self.body]);
        self.key.as_ref().map(|key| RequestKey { key: format!("{address} {key}"), request: request() })
    }
}
