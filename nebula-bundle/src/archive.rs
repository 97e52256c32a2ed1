//! Packs files into deterministic archives: equal files give equal bytes.

use std::io::{self, Cursor, Write};

use flate2::{Compression, GzBuilder};
use tar::{EntryType, Header};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, ZipWriter};

use crate::Error;

pub(crate) const CA: &str = "ca.crt";
pub(crate) const CERTIFICATE: &str = "node.crt";
pub(crate) const CONFIG: &str = "nebula.yml";
pub(crate) const README: &str = "README.md";
/// What a server says that the node was given. It is no part of a bundle, but may lie beside one.
pub(crate) const RECEIPT: &str = "receipt";

/// A file of a bundle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct File {
    pub(crate) name: &'static str,
    pub(crate) contents: String,
}

const MODE: u32 = 0o644;

/// RFC 1952's number for "unknown": an archive does not say where it was made.
const UNKNOWN_SYSTEM: u8 = 255;

/// Stored, not deflated: for a few kilobytes deflating costs twenty times as long as storing.
pub(crate) fn zip(files: &[File]) -> Result<Vec<u8>, Error> {
    let mut archive = ZipWriter::new(Cursor::new(Vec::with_capacity(room(files, 128))));
    let options = SimpleFileOptions::default()
        .compression_method(CompressionMethod::Stored)
        .last_modified_time(DateTime::DEFAULT)
        .unix_permissions(MODE);
    for file in files {
        archive.start_file(file.name, options).map_err(|_| Error::Archive)?;
        archive.write_all(file.contents.as_bytes()).map_err(|_| Error::Archive)?;
    }
    Ok(archive.finish().map_err(|_| Error::Archive)?.into_inner())
}

/// Stored as well: how a compressor packs differs between its versions, and the same bundle is to
/// be the same bytes from every server.
pub(crate) fn tar_gz(files: &[File]) -> Result<Vec<u8>, Error> {
    let written = Vec::with_capacity(room(files, 1024) + 1024);
    let gzip =
        GzBuilder::new().operating_system(UNKNOWN_SYSTEM).write(written, Compression::none());
    write_tar(files, gzip).and_then(|gzip| gzip.finish()).map_err(|_| Error::Archive)
}

fn write_tar<W: Write>(files: &[File], to: W) -> io::Result<W> {
    let mut archive = tar::Builder::new(to);
    for file in files {
        let mut header = Header::new_ustar();
        header.set_entry_type(EntryType::Regular);
        header.set_mode(MODE);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_size(file.contents.len() as u64);
        archive.append_data(&mut header, file.name, file.contents.as_bytes())?;
    }
    archive.into_inner()
}

/// About as many bytes as the archive will have, with so many for the format of each entry.
fn room(files: &[File], entry: usize) -> usize {
    files.iter().map(|file| file.contents.len() + 2 * file.name.len() + entry).sum::<usize>() + 64
}
