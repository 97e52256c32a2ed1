//! What the driver talks to a server through, encrypted or not. It fails as soon as the server asks for
//! the password in a form that is not safe on it, or lets us in without proof that it knows the password.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres::tls::{ChannelBinding, TlsConnect, TlsStream};

use super::encryption::Protection;

/// How much of a message tells how the server wants the password, in bytes: `R`, the length, and the method,
/// which have four bytes each; <https://www.postgresql.org/docs/current/protocol-message-formats.html>.
const AUTHENTICATION: usize = 9;

/// What bytes go through, both ways.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// An open connection.
pub(super) struct Channel {
    stream: Box<dyn Stream>,
    protection: Protection,
    /// Whether there is a password, by which an unverified server can prove who it is.
    has_password: bool,
    /// What the server's first message begins with, as far as it is here.
    opening: Vec<u8>,
    /// The digest of the server's certificate, for `channel_binding`.
    binding: Option<Vec<u8>>,
}

impl Channel {
    pub(super) fn new(
        stream: Box<dyn Stream>,
        protection: Protection,
        binding: Option<Vec<u8>>,
    ) -> Self {
        Self { stream, protection, has_password: false, opening: Vec::new(), binding }
    }

    /// For who signs in with a password.
    pub(super) fn with_password(self) -> Self {
        Self { has_password: true, ..self }
    }

    pub(super) fn protection(&self) -> Protection {
        self.protection
    }

    /// Refuses a server that asks for the password in a form that is not safe here, or not at all.
    fn check(&mut self, received: &[u8]) -> io::Result<()> {
        let missing = AUTHENTICATION - self.opening.len();
        if missing == 0 || self.protection.is_trusted() {
            return Ok(());
        }
        self.opening.extend(received.iter().take(missing));
        let method = match *self.opening {
            [b'R', _, _, _, _, 0, 0, 0, 0] if self.has_password => "trust",
            [b'R', _, _, _, _, 0, 0, 0, 3] => "password",
            [b'R', _, _, _, _, 0, 0, 0, 5] => "md5",
            _ => return Ok(()),
        };
        Err(io::Error::new(io::ErrorKind::PermissionDenied, UnsafeMethod { method }))
    }
}

/// A server that is not verified asks for a password that others on the way could learn, or for none although
/// there is one.
#[derive(Debug, thiserror::Error)]
#[error("the server signs us in by {method}")]
pub(super) struct UnsafeMethod {
    /// As `pg_hba.conf` calls it.
    pub(super) method: &'static str,
}

impl AsyncRead for Channel {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        Poll::Ready(self.check(buffer.filled().get(before..).unwrap_or_default()))
    }
}

impl AsyncWrite for Channel {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

impl TlsStream for Channel {
    fn channel_binding(&self) -> ChannelBinding {
        match &self.binding {
            Some(digest) => ChannelBinding::tls_server_end_point(digest.clone()),
            None => ChannelBinding::none(),
        }
    }
}

/// Gives the driver the channel as it is.
pub(super) struct Ready;

impl TlsConnect<Channel> for Ready {
    type Stream = Channel;
    type Error = io::Error;
    type Future = std::future::Ready<io::Result<Channel>>;

    fn connect(self, channel: Channel) -> Self::Future {
        std::future::ready(Ok(channel))
    }
}
