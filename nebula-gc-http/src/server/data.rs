//! The directory in which a server keeps what is its own.

use std::fs::{DirBuilder, File};
use std::io::{ErrorKind, Read as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

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
use crate::service::{operator_keys, upkeep};
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
    /// is not there yet: the database, the server's secrets, and the root operator key.
    ///
    /// # Errors
    /// [`ServerError::Path`] where a file is unusable or missing, also for a database that was there
    /// before; [`ServerError::Service`].
    pub fn start(&self) -> Result<Service, ServerError> {
        if let Some(what) = lack(&self.database())? {
            self.refuse_to_begin_anew(what)?;
        }
        self.start_with(self.sqlite()?)
    }

    /// Starts the service over a PostgreSQL, which other servers may share, making at the first
    /// start what is not there yet: the tables, the server's secrets, and the root operator key.
    ///
    /// Connecting waits: not to be called on a thread that serves.
    ///
    /// # Errors
    /// [`ServerError::Database`] where it can't be used; [`ServerError::Path`] where a file is
    /// unusable, and for secrets that are to be had from another server; [`ServerError::Service`].
    #[cfg(feature = "postgres")]
    pub fn start_over(&self, url: &str) -> Result<Service, ServerError> {
        self.start_with(postgres(url)?)
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
    /// here on time is counted from `now`. Answers when that event says it was; nothing, where none
    /// is so far ahead that it has to be said: then nothing changes. `url` is of the PostgreSQL, where
    /// the database is not in the directory; servers that use it are ready again within a second.
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

    /// Makes another root operator key, for who has lost theirs, and writes it to
    /// [`operator_key`](Self::operator_key), which must not be there. `now` is in seconds since the
    /// Unix epoch; `url` is of the PostgreSQL, where the database is not in the directory.
    ///
    /// # Errors
    /// [`ServerError::Path`], also for a file that is there and while a server uses the database in
    /// the directory; [`ServerError::Database`]; [`ServerError::Service`] for secrets that are not
    /// this database's, tables of another version, and where the clock is to be confirmed first.
    pub fn new_operator_key(&self, url: Option<&str>, now: i64) -> Result<(), ServerError> {
        let (mut database, file) = (self.existing(url)?, self.operator_key());
        if exists(&file)? {
            let reason = "is there already: use the key in it, or move it away";
            return Err(path_error(&file, &reason));
        }
        let secrets = self.secrets().load()?;
        let key = Bearer::new_operator_key()?;
        let hashed = secrets.hash(&key)?;
        Ok(database.transaction(|tx| {
            check(tx, &crate::COMPONENT)?;
            secrets::verify(tx, &secrets)?;
            let now = event::time(tx, now)?;
            operator_keys::insert_root(tx, now, &hashed, "nebula-gc operator-key new")?;
            // The copy comes first: whoever has none can't use what is stored.
            write_key(&file, &key).map_err(unwritten)
        })?)
    }

    /// Blocks again what is valid at `now` (seconds since the Unix epoch) and was taken away, and puts
    /// back what a clock that was ahead let expire. Answers how many certificates it found. `url` is
    /// of the PostgreSQL, where the database is not in the directory.
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
            None => {
                let database = self.database();
                if let Some(what) = lack(&database)? {
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

    /// The first start makes the database and its tables, then the secrets, notes in the database
    /// which those are, then writes the operator key. So it can go on wherever it was cut off, and
    /// what is there without what comes before it was left by a database that is lost.
    fn start_with(&self, mut database: Database) -> Result<Service, ServerError> {
        let (file, key_file) = (self.secrets(), self.operator_key());
        let secrets = file.load_or_make(|is_there| {
            database.migrate(&crate::COMPONENT)?;
            let is_written = database.transaction(secrets::is_written)?;
            if is_written && !is_there {
                return Err(path_error(file.path(), &MISSING));
            }
            if !is_written && exists(&key_file)? {
                return Err(path_error(&key_file, &OF_ANOTHER));
            }
            Ok(())
        })?;
        let keep = move |key| keep_first(&key_file, key).map_err(unwritten);
        let signers = self.signers.clone();
        Ok(Service::start_keeping(database, secrets, signers, watched_clock(), keep)?)
    }

    /// Refuses a database that is to be made, but was there before, as other files in the directory
    /// tell. Secrets from elsewhere tell nothing: they may have been made for it beforehand.
    fn refuse_to_begin_anew(&self, what: &str) -> Result<(), ServerError> {
        let mut left = Vec::new();
        for name in ["secrets.json", "operator.key"] {
            if exists(&self.path.join(name))? {
                left.push(name);
            }
        }
        let Some(first) = left.first() else { return Ok(()) };
        let reason = format!(
            "{what}, although {first} is there: put the database back, or move secrets.json and \
             operator.key away to begin anew"
        );
        Err(path_error(&self.database(), &reason))
    }

    /// A database that is there already.
    fn existing(&self, url: Option<&str>) -> Result<Database, ServerError> {
        match url {
            #[cfg(feature = "postgres")]
            Some(url) => postgres(url),
            #[cfg(not(feature = "postgres"))]
            Some(_) => Err(ServerError::Database("built without PostgreSQL".to_owned())),
            None => match lack(&self.database())? {
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
                path_error(&self.path, &"is in use by a server that runs")
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
const OF_ANOTHER: &str = "is there, although the database is new: name the database that it \
                          belongs to, or move operator.key away to begin anew";

/// What is wrong with a database file that holds nothing.
fn lack(database: &Path) -> Result<Option<&'static str>, ServerError> {
    match database.metadata() {
        Ok(found) if found.len() == 0 => Ok(Some("is empty")),
        Ok(_) => Ok(None),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Some("is missing")),
        Err(error) => Err(path_error(database, &error)),
    }
}

/// Writes the operator key, unless a first start that was cut off did before: that one is used.
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
        .ok_or_else(|| path_error(file, &"holds no operator key: move it away and start again"))
}

fn write_key(file: &Path, key: &Bearer) -> Result<(), ServerError> {
    let line = Zeroizing::new([key.expose(), "\n"].concat());
    write_durably(file, line.as_bytes())
}

/// What is read of an operator key's file at most, in bytes.
const KEY_LIMIT: u64 = 1 << 10;

fn unwritten(error: ServerError) -> Error {
    Unavailable::system("keeping the operator key", error).into()
}

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
