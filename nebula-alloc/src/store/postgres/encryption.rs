//! Whether a connection is encrypted, and how the server proves who it is.

use std::path::PathBuf;

use crate::Error;

/// How much a connection is protected, as libpq's `sslmode`;
/// <https://www.postgresql.org/docs/current/libpq-ssl.html#LIBPQ-SSL-PROTECTION>. There is no `allow`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SslMode {
    Disable,
    /// Encrypted if the server can.
    Prefer,
    /// Encrypted, with whoever answers.
    Require,
    /// The server's certificate leads to a trusted root.
    VerifyCa,
    /// And names the host.
    VerifyFull,
}

const MODES: &[(&str, SslMode)] = &[
    ("disable", SslMode::Disable),
    ("prefer", SslMode::Prefer),
    ("require", SslMode::Require),
    ("verify-ca", SslMode::VerifyCa),
    ("verify-full", SslMode::VerifyFull),
];

/// What the address says of encryption.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Encryption {
    /// Where left out: none inside the machine, and `verify-full` beyond.
    pub(super) mode: Option<SslMode>,
    /// A PEM file; where left out, those that the system trusts.
    pub(super) root_certificates: Option<PathBuf>,
    /// The client's, with its chain: a PEM file.
    pub(super) certificate: Option<PathBuf>,
    /// Its key: a PEM file.
    pub(super) key: Option<PathBuf>,
}

impl Encryption {
    /// Takes an option of an address, unless it is about something else. An empty value is none.
    pub(super) fn set(&mut self, name: &str, value: &str) -> Result<bool, Error> {
        let path = || (!value.is_empty()).then(|| PathBuf::from(value));
        match name {
            "sslmode" => {
                let mode = MODES.iter().find(|(name, _)| *name == value).map(|(_, mode)| *mode);
                let expected = "disable, prefer, require, verify-ca or verify-full";
                self.mode = Some(mode.ok_or_else(|| refused("sslmode", expected, value))?);
            }
            "sslrootcert" => self.root_certificates = path().filter(|_| value != "system"),
            "sslcert" => self.certificate = path(),
            "sslkey" => self.key = path(),
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// What holds for a server.
    pub(super) fn mode_for(&self, is_local: bool) -> SslMode {
        match self.mode {
            // As libpq has it.
            Some(SslMode::Require) if self.root_certificates.is_some() => SslMode::VerifyCa,
            Some(mode) => mode,
            None if is_local => SslMode::Disable,
            None => SslMode::VerifyFull,
        }
    }
}

pub(super) fn refused(name: &'static str, expected: &'static str, found: &str) -> Error {
    Error::Setting { name, expected, found: found.into() }
}

/// What protects a connection to a PostgreSQL server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Protection {
    /// Nothing leaves this machine: a Unix socket, or a loopback address.
    Local,
    /// TLS, and the server has proved that it is the one that is meant.
    Verified,
    /// TLS with whoever answers (`sslmode=prefer` or `require`): who is between can read and change
    /// everything.
    Unverified,
    /// None: who is on the way can read and change everything.
    Plain,
}

impl Protection {
    /// Whether the server is the one that is meant: it may be sent a password as it is, or in a form from
    /// which it can be found (MD5).
    pub(super) fn is_trusted(self) -> bool {
        matches!(self, Self::Local | Self::Verified)
    }
}
