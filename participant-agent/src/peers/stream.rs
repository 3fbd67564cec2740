//! Streams and bodies that count, and that give up on a slow or greedy other side.
//!
//! - **Place**: `server.rs` wraps every connection and request body, `client.rs` every connection

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

/// A stream whose writes fail once the other side has taken nothing for a while.
#[derive(Debug)]
pub struct WriteDeadline<S> {
    stream: S,
    patience: Duration,
    deadline: Pin<Box<Sleep>>,
    stalled: bool,
}

impl<S> WriteDeadline<S> {
    /// A stream that waits at most `patience` for the other side to take bytes.
    pub fn new(stream: S, patience: Duration) -> Self {
        Self { stream, patience, deadline: Box::pin(sleep(patience)), stalled: false }
    }

    fn judge<T>(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.stalled = false;
            return written;
        }
        if !self.stalled {
            self.stalled = true;
            let until = Instant::now() + self.patience;
            self.deadline.as_mut().reset(until);
        }
        ready!(self.deadline.as_mut().poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for WriteDeadline<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, into)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for WriteDeadline<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.judge(cx, written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        self.judge(cx, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut = Pin::new(&mut self.stream).poll_shutdown(cx);
        self.judge(cx, shut)
    }
}

/// Bytes that went over a wire, TLS included.
#[derive(Debug, Default)]
pub struct WireBytes {
    /// Written.
    pub out: AtomicU64,
    /// Read.
    pub back: AtomicU64,
}

/// A stream that adds what passes to a [`WireBytes`].
#[derive(Debug)]
pub struct Counted<S> {
    stream: S,
    bytes: Arc<WireBytes>,
}

impl<S> Counted<S> {
    /// A stream that counts into `bytes`.
    pub fn new(stream: S, bytes: Arc<WireBytes>) -> Self {
        Self { stream, bytes }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Counted<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = into.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, into))?;
        self.bytes.back.fetch_add((into.filled().len() - before) as u64, Ordering::Relaxed);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Counted<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.stream).poll_write(cx, bytes))?;
        self.bytes.out.fetch_add(written as u64, Ordering::Relaxed);
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// Why a request body was given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GivenUp {
    /// It took longer than allowed.
    TooSlow,
    /// It has more bytes than allowed.
    TooLarge,
}

/// Tells the service, after the fact, why a body was given up.
#[derive(Clone, Debug, Default)]
pub struct BodyVerdict(Arc<AtomicU8>);

impl BodyVerdict {
    /// Why the body was given up, if it was.
    #[must_use]
    pub fn given_up(&self) -> Option<GivenUp> {
        match self.0.load(Ordering::SeqCst) {
            1 => Some(GivenUp::TooSlow),
            2 => Some(GivenUp::TooLarge),
            _ => None,
        }
    }

    fn set(&self, why: GivenUp) {
        self.0.store(if why == GivenUp::TooSlow { 1 } else { 2 }, Ordering::SeqCst);
    }
}

/// A request body with a deadline from its first read and a limit on its length.
#[derive(Debug)]
pub struct BoundedBody {
    body: Incoming,
    left_bytes: u64,
    patience: Duration,
    deadline: Option<Pin<Box<Sleep>>>,
    verdict: BodyVerdict,
}

impl BoundedBody {
    /// A body that must arrive within `patience` and have at most `max_bytes`.
    pub fn new(body: Incoming, max_bytes: u64, patience: Duration, verdict: BodyVerdict) -> Self {
        Self { body, left_bytes: max_bytes, patience, deadline: None, verdict }
    }

    fn give_up(&self, why: GivenUp) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        self.verdict.set(why);
        let kind = if why == GivenUp::TooSlow { io::ErrorKind::TimedOut } else { io::ErrorKind::FileTooLarge };
        Poll::Ready(Some(Err(kind.into())))
    }
}

impl Body for BoundedBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let frame = match Pin::new(&mut self.body).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => frame,
            Poll::Ready(Some(Err(error))) => return Poll::Ready(Some(Err(io::Error::other(error)))),
            Poll::Ready(None) => return Poll::Ready(None),
            Poll::Pending => {
                let patience = self.patience;
                let deadline = self.deadline.get_or_insert_with(|| Box::pin(sleep(patience)));
                ready!(deadline.as_mut().poll(cx));
                return self.give_up(GivenUp::TooSlow);
            }
        };
        let length = frame.data_ref().map_or(0, |data| data.len() as u64);
        match self.left_bytes.checked_sub(length) {
            Some(left) => self.left_bytes = left,
            None => return self.give_up(GivenUp::TooLarge),
        }
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
