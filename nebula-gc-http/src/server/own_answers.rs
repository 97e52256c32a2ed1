//! What the HTTP library answers by itself, to heads that are no request: with a problem document, as
//! everything else that is refused.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::api::refused_head;

/// Writes a problem document in the place of an answer without a body, where the answer is the HTTP
/// library's own.
pub(super) struct OwnAnswers<S> {
    stream: S,
    /// What is to be written in the place of what came.
    instead: Vec<u8>,
    written: usize,
}

impl<S: AsyncWrite + Unpin> OwnAnswers<S> {
    pub(super) fn new(stream: S) -> Self {
        Self { stream, instead: Vec::new(), written: 0 }
    }

    /// Writes what is left of the replacement.
    fn poll_instead(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(rest) = self.instead.get(self.written..).filter(|rest| !rest.is_empty()) {
            match ready!(Pin::new(&mut self.stream).poll_write(context, rest))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                written => self.written += written,
            }
        }
        Poll::Ready(Ok(()))
    }
}

/// Every answer of ours has a request id; the HTTP library's own, which come whole, have none.
fn replacement(answer: &[u8]) -> Option<Vec<u8>> {
    const LONGEST: usize = 512;
    if answer.len() > LONGEST || !answer.starts_with(b"HTTP/1.") || !answer.ends_with(b"\r\n\r\n") {
        return None;
    }
    let text = std::str::from_utf8(answer).ok()?;
    let status: u16 = text.get(9..12)?.parse().ok()?;
    let is_own = (400..500).contains(&status)
        && text.contains("\r\ncontent-length: 0\r\n")
        && !text.contains("\r\nx-request-id: ");
    is_own.then(|| refused_head(status))?
}

impl<S: AsyncRead + Unpin> AsyncRead for OwnAnswers<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for OwnAnswers<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_instead(context))?;
        match replacement(bytes) {
            Some(instead) => {
                (self.instead, self.written) = (instead, 0);
                // It is written with the next flush, which comes before the end.
                Poll::Ready(Ok(bytes.len()))
            }
            None => Pin::new(&mut self.stream).poll_write(context, bytes),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_instead(context))?;
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_instead(context))?;
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_instead(context))?;
        let mut filled = buffers.iter().filter(|buffer| !buffer.is_empty());
        match (filled.next(), filled.next()) {
            (Some(only), None) => self.poll_write(context, only),
            _ => Pin::new(&mut self.stream).poll_write_vectored(context, buffers),
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
        let instead = String::from_utf8(replacement(own.as_bytes()).unwrap()).unwrap();
        assert!(instead.starts_with("HTTP/1.1 431 "), "{instead}");
        assert!(instead.contains("application/problem+json"), "{instead}");
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
