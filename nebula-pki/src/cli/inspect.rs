//! `inspect`: what a key, an encrypted key or a certificate is.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use nebula_pki::key::{AgreementKey, Argon2Parameters, EncryptedKey, PublicKey, SigningKey};
use nebula_pki::{Certificate, Curve, Error, Signer as _};

use crate::certificates;
use crate::failure::{Failure, Failures};
use crate::files;
use crate::flags::Values;
use crate::quote::json;
use crate::wording;

/// What is shown, by name, each value in JSON.
type Members = BTreeMap<&'static str, String>;

type Reader = fn(&[u8]) -> Result<Members, Error>;

pub(crate) fn run(flags: &Values) -> Result<(), Failures> {
    let path = flags.required("path")?;
    let pem = files::read(path).map_err(|error| error.failure("error while reading path: "))?;
    let members = inspect(&pem)?;
    let text = if flags.switch("json") { compact(&members) } else { indented(&members) };
    files::print(format!("{text}\n").as_bytes())
        .map_err(|error| error.failure("error while writing: "))?;
    Ok(())
}

/// Tries one kind after the other, until one has the banner of the first block.
fn inspect(pem: &[u8]) -> Result<Members, Failure> {
    let readers: [Reader; 5] = [signing_key, encrypted_key, agreement_key, public_key, certificate];
    for reader in readers {
        match reader(pem) {
            Err(Error::WrongBanner { .. } | Error::EncryptedKey) => {}
            Err(error) => return Err(unreadable(&error, pem)),
            Ok(members) => return Ok(members),
        }
    }
    Err(Failure::new(
        "wrong_banner",
        "error while parsing path: bytes did not contain the banner of a key or a certificate",
    ))
}

fn unreadable(error: &Error, pem: &[u8]) -> Failure {
    let doing = "error while parsing path: ";
    if certificates::is_certificate(pem) {
        certificates::failure(error, pem, doing)
    } else {
        Failure::new(error.code(), format!("{doing}{}", wording::of_key(error, "key")))
    }
}

fn signing_key(pem: &[u8]) -> Result<Members, Error> {
    let key = SigningKey::from_pem(pem)?;
    Ok(key_members("ca private key", key.curve(), key.public_key()))
}

fn encrypted_key(pem: &[u8]) -> Result<Members, Error> {
    let key = EncryptedKey::from_pem(pem)?;
    let Argon2Parameters { memory_kib, iterations, parallelism } = key.parameters();
    Ok(BTreeMap::from([
        ("kind", json("encrypted ca private key")),
        ("curve", json(&key.curve().to_string())),
        ("cipher", json("AES-256-GCM")),
        ("keyDerivation", json("Argon2id")),
        ("memoryKiB", memory_kib.to_string()),
        ("iterations", iterations.to_string()),
        ("parallelism", parallelism.to_string()),
    ]))
}

fn agreement_key(pem: &[u8]) -> Result<Members, Error> {
    Ok(host_members("host private key", &AgreementKey::from_pem(pem)?.public_key()))
}

fn public_key(pem: &[u8]) -> Result<Members, Error> {
    Ok(host_members("host public key", &PublicKey::from_pem(pem)?))
}

fn certificate(pem: &[u8]) -> Result<Members, Error> {
    let certificate = Certificate::from_pem(pem)?;
    let details = certificate.unverified_details();
    let kind = if details.is_ca() { "ca certificate" } else { "host certificate" };
    let (curve, public_key) = (certificate.curve(), certificate.public_key());
    let mut members = match PublicKey::from_raw(curve, public_key) {
        Ok(key) if !details.is_ca() => host_members(kind, &key),
        // A CA's key cannot be a host's, and some certificates have an unusable one.
        _ => key_members(kind, curve, public_key),
    };
    let text = |text: &str| json(text);
    members.insert("fingerprint", text(&certificate.fingerprint().to_string()));
    if let Some(alternate) = certificate.alternate_fingerprint() {
        // Whoever blocks one of the two for nodes older than 1.10.3 has to block both.
        members.insert("alternateFingerprint", text(&alternate.to_string()));
    }
    members.insert("name", text(&details.name()));
    members.insert("version", certificate.version().number().to_string());
    Ok(members)
}

/// Those of a key that can be signed: also as the file that `-in-pub` takes.
fn host_members(kind: &str, key: &PublicKey) -> Members {
    let mut members = key_members(kind, key.curve(), key.as_bytes());
    members.insert("publicKeyPem", json(&key.to_pem()));
    members
}

fn key_members(kind: &str, curve: Curve, public_key: &[u8]) -> Members {
    let hex = public_key.iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    });
    BTreeMap::from([
        ("kind", json(kind)),
        ("curve", json(&curve.to_string())),
        ("publicKey", json(&hex)),
    ])
}

fn compact(members: &Members) -> String {
    let members: Vec<_> =
        members.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
    format!("{{{}}}", members.join(","))
}

fn indented(members: &Members) -> String {
    let members: Vec<_> =
        members.iter().map(|(name, value)| format!("\t\"{name}\": {value}")).collect();
    format!("{{\n{}\n}}", members.join(",\n"))
}
