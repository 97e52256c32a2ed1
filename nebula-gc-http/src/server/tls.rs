//! The server's TLS certificate and key, reloaded while it runs.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::thread;
use std::time::Duration;

use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use sha2::{Digest as _, Sha256};
use tokio::net::TcpStream;
use tokio::signal::unix::Signal;
use tokio::sync::oneshot;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use zeroize::Zeroizing;

use super::ServerError;
use super::file::{path_error, read_regular};

/// A certificate with its key, from two PEM files that may be replaced while the server runs.
#[derive(Clone)]
pub struct Tls(Arc<Inner>);

struct Inner {
    certificate: PathBuf,
    key: PathBuf,
    provider: Arc<CryptoProvider>,
    acceptor: TlsAcceptor,
    current: Arc<Current>,
    /// Digest of the files as they were last read, usable or not, or of the error where they could not be
    /// read.
    read: RwLock<[u8; 32]>,
}

/// The certificate and key for the next handshake.
#[derive(Debug)]
struct Current(RwLock<Pair>);

#[derive(Debug, Clone)]
struct Pair {
    key: Arc<CertifiedKey>,
    pin: [u8; 32],
}

/// Reading the files takes longer only if the file system hangs.
const READ_TIME: Duration = Duration::from_secs(10);
/// No certificate chain or key is larger, in bytes.
const FILE_LIMIT: u64 = 1 << 20;

impl Tls {
    /// Reads the certificate (with its chain, the server's own first) and its key.
    ///
    /// # Errors
    /// [`ServerError::Path`]: a file can't be read, or is not in the expected form, or the key does not
    /// belong to the certificate.
    pub fn load(
        certificate: impl Into<PathBuf>,
        key: impl Into<PathBuf>,
    ) -> Result<Self, ServerError> {
        let (certificate, key) = (certificate.into(), key.into());
        let provider = Arc::new(aws_lc_rs::default_provider());
        let files = Files::read(&certificate, &key)?;
        let pair = files.pair(&certificate, &key, &provider)?;
        let current = Arc::new(Current(RwLock::new(pair)));
        let mut config = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| path_error(&certificate, &error))?
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(&current) as _);
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let read = RwLock::new(files.digest());
        Ok(Self(Arc::new(Inner { certificate, key, provider, acceptor, current, read })))
    }

    /// SHA-256 of the certificate's SubjectPublicKeyInfo: what a link to this server pins. A
    /// certificate renewed with the same key has the same.
    #[must_use]
    pub fn pin(&self) -> [u8; 32] {
        self.0.current.get().pin
    }

    /// Reads the files again if they have changed. Unusable files leave the current certificate in use.
    /// Returns whether the certificate or its key changed.
    ///
    /// # Errors
    /// As [`Tls::load`], once for each state of the files.
    pub fn reload(&self) -> Result<bool, ServerError> {
        let inner = &*self.0;
        let files = Files::read(&inner.certificate, &inner.key);
        // An error is reported once, until it changes.
        let digest = match &files {
            Ok(files) => files.digest(),
            Err(error) => Sha256::digest(error.to_string()).into(),
        };
        {
            let mut read = inner.read.write().unwrap_or_else(PoisonError::into_inner);
            if *read == digest {
                return Ok(false);
            }
            *read = digest;
        }
        let pair = files?.pair(&inner.certificate, &inner.key, &inner.provider)?;
        *inner.current.0.write().unwrap_or_else(PoisonError::into_inner) = pair;
        Ok(true)
    }

    /// Reloads the files at each signal (SIGHUP by custom) and when they have changed, which is checked at
    /// the interval `every`, and logs the outcome. The files are read on a separate thread: if the file
    /// system hangs, nothing else waits for it, and no second read starts before the first has ended.
    pub async fn follow(&self, mut hangup: Signal, every: Duration) {
        loop {
            tokio::select! {
                _ = hangup.recv() => {}
                () = tokio::time::sleep(every) => {}
            }
            let (sender, mut outcome) = oneshot::channel();
            let tls = self.clone();
            let reload = move || drop(sender.send(tls.reload()));
            let thread = thread::Builder::new().name("nebula-gc-tls".to_owned()).spawn(reload);
            if let Err(error) = thread {
                tracing::error!(%error, "the TLS files were not checked: no thread could be started");
                continue;
            }
            let reloaded = match timeout(READ_TIME, &mut outcome).await {
                Ok(reloaded) => reloaded,
                Err(_) => {
                    tracing::error!(
                        "reading the TLS files is taking long; the current certificate stays in use"
                    );
                    outcome.await
                }
            };
            match reloaded {
                Ok(Ok(true)) => tracing::info!("TLS certificate reloaded"),
                Ok(Ok(false)) => {}
                Ok(Err(error)) => {
                    tracing::error!(%error, "TLS certificate not reloaded; the current one stays in use");
                }
                Err(_) => tracing::error!("reading the TLS files panicked"),
            }
        }
    }

    pub(super) async fn accept(&self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        self.0.acceptor.accept(stream).await
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Tls").field(&self.0.certificate).finish_non_exhaustive()
    }
}

impl Current {
    fn get(&self) -> Pair {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl ResolvesServerCert for Current {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.get().key)
    }
}

/// The contents of both files, read together.
struct Files {
    certificate: Zeroizing<Vec<u8>>,
    key: Zeroizing<Vec<u8>>,
}

impl Files {
    fn read(certificate: &Path, key: &Path) -> Result<Self, ServerError> {
        let read = |path| read_regular(path, FILE_LIMIT);
        Ok(Self { certificate: read(certificate)?, key: read(key)? })
    }

    fn digest(&self) -> [u8; 32] {
        let parts = [Sha256::digest(&*self.certificate), Sha256::digest(&*self.key)];
        Sha256::digest(parts.concat()).into()
    }

    fn pair(
        &self,
        certificate: &Path,
        key: &Path,
        provider: &CryptoProvider,
    ) -> Result<Pair, ServerError> {
        let refuse = |error: &dyn fmt::Display| path_error(certificate, error);
        let chain = CertificateDer::pem_slice_iter(&self.certificate)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| refuse(&error))?;
        if chain.is_empty() {
            return Err(refuse(&"contains no PEM certificate"));
        }
        let private = PrivateKeyDer::from_pem_slice(&self.key)
            .map_err(|_| path_error(key, &"contains no unencrypted PEM private key"))?;
        let certified = CertifiedKey::from_der(chain, private, provider).map_err(|error| {
            use rustls::Error::{InconsistentKeys, InvalidCertificate};
            match error {
                InconsistentKeys(_) => path_error(
                    key,
                    &format!("does not belong to the certificate {}", certificate.display()),
                ),
                InvalidCertificate(_) => refuse(&error),
                error => path_error(key, &error),
            }
        })?;
        // The same as the certificate's: from_der has compared them.
        let public = certified
            .key
            .public_key()
            .ok_or_else(|| path_error(key, &"its public key can't be derived"))?;
        let pin = Sha256::digest(public.as_ref()).into();
        Ok(Pair { key: Arc::new(certified), pin })
    }
}
