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

/// What connections may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// How many are open at once; more wait until one ends, in the queue of the operating system.
    pub connections: usize,
    /// How many of them one source address has (of IPv6, a /64); one more is closed at once. Behind a
    /// reverse proxy all are of one address.
    pub connections_per_address: usize,
    /// How many bytes of bodies all requests together may have under way; one address a quarter.
    pub body_bytes: usize,
    /// How long a response may take to be taken by who asked for it, from when it does not fit into
    /// the operating system's buffers.
    pub response_time: Duration,
    /// How long one may take until the whole head of a request is there: from its beginning, and
    /// from the end of the former answer. So an idle one ends after it too.
    pub header_time: Duration,
    /// How long a TLS handshake may take.
    pub handshake_time: Duration,
    /// How long requests may take to finish once the server was asked to stop.
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

    /// With the address that devices use, where it is another than the listener's: `https://host`.
    #[must_use]
    pub fn public_url(self, url: impl Into<String>) -> Self {
        Self { public_url: Some(url.into()), ..self }
    }

    /// With HTTPS in place of HTTP.
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn tls(self, tls: Tls) -> Self {
        Self { tls: Some(tls), ..self }
    }

    /// Serves until `stop` completes. Then it takes no more connections, tells requests that wait
    /// ([`Stopping`]), and lets those under way finish within [`Limits::grace`].
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
                Some(ended) = connections.join_next() => note_panic(ended),
                accepted = listener.accept(), if !full => match accepted {
                    Ok((stream, peer)) => {
                        let Some(place) = shared.addresses.enter(peer.ip()) else { continue };
                        shared.begin(&mut connections, stream, peer, place);
                        if connections.len() == limits.connections {
                            tracing::warn!(limit = limits.connections, "no more connections are taken until one ends");
                        }
                    }
                    Err(error) => wait_out(&error).await,
                },
            }
        }
        drop(listener);
        // Its receivers live in `shared`, which each connection holds.
        let _ = stopping.send(true);
        let drained = async { while connections.join_next().await.map(note_panic).is_some() {} };
        if tokio::time::timeout(limits.grace, drained).await.is_err() {
            tracing::warn!(
                left = connections.len(),
                "connections that did not end in time are cut"
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
        // Nobody else can ask what stands for all addresses of this machine.
        let own = || (!address.ip().is_unspecified()).then(|| format!("{scheme}://{address}"));
        let url = self.public_url.or_else(own);
        let shared = Shared {
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

/// Serves a service over plain HTTP with the default limits, as [`Server::run`] does, has it do
/// meanwhile what time brings about, and [closes](Service::close) it in the end.
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

/// Has a service do what time brings about, for as long as this is polled. What it is at when it is
/// dropped was committed or will be done by the next pass.
pub async fn keep_up(service: Arc<Service>) -> Infallible {
    loop {
        match service.upkeep().await {
            Ok(Some(done)) => tracing::debug!(?done, "upkeep"),
            Ok(None) => tracing::trace!("another instance does the upkeep"),
            Err(error) => tracing::error!(?error, "upkeep; it goes on with the next pass"),
        }
        tokio::time::sleep(EVERY).await;
    }
}

/// How often what time brings about is looked for.
const EVERY: Duration = Duration::from_secs(15);
/// No answer and no acknowledgement for so long, and the other side counts as gone: a device that
/// lost its network does not say so.
const SILENCE: Duration = Duration::from_secs(60);
/// hyper's smallest: heads and small answers fit, and thousands of connections do nothing but wait.
const BUFFER: usize = 8 * 1024;

/// What all connections have in common.
struct Shared {
    router: Router,
    url: Option<Arc<str>>,
    addresses: Arc<Addresses>,
    bodies: Bodies,
    limits: Limits,
    stopping: Stopping,
    #[cfg(feature = "tls")]
    tls: Option<Tls>,
}

impl Shared {
    /// Adds a connection to those that are served. Its task holds its state once: thousands of
    /// them do nothing but wait.
    fn begin(
        self: &Arc<Self>,
        connections: &mut JoinSet<()>,
        stream: TcpStream,
        peer: SocketAddr,
        place: Place,
    ) {
        if let Err(error) = set_options(&stream) {
            tracing::debug!(%peer, %error, "socket options");
        }
        #[cfg(feature = "tls")]
        if let Some(tls) = self.tls.clone() {
            connections.spawn(Arc::clone(self).secured(tls, stream, peer, place));
            return;
        }
        connections.spawn(Arc::clone(self).serve(Box::new(stream), peer, place));
    }

    #[cfg(feature = "tls")]
    async fn secured(self: Arc<Self>, tls: Tls, stream: TcpStream, peer: SocketAddr, place: Place) {
        // Boxed: what a handshake needs is not kept for as long as the connection.
        let handshake = Box::pin(async move { tls.accept(stream).await.map(Box::new) });
        match tokio::time::timeout(self.limits.handshake_time, handshake).await {
            Ok(Ok(stream)) => self.serve(stream, peer, place).await,
            Ok(Err(error)) => tracing::debug!(%peer, %error, "TLS handshake"),
            Err(_) => tracing::debug!(%peer, "the TLS handshake took too long"),
        }
    }

    /// The place is given up with the connection.
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
            tracing::debug!(%peer, %error, "connection");
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
        extensions.insert(Public { url: self.url.clone(), pin: self.pin() });
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

fn set_options(stream: &TcpStream) -> io::Result<()> {
    // Answers are small and whole: waiting to fill a packet would only delay them.
    stream.set_nodelay(true)?;
    rustix::net::sockopt::set_socket_keepalive(stream, true)?;
    #[cfg(target_os = "linux")]
    {
        use rustix::net::sockopt;
        sockopt::set_tcp_keepidle(stream, SILENCE / 2)?;
        sockopt::set_tcp_keepintvl(stream, SILENCE / 6)?;
        let silence = u32::try_from(SILENCE.as_millis()).unwrap_or(u32::MAX);
        sockopt::set_tcp_user_timeout(stream, silence)?;
    }
    Ok(())
}

/// A connection that was gone before it was taken is nobody's loss; without a free file descriptor
/// the next attempt would fail as well.
async fn wait_out(error: &io::Error) {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    if !matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset) {
        tracing::error!(%error, "taking a connection; trying again in a second");
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

fn note_panic(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "a connection's task");
    }
}
