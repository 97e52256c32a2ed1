//! The server over an embedded database: its data directory, and serving until asked to stop.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::future::Future;
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::serve::ListenerExt;
use nebula_alloc::{Clock, Sqlite};
use tokio::net::TcpListener;
use zeroize::Zeroizing;

use crate::{Error, ServerSecrets, Service, api};

/// Everything a server keeps: a directory of its own, mode 0700.
#[derive(Debug, Clone)]
pub struct DataDirectory(PathBuf);

/// Why a server could not start or had to stop.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServerError {
    /// A file or directory could not be used.
    #[error("{}: {reason}", path.display())]
    Path {
        /// Which.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The service could not start.
    #[error("{0}")]
    Service(#[from] Error),
    /// The listener failed.
    #[error("serving: {0}")]
    Serve(io::Error),
}

/// How long requests may take to finish once the server was asked to stop.
const GRACE: Duration = Duration::from_secs(10);

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

/// Serves until `stop` completes; then finishes the requests that are under way, for 10 s at most.
///
/// # Errors
/// [`ServerError::Serve`].
pub async fn serve(
    listener: TcpListener,
    service: Arc<Service>,
    stop: impl Future<Output = ()> + Send + 'static,
) -> Result<(), ServerError> {
    let (stopping, stopped) = tokio::sync::oneshot::channel();
    let stop = async move {
        stop.await;
        let _ = stopping.send(());
    };
    // Answers are small and whole: waiting to fill a packet would only delay them.
    let listener = listener.tap_io(|stream| {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "TCP_NODELAY");
        }
    });
    let router = api::router(service).into_make_service_with_connect_info::<SocketAddr>();
    let serving = axum::serve(listener, router).with_graceful_shutdown(stop);
    let grace_is_over = async move {
        match stopped.await {
            Ok(()) => tokio::time::sleep(GRACE).await,
            // Serving ended by itself.
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        served = serving => served.map_err(ServerError::Serve),
        () = grace_is_over => {
            tracing::warn!("connections that did not end in time were cut");
            Ok(())
        }
    }
}

/// Seconds since the Unix epoch; a clock before it counts as the epoch.
fn unix_now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

/// The time for everything that is stored. After a jump it goes on as if there had been none, so
/// that no address is free before its time; starting the server anew confirms the clock.
fn watched_clock() -> impl Fn() -> i64 + Send + Sync + 'static {
    let clock = Clock::new(unix_now, since_boot);
    let told = AtomicBool::new(false);
    move || {
        let jump = clock.jump();
        if let Some(seconds) = jump.filter(|_| !told.load(Ordering::Relaxed)) {
            tracing::error!(
                seconds,
                "the clock jumped and is not believed; put it right, or restart to confirm it"
            );
        }
        told.store(jump.is_some(), Ordering::Relaxed);
        clock.now()
    }
}

/// What no setting of the clock changes, the machine's sleep included.
fn since_boot() -> Duration {
    #[cfg(target_os = "linux")]
    let clock = rustix::time::ClockId::Boottime;
    #[cfg(not(target_os = "linux"))]
    let clock = rustix::time::ClockId::Monotonic;
    let time = rustix::time::clock_gettime(clock);
    Duration::from_secs(u64::try_from(time.tv_sec).unwrap_or_default())
}

/// Writes a secret so that after a crash there is either all of it or the former file.
fn write_durably(path: &Path, contents: &[u8]) -> Result<(), ServerError> {
    let write = || {
        let new = path.with_extension("new");
        // Left behind by a crash; it was never used.
        if let Err(error) = fs::remove_file(&new)
            && error.kind() != io::ErrorKind::NotFound
        {
            return Err(error);
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
        file.write_all(contents)?;
        file.sync_all()?;
        fs::rename(&new, path)?;
        File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()
    };
    write().map_err(|error| path_error(path, &error))
}

fn refuse_others(path: &Path) -> Result<(), ServerError> {
    let mode = fs::metadata(path).map_err(|error| path_error(path, &error))?.permissions().mode();
    if mode & 0o077 == 0 {
        return Ok(());
    }
    let own = if path.is_dir() { "700" } else { "600" };
    let reason = format!("is open to others (mode {:03o}); run chmod {own} on it", mode & 0o777);
    Err(path_error(path, &reason))
}

fn path_error(path: &Path, reason: &dyn std::fmt::Display) -> ServerError {
    ServerError::Path { path: path.to_owned(), reason: reason.to_string() }
}
