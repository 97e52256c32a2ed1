//! A server's settings: from flags, the environment and one file, in that order of precedence.
//!
//! A setting has one name: `public-url` is the flag `--public-url`, the environment variable
//! `NEBULAGC_PUBLIC_URL` and the key `public-url` of the file.

mod fault;
mod file;
mod signer;
mod table;

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use zeroize::{Zeroize, ZeroizeOnDrop};

pub use self::fault::SettingFault;
pub use self::signer::{SignerSetting, SignerSource};
pub use self::table::{SETTINGS, Setting};
use crate::Options;
use crate::api::Origins;
use crate::server::Limits;

/// The prefix of all environment variables.
const PREFIX: &str = "NEBULAGC_";
/// Environment variables of other commands, which are no settings of the server.
const OTHER_VARIABLES: &[&str] = &[
    "NEBULAGC_CONFIG",
    "NEBULAGC_KEY_FILE",
    "NEBULAGC_NETWORK",
    "NEBULAGC_PIN",
    "NEBULAGC_SERVER",
];

/// A server's settings.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Settings {
    /// The address and port to listen on.
    pub listen: SocketAddr,
    /// The data directory.
    pub data: PathBuf,
    /// The PostgreSQL to use; without it, SQLite in the data directory.
    pub database: Option<DatabaseUrl>,
    /// The file with the server's secrets, if it is not `secrets.json` in the data directory.
    pub secrets_file: Option<PathBuf>,
    /// The URL that devices use, if it is not the listener's address.
    pub public_url: Option<String>,
    /// The origins whose web pages may call the API (CORS); default: none.
    pub cors_origins: Origins,
    /// The files of the certificate and the key for HTTPS; without them, plain HTTP.
    pub tls: Option<(PathBuf, PathBuf)>,
    /// Whether plain HTTP may be served to other machines.
    pub allow_plain_http: bool,
    /// The signers that hold CA keys outside this server; only from the file.
    pub signers: Vec<SignerSetting>,
    /// How long a request waits for a signer.
    pub signer_patience: Duration,
    /// The log filter, as `tracing_subscriber::EnvFilter` reads it.
    pub log: String,
    /// Limits of connections and requests.
    pub limits: Limits,
    /// Limits and periods of the service.
    pub options: Options,
}

/// The URL of a database. It may contain a password, so it is not printed.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct DatabaseUrl(String);

/// Why settings can't be used: which one, and what to change.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {fault}")]
pub struct SettingsError {
    /// The flag, the environment variable, or the file and line.
    pub place: String,
    /// What to change.
    pub fault: SettingFault,
}

/// Where settings come from.
#[derive(Debug, Default, Clone, Copy)]
pub struct Sources<'a> {
    /// Settings by name, with their values.
    pub flags: &'a [(String, String)],
    /// All environment variables.
    pub environment: &'a [(String, String)],
    /// The file's path and contents.
    pub file: Option<(&'a Path, &'a str)>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            data: PathBuf::from("nebula-gc-data"),
            database: None,
            secrets_file: None,
            public_url: None,
            cors_origins: Origins::default(),
            tls: None,
            allow_plain_http: false,
            signers: Vec::new(),
            signer_patience: Duration::from_secs(20),
            log: "info".to_owned(),
            limits: Limits::default(),
            options: Options::default(),
        }
    }
}

impl Settings {
    /// Reads the settings. An empty environment variable counts as unset.
    ///
    /// # Errors
    /// [`SettingsError`] for the first invalid value, even if another source overrides it, and for an
    /// unknown key in the file.
    pub fn read(sources: Sources<'_>) -> Result<Self, SettingsError> {
        let (mut given, signers) = match sources.file {
            Some((path, text)) => file::read(path, text)?,
            None => (Vec::new(), Vec::new()),
        };
        for (name, value) in sources.environment.iter().filter(|(_, value)| !value.is_empty()) {
            if let Some(setting) = SETTINGS.iter().find(|setting| setting.variable() == *name) {
                given.push(Given { place: name.clone(), setting, value: value.clone() });
            }
        }
        for (name, value) in sources.flags {
            if let Some(setting) = SETTINGS.iter().find(|setting| setting.name == name) {
                given.push(Given { place: setting.flag(), setting, value: value.clone() });
            }
        }
        let mut draft = Draft::default();
        draft.settings.signers = signers;
        // Later ones override earlier ones; an invalid value is an error even where it is overridden.
        for Given { place, setting, value } in given {
            (setting.set)(&mut draft, &value).map_err(|fault| SettingsError { place, fault })?;
        }
        draft.finish()
    }

    /// Refuses to serve plain HTTP to other machines, unless the settings allow it.
    ///
    /// # Errors
    /// [`SettingsError`] with what to set.
    pub fn check_plain_http(&self) -> Result<(), SettingsError> {
        let is_private = self.tls.is_some() || self.listen.ip().to_canonical().is_loopback();
        if is_private || self.allow_plain_http {
            return Ok(());
        }
        Err(SettingsError {
            place: "listen".to_owned(),
            fault: SettingFault::PlainHttp { listen: self.listen },
        })
    }

    /// Environment variables with our prefix that are not known: misspelt, perhaps.
    #[must_use]
    pub fn unknown_variables(environment: &[(String, String)]) -> Vec<&str> {
        environment
            .iter()
            .map(|(name, _)| name.as_str())
            .filter(|name| name.starts_with(PREFIX) && !OTHER_VARIABLES.contains(name))
            .filter(|name| SETTINGS.iter().all(|setting| setting.variable() != *name))
            .collect()
    }
}

impl DatabaseUrl {
    /// The whole URL, with its password.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DatabaseUrl(…)")
    }
}

/// A value and where it was set.
struct Given {
    place: String,
    setting: &'static Setting,
    value: String,
}

/// Settings under construction: some are only valid together.
#[derive(Default)]
struct Draft {
    settings: Settings,
    tls_certificate: Option<PathBuf>,
    tls_key: Option<PathBuf>,
}

impl Draft {
    fn finish(self) -> Result<Settings, SettingsError> {
        let incomplete = |given: &str, missing| SettingsError {
            place: given.to_owned(),
            fault: SettingFault::Incomplete { missing },
        };
        let tls = match (self.tls_certificate, self.tls_key) {
            (Some(certificate), Some(key)) => Some((certificate, key)),
            (None, None) => None,
            (Some(_), None) => return Err(incomplete("tls-certificate", "tls-key")),
            (None, Some(_)) => return Err(incomplete("tls-key", "tls-certificate")),
        };
        Ok(Settings { tls, ..self.settings })
    }
}

fn seconds(value: &str) -> Result<Duration, SettingFault> {
    number(value, 1..=3600).map(Duration::from_secs)
}

fn switch(value: &str) -> Result<bool, SettingFault> {
    value.parse().map_err(|_| SettingFault::NotSwitch)
}

fn number(value: &str, range: std::ops::RangeInclusive<u64>) -> Result<u64, SettingFault> {
    let (least, most) = (*range.start(), *range.end());
    value
        .parse()
        .ok()
        .filter(|number| range.contains(number))
        .ok_or(SettingFault::OutOfRange { least, most })
}
