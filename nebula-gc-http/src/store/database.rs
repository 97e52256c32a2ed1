//! The database, SQLite or PostgreSQL, and its readers.

use nebula_alloc::store::Transaction;
use nebula_alloc::store::migrate::Component;
#[cfg(feature = "postgres")]
use nebula_alloc::{Postgres, PostgresReaders};
use nebula_alloc::{Readers, Sqlite, Writer, WriterOptions};

use crate::Error;

/// The database.
#[derive(Debug)]
#[non_exhaustive]
pub enum Database {
    /// A file, for one server.
    Sqlite(Box<Sqlite>),
    /// A database server, for any number of our servers.
    #[cfg(feature = "postgres")]
    Postgres(Box<Postgres>),
}

impl From<Sqlite> for Database {
    fn from(store: Sqlite) -> Self {
        Self::Sqlite(Box::new(store))
    }
}

#[cfg(feature = "postgres")]
impl From<Postgres> for Database {
    fn from(store: Postgres) -> Self {
        Self::Postgres(Box::new(store))
    }
}

impl Database {
    pub(crate) fn migrate(&mut self, component: &Component) -> Result<(), Error> {
        match self {
            Self::Sqlite(store) => store.migrate(component)?,
            #[cfg(feature = "postgres")]
            Self::Postgres(store) => store.migrate(component)?,
        }
        Ok(())
    }

    /// Before the writer has it.
    pub(crate) fn transaction<T>(
        &mut self,
        work: impl FnOnce(&mut dyn Transaction) -> Result<T, Error>,
    ) -> Result<T, Error> {
        match self {
            Self::Sqlite(store) => store.transaction(work),
            #[cfg(feature = "postgres")]
            Self::Postgres(store) => store.transaction(work),
        }
    }

    /// Splits it into who writes and who reads.
    pub(crate) fn start(
        self,
        clock: impl Fn() -> i64 + Send + 'static,
        options: WriterOptions,
        readers: usize,
    ) -> Result<(Writer, Reading), Error> {
        Ok(match self {
            Self::Sqlite(store) => {
                let reading = Reading::Sqlite(store.readers(readers)?);
                (Writer::start(*store, clock, options)?, reading)
            }
            #[cfg(feature = "postgres")]
            Self::Postgres(store) => {
                let reading = Reading::Postgres(Box::new(store.readers(readers)?));
                (Writer::start(*store, clock, options)?, reading)
            }
        })
    }
}

/// Connections that read snapshots beside the writer.
pub(crate) enum Reading {
    Sqlite(Readers),
    #[cfg(feature = "postgres")]
    Postgres(Box<PostgresReaders>),
}

impl Reading {
    /// Whether other instances may write to the same database.
    pub(crate) fn is_shared(&self) -> bool {
        match self {
            Self::Sqlite(_) => false,
            #[cfg(feature = "postgres")]
            Self::Postgres(_) => true,
        }
    }

    /// Before the writer is closed. Waits for reads under way.
    pub(crate) fn close(&self) {
        match self {
            Self::Sqlite(readers) => readers.close(),
            // Nothing of a server's is left behind.
            #[cfg(feature = "postgres")]
            Self::Postgres(_) => {}
        }
    }

    pub(crate) fn read<T>(
        &self,
        work: impl FnOnce(&mut dyn Transaction) -> Result<T, Error>,
    ) -> Result<T, Error> {
        match self {
            Self::Sqlite(readers) => readers.read(work),
            #[cfg(feature = "postgres")]
            Self::Postgres(readers) => readers.read(work),
        }
    }
}
