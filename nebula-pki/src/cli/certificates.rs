//! Reads certificates one by one, as the reference does.

use nebula_pki::{Certificate, Error, Version};

use crate::failure::Failure;

/// The first certificate, and what follows it. `doing` begins the failure's message.
pub(crate) fn next<'a>(pem: &'a [u8], doing: &str) -> Result<(Certificate, &'a [u8]), Failure> {
    Certificate::split_pem(pem).map_err(|error| failure(&error, pem, doing))
}

/// Why PEM could not be read as certificates, in the reference's words.
pub(crate) fn failure(error: &Error, pem: &[u8], doing: &str) -> Failure {
    Failure::library(doing, error, first_version(pem))
}

/// White space in the sense of Go's `strings.TrimSpace`. Looks at no line after the first that has
/// anything else, because it is asked after each of many blocks.
pub(crate) fn is_blank(text: &[u8]) -> bool {
    text.split_inclusive(|byte| *byte == b'\n').all(|line| {
        std::str::from_utf8(line).is_ok_and(|line| line.chars().all(char::is_whitespace))
    })
}

/// Whether the first block is one of a certificate, readable or not.
pub(crate) fn is_certificate(pem: &[u8]) -> bool {
    !matches!(
        Certificate::from_pem(pem),
        Err(Error::WrongBanner { .. } | Error::NoPemBlock | Error::Utf16)
    )
}

/// The version that the first banner names. Some rules that both versions have are worded
/// differently.
fn first_version(pem: &[u8]) -> Version {
    const BANNER: &[u8] = b"-----BEGIN NEBULA CERTIFICATE";
    let found = pem.windows(BANNER.len()).position(|window| window == BANNER);
    match found.and_then(|at| pem.get(at + BANNER.len()..)) {
        Some([b' ', b'V', b'2', ..]) => Version::V2,
        _ => Version::V1,
    }
}
