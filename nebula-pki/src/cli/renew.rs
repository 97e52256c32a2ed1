//! `renew`: certificates with a new validity.

use std::ffi::OsStr;

use nebula_pki::{
    CaPool, Certificate, Details, Error, HostParameters, Issuer, Validity, VerifiedCertificate,
};

use crate::authority::{self, CaKey};
use crate::clock::{Now, SECOND};
use crate::failure::{Failure, Failures};
use crate::files::FileError;
use crate::flags::Values;
use crate::quote::quote;
use crate::terms::Terms;
use crate::{blocklist, certificates, files, qr, sign, verify};

pub(crate) fn run(flags: &Values) -> Result<(), Failures> {
    let token = authority::token(flags)?;
    let ca_key = if token.is_some() { OsStr::new("") } else { flags.required("ca-key")? };
    let ca_crt = flags.required("ca-crt")?;
    let in_crt = flags.required("in-crt")?;
    let (ca, list, out_qr) = (flags.raw("ca"), flags.raw("blocklist"), flags.raw("out-qr"));
    let out_crt = Some(flags.raw("out-crt")).filter(|path| !path.is_empty()).unwrap_or(in_crt);
    let inputs = [
        ("ca-key", ca_key),
        ("ca-crt", ca_crt),
        ("ca", ca),
        ("in-crt", in_crt),
        ("blocklist", list),
    ];
    files::claim_inputs(&inputs)?;
    if flags.raw("out-crt").is_empty() {
        files::claim_replaceable("in-crt", in_crt, "out-crt")?;
    }
    files::claim_outputs(&[("out-crt", out_crt), ("out-qr", out_qr)])?;
    files::claim_apart(&[("out-qr", out_qr)], &inputs)?;
    let in_place = out_crt == in_crt || files::is_one(out_crt, in_crt);

    let (issuer, bundle) = authority::read(ca_key, token, ca_crt)?;
    let pool = trusted(ca, issuer.certificate(), &bundle)?;
    let blocklist = blocklist::read(list)?;
    blocklist::warn_of_cas(&blocklist, &pool);
    let input =
        files::read(in_crt).map_err(|error| error.failure("error while reading in-crt: "))?;
    let now = Now::read();
    authority::check_time(issuer.certificate(), now)?;
    if !in_place && files::exists(out_crt) {
        return Err(sign::exists("cert", out_crt).into());
    }

    let mut pem = String::new();
    let mut rest = input.as_slice();
    while pem.is_empty() || !certificates::is_blank(rest) {
        let (certificate, next) = certificates::next(rest, "error while parsing in-crt: ")?;
        rest = next;
        if certificate.unverified_details().is_ca() {
            return Err(not_a_host(&certificate).into());
        }
        // A forged certificate that looks like ours must not be signed. Its
        // own first second is a time at which it was valid, if it ever was.
        let then = certificate.unverified_details().not_before();
        let verified = pool
            .verify(&certificate, then, &blocklist)
            .map_err(|error| verify::refused(&certificate, &error))?;
        let terms =
            terms(now, flags.duration("duration"), verified.details(), issuer.certificate());
        pem.push_str(&renew(&issuer, &verified, &terms)?.to_pem());
    }
    // What can't be written shows before the old certificate is replaced.
    let of_crt = |error: FileError| error.failure("error while writing out-crt: ");
    let png = qr::png(out_qr, &pem)?;
    let crt = files::stage(out_crt, pem.as_bytes()).map_err(of_crt)?;
    let qr = png.as_ref().map(|png| files::stage(out_qr, png)).transpose();
    let qr = qr.map_err(|error| qr::failure(&error))?;
    crt.commit().map_err(of_crt)?;
    if let Some(qr) = qr {
        qr.commit().map_err(|error| qr::failure(&error))?;
    }
    Ok(())
}

/// The error for a CA's certificate, which can't be renewed.
fn not_a_host(certificate: &Certificate) -> Failure {
    let name = certificate.unverified_details().name().into_owned();
    let message = format!(
        "in-crt is the certificate of the ca {}, which can't be renewed: hosts' certificates refer to their ca by its \
         fingerprint, and a new certificate has another. Make a new ca with nebula-cert ca, trust both, \
         renew the hosts with -ca OLD.crt -ca-crt NEW.crt -ca-key NEW.key, then remove the old one from \
         the hosts' CA files",
        quote(name.as_bytes())
    );
    Failure::new("ca_as_host", message).about(certificate.fingerprint())
}

/// The CAs of a bundle, or those in the file of the one that signs: just that one, where the rest of
/// the file is not a bundle.
fn trusted(path: &OsStr, ca: &Certificate, beside: &[u8]) -> Result<CaPool, Failure> {
    if !path.is_empty() {
        return verify::read_pool(path);
    }
    if let Ok(pool) = CaPool::from_pem(beside) {
        return Ok(pool);
    }
    let mut pool = CaPool::new();
    pool.add(ca.clone())
        .map_err(|error| Failure::library("refusing to sign, ", &error, ca.version()))?;
    Ok(pool)
}

fn renew(
    issuer: &Issuer<CaKey>,
    verified: &VerifiedCertificate,
    terms: &Terms,
) -> Result<Certificate, Failure> {
    let certificate = verified.certificate();
    let failure =
        |error: Error| Failure::library("error while signing: ", &error, certificate.version());
    let host = HostParameters::renewal_of(verified, terms.validity).map_err(failure)?;
    terms
        .issue(issuer, certificate.version(), &host)
        .map(VerifiedCertificate::into_certificate)
        .map_err(failure)
}

/// So long, or as long as before, but not longer than the CA.
fn terms(now: Now, duration: i64, before: &Details, ca: &Certificate) -> Terms {
    if duration > 0 {
        return Terms::new(now, duration, ca);
    }
    let longest = Terms::new(now, 0, ca);
    let Validity { not_before, not_after } = longest.validity;
    let lifetime = before.not_after().saturating_sub(before.not_before());
    if lifetime > 0 && not_before.saturating_add(lifetime) < not_after {
        Terms::new(now, lifetime.saturating_mul(SECOND), ca)
    } else {
        longest
    }
}
