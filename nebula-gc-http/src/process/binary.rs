use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::time::timeout;

use super::Release;
use super::command::command;

/// How long `nebula -version` may take: it needs 5 ms.
const VERSION_TIME: Duration = Duration::from_secs(10);
/// How long `nebula -test` may take: it needs 20 ms, but on 1.6 it waits for the resolver.
const TEST_TIME: Duration = Duration::from_secs(20);
/// The longest answer to `-version`, in bytes.
const VERSION_LIMIT: u64 = 128;

/// The program `nebula`, found on this machine, of a known release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nebula {
    program: PathBuf,
    release: Release,
}

/// Why there is no `nebula` to use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FindError {
    /// It is not there.
    #[error("nebula is missing: {} is not there; install it, or name its path", .path.display())]
    Missing {
        /// The path that was given.
        path: PathBuf,
    },
    /// No directory of the search path has it.
    #[error("nebula is missing: not in the search path; install it, or name its path")]
    NotInPath,
    /// The system doesn't start it.
    #[error("{} can't be started: {kind}", .path.display())]
    NotRunnable {
        /// Where it is.
        path: PathBuf,
        /// What the system answers.
        kind: io::ErrorKind,
    },
    /// It does not say a release of Nebula.
    #[error("{} does not answer as a release of nebula does", .path.display())]
    NotNebula {
        /// Where it is.
        path: PathBuf,
    },
    /// The release can't do what is needed.
    #[error("{} is Nebula {found}, too old: at least {needed} is needed", .path.display())]
    TooOld {
        /// Where it is.
        path: PathBuf,
        /// What it is.
        found: Release,
        /// The oldest that will do.
        needed: Release,
    },
}

/// Why a configuration can't be used. What Nebula prints about it is never kept, because it prints
/// the configuration, which may hold a private key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TestError {
    /// Nebula refuses it.
    #[error("nebula {release} refuses the configuration")]
    Refused {
        /// The release that was asked.
        release: Release,
    },
    /// There is no answer: on old releases, because of names that can't be resolved.
    #[error("nebula {release} did not judge the configuration within {seconds} s")]
    TooSlow {
        /// The release that was asked.
        release: Release,
        /// How long it had.
        seconds: u64,
    },
    /// The program can't be started (any more).
    #[error("nebula can't be started: {kind}")]
    NotRunnable {
        /// What the system answers.
        kind: io::ErrorKind,
    },
}

impl Nebula {
    /// The program at this path, or else the one in the search path, of at least this release.
    ///
    /// # Errors
    /// Why it can't be used.
    pub async fn find(path: Option<&Path>, needed: Release) -> Result<Self, FindError> {
        let program = match path {
            Some(path) if path.is_file() => path.to_owned(),
            Some(path) => return Err(FindError::Missing { path: path.to_owned() }),
            None => in_search_path().ok_or(FindError::NotInPath)?,
        };
        // It is started in another directory.
        let program = std::path::absolute(&program).unwrap_or(program);
        let release = ask(&program).await?;
        if release < needed {
            return Err(FindError::TooOld { path: program, found: release, needed });
        }
        Ok(Self { program, release })
    }

    /// Where it is.
    #[must_use]
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// What it is.
    #[must_use]
    pub fn release(&self) -> Release {
        self.release
    }

    /// Whether it would start with this configuration, as far as it tells beforehand
    /// (`nebula -test`): ports, devices, routes and rights are not looked at. Relative paths in it
    /// are relative to the directory.
    ///
    /// # Errors
    /// Why not.
    pub async fn test(&self, config: &Path, directory: &Path) -> Result<(), TestError> {
        let not_runnable = |error: io::Error| TestError::NotRunnable { kind: error.kind() };
        let mut command = command(&self.program);
        command.arg("-test").arg("-config").arg(config).current_dir(directory);
        let mut child = command.spawn().map_err(not_runnable)?;
        let release = self.release;
        let too_slow = |_| TestError::TooSlow { release, seconds: TEST_TIME.as_secs() };
        let status = timeout(TEST_TIME, child.wait()).await.map_err(too_slow)?;
        match status.map_err(not_runnable)?.success() {
            true => Ok(()),
            false => Err(TestError::Refused { release }),
        }
    }
}

fn in_search_path() -> Option<PathBuf> {
    let name = format!("nebula{}", std::env::consts::EXE_SUFFIX);
    let paths = std::env::var_os("PATH")?;
    std::env::split_paths(&paths).map(|directory| directory.join(&name)).find(|path| path.is_file())
}

/// The release of a program, by its own words: `Version: 1.9.3`.
async fn ask(program: &Path) -> Result<Release, FindError> {
    let not_nebula = || FindError::NotNebula { path: program.to_owned() };
    let child = command(program).arg("-version").stdout(Stdio::piped()).spawn();
    let mut child = child
        .map_err(|error| FindError::NotRunnable { path: program.to_owned(), kind: error.kind() })?;
    let mut answer = Vec::new();
    let stdout = child.stdout.take().ok_or_else(not_nebula)?;
    let read = async {
        stdout.take(VERSION_LIMIT).read_to_end(&mut answer).await?;
        child.wait().await
    };
    let status = timeout(VERSION_TIME, read).await.map_err(|_| not_nebula())?;
    if !status.is_ok_and(|status| status.success()) {
        return Err(not_nebula());
    }
    let answer = String::from_utf8(answer).map_err(|_| not_nebula())?;
    let release = answer.trim().strip_prefix("Version: ").ok_or_else(not_nebula)?;
    release.parse().map_err(|_| not_nebula())
}
