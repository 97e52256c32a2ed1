//! A server, by one address, and how to reach it.

use std::io;
use std::net::IpAddr;

use socket2::{SockRef, TcpKeepalive};
#[cfg(feature = "tls")]
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
#[cfg(unix)]
use tokio::net::UnixStream;
use tokio_postgres::config::{Host, SslNegotiation};
use tokio_postgres::{Client, Config, config};

use super::channel::{Channel, Ready, Stream};
use super::encryption::{Encryption, Protection, SslMode};
use super::failure::failure;
#[cfg(feature = "tls")]
use super::tls;
use crate::error::{EngineFault, Error, Outage};

/// Asks for TLS; <https://www.postgresql.org/docs/current/protocol-message-formats.html>.
#[cfg(feature = "tls")]
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];

/// One server. Not to be shown: it holds a password.
#[derive(Clone)]
pub(super) struct Target {
    pub(super) config: Config,
    pub(super) encryption: Encryption,
}

impl Target {
    /// Connects and signs in. The connection runs until the client is dropped.
    ///
    /// # Errors
    ///
    /// [`Error::Setting`] for what only a person can mend; [`Error::Unavailable`], and what the
    /// server answers.
    pub(super) async fn connect(&self) -> Result<(Client, Protection), Error> {
        let mut channel = self.open().await?;
        if self.config.get_password().is_some() {
            channel = channel.with_password();
        }
        let mut protection = channel.protection();
        if protection == Protection::Unverified
            && self.config.get_channel_binding() == config::ChannelBinding::Require
        {
            // The server has proved that it knows the password, on this very connection.
            protection = Protection::Verified;
        }
        let mut config = self.config.clone();
        // The channel is ready: the driver has nothing to negotiate.
        config.ssl_mode(config::SslMode::Require).ssl_negotiation(SslNegotiation::Direct);
        let (client, connection) =
            config.connect_raw(channel, Ready).await.map_err(|error| failure(&error))?;
        // It ends with an error of its own when the connection does; so does who waits.
        tokio::spawn(connection);
        Ok((client, protection))
    }

    async fn open(&self) -> Result<Channel, Error> {
        let address = self.config.get_hostaddrs().first().copied();
        let is_local = address.is_none_or(|address| address.to_canonical().is_loopback());
        let mode = match address {
            Some(_) => self.encryption.mode_for(is_local),
            // A Unix socket, as libpq has it.
            None => SslMode::Disable,
        };
        let plain = if is_local { Protection::Local } else { Protection::Plain };
        let stream = self.dial(address).await.map_err(|error| unavailable(&error))?;
        if mode == SslMode::Disable {
            return Ok(Channel::new(stream, plain, None));
        }
        #[cfg(feature = "tls")]
        return self.encrypt(stream, mode, plain).await;
        #[cfg(not(feature = "tls"))]
        match mode {
            SslMode::Prefer => Ok(Channel::new(stream, plain, None)),
            _ => Err(super::encryption::refused(
                "sslmode",
                "disable or prefer (this build has no TLS)",
                "one that needs TLS, as away from this machine it does by default",
            )),
        }
    }

    #[cfg(feature = "tls")]
    async fn encrypt(
        &self,
        mut stream: Box<dyn Stream>,
        mode: SslMode,
        plain: Protection,
    ) -> Result<Channel, Error> {
        let is_direct = self.config.get_ssl_negotiation() == SslNegotiation::Direct;
        let name = match (self.config.get_hosts().first(), self.config.get_hostaddrs().first()) {
            (Some(Host::Tcp(name)), _) => name.clone(),
            (_, Some(address)) => address.to_string(),
            _ => String::new(),
        };
        let connector = tls::Connector::new(&self.encryption, mode, &name, is_direct)?;
        if !is_direct && !request_tls(&mut stream).await.map_err(|error| unavailable(&error))? {
            return match mode {
                SslMode::Prefer => Ok(Channel::new(stream, plain, None)),
                _ => Err(Error::Unavailable(Outage::NoTls)),
            };
        }
        let (stream, binding) = connector.connect(stream).await.map_err(Error::Unavailable)?;
        let protection = match mode {
            SslMode::VerifyCa | SslMode::VerifyFull => Protection::Verified,
            _ if plain == Protection::Local => Protection::Local,
            _ => Protection::Unverified,
        };
        Ok(Channel::new(Box::new(stream), protection, binding))
    }

    async fn dial(&self, address: Option<IpAddr>) -> io::Result<Box<dyn Stream>> {
        let config = &self.config;
        let port = config.get_ports().first().copied().unwrap_or(5432);
        let Some(address) = address else {
            #[cfg(unix)]
            if let Some(Host::Unix(directory)) = config.get_hosts().first() {
                let socket = directory.join(format!(".s.PGSQL.{port}"));
                return Ok(Box::new(UnixStream::connect(socket).await?));
            }
            return Err(io::ErrorKind::AddrNotAvailable.into());
        };
        let stream = TcpStream::connect((address, port)).await?;
        stream.set_nodelay(true)?;
        let socket = SockRef::from(&stream);
        #[cfg(target_os = "linux")]
        socket.set_tcp_user_timeout(config.get_tcp_user_timeout().copied())?;
        if config.get_keepalives() {
            let mut keepalive = TcpKeepalive::new().with_time(config.get_keepalives_idle());
            if let Some(interval) = config.get_keepalives_interval() {
                keepalive = keepalive.with_interval(interval);
            }
            if let Some(retries) = config.get_keepalives_retries() {
                keepalive = keepalive.with_retries(retries);
            }
            socket.set_tcp_keepalive(&keepalive)?;
        }
        Ok(Box::new(stream))
    }
}

/// Asks the server for TLS. Answers whether it begins now.
#[cfg(feature = "tls")]
async fn request_tls(stream: &mut dyn Stream) -> io::Result<bool> {
    stream.write_all(&SSL_REQUEST).await?;
    let mut answer = [0];
    stream.read_exact(&mut answer).await?;
    Ok(answer == *b"S")
}

fn unavailable(error: &io::Error) -> Error {
    Error::Unavailable(Outage::Engine(EngineFault::uncoded(error)))
}
