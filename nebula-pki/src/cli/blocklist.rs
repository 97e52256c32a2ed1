//! Lists of fingerprints in a file.

use std::ffi::OsStr;

use nebula_pki::{Blocklist, CaPool, Error};

use crate::failure::Failure;
use crate::files;
use crate::quote::quote;

/// Says which entries are of these CAs: they look as if they blocked what those signed.
pub(crate) fn warn_of_cas(blocklist: &Blocklist, pool: &CaPool) {
    for ca in pool.certificates() {
        let fingerprint = ca.fingerprint();
        let alternate = ca.alternate_fingerprint();
        if blocklist.contains(&fingerprint)
            || alternate.is_some_and(|alternate| blocklist.contains(&alternate))
        {
            let name = ca.unverified_details().name().into_owned();
            let message = format!(
                "blocklist names the CA {}, which blocks nothing that it signed; take it out of the \
                 CAs instead",
                quote(name.as_bytes())
            );
            Failure::new("ca_in_blocklist", message).about(fingerprint).warn();
        }
    }
}

/// Reads a list with one fingerprint per line; `#` begins a comment. No path is an empty list.
pub(crate) fn read(path: &OsStr) -> Result<Blocklist, Failure> {
    if path.is_empty() {
        return Ok(Blocklist::new());
    }
    let list =
        files::read(path).map_err(|error| error.failure("error while reading blocklist: "))?;
    // Its byte order mark, or the other halves of ASCII characters.
    if list.starts_with(&[0xff, 0xfe]) || list.starts_with(&[0xfe, 0xff]) || list.contains(&0) {
        let message = "error while parsing blocklist: UTF-16 text: save it as UTF-8";
        return Err(Failure::new(Error::Utf16.code(), message));
    }
    let list = String::from_utf8_lossy(list.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&list));
    list.lines()
        .enumerate()
        .map(|(index, line)| (index + 1, line.split('#').next().unwrap_or_default().trim()))
        .filter(|(_, entry)| !entry.is_empty())
        .map(|(line, entry)| entry.parse().map_err(|error| invalid(line, &error)))
        .collect()
}

/// Any error refuses the whole list: part of a list would let blocked certificates pass.
fn invalid(line: usize, error: &Error) -> Failure {
    Failure::new(error.code(), format!("error while parsing blocklist: line {line}: {error}"))
}
