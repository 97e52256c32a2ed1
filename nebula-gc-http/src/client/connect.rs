//! Connects to the server.

use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http_body_util::Full;
use hyper::Uri;
use hyper::body::Bytes;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use rustls::{CertificateError, ClientConfig};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::error::{AddressFault, ClientError};
use super::trust;

/// How long connecting may take, with TLS.
const CONNECT_TIME: Duration = Duration::from_secs(10);
/// The largest accepted head of an answer, in bytes.
const HEAD_LIMIT: usize = 64 << 10;

/// A server by its address, and the connection to it that is kept.
pub(super) struct Server {
    uri: Uri,
    host: String,
    port: u16,
    /// The path before `/api/v1`, without a trailing slash.
    pub(super) base: String,
    tls: Option<Tls>,
    kept: Mutex<Option<Connection>>,
}

/// An open connection.
pub(super) struct Connection {
    pub(super) sender: SendRequest<Full<Bytes>>,
    /// Whether nobody on the way can read along: TLS, or within this machine.
    pub(super) is_private: bool,
}

struct Tls {
    name: ServerName<'static>,
    /// Created with the first connection, because reading the system's root certificates takes
    /// time.
    config: std::sync::OnceLock<Arc<ClientConfig>>,
    pins: Vec<[u8; 32]>,
}

impl Server {
    pub(super) fn parse(text: &str) -> Result<Self, ClientError> {
        let refuse = |fault| ClientError::Address { text: text.to_owned(), fault };
        let uri: Uri = text.parse().map_err(|_| refuse(AddressFault::Form))?;
        let host = uri.host().filter(|host| !host.is_empty());
        let host = host.ok_or_else(|| refuse(AddressFault::Form))?;
        if uri.query().is_some() || uri.authority().is_some_and(|it| it.as_str().contains('@')) {
            return Err(refuse(AddressFault::UserOrQuery));
        }
        // An IPv6 address is in brackets.
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let (tls, port) = match uri.scheme_str() {
            Some("http") => (None, 80),
            Some("https") => {
                let name = ServerName::try_from(host.clone());
                let name = name.map_err(|_| refuse(AddressFault::Host))?;
                (Some(Tls { name, config: std::sync::OnceLock::new(), pins: vec![] }), 443)
            }
            _ => return Err(refuse(AddressFault::Scheme)),
        };
        let authority = uri.authority().map_or("", |authority| authority.as_str());
        let has_port = authority.rsplit_once(':').is_some_and(|(_, port)| !port.contains(']'));
        let port = match uri.port_u16() {
            Some(port) => port,
            None if has_port => return Err(refuse(AddressFault::Port)),
            None => port,
        };
        let base = uri.path().trim_end_matches('/').to_owned();
        Ok(Self { uri, host, port, base, tls, kept: Mutex::new(None) })
    }

    /// Trusts only these public keys; with none, as before.
    pub(super) fn pinned(self, pins: &[[u8; 32]]) -> Result<Self, ClientError> {
        if pins.is_empty() {
            return Ok(self);
        }
        let Some(tls) = self.tls else {
            return Err(ClientError::Address {
                text: self.uri.to_string(),
                fault: AddressFault::PinWithoutTls,
            });
        };
        let config = std::sync::OnceLock::new();
        Ok(Self { tls: Some(Tls { name: tls.name, pins: pins.to_vec(), config }), ..self })
    }

    /// The value of the `Host` header.
    pub(super) fn authority(&self) -> &str {
        self.uri.authority().map_or("", |authority| authority.as_str())
    }

    /// The connection that was kept, if it can be used.
    pub(super) fn kept(&self) -> Option<Connection> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner).take();
        kept.filter(|kept| kept.sender.is_ready() && !kept.sender.is_closed())
    }

    /// Keeps a connection for the next request.
    pub(super) fn keep(&self, connection: Connection) {
        *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = Some(connection);
    }

    pub(super) async fn connect(&self) -> Result<Connection, ClientError> {
        match tokio::time::timeout(CONNECT_TIME, self.open()).await {
            Ok(connected) => connected,
            Err(_) => Err(self
                .unreachable(&format_args!("no connection within {} s", CONNECT_TIME.as_secs()))),
        }
    }

    async fn open(&self) -> Result<Connection, ClientError> {
        let stream = TcpStream::connect((self.host.as_str(), self.port))
            .await
            .map_err(|error| self.unreachable(&error))?;
        // Requests are small and written whole: waiting to fill a packet would only delay them.
        stream.set_nodelay(true).map_err(|error| self.unreachable(&error))?;
        let Some(tls) = &self.tls else {
            // By the address that was reached: a name may lead anywhere.
            let peer = stream.peer_addr().map_err(|error| self.unreachable(&error))?;
            let is_private = peer.ip().to_canonical().is_loopback();
            return Ok(Connection { sender: self.speak(stream).await?, is_private });
        };
        let config = match tls.config.get() {
            Some(config) => Arc::clone(config),
            None => {
                let made = trust::config(&tls.pins).map_err(|reason| self.unreachable(&reason))?;
                Arc::clone(tls.config.get_or_init(|| Arc::new(made)))
            }
        };
        let stream = TlsConnector::from(config)
            .connect(tls.name.clone(), stream)
            .await
            .map_err(|error| self.refused_handshake(&error))?;
        Ok(Connection { sender: self.speak(stream).await?, is_private: true })
    }

    async fn speak(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    ) -> Result<SendRequest<Full<Bytes>>, ClientError> {
        let (sender, connection) = http1::Builder::new()
            .max_buf_size(HEAD_LIMIT)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|error| self.unreachable(&error))?;
        // If it breaks, the request in progress fails with the reason.
        tokio::spawn(async move {
            let _ = connection.await;
        });
        Ok(sender)
    }

    fn refused_handshake(&self, error: &io::Error) -> ClientError {
        let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
        match inner {
            // The error of a pin that does not match.
            Some(rustls::Error::InvalidCertificate(
                CertificateError::ApplicationVerificationFailure,
            )) => ClientError::OtherKey { server: self.to_string() },
            // It usually means that the server does not speak TLS.
            Some(rustls::Error::InvalidMessage(_)) => self.unreachable(&format_args!(
                "{error}; does it speak HTTPS? If not, its address begins with http://"
            )),
            Some(rustls::Error::InvalidCertificate(refused)) => {
                self.unreachable(&certificate_failure(refused))
            }
            _ => self.unreachable(error),
        }
    }

    fn unreachable(&self, reason: &dyn fmt::Display) -> ClientError {
        ClientError::Unreachable { server: self.to_string(), reason: reason.to_string() }
    }
}

/// Why a server's certificate is not trusted, and what to do about it.
fn certificate_failure(refused: &CertificateError) -> String {
    match refused {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "its certificate has expired, or this machine's clock is wrong".to_owned()
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "its certificate is not valid yet, or this machine's clock is wrong".to_owned()
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "its certificate is for another name; ask it by the name that it has".to_owned()
        }
        other => format!(
            "its certificate is not one that this machine's roots vouch for ({other}); SSL_CERT_FILE names \
             other roots, and a pin takes its public key alone"
        ),
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        write!(f, "{scheme}://{}{}", self.authority(), self.base)
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Server({self})")
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failure here is a failed test")]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_the_one_that_is_named_or_the_usual_one() {
        for (text, port) in [
            ("https://a.example", 443),
            ("http://[fd00::1]", 80),
            ("https://a.example:8443/base", 8443),
            ("http://[fd00::1]:8080", 8080),
        ] {
            assert_eq!(Server::parse(text).unwrap().port, port, "{text}");
        }
        // A secret would go to another server.
        for text in ["https://a.example:84433", "https://a.example:", "http://[fd00::1]:x"] {
            assert!(Server::parse(text).is_err(), "{text}");
        }
    }
}
