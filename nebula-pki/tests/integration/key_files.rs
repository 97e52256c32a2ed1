//! Does every key file of the reference load, and is it written back byte for byte?

use nebula_pki::key::{AgreementKey, PublicKey, SigningKey};
use nebula_pki::{Certificate, Curve, Error, Signer};
use serde_json::Value;

use crate::support::random::Seeded;
use crate::support::vector;
use crate::support::vector::{files, read, text};

#[test]
fn of_cas() {
    let (mut count, mut encrypted) = (0, 0);
    for file in of_kind("ca-signing-key") {
        let name = text(&file, "path");
        if file["encrypted"] == true {
            encrypted += 1;
            continue;
        }
        let pem = read_recorded(&file);
        let key = SigningKey::from_pem(&pem).unwrap();
        assert_eq!(key.to_pem().as_bytes(), pem, "{name}");
        let bytes = vector::unhex(text(&file, "key_hex"));
        assert_eq!(*key.to_bytes(), bytes, "{name}");
        assert_eq!(key.curve().to_string(), text(&file, "curve"), "{name}");
        let again = SigningKey::from_bytes(key.curve(), &bytes).unwrap();
        assert_eq!(again.public_key(), key.public_key(), "{name}");

        let ca = certificate(&file);
        key.check_pair(&ca).unwrap();
        let other = SigningKey::generate(key.curve(), &mut Seeded(1)).unwrap();
        assert_eq!(other.check_pair(&ca), Err(Error::KeyMismatch), "{name}");
        let (expected, found) = (key.curve(), other_curve(key.curve()));
        let other = SigningKey::generate(found, &mut Seeded(1)).unwrap();
        assert_eq!(other.check_pair(&ca), Err(Error::CurveMismatch { expected, found }), "{name}");
        count += 1;
    }
    assert_eq!((count, encrypted), (34, 16));
}

#[test]
fn of_hosts() {
    let mut count = 0;
    for file in of_kind("host-dh-key") {
        let name = text(&file, "path");
        let key = agreement_key(&file);
        let host = certificate(&file);
        key.check_pair(&host).unwrap();
        let other = AgreementKey::generate(key.curve(), &mut Seeded(1)).unwrap();
        assert_eq!(other.check_pair(&host), Err(Error::KeyMismatch), "{name}");
        let (expected, found) = (key.curve(), other_curve(key.curve()));
        let other = AgreementKey::generate(found, &mut Seeded(1)).unwrap();
        assert_eq!(
            other.check_pair(&host),
            Err(Error::CurveMismatch { expected, found }),
            "{name}"
        );
        count += 1;
    }
    assert_eq!(count, 95);
}

#[test]
fn of_keygen() {
    let (mut private, mut public) = (0, 0);
    for file in of_kind("dh-private-key") {
        let name = text(&file, "path");
        let key = agreement_key(&file);
        assert_eq!(key.curve().to_string(), text(&file, "curve"), "{name}");
        let pair = PublicKey::from_pem(&read(&name.replace(".key", ".pub"))).unwrap();
        assert_eq!(key.public_key(), pair, "{name}");
        if let Some(public) = file["public_hex"].as_str() {
            assert_eq!(pair.as_bytes(), vector::unhex(public), "{name}");
        }
        private += 1;
    }
    for file in of_kind("dh-public-key") {
        let name = text(&file, "path");
        let pem = read_recorded(&file);
        let key = PublicKey::from_pem(&pem).unwrap();
        assert_eq!(key.to_pem().as_bytes(), pem, "{name}");
        assert_eq!(key.as_bytes(), vector::unhex(text(&file, "key_hex")), "{name}");
        assert_eq!(key.curve().to_string(), text(&file, "curve"), "{name}");
        public += 1;
    }
    assert_eq!((private, public), (12, 12));
}

/// The key of a host, after checking that its file comes back as it was.
fn agreement_key(file: &Value) -> AgreementKey {
    let name = text(file, "path");
    let pem = read_recorded(file);
    let key = AgreementKey::from_pem(&pem).unwrap();
    assert_eq!(key.to_pem().as_bytes(), pem, "{name}");
    let bytes = vector::unhex(text(file, "key_hex"));
    let again = AgreementKey::from_bytes(key.curve(), &bytes).unwrap();
    assert_eq!(again.public_key(), key.public_key(), "{name}");
    key
}

/// The file, which is what the manifest says.
fn read_recorded(file: &Value) -> Vec<u8> {
    let name = text(file, "path");
    let pem = read(name);
    let recorded = vector::pem(text(file, "banner"), &vector::unhex(text(file, "key_hex")));
    assert_eq!(pem, recorded, "{name}");
    pem
}

fn certificate(file: &Value) -> Certificate {
    Certificate::from_pem(&read(text(file, "pairs_with"))).unwrap()
}

fn other_curve(curve: Curve) -> Curve {
    if curve == Curve::P256 { Curve::Curve25519 } else { Curve::P256 }
}

fn of_kind(kind: &str) -> Vec<Value> {
    files().into_iter().filter(|file| text(file, "kind") == kind).collect()
}
