//! The rendered files of one node, and their digest.

use std::borrow::Cow;
use std::fmt;

use sha2::{Digest as _, Sha256};

use crate::archive::{self, File, RECEIPT};
use crate::{Error, inline};

/// The files rendered for one node at one revision and generation. Equal inputs give byte-equal
/// bundles.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bundle {
    rendering: u32,
    files: Vec<File>,
    receipt: Option<String>,
}

/// Identifies a bundle: SHA-256 over the rendering number and every file's name and
/// contents, each preceded by its length. Displayed as 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest([u8; 32]);

impl Bundle {
    pub(crate) fn new(rendering: u32, files: Vec<File>) -> Self {
        Self { rendering, files, receipt: None }
    }

    /// With a receipt of the server's, which its archives hold as a file `receipt`. It is no part of the
    /// bundle, whose digest stays the same.
    #[must_use]
    pub fn with_receipt(self, receipt: String) -> Self {
        Self { receipt: Some(receipt), ..self }
    }

    /// The contents of one file.
    #[must_use]
    pub fn file(&self, name: &str) -> Option<&str> {
        self.files().find(|(found, _)| *found == name).map(|(_, contents)| contents)
    }

    /// Names and contents, in the order of the archive.
    pub fn files(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.files.iter().map(|file| (file.name, file.contents.as_str()))
    }

    /// Equal for equal bundles, and only for them.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest::of(self.rendering, &self.files)
    }

    /// The whole bundle as one `nebula.yml`, for containers and the like: its PEM files are in it, and
    /// the line [`KEY_PLACE`](crate::KEY_PLACE) is to be replaced by those of the node's key, indented as it is.
    #[must_use]
    pub fn to_yaml(&self) -> String {
        inline::write(&self.files)
    }

    /// The files as a ZIP: entries stored, in a fixed order, without times, mode 0644.
    ///
    /// # Errors
    /// [`Error::Archive`] where a file is too large for the format.
    pub fn to_zip(&self) -> Result<Vec<u8>, Error> {
        archive::zip(&self.packed())
    }

    /// The same files as a gzipped tar archive: stored, in the same order, of user and group 0, at
    /// time 0, mode 0644.
    ///
    /// # Errors
    /// [`Error::Archive`] where a file is too large for the format.
    pub fn to_tar_gz(&self) -> Result<Vec<u8>, Error> {
        archive::tar_gz(&self.packed())
    }

    /// What archives hold.
    fn packed(&self) -> Cow<'_, [File]> {
        match &self.receipt {
            None => Cow::Borrowed(&self.files),
            Some(receipt) => {
                let receipt = File { name: RECEIPT, contents: receipt.clone() };
                Cow::Owned([self.files.as_slice(), &[receipt]].concat())
            }
        }
    }
}

impl Digest {
    pub(crate) fn of(rendering: u32, files: &[File]) -> Self {
        let mut hash = Sha256::new();
        hash.update(rendering.to_be_bytes());
        for part in files.iter().flat_map(|file| [file.name, file.contents.as_str()]) {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        Self(hash.finalize().into())
    }

    /// The raw hash.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({self})")
    }
}
