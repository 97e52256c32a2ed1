//! Are bad keys refused for what they are, and are private ones never shown?

use nebula_pki::key::{AgreementKey, PublicKey, SigningKey};
use nebula_pki::{
    CaParameters, Certificate, Curve, Error, Issuer, KeyKind, PemContents, Random, Signer,
    Validity, Version,
};

use crate::support::random::Seeded;

/// The points of small order: <https://cr.yp.to/ecdh.html#validate>.
const SMALL_ORDER: [&str; 7] = [
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0100000000000000000000000000000000000000000000000000000000000000",
    "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
    "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
];

#[test]
fn points_of_small_order_are_refused() {
    for point in SMALL_ORDER {
        let mut point = unhex(point);
        // X25519 ignores the top bit.
        for top in [0, 0x80] {
            point[31] |= top;
            let refused = PublicKey::from_raw(Curve::Curve25519, &point);
            assert_eq!(refused, Err(Error::SmallOrderKey), "{point:x?}");
        }
    }
    let zero = pem("NEBULA X25519 PUBLIC KEY", &[0; 32]);
    assert_eq!(PublicKey::from_pem(zero.as_bytes()), Err(Error::SmallOrderKey));
}

#[test]
fn public_keys_have_the_length_of_their_curve() {
    for found in [0, 31, 33, 64] {
        let refused = PublicKey::from_raw(Curve::Curve25519, &vec![9; found]);
        assert_eq!(
            refused,
            Err(Error::KeyLength { key: KeyKind::X25519Public, expected: 32, found })
        );
        let refused = PublicKey::from_raw(Curve::P256, &vec![4; found]);
        assert_eq!(
            refused,
            Err(Error::KeyLength { key: KeyKind::P256Public, expected: 65, found })
        );
    }
    let curve = Curve::Unknown(2);
    assert_eq!(PublicKey::from_raw(curve, &[9; 32]), Err(Error::UnsupportedCurve { curve }));
    let compressed = PublicKey::from_raw(Curve::P256, &[2; 65]);
    assert_eq!(compressed, Err(Error::PointFormat { first: 2 }));
    assert_eq!(PublicKey::from_raw(Curve::P256, &[4; 65]), Err(Error::PointNotOnCurve));
}

#[test]
fn only_a_host_s_public_key_is_taken_for_one() {
    for banner in [
        "NEBULA X25519 PRIVATE KEY",
        "NEBULA ED25519 PRIVATE KEY",
        "NEBULA ED25519 PUBLIC KEY",
        "NEBULA ECDSA P256 PUBLIC KEY",
        "NEBULA CERTIFICATE",
        "nebula x25519 public key",
    ] {
        let refused = PublicKey::from_pem(pem(banner, &[9; 32]).as_bytes());
        let found = banner.to_owned();
        assert_eq!(refused, Err(Error::WrongBanner { expected: PemContents::PublicKey, found }));
    }
    assert_eq!(PublicKey::from_pem(b"hello"), Err(Error::NoPemBlock));
    let long = pem(&"B".repeat(1_000), &[]);
    match PublicKey::from_pem(long.as_bytes()) {
        Err(Error::WrongBanner { found, .. }) => assert_eq!(found.len(), 64),
        other => panic!("{other:?}"),
    }
}

#[test]
fn only_a_ca_s_private_key_is_taken_for_one() {
    let refused = |banner, bytes: &[u8]| {
        SigningKey::from_pem(pem(banner, bytes).as_bytes()).map(drop).unwrap_err()
    };
    let wrong =
        ["NEBULA X25519 PRIVATE KEY", "NEBULA ED25519 PUBLIC KEY", "NEBULA P256 PRIVATE KEY"];
    for banner in wrong {
        let found = banner.to_owned();
        let expected = PemContents::SigningKey;
        assert_eq!(refused(banner, &[9; 64]), Error::WrongBanner { expected, found });
    }
    for banner in
        ["NEBULA ED25519 ENCRYPTED PRIVATE KEY", "NEBULA ECDSA P256 ENCRYPTED PRIVATE KEY"]
    {
        assert_eq!(refused(banner, &[9; 92]), Error::EncryptedKey);
    }
    for found in [0, 31, 33, 64] {
        assert_eq!(
            refused("NEBULA ECDSA P256 PRIVATE KEY", &vec![9; found]),
            Error::KeyLength { key: KeyKind::EcdsaPrivate, expected: 32, found }
        );
    }
    for found in [0, 32, 63, 65] {
        assert_eq!(
            refused("NEBULA ED25519 PRIVATE KEY", &vec![9; found]),
            Error::KeyLength { key: KeyKind::Ed25519Private, expected: 64, found }
        );
    }
}

#[test]
fn only_a_host_s_private_key_is_taken_for_one() {
    let refused = |banner, bytes: &[u8]| {
        AgreementKey::from_pem(pem(banner, bytes).as_bytes()).map(drop).unwrap_err()
    };
    let wrong =
        ["NEBULA ED25519 PRIVATE KEY", "NEBULA X25519 PUBLIC KEY", "NEBULA ECDSA P256 PRIVATE KEY"];
    for banner in wrong {
        let found = banner.to_owned();
        let expected = PemContents::AgreementKey;
        assert_eq!(refused(banner, &[9; 32]), Error::WrongBanner { expected, found });
    }
    assert_eq!(
        refused("NEBULA P256 PRIVATE KEY", &[9; 31]),
        Error::KeyLength { key: KeyKind::P256Private, expected: 32, found: 31 }
    );
    assert_eq!(
        refused("NEBULA X25519 PRIVATE KEY", &[9; 31]),
        Error::KeyLength { key: KeyKind::X25519Private, expected: 32, found: 31 }
    );
}

#[test]
fn scalars_are_between_zero_and_the_order() {
    // SEC 2, section 2.4.2.
    let order = unhex("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551");
    let mut largest = order.clone();
    *largest.last_mut().unwrap() -= 1;
    for scalar in [vec![0; 32], order, vec![0xff; 32]] {
        assert_eq!(
            SigningKey::from_bytes(Curve::P256, &scalar).unwrap_err(),
            Error::ScalarRange { key: KeyKind::EcdsaPrivate }
        );
        assert_eq!(
            AgreementKey::from_bytes(Curve::P256, &scalar).unwrap_err(),
            Error::ScalarRange { key: KeyKind::P256Private }
        );
    }
    SigningKey::from_bytes(Curve::P256, &largest).unwrap();
    let one = [vec![0; 31], vec![1]].concat();
    let base = AgreementKey::from_bytes(Curve::P256, &one).unwrap().public_key();
    let x = unhex("6b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296");
    assert_eq!(base.as_bytes()[1..33], x);
}

#[test]
fn there_are_no_keys_on_an_unknown_curve() {
    let curve = Curve::Unknown(2);
    let error = Error::UnsupportedCurve { curve };
    assert_eq!(SigningKey::generate(curve, &mut Seeded(3)).unwrap_err(), error);
    assert_eq!(SigningKey::from_bytes(curve, &[9; 64]).unwrap_err(), error);
    assert_eq!(AgreementKey::generate(curve, &mut Seeded(3)).unwrap_err(), error);
    assert_eq!(AgreementKey::from_bytes(curve, &[9; 32]).unwrap_err(), error);
}

#[test]
fn a_signing_key_with_a_damaged_half_is_refused() {
    let key = SigningKey::generate(Curve::Curve25519, &mut Seeded(3)).unwrap();
    let bytes = unpem(&key.to_pem());
    SigningKey::from_bytes(Curve::Curve25519, &bytes).unwrap();
    for at in [0, 31, 32, 63] {
        let mut damaged = bytes.clone();
        damaged[at] ^= 1;
        assert_eq!(
            SigningKey::from_bytes(Curve::Curve25519, &damaged).unwrap_err(),
            Error::CorruptSigningKey
        );
    }
}

#[test]
fn keys_survive_their_pem() {
    for curve in [Curve::Curve25519, Curve::P256] {
        let signing = SigningKey::generate(curve, &mut Seeded(3)).unwrap();
        let again = SigningKey::from_pem(signing.to_pem().as_bytes()).unwrap();
        assert_eq!(again.curve(), curve);
        assert_eq!(again.public_key(), signing.public_key());
        assert_eq!(again.to_bytes(), signing.to_bytes());
        let again = SigningKey::from_bytes(curve, &signing.to_bytes()).unwrap();
        assert_eq!(again.to_pem(), signing.to_pem());

        let agreement = AgreementKey::generate(curve, &mut Seeded(4)).unwrap();
        let again = AgreementKey::from_pem(agreement.to_pem().as_bytes()).unwrap();
        assert_eq!(again.to_pem(), agreement.to_pem());
        let public = agreement.public_key();
        assert_eq!(public.curve(), curve);
        assert_eq!(PublicKey::from_pem(public.to_pem().as_bytes()).unwrap(), public);
    }
}

#[test]
fn private_keys_cannot_be_printed() {
    let signing = SigningKey::generate(Curve::Curve25519, &mut Seeded(3)).unwrap();
    let agreement = AgreementKey::generate(Curve::Curve25519, &mut Seeded(4)).unwrap();
    assert_eq!(format!("{signing:?}"), "SigningKey { curve: Curve25519, .. }");
    assert_eq!(format!("{agreement:?}"), "AgreementKey { curve: Curve25519, .. }");
    let validity = Validity { not_before: 0, not_after: 1 };
    let issuer = Issuer::self_signed(Version::V2, CaParameters::new("ca", validity), signing);
    assert!(format!("{issuer:?}").contains("signer: SigningKey { curve: Curve25519, .. }"));
}

#[test]
fn errors_about_private_keys_do_not_show_them() {
    let mut bytes =
        unpem(&SigningKey::generate(Curve::Curve25519, &mut Seeded(3)).unwrap().to_pem());
    bytes[0] ^= 1;
    let error = SigningKey::from_bytes(Curve::Curve25519, &bytes).unwrap_err();
    assert_eq!(error.to_string(), "public half of the signing key does not match its seed");
    assert_eq!(format!("{error:?}"), "CorruptSigningKey");
}

#[test]
fn failing_randomness_makes_no_key() {
    struct Broken;
    impl Random for Broken {
        fn fill(&mut self, _: &mut [u8]) -> Result<(), Error> {
            Err(Error::Randomness { reason: "broken".to_owned() })
        }
    }
    let failure = Error::Randomness { reason: "broken".to_owned() };
    assert_eq!(SigningKey::generate(Curve::Curve25519, &mut Broken).unwrap_err(), failure);
    assert_eq!(AgreementKey::generate(Curve::Curve25519, &mut Broken).unwrap_err(), failure);
}

#[cfg(feature = "system-random")]
#[test]
fn the_system_s_randomness_does_not_repeat() {
    use nebula_pki::SystemRandom;
    let keys: [SigningKey; 2] = std::array::from_fn(|_| {
        SigningKey::generate(Curve::Curve25519, &mut SystemRandom).unwrap()
    });
    assert_ne!(keys[0].public_key(), keys[1].public_key());
}

#[test]
fn a_key_is_no_certificate() {
    let key = SigningKey::generate(Curve::Curve25519, &mut Seeded(3)).unwrap().to_pem();
    let refused = Certificate::from_pem(key.as_bytes());
    let found = "NEBULA ED25519 PRIVATE KEY".to_owned();
    assert_eq!(refused, Err(Error::WrongBanner { expected: PemContents::Certificate, found }));
}

fn pem(banner: &str, bytes: &[u8]) -> String {
    use base64::Engine;
    let body = base64::engine::general_purpose::STANDARD.encode(bytes);
    format!("-----BEGIN {banner}-----\n{body}\n-----END {banner}-----\n")
}

fn unpem(pem: &str) -> Vec<u8> {
    use base64::Engine;
    let body: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    base64::engine::general_purpose::STANDARD.decode(body).unwrap()
}

fn unhex(hex: &str) -> Vec<u8> {
    (0..hex.len() / 2).map(|at| u8::from_str_radix(&hex[2 * at..][..2], 16).unwrap()).collect()
}
