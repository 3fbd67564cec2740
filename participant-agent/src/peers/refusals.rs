//! What the HTTP library refuses by itself, as problem documents.
//!
//! - **Place**: `server.rs` wraps every connection; routes never see a head that is no HTTP or is too large
//! - **Invariants**: a refusal of ours has a body, so a client error without one is the library's

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::api::problem::{Problem, ProblemKind};

/// A stream on which a bare client error becomes a problem document.
#[derive(Debug)]
pub(super) struct Refusals<S> {
    stream: S,
    document: Vec<u8>,
    written: usize,
}

impl<S> Refusals<S> {
    pub(super) fn new(stream: S) -> Self {
        Self { stream, document: Vec::new(), written: 0 }
    }
}

impl<S: AsyncWrite + Unpin> Refusals<S> {
    /// Ready when nothing of a document waits.
    fn poll_document(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(rest) = self.document.get(self.written..).filter(|rest| !rest.is_empty()) {
            match ready!(Pin::new(&mut self.stream).poll_write(cx, rest))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                more => self.written += more,
            }
        }
        Poll::Ready(Ok(()))
    }
}

/// The document for these bytes, if they are a whole client error without a body.
fn document(head: &[u8]) -> Option<Vec<u8>> {
    let line = head.strip_prefix(b"HTTP/1.").and_then(|rest| rest.get(1..))?;
    let bare = line.starts_with(b" 4") && head.ends_with(b"\r\n\r\n");
    let text = std::str::from_utf8(head).ok().filter(|_| bare)?;
    let kind = match text.split(' ').nth(1)? {
        "400" => ProblemKind::Malformed,
        "414" | "431" => ProblemKind::HeadTooLarge,
        _ => return None,
    };
    let empty = text.lines().any(|line| line.eq_ignore_ascii_case("content-length: 0"));
    empty.then(|| Problem::new(kind).detail("the head of the request").to_http())
}

impl<S: AsyncRead + Unpin> AsyncRead for Refusals<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, into)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Refusals<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.poll_document(cx))?;
        if let Some(document) = document(bytes) {
            self.document = document;
            self.written = 0;
            return Poll::Ready(Ok(bytes.len()));
        }
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_document(cx))?;
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_document(cx))?;
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_bare_client_error_is_replaced() {
        let bare = b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\n\r\n";
        let text = String::from_utf8(document(bare).unwrap()).unwrap();
        assert!(text.starts_with("HTTP/1.1 431 ") && text.contains("urn:riskveil:problem:head-too-large"), "{text}");
        let long = document(b"HTTP/1.1 414 URI Too Long\r\nconnection: close\r\ncontent-length: 0\r\n\r\n").unwrap();
        assert!(long.starts_with(b"HTTP/1.1 431 "));
        for other in [
            &b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n"[..],
            b"HTTP/1.1 400 Bad Request\r\ncontent-length: 12\r\n\r\n",
            b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
            b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\nbody",
            b"anything",
        ] {
            assert_eq!(document(other), None);
        }
    }
}
