//! Which file is meant, whatever its name.

use std::fs::Metadata;
use std::path::Path;

/// Which file it is, whatever its name: device and inode, where there is such a thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FileId(u64, u64);

impl FileId {
    #[cfg(unix)]
    pub(super) fn of(file: &Metadata) -> Self {
        use std::os::unix::fs::MetadataExt as _;
        Self(file.dev(), file.ino())
    }

    #[cfg(not(unix))]
    pub(super) fn of(_: &Metadata) -> Self {
        Self(0, 0)
    }

    /// Of the file at a path, if there is one.
    pub(super) fn at(path: &Path) -> Option<Self> {
        path.metadata().ok().map(|found| Self::of(&found))
    }

    /// Without the device, whose number another start of the machine may change.
    pub(super) fn inode(self) -> String {
        self.1.to_string()
    }

    /// Whether the file was removed.
    pub(super) fn is_unnamed(file: &Metadata) -> bool {
        names(file) == 0
    }
}

/// How many hard links a file has.
#[cfg(unix)]
pub(super) fn names(file: &Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::nlink(file)
}

#[cfg(not(unix))]
pub(super) fn names(_: &Metadata) -> u64 {
    1
}
