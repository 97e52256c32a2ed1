use std::path::PathBuf;

use super::{DatabaseUrl, Draft, PREFIX, number, seconds, switch};

/// One setting.
#[derive(Debug)]
pub struct Setting {
    /// Its word.
    pub name: &'static str,
    /// What stands for its value in a help text.
    pub value: &'static str,
    /// Its value where none is given.
    pub default: Option<&'static str>,
    /// What it is, in a line.
    pub help: &'static str,
    /// Whether the file's value is a number; a text otherwise.
    pub is_number: bool,
    /// Whether it is `true` or `false`, in the file without quotation marks; the flag alone is `true`.
    pub is_switch: bool,
    pub(super) set: Set,
}

pub(super) type Set = fn(&mut Draft, &str) -> Result<(), String>;

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

/// All settings, as the help text lists them.
pub const SETTINGS: &[Setting] = &[
    Setting::text("listen", "ADDR", "Where to listen", |draft, value| {
        let refuse = |_| "must be an address with a port, as 127.0.0.1:8080 or [::]:443".to_owned();
        draft.settings.listen = value.parse().map_err(refuse)?;
        Ok(())
    })
    .default("127.0.0.1:8080"),
    Setting::text(
        "data",
        "DIR",
        "Where the database, the secrets and the first operator key are kept",
        |draft, value| path(value).map(|path| draft.settings.data = path),
    )
    .default("nebula-gc-data"),
    Setting::text(
        "database",
        "URL",
        "A PostgreSQL (postgres://user:password@host/name) in place of SQLite in the data directory. \
         Other users of the machine see flags: give a password by the environment or the file",
        |draft, value| {
            draft.settings.database = Some(DatabaseUrl(value.to_owned()));
            Ok(())
        },
    ),
    Setting::text(
        "secrets-file",
        "FILE",
        "Where the server's secrets are kept, if not in secrets.json in the data directory",
        |draft, value| path(value).map(|path| draft.settings.secrets_file = Some(path)),
    ),
    Setting::text(
        "public-url",
        "URL",
        "What links for devices name, if not the address of --listen: https://nebula.example.org",
        |draft, value| {
            let rest = value.strip_prefix("https://").or_else(|| value.strip_prefix("http://"));
            let is_url =
                rest.is_some_and(|rest| !rest.is_empty() && !rest.contains(['?', '#', ' ']));
            if !is_url || !value.bytes().all(|byte| byte.is_ascii_graphic()) {
                return Err("must be an address like https://nebula.example.org".to_owned());
            }
            let host = rest.unwrap_or_default().split(['/', ']']).next().unwrap_or_default();
            if host.starts_with("0.0.0.0") || host == "[::" {
                return Err("must name an address that devices can reach, not all of them".to_owned());
            }
            draft.settings.public_url = Some(value.trim_end_matches('/').to_owned());
            Ok(())
        },
    ),
    Setting::text(
        "cors-origins",
        "LIST",
        "Origins whose pages browsers let ask, with commas: https://panel.example.org; none by default",
        |draft, value| {
            draft.settings.cors_origins = value.parse()?;
            Ok(())
        },
    ),
    Setting::text(
        "tls-certificate",
        "FILE",
        "Serve HTTPS with this certificate and its chain, in PEM; read again when it changes and on \
         SIGHUP",
        |draft, value| path(value).map(|path| draft.tls_certificate = Some(path)),
    ),
    Setting::text("tls-key", "FILE", "The certificate's key, in PEM", |draft, value| {
        path(value).map(|path| draft.tls_key = Some(path))
    }),
    Setting::switch(
        "allow-plain-http",
        "Serve plain HTTP to other machines, too: everyone on the way sees keys and tokens",
        |draft, value| switch(value).map(|allow| draft.settings.allow_plain_http = allow),
    )
    .default("false"),
    Setting::number(
        "signer-patience",
        "SECONDS",
        "How long a request waits for a CA's key that is held elsewhere (the file's [signers])",
        |draft, value| seconds(value).map(|time| draft.settings.signer_patience = time),
    )
    .default("20"),
    Setting::number(
        "ca-key-memory",
        "MEBIBYTES",
        "How much memory opening an encrypted CA key may take that is brought in; one at a time",
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
        "Forget what has been over for so long: events, ended certificates, expired join tokens and \
         released nodes; without it nothing is forgotten",
        |draft, value| {
            let days = number(value, 30..=36_500)?;
            draft.settings.options.keep_history = i64::try_from(days * 86_400).ok();
            Ok(())
        },
    ),
    Setting::text(
        "log",
        "LEVEL",
        "What is logged to the standard error: error, warn, info, debug, trace, or a list as \
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
        "How many connections are open at once, waiting ones included; more wait their turn",
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
        "How many of them one source address has (of IPv6, a /64); more are closed. Behind a reverse \
         proxy, set it to max-connections",
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
        "How much the bodies of all requests under way may take together; one address has a quarter",
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
        "How long a client may take to send the head of a request, and may idle between two",
        |draft, value| seconds(value).map(|time| draft.settings.limits.header_time = time),
    )
    .default("30"),
    Setting::number(
        "handshake-timeout",
        "SECONDS",
        "How long a TLS handshake may take",
        |draft, value| seconds(value).map(|time| draft.settings.limits.handshake_time = time),
    )
    .default("10"),
    Setting::number(
        "response-timeout",
        "SECONDS",
        "How long a client may take to receive an answer",
        |draft, value| seconds(value).map(|time| draft.settings.limits.response_time = time),
    )
    .default("60"),
    Setting::number(
        "shutdown-timeout",
        "SECONDS",
        "How long requests may take to finish once the server was asked to stop",
        |draft, value| seconds(value).map(|time| draft.settings.limits.grace = time),
    )
    .default("10"),
];

fn path(value: &str) -> Result<PathBuf, String> {
    if value.is_empty() { Err("must not be empty".to_owned()) } else { Ok(PathBuf::from(value)) }
}
