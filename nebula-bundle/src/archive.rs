use std::io::{Cursor, Write};

use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, ZipWriter};

use crate::Error;
use crate::bundle::File;

/// Stored, not deflated: for a few kilobytes deflating costs twenty times as long as storing.
pub(crate) fn zip(files: &[File]) -> Result<Vec<u8>, Error> {
    let refuse = |error: &dyn std::error::Error| Error::Archive { reason: error.to_string() };
    // Room for what the format adds: two headers per entry and the end record.
    let size =
        files.iter().map(|file| file.contents.len() + 2 * file.name.len() + 128).sum::<usize>()
            + 64;
    let mut archive = ZipWriter::new(Cursor::new(Vec::with_capacity(size)));
    let options = SimpleFileOptions::default()
        .compression_method(CompressionMethod::Stored)
        .last_modified_time(DateTime::DEFAULT)
        .unix_permissions(0o644);
    for file in files {
        archive.start_file(file.name, options).map_err(|error| refuse(&error))?;
        archive.write_all(file.contents.as_bytes()).map_err(|error| refuse(&error))?;
    }
    Ok(archive.finish().map_err(|error| refuse(&error))?.into_inner())
}
