//! Calls other members' agents over pooled, pinned TLS connections.
//!
//! - **Place**: B4 out, and submissions to validators: bytes -> bytes
//! - **Invariants**: a request is sent at most once; a connection that turns out dead before anything was written is replaced
//! - **Errors**: [`PeerError`] says whether the member was reached (the member, the network)
//! - **Security**: the other side proved the TLS key the genesis names; a response is cut at its limit

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{CONTENT_TYPE, HOST};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use riskveil_exchange::ids::MemberId;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::pki_types::ServerName;

use super::directory::Directory;
use super::stream::{Counted, WireBytes};
use super::tls::{TlsIdentity, TlsSetupFailed};

/// How long a connection may lie idle; less than the servers' 75 s, so that a request does not meet its end.
const MAX_IDLE: Duration = Duration::from_secs(50);
/// Connections to one member at one time; further requests wait.
const CONNECTIONS_PER_MEMBER: usize = 64;
/// Longest response, bytes.
const MAX_RESPONSE_BYTES: usize = 16 << 20;
/// RFC 7250 names nobody: the key is the name.
const SERVER_NAME: &str = "member.riskveil.invalid";

/// Why a member's answer is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PeerError {
    /// No such member in the genesis.
    #[error("is not a member")]
    Unknown,
    /// No connection: refused, no route, or no such host.
    #[error("could not be reached")]
    Unreachable,
    /// The other side does not hold the member's TLS key, or refused ours.
    #[error("refused the handshake or has another key")]
    Handshake,
    /// The connection ended after the request was written; it may have been carried out.
    #[error("closed the connection without an answer")]
    Closed,
    /// No answer in time; the request may have been carried out.
    #[error("did not answer in time")]
    Timeout,
    /// An HTTP status other than 200.
    #[error("answered with status {0}")]
    Status(u16),
    /// A response longer than 16 MiB.
    #[error("answered with more bytes than allowed")]
    TooLarge,
}

/// What went to and came from one member so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Traffic {
    /// Requests answered.
    pub answered: u64,
    /// Bytes of request bodies answered.
    pub body_bytes_out: u64,
    /// Bytes of response bodies.
    pub body_bytes_back: u64,
    /// All bytes written, TLS and HTTP included.
    pub wire_bytes_out: u64,
    /// All bytes read, TLS and HTTP included.
    pub wire_bytes_back: u64,
}

/// A client of every member's agent.
pub struct PeerClient {
    peers: BTreeMap<MemberId, Peer>,
}

impl fmt::Debug for PeerClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PeerClient").field("peers", &self.peers.len()).finish_non_exhaustive()
    }
}

type Sender = SendRequest<Full<Bytes>>;

/// One member: how to connect to it, and the connections that wait for a request.
struct Peer {
    address: String,
    tls: TlsConnector,
    slots: Semaphore,
    idle: Mutex<Vec<(Sender, Instant)>>,
    wire: Arc<WireBytes>,
    answered: AtomicU64,
    body_bytes_out: AtomicU64,
    body_bytes_back: AtomicU64,
}

impl PeerClient {
    /// A client of the directory's members that shows itself with `identity`.
    ///
    /// # Errors
    /// [`TlsSetupFailed`].
    pub fn new(identity: &TlsIdentity, directory: &Directory) -> Result<Self, TlsSetupFailed> {
        let peers = directory.members().map(|member| {
            let peer = Peer::new(member.peer_address.clone(), identity.client_config(member.tls_key)?);
            Ok((member.id.clone(), peer))
        });
        Ok(Self { peers: peers.collect::<Result<_, TlsSetupFailed>>()? })
    }

    /// Posts `body` to `path` at a member and returns the body of its 200 response.
    ///
    /// # Errors
    /// [`PeerError`], at the latest after `timeout`.
    pub async fn post(
        &self,
        member: &MemberId,
        path: &str,
        content_type: &str,
        body: impl Into<Bytes>,
        timeout: Duration,
    ) -> Result<Bytes, PeerError> {
        let peer = self.peers.get(member).ok_or(PeerError::Unknown)?;
        let request = Request::post(path)
            .header(HOST, SERVER_NAME)
            .header(CONTENT_TYPE, content_type)
            .body(Full::new(body.into()))
            .map_err(|_| PeerError::Unreachable)?;
        tokio::time::timeout(timeout, peer.exchange(request)).await.map_err(|_| PeerError::Timeout)?
    }

    /// Gets `path` of a member and returns the body of its 200 response.
    ///
    /// # Errors
    /// [`PeerError`], at the latest after `timeout`.
    pub async fn get(&self, member: &MemberId, path: &str, timeout: Duration) -> Result<Bytes, PeerError> {
        let peer = self.peers.get(member).ok_or(PeerError::Unknown)?;
        let request = Request::get(path).header(HOST, SERVER_NAME).body(Full::default());
        let request = request.map_err(|_| PeerError::Unreachable)?;
        tokio::time::timeout(timeout, peer.exchange(request)).await.map_err(|_| PeerError::Timeout)?
    }

    /// Connects to a member ahead of the first request.
    ///
    /// # Errors
    /// [`PeerError`], at the latest after `timeout`.
    pub async fn warm(&self, member: &MemberId, timeout: Duration) -> Result<(), PeerError> {
        let peer = self.peers.get(member).ok_or(PeerError::Unknown)?;
        let sender = tokio::time::timeout(timeout, peer.connect()).await.map_err(|_| PeerError::Timeout)??;
        peer.keep(sender);
        Ok(())
    }

    /// What went to and came from a member so far.
    #[must_use]
    pub fn traffic(&self, member: &MemberId) -> Traffic {
        self.peers.get(member).map(Peer::traffic).unwrap_or_default()
    }
}

impl Peer {
    fn new(address: String, tls: Arc<ClientConfig>) -> Self {
        Self {
            address,
            tls: TlsConnector::from(tls),
            slots: Semaphore::new(CONNECTIONS_PER_MEMBER),
            idle: Mutex::default(),
            wire: Arc::default(),
            answered: AtomicU64::new(0),
            body_bytes_out: AtomicU64::new(0),
            body_bytes_back: AtomicU64::new(0),
        }
    }

    async fn exchange(&self, request: Request<Full<Bytes>>) -> Result<Bytes, PeerError> {
        let _slot = self.slots.acquire().await.map_err(|_| PeerError::Unreachable)?;
        let length = hyper::body::Body::size_hint(request.body()).exact().unwrap_or(0);
        let (sender, response) = self.send(request).await?;
        let status = response.status();
        let body = Limited::new(response.into_body(), MAX_RESPONSE_BYTES)
            .collect()
            .await
            .map_err(|error| if error.is::<LengthLimitError>() { PeerError::TooLarge } else { PeerError::Closed })?;
        let body = body.to_bytes();
        self.keep(sender);
        if status != hyper::StatusCode::OK {
            return Err(PeerError::Status(status.as_u16()));
        }
        self.answered.fetch_add(1, Ordering::Relaxed);
        self.body_bytes_out.fetch_add(length, Ordering::Relaxed);
        self.body_bytes_back.fetch_add(body.len() as u64, Ordering::Relaxed);
        Ok(body)
    }

    /// Writes the request on an idle connection or a new one.
    async fn send(&self, mut request: Request<Full<Bytes>>) -> Result<(Sender, Response<Incoming>), PeerError> {
        loop {
            let (mut sender, fresh) = match self.take_idle() {
                Some(sender) => (sender, false),
                None => (self.connect().await?, true),
            };
            if sender.ready().await.is_err() {
                if fresh {
                    // TLS 1.3: the server reads our key after we have finished, and hangs up if it is no member's.
                    return Err(PeerError::Handshake);
                }
                continue;
            }
            match sender.try_send_request(request).await {
                Ok(response) => return Ok((sender, response)),
                Err(mut error) => match error.take_message() {
                    Some(unsent) if !fresh => request = unsent,
                    _ if fresh => return Err(refusal(error.error())),
                    _ => return Err(PeerError::Closed),
                },
            }
        }
    }

    fn take_idle(&self) -> Option<Sender> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some((sender, since)) = idle.pop() {
            if !sender.is_closed() && since.elapsed() < MAX_IDLE {
                return Some(sender);
            }
        }
        None
    }

    fn keep(&self, sender: Sender) {
        if !sender.is_closed() {
            let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
            idle.retain(|(sender, since)| !sender.is_closed() && since.elapsed() < MAX_IDLE);
            idle.push((sender, Instant::now()));
        }
    }

    async fn connect(&self) -> Result<Sender, PeerError> {
        let stream = TcpStream::connect(&self.address).await.map_err(|_| PeerError::Unreachable)?;
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "TCP_NODELAY is not available");
        }
        let name = ServerName::try_from(SERVER_NAME).map_err(|_| PeerError::Unreachable)?;
        let stream = Counted::new(stream, self.wire.clone());
        let stream = self.tls.connect(name, stream).await.map_err(|_| PeerError::Handshake)?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(|_| PeerError::Closed)?;
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection to a member ended early");
            }
        });
        Ok(sender)
    }

    fn traffic(&self) -> Traffic {
        Traffic {
            answered: self.answered.load(Ordering::Relaxed),
            body_bytes_out: self.body_bytes_out.load(Ordering::Relaxed),
            body_bytes_back: self.body_bytes_back.load(Ordering::Relaxed),
            wire_bytes_out: self.wire.out.load(Ordering::Relaxed),
            wire_bytes_back: self.wire.back.load(Ordering::Relaxed),
        }
    }
}

/// A new connection that ended without an answer: refused by TLS, or closed later.
fn refusal(error: &hyper::Error) -> PeerError {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        let io = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        if io.is_some_and(|inner| inner.is::<tokio_rustls::rustls::Error>()) {
            return PeerError::Handshake;
        }
        cause = error.source();
    }
    PeerError::Closed
}
