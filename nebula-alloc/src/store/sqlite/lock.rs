//! The lock that keeps a second writer from a database file.
//!
//! On Linux the lock is on the database file itself: it is the same under any name, and ends with the
//! process. SQLite's own locks are of another kind; the two kinds do not conflict. But closing a file
//! drops all of SQLite's locks that the process has on it, those of a caller's own connections among
//! them (<https://sqlite.org/howtocorrupt.html>, 2.2). So a descriptor opened here stays open as long
//! as the file has a name, and is used again: one for each database file that a process ever wrote to.
//!
//! Elsewhere the two kinds conflict, and the lock is on a file beside the database: the same name and
//! `.writer`.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::disk::unavailable;
use super::file_id::FileId;
use crate::error::{Error, Outage};

/// Whether the lock is on the database itself.
pub(super) const ON_ITSELF: bool = cfg!(any(target_os = "linux", target_os = "android"));

/// Held until it is dropped.
#[derive(Debug)]
pub(super) struct Lock {
    /// Of the file that is locked.
    id: FileId,
    path: PathBuf,
}

/// A file that was opened here.
struct Kept {
    id: FileId,
    path: PathBuf,
    file: File,
    held: bool,
}

impl Kept {
    fn is(&self, id: FileId, path: &Path) -> bool {
        self.id == id && (cfg!(unix) || self.path == path)
    }
}

/// What this process has opened.
static KEPT: Mutex<Vec<Kept>> = Mutex::new(Vec::new());

/// Makes the database file if need be and resolves links, so that a file has one name.
pub(super) fn create(path: &Path) -> std::io::Result<PathBuf> {
    let mut options = options();
    match options.create_new(true).open(path) {
        Ok(file) => {
            file.sync_all()?;
            keep(&mut kept(), path, file)?;
        }
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(error),
    }
    let path = path.canonicalize()?;
    #[cfg(unix)]
    if let Some(directory) = path.parent() {
        // The new name itself must outlast a power loss.
        File::open(directory)?.sync_all()?;
    }
    Ok(path)
}

/// Locks the database at `path`, a canonical one.
pub(super) fn lock(path: &Path) -> Result<Lock, Error> {
    let mut lockable = path.as_os_str().to_owned();
    if !ON_ITSELF {
        lockable.push(".writer");
    }
    let lockable = PathBuf::from(lockable);
    let second = || Error::SecondWriter { path: path.to_owned() };
    let mut all = kept();
    let kept = find(&mut all, &lockable).map_err(unavailable)?;
    if kept.held {
        return Err(second());
    }
    match kept.file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(second()),
        Err(TryLockError::Error(error)) => return Err(unavailable(error)),
    }
    kept.held = true;
    Ok(Lock { id: kept.id, path: lockable })
}

impl Lock {
    /// That what is locked still is where it was.
    pub(super) fn check(&self) -> Result<(), Error> {
        // A lock on the database file itself: checking the database covers that.
        if ON_ITSELF || self.path.metadata().is_ok_and(|found| FileId::of(&found) == self.id) {
            return Ok(());
        }
        Err(Error::Unavailable(Outage::LockGone { path: self.path.clone() }))
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        let mut all = kept();
        if let Some(kept) = all.iter_mut().find(|kept| kept.is(self.id, &self.path)) {
            // Explicitly: a program that was started meanwhile has the file, too, until it has
            // replaced this one's image. If it fails, the lock ends with the process.
            let _ = kept.file.unlock();
            kept.held = false;
        }
    }
}

/// Opens a file, unless it was opened before.
fn find<'a>(all: &'a mut Vec<Kept>, path: &Path) -> std::io::Result<&'a mut Kept> {
    let found = path.metadata().ok().map(|found| FileId::of(&found));
    let known = found.and_then(|id| all.iter().position(|kept| kept.is(id, path)));
    let place = match known {
        Some(place) => place,
        None => keep(all, path, options().create(!ON_ITSELF).truncate(false).open(path)?)?,
    };
    all.get_mut(place).ok_or_else(|| std::io::ErrorKind::NotFound.into())
}

/// Answers its place. Closes what has no name any more: nobody else can open that.
fn keep(all: &mut Vec<Kept>, path: &Path, file: File) -> std::io::Result<usize> {
    all.retain(|kept| kept.held || !kept.file.metadata().is_ok_and(|it| FileId::is_unnamed(&it)));
    let id = FileId::of(&file.metadata()?);
    all.push(Kept { id, path: path.to_owned(), file, held: false });
    // The first, should another thread have been faster.
    Ok(all.iter().position(|kept| kept.is(id, path)).unwrap_or_default())
}

fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

fn kept() -> MutexGuard<'static, Vec<Kept>> {
    KEPT.lock().unwrap_or_else(PoisonError::into_inner)
}
