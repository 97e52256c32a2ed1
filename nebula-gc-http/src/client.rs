//! A client of the native API, `/api/v1`.
//!
//! It speaks HTTP/1.1 to one of several equal servers, and handles failover, retries, problems, pages
//! and ETags. [`Client::send`] sends any request, with resources as the OpenAPI document describes
//! them; the typed calls take and answer the types of [`wire`](crate::wire).
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
//!
//! # Several servers
//!
//! ```no_run
//! use nebula_gc_http::client::{Client, ServerUrl};
//!
//! # fn example(pin: [u8; 32], next_pin: [u8; 32]) -> Result<(), nebula_gc_http::client::ClientError> {
//! let client = Client::over(vec![
//!     ServerUrl { url: "https://a.example.org".to_owned(), pins: vec![pin, next_pin] },
//!     ServerUrl { url: "https://b.example.org".to_owned(), pins: vec![] },
//! ])?;
//! # Ok(())
//! # }
//! ```
//!
//! A request goes to the server that answered last. What that server did not get, or what may be
//! repeated, goes to the next one when it fails; after the last, what may be repeated is asked for
//! again after a pause. A creation may be repeated because it carries an idempotency key, which the
//! typed calls make themselves.

mod addresses;
mod backoff;
mod call;
mod connect;
mod error;
pub mod guide;
mod link;
mod networks;
mod node;
mod nodes;
mod operators;
mod pages;
mod pending;
mod request;
mod trust;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http_body_util::{BodyExt as _, Limited};
use hyper::header::{self, HeaderValue};
use zeroize::Zeroizing;

pub use self::backoff::Backoff;
pub use self::call::{List, Remaining, Tagged};
use self::connect::Server;
pub use self::error::{AddressFault, AnswerFault, ClientError, LinkFault, Problem};
pub use self::link::JoinLink;
pub use self::node::{ArchiveFormat, FetchedBundle, new_node_token};
pub use self::nodes::NodeQuery;
pub use self::operators::EventQuery;
pub use self::pages::Pages;
pub use self::pending::EnrollmentAnswer;
pub use self::request::{Answer, Request};
pub use crate::text::printable;

/// How long an answer may take, besides the waiting time of a long poll.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often each server is asked, at most.
const ROUNDS: usize = 3;
/// The first pause between two rounds, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_millis(400), Duration::from_secs(2));
/// The longest `Retry-After` that is waited for here; a caller decides about longer ones.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// A server, and how it is recognised.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerUrl {
    /// `https://host`, `http://host:port`, with or without a path.
    pub url: String,
    /// SHA-256 of the public keys that it may have (see [`Client::with_pin`]): the current and the
    /// next one. None: its certificate must be trusted by the system's root certificates.
    pub pins: Vec<[u8; 32]>,
}

/// A client of one or several equal servers, over one connection to each that is kept open.
#[derive(Debug)]
pub struct Client {
    servers: Vec<Server>,
    /// The index of the server that answered last.
    preferred: AtomicUsize,
    key: Option<Key>,
    patience: Duration,
    allows_plain_http: bool,
}

impl Client {
    /// A client of the server with this URL: `https://host`, `http://host:port`. Its certificate
    /// must be trusted by the system's root certificates (`SSL_CERT_FILE` sets others), or match a
    /// pin.
    ///
    /// # Errors
    /// [`ClientError::Address`].
    pub fn new(server: &str) -> Result<Self, ClientError> {
        Self::over(vec![ServerUrl { url: server.to_owned(), pins: vec![] }])
    }

    /// A client of several servers over one database, the preferred one first.
    ///
    /// # Errors
    /// [`ClientError::Address`], [`ClientError::NoServers`].
    pub fn over(servers: Vec<ServerUrl>) -> Result<Self, ClientError> {
        let servers = servers.iter().map(|it| Server::parse(&it.url)?.pinned(&it.pins));
        let servers = servers.collect::<Result<Vec<_>, _>>()?;
        if servers.is_empty() {
            return Err(ClientError::NoServers);
        }
        let preferred = AtomicUsize::new(0);
        Ok(Self { servers, preferred, key: None, patience: PATIENCE, allows_plain_http: false })
    }

    /// With the bearer secret to send: an operator key, a join token or a node token.
    #[must_use]
    pub fn with_key(self, key: &str) -> Self {
        Self { key: Some(Key::new(key)), ..self }
    }

    /// Trusts only servers whose public key has this SHA-256 (of its SubjectPublicKeyInfo, RFC
    /// 7469), as in join links. Certificate authorities and names are not checked then.
    ///
    /// # Errors
    /// [`ClientError::Address`]: over plain HTTP there is no key to compare.
    pub fn with_pin(self, pin: [u8; 32]) -> Result<Self, ClientError> {
        let servers = self.servers.into_iter().map(|server| server.pinned(&[pin]));
        Ok(Self { servers: servers.collect::<Result<_, _>>()?, ..self })
    }

    /// With another time limit for each answer. Default: a minute.
    #[must_use]
    pub fn with_patience(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// Sends the bearer secret and bodies also over plain HTTP to another machine, where everyone on the
    /// way can read them. By default that is refused.
    #[must_use]
    pub fn allow_plain_http(self) -> Self {
        Self { allows_plain_http: true, ..self }
    }

    /// Sends a request. What a server did not get goes to the next server; so does what it failed
    /// to answer, if repeating the request is safe (reads, and creations with an idempotency key).
    /// Then all servers are asked again, at most twice, after a pause of up to two seconds or what
    /// they ask for with `Retry-After`, up to five.
    ///
    /// # Errors
    /// [`ClientError`]; [`ClientError::Refused`] holds what the server says is wrong.
    pub async fn send(&self, request: Request) -> Result<Answer, ClientError> {
        let mut backoff = Backoff::new(PAUSES.0, PAUSES.1);
        let mut rounds = 1;
        loop {
            let failed = match self.ask_each(&request).await {
                Ok(answer) => return Ok(answer),
                Err(failed) => failed,
            };
            let asked = failed.retry_after();
            let is_final = !request.is_safe_to_repeat() || !failed.is_passing();
            if is_final || rounds == ROUNDS || asked.is_some_and(|asked| asked > LONGEST_WAIT) {
                return Err(failed);
            }
            rounds += 1;
            tokio::time::sleep(backoff.next(asked)).await;
        }
    }

    /// The server that answered last; before any answer, the first one.
    #[must_use]
    pub fn answered_by(&self) -> String {
        let server = self.servers.get(self.preferred.load(Ordering::Relaxed));
        server.map(ToString::to_string).unwrap_or_default()
    }

    /// Reads a list, page by page.
    #[must_use]
    pub fn pages(&self, request: Request) -> Pages<'_> {
        Pages::new(self, request)
    }

    /// Asks each server once, until one answers.
    async fn ask_each(&self, request: &Request) -> Result<Answer, ClientError> {
        let count = self.servers.len();
        let first = self.preferred.load(Ordering::Relaxed);
        let mut failures = vec![];
        for (index, server) in self.servers.iter().enumerate().cycle().skip(first).take(count) {
            match self.send_once(server, request).await {
                Ok(answer) => {
                    self.preferred.store(index, Ordering::Relaxed);
                    return Ok(answer);
                }
                Err(error) if error.was_asked() && !request.is_safe_to_repeat() => {
                    return Err(error);
                }
                Err(error) if error.is_of_the_request() => return Err(error),
                Err(error) => failures.push(error),
            }
        }
        match failures.pop() {
            Some(failure) if failures.is_empty() => Err(failure),
            Some(last) => {
                failures.push(last);
                Err(ClientError::AllFailed { failures })
            }
            None => Err(ClientError::NoServers),
        }
    }

    async fn send_once(&self, server: &Server, request: &Request) -> Result<Answer, ClientError> {
        let patience = self.patience.saturating_add(request.waits);
        match tokio::time::timeout(patience, self.exchange(server, request)).await {
            Ok(answered) => answered,
            Err(_) => Err(ClientError::Timeout {
                server: server.to_string(),
                seconds: patience.as_secs(),
            }),
        }
    }

    async fn exchange(&self, server: &Server, request: &Request) -> Result<Answer, ClientError> {
        let broken = |reason: String| ClientError::Broken { server: server.to_string(), reason };
        let mut message = request.to_message(server)?;
        let key = request.key.as_ref().or(self.key.as_ref());
        if let Some(Key(key)) = key {
            let bearer = Zeroizing::new(["Bearer ", key.as_str()].concat());
            let mut value = HeaderValue::try_from(bearer.as_str()).map_err(|_| ClientError::Key)?;
            value.set_sensitive(true);
            message.headers_mut().insert(header::AUTHORIZATION, value);
        }
        let mut kept = server.kept();
        let (connection, response) = loop {
            let is_kept = kept.is_some();
            let mut connection = match kept.take() {
                Some(connection) => connection,
                None => server.connect().await?,
            };
            // Bodies may hold secrets, too: an enrolment does.
            let is_secret = key.is_some() || request.has_body();
            if is_secret && !connection.is_private && !self.allows_plain_http {
                return Err(ClientError::PlainHttp { server: server.to_string() });
            }
            match connection.sender.try_send_request(message).await {
                Ok(response) => break (connection, response),
                Err(mut failed) => match failed.take_message() {
                    // A kept connection that ended meanwhile: nothing was sent over it.
                    Some(unsent) if is_kept => message = unsent,
                    _ => return Err(broken(failed.into_error().to_string())),
                },
            }
        };
        let (head, body) = response.into_parts();
        let body = Limited::new(body, request.limit).collect().await;
        let body = body.map_err(|error| {
            let is_large = error.is::<http_body_util::LengthLimitError>();
            match is_large {
                true => ClientError::Unexpected {
                    server: server.to_string(),
                    status: head.status.as_u16(),
                    fault: AnswerFault::TooLarge { limit: request.limit },
                },
                false => broken(format!("the answer did not come whole: {error}")),
            }
        })?;
        // It is ready again shortly after the body's end; the next request checks that.
        server.keep(connection);
        Answer::read(server, &head, body.to_bytes())
    }
}

#[derive(Clone)]
struct Key(Zeroizing<String>);

impl Key {
    fn new(text: &str) -> Self {
        Self(Zeroizing::new(text.to_owned()))
    }
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key(…)")
    }
}
