use std::sync::Arc;

use tokio::sync::watch;

/// Where devices find this server, as links for them say it. The server gives it to each request
/// as an extension.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Public {
    /// `https://host:port`, without a slash at the end. Nothing where only the server's settings could
    /// say: it listens on all addresses, and they name none.
    pub url: Option<Arc<str>>,
    /// What the server's certificate is known by: SHA-256 of its SubjectPublicKeyInfo (RFC 7469).
    /// Nothing where the server itself speaks plain HTTP.
    pub pin: Option<[u8; 32]>,
}

/// Tells requests that wait that the server is about to stop. The server gives it to each request
/// as an extension.
#[derive(Debug, Clone)]
pub struct Stopping(watch::Receiver<bool>);

impl Stopping {
    /// Together with what stops: sending `true`, or dropping it.
    #[must_use]
    pub fn new() -> (watch::Sender<bool>, Self) {
        let (stop, stopping) = watch::channel(false);
        (stop, Self(stopping))
    }

    /// Completes when the server is about to stop.
    pub async fn wait(&mut self) {
        // An error is a dropped sender.
        let _ = self.0.wait_for(|stopping| *stopping).await;
    }
}
