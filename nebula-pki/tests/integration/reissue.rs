//! Do the same key and the same fields give the very bytes that the reference made?
//!
//! On P256 its signatures are random, so there the reference's own signature is completed: releases
//! before 1.10.3 wrote a high s half of the time, which becomes the low one here.

use nebula_pki::key::{PublicKey, SigningKey};
use nebula_pki::{
    Blocklist, CaParameters, CaPool, Certificate, Curve, Details, Error, HostParameters, Issuer,
    Signer, Validity, Version,
};

use crate::support::vector::{files, read, text};

#[test]
fn host_certificates() {
    let (mut v1, mut v2, mut p256, mut high) = (0, 0, 0, 0);
    for (name, file) in reference_certificates("host-cert") {
        let certificate = Certificate::from_pem(&read(&name)).unwrap();
        let details = certificate.unverified_details();
        let ca = text(&file, "issuer_file");
        let issuer = Issuer::new(Certificate::from_pem(&read(ca)).unwrap(), key_of(ca)).unwrap();

        let networks = details.networks().to_vec();
        let key = public_key(&certificate);
        let host = HostParameters::new(details.name(), networks, key, validity(details))
            .groups(details.groups())
            .unsafe_networks(details.unsafe_networks().iter().copied());
        let version = certificate.version();
        let reissued = match certificate.curve() {
            Curve::P256 => {
                p256 += 1;
                let prepared = issuer.prepare(version, &host).unwrap();
                prepared.complete(certificate.signature()).unwrap()
            }
            _ => issuer.issue(version, &host).unwrap(),
        };
        let reissued = reissued.into_certificate();
        if !is_itself_or_its_low_form(&reissued, &certificate, &name) {
            high += 1;
        }
        assert_eq!(reissued.unverified_details(), details, "{name}");
        match version {
            Version::V1 => v1 += 1,
            _ => v2 += 1,
        }
    }
    assert_eq!((v1, v2, p256, high), (54, 54, 53, 4));
}

/// A certificate that the reference made under a throw-away CA: a name that is not UTF-8, and two groups
/// that differ only in what is not.
const NOT_TEXT: &str = include_str!("support/not_text/n.crt");
const ITS_CA: &str = include_str!("support/not_text/ca.crt");
const ITS_CA_KEY: &str = include_str!("support/not_text/ca.key");

#[test]
fn a_renewal_keeps_every_byte_but_the_validity() {
    let ca = Certificate::from_pem(ITS_CA.as_bytes()).unwrap();
    let issuer = Issuer::new(ca, SigningKey::from_pem(ITS_CA_KEY.as_bytes()).unwrap()).unwrap();
    let mut pool = CaPool::new();
    pool.add(issuer.certificate().clone()).unwrap();
    let certificate = Certificate::from_pem(NOT_TEXT.as_bytes()).unwrap();
    let before = certificate.unverified_details();
    let old = pool.verify(&certificate, before.not_before(), &Blocklist::new()).unwrap();

    let same = HostParameters::renewal_of(&old, validity(before)).unwrap();
    let same = issuer.issue(certificate.version(), &same).unwrap();
    assert_eq!(same.certificate().to_pem(), NOT_TEXT, "with the same validity the same");

    let other = Validity { not_after: before.not_after() - 1, ..validity(before) };
    let renewed = HostParameters::renewal_of(&old, other).unwrap();
    let renewed = issuer.issue(certificate.version(), &renewed).unwrap();
    let after = renewed.details();
    assert_eq!(after.name_bytes(), b"g\xe9rant");
    assert_eq!(after.groups_bytes(), [b"\xe9quipe", b"\xe8quipe"]);
    assert_eq!(after.networks(), before.networks());
    assert_eq!(validity(after), other);

    let twice =
        HostParameters::new("n", after.networks().to_vec(), public_key(&certificate), other)
            .groups(["b", "a", "b"]);
    let twice = issuer.issue(Version::V1, &twice).unwrap();
    let renewed = HostParameters::renewal_of(&twice, other).unwrap();
    let renewed = issuer.issue(Version::V1, &renewed).unwrap();
    assert_eq!(renewed.certificate(), twice.certificate(), "order and repetition are kept");
}

fn public_key(certificate: &Certificate) -> PublicKey {
    PublicKey::from_raw(certificate.curve(), certificate.public_key()).unwrap()
}

#[test]
fn ca_certificates() {
    let (mut count, mut p256, mut high) = (0, 0, 0);
    for (name, _) in reference_certificates("ca-cert") {
        let certificate = Certificate::from_pem(&read(&name)).unwrap();
        let details = certificate.unverified_details();

        let parameters = CaParameters::new(details.name(), validity(details))
            .groups(details.groups())
            .networks(details.networks().iter().copied())
            .unsafe_networks(details.unsafe_networks().iter().copied());
        let version = certificate.version();
        let made = match certificate.curve() {
            Curve::P256 => {
                p256 += 1;
                let key = key_of(&name);
                let signer = Recorded { key, signature: certificate.signature().to_vec() };
                Issuer::self_signed(version, parameters, signer).unwrap().certificate().clone()
            }
            _ => Issuer::self_signed(version, parameters, key_of(&name))
                .unwrap()
                .certificate()
                .clone(),
        };
        if !is_itself_or_its_low_form(&made, &certificate, &name) {
            high += 1;
        }
        count += 1;
    }
    assert_eq!((count, p256, high), (34, 16, 1));
}

/// Whether it is the same to the byte; if not, it must be what the original is with a low s.
fn is_itself_or_its_low_form(made: &Certificate, original: &Certificate, name: &str) -> bool {
    assert_eq!(Certificate::from_pem(made.to_pem().as_bytes()).unwrap(), *made, "{name}");
    if made.fingerprint() == original.fingerprint() {
        assert_eq!(made.to_pem().as_bytes(), read(name), "{name}");
        return true;
    }
    assert!(name.starts_with("legacy-1.9.3-p256/"), "{name}");
    assert_eq!(Some(made.fingerprint()), original.alternate_fingerprint(), "{name}");
    assert_eq!(made.alternate_fingerprint(), Some(original.fingerprint()), "{name}");
    false
}

/// Holds the key, and the signature that was made with it before.
struct Recorded {
    key: SigningKey,
    signature: Vec<u8>,
}

impl Signer for Recorded {
    fn curve(&self) -> Curve {
        self.key.curve()
    }

    fn public_key(&self) -> &[u8] {
        self.key.public_key()
    }

    fn sign(&self, _: &[u8]) -> Result<Vec<u8>, Error> {
        Ok(self.signature.clone())
    }
}

/// All that the reference issued and whose CA's key is kept as it is.
fn reference_certificates(kind: &str) -> Vec<(String, serde_json::Value)> {
    files()
        .into_iter()
        .filter(|file| text(file, "kind") == kind)
        .map(|file| (text(&file, "path").to_owned(), file))
        .filter(|(name, _)| !name.starts_with("encrypted/"))
        .collect()
}

fn key_of(ca: &str) -> SigningKey {
    SigningKey::from_pem(&read(&ca.replace(".crt", ".key"))).unwrap()
}

fn validity(details: &Details) -> Validity {
    Validity { not_before: details.not_before(), not_after: details.not_after() }
}
