//! Reads an archive from elsewhere, whole and in memory, before anything of it is written.

use std::io::{Cursor, Read};

use flate2::bufread::GzDecoder;
use zip::{CompressionMethod, ZipArchive};

use crate::archive::{File, RECEIPT};
use crate::check::{FILES, LIMITS};
use crate::error::{ArchiveDefect, FileDefect};
use crate::{Digest, Error, RENDERING};

/// How long an archive may be, in bytes: as long as all of its files may be, and what the formats
/// add to them.
pub const ARCHIVE_LIMIT: usize = {
    let [ca, certificate, config, readme] = LIMITS;
    ca + certificate + config + readme + (64 << 10)
};
/// How long a receipt may be as text, in bytes.
pub const RECEIPT_LIMIT: usize = 512;
/// What is unpacked of a `tar.gz` at most, padding included.
const TAR_LIMIT: u64 = ARCHIVE_LIMIT as u64;

/// The files of an archive, by name. Nothing is known yet of what they hold: that is asked by
/// [`check`](crate::check()).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Files {
    files: Vec<(&'static str, String)>,
    receipt: Option<String>,
}

/// Reads a ZIP whose entries are stored, or a `tar.gz`, as bundles are packed here.
///
/// Each entry is a regular file with the name of a bundle's file, or `receipt`, without a
/// directory; each is there at most once, is UTF-8, and is no longer than such a file may be.
///
/// ```
/// # use nebula_bundle::{Error, unpack};
/// assert!(matches!(unpack(b"neither"), Err(Error::Unpack { .. })));
/// ```
///
/// # Errors
/// [`Error::Unpack`], [`Error::UnknownFile`], [`Error::File`].
pub fn unpack(archive: &[u8]) -> Result<Files, Error> {
    if archive.len() > ARCHIVE_LIMIT {
        return Err(refuse(ArchiveDefect::TooLong { limit_kib: ARCHIVE_LIMIT >> 10 }));
    }
    if archive.starts_with(b"PK") {
        unzip(archive)
    } else if archive.starts_with(&[0x1f, 0x8b]) {
        untar(archive)
    } else {
        Err(refuse(ArchiveDefect::Format))
    }
}

impl Files {
    /// Names and contents, without the receipt, in the archive's order.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.files.iter().map(|(name, contents)| (*name, contents.as_str()))
    }

    /// Files that came in another way, such as in an answer of a server, with the receipt among them or
    /// not.
    ///
    /// # Errors
    /// [`Error::UnknownFile`], [`Error::File`].
    pub fn new<'f>(files: impl IntoIterator<Item = (&'f str, &'f str)>) -> Result<Self, Error> {
        let mut read = Self::default();
        for (name, text) in files {
            read.take(name.as_bytes(), text.len() as u64, text.as_bytes())?;
        }
        Ok(read)
    }

    /// Whether this is their digest, in lower-case hexadecimal digits, as the server that rendered them
    /// said it: of the files as they are, in the order of an archive, in a rendering that this version
    /// has.
    #[must_use]
    pub fn has_digest(&self, digest: &str) -> bool {
        let mut files = Vec::with_capacity(self.files.len());
        for name in FILES {
            let found = self.iter().find(|(found, _)| *found == name);
            files.extend(found.map(|(_, text)| File { name, contents: text.to_owned() }));
        }
        (1..=RENDERING).any(|rendering| Digest::of(rendering, &files).to_string() == digest)
    }

    /// The receipt that came with the bundle, if there was one.
    #[must_use]
    pub fn receipt(&self) -> Option<&str> {
        self.receipt.as_deref()
    }

    /// Takes one entry of the archive, which says that it is `size` bytes long.
    fn take(&mut self, name: &[u8], size: u64, contents: impl Read) -> Result<(), Error> {
        let known = FILES.into_iter().zip(LIMITS).chain([(RECEIPT, RECEIPT_LIMIT)]);
        let Some((name, limit)) = known.into_iter().find(|known| known.0.as_bytes() == name) else {
            return Err(Error::UnknownFile { name: shown(name) });
        };
        let refuse_file = |defect| Err(Error::File { file: name, defect });
        if self.iter().any(|(found, _)| found == name)
            || (name == RECEIPT && self.receipt.is_some())
        {
            return refuse_file(FileDefect::Repeated);
        }
        let limit_bytes = limit as u64;
        if size > limit_bytes {
            return refuse_file(FileDefect::TooLong { limit_kib: limit >> 10 });
        }
        let mut read = Vec::new();
        contents.take(limit_bytes + 1).read_to_end(&mut read).map_err(unreadable)?;
        if read.len() as u64 != size {
            return refuse_file(FileDefect::Length { declared: size });
        }
        let Ok(text) = String::from_utf8(read) else {
            return refuse_file(FileDefect::NotUtf8);
        };
        match name {
            RECEIPT => self.receipt = Some(text),
            _ => self.files.push((name, text)),
        }
        Ok(())
    }
}

fn unzip(archive: &[u8]) -> Result<Files, Error> {
    let mut archive = ZipArchive::new(Cursor::new(archive)).map_err(unreadable)?;
    if archive.len() > FILES.len() + 1 {
        return Err(refuse(ArchiveDefect::TooMany { limit: FILES.len() + 1 }));
    }
    // The directory at the end and what stands before each file have to say the same, and no name
    // may be there twice: other programs read the other one.
    archive.validate_header_consistency().map_err(unreadable)?;
    let mut files = Files::default();
    for index in 0..archive.len() {
        let entry = archive.by_index(index).map_err(unreadable)?;
        let name = entry.name_raw().to_owned();
        if !entry.is_file() || entry.unix_mode().is_some_and(|mode| !is_regular(mode)) {
            return Err(refuse(ArchiveDefect::NotAFile { name: shown(&name) }));
        }
        if entry.compression() != CompressionMethod::Stored || entry.encrypted() {
            return Err(refuse(ArchiveDefect::NotStored { name: shown(&name) }));
        }
        let size = entry.size();
        files.take(&name, size, entry)?;
    }
    Ok(files)
}

/// Whether the mode's kind is a regular file, or left out.
fn is_regular(mode: u32) -> bool {
    matches!(mode & 0o170_000, 0 | 0o100_000)
}

fn untar(archive: &[u8]) -> Result<Files, Error> {
    let mut compressed = archive;
    let mut unpacked = GzDecoder::new(&mut compressed).take(TAR_LIMIT + 1);
    let files = read_tar(&mut unpacked)?;
    // What follows the last entry is read, too: its checksum stands at the end of all.
    let mut block = [0; 4096];
    while unpacked.read(&mut block).map_err(unreadable)? > 0 {}
    if unpacked.limit() == 0 {
        return Err(refuse(ArchiveDefect::TooLong { limit_kib: ARCHIVE_LIMIT >> 10 }));
    }
    drop(unpacked);
    if !compressed.is_empty() {
        return Err(refuse(ArchiveDefect::Unreadable));
    }
    Ok(files)
}

fn read_tar(unpacked: impl Read) -> Result<Files, Error> {
    let mut files = Files::default();
    let mut archive = tar::Archive::new(unpacked);
    // Without what extends the format: such an entry is none of a bundle.
    for (number, entry) in archive.entries().map_err(unreadable)?.raw(true).enumerate() {
        if number > FILES.len() {
            return Err(refuse(ArchiveDefect::TooMany { limit: FILES.len() + 1 }));
        }
        let entry = entry.map_err(unreadable)?;
        let name = entry.path_bytes().into_owned();
        if !entry.header().entry_type().is_file() {
            return Err(refuse(ArchiveDefect::NotAFile { name: shown(&name) }));
        }
        let size = entry.header().size().map_err(unreadable)?;
        files.take(&name, size, entry)?;
    }
    Ok(files)
}

/// A name from the archive as text for a terminal.
fn shown(name: &[u8]) -> String {
    let name = String::from_utf8_lossy(name);
    name.chars().take(100).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

fn refuse(defect: ArchiveDefect) -> Error {
    Error::Unpack { defect }
}

/// Whatever a library says of it, which may quote the archive.
fn unreadable<E>(_: E) -> Error {
    refuse(ArchiveDefect::Unreadable)
}
