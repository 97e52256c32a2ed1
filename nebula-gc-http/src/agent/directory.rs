//! The directory of one node: who may touch it, and how its files are read and written.

use std::fs::{self, DirBuilder, File, Metadata, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Read as _};
use std::os::unix::fs::{
    DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _,
};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;

use nebula_pki::files;
use rustix::fs::OFlags;
use serde::de::DeserializeOwned;
use zeroize::Zeroizing;

use super::error::{AgentError, FileFault};

const LOCK: &str = "lock";
/// How often the lock is tried again, and the pause between.
const ATTEMPTS: u32 = 5;
const ATTEMPT: Duration = Duration::from_millis(10);

/// A node's directory. It belongs to whoever runs this program, or to root, and nobody else can write
/// to it.
#[derive(Debug, Clone)]
pub struct NodeDirectory {
    path: PathBuf,
}

/// The right to change a node's directory; dropping it gives it back.
#[derive(Debug)]
pub struct DirectoryLock {
    _file: File,
}

/// A secret that other users could read until now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exposed {
    /// The file.
    pub path: PathBuf,
    /// The mode that it had.
    pub mode: u32,
}

impl NodeDirectory {
    /// Makes the directory, with mode 0700, where there is none.
    ///
    /// # Errors
    /// [`AgentError::File`] and those of [`open`](Self::open).
    pub fn create(path: &Path) -> Result<Self, AgentError> {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
        made.map_err(|error| AgentError::file(path, error))?;
        Self::open(path)
    }

    /// An existing directory. Its path is made absolute, because Nebula is started with it.
    ///
    /// # Errors
    /// [`AgentError::File`], [`AgentError::Unfit`].
    pub fn open(path: &Path) -> Result<Self, AgentError> {
        let path = std::path::absolute(path).map_err(|error| AgentError::file(path, error))?;
        check_directory(&path)?;
        Ok(Self { path })
    }

    /// Its absolute path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The path of one of its files.
    #[must_use]
    pub fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Takes the lock. Who only looks whether there is one has it for a moment, which is waited for.
    ///
    /// # Errors
    /// [`AgentError::Locked`], [`AgentError::File`].
    pub fn lock(&self) -> Result<DirectoryLock, AgentError> {
        let path = self.file(LOCK);
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let file = options.custom_flags(flags(OFlags::NOFOLLOW | OFlags::NONBLOCK)).open(&path);
        let file = file.map_err(|error| AgentError::file(&path, error))?;
        let mut attempts = ATTEMPTS;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(DirectoryLock { _file: file }),
                Err(TryLockError::WouldBlock) if attempts == 0 => {
                    return Err(AgentError::Locked { path: self.path.clone() });
                }
                Err(TryLockError::WouldBlock) => sleep(ATTEMPT),
                Err(TryLockError::Error(error)) => return Err(AgentError::file(&path, error)),
            }
            attempts -= 1;
        }
    }

    /// The contents of a file of at most `limit` bytes; nothing where there is none.
    ///
    /// # Errors
    /// [`AgentError::File`]; [`AgentError::Unfit`] for one that others can write, or that is no regular
    /// file.
    pub fn read(&self, name: &str, limit: u64) -> Result<Option<Zeroizing<Vec<u8>>>, AgentError> {
        let path = self.file(name);
        match open_regular(&path)? {
            Some((file, found)) => read_whole(&path, file, &found, limit).map(Some),
            None => Ok(None),
        }
    }

    /// What a file of JSON holds; nothing where there is none.
    ///
    /// # Errors
    /// [`AgentError::Damaged`], and those of [`read`](Self::read).
    pub fn read_json<T: DeserializeOwned>(
        &self,
        name: &str,
        limit: u64,
    ) -> Result<Option<T>, AgentError> {
        let Some(text) = self.read(name, limit)? else { return Ok(None) };
        serde_json::from_slice(&text).map(Some).map_err(|error| AgentError::Damaged {
            path: self.file(name),
            line: error.line(),
            column: error.column(),
        })
    }

    /// As [`read`](Self::read), for a secret: one that others could read is closed to them, and told.
    ///
    /// # Errors
    /// As those of [`read`](Self::read).
    pub fn read_secret(
        &self,
        name: &str,
        limit: u64,
        exposed: &mut Vec<Exposed>,
    ) -> Result<Option<Zeroizing<Vec<u8>>>, AgentError> {
        let path = self.file(name);
        let Some((file, found)) = open_secret(&path)? else { return Ok(None) };
        let mode = found.permissions().mode() & 0o7777;
        if mode & 0o077 != 0 {
            let own = fs::Permissions::from_mode(mode & 0o700);
            file.set_permissions(own).map_err(|error| AgentError::file(&path, error))?;
            exposed.push(Exposed { path: path.clone(), mode });
        }
        read_whole(&path, file, &found, limit).map(Some)
    }

    /// Writes a file durably: readers, also after a crash, find the old contents or the new ones.
    /// Mode 0600.
    ///
    /// # Errors
    /// [`AgentError::File`].
    pub fn write(&self, name: &str, contents: &[u8]) -> Result<(), AgentError> {
        let path = self.file(name);
        files::replace(&path, contents, 0o600).map_err(|error| AgentError::file(&path, error))
    }

    /// Gives a file another name, durably.
    ///
    /// # Errors
    /// [`AgentError::File`].
    pub fn rename(&self, from: &str, to: &str) -> Result<(), AgentError> {
        let path = self.file(from);
        let renamed = fs::rename(&path, self.file(to)).and_then(|()| self.sync());
        renamed.map_err(|error| AgentError::file(&path, error))
    }

    /// Removes a file that may be there.
    ///
    /// # Errors
    /// [`AgentError::File`].
    pub fn remove(&self, name: &str) -> Result<(), AgentError> {
        let path = self.file(name);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                Err(AgentError::file(&path, error))
            }
            _ => Ok(()),
        }
    }

    /// Whether a file is there.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        fs::symlink_metadata(self.file(name)).is_ok()
    }

    fn sync(&self) -> io::Result<()> {
        File::open(&self.path)?.sync_all()
    }
}

/// Refuses a directory that is a link, belongs to another user, or can be written by others.
///
/// # Errors
/// [`AgentError::File`], [`AgentError::Unfit`].
pub(super) fn check_directory(path: &Path) -> Result<(), AgentError> {
    let found = fs::symlink_metadata(path).map_err(|error| AgentError::file(path, error))?;
    if found.is_symlink() {
        return Err(AgentError::unfit(path, FileFault::Link));
    }
    if !found.is_dir() {
        return Err(AgentError::unfit(path, FileFault::NotDirectory));
    }
    check_owner(path, &found)
}

/// Refuses what belongs to neither root nor this user, or can be written by others.
fn check_owner(path: &Path, found: &Metadata) -> Result<(), AgentError> {
    let user = rustix::process::geteuid().as_raw();
    let owner = found.uid();
    if owner != user && owner != 0 {
        return Err(AgentError::unfit(path, FileFault::Owner { owner, user }));
    }
    let mode = found.permissions().mode() & 0o7777;
    if mode & 0o022 != 0 {
        return Err(AgentError::unfit(path, FileFault::Writable { mode }));
    }
    Ok(())
}

/// Opens a regular file that only its owner can write; nothing where there is none.
///
/// # Errors
/// [`AgentError::File`], [`AgentError::Unfit`].
pub(super) fn open_regular(path: &Path) -> Result<Option<(File, Metadata)>, AgentError> {
    let Some((file, found)) = open_secret(path)? else { return Ok(None) };
    check_owner(path, &found)?;
    Ok(Some((file, found)))
}

fn open_secret(path: &Path) -> Result<Option<(File, Metadata)>, AgentError> {
    // Opening a pipe would wait for a writer.
    let flags = flags(OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY);
    let file = match OpenOptions::new().read(true).custom_flags(flags).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(_) if fs::symlink_metadata(path).is_ok_and(|found| found.is_symlink()) => {
            return Err(AgentError::unfit(path, FileFault::Link));
        }
        Err(error) => return Err(AgentError::file(path, error)),
    };
    let found = file.metadata().map_err(|error| AgentError::file(path, error))?;
    if !found.is_file() {
        return Err(AgentError::unfit(path, FileFault::NotFile));
    }
    Ok(Some((file, found)))
}

/// Reads an open file of at most `limit` bytes.
///
/// # Errors
/// [`AgentError::File`], [`AgentError::Unfit`].
pub(super) fn read_whole(
    path: &Path,
    file: File,
    found: &Metadata,
    limit: u64,
) -> Result<Zeroizing<Vec<u8>>, AgentError> {
    if found.len() > limit {
        return Err(AgentError::unfit(path, FileFault::TooLong { limit }));
    }
    // A buffer that grows would leave copies of a secret in memory.
    let length = usize::try_from(found.len()).unwrap_or_default();
    let mut contents = Zeroizing::new(Vec::with_capacity(length.saturating_add(1)));
    let read = file.take(limit).read_to_end(&mut contents);
    read.map_err(|error| AgentError::file(path, error))?;
    Ok(contents)
}

fn flags(flags: OFlags) -> i32 {
    i32::try_from(flags.bits()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_directory_that_others_can_write_or_that_is_a_link_is_refused() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("node");
        let made = NodeDirectory::create(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o700);
        made.write("node.json", b"{}").unwrap();
        assert_eq!(fs::metadata(made.file("node.json")).unwrap().mode() & 0o7777, 0o600);

        fs::set_permissions(&path, fs::Permissions::from_mode(0o720)).unwrap();
        let refused = NodeDirectory::open(&path);
        assert!(matches!(
            refused,
            Err(AgentError::Unfit { fault: FileFault::Writable { mode: 0o720 }, .. })
        ));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
        let link = place.path().join("link");
        symlink(&path, &link).unwrap();
        let refused = NodeDirectory::open(&link);
        assert!(matches!(refused, Err(AgentError::Unfit { fault: FileFault::Link, .. })));
    }

    #[test]
    fn a_file_that_is_a_link_too_long_or_open_to_others_is_refused() {
        let place = tempfile::tempdir().unwrap();
        let directory = NodeDirectory::create(&place.path().join("node")).unwrap();
        directory.write("long", &[b'x'; 11]).unwrap();
        symlink("/etc/hostname", directory.file("link")).unwrap();
        directory.write("open", b"x").unwrap();
        let all = fs::Permissions::from_mode(0o666);
        fs::set_permissions(directory.file("open"), all).unwrap();
        for (name, is_it) in [
            ("long", FileFault::TooLong { limit: 10 }),
            ("link", FileFault::Link),
            ("open", FileFault::Writable { mode: 0o666 }),
        ] {
            match directory.read(name, 10) {
                Err(AgentError::Unfit { fault, .. }) => assert_eq!(fault, is_it, "{name}"),
                other => panic!("{name}: {other:?}"),
            }
        }
        assert!(directory.read("missing", 10).unwrap().is_none());
        let mut exposed = vec![];
        assert!(directory.read_secret("open", 10, &mut exposed).unwrap().is_some());
        assert_eq!(exposed, [Exposed { path: directory.file("open"), mode: 0o666 }]);
        assert!(directory.read("open", 10).unwrap().is_some(), "it was closed to others");
    }

    #[test]
    fn two_processes_do_not_change_one_directory() {
        let place = tempfile::tempdir().unwrap();
        let directory = NodeDirectory::create(place.path()).unwrap();
        let lock = directory.lock().unwrap();
        assert!(matches!(directory.lock(), Err(AgentError::Locked { .. })));
        drop(lock);
        directory.lock().unwrap();
    }
}
