//! QR codes of certificates.

use std::ffi::OsStr;

use nebula_pki::{Version, qr_png};

use crate::failure::Failure;
use crate::files;

/// Writes the PEM text as a QR code to the path, if there is one.
pub(crate) fn write(path: &OsStr, pem: &str) -> Result<(), Failure> {
    if path.is_empty() {
        return Ok(());
    }
    let png = qr_png(pem).map_err(|error| {
        Failure::library("error while generating qr code: ", &error, Version::V2)
    })?;
    files::write(path, &png).map_err(|error| error.failure("error while writing out-qr: "))
}
