//! Is a certificate from a handshake put together with the peer's key, and with nothing else?

use nebula_pki::Version::{V1, V2};
use nebula_pki::key::{AgreementKey, SigningKey};
use nebula_pki::{
    Blocklist, CaParameters, CaPool, Certificate, CertificateDefect, Curve, Error, HostParameters,
    Issuer, Validity, Version,
};

use crate::support::assemble::{element, field};
use crate::support::random::Seeded;

const CURVES: [Curve; 2] = [Curve::Curve25519, Curve::P256];
const NOW: i64 = 1_800_000_000;

#[test]
fn what_was_sent_verifies_with_the_sender_s_key_only() {
    for (version, curve) in kinds() {
        let issuer = issuer(curve);
        let certificate = issue(&issuer, version);
        let bytes = certificate.to_handshake_bytes();
        let pool = CaPool::from_pem(issuer.certificate().to_pem().as_bytes()).unwrap();
        let verify = |key: &[u8]| {
            let received = Certificate::from_handshake(version, &bytes, key, curve).unwrap();
            pool.verify(&received, NOW, &Blocklist::new())
                .map(|verified| verified.into_certificate())
        };
        let received = verify(certificate.public_key()).unwrap();
        assert_eq!(received.to_bytes(), certificate.to_bytes());
        assert_eq!(received.unverified_details(), certificate.unverified_details());
        // As a certificate has keys of any length, so has a handshake.
        let other = AgreementKey::generate(curve, &mut Seeded(3)).unwrap().public_key();
        for key in [other.as_bytes(), &certificate.public_key()[1..], &[1]] {
            assert_eq!(verify(key), Err(Error::SignatureMismatch), "{version:?} {curve}");
        }
    }
}

#[test]
fn the_key_is_not_sent_twice() {
    for (version, curve) in kinds() {
        let certificate = issue(&issuer(curve), version);
        let key = certificate.public_key();
        let whole = certificate.to_bytes();
        let received = Certificate::from_handshake(version, &whole, key, curve);
        assert_eq!(received, Err(Error::UnexpectedPublicKey), "{version:?} {curve}");
        assert_eq!(
            Certificate::from_handshake(version, &certificate.to_handshake_bytes(), &[], curve),
            Err(Error::NoPublicKey)
        );
        // Outside of a handshake it is not left out.
        let without = Certificate::from_bytes(version, &certificate.to_handshake_bytes());
        let expected = match version {
            V1 => Error::NoPublicKey,
            _ => Error::Malformed { defect: CertificateDefect::PublicKey },
        };
        assert_eq!(without, Err(expected));
    }
}

#[test]
fn a_curve_in_the_certificate_must_be_the_node_s() {
    for curve in CURVES {
        let other = if curve == Curve::P256 { Curve::Curve25519 } else { Curve::P256 };
        let certificate = issue(&issuer(curve), V1);
        let bytes = certificate.to_handshake_bytes();
        let received = Certificate::from_handshake(V1, &bytes, certificate.public_key(), other);
        assert_eq!(received, Err(Error::CurveMismatch { expected: other, found: curve }));

        // In version 2 it is left out, but may be there.
        let certificate = issue(&issuer(curve), V2);
        let receive = |number: &[u8]| {
            let bytes = with_curve(&certificate, number);
            Certificate::from_handshake(V2, &bytes, certificate.public_key(), curve)
        };
        let number = |curve: Curve| u8::try_from(curve.number()).unwrap();
        let received = receive(&[number(curve)]).unwrap();
        assert_eq!(received.fingerprint(), certificate.fingerprint());
        assert_eq!(received.to_bytes(), certificate.to_bytes());
        assert_eq!(
            receive(&[number(other)]),
            Err(Error::CurveMismatch { expected: curve, found: other })
        );
        let found = Curve::Unknown(2);
        assert_eq!(receive(&[2]), Err(Error::CurveMismatch { expected: curve, found }));
        for malformed in [&[][..], &[0, number(curve)]] {
            assert_eq!(
                receive(malformed),
                Err(Error::Malformed { defect: CertificateDefect::Curve })
            );
        }
    }
}

#[test]
fn without_a_curve_the_node_s_is_taken() {
    // The signature covers it, so that a certificate of the other curve does not verify.
    let issuer = issuer(Curve::P256);
    let certificate = issue(&issuer, V2);
    let bytes = certificate.to_handshake_bytes();
    let key = certificate.public_key();
    let received = Certificate::from_handshake(V2, &bytes, key, Curve::Curve25519).unwrap();
    assert_eq!(received.curve(), Curve::Curve25519);
    assert_ne!(received.fingerprint(), certificate.fingerprint());
    let pool = CaPool::from_pem(issuer.certificate().to_pem().as_bytes()).unwrap();
    let verdict = pool.verify(&received, NOW, &Blocklist::new());
    let (expected, found) = (Curve::P256, Curve::Curve25519);
    assert_eq!(verdict, Err(Error::CurveMismatch { expected, found }));
}

#[test]
fn nothing_malformed_is_received() {
    for (version, curve) in kinds() {
        let certificate = issue(&issuer(curve), version);
        let (bytes, key) = (certificate.to_handshake_bytes(), certificate.public_key());
        for end in 0..bytes.len() {
            if let Ok(cut) = Certificate::from_handshake(version, &bytes[..end], key, curve) {
                // Without its signature a version 1 certificate is a certificate still.
                assert_eq!((version, cut.signature()), (V1, &[][..]), "{curve} {end}");
            }
        }
    }
    assert_eq!(
        Certificate::from_handshake(V1, &field(0x12, b"s"), &[1], Curve::P256),
        Err(Error::Malformed { defect: CertificateDefect::NoDetails })
    );
}

#[test]
fn old_nodes_give_no_version() {
    assert_eq!(Version::from_number(0), Ok(V1));
    assert_eq!(Version::from_number(1), Ok(V1));
    assert_eq!(Version::from_number(2), Ok(V2));
    for number in [3, u64::MAX] {
        assert_eq!(Version::from_number(number), Err(Error::UnknownVersion { number }));
    }
}

/// The handshake form with a curve between details and signature.
fn with_curve(certificate: &Certificate, number: &[u8]) -> Vec<u8> {
    let bytes = certificate.to_handshake_bytes();
    let signature = element(0x83, certificate.signature());
    // The header of the sequence: a length below 128, or one byte of it more.
    let header = if bytes[1] < 0x80 { 2 } else { 3 };
    let details = &bytes[header..bytes.len() - signature.len()];
    element(0x30, &[details, &element(0x81, number), &signature].concat())
}

fn kinds() -> impl Iterator<Item = (Version, Curve)> {
    CURVES.into_iter().flat_map(|curve| [(V1, curve), (V2, curve)])
}

fn issuer(curve: Curve) -> Issuer<SigningKey> {
    let key = SigningKey::generate(curve, &mut Seeded(1)).unwrap();
    let validity = Validity { not_before: NOW, not_after: NOW + 10 };
    Issuer::self_signed(V2, CaParameters::new("ca", validity), key).unwrap()
}

fn issue(issuer: &Issuer<SigningKey>, version: Version) -> Certificate {
    let curve = issuer.certificate().curve();
    let key = AgreementKey::generate(curve, &mut Seeded(2)).unwrap().public_key();
    let networks = vec!["10.0.0.1/8".parse().unwrap()];
    let validity = Validity { not_before: NOW, not_after: NOW + 10 };
    let host = HostParameters::new("host", networks, key, validity);
    issuer.issue(version, &host).unwrap().into_certificate()
}
