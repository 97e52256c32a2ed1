//! The data directory: the database, the server's secrets and the root operator key, and what operators do
//! with them while the server is stopped.

use std::fs::{DirBuilder, File};
use std::io::{ErrorKind, Read as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

#[cfg(feature = "postgres")]
use nebula_alloc::Protection;
use nebula_alloc::store::Transaction;
use nebula_alloc::store::migrate::check;
use nebula_alloc::{Actor, Readers, Sqlite, clock};
use zeroize::Zeroizing;

use super::clock::watched_clock;
use super::file::{path_error, refuse_others, write_durably};
use super::{SecretsFile, ServerError};
use crate::error::Unavailable;
use crate::secret::BearerKind;
use crate::service::secrets::{self, Pruned};
use crate::service::{first_start, upkeep};
use crate::store::event;
use crate::{Bearer, Database, Error, ServerSecrets, Service, Signers, Violation, verify};

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
    /// Opens a directory, and creates it if it does not exist.
    ///
    /// # Errors
    /// [`ServerError::Path`], also for a directory that other users may access.
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

    /// A directory that should exist already; whether it does shows when it is used.
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

    /// Starts the service over the SQLite database in the directory. The first start creates the
    /// database, the server's secrets and the root operator key.
    ///
    /// # Errors
    /// [`ServerError::Path`] where a file is unusable or missing, also where the database is gone but
    /// its secrets or key remain; [`ServerError::Service`].
    pub fn start(&self) -> Result<Service, ServerError> {
        if let Some(what) = absence_of(&self.database())? {
            self.refuse_to_start_over(what)?;
        }
        self.start_with(self.sqlite()?)
    }

    /// Starts the service over a PostgreSQL, which other servers may share. The first start creates the
    /// tables, the server's secrets and the root operator key.
    ///
    /// Connecting blocks: do not call it on a thread of an asynchronous runtime.
    ///
    /// # Errors
    /// [`ServerError::Database`] where it can't be used; [`ServerError::Path`] where a file is
    /// unusable, and where the secrets have to be copied from another server; [`ServerError::Service`].
    #[cfg(feature = "postgres")]
    pub fn start_over(&self, url: &str) -> Result<Service, ServerError> {
        self.start_with(postgres(url)?)
    }

    /// Deletes the server's former keys that nothing uses any more, and reports what became of each.
    /// `url` is the PostgreSQL's, where the database is not in the directory.
    ///
    /// # Errors
    /// [`ServerError::Path`], also while a server uses the database in the directory;
    /// [`ServerError::Database`]; [`ServerError::Service`] for secrets that are not this database's.
    pub fn prune_secrets(&self, url: Option<&str>) -> Result<Vec<String>, ServerError> {
        let mut database = self.existing(url)?;
        database.migrate(&crate::COMPONENT)?;
        self.secrets().change(|secrets| {
            let pruned = database.transaction(|tx| secrets::prune(tx, secrets))?;
            // Their check values are deleted: a key left behind by a crash does no harm.
            Ok(pruned.into_iter().map(|key| drop_if_unused(secrets, &key)).collect())
        })
    }

    /// Confirms that it is `now` (seconds since the Unix epoch) although the last event is later: from
    /// then on time is counted from `now`. Returns the time of that event, or nothing if it is not ahead
    /// far enough to need confirmation: then nothing changes. `url` is the PostgreSQL's, where the
    /// database is not in the directory; servers that use it are ready again within a second.
    ///
    /// # Errors
    /// [`ServerError::Path`], also while a server uses the database in the directory;
    /// [`ServerError::Database`]; [`ServerError::Service`].
    pub fn confirm_clock(&self, url: Option<&str>, now: i64) -> Result<Option<i64>, ServerError> {
        let actor = Actor::named("nebula-gc confirm-clock");
        let mut database = self.existing(url)?;
        Ok(database.transaction(|tx| {
            let last = event::is_ahead(tx, now)?;
            if last.is_some() {
                clock::confirm(tx, now, &actor)?;
            }
            Ok::<_, Error>(last)
        })?)
    }

    /// Creates another root operator key, for operators who have lost theirs, and writes it to
    /// [`operator_key`](Self::operator_key), which must not exist. `now` is in seconds since the Unix
    /// epoch; `url` is the PostgreSQL's, where the database is not in the directory.
    ///
    /// # Errors
    /// [`ServerError::Path`], also for a file that is there and while a server uses the database in
    /// the directory; [`ServerError::Database`]; [`ServerError::Service`] for secrets that are not
    /// this database's, tables of another version, and where the clock is to be confirmed first.
    pub fn new_operator_key(&self, url: Option<&str>, now: i64) -> Result<(), ServerError> {
        let (mut database, file) = (self.existing(url)?, self.operator_key());
        if exists(&file)? {
            let reason = "already exists: use the key in it, or move it away";
            return Err(path_error(&file, &reason));
        }
        let secrets = self.secrets().load()?;
        let key = Bearer::new_operator_key()?;
        let hashed = secrets.hash(&key)?;
        Ok(database.transaction(|tx| {
            check(tx, &crate::COMPONENT)?;
            secrets::verify(tx, &secrets)?;
            let now = event::time(tx, now)?;
            first_start::insert_root(tx, now, &hashed, "nebula-gc operator-key new")?;
            // The file is written first: a key that is stored but was never written is of no use.
            write_key(&file, &key).map_err(unwritten)
        })?)
    }

    /// Blocks again what was revoked and is still valid at `now` (seconds since the Unix epoch), and
    /// restores what a clock that was ahead marked as expired. Returns how many certificates it repaired.
    /// `url` is the PostgreSQL's, where the database is not in the directory.
    ///
    /// # Errors
    /// [`ServerError::Path`], also while a server uses the database in the directory;
    /// [`ServerError::Database`]; [`ServerError::Service`] for tables of another version, and where
    /// the clock is to be confirmed first.
    pub fn repair(&self, url: Option<&str>, now: i64) -> Result<u64, ServerError> {
        let mut database = self.existing(url)?;
        Ok(database.transaction(|tx| {
            check(tx, &crate::COMPONENT)?;
            upkeep::repair(tx, now, "nebula-gc verify --repair")
        })?)
    }

    /// All inconsistencies in the database at `now` (seconds since the Unix epoch). Servers may use it
    /// meanwhile. `url` is the PostgreSQL's, where the database is not in the directory.
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
                .map_err(ServerError::Database)?
                .read(look)?,
            #[cfg(not(feature = "postgres"))]
            Some(_) => return Err(ServerError::NoPostgres),
            None => {
                let database = self.database();
                if let Some(what) = absence_of(&database)? {
                    return Err(path_error(&database, &what));
                }
                Readers::open(&database, 1)
                    .map_err(|error| path_error(&database, &unreadable(&error)))?
                    .read(look)
                    .map_err(|error: Error| path_error(&database, &error))?
            }
        };
        Ok(found)
    }

    /// The first start creates the database and its tables, then the secrets, records their check values
    /// in the database, and then writes the operator key. So it can resume wherever it was interrupted;
    /// a later file without the earlier ones was left behind by a database that is lost.
    fn start_with(&self, mut database: Database) -> Result<Service, ServerError> {
        let (file, key_file) = (self.secrets(), self.operator_key());
        let secrets = file.load_or_make(|is_there| {
            database.migrate(&crate::COMPONENT)?;
            let is_written = database.transaction(secrets::is_written)?;
            if is_written && !is_there {
                return Err(path_error(file.path(), &MISSING));
            }
            if !is_written && exists(&key_file)? {
                return Err(path_error(&key_file, &FOREIGN_KEY));
            }
            Ok(())
        })?;
        let keep = move |key| keep_first(&key_file, key).map_err(unwritten);
        let signers = self.signers.clone();
        Ok(Service::start_keeping(database, secrets, signers, watched_clock(), keep)?)
    }

    /// Refuses to create a database where one existed before, as other files in the directory show.
    /// Secrets stored elsewhere show nothing: they may have been created for it beforehand.
    fn refuse_to_start_over(&self, what: &str) -> Result<(), ServerError> {
        let mut left = Vec::new();
        for name in ["secrets.json", "operator.key"] {
            if exists(&self.path.join(name))? {
                left.push(name);
            }
        }
        let Some(first) = left.first() else { return Ok(()) };
        let reason = format!(
            "{what}, although {first} exists: restore the database, or move secrets.json and \
             operator.key away to start over"
        );
        Err(path_error(&self.database(), &reason))
    }

    /// A database that exists already.
    fn existing(&self, url: Option<&str>) -> Result<Database, ServerError> {
        match url {
            #[cfg(feature = "postgres")]
            Some(url) => postgres(url),
            #[cfg(not(feature = "postgres"))]
            Some(_) => Err(ServerError::NoPostgres),
            None => match absence_of(&self.database())? {
                None => self.sqlite(),
                Some(what) => Err(path_error(&self.database(), &what)),
            },
        }
    }

    fn database(&self) -> PathBuf {
        self.path.join("nebula-gc.db")
    }

    fn sqlite(&self) -> Result<Database, ServerError> {
        let database = self.database();
        Sqlite::open(&database).map(Database::from).map_err(|error| match error {
            nebula_alloc::Error::SecondWriter { .. } => {
                path_error(&self.path, &"is in use by a running server")
            }
            error => path_error(&database, &error),
        })
    }
}

/// The file to check may be another program's.
fn unreadable(error: &nebula_alloc::Error) -> String {
    match error {
        nebula_alloc::Error::SchemaTooOld { version: 0, .. } => {
            "has none of nebula-gc's tables: it belongs to another program".to_owned()
        }
        error => error.to_string(),
    }
}

const MISSING: &str = "is missing, and the database can't be used without it";
const FOREIGN_KEY: &str = "exists, although the database is new: use the database that it \
                          belongs to, or move operator.key away to start over";

/// Why there is no database in this file, if there is none.
fn absence_of(database: &Path) -> Result<Option<&'static str>, ServerError> {
    match database.metadata() {
        Ok(found) if found.len() == 0 => Ok(Some("is empty")),
        Ok(_) => Ok(None),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Some("is missing")),
        Err(error) => Err(path_error(database, &error)),
    }
}

/// Writes the operator key, unless an interrupted first start already did: then that one is used.
fn keep_first(file: &Path, key: Bearer) -> Result<Bearer, ServerError> {
    if !exists(file)? {
        return write_key(file, &key).map(|()| key);
    }
    refuse_others(file)?;
    let mut line = Zeroizing::new(String::new());
    File::open(file)
        .and_then(|file| file.take(KEY_LIMIT).read_to_string(&mut line))
        .map_err(|error| path_error(file, &error))?;
    Bearer::from_client(line.trim_end())
        .filter(|key| key.kind() == BearerKind::OperatorKey)
        .ok_or_else(|| path_error(file, &"contains no operator key: move it away and start again"))
}

fn write_key(file: &Path, key: &Bearer) -> Result<(), ServerError> {
    let line = Zeroizing::new([key.expose(), "\n"].concat());
    write_durably(file, line.as_bytes())
}

/// How much of an operator key's file is read at most, in bytes.
const KEY_LIMIT: u64 = 1 << 10;

fn unwritten(error: ServerError) -> Error {
    Unavailable::system("keeping the operator key", error).into()
}

fn exists(path: &Path) -> Result<bool, ServerError> {
    path.try_exists().map_err(|error| path_error(path, &error))
}

#[cfg(feature = "postgres")]
fn postgres(url: &str) -> Result<Database, ServerError> {
    let database = nebula_alloc::Postgres::connect(url).map_err(ServerError::Database)?;
    warn_unprotected(database.protection());
    Ok(database.with_clock_tolerance(CLOCK_TOLERANCE).into())
}

#[cfg(feature = "postgres")]
fn warn_unprotected(protection: Protection) {
    match protection {
        Protection::Unverified => tracing::warn!(
            "the connection to PostgreSQL is encrypted, but the server's certificate is not verified: who \
             is on the way can read and change everything; use sslmode=verify-full"
        ),
        Protection::Plain => tracing::warn!(
            "the connection to PostgreSQL is not encrypted: who is on the way can read and change \
             everything; use sslmode=verify-full"
        ),
        _ => {}
    }
}

/// Deletes a key that nothing uses, and reports what became of it.
fn drop_if_unused(secrets: &mut ServerSecrets, key: &Pruned) -> String {
    let Pruned { purpose, key_id, uses } = key;
    let word = purpose.word();
    if uses.is_empty() {
        secrets.forget(*purpose, *key_id);
        format!("{word} key {key_id}: dropped")
    } else {
        format!("{word} key {key_id}: kept for {}", uses.join(", "))
    }
}
