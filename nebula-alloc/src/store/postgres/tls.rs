//! TLS to a PostgreSQL server, and whom it is trusted to be.

use std::io;
use std::path::Path;
use std::sync::Arc;

use aws_lc_rs::digest::{self, SHA256, SHA384, SHA512};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_name;
use rustls::crypto::{CryptoProvider, aws_lc_rs as provider};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use zeroize::Zeroizing;

use super::channel::Stream;
use super::encryption::{Encryption, SslMode, refused};
use crate::error::{EngineFault, Error, Outage};

/// What TLS with one server takes. Files are read each time it is made, so that a new connection
/// notices new ones.
pub(super) struct Connector {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
}

impl Connector {
    /// `name` is the server's, or its address.
    ///
    /// # Errors
    ///
    /// [`Error::Setting`] for a file that is not what it should be, and a name that no certificate
    /// can have.
    pub(super) fn new(
        encryption: &Encryption,
        mode: SslMode,
        name: &str,
        is_direct: bool,
    ) -> Result<Self, Error> {
        let provider = Arc::new(provider::default_provider());
        let trust = Trust::new(encryption, mode, &provider)?;
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| refused("sslmode", "one that TLS supports", &error.to_string()))?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(trust));
        let mut config = match (&encryption.certificate, &encryption.key) {
            (None, None) => builder.with_no_client_auth(),
            (Some(certificate), Some(key)) => builder
                .with_client_auth_cert(certificates("sslcert", certificate)?, read_key(key)?)
                .map_err(|error| match error {
                    rustls::Error::InvalidCertificate(reason) => {
                        let found = format!("{}: {reason}", certificate.display());
                        refused("sslcert", "an X.509 certificate of version 3", &found)
                    }
                    error => {
                        let found = format!("{}: {error}", key.display());
                        refused("sslkey", "the key of the certificate in sslcert", &found)
                    }
                })?,
            (Some(_), None) => return Err(refused("sslkey", "given with sslcert", "left out")),
            (None, Some(_)) => return Err(refused("sslcert", "given with sslkey", "left out")),
        };
        if is_direct {
            config.alpn_protocols = vec![b"postgresql".to_vec()];
        }
        let name = ServerName::try_from(name.to_owned())
            .map_err(|_| refused("host", "a host name or an address", name))?;
        Ok(Self { config: Arc::new(config), name })
    }

    /// Returns the encrypted stream, and what binds a password to it (RFC 5929, section 4).
    pub(super) async fn connect(
        self,
        stream: Box<dyn Stream>,
    ) -> Result<(TlsStream<Box<dyn Stream>>, Option<Vec<u8>>), Outage> {
        let connecting = TlsConnector::from(self.config).connect(self.name, stream);
        let stream = connecting.await.map_err(|error| outage(&error))?;
        let certificates = stream.get_ref().1.peer_certificates().unwrap_or_default();
        let binding = certificates.first().and_then(|certificate| end_point(certificate));
        Ok((stream, binding))
    }
}

/// Why TLS was not begun.
fn outage(error: &io::Error) -> Outage {
    match error.get_ref().and_then(|inner| inner.downcast_ref()) {
        Some(rustls::Error::InvalidCertificate(reason)) => {
            Outage::UntrustedServer(EngineFault { code: None, message: reason.to_string() })
        }
        _ => Outage::Tls(EngineFault::uncoded(error)),
    }
}

/// Which servers are trusted.
#[derive(Debug)]
struct Trust {
    provider: Arc<CryptoProvider>,
    /// `None` trusts all.
    verifier: Option<Arc<WebPkiServerVerifier>>,
    /// Those of `sslrootcert`. Each is trusted as a server's, too: one that a server made for itself.
    own: Vec<CertificateDer<'static>>,
    checks_name: bool,
}

impl Trust {
    fn new(
        encryption: &Encryption,
        mode: SslMode,
        provider: &Arc<CryptoProvider>,
    ) -> Result<Self, Error> {
        let checks_name = mode == SslMode::VerifyFull;
        let (mut verifier, mut own) = (None, Vec::new());
        if checks_name || mode == SslMode::VerifyCa {
            let mut roots = RootCertStore::empty();
            let (expected, found) = match &encryption.root_certificates {
                Some(path) => {
                    own = certificates("sslrootcert", path)?;
                    roots.add_parsable_certificates(own.iter().cloned());
                    ("a PEM file of root certificates", format!("{}: none", path.display()))
                }
                None => {
                    let system = rustls_native_certs::load_native_certs();
                    roots.add_parsable_certificates(system.certs);
                    let expected = "a PEM file of root certificates, as the system trusts none";
                    (expected, "left out".to_owned())
                }
            };
            let roots =
                WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider));
            let built = roots.build().map_err(|_| refused("sslrootcert", expected, &found))?;
            verifier = Some(built);
        }
        Ok(Self { provider: Arc::clone(provider), verifier, own, checks_name })
    }
}

impl ServerCertVerifier for Trust {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let Some(verifier) = &self.verifier else { return Ok(ServerCertVerified::assertion()) };
        if self.own.contains(certificate) {
            if self.checks_name {
                verify_server_name(&ParsedCertificate::try_from(certificate)?, name)?;
            }
            return Ok(ServerCertVerified::assertion());
        }
        match verifier.verify_server_cert(certificate, intermediates, name, ocsp, now) {
            Err(rustls::Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) if !self.checks_name => Ok(ServerCertVerified::assertion()),
            other => other,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

fn certificates(setting: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let found = match read {
        Ok(read) if !read.is_empty() => return Ok(read),
        Ok(_) => format!("{}: no certificate", path.display()),
        Err(error) => format!("{}: {error}", path.display()),
    };
    Err(refused(setting, "a PEM file with certificates", &found))
}

/// Refuses a key that others of the machine can read, as libpq does.
fn read_key(path: &Path) -> Result<PrivateKeyDer<'static>, Error> {
    let refuse = |expected, found: &str| {
        Err(refused("sslkey", expected, &format!("{}: {found}", path.display())))
    };
    let expected = "a PEM file with an unencrypted private key";
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt as _;
        match std::fs::metadata(path) {
            Ok(file) => {
                let allowed = if file.uid() == 0 { 0o740 } else { 0o700 };
                if file.mode() & 0o777 & !allowed != 0 {
                    let mode = format!("mode {:04o}", file.mode() & 0o7777);
                    return refuse("a file of mode 0600 (0640 if root owns it)", &mode);
                }
            }
            Err(error) => return refuse(expected, &error.to_string()),
        }
    }
    let text = match std::fs::read(path) {
        Ok(text) => Zeroizing::new(text),
        Err(error) => return refuse(expected, &error.to_string()),
    };
    PrivateKeyDer::from_pem_slice(&text).or_else(|_| refuse(expected, "none"))
}

/// The digest of a certificate by the hash of its signature, SHA-256 instead of MD5 and SHA-1; `None`
/// where the signature has none of its own, such as Ed25519's.
fn end_point(certificate: &[u8]) -> Option<Vec<u8>> {
    const RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01];
    const ECDSA: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04];
    // Certificate ::= SEQUENCE { tbsCertificate, signatureAlgorithm SEQUENCE { OID, … }, … }
    let (_, certificate_content, _) = element(certificate)?;
    let (_, _, after) = element(certificate_content)?;
    let (_, algorithm, _) = element(after)?;
    let (_, oid, _) = element(algorithm)?;
    let hash = match (oid.strip_prefix(RSA), oid.strip_prefix(ECDSA)) {
        (Some([4 | 5 | 11]), _) | (_, Some([1] | [3, 2])) => &SHA256,
        (Some([12]), _) | (_, Some([3, 3])) => &SHA384,
        (Some([13]), _) | (_, Some([3, 4])) => &SHA512,
        _ => return None,
    };
    Some(digest::digest(hash, certificate).as_ref().to_vec())
}

/// The first DER element: its tag, its content, and what comes after it.
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = der.split_first()?;
    let (&first, mut rest) = rest.split_first()?;
    let mut length = usize::from(first);
    if first > 0x80 {
        let (digits, after) = rest.split_at_checked(usize::from(first & 0x7f))?;
        let fold = |sum: usize, &digit: &u8| sum.checked_mul(256)?.checked_add(digit.into());
        length = digits.iter().try_fold(0, fold)?;
        rest = after;
    }
    let (content, after) = rest.split_at_checked(length)?;
    Some((tag, content, after))
}
