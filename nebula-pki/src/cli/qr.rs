//! QR codes of certificates.

use std::ffi::OsStr;

use nebula_pki::{Version, qr_png};

use crate::failure::Failure;
use crate::files::{self, FileError};

/// Writes the PEM text as a QR code to the path, if there is one.
pub(crate) fn write(path: &OsStr, pem: &str) -> Result<(), Failure> {
    match png(path, pem)? {
        Some(png) => files::write(path, &png).map_err(|error| failure(&error)),
        None => Ok(()),
    }
}

/// The QR code of the PEM text, if there is a path for it.
pub(crate) fn png(path: &OsStr, pem: &str) -> Result<Option<Vec<u8>>, Failure> {
    if path.is_empty() {
        return Ok(None);
    }
    qr_png(pem)
        .map(Some)
        .map_err(|error| Failure::library("error while generating qr code: ", &error, Version::V2))
}

pub(crate) fn failure(error: &FileError) -> Failure {
    error.failure("error while writing out-qr: ")
}
