//! Accepts connections and serves routes on them: members' agents over TLS, this machine's people and programs without.
//!
//! - **Place**: B4 in: TLS connection -> [`Peer`] -> warp routes (`api/peer.rs`); and the local API (`api/mod.rs`)
//! - **Invariants**: a peer route always knows which member asks ([`peer`]); connections are bounded; nobody slow keeps one
//! - **Security**: handshake, request head, body and response each have a deadline. What is logged: member names and counts

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::header::{CONNECTION, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use riskveil_exchange::ids::MemberId;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use warp::filters::BoxedFilter;
use warp::{Filter, Rejection, Reply};

use super::directory::Directory;
use super::refusals::Refusals;
use super::stream::{BodyVerdict, BoundedBody, GivenUp, WriteDeadline};
use super::tls;
use crate::api::problem::{Problem, ProblemKind};

/// Routes ready to serve; made by [`crate::api::problem::routes`].
pub type Routes = BoxedFilter<(warp::reply::Response,)>;

/// What a server allows its clients.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections at one time.
    pub connections: usize,
    /// Connections above that which are told so at one time; more wait in the system's queue.
    pub refusals: usize,
    /// Time for a TLS handshake.
    pub handshake: Duration,
    /// Time for a request's head, counted from the end of the request before: how long an idle connection is kept.
    pub head: Duration,
    /// Longest head of a request, bytes.
    pub head_bytes: usize,
    /// Time for a request's body.
    pub body: Duration,
    /// Time in which a client must take some bytes of a response.
    pub write: Duration,
    /// Longest body of any route, bytes; routes have smaller limits of their own.
    pub body_bytes: u64,
}

impl Limits {
    /// For members' agents, which keep connections open.
    pub const PEERS: Self = Self {
        connections: 1024,
        refusals: 0,
        handshake: Duration::from_secs(5),
        head: Duration::from_secs(75),
        head_bytes: 64 << 10,
        body: Duration::from_secs(30),
        write: Duration::from_secs(30),
        body_bytes: 72 << 20,
    };
    /// For the local API.
    pub const LOCAL: Self = Self {
        connections: 128,
        refusals: 16,
        handshake: Duration::from_secs(5),
        head: Duration::from_secs(10),
        head_bytes: 64 << 10,
        body: Duration::from_secs(30),
        write: Duration::from_secs(30),
        body_bytes: 72 << 20,
    };
}

/// What a connection that is not served gets to say its head in.
const REFUSAL_TIME: Duration = Duration::from_secs(2);
/// How long what a caller still sends is read after its last answer, so that the answer reaches it.
const LINGER: Duration = Duration::from_secs(3);

/// The member at the other end of a peer connection, an extension of its requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer(pub MemberId);

/// The member that asks; for peer routes.
pub fn peer() -> impl Filter<Extract = (MemberId,), Error = Rejection> + Clone {
    warp::ext::get::<Peer>().map(|Peer(member)| member)
}

/// Serves members' agents until `stop` turns true (or its sender is gone), then lets running requests end.
pub async fn serve_peers(
    listener: TcpListener,
    tls: Arc<ServerConfig>,
    directory: Arc<Directory>,
    routes: Routes,
    limits: Limits,
    stop: watch::Receiver<bool>,
) {
    let acceptor = TlsAcceptor::from(tls);
    let stopping = stop.clone();
    let connect = move |stream: TcpStream| {
        let (acceptor, directory, routes, stop) =
            (acceptor.clone(), directory.clone(), routes.clone(), stopping.clone());
        async move {
            let stream = match tokio::time::timeout(limits.handshake, acceptor.accept(stream)).await {
                Ok(Ok(stream)) => stream,
                Ok(Err(error)) => return tracing::warn!(%error, "a peer's handshake was refused"),
                Err(_) => return tracing::warn!("a peer's handshake took too long"),
            };
            let Some(member) = tls::peer_of(stream.get_ref().1, &directory) else {
                return tracing::warn!("a peer's key is no member's");
            };
            serve_connection(stream, Some(Peer(member)), routes, limits, stop).await;
        }
    };
    accept(listener, limits, connect, stop).await;
}

/// Serves the local API until `stop` turns true (or its sender is gone), then lets running requests end.
pub async fn serve_local(listener: TcpListener, routes: Routes, limits: Limits, stop: watch::Receiver<bool>) {
    let stopping = stop.clone();
    let connect = move |stream| serve_connection(stream, None, routes.clone(), limits, stopping.clone());
    accept(listener, limits, connect, stop).await;
}

async fn accept<F>(
    listener: TcpListener,
    limits: Limits,
    connect: impl Fn(TcpStream) -> F,
    mut stop: watch::Receiver<bool>,
) where
    F: Future<Output = ()> + Send + 'static,
{
    let slots = Arc::new(Semaphore::new(limits.connections));
    let refusals = Arc::new(Semaphore::new(limits.refusals));
    let mut connections = JoinSet::new();
    loop {
        let accepted = async {
            let slot = tokio::select! {
                biased;
                slot = slots.clone().acquire_owned() => (slot, true),
                refusal = refusals.clone().acquire_owned() => (refusal, false),
            };
            (slot, listener.accept().await)
        };
        tokio::select! {
            () = stopped(&mut stop) => break,
            Some(_) = connections.join_next() => {}
            ((slot, serve), accepted) = accepted => match accepted {
                Ok((stream, _)) => {
                    // one may have become free while this connection was waited for
                    let freed = if serve { None } else { slots.clone().try_acquire_owned().ok() };
                    if serve || freed.is_some() {
                        let connection = connect(no_delay(stream));
                        connections.spawn(async move {
                            let _slots = (slot, freed);
                            connection.await;
                        });
                    } else {
                        connections.spawn(async move {
                            let _slot = slot;
                            refuse(stream).await;
                        });
                    }
                }
                Err(error) => {
                    // Out of file descriptors, most likely: wait until some are free.
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            },
        }
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

/// Returns when `stop` is true or its sender is gone.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    // An error is a sender that is gone.
    let _ = stop.wait_for(|stop| *stop).await;
}

/// Tells a connection that there are too many.
async fn refuse(mut stream: TcpStream) {
    let told = async {
        let (mut head, mut chunk) = (Vec::new(), [0; 1024]);
        while !head.windows(4).any(|end| end == b"\r\n\r\n") && head.len() < Limits::LOCAL.head_bytes {
            match stream.read(&mut chunk).await? {
                0 => break,
                read => head.extend_from_slice(&chunk[..read]),
            }
        }
        let too_many = Problem::new(ProblemKind::Unavailable).reason("connections").detail("too many connections");
        stream.write_all(&too_many.to_http()).await?;
        hang_up(stream).await
    };
    match tokio::time::timeout(REFUSAL_TIME, told).await {
        Ok(Ok(())) => tracing::warn!("a connection was refused: there are too many"),
        _ => tracing::warn!("a connection was refused and did not wait for it: there are too many"),
    }
}

/// Ends a connection after its last answer. What still comes is read and dropped for a while: closed with unread bytes, the
/// system would take the answer away from the caller.
async fn hang_up<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S) -> std::io::Result<()> {
    stream.shutdown().await?;
    let drained = async {
        let mut rest = vec![0; 16 << 10];
        while stream.read(&mut rest).await? > 0 {}
        Ok(())
    };
    tokio::time::timeout(LINGER, drained).await.unwrap_or(Ok(()))
}

/// Answers are small and awaited: they must not wait for more bytes.
fn no_delay(stream: TcpStream) -> TcpStream {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "TCP_NODELAY is not available");
    }
    stream
}

async fn serve_connection<S>(
    stream: S,
    peer: Option<Peer>,
    routes: Routes,
    limits: Limits,
    mut stop: watch::Receiver<bool>,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let routes = TowerToHyperService::new(warp::service(routes));
    let service = service_fn(move |request| Box::pin(answer(request, peer.clone(), routes.clone(), limits)));
    let mut connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head)
        .max_header_size(limits.head_bytes)
        .max_buf_size(limits.head_bytes)
        .serve_connection(TokioIo::new(Refusals::new(WriteDeadline::new(stream, limits.write))), service);
    let mut stopping = false;
    let ended = loop {
        tokio::select! {
            ended = poll_fn(|cx| connection.poll_without_shutdown(cx)) => break ended,
            () = stopped(&mut stop), if !stopping => {
                stopping = true;
                std::pin::Pin::new(&mut connection).graceful_shutdown();
            }
        }
    };
    let parts = connection.into_parts();
    let mut stream = parts.io.into_inner();
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended early");
        // an idle connection ends without a word, a head that was begun and not ended is answered
        if error.is_timeout() && !parts.read_buf.is_empty() {
            let too_slow = Problem::new(ProblemKind::RequestTimeout).to_http();
            if let Err(error) = stream.write_all(&too_slow).await {
                tracing::debug!(%error, "a slow caller is gone");
            }
        }
    }
    // whoever stops does not wait for callers to hang up
    let ended = if stopping { stream.shutdown().await } else { hang_up(stream).await };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection was not closed by both sides");
    }
}

async fn answer<S>(
    mut request: Request<Incoming>,
    peer: Option<Peer>,
    routes: S,
    limits: Limits,
) -> Result<warp::reply::Response, Infallible>
where
    S: Service<Request<BoundedBody>, Response = warp::reply::Response, Error = Infallible>,
{
    if let Some(peer) = peer {
        request.extensions_mut().insert(peer);
    }
    let verdict = BodyVerdict::default();
    let bounded = |body| BoundedBody::new(body, limits.body_bytes, limits.body, verdict.clone());
    let response = routes.call(request.map(bounded)).await?;
    Ok(match verdict.given_up() {
        None => response,
        Some(GivenUp::TooSlow) => close(Problem::new(ProblemKind::RequestTimeout).into_response()),
        Some(GivenUp::TooLarge) => close(Problem::new(ProblemKind::TooLarge).into_response()),
    })
}

fn close<B>(mut response: Response<B>) -> Response<B> {
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    response
}
