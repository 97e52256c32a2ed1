//! `verify`: whether certificates are valid and signed by a trusted CA.

use std::ffi::OsStr;

use nebula_pki::key::{AgreementKey, SigningKey};
use nebula_pki::{CaPool, Certificate, Error};

use crate::failure::{Failure, Failures};
use crate::flags::Values;
use crate::print::text;
use crate::quote::quote;
use crate::{blocklist, certificates, clock, files, wording};

pub(crate) fn run(flags: &Values) -> Result<(), Failures> {
    let (ca, crt) = (flags.required("ca")?, flags.required("crt")?);
    let (list, strict) = (flags.raw("blocklist"), flags.switch("strict"));
    let (key, soon) = (flags.raw("key"), flags.duration("expires-within"));
    files::claim_inputs(&[("ca", ca), ("crt", crt), ("blocklist", list), ("key", key)])?;

    let pool = read_pool(ca)?;
    let blocklist = blocklist::read(list)?;
    blocklist::warn_of_cas(&blocklist, &pool);
    let key = if key.is_empty() { None } else { Some(PrivateKey::read(key)?) };

    let input = files::read(crt).map_err(|error| error.failure("unable to read crt: "))?;
    // Only where the reference has no say.
    let is_ours = strict || soon > 0 || key.is_some() || !list.is_empty();
    if is_ours && input.is_empty() {
        return Err(Failure::new("no_pem_block", "error while parsing crt: no certificate").into());
    }
    let (now, until) = {
        let now = clock::Now::read();
        (now.seconds, now.plus(soon))
    };
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
            continue;
        }
        if soon > 0 && until.is_after(certificate.unverified_details().not_after()) {
            failures.push(expires_soon(&certificate));
        }
        if let Some(Err(error)) = key.as_ref().map(|key| key.check_pair(&certificate)) {
            failures.push(of_key(&error).about(certificate.fingerprint()));
        }
    }
    if failures.is_empty() { Ok(()) } else { Err(Failures(failures)) }
}

/// A private key, of a host or a CA.
enum PrivateKey {
    Host(AgreementKey),
    Ca(Box<SigningKey>),
}

impl PrivateKey {
    fn read(path: &OsStr) -> Result<Self, Failure> {
        let pem = files::read(path).map_err(|error| error.failure("error while reading key: "))?;
        let key = match AgreementKey::from_pem(&pem) {
            Err(Error::WrongBanner { .. }) => {
                SigningKey::from_pem(&pem).map(|key| Self::Ca(Box::new(key)))
            }
            key => key.map(Self::Host),
        };
        key.map_err(|error| {
            let reason = wording::of_key(&error, "private key");
            Failure::new(error.code(), format!("error while parsing key: {reason}"))
        })
    }

    fn check_pair(&self, certificate: &Certificate) -> Result<(), Error> {
        match self {
            Self::Host(key) => key.check_pair(certificate),
            Self::Ca(key) => key.check_pair(certificate),
        }
    }
}

fn of_key(error: &Error) -> Failure {
    Failure::new(error.code(), format!("error while verifying key: {error}"))
}

/// It is valid, but not for long.
fn expires_soon(certificate: &Certificate) -> Failure {
    let details = certificate.unverified_details();
    let (name, not_after) = (details.name().into_owned(), details.not_after());
    let (name, at) = (quote(name.as_bytes()), clock::in_utc(not_after));
    let error = Error::Expired { not_before: details.not_before(), not_after };
    let message = format!("certificate {name} expires within -expires-within, at {at}");
    Failure::new("expires_soon", message).about(certificate.fingerprint()).timed(&error)
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
    // The times are those of the certificate that is not valid.
    let about = match error {
        Error::CaExpired { issuer, .. } | Error::CaNotYetValid { issuer, .. } => *issuer,
        _ => certificate.fingerprint(),
    };
    Failure::new(error.code(), message).about(about).timed(error)
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
