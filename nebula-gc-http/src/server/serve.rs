//! Accepts connections and serves HTTP/1.1 on them, until asked to stop.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tower::Service as _;

use super::ServerError;
#[cfg(feature = "tls")]
use super::Tls;
use super::addresses::{Addresses, Place};
use super::client_stream::ClientStream;
use crate::Service;
use crate::api::{self, Bodies, Public, Stopping};

/// Limits of connections and requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// How many connections are open at once; more wait in the operating system's queue.
    pub connections: usize,
    /// How many of them one source address (for IPv6, a /64) may have; more are closed at once. Behind a
    /// reverse proxy all connections come from one address.
    pub connections_per_address: usize,
    /// How many bytes the bodies of all requests in progress may take together; each source address may
    /// take a quarter.
    pub body_bytes: usize,
    /// How long a client may take to receive a response, once it does not fit into the operating
    /// system's buffers.
    pub response_time: Duration,
    /// How long a client may take to send the head of a request, from the start of the connection or the
    /// end of the previous response. Idle connections end after it, too.
    pub header_time: Duration,
    /// How long a TLS handshake may take.
    pub handshake_time: Duration,
    /// How long requests in progress may take to finish once the server was asked to stop.
    pub grace: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 20_000,
            connections_per_address: 2_000,
            body_bytes: 64 << 20,
            response_time: Duration::from_secs(60),
            header_time: Duration::from_secs(30),
            handshake_time: Duration::from_secs(10),
            grace: Duration::from_secs(10),
        }
    }
}

/// Serves a router over HTTP/1.1.
///
/// Each request has [`ConnectInfo`], [`Public`] and [`Stopping`] among its extensions.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    router: Router,
    limits: Limits,
    public_url: Option<String>,
    #[cfg(feature = "tls")]
    tls: Option<Tls>,
}

impl Server {
    /// A server of plain HTTP with the default limits.
    #[must_use]
    pub fn new(listener: TcpListener, router: Router) -> Self {
        Self {
            listener,
            router,
            limits: Limits::default(),
            public_url: None,
            #[cfg(feature = "tls")]
            tls: None,
        }
    }

    /// With other limits.
    #[must_use]
    pub fn limits(self, limits: Limits) -> Self {
        Self { limits, ..self }
    }

    /// With the URL that devices use, if it is not the listener's address: `https://host`.
    #[must_use]
    pub fn public_url(self, url: impl Into<String>) -> Self {
        Self { public_url: Some(url.into()), ..self }
    }

    /// With HTTPS instead of HTTP.
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn tls(self, tls: Tls) -> Self {
        Self { tls: Some(tls), ..self }
    }

    /// Serves until `stop` completes. Then it accepts no more connections, ends long polls
    /// ([`Stopping`]), and lets requests in progress finish within [`Limits::grace`].
    ///
    /// # Errors
    /// [`ServerError::Serve`].
    pub async fn run(self, stop: impl Future<Output = ()>) -> Result<(), ServerError> {
        let (stopping, on_stop) = Stopping::new();
        let limits = self.limits;
        let mut stop = pin!(stop);
        let mut connections = JoinSet::new();
        let (listener, shared) = self.into_parts(on_stop)?;
        loop {
            let full = connections.len() >= limits.connections;
            tokio::select! {
                () = &mut stop => break,
                Some(ended) = connections.join_next() => log_panic(ended),
                accepted = listener.accept(), if !full => match accepted {
                    Ok((stream, peer)) => {
                        let Some(place) = shared.addresses.enter(peer.ip()) else { continue };
                        shared.spawn(&mut connections, stream, peer, place);
                        if connections.len() == limits.connections {
                            tracing::warn!(limit = limits.connections, "max-connections reached; new connections wait until one ends");
                        }
                    }
                    Err(error) => pause_after(&error).await,
                },
            }
        }
        drop(listener);
        // Its receivers live in `shared`, which each connection holds.
        let _ = stopping.send(true);
        let drained = async { while connections.join_next().await.map(log_panic).is_some() {} };
        if tokio::time::timeout(limits.grace, drained).await.is_err() {
            tracing::warn!(
                remaining = connections.len(),
                "shutdown timeout exceeded; closing the remaining connections"
            );
        }
        Ok(())
    }

    fn into_parts(self, stopping: Stopping) -> Result<(TcpListener, Arc<Shared>), ServerError> {
        let address = self.listener.local_addr().map_err(ServerError::Serve)?;
        #[cfg(feature = "tls")]
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        #[cfg(not(feature = "tls"))]
        let scheme = "http";
        // The wildcard address is no address that devices can use.
        let own = || (!address.ip().is_unspecified()).then(|| format!("{scheme}://{address}"));
        let is_own_url =
            self.public_url.as_deref().is_none_or(|url| leads_to(url, scheme, address.port()));
        let url = self.public_url.or_else(own);
        let shared = Shared {
            is_own_url,
            url: url.map(|url| url.trim_end_matches('/').into()),
            addresses: Addresses::new(self.limits.connections_per_address),
            bodies: Bodies::new(self.limits.body_bytes),
            router: self.router,
            limits: self.limits,
            stopping,
            #[cfg(feature = "tls")]
            tls: self.tls,
        };
        Ok((self.listener, Arc::new(shared)))
    }
}

/// Serves a service over plain HTTP with the default limits, as [`Server::run`] does, runs its periodic
/// maintenance meanwhile, and [closes](Service::close) it in the end.
///
/// # Errors
/// [`ServerError::Serve`].
pub async fn serve(
    listener: TcpListener,
    service: Arc<Service>,
    stop: impl Future<Output = ()>,
) -> Result<(), ServerError> {
    let server = Server::new(listener, api::router(Arc::clone(&service)));
    let served = tokio::select! {
        served = server.run(stop) => served,
        never = keep_up(Arc::clone(&service)) => match never {},
    };
    service.close().await;
    served
}

/// Runs a service's periodic maintenance, for as long as this is polled. Dropping it loses nothing: what
/// is not committed yet is done by the next pass.
pub async fn keep_up(service: Arc<Service>) -> Infallible {
    loop {
        match service.upkeep().await {
            Ok(Some(done)) => tracing::debug!(?done, "maintenance pass done"),
            Ok(None) => tracing::trace!("another instance runs the maintenance"),
            Err(error) => tracing::error!(?error, "maintenance failed; retrying at the next pass"),
        }
        tokio::time::sleep(MAINTENANCE_PAUSE).await;
    }
}

/// The pause between two passes of maintenance.
const MAINTENANCE_PAUSE: Duration = Duration::from_secs(15);
/// A client that acknowledges nothing for this long counts as gone: a device that lost its network
/// closes no connection.
const PEER_TIMEOUT: Duration = Duration::from_secs(60);
/// The smallest buffer that hyper takes: most connections only wait, and heads and small responses fit.
const BUFFER: usize = 8 * 1024;

/// What all connections share.
struct Shared {
    router: Router,
    url: Option<Arc<str>>,
    /// Whether the URL leads to this listener, rather than to something before it.
    is_own_url: bool,
    addresses: Arc<Addresses>,
    bodies: Bodies,
    limits: Limits,
    stopping: Stopping,
    #[cfg(feature = "tls")]
    tls: Option<Tls>,
}

impl Shared {
    /// Serves a connection in a task of its own. The task holds its state only once, because thousands of
    /// them do nothing but wait.
    fn spawn(
        self: &Arc<Self>,
        connections: &mut JoinSet<()>,
        stream: TcpStream,
        peer: SocketAddr,
        place: Place,
    ) {
        if let Err(error) = set_options(&stream) {
            tracing::debug!(%peer, %error, "setting socket options failed");
        }
        #[cfg(feature = "tls")]
        if let Some(tls) = self.tls.clone() {
            connections.spawn(Arc::clone(self).serve_tls(tls, stream, peer, place));
            return;
        }
        connections.spawn(Arc::clone(self).serve(Box::new(stream), peer, place));
    }

    #[cfg(feature = "tls")]
    async fn serve_tls(
        self: Arc<Self>,
        tls: Tls,
        stream: TcpStream,
        peer: SocketAddr,
        place: Place,
    ) {
        // Boxed, so that the handshake's state is freed before the connection is served.
        let handshake = Box::pin(async move { tls.accept(stream).await.map(Box::new) });
        match tokio::time::timeout(self.limits.handshake_time, handshake).await {
            Ok(Ok(stream)) => self.serve(stream, peer, place).await,
            Ok(Err(error)) => tracing::debug!(%peer, %error, "TLS handshake failed"),
            Err(_) => tracing::debug!(%peer, "TLS handshake timed out"),
        }
    }

    /// The slot is freed when the connection ends.
    async fn serve<S>(self: Arc<Self>, stream: Box<S>, peer: SocketAddr, _place: Place)
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let mut stopping = self.stopping.clone();
        let stream = ClientStream::new(stream, self.limits.response_time);
        let mut connection = pin!(
            http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(self.limits.header_time)
                .max_buf_size(BUFFER)
                .serve_connection(
                    TokioIo::new(stream),
                    service_fn(|request| self.answer(request, peer)),
                )
        );
        let served = tokio::select! {
            served = connection.as_mut() => served,
            () = stopping.wait() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = served {
            tracing::debug!(%peer, %error, "connection failed");
        }
    }

    fn answer(
        &self,
        mut request: Request<Incoming>,
        peer: SocketAddr,
    ) -> impl Future<Output = Result<Response<Body>, Infallible>> + use<> {
        let extensions = request.extensions_mut();
        extensions.insert(ConnectInfo(peer));
        extensions.insert(self.stopping.clone());
        extensions.insert(self.bodies.clone());
        let pin = self.pin().filter(|_| self.is_own_url);
        extensions.insert(Public { url: self.url.clone(), pin });
        // A router is always ready.
        self.router.clone().call(request)
    }

    fn pin(&self) -> Option<[u8; 32]> {
        #[cfg(feature = "tls")]
        return self.tls.as_ref().map(Tls::pin);
        #[cfg(not(feature = "tls"))]
        None
    }
}

/// Whether a URL can be this listener's own: of its scheme and port. A proxy in front of it has another
/// key, and most often another port.
fn leads_to(url: &str, scheme: &str, port: u16) -> bool {
    let Some((found, rest)) = url.split_once("://") else { return false };
    let authority = rest.split('/').next().unwrap_or_default();
    // An IPv6 address is in brackets.
    let named = authority.rsplit_once(':').filter(|(_, port)| !port.contains(']'));
    let usual = if found == "https" { 443 } else { 80 };
    found == scheme && named.map_or(Ok(usual), |(_, port)| port.parse()) == Ok(port)
}

fn set_options(stream: &TcpStream) -> io::Result<()> {
    // Responses are small and written whole: waiting to fill a packet would only delay them.
    stream.set_nodelay(true)?;
    rustix::net::sockopt::set_socket_keepalive(stream, true)?;
    #[cfg(target_os = "linux")]
    {
        use rustix::net::sockopt;
        sockopt::set_tcp_keepidle(stream, PEER_TIMEOUT / 2)?;
        sockopt::set_tcp_keepintvl(stream, PEER_TIMEOUT / 6)?;
        let silence = u32::try_from(PEER_TIMEOUT.as_millis()).unwrap_or(u32::MAX);
        sockopt::set_tcp_user_timeout(stream, silence)?;
    }
    Ok(())
}

/// A client that disconnected before it was accepted needs no pause; but without a free file descriptor,
/// say, the next attempt would fail at once as well.
async fn pause_after(error: &io::Error) {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    if !matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset) {
        tracing::error!(%error, "accept failed; retrying in a second");
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

fn log_panic(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "connection task panicked");
    }
}

#[cfg(test)]
mod tests {
    use super::leads_to;

    #[test]
    fn a_url_of_another_scheme_or_port_is_something_before_the_server() {
        for url in ["https://a:8443", "https://a:8443/base", "https://[fd00::1]:8443"] {
            assert!(leads_to(url, "https", 8443), "{url}");
        }
        for url in ["https://a", "http://a:8443", "https://[fd00::8443]", "a:8443"] {
            assert!(!leads_to(url, "https", 8443), "{url}");
        }
        assert!(leads_to("https://a", "https", 443) && leads_to("http://[::1]", "http", 80));
    }
}
