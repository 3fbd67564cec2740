//! Accepts connections and serves routes on them: members' agents over TLS, this machine's people and programs without.
//!
//! - **Place**: B4 in: TLS connection -> [`Peer`] -> warp routes (`api/peer.rs`); and the local API (`api/mod.rs`)
//! - **Invariants**: a peer route always knows which member asks ([`peer`]); connections are bounded; nobody slow keeps one
//! - **Security**: handshake, request head, body and response each have a deadline. What is logged: member names and counts

use std::convert::Infallible;
use std::future::Future;
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
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use warp::filters::BoxedFilter;
use warp::{Filter, Rejection, Reply};

use super::directory::Directory;
use super::stream::{BodyVerdict, BoundedBody, GivenUp, WriteDeadline};
use super::tls;
use crate::api::problem::{Problem, ProblemKind};

/// Routes ready to serve; made by [`crate::api::problem::routes`].
pub type Routes = BoxedFilter<(warp::reply::Response,)>;

/// What a server allows its clients.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections at one time; more wait in the system's queue.
    pub connections: usize,
    /// Time for a TLS handshake.
    pub handshake: Duration,
    /// Time for a request's head, counted from the end of the request before: how long an idle connection is kept.
    pub head: Duration,
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
        handshake: Duration::from_secs(5),
        head: Duration::from_secs(75),
        body: Duration::from_secs(30),
        write: Duration::from_secs(30),
        body_bytes: 72 << 20,
    };
    /// For the local API.
    pub const LOCAL: Self = Self {
        connections: 128,
        handshake: Duration::from_secs(5),
        head: Duration::from_secs(10),
        body: Duration::from_secs(30),
        write: Duration::from_secs(30),
        body_bytes: 72 << 20,
    };
}

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
    let mut connections = JoinSet::new();
    loop {
        let accepted = async {
            let slot = slots.clone().acquire_owned().await;
            (slot, listener.accept().await)
        };
        tokio::select! {
            () = stopped(&mut stop) => break,
            Some(_) = connections.join_next() => {}
            (slot, accepted) = accepted => match accepted {
                Ok((stream, _)) => {
                    let connection = connect(no_delay(stream));
                    connections.spawn(async move {
                        let _slot = slot;
                        connection.await;
                    });
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
    let service = service_fn(move |request| answer(request, peer.clone(), routes.clone(), limits));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head)
        .serve_connection(TokioIo::new(WriteDeadline::new(stream, limits.write)), service);
    tokio::pin!(connection);
    let mut stopping = false;
    loop {
        tokio::select! {
            ended = connection.as_mut() => {
                if let Err(error) = ended {
                    tracing::debug!(%error, "a connection ended early");
                }
                return;
            }
            () = stopped(&mut stop), if !stopping => {
                stopping = true;
                connection.as_mut().graceful_shutdown();
            }
        }
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
