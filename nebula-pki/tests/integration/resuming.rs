//! Can issuing be taken up from the bytes that were to be signed, and from no others?

use nebula_pki::Version::{V1, V2};
use nebula_pki::key::{AgreementKey, SigningKey};
use nebula_pki::{
    CaParameters, CertificateDefect, Curve, Error, HostParameters, Issuer, Signer, Validity,
    Version,
};

use crate::support::random::Seeded;

const NOW: i64 = 1_800_000_000;
const CA_VALIDITY: Validity = Validity { not_before: NOW, not_after: NOW + 1_000 };
const VALIDITY: Validity = Validity { not_before: NOW + 10, not_after: NOW + 100 };
const CURVES: [Curve; 2] = [Curve::Curve25519, Curve::P256];

#[test]
fn what_was_prepared_is_completed_later() {
    for (version, curve) in all() {
        let issuer = issuer(version, curve, 1);
        let prepared = issuer.prepare(version, &host(curve)).unwrap();
        let bytes = prepared.to_be_signed().to_vec();
        let signature = key(curve, 1).sign(&bytes).unwrap();
        let resumed = issuer.resume(version, &bytes).unwrap();
        assert_eq!(resumed.details(), prepared.details());
        let certificate = resumed.complete(&signature).unwrap();
        assert_eq!(certificate, prepared.complete(&signature).unwrap());
        let again = issuer.resume(version, &bytes).unwrap();
        assert_eq!(again.complete(&signature[1..]), Err(Error::SignatureMismatch));
    }
}

#[test]
fn bytes_that_are_cut_or_changed_never_resume_as_others() {
    for (version, curve) in all() {
        let issuer = issuer(version, curve, 1);
        let bytes = issuer.prepare(version, &host(curve)).unwrap().to_be_signed().to_vec();
        for end in 0..bytes.len() {
            // A shorter key would be another key.
            issuer.resume(version, &bytes[..end]).unwrap_err();
        }
        let mut others = 0;
        for index in 0..bytes.len() {
            for bit in 0..8 {
                let mut changed = bytes.clone();
                changed[index] ^= 1 << bit;
                if let Ok(resumed) = issuer.resume(version, &changed) {
                    assert_eq!(resumed.to_be_signed(), changed);
                    others += 1;
                }
            }
        }
        // Another letter in a name is another certificate, which is as good as any.
        assert!(others > 0);
    }
}

#[test]
fn bytes_of_another_ca_are_refused() {
    for (version, curve) in all() {
        let other = issuer(version, curve, 2);
        let prepared = other.prepare(version, &host(curve)).unwrap();
        let refused = issuer(version, curve, 1).resume(version, prepared.to_be_signed());
        assert!(matches!(refused, Err(Error::UnknownCa { .. })));
    }
}

#[test]
fn a_ca_is_not_resumed() {
    // The bytes of a self-signed CA: its certificate without header and signature.
    let bytes = issuer(V1, Curve::Curve25519, 1).certificate().to_bytes();
    let details = &bytes[2..2 + usize::from(bytes[1])];
    let refused = issuer(V1, Curve::Curve25519, 1).resume(V1, details);
    assert!(matches!(refused, Err(Error::CaAsHost { .. })), "{refused:?}");
}

#[test]
fn what_a_lenient_reader_skips_is_not_signed() {
    let curve = Curve::Curve25519;
    let issuer_1 = issuer(V1, curve, 1);
    let bytes = issuer_1.prepare(V1, &host(curve)).unwrap().to_be_signed().to_vec();
    // An unknown field, number 15, of two bytes.
    let extended = [&bytes[..], &[0x7a, 2, b'h', b'i']].concat();
    let not_canonical = Error::Malformed { defect: CertificateDefect::NotCanonical };
    assert_eq!(issuer_1.resume(V1, &extended).map(drop), Err(not_canonical.clone()));

    let issuer_2 = issuer(V2, curve, 1);
    let bytes = issuer_2.prepare(V2, &host(curve)).unwrap().to_be_signed().to_vec();
    // An extension at the end of the details: the last bytes are curve and key, the second tells the
    // length.
    let mut extended = bytes;
    let end = extended.len() - 33;
    assert_eq!(usize::from(extended[1]) + 2, end);
    extended.splice(end..end, [0x88, 1, 0]);
    extended[1] += 3;
    assert_eq!(issuer_2.resume(V2, &extended).map(drop), Err(not_canonical));
}

#[test]
fn rules_and_limits_hold_as_when_preparing() {
    let curve = Curve::Curve25519;
    let wide =
        Issuer::self_signed(V2, CaParameters::new("ca", CA_VALIDITY), key(curve, 1)).unwrap();
    let late = Validity { not_after: NOW + 1_000, ..VALIDITY };
    let networks = vec!["10.1.0.1/16".parse().unwrap()];
    let host = HostParameters::new("host", networks, agreement(curve), late);
    let mut bytes = wide.prepare(V2, &host).unwrap().to_be_signed().to_vec();
    let end = i64::to_be_bytes(NOW + 1_000);
    let at = bytes.windows(4).position(|window| window == &end[4..]).unwrap();
    bytes[at + 3] += 1;
    let refused = wide.resume(V2, &bytes).map(drop);
    let error = Error::ExpiresAfterCa { not_after: NOW + 1_001, ca_not_after: NOW + 1_000 };
    assert_eq!(refused, Err(error));
    wide.resume(V1, &bytes).unwrap_err();
}

fn all() -> impl Iterator<Item = (Version, Curve)> {
    [V1, V2].into_iter().flat_map(|version| CURVES.map(|curve| (version, curve)))
}

fn issuer(version: Version, curve: Curve, seed: u64) -> Issuer<SigningKey> {
    let parameters = CaParameters::new(format!("ca {seed}"), CA_VALIDITY)
        .networks(["10.0.0.0/8".parse().unwrap(), "192.168.0.0/16".parse().unwrap()]);
    let parameters = if seed == 1 { parameters } else { CaParameters::new("other", CA_VALIDITY) };
    Issuer::self_signed(version, parameters, key(curve, seed)).unwrap()
}

fn key(curve: Curve, seed: u64) -> SigningKey {
    SigningKey::generate(curve, &mut Seeded(seed)).unwrap()
}

fn agreement(curve: Curve) -> nebula_pki::key::PublicKey {
    AgreementKey::generate(curve, &mut Seeded(9)).unwrap().public_key()
}

fn host(curve: Curve) -> HostParameters {
    let networks = vec!["10.1.0.1/16".parse().unwrap()];
    HostParameters::new("a host", networks, agreement(curve), VALIDITY)
        .groups(["one", "two"])
        .unsafe_networks(["192.168.7.0/24".parse().unwrap()])
}
