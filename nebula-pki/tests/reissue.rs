//! Do the same key and the same fields give the very bytes that the reference made?
#![allow(clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "helpers of tests")]

#[allow(dead_code, reason = "shared by several tests")]
#[path = "support/vector.rs"]
mod vector;

use nebula_pki::key::{PublicKey, SigningKey};
use nebula_pki::{CaParameters, Certificate, Details, HostParameters, Issuer, Validity, Version};
use vector::{files, read, text};

#[test]
fn host_certificates() {
    let (mut v1, mut v2) = (0, 0);
    for (name, file) in reference_certificates("host-cert") {
        let original = read(&name);
        let certificate = Certificate::from_pem(&original).unwrap();
        let details = certificate.unverified_details();
        let ca = text(&file, "issuer_file");
        let issuer = Issuer::new(Certificate::from_pem(&read(ca)).unwrap(), key_of(ca)).unwrap();

        let public_key =
            PublicKey::from_raw(certificate.curve(), certificate.public_key()).unwrap();
        let networks = details.networks().to_vec();
        let host = HostParameters::new(details.name(), networks, public_key, validity(details))
            .groups(details.groups())
            .unsafe_networks(details.unsafe_networks().iter().copied());
        let reissued = issuer.issue(certificate.version(), &host).unwrap().into_certificate();

        assert_eq!(reissued.to_pem().as_bytes(), original, "{name}");
        assert_eq!(reissued.fingerprint().to_string(), text(&file, "fingerprint"), "{name}");
        assert_eq!(reissued.unverified_details(), details, "{name}");
        match certificate.version() {
            Version::V1 => v1 += 1,
            _ => v2 += 1,
        }
    }
    assert_eq!((v1, v2), (26, 25));
}

#[test]
fn ca_certificates() {
    let mut count = 0;
    for (name, file) in reference_certificates("ca-cert") {
        let original = read(&name);
        let certificate = Certificate::from_pem(&original).unwrap();
        let details = certificate.unverified_details();

        let parameters = CaParameters::new(details.name(), validity(details))
            .groups(details.groups())
            .networks(details.networks().iter().copied())
            .unsafe_networks(details.unsafe_networks().iter().copied());
        let issuer = Issuer::self_signed(certificate.version(), parameters, key_of(&name)).unwrap();

        assert_eq!(issuer.certificate().to_pem().as_bytes(), original, "{name}");
        let fingerprint = issuer.certificate().fingerprint().to_string();
        assert_eq!(fingerprint, text(&file, "fingerprint"), "{name}");
        count += 1;
    }
    assert_eq!(count, 16);
}

#[test]
fn private_keys() {
    let mut count = 0;
    for (name, _) in reference_certificates("ca-cert") {
        let original = read(&name.replace(".crt", ".key"));
        assert_eq!(key_of(&name).to_pem().as_bytes(), original, "{name}");
        count += 1;
    }
    assert_eq!(count, 16);
}

fn reference_certificates(kind: &str) -> Vec<(String, serde_json::Value)> {
    const FOLDERS: [&str; 4] =
        ["v1-25519/", "v2-25519/", "legacy-1.6.1-25519/", "legacy-1.9.3-25519/"];
    files()
        .into_iter()
        .filter(|file| text(file, "kind") == kind)
        .map(|file| (text(&file, "path").to_owned(), file))
        .filter(|(name, _)| FOLDERS.iter().any(|folder| name.starts_with(folder)))
        .collect()
}

fn key_of(ca: &str) -> SigningKey {
    SigningKey::from_pem(&read(&ca.replace(".crt", ".key"))).unwrap()
}

fn validity(details: &Details) -> Validity {
    Validity { not_before: details.not_before(), not_after: details.not_after() }
}
