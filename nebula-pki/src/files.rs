//! Files that a program replaces (feature `files`). Nothing else in this crate uses files; this is
//! here because every program of the workspace depends on this crate.
//!
//! [`replace`] puts new contents into a file. Who may read it was decided when the file was
//! created: owner, group, mode, access control list and security label are kept. To replace either all of several files or none of them,
//! [`Replacement::stage`] them all first:
//!
//! ```
//! use std::io;
//! use std::path::Path;
//!
//! use nebula_pki::files::Replacement;
//!
//! fn install(directory: &Path, files: &[(&str, &[u8])]) -> io::Result<()> {
//!     let stage = |(name, contents): &(&str, &[u8])| {
//!         // 0o600 is for a file that is not there yet.
//!         Replacement::stage(&directory.join(name), contents, 0o600)
//!     };
//!     // What can't be written shows here, before anything was changed.
//!     let staged = files.iter().map(stage).collect::<io::Result<Vec<_>>>()?;
//!     staged.into_iter().try_for_each(Replacement::commit)
//! }
//! # let scratch = tempfile::tempdir()?;
//! # install(scratch.path(), &[("node.crt", b"a"), ("ca.crt", b"b")])?;
//! # assert_eq!(std::fs::read(scratch.path().join("ca.crt"))?, b"b");
//! # Ok::<(), io::Error>(())
//! ```

mod kept;
mod place;

use std::ffi::OsString;
use std::fs::{self, File, Metadata, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Read, Seek, Write};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use kept::Kept;
pub use place::is_one_file;

/// Replaces the contents of a file, durably; makes it, with `mode` (and the process's umask), where
/// there is none. See [`Replacement`] for what is kept, and what happens to what is not a regular file.
///
/// # Errors
///
/// As [`Replacement::stage`] and [`Replacement::commit`]. The former contents are still there.
pub fn replace(path: &Path, contents: &[u8], mode: u32) -> io::Result<()> {
    Replacement::stage(path, contents, mode)?.commit()
}

/// New contents for a file, which wait to take the place of the old.
///
/// They are written beside the file, as `.NAME.nebula-new`, and take its name when they are committed.
/// So readers, also after a crash, find either the old or the new contents as a whole;
/// what a crash left beside it goes with the next replacement. Owner, group, mode and, on Linux, access
/// control list, security label and the other extended attributes are those of the old file, and nobody
/// else may open the new one at any time; only capabilities (`security.capability`) go, as they do when a
/// file is written to. A link stays, and what it points to is replaced; other hard links keep the old
/// contents.
///
/// Where that is not possible the old file itself is overwritten: in a directory that can't be
/// written to, a file that is mounted by itself (`docker -v`) or has no name any more, one whose owner or
/// label this process can't give to another file. If that fails halfway, the old contents are put back;
/// only a crash in the middle leaves neither.
///
/// A change that another process makes to the file between the two steps is not undone: the commit
/// fails.
///
/// Devices, pipes and terminals are just written to.
///
/// Contents are wiped from memory, and what is dropped without having been committed leaves nothing
/// behind.
#[derive(Debug)]
pub struct Replacement {
    target: PathBuf,
    /// The file as it was; none where there was none.
    old: Option<Metadata>,
    /// What the new file has of it.
    kept: Option<Kept>,
    /// What was in it, if it is to be overwritten.
    before: Option<Zeroizing<Vec<u8>>>,
    /// The file beside it; none if the old one is to be overwritten.
    beside: Option<Beside>,
    contents: Zeroizing<Vec<u8>>,
}

impl Replacement {
    /// Gets everything ready, and changes nothing. `mode` is for a file that is not there yet.
    ///
    /// # Errors
    ///
    /// Those of the operating system, if the file can be replaced neither way.
    pub fn stage(path: &Path, contents: &[u8], mode: u32) -> io::Result<Self> {
        let target = place::resolve(path)?;
        let old = look(&target)?;
        // Without it no other file can be like the old one.
        let kept = old.as_ref().filter(|old| place::is_named(old));
        let kept = kept.and_then(|old| Kept::of(&target, old).ok());
        let beside = match (&old, &kept) {
            (Some(_), None) => None,
            _ => Beside::write(&target, kept.as_ref(), contents, mode)?,
        };
        let contents = Zeroizing::new(contents.to_vec());
        let mut staged = Self { target, old, kept, before: None, beside, contents };
        if staged.beside.is_none() {
            let mut file = staged.open_old()?;
            if file.metadata()?.is_file() {
                staged.before = Some(read_all(&mut file)?);
            }
        }
        Ok(staged)
    }

    /// Puts the new contents in the old ones' place. After it they survive a loss of power.
    ///
    /// # Errors
    ///
    /// Those of the operating system; one of the kind [`WouldBlock`](ErrorKind::WouldBlock) if the
    /// file is not as it was when this was staged. The old contents are still there, unless only making
    /// the new ones durable failed.
    pub fn commit(mut self) -> io::Result<()> {
        self.check_unchanged()?;
        let Some(mut beside) = self.beside.take() else { return self.overwrite() };
        match beside.rename(&self.target) {
            Ok(()) => sync_directory(&self.target),
            Err(error) if self.old.is_some() && is_barred(&error) => self.overwrite(),
            Err(error) => Err(error),
        }
    }

    /// Another replacement may have been committed, or its owner may have closed it to others.
    fn check_unchanged(&self) -> io::Result<()> {
        let is_same = match (&self.old, look(&self.target)?) {
            (None, None) => true,
            (Some(old), Some(now)) if !old.is_file() => !now.is_file(),
            (Some(old), Some(now)) => {
                place::is_same(old, &now)
                    && old.len() == now.len()
                    && old.modified().ok() == now.modified().ok()
                    && self.kept.as_ref().is_none_or(|kept| {
                        Kept::of(&self.target, &now).is_ok_and(|now| now == *kept)
                    })
            }
            _ => false,
        };
        if is_same { Ok(()) } else { Err(changed()) }
    }

    /// The old file, to be overwritten, if it is still the same one.
    fn open_old(&self) -> io::Result<File> {
        let is_file = self.old.as_ref().is_some_and(Metadata::is_file);
        let file = OpenOptions::new().read(is_file).write(true).open(&self.target)?;
        match &self.old {
            Some(old) if place::is_same(old, &file.metadata()?) => Ok(file),
            _ => Err(changed()),
        }
    }

    fn overwrite(&self) -> io::Result<()> {
        let mut file = self.open_old()?;
        if !file.metadata()?.is_file() {
            return file.write_all(&self.contents);
        }
        let before = read_all(&mut file)?;
        if self.before.as_ref().is_some_and(|staged| *staged != before) {
            return Err(changed());
        }
        fill(&mut file, &self.contents).inspect_err(|_| {
            // What was there needs no more room than it had.
            let _ = fill(&mut file, &before);
        })
    }
}

/// The file at a path, if there is one.
fn look(path: &Path) -> io::Result<Option<Metadata>> {
    match fs::metadata(path) {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn changed() -> io::Error {
    io::Error::new(ErrorKind::WouldBlock, "another process changed it meanwhile")
}

fn read_all(file: &mut File) -> io::Result<Zeroizing<Vec<u8>>> {
    // With enough room from the start no copy of a key is left behind by growing.
    let len = usize::try_from(file.metadata()?.len()).unwrap_or_default().min(1 << 20);
    let mut contents = Zeroizing::new(Vec::with_capacity(len + 1));
    file.read_to_end(&mut contents)?;
    Ok(contents)
}

/// Overwrites, and cuts off the rest only then: a full disk is found out while nothing is lost.
fn fill(file: &mut File, contents: &[u8]) -> io::Result<()> {
    file.rewind()?;
    file.write_all(contents)?;
    file.set_len(contents.len().try_into().map_err(io::Error::other)?)?;
    file.sync_all()
}

/// A complete new file beside the one that it is to replace; removed when dropped. Its lock tells
/// others that it is not left over.
#[derive(Debug)]
struct Beside {
    path: PathBuf,
    file: File,
    is_renamed: bool,
}

impl Beside {
    /// None if no file here can take the old one's place.
    fn write(
        target: &Path,
        kept: Option<&Kept>,
        contents: &[u8],
        mode: u32,
    ) -> io::Result<Option<Self>> {
        // For nobody else until it is known who may read it.
        let mode = if kept.is_some() { 0o600 } else { mode };
        let mut beside = match Self::create(target, mode) {
            Ok(beside) => beside,
            Err(error) if kept.is_some() && is_barred(&error) => return Ok(None),
            Err(error) => return Err(error),
        };
        if let Some(kept) = kept
            && kept.give(&beside.file, |_| {}).is_err()
        {
            return Ok(None);
        }
        beside.file.write_all(contents)?;
        beside.file.sync_all()?;
        Ok(Some(beside))
    }

    /// Under the first name that is not taken for good: whoever may read what a crash left behind may
    /// hold a lock on it.
    fn create(target: &Path, mode: u32) -> io::Result<Self> {
        for number in 1..=MAX_BESIDE {
            if let Some(beside) = Self::create_at(name_beside(target, number), mode)? {
                return Ok(beside);
            }
        }
        let reason = format!("others are writing {}", name_beside(target, MAX_BESIDE).display());
        Err(io::Error::new(ErrorKind::WouldBlock, reason))
    }

    /// A new file: one that is there already may be open elsewhere, and is taken away, unless somebody
    /// still works with it.
    fn create_at(path: PathBuf, mode: u32) -> io::Result<Option<Self>> {
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, mode);
        #[cfg(not(unix))]
        let _ = mode;
        // Others may come in between, but not for ever.
        for _ in 0..100 {
            match options.open(&path) {
                // Else somebody took it for left over before it was locked.
                Ok(file) if lock(&file) && is_at(&file, &path) => {
                    return Ok(Some(Self { path, file, is_renamed: false }));
                }
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                    if !clear(&path)? {
                        return Ok(None);
                    }
                }
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    fn rename(&mut self, target: &Path) -> io::Result<()> {
        fs::rename(&self.path, target)?;
        self.is_renamed = true;
        Ok(())
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        if !self.is_renamed && fs::remove_file(&self.path).is_err() {
            // In a directory that can only be added to: at least its contents go.
            let _ = self.file.set_len(0);
        }
    }
}

/// How many files may be beside one.
const MAX_BESIDE: u32 = 8;

/// The longest part of a file's name that another's has, in bytes. No file system has more than 255.
const MAX_STEM: usize = 200;

/// A name that nobody gives a file of their own, since what is there is taken away.
fn name_beside(target: &Path, number: u32) -> PathBuf {
    let stem = target.file_name().unwrap_or_default();
    let mut name = OsString::from(".");
    if stem.len() <= MAX_STEM {
        name.push(stem);
    } else {
        let stem = stem.to_string_lossy();
        name.push(stem.get(..stem.floor_char_boundary(MAX_STEM)).unwrap_or_default());
    }
    if number > 1 {
        name.push(format!(".{number}"));
    }
    name.push(".nebula-new");
    place::directory(target).join(name)
}

/// Takes away what a crash left behind; false for what is not to go.
fn clear(path: &Path) -> io::Result<bool> {
    let is_kept = fs::symlink_metadata(path).is_ok_and(|found| {
        // A pipe would have to be waited for.
        found.is_dir() || found.is_file() && File::open(path).is_ok_and(|file| !lock(&file))
    });
    if is_kept {
        return Ok(false);
    }
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(true),
    }
}

/// Whether nobody else has locked it. Where the file system has no locks, nobody has.
fn lock(file: &File) -> bool {
    !matches!(file.try_lock(), Err(TryLockError::WouldBlock))
}

/// Whether this file is still the one at the path.
fn is_at(file: &File, path: &Path) -> bool {
    let found = file.metadata().and_then(|file| Ok((file, fs::symlink_metadata(path)?)));
    found.is_ok_and(|(file, found)| place::is_same(&file, &found))
}

/// Whether this says that no other file can take the old one's place, and nothing of the old file.
fn is_barred(error: &io::Error) -> bool {
    use ErrorKind::{
        CrossesDevices, InvalidFilename, PermissionDenied, ReadOnlyFilesystem, ResourceBusy,
    };
    matches!(
        error.kind(),
        // EXDEV and EBUSY are what a file that is mounted by itself answers.
        CrossesDevices | InvalidFilename | PermissionDenied | ReadOnlyFilesystem | ResourceBusy
    )
}

/// Makes the replacement durable, so that a loss of power does not bring the old file back.
fn sync_directory(file: &Path) -> io::Result<()> {
    match File::open(place::directory(file)) {
        Ok(directory) => match directory.sync_all() {
            // A file system that does not know it.
            Err(error) if error.kind() == ErrorKind::InvalidInput => Ok(()),
            synced => synced,
        },
        // One may write to a directory that one can't read. Elsewhere than on Unix none can be opened.
        Err(error) if error.kind() == ErrorKind::PermissionDenied => Ok(()),
        Err(error) => Err(error),
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests;
