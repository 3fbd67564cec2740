//! Talks to the running agent: its local HTTP API, with the token from its directory.
//!
//! - **Errors**: [`CliError`] with the sentence of the problem document and the exit code that fits it
//! - **Security**: identifiers travel in bodies, never in paths, arguments or error texts

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::TcpStream;
use zeroize::Zeroizing;

use super::exit::{CliError, Exit};
use crate::api::auth::{self, TOKEN_FILE};
use crate::api::problem::ProblemKind;
use crate::config;

pub use crate::api::auth::Role;

/// Longest answer, bytes: the answers of a large screening.
const MAX_ANSWER_BYTES: usize = 1 << 30;

/// The local API of the agent of one directory, called in one role.
#[derive(Debug)]
pub struct LocalApi {
    dir: PathBuf,
    address: SocketAddr,
    authorization: HeaderValue,
    timeout: Duration,
}

#[derive(serde::Deserialize)]
struct ProblemDocument {
    r#type: String,
    title: String,
    detail: Option<String>,
    reason: Option<String>,
}

impl LocalApi {
    /// The API that `dir/agent.toml` names, with the token of `role`. Requests are given 5 minutes.
    ///
    /// # Errors
    /// [`CliError`] when the configuration or the token file cannot be used.
    pub fn open(dir: &Path, role: Role) -> Result<Self, CliError> {
        let address = config::load(dir)?.api_listen;
        let token = auth::token_of(&dir.join(TOKEN_FILE), role)?;
        let value = Zeroizing::new(format!("Bearer {}", *token));
        let mut authorization =
            HeaderValue::from_str(&value).map_err(|_| CliError::new(Exit::NoAgent, "the token file is damaged"))?;
        authorization.set_sensitive(true);
        Ok(Self { dir: dir.to_owned(), address, authorization, timeout: Duration::from_secs(300) })
    }

    /// The same with another time limit for each request.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Where it is, for people.
    #[must_use]
    pub fn base_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// GETs JSON.
    ///
    /// # Errors
    /// [`CliError`].
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, CliError> {
        json(&self.request(Method::GET, path, "", Bytes::new()).await?)
    }

    /// POSTs JSON, gets JSON.
    ///
    /// # Errors
    /// [`CliError`].
    pub async fn post<B: Serialize + Sync, T: DeserializeOwned>(&self, path: &str, body: &B) -> Result<T, CliError> {
        let body = serde_json::to_vec(body).map_err(|error| CliError::new(Exit::Usage, error))?;
        json(&self.request(Method::POST, path, "application/json", body.into()).await?)
    }

    /// POSTs bytes of a content type, gets JSON.
    ///
    /// # Errors
    /// [`CliError`].
    pub async fn post_bytes<T: DeserializeOwned>(
        &self,
        path: &str,
        content_type: &'static str,
        body: impl Into<Bytes> + Send,
    ) -> Result<T, CliError> {
        json(&self.request(Method::POST, path, content_type, body.into()).await?)
    }

    /// GETs bytes as they are.
    ///
    /// # Errors
    /// [`CliError`].
    pub async fn get_bytes(&self, path: &str) -> Result<Bytes, CliError> {
        self.request(Method::GET, path, "", Bytes::new()).await
    }

    async fn request(
        &self,
        method: Method,
        path: &str,
        content_type: &'static str,
        body: Bytes,
    ) -> Result<Bytes, CliError> {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, self.address.to_string())
            .header(AUTHORIZATION, self.authorization.clone());
        if !content_type.is_empty() {
            request = request.header(CONTENT_TYPE, content_type);
        }
        let request = request.body(Full::new(body)).map_err(|error| CliError::new(Exit::Usage, error))?;
        let exchange = self.exchange(request);
        let (status, body) = tokio::time::timeout(self.timeout, exchange).await.map_err(|_| {
            let waited = self.timeout.as_secs();
            CliError::new(Exit::NoAgent, format_args!("the agent at {} did not answer within {waited} s", self.address))
        })??;
        if status.is_success() { Ok(body) } else { Err(refused(status, &body)) }
    }

    async fn exchange(&self, request: Request<Full<Bytes>>) -> Result<(StatusCode, Bytes), CliError> {
        let no_agent = || {
            let (address, dir) = (self.address, self.dir.display());
            let sentence = format!("no agent answers at {address}; start it with `participant-agent run --dir {dir}`");
            CliError::new(Exit::NoAgent, sentence)
        };
        let stream = TcpStream::connect(self.address).await.map_err(|_| no_agent())?;
        // Only latency is at stake.
        let _ = stream.set_nodelay(true);
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(|_| no_agent())?;
        let connection = tokio::spawn(connection);
        let response = sender.send_request(request).await.map_err(|_| {
            CliError::new(
                Exit::NoAgent,
                format_args!("the agent at {} closed the connection; see its log", self.address),
            )
        })?;
        let status = response.status();
        let body = Limited::new(response.into_body(), MAX_ANSWER_BYTES).collect().await;
        connection.abort();
        let body = body.map_err(|_| CliError::new(Exit::NoAgent, "the agent's answer ended early"))?;
        Ok((status, body.to_bytes()))
    }
}

fn json<T: DeserializeOwned>(body: &[u8]) -> Result<T, CliError> {
    serde_json::from_slice(body)
        .map_err(|_| CliError::new(Exit::NoAgent, "the agent answered something else; is it of the same version?"))
}

/// The problem document as one sentence, with the exit code that fits the status.
fn refused(status: StatusCode, body: &[u8]) -> CliError {
    let document = serde_json::from_slice::<ProblemDocument>(body);
    let invalid = document.as_ref().is_ok_and(|problem| problem.r#type.ends_with(ProblemKind::Invalid.word()));
    let exit = match status {
        _ if invalid => Exit::Usage,
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Exit::NoAgent,
        StatusCode::CONFLICT | StatusCode::UNPROCESSABLE_ENTITY | StatusCode::TOO_MANY_REQUESTS => Exit::Refused,
        status if status.is_client_error() => Exit::Usage,
        StatusCode::SERVICE_UNAVAILABLE => Exit::NoAgent,
        _ => Exit::Io,
    };
    let sentence = match document {
        Ok(problem) => {
            let detail = problem.detail.map(|detail| format!(": {detail}")).unwrap_or_default();
            let reason = problem.reason.map(|reason| format!(" ({reason})")).unwrap_or_default();
            format!("{}{detail}{reason}", problem.title)
        }
        Err(_) => format!("the agent answered with status {status}"),
    };
    CliError::new(exit, sentence)
}
