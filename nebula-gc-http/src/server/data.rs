//! The directory in which a server keeps what is its own.

use std::fs::{DirBuilder, File};
use std::io::Read as _;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use nebula_alloc::Sqlite;
use zeroize::Zeroizing;

use super::ServerError;
use super::clock::watched_clock;
use super::file::{path_error, refuse_others, write_durably};
use crate::{Error, ServerSecrets, Service};

/// Everything a server keeps: a directory of its own, mode 0700.
#[derive(Debug, Clone)]
pub struct DataDirectory(PathBuf);

impl DataDirectory {
    /// Takes a directory, making it where there is none.
    ///
    /// # Errors
    /// [`ServerError::Path`], also for a directory that others may enter.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, ServerError> {
        let directory = Self(path.into());
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&directory.0)
            .map_err(|error| path_error(&directory.0, &error))?;
        refuse_others(&directory.0)?;
        Ok(directory)
    }

    /// Where the root operator key is kept.
    #[must_use]
    pub fn operator_key(&self) -> PathBuf {
        self.0.join("operator.key")
    }

    fn database(&self) -> PathBuf {
        self.0.join("nebula-gc.db")
    }

    fn secrets(&self) -> PathBuf {
        self.0.join("secrets.json")
    }

    /// Starts the service over what is in the directory, making at the first start what is not
    /// there yet: the server's secrets, the database, and the root operator key.
    ///
    /// # Errors
    /// [`ServerError::Path`] where a file is unusable or missing, [`ServerError::Service`].
    pub fn start(&self) -> Result<Service, ServerError> {
        // One start at a time: of two first ones, the later would replace the secrets that the
        // earlier one's database can't be read without. From then on the database has its lock.
        let _starting = File::open(&self.0)
            .and_then(|directory| directory.lock().map(|()| directory))
            .map_err(|error| path_error(&self.0, &error))?;
        let secrets = self.load_secrets()?;
        let database = self.database();
        let store = Sqlite::open(&database).map_err(|error| match error {
            nebula_alloc::Error::SecondWriter { .. } => {
                path_error(&self.0, &"is in use by another server")
            }
            error => path_error(&database, &error),
        })?;
        let key_file = self.operator_key();
        let keep = move |key: &crate::Bearer| {
            let line = Zeroizing::new([key.expose(), "\n"].concat());
            write_durably(&key_file, line.as_bytes())
                .map_err(|error| Error::Unavailable { internal: error.to_string() })
        };
        Ok(Service::start(store, secrets, watched_clock(), keep)?)
    }

    fn load_secrets(&self) -> Result<ServerSecrets, ServerError> {
        let exists = |path: &Path| path.try_exists().map_err(|error| path_error(path, &error));
        let (path, database, operator_key) = (self.secrets(), self.database(), self.operator_key());
        // The first start makes the secrets, then the database, then the operator key.
        if !exists(&database)? && exists(&operator_key)? {
            let reason = "is missing, although operator.key is there: put the database back, \
                          or move operator.key away to begin anew";
            return Err(path_error(&database, &reason));
        }
        if !exists(&path)? {
            if exists(&database)? {
                let reason = "is missing, and the database can't be read without it";
                return Err(path_error(&path, &reason));
            }
            let secrets = ServerSecrets::generate()?;
            write_durably(&path, secrets.to_json().as_bytes())?;
            return Ok(secrets);
        }
        refuse_others(&path)?;
        let mut text = Zeroizing::new(String::new());
        File::open(&path)
            .and_then(|mut file| file.read_to_string(&mut text))
            .map_err(|error| path_error(&path, &error))?;
        ServerSecrets::from_json(&text).map_err(|error| path_error(&path, &error))
    }
}
