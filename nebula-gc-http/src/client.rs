//! A client of the native API, `/api/v1`.
//!
//! It speaks HTTP/1.1 and handles problems, pages and ETags. Resources are JSON as the OpenAPI
//! document describes them.
//!
//! ```no_run
//! use nebula_gc_http::client::{Client, Request};
//!
//! # async fn example() -> Result<(), nebula_gc_http::client::ClientError> {
//! let client = Client::new("https://nebula.example.org")?.with_key("nebula-operator-…");
//! let mut tenants = client.pages(Request::get("/tenants"));
//! while let Some(page) = tenants.next().await? {
//!     for tenant in page {
//!         tracing::info!(%tenant);
//!     }
//! }
//! # Ok(())
//! # }
//! ```

mod connect;
mod error;
mod link;
mod pages;
mod request;
mod trust;

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1::SendRequest;
use hyper::header::{self, HeaderValue};
use zeroize::Zeroizing;

use self::connect::Server;
pub use self::error::{AddressFault, AnswerFault, ClientError, LinkFault, Problem};
pub use self::link::{JoinLink, parse_pin};
pub use self::pages::Pages;
pub use self::request::{Answer, Request};
pub use crate::text::printable;

/// The largest accepted answer, in bytes: the largest are bundles and reports of imports.
const ANSWER_LIMIT: usize = 64 << 20;
/// How long an answer may take, besides the waiting time of a long poll.
const PATIENCE: Duration = Duration::from_secs(60);
/// The pauses before each retry.
const PAUSES: [Duration; 2] = [Duration::from_millis(200), Duration::from_secs(1)];

/// A client of one server, over one connection that is kept open.
#[derive(Debug)]
pub struct Client {
    server: Server,
    key: Option<Key>,
    patience: Duration,
    kept: Mutex<Option<SendRequest<Full<Bytes>>>>,
}

impl Client {
    /// A client of the server with this URL: `https://host`, `http://host:port`. Its certificate
    /// must be trusted by the system's root certificates (`SSL_CERT_FILE` sets others), or match a
    /// pin.
    ///
    /// # Errors
    /// [`ClientError::Address`].
    pub fn new(server: &str) -> Result<Self, ClientError> {
        Ok(Self {
            server: Server::parse(server)?,
            key: None,
            patience: PATIENCE,
            kept: Mutex::new(None),
        })
    }

    /// With the bearer secret to send: an operator key, a join token or a node token.
    #[must_use]
    pub fn with_key(self, key: &str) -> Self {
        Self { key: Some(Key(Zeroizing::new(key.to_owned()))), ..self }
    }

    /// Trusts only the server whose public key has this SHA-256 (of its SubjectPublicKeyInfo, RFC
    /// 7469), as in join links. Certificate authorities and names are not checked then.
    ///
    /// # Errors
    /// [`ClientError::Address`]: over plain HTTP there is no key to compare.
    pub fn with_pin(self, pin: [u8; 32]) -> Result<Self, ClientError> {
        Ok(Self { server: self.server.pinned(pin)?, ..self })
    }

    /// With another time limit for answers. Default: a minute.
    #[must_use]
    pub fn with_patience(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// Sends a request. If the connection breaks and repeating the request is safe (reads, and
    /// creations with an idempotency key), it is repeated, at most twice.
    ///
    /// # Errors
    /// [`ClientError`]; [`ClientError::Refused`] holds what the server says is wrong.
    pub async fn send(&self, request: Request) -> Result<Answer, ClientError> {
        for pause in PAUSES {
            match self.send_once(&request).await {
                Err(error) if error.is_passing() && request.is_safe_to_repeat() => {
                    tokio::time::sleep(pause).await;
                }
                answered => return answered,
            }
        }
        self.send_once(&request).await
    }

    /// Reads a list, page by page.
    #[must_use]
    pub fn pages(&self, request: Request) -> Pages<'_> {
        Pages::new(self, request)
    }

    async fn send_once(&self, request: &Request) -> Result<Answer, ClientError> {
        let patience = self.patience + request.waits;
        match tokio::time::timeout(patience, self.exchange(request)).await {
            Ok(answered) => answered,
            Err(_) => Err(ClientError::Timeout {
                server: self.server.to_string(),
                seconds: patience.as_secs(),
            }),
        }
    }

    async fn exchange(&self, request: &Request) -> Result<Answer, ClientError> {
        let broken =
            |reason: String| ClientError::Broken { server: self.server.to_string(), reason };
        let mut message = request.to_message(&self.server)?;
        if let Some(Key(key)) = &self.key {
            let bearer = Zeroizing::new(["Bearer ", key.as_str()].concat());
            let mut value = HeaderValue::try_from(bearer.as_str()).map_err(|_| ClientError::Key)?;
            value.set_sensitive(true);
            message.headers_mut().insert(header::AUTHORIZATION, value);
        }
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner).take();
        let mut connection = match kept.filter(|kept| kept.is_ready() && !kept.is_closed()) {
            Some(connection) => connection,
            None => self.server.connect().await?,
        };
        let response = connection.send_request(message).await.map_err(|e| broken(e.to_string()))?;
        let (head, body) = response.into_parts();
        let body = Limited::new(body, ANSWER_LIMIT)
            .collect()
            .await
            .map_err(|error| broken(format!("the answer did not come whole: {error}")))?;
        // It is ready again shortly after the body's end; the next request checks that.
        *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = Some(connection);
        Answer::read(&head, body.to_bytes())
    }
}

struct Key(Zeroizing<String>);

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key(…)")
    }
}
