//! The file with the server's own keys, `secrets.json`.

use std::fs::File;
use std::path::{Path, PathBuf};

use super::ServerError;
use super::file::{directory_of, path_error, read_regular, refuse_others, write_durably};
use crate::ServerSecrets;

/// The file that holds the server's own keys, mode 0600.
#[derive(Debug, Clone)]
pub struct SecretsFile(PathBuf);

impl SecretsFile {
    /// The file at this path, which may not exist yet.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Reads it.
    ///
    /// # Errors
    /// [`ServerError::Path`], also for a file that other users may access.
    pub fn load(&self) -> Result<ServerSecrets, ServerError> {
        refuse_others(&self.0)?;
        let bytes = read_regular(&self.0, FILE_LIMIT)?;
        let text = std::str::from_utf8(&bytes).map_err(|error| path_error(&self.0, &error))?;
        ServerSecrets::from_json(text).map_err(|error| path_error(&self.0, &error))
    }

    /// Reads the file, or creates it with new keys. `check` is called first, with whether it exists, and
    /// refuses new keys where the database was written under others.
    pub(super) fn load_or_make(
        &self,
        check: impl FnOnce(bool) -> Result<(), ServerError>,
    ) -> Result<ServerSecrets, ServerError> {
        let _lock = self.lock()?;
        let is_there = self.0.try_exists().map_err(|error| path_error(&self.0, &error))?;
        check(is_there)?;
        if is_there {
            return self.load();
        }
        let secrets = ServerSecrets::generate()?;
        self.write(&secrets)?;
        Ok(secrets)
    }

    /// Changes the secrets in the file, durably. `change` may refuse.
    ///
    /// # Errors
    /// As [`SecretsFile::load`], and those of `change`, which leave the file as it was.
    pub fn change<T>(
        &self,
        change: impl FnOnce(&mut ServerSecrets) -> Result<T, ServerError>,
    ) -> Result<T, ServerError> {
        let _lock = self.lock()?;
        let mut secrets = self.load()?;
        let answer = change(&mut secrets)?;
        self.write(&secrets)?;
        Ok(answer)
    }

    fn write(&self, secrets: &ServerSecrets) -> Result<(), ServerError> {
        write_durably(&self.0, secrets.to_json().as_bytes())
    }

    /// Locks the file's directory, until the process ends at the latest: of two processes that create or
    /// change the file at once, the second would overwrite keys that are already in use.
    fn lock(&self) -> Result<File, ServerError> {
        let directory = directory_of(&self.0);
        File::open(directory)
            .and_then(|directory| directory.lock().map(|()| directory))
            .map_err(|error| path_error(directory, &error))
    }
}

/// The largest accepted file, in bytes: room for thousands of keys.
const FILE_LIMIT: u64 = 1 << 20;
