//! Reading beside the writer.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use super::rights::{self, Need};
use super::session::Session;
use super::settings::{Purpose, Settings};
use super::settled;
use super::transaction::OpenPostgres;
use crate::error::{Error, Outage};
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
    /// `None` is one that has to be reconnected.
    idle: Mutex<Vec<Option<Session>>>,
    returned: Condvar,
    /// The last event that was found settled.
    settled: AtomicI64,
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
    /// As there, but for what only writing needs; those of [`check`] for this crate's tables.
    pub fn open(url: &str, count: usize) -> Result<Self, Error> {
        let readers = Self::connect(&Settings::parse(url)?, count)?;
        readers.read(|tx| {
            rights::check(tx, &COMPONENT, Need::Read)?;
            check(tx, &COMPONENT)
        })?;
        Ok(readers)
    }

    pub(super) fn connect(settings: &Settings, count: usize) -> Result<Self, Error> {
        let open = |_| Ok(settings.open(Purpose::Reading)?.session);
        let mut idle = (0..count.max(1)).map(open).collect::<Result<Vec<_>, Error>>()?;
        // There may be no tables yet, and a standby cannot know.
        let settled = idle.first_mut().and_then(|session| settled::last(session).ok());
        Ok(Self {
            settings: settings.clone(),
            idle: Mutex::new(idle.into_iter().map(Some).collect()),
            returned: Condvar::new(),
            settled: AtomicI64::new(settled.unwrap_or_default()),
        })
    }

    /// Runs `work` on one consistent snapshot. Writing fails.
    ///
    /// # Errors
    ///
    /// Those of `work`; [`Error::Unavailable`] when all connections stay in use for 5 seconds, or
    /// the server cannot be reached.
    pub fn read<T, E: From<Error>>(
        &self,
        work: impl FnOnce(&mut dyn Transaction) -> Result<T, E>,
    ) -> Result<T, E> {
        let mut lent = Lent { session: self.borrow()?, readers: self };
        let known = self.settled.load(Ordering::Acquire);
        let session = match &mut lent.session {
            Some(session) => session,
            empty => empty.insert(self.anew()?),
        };
        let begun = session.script(BEGIN);
        if begun.is_err() && session.lost().is_some() {
            // It was lost while it was idle.
            *session = self.anew()?;
            session.script(BEGIN)?;
        } else {
            begun?;
        }
        work(&mut OpenPostgres::reading(session, BEGIN, (&self.settled, known)))
    }

    fn anew(&self) -> Result<Session, Error> {
        let session = self.settings.open(Purpose::Reading)?.session;
        // A server that was promoted may not have the last events.
        self.settled.store(0, Ordering::Release);
        Ok(session)
    }

    fn borrow(&self) -> Result<Option<Session>, Error> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut idle, _) = self
            .returned
            .wait_timeout_while(idle, PATIENCE, |idle| idle.is_empty())
            .unwrap_or_else(PoisonError::into_inner);
        idle.pop().ok_or(Error::Unavailable(Outage::ReadersInUse))
    }
}

/// A connection that is given back, even when the reader panics.
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
