//! A server's settings: from flags, the environment and one file, in that order of precedence.
//!
//! A setting has one word: `public-url` is the flag `--public-url`, the variable
//! `NEBULAGC_PUBLIC_URL` and the file's key `public-url`.

mod file;
mod signer;
mod table;

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use zeroize::{Zeroize, ZeroizeOnDrop};

pub use self::signer::{SignerSetting, SignerSource};
pub use self::table::{SETTINGS, Setting};
use crate::Options;
use crate::api::Origins;
use crate::server::Limits;

/// What all variables begin with.
const PREFIX: &str = "NEBULAGC_";
/// The variables that are no settings of the server.
const OTHER_VARIABLES: &[&str] =
    &["NEBULAGC_CONFIG", "NEBULAGC_KEY_FILE", "NEBULAGC_PIN", "NEBULAGC_SERVER"];

/// What a server is told.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Settings {
    /// Where to listen.
    pub listen: SocketAddr,
    /// Where a server keeps what is its own.
    pub data: PathBuf,
    /// The PostgreSQL to use; SQLite in the data directory where there is none.
    pub database: Option<DatabaseUrl>,
    /// Another place for `secrets.json` than the data directory.
    pub secrets_file: Option<PathBuf>,
    /// The address that devices use, where it is another than the listener's.
    pub public_url: Option<String>,
    /// The origins whose pages browsers let ask; none by default.
    pub cors_origins: Origins,
    /// Certificate and key for HTTPS; plain HTTP where there are none.
    pub tls: Option<(PathBuf, PathBuf)>,
    /// Whether plain HTTP may be served to other machines.
    pub allow_plain_http: bool,
    /// Who holds the keys of CAs that this server does not hold; from the file alone.
    pub signers: Vec<SignerSetting>,
    /// How long a request waits for a signer.
    pub signer_patience: Duration,
    /// What is logged, as `tracing_subscriber::EnvFilter` takes it.
    pub log: String,
    /// What connections may take.
    pub limits: Limits,
    /// What the service does for how long, and with how much.
    pub options: Options,
}

/// The address of a database; it may hold a password and does not print.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct DatabaseUrl(String);

/// Why settings can't be used: where, and what to change.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {reason}")]
pub struct SettingsError {
    /// The flag, the variable, or the file and line.
    pub place: String,
    /// What to change.
    pub reason: String,
}

/// Where settings come from.
#[derive(Debug, Default, Clone, Copy)]
pub struct Sources<'a> {
    /// Settings by name, with their values.
    pub flags: &'a [(String, String)],
    /// All variables of the environment.
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
    /// Reads them. An empty variable counts as none.
    ///
    /// # Errors
    /// [`SettingsError`] for the first value that can't be used, wherever it stands, and for an
    /// unknown key of the file.
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
        // Later ones replace earlier ones; what is wrong is refused even where it is replaced.
        for Given { place, setting, value } in given {
            (setting.set)(&mut draft, &value).map_err(|reason| SettingsError { place, reason })?;
        }
        draft.finish()
    }

    /// Refuses to serve plain HTTP to other machines, unless the settings say that it may be.
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
            reason: format!(
                "{} is reached from other machines, and plain HTTP shows keys and tokens on the way: \
                 set tls-certificate and tls-key, or listen on 127.0.0.1 behind a proxy with HTTPS, \
                 or say --allow-plain-http where the network itself is private",
                self.listen
            ),
        })
    }

    /// The variables of ours that mean nothing: misspelt, perhaps.
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
    /// The whole address, with its password.
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

/// One value and where it stands.
struct Given {
    place: String,
    setting: &'static Setting,
    value: String,
}

/// Settings of which some only make sense together.
#[derive(Default)]
struct Draft {
    settings: Settings,
    tls_certificate: Option<PathBuf>,
    tls_key: Option<PathBuf>,
}

impl Draft {
    fn finish(self) -> Result<Settings, SettingsError> {
        let lacks = |there: &str, missing: &str| SettingsError {
            place: there.to_owned(),
            reason: format!("needs {missing} beside it"),
        };
        let tls = match (self.tls_certificate, self.tls_key) {
            (Some(certificate), Some(key)) => Some((certificate, key)),
            (None, None) => None,
            (Some(_), None) => return Err(lacks("tls-certificate", "tls-key")),
            (None, Some(_)) => return Err(lacks("tls-key", "tls-certificate")),
        };
        Ok(Settings { tls, ..self.settings })
    }
}

fn seconds(value: &str) -> Result<Duration, String> {
    number(value, 1..=3600).map(Duration::from_secs)
}

fn switch(value: &str) -> Result<bool, String> {
    value.parse().map_err(|_| "must be true or false".to_owned())
}

fn number(value: &str, range: std::ops::RangeInclusive<u64>) -> Result<u64, String> {
    value
        .parse()
        .ok()
        .filter(|number| range.contains(number))
        .ok_or_else(|| format!("must be a whole number from {} to {}", range.start(), range.end()))
}
