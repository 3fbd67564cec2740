//! `/peer/v1/...`: what other members' agents call over the pinned channel; binary bodies.
//!
//! - **Place**: B4 in; submissions to a validator
//! - **Errors**: 400 bytes that are no message, 404 a role this member does not have, 422 a submission that no block may
//!   carry, 429 a full pool, 503 too much waits here
//! - **Security**: the caller is known by its TLS key; nothing it sends is believed without its signature

use std::sync::Arc;

use riskveil_chain::mempool::AdmissionError;
use riskveil_chain::tx::{MAX_TX_BYTES, Submission};
use riskveil_exchange::disclose::MAX_DISCLOSURE_REQUEST_LEN;
use riskveil_exchange::query::messages::MAX_REQUEST_LEN;
use warp::http::header::{CONTENT_TYPE, HeaderValue};
use warp::reply::Response;

use super::problem::{Problem, ProblemKind};
use super::route::{Answered, Call};
use crate::context::Context;
use crate::responder::{self, NotAnswered};
use crate::walks::blocking;

/// Content type of a response to a query.
const RESPONSE_TYPE: &str = "application/vnd.riskveil+binary; message=evaluate-response; v=1";
/// Content type of an answer to a disclosure request.
const DISCLOSURE_TYPE: &str = "application/vnd.riskveil+binary; message=disclose-response; v=1";

/// Longest request, bytes.
pub(super) fn max_request(_context: &Context) -> u64 {
    MAX_REQUEST_LEN as u64
}

/// Longest disclosure request, bytes.
pub(super) fn max_disclosure(_context: &Context) -> u64 {
    MAX_DISCLOSURE_REQUEST_LEN as u64
}

/// Longest submission, bytes.
pub(super) fn max_submission(context: &Context) -> u64 {
    context.ledger.genesis().policy.max_block_bytes.saturating_add(MAX_TX_BYTES as u64)
}

/// `POST /peer/v1/evaluate`.
pub(super) async fn evaluate(context: Arc<Context>, call: Call) -> Answered {
    let peer = call.peer.ok_or(Problem::new(ProblemKind::Unauthorized))?;
    if !context.member.roles.publisher {
        return Err(Problem::new(ProblemKind::NotFound));
    }
    let answer = responder::answer(&context, peer, call.body.clone()).await;
    message(answer.map_err(not_answered)?, RESPONSE_TYPE)
}

/// `POST /peer/v1/disclose`.
pub(super) async fn disclose(context: Arc<Context>, call: Call) -> Answered {
    let peer = call.peer.ok_or(Problem::new(ProblemKind::Unauthorized))?;
    if !context.member.roles.publisher {
        return Err(Problem::new(ProblemKind::NotFound));
    }
    let answer = responder::disclose::answer(&context, peer, &call.body).await;
    message(answer.map_err(not_answered)?, DISCLOSURE_TYPE)
}

fn not_answered(error: NotAnswered) -> Problem {
    match error {
        NotAnswered::Malformed(_) => Problem::new(ProblemKind::Malformed),
        NotAnswered::Overloaded => Problem::new(ProblemKind::Unavailable),
        NotAnswered::Log(error) => {
            tracing::error!(%error, "a receipt could not be journalled; the request is not answered");
            Problem::new(ProblemKind::Internal)
        }
    }
}

fn message(bytes: Vec<u8>, content_type: &'static str) -> Answered {
    let mut response = Response::new(bytes.into());
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    Ok(response)
}

/// `POST /peer/v1/transactions`.
pub(super) async fn submit(context: Arc<Context>, call: Call) -> Answered {
    if !context.member.roles.validator {
        return Err(Problem::new(ProblemKind::NotFound));
    }
    let (ledger, max_payload) = (context.ledger.clone(), context.ledger.genesis().policy.max_block_bytes);
    let admit = move || {
        let max_payload = usize::try_from(max_payload).unwrap_or(usize::MAX);
        let submission =
            Submission::decode(&call.body, max_payload).map_err(|_| Problem::new(ProblemKind::Malformed))?;
        ledger.submit(submission).map_err(|error| refusal(&error))
    };
    let admitted = blocking(admit).await?;
    Ok(Response::new(admitted.id.to_string().into()))
}

fn refusal(error: &AdmissionError) -> Problem {
    let kind = match error {
        AdmissionError::SenderFull | AdmissionError::Full => ProblemKind::TooManyRequests,
        AdmissionError::SequenceUsed { .. } | AdmissionError::SequenceTaken(_) => ProblemKind::Conflict,
        _ => ProblemKind::Refused,
    };
    Problem::new(kind).detail(error.to_string())
}
