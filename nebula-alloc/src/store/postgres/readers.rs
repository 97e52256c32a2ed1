//! Reading beside the writer.

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use super::session::Session;
use super::settings::{Purpose, Settings};
use super::transaction::OpenPostgres;
use crate::Error;
use crate::schema::COMPONENT;
use crate::store::Transaction;
use crate::store::migrate::check;

const BEGIN: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";

/// How long to wait for a connection that is in use.
const PATIENCE: Duration = Duration::from_secs(5);

/// A few read-only connections. They never wait for a writer, nor it for them.
///
/// A snapshot that is held keeps the server from cleaning up: read what is needed and return.
pub struct PostgresReaders {
    settings: Settings,
    /// `None` is one that has to be connected anew.
    idle: Mutex<Vec<Option<Session>>>,
    returned: Condvar,
}

impl std::fmt::Debug for PostgresReaders {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("PostgresReaders")
    }
}

impl PostgresReaders {
    /// Connects `count` of them (at least one), for programs that only look. `url` as for
    /// [`Postgres::connect`](super::Postgres::connect).
    ///
    /// # Errors
    ///
    /// As there, but for the settings that writing rests on; those of [`check`] for this crate's
    /// tables.
    pub fn open(url: &str, count: usize) -> Result<Self, Error> {
        let readers = Self::connect(&Settings::parse(url)?, count)?;
        readers.read(|tx| check(tx, &COMPONENT))?;
        Ok(readers)
    }

    pub(super) fn connect(settings: &Settings, count: usize) -> Result<Self, Error> {
        let open = |_| Ok(Some(settings.open(Purpose::Reading)?.0));
        let idle = (0..count.max(1)).map(open).collect::<Result<_, Error>>()?;
        Ok(Self { settings: settings.clone(), idle: Mutex::new(idle), returned: Condvar::new() })
    }

    /// Runs `work` on one consistent snapshot. Writing fails.
    ///
    /// # Errors
    ///
    /// Those of `work`; [`Error::Unavailable`] when all connections stay in use for 5 seconds, or
    /// the server is not there.
    pub fn read<T, E: From<Error>>(
        &self,
        work: impl FnOnce(&mut dyn Transaction) -> Result<T, E>,
    ) -> Result<T, E> {
        let mut lent = Lent { session: self.borrow()?, readers: self };
        let session = match &mut lent.session {
            Some(session) => session,
            empty => empty.insert(self.settings.open(Purpose::Reading)?.0),
        };
        if session.script(BEGIN).is_err() && session.lost().is_some() {
            // It was lost while nobody used it.
            *session = self.settings.open(Purpose::Reading)?.0;
            session.script(BEGIN)?;
        }
        work(&mut OpenPostgres::new(session, None))
    }

    fn borrow(&self) -> Result<Option<Session>, Error> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut idle, _) = self
            .returned
            .wait_timeout_while(idle, PATIENCE, |idle| idle.is_empty())
            .unwrap_or_else(PoisonError::into_inner);
        idle.pop().ok_or_else(|| Error::Unavailable { reason: "all readers are in use".into() })
    }
}

/// A connection that comes back, even when who reads panics.
struct Lent<'a> {
    session: Option<Session>,
    readers: &'a PostgresReaders,
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        let session = self.session.take().filter(|session| session.lost().is_none());
        self.readers.idle.lock().unwrap_or_else(PoisonError::into_inner).push(session);
        self.readers.returned.notify_one();
    }
}
