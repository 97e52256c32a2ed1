//! The stream to a client, as the HTTP library sees it: a client that is too slow to receive a response is
//! cut off, and the library's own refusals become problem documents.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

use crate::api::refused_head;

/// A connection to a client.
pub(super) struct ClientStream<S> {
    stream: S,
    timeout: ResponseTimeout,
    /// A problem document to write in place of the library's own response, and how much of it is written.
    problem: Vec<u8>,
    written: usize,
}

impl<S: AsyncWrite + Unpin> ClientStream<S> {
    /// Fails with [`io::ErrorKind::TimedOut`] when a response takes longer than `response_time` to be
    /// received.
    pub(super) fn new(stream: S, response_time: Duration) -> Self {
        let timeout = ResponseTimeout { limit: response_time, running: None };
        Self { stream, timeout, problem: Vec::new(), written: 0 }
    }

    fn poll_write_stream(
        &mut self,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.timeout.check(context, written)
    }

    /// Writes what is left of the problem document.
    fn poll_write_problem(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            let Self { stream, timeout, problem, written } = self;
            let rest = problem.get(*written..).unwrap_or_default();
            if rest.is_empty() {
                return Poll::Ready(Ok(()));
            }
            let polled = Pin::new(stream).poll_write(context, rest);
            match ready!(timeout.check(context, polled))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                more => *written += more,
            }
        }
    }
}

/// How long a client may take to receive a response. The limit is for the whole response, so that
/// receiving a byte now and then does not extend it.
struct ResponseTimeout {
    limit: Duration,
    /// Runs since part of a response could not be written.
    running: Option<Pin<Box<Sleep>>>,
}

impl ResponseTimeout {
    /// Replaces a pending result by an error once the limit is exceeded.
    fn check<T>(
        &mut self,
        context: &mut Context<'_>,
        result: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if result.is_pending() {
            let limit = self.limit;
            let running = self.running.get_or_insert_with(|| Box::pin(sleep(limit)));
            ready!(running.as_mut().poll(context));
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        result
    }
}

/// The problem document for a refusal of the HTTP library's own. Those come in one piece, without a body
/// and without a request id, which every response of the API has.
fn replacement(response: &[u8]) -> Option<Vec<u8>> {
    const LONGEST: usize = 512;
    let is_head = response.len() <= LONGEST
        && response.starts_with(b"HTTP/1.")
        && response.ends_with(b"\r\n\r\n");
    if !is_head {
        return None;
    }
    let text = std::str::from_utf8(response).ok()?;
    let status: u16 = text.get(9..12)?.parse().ok()?;
    let is_own = (400..500).contains(&status)
        && text.contains("\r\ncontent-length: 0\r\n")
        && !text.contains("\r\nx-request-id: ");
    is_own.then(|| refused_head(status))?
}

impl<S: AsyncRead + Unpin> AsyncRead for ClientStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for ClientStream<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_write_problem(context))?;
        match replacement(bytes) {
            Some(problem) => {
                (self.problem, self.written) = (problem, 0);
                // It is written with the next flush, which comes before the end.
                Poll::Ready(Ok(bytes.len()))
            }
            None => self.poll_write_stream(context, bytes),
        }
    }

    /// Called once the whole response has been handed over.
    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_write_problem(context))?;
        let flushed = Pin::new(&mut self.stream).poll_flush(context);
        if flushed.is_ready() {
            self.timeout.running = None;
        }
        self.timeout.check(context, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_write_problem(context))?;
        let shut = Pin::new(&mut self.stream).poll_shutdown(context);
        self.timeout.check(context, shut)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_write_problem(context))?;
        let mut filled = buffers.iter().filter(|buffer| !buffer.is_empty());
        match (filled.next(), filled.next()) {
            (Some(only), None) => self.poll_write(context, only),
            _ => {
                let written = Pin::new(&mut self.stream).poll_write_vectored(context, buffers);
                self.timeout.check(context, written)
            }
        }
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failure here is a failed test")]
mod tests {
    use super::*;

    #[test]
    fn only_the_librarys_own_refusals_are_replaced() {
        let own = "HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\n\
            content-length: 0\r\ndate: Sun, 29 Nov 2026 10:00:00 GMT\r\n\r\n";
        let problem = String::from_utf8(replacement(own.as_bytes()).unwrap()).unwrap();
        assert!(problem.starts_with("HTTP/1.1 431 "), "{problem}");
        assert!(problem.contains("application/problem+json"), "{problem}");
        for other in [
            own.replace("431", "200"),
            own.replace("content-length: 0", "content-length: 1"),
            own.replace("date: ", "x-request-id: "),
            own.replace("\r\n\r\n", "\r\n"),
        ] {
            assert_eq!(replacement(other.as_bytes()), None, "{other}");
        }
    }
}
