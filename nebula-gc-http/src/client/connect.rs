//! Connects to the server.

use std::fmt;
use std::io;
use std::sync::Arc;

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

/// A server by its address.
pub(super) struct Server {
    uri: Uri,
    host: String,
    port: u16,
    /// The path before `/api/v1`, without a trailing slash.
    pub(super) base: String,
    tls: Option<Tls>,
}

struct Tls {
    name: ServerName<'static>,
    /// Created with the first connection, because reading the system's root certificates takes
    /// time.
    config: std::sync::OnceLock<Arc<ClientConfig>>,
    pin: Option<[u8; 32]>,
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
                (Some(Tls { name, config: std::sync::OnceLock::new(), pin: None }), 443)
            }
            _ => return Err(refuse(AddressFault::Scheme)),
        };
        let port = uri.port_u16().unwrap_or(port);
        let base = uri.path().trim_end_matches('/').to_owned();
        Ok(Self { uri, host, port, base, tls })
    }

    pub(super) fn pinned(self, pin: [u8; 32]) -> Result<Self, ClientError> {
        let Some(tls) = self.tls else {
            return Err(ClientError::Address {
                text: self.uri.to_string(),
                fault: AddressFault::PinWithoutTls,
            });
        };
        Ok(Self { tls: Some(Tls { pin: Some(pin), ..tls }), ..self })
    }

    /// The value of the `Host` header.
    pub(super) fn authority(&self) -> &str {
        self.uri.authority().map_or("", |authority| authority.as_str())
    }

    pub(super) async fn connect(&self) -> Result<SendRequest<Full<Bytes>>, ClientError> {
        let stream = TcpStream::connect((self.host.as_str(), self.port))
            .await
            .map_err(|error| self.unreachable(&error))?;
        // Requests are small and written whole: waiting to fill a packet would only delay them.
        stream.set_nodelay(true).map_err(|error| self.unreachable(&error))?;
        let Some(tls) = &self.tls else { return self.speak(stream).await };
        let config = match tls.config.get() {
            Some(config) => Arc::clone(config),
            None => {
                let made = trust::config(tls.pin).map_err(|reason| self.unreachable(&reason))?;
                Arc::clone(tls.config.get_or_init(|| Arc::new(made)))
            }
        };
        let stream = TlsConnector::from(config)
            .connect(tls.name.clone(), stream)
            .await
            .map_err(|error| self.unreachable(&handshake_failure(&error)))?;
        self.speak(stream).await
    }

    async fn speak(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    ) -> Result<SendRequest<Full<Bytes>>, ClientError> {
        let (sender, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| self.unreachable(&error))?;
        // If it breaks, the request in progress fails with the reason.
        tokio::spawn(async move {
            let _ = connection.await;
        });
        Ok(sender)
    }

    fn unreachable(&self, reason: &dyn fmt::Display) -> ClientError {
        ClientError::Unreachable { server: self.to_string(), reason: reason.to_string() }
    }
}

/// An invalid message usually means that the server does not speak TLS.
fn handshake_failure(error: &io::Error) -> String {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match inner {
        Some(rustls::Error::InvalidMessage(_)) => {
            format!("{error}; does it speak HTTPS? If not, its address begins with http://")
        }
        Some(rustls::Error::InvalidCertificate(refused)) => certificate_failure(refused),
        _ => error.to_string(),
    }
}

/// Why a server's certificate is not trusted, and what to do about it.
fn certificate_failure(refused: &CertificateError) -> String {
    match refused {
        // The error of a pin that does not match.
        CertificateError::ApplicationVerificationFailure => {
            "its public key is not the one of the pin: the link or the pin is older than the server's key, \
             or somebody else answers; ask for a new one"
                .to_owned()
        }
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
