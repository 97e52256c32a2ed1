//! What the server tells each request about itself: its URL, and that it is about to stop.

use std::sync::Arc;

use tokio::sync::watch;

/// The server's public URL, for links to devices. The server adds it to each request as an
/// extension.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Public {
    /// `https://host:port`, without a trailing slash. Nothing if the server listens on all
    /// addresses and its settings name no URL.
    pub url: Option<Arc<str>>,
    /// The pin of the certificate that the URL leads to: SHA-256 of its SubjectPublicKeyInfo (RFC
    /// 7469). Nothing if that is not the server's own: it speaks plain HTTP, or something stands
    /// before it.
    pub pin: Option<[u8; 32]>,
}

/// Tells long polls that the server is about to stop. The server adds it to each request as an
/// extension.
#[derive(Debug, Clone)]
pub struct Stopping(watch::Receiver<bool>);

impl Stopping {
    /// A new one, and the sender that signals it: by sending `true`, or when dropped.
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
