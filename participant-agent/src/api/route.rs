//! One line of a route table, and the warp filter it becomes.
//!
//! - **Place**: `api/mod.rs` holds the tables; [`serve`] makes filters of them, so nothing is served that is not in a table
//! - **Shapes**: path, method, caller, requests under way, query and headers, content type, size, body, handler: in this order
//! - **Errors**: 404 no such path, 405 with `Allow`, 401, 403, 429, 400 query, path or header, 415, 411, 413; then the handler's own;
//!   503 `timed_out` when it takes longer than its line allows, 500 when it panics
//! - **Security**: a handler runs as its own task: a caller that goes away does not leave work half done, a panic stays one answer

use std::collections::BTreeMap;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use riskveil_exchange::ids::MemberId;
use serde::Serialize;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use warp::filters::BoxedFilter;
use warp::http::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use warp::http::{Method, StatusCode};
use warp::reply::Response;
use warp::{Filter, Rejection};

use super::auth::{Role, Tokens};
use super::problem::{self, Problem, ProblemKind, WrongMethod};
use super::query::Query;
use crate::context::Context;
use crate::peers::server::{Peer, Routes};

/// What a handler answers.
pub type Answered = Result<Response, Problem>;

/// A handler in a table; [`to`](crate::api::to) makes one of an `async fn(Arc<Context>, Call) -> Answered`.
pub type Handler = fn(Arc<Context>, Call) -> BoxFuture<'static, Answered>;

/// The greatest `offset` of a page.
const MAX_OFFSET: usize = u32::MAX as usize;
/// How long a handler may take unless its line says otherwise.
pub const REQUEST_TIME: Duration = Duration::from_secs(60);
/// Longest idempotency key, bytes.
pub const MAX_KEY_BYTES: usize = 128;

/// Who may call a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Anyone who reaches the address.
    Open,
    /// A bearer token of one of these roles.
    Token(&'static [Role]),
    /// A member's agent, known by its TLS key.
    Member,
}

/// What body a route takes.
#[derive(Clone, Copy, Debug)]
pub enum Accepts {
    /// None; one that comes is not read.
    Nothing,
    /// `application/json` of at most so many bytes.
    Json(u64),
    /// `text/csv` of at most so many bytes.
    Csv(u64),
    /// A binary message between members; the policy may bound its length.
    Message(fn(&Context) -> u64),
}

impl Accepts {
    /// The content type it must have; none where it is not looked at.
    #[must_use]
    pub const fn content_type(self) -> Option<&'static str> {
        match self {
            Self::Json(_) => Some("application/json"),
            Self::Csv(_) => Some("text/csv"),
            Self::Nothing | Self::Message(_) => None,
        }
    }
}

/// One line of a table.
#[derive(Clone, Debug)]
pub struct Route {
    /// Its method.
    pub method: Method,
    /// Its path; `{name}` stands for one segment.
    pub path: &'static str,
    /// Who may call it.
    pub access: Access,
    /// The body it takes.
    pub accepts: Accepts,
    /// The query parameters it knows; others are refused.
    pub query: &'static [&'static str],
    /// Whether it takes an `Idempotency-Key`.
    pub idempotent: bool,
    /// How long its handler may take.
    pub within: Duration,
    handler: Handler,
}

impl Route {
    /// A `GET`.
    #[must_use]
    pub const fn get(path: &'static str, access: Access, handler: Handler) -> Self {
        Self::new(Method::GET, path, access, Accepts::Nothing, handler)
    }

    /// A `POST`.
    #[must_use]
    pub const fn post(path: &'static str, access: Access, accepts: Accepts, handler: Handler) -> Self {
        Self::new(Method::POST, path, access, accepts, handler)
    }

    const fn new(method: Method, path: &'static str, access: Access, accepts: Accepts, handler: Handler) -> Self {
        Self { method, path, access, accepts, query: &[], idempotent: false, within: REQUEST_TIME, handler }
    }

    /// With these query parameters.
    #[must_use]
    pub const fn query(mut self, names: &'static [&'static str]) -> Self {
        self.query = names;
        self
    }

    /// With an `Idempotency-Key`.
    #[must_use]
    pub const fn idempotent(mut self) -> Self {
        self.idempotent = true;
        self
    }

    /// With another time for its handler.
    #[must_use]
    pub const fn within(mut self, time: Duration) -> Self {
        self.within = time;
        self
    }

    /// The values of the path's `{names}`, if this is its path.
    fn matches(&self, path: &str) -> Option<BTreeMap<&'static str, String>> {
        let (mut template, mut given) = (self.path.split('/'), path.split('/'));
        let mut values = BTreeMap::new();
        loop {
            match (template.next(), given.next()) {
                (None, None) => return Some(values),
                (Some(name), Some(value)) if name.starts_with('{') && !value.is_empty() => {
                    values.insert(name.trim_matches(['{', '}']), value.to_owned());
                }
                (Some(word), Some(same)) if word == same => {}
                _ => return None,
            }
        }
    }

    /// The caller, if it may call this.
    fn admit(&self, tokens: &Tokens, headers: &HeaderMap, peer: Option<Peer>) -> Result<Option<MemberId>, Problem> {
        match self.access {
            Access::Open => Ok(None),
            Access::Token(roles) => tokens.authorize(headers, roles).map(|_role| None),
            Access::Member => peer.map(|Peer(member)| Some(member)).ok_or(Problem::new(ProblemKind::Unauthorized)),
        }
    }

    fn key(&self, headers: &HeaderMap) -> Result<Option<String>, Problem> {
        let Some(value) = headers.get("idempotency-key").filter(|_| self.idempotent) else { return Ok(None) };
        let repeated = headers.get_all("idempotency-key").iter().nth(1).is_some();
        let visible = |text: &&str| text.bytes().all(|byte| byte.is_ascii_graphic());
        let fits = |text: &&str| (1..=MAX_KEY_BYTES).contains(&text.len()) && !repeated;
        let text = value.to_str().ok().filter(visible).filter(fits);
        let wrong = || {
            let most = MAX_KEY_BYTES;
            Problem::new(ProblemKind::Malformed)
                .detail(format!("Idempotency-Key has 1 to {most} visible ASCII characters and stands once"))
        };
        text.map(|text| Some(text.to_owned())).ok_or_else(wrong)
    }

    fn content_type(&self, headers: &HeaderMap) -> Result<(), Problem> {
        let Some(wanted) = self.accepts.content_type() else { return Ok(()) };
        let given = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let essence = given.and_then(|value| value.split(';').next()).map(str::trim);
        if essence.is_some_and(|essence| essence.eq_ignore_ascii_case(wanted)) {
            return Ok(());
        }
        Err(Problem::new(ProblemKind::UnsupportedMediaType).detail(format!("the content type here is {wanted}")))
    }
}

/// A request that its route admitted.
#[derive(Debug)]
pub struct Call {
    /// The member that asks; peer routes have one.
    pub peer: Option<MemberId>,
    /// The idempotency key, where the route takes one.
    pub key: Option<String>,
    /// The body.
    pub body: Bytes,
    /// The query string as it came.
    pub raw_query: String,
    path: BTreeMap<&'static str, String>,
    query: Query,
}

impl Call {
    /// The text of a `{name}` of the path.
    #[must_use]
    pub fn segment(&self, name: &str) -> &str {
        self.path.get(name).map_or("", String::as_str)
    }

    /// The value of a `{name}` of the path.
    ///
    /// # Errors
    /// Malformed.
    pub fn path<T: FromStr>(&self, name: &'static str) -> Result<T, Problem> {
        let wrong = |_| Problem::new(ProblemKind::Malformed).detail(format!("the address holds no valid {name}"));
        self.segment(name).parse().map_err(wrong)
    }

    /// The value of a query parameter, if it is given.
    ///
    /// # Errors
    /// Malformed.
    pub fn query<T: FromStr>(&self, name: &'static str) -> Result<Option<T>, Problem> {
        self.query.value(name)
    }

    /// `offset` and `limit` of the query string.
    ///
    /// # Errors
    /// Malformed; a limit is 1 to `most`, an offset below 2^32.
    pub fn page(&self, usual: usize, most: usize) -> Result<Page, Problem> {
        Page::new(self.query("offset")?, self.query("limit")?, usual, most)
    }
}

/// Which part of a list is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page {
    /// Entries left out at the front.
    pub offset: usize,
    /// Most entries.
    pub limit: usize,
}

impl Page {
    /// The page, with the usual limit where none is given.
    ///
    /// # Errors
    /// Malformed; a limit is 1 to `most`, an offset below 2^32.
    pub fn new(offset: Option<usize>, limit: Option<usize>, usual: usize, most: usize) -> Result<Self, Problem> {
        let page = Self { offset: offset.unwrap_or(0), limit: limit.unwrap_or(usual) };
        if (1..=most).contains(&page.limit) && page.offset <= MAX_OFFSET {
            return Ok(page);
        }
        let detail = format!("limit is 1 to {most} and offset at most {MAX_OFFSET}");
        Err(Problem::new(ProblemKind::Malformed).detail(detail))
    }

    /// The offset of the page after this one, if `matching` entries reach beyond it.
    #[must_use]
    pub fn next(self, matching: usize) -> Option<usize> {
        self.offset.checked_add(self.limit).filter(|next| *next < matching)
    }
}

/// What every route of a table shares.
#[derive(Clone)]
struct Shared {
    context: Arc<Context>,
    tokens: Arc<Tokens>,
    slots: Arc<Semaphore>,
}

/// The routes of a table, ready to serve; `under_way` requests at one time, more are refused.
#[must_use]
pub fn serve(table: &'static [Route], context: &Arc<Context>, tokens: &Arc<Tokens>, under_way: usize) -> Routes {
    let shared =
        Shared { context: context.clone(), tokens: tokens.clone(), slots: Arc::new(Semaphore::new(under_way)) };
    let nothing = warp::any().and_then(|| async { Err::<Response, _>(warp::reject::not_found()) }).boxed();
    let filters = table.iter().map(|route| filter(route, allowed(table, route.path), &shared));
    problem::routes(filters.fold(nothing, |routes, route| routes.or(route).unify().boxed()))
}

/// The methods of a path, as `Allow` says them.
fn allowed(table: &[Route], path: &str) -> HeaderValue {
    let methods: Vec<&str> =
        table.iter().filter(|route| route.path == path).map(|route| route.method.as_str()).collect();
    HeaderValue::from_str(&methods.join(", ")).unwrap_or(HeaderValue::from_static("GET"))
}

fn filter(route: &'static Route, allow: HeaderValue, shared: &Shared) -> BoxedFilter<(Response,)> {
    let path = warp::path::full().and_then(move |path: warp::path::FullPath| {
        let values = route.matches(path.as_str()).ok_or_else(warp::reject::not_found);
        async move { values }
    });
    let method = warp::method().and_then(move |method: Method| {
        let right = method == route.method;
        let wrong = WrongMethod { allow: allow.clone() };
        async move { if right { Ok(()) } else { Err(warp::reject::custom(wrong)) } }
    });
    let query = warp::query::raw().or(warp::any().map(String::new)).unify();
    let admitting = shared.clone();
    let admitted = path
        .and(method.untuple_one())
        .and(query)
        .and(warp::header::headers_cloned())
        .and(warp::ext::optional::<Peer>())
        .and_then(move |path, query: String, headers: HeaderMap, peer| {
            let admitted = admit(route, &admitting, path, query, &headers, peer).map_err(Rejection::from);
            async move { admitted }
        });
    let context = shared.context.clone();
    let answer = move |(call, slot): (Call, OwnedSemaphorePermit), body: Bytes| {
        run(route, context.clone(), Call { body, ..call }, slot)
    };
    let max = match route.accepts {
        Accepts::Nothing => return admitted.map(|call| (call, Bytes::new())).untuple_one().then(answer).boxed(),
        Accepts::Json(max) | Accepts::Csv(max) => max,
        Accepts::Message(max) => max(&shared.context),
    };
    admitted.and(warp::body::content_length_limit(max)).and(warp::body::bytes()).then(answer).boxed()
}

fn admit(
    route: &Route,
    shared: &Shared,
    path: BTreeMap<&'static str, String>,
    raw_query: String,
    headers: &HeaderMap,
    peer: Option<Peer>,
) -> Result<(Call, OwnedSemaphorePermit), Problem> {
    let peer = route.admit(&shared.tokens, headers, peer)?;
    let slot = shared.slots.clone().try_acquire_owned().map_err(|_| Problem::new(ProblemKind::TooManyRequests))?;
    let query = Query::parse(&raw_query, route.query)?;
    let key = route.key(headers)?;
    route.content_type(headers)?;
    Ok((Call { peer, key, body: Bytes::new(), raw_query, path, query }, slot))
}

async fn run(route: &'static Route, context: Arc<Context>, call: Call, slot: OwnedSemaphorePermit) -> Response {
    let handler = route.handler;
    let work = async move {
        let answered = handler(context, call).await;
        drop(slot);
        answered
    };
    super::reply(to_its_end(route.path, route.within, work).await)
}

/// Runs a handler as a task of its own: to its end or its time, whatever becomes of the caller.
async fn to_its_end(
    path: &'static str,
    within: Duration,
    work: impl Future<Output = Answered> + Send + 'static,
) -> Answered {
    match tokio::spawn(tokio::time::timeout(within, work)).await {
        Ok(Ok(answered)) => answered,
        Ok(Err(_elapsed)) => {
            tracing::warn!(path, "a request took too long");
            let most = within.as_secs();
            Err(Problem::new(ProblemKind::Unavailable).reason("timed_out").detail(format!("not done in {most} s")))
        }
        Err(failed) if failed.is_panic() => {
            tracing::error!(path, "a request handler panicked");
            Err(Problem::new(ProblemKind::Internal))
        }
        Err(_cancelled) => Err(Problem::new(ProblemKind::Unavailable).detail("the agent is stopping")),
    }
}

/// 200 with JSON.
///
/// # Errors
/// Internal, for a value that has no JSON.
pub fn shown(value: &impl Serialize) -> Answered {
    with_status(StatusCode::OK, value)
}

/// JSON with another status.
///
/// # Errors
/// As [`shown`].
pub fn with_status(status: StatusCode, value: &impl Serialize) -> Answered {
    let body = serde_json::to_vec(value).map_err(|_| Problem::new(ProblemKind::Internal))?;
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_handler_that_takes_too_long_or_panics_is_a_problem_and_one_without_a_caller_goes_on() {
        let second = Duration::from_secs(1);
        let slow = to_its_end("/slow", Duration::from_millis(10), std::future::pending()).await.unwrap_err();
        assert_eq!((slow.kind(), slow.to_string()), (ProblemKind::Unavailable, "not done in 0 s".into()));
        let panics = async { panic!("a handler of a test") };
        assert_eq!(to_its_end("/panic", second, panics).await.unwrap_err().kind(), ProblemKind::Internal);

        let (sent, received) = tokio::sync::oneshot::channel();
        let (go, told) = tokio::sync::oneshot::channel::<()>();
        let caller = tokio::spawn(to_its_end("/left", second, async move {
            told.await.ok();
            sent.send(()).ok();
            shown(&())
        }));
        tokio::task::yield_now().await;
        caller.abort();
        go.send(()).ok();
        received.await.unwrap();
    }

    #[test]
    fn a_path_is_matched_whole_and_its_values_are_taken() {
        let route = Route::get("/v1/things/{id}/parts", Access::Open, |_, _| Box::pin(async { shown(&()) }));
        assert_eq!(route.matches("/v1/things/7/parts").unwrap()["id"], "7");
        for other in
            ["/v1/things//parts", "/v1/things/7", "/v1/things/7/parts/", "/v1/things/7/8/parts", "v1/things/7/parts"]
        {
            assert!(route.matches(other).is_none(), "{other}");
        }
    }

    #[test]
    fn a_page_has_bounds_and_knows_the_next_one() {
        assert!(Page::new(None, Some(0), 10, 100).is_err());
        assert!(Page::new(None, Some(101), 10, 100).is_err());
        assert!(Page::new(Some(MAX_OFFSET + 1), None, 10, 100).is_err());
        let page = Page::new(Some(20), None, 10, 100).unwrap();
        assert_eq!((page.next(31), page.next(30)), (Some(30), None));
        assert_eq!(Page { offset: usize::MAX, limit: 1 }.next(5), None);
    }
}
