//! The directory in which a server keeps what is its own.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use nebula_alloc::store::Transaction;
use nebula_alloc::store::migrate::check;
use nebula_alloc::{Actor, Readers, Sqlite, clock};
use zeroize::Zeroizing;

use super::clock::watched_clock;
use super::file::{path_error, refuse_others, write_durably};
use super::{SecretsFile, ServerError};
use crate::service::secrets::{self, Pruned};
use crate::{Database, Error, ServerSecrets, Service, Signers, Violation, verify};

/// How far, in seconds, a server's clock may be from its PostgreSQL's.
#[cfg(feature = "postgres")]
const CLOCK_TOLERANCE: u64 = 5;

/// Everything a server keeps: a directory of its own, mode 0700.
#[derive(Debug, Clone)]
pub struct DataDirectory {
    path: PathBuf,
    secrets_file: Option<PathBuf>,
    signers: Signers,
}

impl DataDirectory {
    /// Takes a directory, making it where there is none.
    ///
    /// # Errors
    /// [`ServerError::Path`], also for a directory that others may enter.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, ServerError> {
        let directory = Self::at(path);
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&directory.path)
            .map_err(|error| path_error(&directory.path, &error))?;
        refuse_others(&directory.path)?;
        Ok(directory)
    }

    /// A directory that should be there already; whether it is shows when it is used.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), secrets_file: None, signers: Signers::default() }
    }

    /// With the server's secrets in a file elsewhere, not in `secrets.json`.
    #[must_use]
    pub fn with_secrets_file(self, path: impl Into<PathBuf>) -> Self {
        Self { secrets_file: Some(path.into()), ..self }
    }

    /// With signers that hold the keys of some CAs.
    #[must_use]
    pub fn with_signers(self, signers: Signers) -> Self {
        Self { signers, ..self }
    }

    /// Where the root operator key is kept.
    #[must_use]
    pub fn operator_key(&self) -> PathBuf {
        self.path.join("operator.key")
    }

    /// The server's secrets.
    #[must_use]
    pub fn secrets(&self) -> SecretsFile {
        match &self.secrets_file {
            Some(path) => SecretsFile::at(path),
            None => SecretsFile::at(self.path.join("secrets.json")),
        }
    }

    /// Starts the service over the SQLite database in the directory, making at the first start what
    /// is not there yet: the server's secrets, the database, and the root operator key.
    ///
    /// # Errors
    /// [`ServerError::Path`] where a file is unusable or missing, [`ServerError::Service`].
    pub fn start(&self) -> Result<Service, ServerError> {
        let (database, operator_key) = (self.database(), self.operator_key());
        // The first start makes the secrets, then the database, then the operator key.
        if exists(&operator_key)? && !exists(&database)? {
            let reason = "is missing, although operator.key is there: put the database back, \
                          or move operator.key away to begin anew";
            return Err(path_error(&database, &reason));
        }
        let file = self.secrets();
        let secrets = file.load_or_make(|| {
            if exists(&database)? {
                return Err(path_error(file.path(), &MISSING));
            }
            Ok(())
        })?;
        self.start_service(self.sqlite()?, secrets)
    }

    /// Starts the service over a PostgreSQL, which other servers may share, making at the first
    /// start what is not there yet: the server's secrets, the tables, and the root operator key.
    ///
    /// Connecting waits: not to be called on a thread that serves.
    ///
    /// # Errors
    /// [`ServerError::Database`] where it can't be used; [`ServerError::Path`] where a file is
    /// unusable, and for secrets that are to be had from another server; [`ServerError::Service`].
    #[cfg(feature = "postgres")]
    pub fn start_over(&self, url: &str) -> Result<Service, ServerError> {
        let mut database = postgres(url)?;
        let file = self.secrets();
        let secrets = file.load_or_make(|| {
            database.migrate(&crate::COMPONENT)?;
            if database.transaction(secrets::is_written)? {
                return Err(path_error(file.path(), &MISSING));
            }
            Ok(())
        })?;
        self.start_service(database, secrets)
    }

    /// Drops the former keys of the server that nothing needs any more; says for each what became
    /// of it. `url` is of the PostgreSQL, where the database is not in the directory.
    ///
    /// # Errors
    /// [`ServerError::Path`], also while a server uses the database in the directory;
    /// [`ServerError::Database`]; [`ServerError::Service`] for secrets that are not this database's.
    pub fn prune_secrets(&self, url: Option<&str>) -> Result<Vec<String>, ServerError> {
        let mut database = self.existing(url)?;
        database.migrate(&crate::COMPONENT)?;
        self.secrets().change(|secrets| {
            let pruned = database.transaction(|tx| secrets::prune(tx, secrets))?;
            // The check values are gone: a key that stays behind after a crash does no harm.
            Ok(pruned.into_iter().map(|key| told(secrets, &key)).collect())
        })
    }

    /// Says that it is `now` (seconds since the Unix epoch), although the last event is later: from
    /// here on time is counted from `now`. `url` is of the PostgreSQL, where the database is not in
    /// the directory; servers that use it are ready again within a second.
    ///
    /// # Errors
    /// [`ServerError::Path`], also while a server uses the database in the directory;
    /// [`ServerError::Database`]; [`ServerError::Service`].
    pub fn confirm_clock(&self, url: Option<&str>, now: i64) -> Result<(), ServerError> {
        let actor = Actor::named("nebula-gc confirm-clock");
        let mut database = self.existing(url)?;
        Ok(database.transaction(|tx| Ok(clock::confirm(tx, now, &actor)?))?)
    }

    /// Everything that is wrong in the database at `now` (seconds since the Unix epoch), also while
    /// servers use it. `url` is of the PostgreSQL, where the database is not in the directory.
    ///
    /// # Errors
    /// [`ServerError::Path`] or [`ServerError::Database`] where it can't be read;
    /// [`ServerError::Service`] for tables of another version.
    pub fn verify(&self, url: Option<&str>, now: i64) -> Result<Vec<Violation>, ServerError> {
        let look = |tx: &mut dyn Transaction| {
            check(tx, &crate::COMPONENT)?;
            verify(tx, now)
        };
        let found = match url {
            #[cfg(feature = "postgres")]
            Some(url) => nebula_alloc::PostgresReaders::open(url, 1)
                .map_err(|error| ServerError::Database(error.to_string()))?
                .read(look)?,
            #[cfg(not(feature = "postgres"))]
            Some(_) => return Err(ServerError::Database("built without PostgreSQL".to_owned())),
            None if exists(&self.database())? => Readers::open(self.database(), 1)
                .map_err(|error| path_error(&self.database(), &unreadable(&error)))?
                .read(look)?,
            None => return Err(path_error(&self.database(), &"is missing")),
        };
        Ok(found)
    }

    fn start_service(
        &self,
        database: Database,
        secrets: ServerSecrets,
    ) -> Result<Service, ServerError> {
        let key_file = self.operator_key();
        let keep = move |key: &crate::Bearer| {
            let line = Zeroizing::new([key.expose(), "\n"].concat());
            write_durably(&key_file, line.as_bytes())
                .map_err(|error| Error::Unavailable { internal: error.to_string() })
        };
        let signers = self.signers.clone();
        Ok(Service::start_with(database, secrets, signers, watched_clock(), keep)?)
    }

    /// A database that is there already.
    fn existing(&self, url: Option<&str>) -> Result<Database, ServerError> {
        match url {
            #[cfg(feature = "postgres")]
            Some(url) => postgres(url),
            #[cfg(not(feature = "postgres"))]
            Some(_) => Err(ServerError::Database("built without PostgreSQL".to_owned())),
            None if exists(&self.database())? => self.sqlite(),
            None => Err(path_error(&self.database(), &"is missing")),
        }
    }

    fn database(&self) -> PathBuf {
        self.path.join("nebula-gc.db")
    }

    fn sqlite(&self) -> Result<Database, ServerError> {
        let database = self.database();
        Sqlite::open(&database).map(Database::from).map_err(|error| match error {
            nebula_alloc::Error::SecondWriter { .. } => {
                path_error(&self.path, &"is in use by another server")
            }
            error => path_error(&database, &error),
        })
    }
}

/// Whoever checks a database may have named another program's.
fn unreadable(error: &nebula_alloc::Error) -> String {
    match error {
        nebula_alloc::Error::SchemaTooOld { version: 0, .. } => {
            "has none of nebula-gc's tables: it is another program's".to_owned()
        }
        error => error.to_string(),
    }
}

const MISSING: &str = "is missing, and the database can't be read without it";

fn exists(path: &Path) -> Result<bool, ServerError> {
    path.try_exists().map_err(|error| path_error(path, &error))
}

#[cfg(feature = "postgres")]
fn postgres(url: &str) -> Result<Database, ServerError> {
    nebula_alloc::Postgres::connect(url)
        .map(|database| database.with_clock_tolerance(CLOCK_TOLERANCE).into())
        .map_err(|error| ServerError::Database(error.to_string()))
}

/// Forgets a key that nothing needs, and says so.
fn told(secrets: &mut ServerSecrets, key: &Pruned) -> String {
    let Pruned { purpose, key_id, uses } = key;
    let word = purpose.word();
    if uses.is_empty() {
        secrets.forget(*purpose, *key_id);
        format!("{word} key {key_id}: dropped")
    } else {
        format!("{word} key {key_id}: kept for {}", uses.join(", "))
    }
}
