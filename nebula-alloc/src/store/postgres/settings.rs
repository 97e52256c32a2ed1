//! How to connect, and what a connection must be like.

use std::time::Duration;

use tokio_postgres::Config;
use tokio_postgres::config::SslMode;

use super::pipeline::Reply;
use super::session::Session;
use super::value;
use crate::Error;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// After this long without a sign of the server's machine the connection is given up.
const SILENCE: Duration = Duration::from_secs(10);

const ASK: &str = "SELECT current_setting('fsync'), current_setting('full_page_writes'),
     current_setting('synchronous_commit'), pg_is_in_recovery(),
     CAST(current_schema() AS TEXT)";

/// Of all connections: no lock is waited for long, and nobody's transaction is left open.
const EVERYWHERE: &str = "SET lock_timeout = '2s';
     SET idle_in_transaction_session_timeout = '60s';
     SET jit = off";

/// Each statement of the writer finds its rows through an index, whatever the statistics say, and
/// is planned once: what an operation costs must not depend on what the database holds.
const WRITING: &str = "SET plan_cache_mode = force_generic_plan;
     SET enable_seqscan = off;
     SET enable_bitmapscan = off";

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    Reading,
    Writing,
}

/// Where the database is. Not to be shown: it holds a password.
#[derive(Clone)]
pub(super) struct Settings {
    config: Config,
}

impl Settings {
    pub(super) fn parse(url: &str) -> Result<Self, Error> {
        let refused = |name, expected: &str, found: &str| Error::Setting {
            name,
            expected: expected.into(),
            found: found.into(),
        };
        let tls =
            |found: &str| refused("sslmode", "disable or prefer (this build has no TLS)", found);
        // The parser knows no such words.
        if let Some(mode) = ["verify-full", "verify-ca"].into_iter().find(|mode| url.contains(mode))
            && url.contains("sslmode")
        {
            return Err(tls(mode));
        }
        // The parser's words may quote what it did not understand, and that may be a password.
        let mut config: Config = url.parse().map_err(|_| {
            refused("url", "postgresql://user:password@host/database?option=value", "another text")
        })?;
        if !matches!(config.get_ssl_mode(), SslMode::Disable | SslMode::Prefer) {
            return Err(tls("require"));
        }
        config.ssl_mode(SslMode::Disable);
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(CONNECT_TIMEOUT);
        }
        if config.get_tcp_user_timeout().is_none() {
            config.tcp_user_timeout(SILENCE);
        }
        if config.get_keepalives_interval().is_none() {
            config.keepalives_idle(SILENCE / 2);
            config.keepalives_interval(SILENCE / 5);
            config.keepalives_retries(3);
        }
        if config.get_application_name().is_none() {
            config.application_name("nebula-alloc");
        }
        Ok(Self { config })
    }

    /// A connection that is as it must be, and the schema that it works in.
    pub(super) fn open(&self, purpose: Purpose) -> Result<(Session, String), Error> {
        let mut session = Session::open(&self.config)?;
        let Reply::Rows(rows) = session.one(ASK, &[])? else {
            return Err(Error::Unavailable { reason: "the server tells no settings".into() });
        };
        let row = match rows.first() {
            Some(row) => value::row(row)?,
            None => {
                return Err(Error::Unavailable { reason: "the server tells no settings".into() });
            }
        };
        for (index, name, allowed) in [
            (0, "fsync", ["on", "on"]),
            (1, "full_page_writes", ["on", "on"]),
            (2, "synchronous_commit", ["on", "remote_apply"]),
        ] {
            let found = row.text(index)?;
            if !allowed.contains(&found) {
                let [expected, _] = allowed;
                return Err(Error::Setting {
                    name,
                    expected: expected.into(),
                    found: found.into(),
                });
            }
        }
        let Some(schema) = row.optional_text(4)? else {
            let expected = "a schema that exists".into();
            return Err(Error::Setting { name: "search_path", expected, found: "none".into() });
        };
        session.script(EVERYWHERE)?;
        if purpose == Purpose::Writing {
            if row.integer(3)? != 0 {
                let reason = "the server is a standby".into();
                return Err(Error::Unavailable { reason });
            }
            // As it was found, whatever the server's settings become.
            session.script(&format!("SET synchronous_commit = {}", row.text(2)?))?;
            session.script(WRITING)?;
        }
        Ok((session, schema.to_owned()))
    }
}
