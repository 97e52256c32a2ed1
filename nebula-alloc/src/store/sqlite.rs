//! SQLite. One file, one writer; readers beside it.

mod connection;
mod disk;
mod file_id;
mod files;
mod lock;
mod log;
mod open;
mod owner;
mod readers;
#[cfg(test)]
mod tests;
mod transaction;

use std::path::{Path, PathBuf};

use rusqlite::Connection;

use self::connection::{connect, set_cache, trust};
use self::disk::{refuse_log_alone, try_room, unavailable};
use self::files::{Files, check_names, refuse_mount};
use self::lock::{Lock, create, lock};
use self::log::Log;
use self::open::{OpenSqlite, check};
pub use self::readers::Readers;
pub use self::transaction::SqliteTransaction;
use self::transaction::failure;
use crate::error::{Doubt, EngineFault, Error, Outage};
use crate::schema::COMPONENT;
use crate::store::Transaction;
use crate::store::migrate::{Component, migrate};
use crate::store::{Begin, Begun, LAST_EVENT, Open, Subject};

/// The one writing connection to a database file.
///
/// While it exists, the same file cannot be opened for writing a second time through this crate, in
/// any process or under any name: on Linux the file itself is locked, elsewhere one beside it (the
/// same name and `.writer`). The lock ends with the process.
///
/// Before and after each commit it checks that the file is still the one at its path, has one name,
/// and has its log beside it. Otherwise nothing is written or acknowledged until that is corrected.
///
/// [Closing](Self::close) it, or dropping it, leaves one file that is the whole database.
#[derive(Debug)]
pub struct Sqlite {
    path: PathBuf,
    connection: Connection,
    cache: u64,
    components: Vec<Component>,
    files: Files,
    log: Log,
    /// `None` once it is closed.
    lock: Option<Lock>,
}

impl Sqlite {
    /// Opens the database, makes it (readable by its owner only) if it does not exist, and brings
    /// this crate's tables to the current version.
    ///
    /// Write-ahead log, full synchronisation and foreign keys are set and read back.
    ///
    /// # Errors
    ///
    /// [`Error::SecondWriter`]; those of [`migrate`]; [`Error::Setting`] when a setting did not
    /// take; [`Error::Unavailable`] when the file cannot be used, has a second name (a hard link), is
    /// mounted by itself, or the log beside it belongs to another file.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, Error> {
        refuse_log_alone(path.as_ref())?;
        let path = create(path.as_ref()).map_err(unavailable)?;
        check_names(&path, &path.metadata().map_err(unavailable)?)?;
        let lock = lock(&path)?;
        refuse_mount(&path)?;
        let was_closed = owner::is_empty(&path);
        let connection = connect(&path)?;
        if !was_closed {
            owner::refuse_contradictions(&connection, &path)?;
        }
        trust(&connection)?;
        let files = Files::of(&path)?;
        let log = Log::new(&connection, files.check(&lock)?)?;
        let (cache, components) = (Self::CACHE, Vec::new());
        set_cache(&connection, cache)?;
        let mut store = Self { path, connection, cache, components, files, log, lock: Some(lock) };
        store.migrate(&COMPONENT)?;
        // From here on the file without its log is a database with these tables.
        log::empty(&store.connection)?;
        owner::record(&store.path)?;
        Ok(store)
    }

    /// How much of the database the writing connection keeps in memory at most, unless told
    /// otherwise: 8 MiB. It takes what it needs, and no more than the database is large.
    ///
    /// More is not always faster: SQLite walks its whole cache after a commit that split a page. The
    /// system keeps what it can of the rest of the file in memory.
    pub const CACHE: u64 = 8 << 20;

    /// With another bound on what the writing connection keeps in memory, in bytes. What does not fit
    /// is read from the file each time, and while writing ever more so: random keys have their place
    /// anywhere in an index.
    ///
    /// # Errors
    ///
    /// The engine's.
    pub fn with_cache(mut self, bytes: u64) -> Result<Self, Error> {
        set_cache(&self.connection, bytes)?;
        self.cache = bytes;
        Ok(self)
    }

    /// Brings a caller's own tables to the current version, in one transaction.
    ///
    /// # Errors
    ///
    /// As [`migrate`].
    pub fn migrate(&mut self, component: &Component) -> Result<(), Error> {
        self.transaction(|tx| migrate(tx, component))?;
        self.components.push(*component);
        Ok(())
    }

    /// Runs `work` in one transaction, which is committed when it succeeds and else leaves nothing.
    ///
    /// # Errors
    ///
    /// Those of `work`, and the engine's; [`Error::OutcomeUnknown`] when the commit failed.
    pub fn transaction<T, E: From<Error>>(
        &mut self,
        work: impl FnOnce(&mut dyn Transaction) -> Result<T, E>,
    ) -> Result<T, E> {
        let mut open = self.open_transaction()?;
        let output = work(&mut open)?;
        open.commit().map_err(|error| match error {
            Error::Contended(_) => error,
            other => Error::OutcomeUnknown(Doubt::Commit(Box::new(other))),
        })?;
        Ok(output)
    }

    /// Read-only connections to the same file, `count` of them (at least one).
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] when the file cannot be opened.
    pub fn readers(&self, count: usize) -> Result<Readers, Error> {
        Readers::beside(&self.path, count)
    }

    /// The database file, with links resolved.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Closes it, so that the file alone is the whole database: what the log has is copied into it.
    /// Where no [`Readers`] of it are left, the log is removed.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] when the log is still needed: another program reads the database, or
    /// it is not where it was.
    pub fn close(mut self) -> Result<(), Error> {
        Begin::close(&mut self)
    }

    fn open_transaction(&mut self) -> Result<OpenSqlite<'_>, Error> {
        if !self.connection.is_autocommit() {
            self.connection.execute_batch("ROLLBACK").map_err(failure)?;
        }
        let lock = self.lock.as_ref().ok_or_else(closed)?;
        let lengths = check(&self.files, lock, &self.connection)?;
        if self.log.is_cut(&self.connection, lengths.log) {
            self.files.note_cut_log();
            self.files.check(lock)?;
        }
        self.log.bound(&self.connection)?;
        self.connection.execute_batch("BEGIN IMMEDIATE").map_err(failure)?;
        Ok(OpenSqlite::new(&self.connection, &self.files, lock, &mut self.log))
    }
}

impl Drop for Sqlite {
    fn drop(&mut self) {
        // Who wants to know closes it.
        let _ = Begin::close(self);
    }
}

impl Begin for Sqlite {
    type Open<'a> = OpenSqlite<'a>;

    /// The file has one writer: nothing is being changed elsewhere.
    fn begin(&mut self, _: i64, _: &[&Subject]) -> Result<Begun<OpenSqlite<'_>>, Error> {
        let mut open = self.open_transaction()?;
        let last =
            open.query(LAST_EVENT, &[])?.first().map(|row| row.columns().integer()).transpose()?;
        Ok(Begun { open, last_event: last, elsewhere: Vec::new() })
    }

    /// A fresh connection, the log written once more, and the whole database read. Where the disk
    /// is full it all ends here: what the last commit took of it would let some more through, and
    /// refuse others, for as long as it lasts.
    fn recover(&mut self, _: i64) -> Result<(), Error> {
        let lock = self.lock.as_ref().ok_or_else(closed)?;
        check(&self.files, lock, &self.connection)?;
        try_room(&self.path).map_err(unavailable)?;
        // The old one is closed first, so that what it believed about the file goes with it.
        self.connection = Connection::open_in_memory().map_err(failure)?;
        let connection = connect(&self.path)?;
        set_cache(&connection, self.cache)?;
        let files = Files::of(&self.path)?;
        if !files.is_same_database(&self.files) {
            return Err(Error::Unavailable(Outage::Replaced));
        }
        self.log = Log::new(&connection, files.check(lock)?)?;
        (self.connection, self.files) = (connection, files);
        let verdict: String = self
            .connection
            .query_row("PRAGMA quick_check(1)", [], |row| row.get(0))
            .map_err(failure)?;
        if verdict != "ok" {
            return Err(Error::Unavailable(Outage::Damaged(EngineFault::uncoded(&verdict))));
        }
        trust(&self.connection)?;
        owner::record(&self.path)?;
        for component in self.components.clone() {
            self.transaction(|tx| migrate(tx, &component))?;
        }
        Ok(())
    }

    fn close(&mut self) -> Result<(), Error> {
        let Some(lock) = self.lock.take() else { return Ok(()) };
        // Without an answer to what is still open, nothing is copied.
        let copied = self.files.check(&lock).and_then(|_| log::empty(&self.connection));
        // Closed before another writer can get the lock.
        if let Ok(nothing) = Connection::open_in_memory() {
            self.connection = nothing;
        }
        copied?;
        match self.files.log_length() {
            0 => {
                owner::forget(&self.path);
                Ok(())
            }
            bytes => Err(Error::Unavailable(Outage::LogInUse { path: self.path.clone(), bytes })),
        }
    }
}

fn closed() -> Error {
    Error::Unavailable(Outage::Closed)
}
