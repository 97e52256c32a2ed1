//! A directory with the installed bundles of one node.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use super::disk::{Disk, Real, refused};
use super::files::InstallFiles;
use crate::archive;
use crate::check::{FILES, LIMITS};
use crate::error::{DiskAction, FileDefect, InstallDefect};
use crate::{Digest, Error};

const BUNDLES: &str = "bundles";
const CURRENT: &str = "current";
const PREVIOUS: &str = "previous";
/// A link or directory that is being made.
const UNFINISHED: &str = ".unfinished";

/// The directory of a node, in which bundles are installed:
///
/// ```text
/// bundles/DIGEST/{ca.crt,node.crt,nebula.yml,README.md}
/// current  -> bundles/DIGEST
/// previous -> bundles/DIGEST
/// ```
///
/// Whenever a program is killed, or power is lost, `current` is a whole bundle: the one before or the
/// new one. Only one program may change it at a time, for which the caller provides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Installation {
    directory: PathBuf,
}

/// A bundle that is installed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Installed {
    name: String,
    path: PathBuf,
}

impl Installation {
    /// The installation in a directory, which exists.
    #[must_use]
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self { directory: directory.into() }
    }

    /// The link through which `nebula` reads the files: [`InstallOptions::directory`](
    /// crate::InstallOptions::directory) where this installation's path is absolute.
    #[must_use]
    pub fn link(&self) -> PathBuf {
        self.directory.join(CURRENT)
    }

    /// Installs files in place of the current ones, which become the previous ones. Those before
    /// them are removed. Returns whether they differ from the current ones; if not, nothing is
    /// done.
    ///
    /// # Errors
    /// [`Error::Disk`]; `current` is as it was, unless only removing older ones failed.
    pub fn install(&self, files: &InstallFiles) -> Result<bool, Error> {
        self.install_on(&mut Real, files)
    }

    /// What is current, if anything is.
    ///
    /// # Errors
    /// [`Error::Disk`].
    pub fn current(&self) -> Result<Option<Installed>, Error> {
        self.linked(CURRENT)
    }

    /// What was current before, if anything was. To go back to it and keep what a newer bundle
    /// revoked, install its files [with the trust](InstallFiles::with_trust_of) of that one.
    ///
    /// # Errors
    /// [`Error::Disk`].
    pub fn previous(&self) -> Result<Option<Installed>, Error> {
        self.linked(PREVIOUS)
    }

    fn install_on(&self, disk: &mut impl Disk, files: &InstallFiles) -> Result<bool, Error> {
        let name = files.digest().to_string();
        let current = self.current()?;
        let is_current = current.as_ref().is_some_and(|current| current.name == name);
        if is_current && self.holds(&name, files) {
            return Ok(false);
        }
        self.write(disk, &name, files)?;
        if let Some(current) = current
            && !is_current
        {
            self.point(disk, PREVIOUS, &current.name)?;
        }
        self.point(disk, CURRENT, &name)?;
        self.remove_older(disk)?;
        Ok(true)
    }

    /// Brings `bundles/NAME` about, all at once.
    fn write(&self, disk: &mut impl Disk, name: &str, files: &InstallFiles) -> Result<(), Error> {
        if self.holds(name, files) {
            return Ok(());
        }
        let bundles = self.directory.join(BUNDLES);
        disk.create_directory(&bundles)?;
        disk.sync(&self.directory)?;
        let unfinished = bundles.join(UNFINISHED);
        disk.remove(&unfinished)?;
        disk.create_directory(&unfinished)?;
        for (file, contents) in files.files() {
            disk.write(&unfinished.join(file), contents)?;
        }
        disk.sync(&unfinished)?;
        // What is there under the name is damaged, and a directory takes the place of an empty one
        // alone. It may be the current one: until it is replaced, a start of `nebula` fails, as it
        // would with the damaged one.
        let finished = bundles.join(name);
        disk.remove(&finished)?;
        disk.rename(&unfinished, &finished)?;
        disk.sync(&bundles)
    }

    /// Makes a link point to a bundle, all at once.
    fn point(&self, disk: &mut impl Disk, link: &str, name: &str) -> Result<(), Error> {
        let unfinished = self.directory.join(UNFINISHED);
        disk.remove(&unfinished)?;
        disk.link(&Path::new(BUNDLES).join(name), &unfinished)?;
        disk.rename(&unfinished, &self.directory.join(link))?;
        disk.sync(&self.directory)
    }

    /// Removes the bundles that no link points to.
    fn remove_older(&self, disk: &mut impl Disk) -> Result<(), Error> {
        let kept: Vec<String> =
            [self.current()?, self.previous()?].into_iter().flatten().map(|one| one.name).collect();
        let bundles = self.directory.join(BUNDLES);
        let entries = std::fs::read_dir(&bundles).map_err(refused(DiskAction::Read, &bundles))?;
        for entry in entries {
            let entry = entry.map_err(refused(DiskAction::Read, &bundles))?;
            // What has another name is somebody else's.
            let is_older = entry.file_name().to_str().is_some_and(|name| {
                name == UNFINISHED || (is_digest(name) && !kept.iter().any(|kept| kept == name))
            });
            if is_older {
                disk.remove(&entry.path())?;
            }
        }
        Ok(())
    }

    /// Whether a bundle is there and whole.
    fn holds(&self, name: &str, files: &InstallFiles) -> bool {
        let installed = self.named(name.to_owned());
        installed.files().is_ok_and(|found| found.files().eq(files.files()))
    }

    fn linked(&self, link: &str) -> Result<Option<Installed>, Error> {
        let path = self.directory.join(link);
        let target = match std::fs::read_link(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other.map_err(refused(DiskAction::Read, &path))?,
        };
        let name = target.strip_prefix(BUNDLES).ok().and_then(Path::to_str);
        match name.filter(|name| is_digest(name)) {
            Some(name) => Ok(Some(self.named(name.to_owned()))),
            None => Err(Error::Install { path, defect: InstallDefect::Damaged }),
        }
    }

    fn named(&self, name: String) -> Installed {
        let path = self.directory.join(BUNDLES).join(&name);
        Installed { name, path }
    }
}

impl Installed {
    /// The digest of its files, as 64 lower-case hexadecimal digits.
    #[must_use]
    pub fn digest(&self) -> &str {
        &self.name
    }

    /// The directory that it is in.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its files, which are as they were installed.
    ///
    /// # Errors
    /// [`Error::Disk`]; [`Error::Install`] where a file is not as it was; [`Error::File`].
    pub fn files(&self) -> Result<InstallFiles, Error> {
        let mut files = Vec::with_capacity(FILES.len());
        for (name, limit) in FILES.into_iter().zip(LIMITS) {
            files.push(archive::File { name, contents: self.read(name, limit)? });
        }
        // A rendering number is no part of what is installed.
        if Digest::of(0, &files).to_string() != self.name {
            let path = self.path.clone();
            return Err(Error::Install { path, defect: InstallDefect::Damaged });
        }
        Ok(InstallFiles::new(files))
    }

    fn read(&self, name: &'static str, limit: usize) -> Result<String, Error> {
        let path = self.path.join(name);
        let mut bytes = Vec::new();
        // What is installed is a little longer than what was received: its paths are.
        let bound = 2 * limit as u64;
        File::open(&path)
            .and_then(|file| file.take(bound).read_to_end(&mut bytes))
            .map_err(refused(DiskAction::Read, &path))?;
        String::from_utf8(bytes)
            .map_err(|_| Error::File { file: name, defect: FileDefect::NotUtf8 })
    }
}

fn is_digest(name: &str) -> bool {
    name.len() == 64
        && name.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

#[cfg(test)]
mod tests;
