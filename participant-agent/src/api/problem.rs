//! Problem documents (RFC 9457): the only place where an error becomes an HTTP status.
//!
//! - **Shapes**: `application/problem+json` with `type` (`urn:riskveil:problem:<word>`), `title`, `status`, and where they
//!   help `detail` (a sentence) and `reason` (a word of a registry, such as a refusal reason)
//! - **Security**: a detail never holds input, identifiers or another library's error text
//! - **Source**: RFC 9457; specs/errors.md#problems

use std::convert::Infallible;
use std::fmt;

use serde::Serialize;
use warp::http::StatusCode;
use warp::http::header::{ALLOW, CONTENT_TYPE, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use warp::reply::Response;
use warp::{Filter, Rejection, Reply};

use crate::peers::server::Routes;

/// Prefix of every problem's `type`.
pub const TYPE_PREFIX: &str = "urn:riskveil:problem:";
/// The content type of every problem document.
const CONTENT: &str = "application/problem+json";

/// The kinds of problems; each has one status and one type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProblemKind {
    /// The request cannot be read.
    Malformed,
    /// No token, or an unknown one.
    Unauthorized,
    /// A token whose role may not do this.
    Forbidden,
    /// Nothing at this address.
    NotFound,
    /// Something at this address, but not for this method.
    MethodNotAllowed,
    /// The head or the body took too long.
    RequestTimeout,
    /// It contradicts what is already there (an idempotency key used for something else).
    Conflict,
    /// No `Content-Length`.
    LengthRequired,
    /// The body is over the limit.
    TooLarge,
    /// The content type is not the one of this address.
    UnsupportedMediaType,
    /// Of the right form, and wrong: no valid identifier, no file of records, a range that is none.
    Invalid,
    /// Understood, and refused by a rule: a missing consent, a purpose that is not allowed.
    Refused,
    /// More than is accepted now.
    TooManyRequests,
    /// The head is too long or has too many fields.
    HeadTooLarge,
    /// A fault of this agent.
    Internal,
    /// This agent cannot do it now: it is starting, stopping, or behind.
    Unavailable,
}

impl ProblemKind {
    /// Every kind.
    pub const ALL: [Self; 16] = [
        Self::Malformed,
        Self::Unauthorized,
        Self::Forbidden,
        Self::NotFound,
        Self::MethodNotAllowed,
        Self::RequestTimeout,
        Self::Conflict,
        Self::LengthRequired,
        Self::TooLarge,
        Self::UnsupportedMediaType,
        Self::Invalid,
        Self::Refused,
        Self::TooManyRequests,
        Self::HeadTooLarge,
        Self::Internal,
        Self::Unavailable,
    ];

    /// Status, word of the type, title.
    const fn parts(self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Self::Malformed => (StatusCode::BAD_REQUEST, "malformed", "The request cannot be read"),
            Self::Unauthorized => (StatusCode::UNAUTHORIZED, "unauthorized", "A valid token is needed"),
            Self::Forbidden => (StatusCode::FORBIDDEN, "forbidden", "The token's role may not do this"),
            Self::NotFound => (StatusCode::NOT_FOUND, "not-found", "There is nothing at this address"),
            Self::MethodNotAllowed => {
                (StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", "This address has other methods")
            }
            Self::RequestTimeout => (StatusCode::REQUEST_TIMEOUT, "request-timeout", "The request took too long"),
            Self::Conflict => (StatusCode::CONFLICT, "conflict", "The request contradicts an earlier one"),
            Self::LengthRequired => (StatusCode::LENGTH_REQUIRED, "length-required", "Content-Length is missing"),
            Self::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "too-large", "The body is over the limit"),
            Self::UnsupportedMediaType => {
                (StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported-media-type", "The content type is not accepted here")
            }
            Self::Invalid => (StatusCode::UNPROCESSABLE_ENTITY, "invalid", "The content does not hold what it must"),
            Self::Refused => (StatusCode::UNPROCESSABLE_ENTITY, "refused", "The request is refused by a rule"),
            Self::TooManyRequests => (StatusCode::TOO_MANY_REQUESTS, "too-many-requests", "Too much at one time"),
            Self::HeadTooLarge => {
                (StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "head-too-large", "The head of the request is too large")
            }
            Self::Internal => (StatusCode::INTERNAL_SERVER_ERROR, "internal", "The agent failed; see its log"),
            Self::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, "unavailable", "The agent cannot do this now"),
        }
    }

    /// The HTTP status.
    #[must_use]
    pub const fn status(self) -> StatusCode {
        self.parts().0
    }

    /// The last part of the `type` URI.
    #[must_use]
    pub const fn word(self) -> &'static str {
        self.parts().1
    }
}

/// A problem document; a warp rejection and a reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    kind: ProblemKind,
    detail: Option<String>,
    reason: Option<&'static str>,
}

#[derive(Serialize)]
struct Document<'a> {
    r#type: String,
    title: &'static str,
    status: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
}

impl Problem {
    /// A problem of this kind.
    #[must_use]
    pub const fn new(kind: ProblemKind) -> Self {
        Self { kind, detail: None, reason: None }
    }

    /// With a sentence for the caller, free of input and identifiers.
    #[must_use]
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// With a word of a registry.
    #[must_use]
    pub const fn reason(mut self, reason: &'static str) -> Self {
        self.reason = Some(reason);
        self
    }

    /// Its kind.
    #[must_use]
    pub const fn kind(&self) -> ProblemKind {
        self.kind
    }

    fn document(&self) -> Document<'_> {
        let (status, word, title) = self.kind.parts();
        Document {
            r#type: format!("{TYPE_PREFIX}{word}"),
            title,
            status: status.as_u16(),
            detail: self.detail.as_deref(),
            reason: self.reason,
        }
    }

    /// The whole response as HTTP/1.1 bytes, for a connection that ends with it.
    #[must_use]
    pub fn to_http(&self) -> Vec<u8> {
        let body = serde_json::to_string(&self.document()).unwrap_or_default();
        let (status, length) = (self.kind.status(), body.len());
        format!(
            "HTTP/1.1 {status}\r\ncontent-type: {CONTENT}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
        )
        .into_bytes()
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.detail.as_deref().unwrap_or(self.kind.parts().2))
    }
}

impl std::error::Error for Problem {}

impl warp::reject::Reject for Problem {}

impl Reply for Problem {
    fn into_response(self) -> Response {
        let mut response = warp::reply::json(&self.document()).into_response();
        *response.status_mut() = self.kind.status();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(CONTENT));
        match self.kind {
            ProblemKind::Unauthorized => headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer")),
            ProblemKind::TooManyRequests => headers.insert(RETRY_AFTER, HeaderValue::from_static("1")),
            _ => None,
        };
        response
    }
}

/// The rejection of a route at whose address there are other methods.
#[derive(Debug)]
pub(super) struct WrongMethod {
    /// Those methods.
    pub(super) allow: HeaderValue,
}

impl warp::reject::Reject for WrongMethod {}

/// Routes whose every rejection is a problem document.
pub fn routes<F, R>(filter: F) -> Routes
where
    F: Filter<Extract = (R,), Error = Rejection> + Clone + Send + Sync + 'static,
    R: Reply + 'static,
{
    filter.map(Reply::into_response).recover(recover).unify().boxed()
}

async fn recover(rejection: Rejection) -> Result<Response, Infallible> {
    let mut response = problem_of(&rejection).into_response();
    if let Some(wrong) = rejection.find::<WrongMethod>()
        && response.status() == StatusCode::METHOD_NOT_ALLOWED
    {
        response.headers_mut().insert(ALLOW, wrong.allow.clone());
    }
    Ok(response)
}

fn problem_of(rejection: &Rejection) -> Problem {
    if let Some(problem) = rejection.find::<Problem>() {
        return problem.clone();
    }
    if rejection.is_not_found() {
        return Problem::new(ProblemKind::NotFound);
    }
    if rejection.find::<warp::reject::PayloadTooLarge>().is_some() {
        return Problem::new(ProblemKind::TooLarge);
    }
    if rejection.find::<warp::reject::LengthRequired>().is_some() {
        return Problem::new(ProblemKind::LengthRequired);
    }
    if rejection.find::<warp::reject::UnsupportedMediaType>().is_some() {
        return Problem::new(ProblemKind::UnsupportedMediaType);
    }
    let other_methods = rejection.find::<WrongMethod>().is_some();
    if other_methods || rejection.find::<warp::reject::MethodNotAllowed>().is_some() {
        return Problem::new(ProblemKind::MethodNotAllowed);
    }
    Problem::new(ProblemKind::Malformed)
}

/// What routes answer to a request, without a connection.
#[cfg(test)]
pub(crate) async fn reply(
    routes: &Routes,
    request: warp::http::Request<http_body_util::Full<bytes::Bytes>>,
) -> Response {
    let service = hyper_util::service::TowerToHyperService::new(warp::service(routes.clone()));
    hyper::service::Service::call(&service, request).await.unwrap()
}

#[cfg(test)]
mod tests {
    use http_body_util::{BodyExt, Full};
    use warp::http::Request;

    use super::*;

    fn api() -> Routes {
        #[derive(serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Body {
            number: u32,
        }
        let double = warp::path!("v1" / "double")
            .and(warp::post())
            .and(warp::body::content_length_limit(32))
            .and(warp::body::bytes())
            .and_then(|body: bytes::Bytes| async move {
                let refused = Problem::new(ProblemKind::Refused).reason("no_consent");
                let Body { number } = super::super::json(&body).map_err(Rejection::from)?;
                number.checked_mul(2).map(|twice| warp::reply::json(&twice)).ok_or_else(|| Rejection::from(refused))
            });
        routes(double)
    }

    async fn ask(method: &str, path: &str, body: &'static str) -> (u16, serde_json::Value) {
        let request = Request::builder().method(method).uri(path).header("content-length", body.len());
        let response = reply(&api(), request.body(Full::from(body)).unwrap()).await;
        if response.status() != StatusCode::OK {
            assert_eq!(response.headers()[CONTENT_TYPE], "application/problem+json");
        }
        let status = response.status().as_u16();
        (status, serde_json::from_slice(&response.into_body().collect().await.unwrap().to_bytes()).unwrap())
    }

    #[tokio::test]
    async fn every_rejection_becomes_a_problem_document_without_the_input() {
        assert_eq!(ask("POST", "/v1/double", "{\"number\":4}").await, (200, 8.into()));
        assert_eq!(ask("POST", "/nothing", "").await.0, 404);
        assert_eq!(ask("GET", "/v1/double", "").await.0, 405);
        assert_eq!(ask("POST", "/v1/double", "999999999999999999999999999999999").await.0, 413);
        let (status, document) = ask("POST", "/v1/double", "{\"number\":\"13812345678\"}").await;
        assert_eq!((status, &document["type"]), (400, &"urn:riskveil:problem:malformed".into()));
        assert!(!document.to_string().contains("138"), "{document}");
        let (status, document) = ask("POST", "/v1/double", "{\"number\":4294967295}").await;
        assert_eq!((status, &document["reason"]), (422, &"no_consent".into()));
    }

    #[tokio::test]
    async fn a_body_without_a_length_is_refused() {
        let request = Request::post("/v1/double").body(Full::from("{}")).unwrap();
        assert_eq!(reply(&api(), request).await.status(), StatusCode::LENGTH_REQUIRED);
    }

    #[test]
    fn words_are_distinct_and_the_raw_response_is_the_same_document() {
        let words: std::collections::BTreeSet<_> = ProblemKind::ALL.iter().map(|kind| kind.word()).collect();
        assert_eq!(words.len(), ProblemKind::ALL.len());
        let raw = String::from_utf8(Problem::new(ProblemKind::RequestTimeout).to_http()).unwrap();
        let (head, body) = raw.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 408 Request Timeout\r\ncontent-type: application/problem+json"), "{head}");
        assert!(head.contains(&format!("content-length: {}", body.len())));
        let document: serde_json::Value = serde_json::from_str(body).unwrap();
        assert_eq!(
            (&document["type"], &document["status"]),
            (&"urn:riskveil:problem:request-timeout".into(), &408.into())
        );
    }
}
