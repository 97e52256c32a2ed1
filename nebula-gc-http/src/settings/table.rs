//! The table of all settings: names, defaults, help texts and how each value is read.

use std::path::PathBuf;

use super::{DatabaseUrl, Draft, PREFIX, SettingFault, number, seconds, switch};
use crate::api::NotOrigin;

/// One setting.
#[derive(Debug)]
pub struct Setting {
    /// Its name.
    pub name: &'static str,
    /// The placeholder for its value in help texts.
    pub value: &'static str,
    /// Its default value, if there is one.
    pub default: Option<&'static str>,
    /// Its help text.
    pub help: &'static str,
    /// Whether its value in the file is a number; otherwise a string.
    pub is_number: bool,
    /// Whether its value is `true` or `false`, in the file without quotation marks; the flag alone means
    /// `true`.
    pub is_switch: bool,
    pub(super) set: Set,
}

pub(super) type Set = fn(&mut Draft, &str) -> Result<(), SettingFault>;

impl Setting {
    /// `--name`.
    #[must_use]
    pub fn flag(&self) -> String {
        format!("--{}", self.name)
    }

    /// `NEBULAGC_NAME`.
    #[must_use]
    pub fn variable(&self) -> String {
        PREFIX.to_owned() + &self.name.replace('-', "_").to_ascii_uppercase()
    }

    const fn text(name: &'static str, value: &'static str, help: &'static str, set: Set) -> Self {
        Self { name, value, default: None, help, is_number: false, is_switch: false, set }
    }

    const fn number(name: &'static str, value: &'static str, help: &'static str, set: Set) -> Self {
        Self { is_number: true, ..Self::text(name, value, help, set) }
    }

    const fn switch(name: &'static str, help: &'static str, set: Set) -> Self {
        Self { is_switch: true, ..Self::text(name, "true|false", help, set) }
    }

    const fn default(self, default: &'static str) -> Self {
        Self { default: Some(default), ..self }
    }
}

/// All settings, in the order of the help text.
pub const SETTINGS: &[Setting] = &[
    Setting::text("listen", "ADDR", "Address and port to listen on", |draft, value| {
        draft.settings.listen = value.parse().map_err(|_| SettingFault::NotSocketAddress)?;
        Ok(())
    })
    .default("127.0.0.1:8080"),
    Setting::text(
        "data",
        "DIR",
        "Directory for the database, the secrets and the first operator key",
        |draft, value| path(value).map(|path| draft.settings.data = path),
    )
    .default("nebula-gc-data"),
    Setting::text(
        "database",
        "URL",
        "Use this PostgreSQL (postgres://user:password@host/name) instead of SQLite in the data directory; \
         on another machine with TLS, unless ?sslmode= says otherwise. \
         Other users of the machine can see flags: pass a password by the environment or the file",
        |draft, value| {
            draft.settings.database = Some(DatabaseUrl(value.to_owned()));
            Ok(())
        },
    ),
    Setting::text(
        "secrets-file",
        "FILE",
        "File for the server's secrets, if not secrets.json in the data directory",
        |draft, value| path(value).map(|path| draft.settings.secrets_file = Some(path)),
    ),
    Setting::text(
        "public-url",
        "URL",
        "URL for links to devices, if not the address of --listen: https://nebula.example.org",
        |draft, value| {
            let rest = value.strip_prefix("https://").or_else(|| value.strip_prefix("http://"));
            let is_url =
                rest.is_some_and(|rest| !rest.is_empty() && !rest.contains(['?', '#', ' ']));
            if !is_url || !value.bytes().all(|byte| byte.is_ascii_graphic()) {
                return Err(SettingFault::NotUrl);
            }
            let host = rest.unwrap_or_default().split(['/', ']']).next().unwrap_or_default();
            if host.starts_with("0.0.0.0") || host == "[::" {
                return Err(SettingFault::Wildcard);
            }
            draft.settings.public_url = Some(value.trim_end_matches('/').to_owned());
            Ok(())
        },
    ),
    Setting::text(
        "cors-origins",
        "LIST",
        "Origins whose web pages may call the API (CORS), separated by commas, such as \
         https://panel.example.org; default: none",
        |draft, value| {
            draft.settings.cors_origins =
                value.parse().map_err(|NotOrigin { text }| SettingFault::NotOrigin { text })?;
            Ok(())
        },
    ),
    Setting::text(
        "tls-certificate",
        "FILE",
        "Serve HTTPS with this certificate and its chain (PEM); reloaded when the file changes and on \
         SIGHUP",
        |draft, value| path(value).map(|path| draft.tls_certificate = Some(path)),
    ),
    Setting::text("tls-key", "FILE", "Private key of the certificate (PEM)", |draft, value| {
        path(value).map(|path| draft.tls_key = Some(path))
    }),
    Setting::switch(
        "allow-plain-http",
        "Serve plain HTTP to other machines, too: anyone on the path can read keys and tokens",
        |draft, value| switch(value).map(|allow| draft.settings.allow_plain_http = allow),
    )
    .default("false"),
    Setting::number(
        "signer-patience",
        "SECONDS",
        "How long a request waits for a signer (defined in the file's [signers])",
        |draft, value| seconds(value).map(|time| draft.settings.signer_patience = time),
    )
    .default("20"),
    Setting::number(
        "ca-key-memory",
        "MEBIBYTES",
        "Memory limit for decrypting an imported CA key; one key is decrypted at a time",
        |draft, value| {
            let limit = number(value, 1..=65_536)?;
            draft.settings.options.key_memory = u32::try_from(limit << 10).unwrap_or(u32::MAX);
            Ok(())
        },
    )
    .default("2048"),
    Setting::number(
        "keep-history",
        "DAYS",
        "Delete history that is older: events, expired certificates and join tokens, released nodes; \
         default: everything is kept",
        |draft, value| {
            let days = number(value, 30..=36_500)?;
            draft.settings.options.keep_history = i64::try_from(days * 86_400).ok();
            Ok(())
        },
    ),
    Setting::text(
        "log",
        "LEVEL",
        "Log level of the standard error: error, warn, info, debug, trace, or a list such as \
         info,nebula_gc_http=debug",
        |draft, value| {
            value.clone_into(&mut draft.settings.log);
            Ok(())
        },
    )
    .default("info"),
    Setting::number(
        "max-connections",
        "NUMBER",
        "Maximum number of open connections, long polls included; more wait until one ends",
        |draft, value| {
            let limit = number(value, 1..=1_000_000)?;
            draft.settings.limits.connections = usize::try_from(limit).unwrap_or(usize::MAX);
            Ok(())
        },
    )
    .default("20000"),
    Setting::number(
        "max-connections-per-address",
        "NUMBER",
        "Maximum number of open connections of one source address (IPv6: of a /64); more are closed. \
         Behind a reverse proxy, set it to max-connections",
        |draft, value| {
            let limit = number(value, 1..=1_000_000)?;
            draft.settings.limits.connections_per_address = usize::try_from(limit).unwrap_or(usize::MAX);
            Ok(())
        },
    )
    .default("2000"),
    Setting::number(
        "max-body-memory",
        "MEBIBYTES",
        "Memory limit for the bodies of all requests in progress; each source address may use a quarter",
        |draft, value| {
            let limit = number(value, 16..=65_536)?;
            draft.settings.limits.body_bytes = usize::try_from(limit << 20).unwrap_or(usize::MAX);
            Ok(())
        },
    )
    .default("64"),
    Setting::number(
        "header-timeout",
        "SECONDS",
        "Time limit for sending the head of a request, and for idling between two requests",
        |draft, value| seconds(value).map(|time| draft.settings.limits.header_time = time),
    )
    .default("30"),
    Setting::number(
        "handshake-timeout",
        "SECONDS",
        "Time limit for a TLS handshake",
        |draft, value| seconds(value).map(|time| draft.settings.limits.handshake_time = time),
    )
    .default("10"),
    Setting::number(
        "response-timeout",
        "SECONDS",
        "Time limit for receiving a response",
        |draft, value| seconds(value).map(|time| draft.settings.limits.response_time = time),
    )
    .default("60"),
    Setting::number(
        "shutdown-timeout",
        "SECONDS",
        "Time limit for requests in progress once the server was asked to stop",
        |draft, value| seconds(value).map(|time| draft.settings.limits.grace = time),
    )
    .default("10"),
];

fn path(value: &str) -> Result<PathBuf, SettingFault> {
    if value.is_empty() { Err(SettingFault::Empty) } else { Ok(PathBuf::from(value)) }
}
