//! How to connect, and what a connection must be like.

use std::time::Duration;

use super::connection;
use super::encryption::Protection;
use super::lock::Locks;
use super::server::{Server, servers};
use super::session::Session;
use super::timeline::Timelines;
use super::url::Address;
use crate::Error;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// After this long without a sign of the server's machine the connection is given up.
const SILENCE: Duration = Duration::from_secs(10);

/// No lock is waited for long: a batch elsewhere is over in milliseconds.
pub(super) const LOCK_TIMEOUT: &str = "SET lock_timeout = '1s'";

/// Of all connections: no transaction is left open.
const EVERYWHERE: &str = "SET idle_in_transaction_session_timeout = '60s';
     SET jit = off";

/// Each statement of the writer finds its rows through an index, whatever the statistics say, and
/// is planned once: what an operation costs must not depend on what the database holds. A process
/// that stalls inside a transaction keeps its locks for at most so long.
const WRITING: &str = "SET idle_in_transaction_session_timeout = '10s';
     SET plan_cache_mode = force_generic_plan;
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
    address: Address,
    timelines: Timelines,
}

impl Settings {
    pub(super) fn parse(url: &str) -> Result<Self, Error> {
        let mut address = Address::parse(url)?;
        let config = &mut address.config;
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
        Ok(Self { address, timelines: Timelines::default() })
    }

    /// A connection that is as it must be. For reading it is the first of the servers that will do;
    /// for writing all are asked, because after a failover the old primary may be there too.
    pub(super) fn open(&self, purpose: Purpose) -> Result<Opened, Error> {
        let patience =
            self.address.config.get_connect_timeout().copied().unwrap_or(CONNECT_TIMEOUT);
        let servers = servers(&self.address, patience);
        let mut server = match purpose {
            Purpose::Reading => self.timelines.first(servers, patience)?,
            Purpose::Writing => self.timelines.newest(servers, patience)?,
        };
        if purpose == Purpose::Writing {
            server.check_writing()?;
        }
        let Server { mut session, place, synchronous_commit, pid, timeline, .. } = server;
        session.script(LOCK_TIMEOUT)?;
        session.script(EVERYWHERE)?;
        session.script(&place.pin())?;
        if purpose == Purpose::Writing {
            // As it was found, whatever the server's settings become.
            session.script(&format!("SET synchronous_commit = {synchronous_commit}"))?;
            session.script(WRITING)?;
        }
        session.kept = connection::settings(&mut session)?;
        session.following = Locks::new(&place.schema).following();
        session.settle();
        let protection = session.protection;
        Ok(Opened { session, schema: place.schema, pid, timeline, protection })
    }
}

/// A connection, and what is known of it.
pub(super) struct Opened {
    pub(super) session: Session,
    /// Where our tables are.
    pub(super) schema: String,
    /// The process that serves it.
    pub(super) pid: i64,
    /// The server's; `None` of a standby.
    pub(super) timeline: Option<u32>,
    pub(super) protection: Protection,
}
