//! `verify`: whether certificates are valid and signed by a trusted CA.

use std::ffi::OsStr;

use nebula_pki::{CaPool, Certificate, Error};

use crate::failure::{Failure, Failures};
use crate::flags::Values;
use crate::print::text;
use crate::{blocklist, certificates, clock, files, wording};

pub(crate) fn run(flags: &Values) -> Result<(), Failures> {
    let (ca, crt) = (flags.required("ca")?, flags.required("crt")?);
    let (list, strict) = (flags.raw("blocklist"), flags.switch("strict"));
    files::claim_inputs(&[("ca", ca), ("crt", crt), ("blocklist", list)])?;

    let pool = read_pool(ca)?;
    let blocklist = blocklist::read(list)?;

    let input = files::read(crt).map_err(|error| error.failure("unable to read crt: "))?;
    if strict && input.is_empty() {
        return Err(Failure::new("no_pem_block", "error while parsing crt: no certificate").into());
    }
    let now = clock::Now::read().seconds;
    let mut failures = Vec::new();
    let mut rest = input.as_slice();
    // Unlike `print` the reference takes a blank rest for a certificate, and an empty file for none.
    while !rest.is_empty() {
        let (certificate, next) = certificates::next(rest, "error while parsing crt: ")?;
        rest = next;
        let verdict = if strict {
            pool.verify_strict(&certificate, now, &blocklist)
        } else {
            pool.verify(&certificate, now, &blocklist)
        };
        if let Err(error) = verdict {
            failures.push(refused(&certificate, &error));
        }
    }
    if failures.is_empty() { Ok(()) } else { Err(Failures(failures)) }
}

/// Why a certificate is not to be trusted.
pub(crate) fn refused(certificate: &Certificate, error: &Error) -> Failure {
    let reason = wording::of(error, certificate.version());
    let message = match error {
        Error::UnknownCa { issuer } => format!(
            "error while verifying certificate v{} {} with issuer {issuer}: {reason}",
            certificate.version().number(),
            certificate.unverified_details().name(),
        ),
        _ => format!(
            "error while verifying certificate {}: {reason}",
            text(certificate, clock::zone())
        ),
    };
    Failure::new(error.code(), message).about(certificate.fingerprint()).timed(error)
}

/// The CAs of a bundle.
pub(crate) fn read_pool(path: &OsStr) -> Result<CaPool, Failure> {
    let refused = |error, bundle| {
        certificates::failure(&error, bundle, "error while adding ca cert to pool: ")
    };
    let bundle = files::read(path).map_err(|error| match error.is_read() {
        // The reference has opened the file by then, and takes what it cannot read for no PEM.
        true => refused(Error::NoPemBlock, &[]),
        false => error.failure("error while reading ca: "),
    })?;
    CaPool::from_pem(&bundle).map_err(|error| refused(error, &bundle))
}
