//! Does every library that was built in judge alike, and verify what the others sign?
#![allow(clippy::indexing_slicing, clippy::unwrap_used, reason = "helpers of tests")]

use p256::elliptic_curve::ops::Reduce;
use p256::elliptic_curve::sec1::ToSec1Point as _;
use p256::{ProjectivePoint, Scalar};
use sha2::{Digest, Sha256};

use super::*;

const MESSAGE: &[u8] = b"what the signature is about";

#[test]
fn each_library_verifies_what_each_signs() {
    for seed in 1..=20 {
        let seed = [seed; 32];
        let public: [u8; 32] = Ed25519Key::new(&seed).unwrap().public_key().try_into().unwrap();
        let reference = rust_crypto::Ed25519Key::new(&seed).unwrap();
        assert_eq!(public, *reference.public_key());
        for (library, signature) in ed25519_signatures(&seed) {
            assert_eq!(signature, reference.sign(MESSAGE).unwrap(), "{library}");
            let signature = signature.try_into().unwrap();
            assert_eq!(judge_ed25519(&public, MESSAGE, &signature), Some(true), "{library}");
            assert_eq!(judge_ed25519(&public, b"another", &signature), Some(false), "{library}");
        }

        let scalar = p256::SecretKey::from_slice(&seed).unwrap();
        let point: [u8; 65] = crate::key::point_of(&scalar).try_into().unwrap();
        assert_eq!(EcdsaKey::new(&scalar).unwrap().public_key(), point);
        for (library, signature) in ecdsa_signatures(&scalar) {
            for signature in [signature.negated(), signature] {
                assert_eq!(judge_ecdsa(&point, MESSAGE, &signature), Some(true), "{library}");
                assert_eq!(judge_ecdsa(&point, b"another", &signature), Some(false), "{library}");
            }
        }
    }
}

/// The sums that an implementation gets wrong if it forgets a case.
#[test]
fn odd_sums_on_p256_are_judged_alike() {
    let e = Scalar::reduce(&Sha256::digest(MESSAGE));
    let half = Scalar::from(2_u64).invert().unwrap();
    for number in 1_u64..=20 {
        // R = u1·G + u2·Q with u1·G = u2·Q, to be doubled and not added.
        let k = Scalar::from(number * 1_000_003);
        let r = x_of(&(ProjectivePoint::GENERATOR * k));
        let s = e * (k * half).invert().unwrap();
        let key = ProjectivePoint::GENERATOR * (e * r.invert().unwrap());
        assert_eq!(judge_points(&key, &r, &s), Some(true), "doubled");

        // u1·G = −u2·Q: R is at infinity and has no x.
        let key = ProjectivePoint::GENERATOR * -(e * r.invert().unwrap());
        assert_eq!(judge_points(&key, &r, &s), Some(false), "at infinity");
    }
}

/// The order n is below the field's prime: an x from n on is r + n, and r may be small.
#[test]
fn an_x_that_the_order_wraps_is_judged_alike() {
    let e = Scalar::reduce(&Sha256::digest(MESSAGE));
    let mut found = 0;
    for r in 1_u8..=40 {
        let mut x = ecdsa::ORDER;
        x[31] += r; // n ends with 0x51
        let compressed = [&[2][..], &x].concat();
        let Ok(point) = p256::PublicKey::from_sec1_bytes(&compressed) else { continue };
        let (r, s) = (Scalar::from(u64::from(r)), Scalar::from(12_345_u64));
        // Q = (s·R − e·G) / r.
        let sum = point.to_projective() * s - ProjectivePoint::GENERATOR * e;
        let key = sum * r.invert().unwrap();
        assert_eq!(judge_points(&key, &r, &s), Some(true));
        assert_eq!(judge_points(&key, &(r + Scalar::ONE), &s), Some(false));
        found += 1;
    }
    assert!(found > 10, "{found}");
}

#[test]
fn points_that_are_none_are_judged_alike() {
    let signature = ecdsa::Signature::from_fixed(&[1; 64]).unwrap();
    let good: [u8; 65] =
        crate::key::point_of(&p256::SecretKey::from_slice(&[7; 32]).unwrap()).try_into().unwrap();
    assert_eq!(judge_ecdsa(&good, MESSAGE, &signature), Some(false));
    let (mut off, mut large, mut zero) = (good, good, [0; 65]);
    off[64] ^= 1;
    large[1..33].fill(0xff);
    zero[0] = 4;
    for point in [off, large, zero] {
        assert_eq!(judge_ecdsa(&point, MESSAGE, &signature), None);
    }
}

/// Keys and R of small order, in encodings canonical and not, with S zero or anything: whether the
/// equation holds depends on the message.
#[test]
fn points_of_small_order_on_ed25519_are_judged_alike() {
    let near = |low: u8, fill: u8, sign: u8| {
        let mut point = [fill; 32];
        (point[0], point[31]) = (low, (fill & 0x7f) | sign);
        point
    };
    let order_8: [u8; 32] = [
        0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98,
        0xf0, 0xd5, 0xdf, 0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53,
        0xfc, 0x05,
    ];
    let points: Vec<[u8; 32]> = [0, 0x80]
        .into_iter()
        .flat_map(|sign| {
            let mut negative = order_8;
            negative[31] |= sign;
            [
                near(0, 0, sign),
                near(1, 0, sign),
                near(2, 0, sign),
                near(0xec, 0xff, sign),
                near(0xed, 0xff, sign),
                near(0xee, 0xff, sign),
                near(0xef, 0xff, sign),
                negative,
            ]
        })
        .collect();
    let mut valid = 0;
    for key in &points {
        for r in &points {
            for number in 0..8_u8 {
                for s in [0, number] {
                    let mut signature = [0; 64];
                    signature[..32].copy_from_slice(r);
                    signature[32] = s;
                    valid += u32::from(judge_ed25519(key, &[number], &signature) == Some(true));
                }
            }
        }
    }
    assert!(valid > 50, "{valid}");
}

/// The verdict of all libraries on a key and a signature: none where the key is none.
fn judge_ed25519(key: &[u8; 32], message: &[u8], signature: &[u8; 64]) -> Option<bool> {
    let verdict =
        rust_crypto::Ed25519VerifyingKey::new(key).map(|key| key.verify(message, signature));
    #[cfg(feature = "aws-lc-rs")]
    for dalek_is_faster in [false, true] {
        let key = aws_lc::Ed25519VerifyingKey::with(key, dalek_is_faster);
        // aws-lc finds out when it verifies.
        let found = key.is_some_and(|key| key.verify(message, signature));
        assert_eq!(found, verdict == Some(true), "aws-lc {dalek_is_faster}");
    }
    verdict
}

fn judge_points(key: &ProjectivePoint, r: &Scalar, s: &Scalar) -> Option<bool> {
    let key = key.to_affine().to_sec1_point(false).as_bytes().try_into().unwrap();
    let fixed = [r.to_bytes(), s.to_bytes()].concat().try_into().unwrap();
    judge_ecdsa(&key, MESSAGE, &ecdsa::Signature::from_fixed(&fixed).unwrap())
}

fn judge_ecdsa(point: &[u8; 65], message: &[u8], signature: &ecdsa::Signature) -> Option<bool> {
    let verdict =
        rust_crypto::EcdsaVerifyingKey::new(point).map(|key| key.verify(message, signature));
    for found in [
        portable::EcdsaVerifyingKey::new(point).map(|key| key.verify(message, signature)),
        backend::EcdsaVerifyingKey::new(point).map(|key| key.verify(message, signature)),
    ] {
        assert_eq!(found, verdict);
    }
    verdict
}

fn ed25519_signatures(seed: &[u8; 32]) -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("dalek", rust_crypto::Ed25519Key::new(seed).unwrap().sign(MESSAGE).unwrap()),
        ("portable", portable::Ed25519Key::new(seed).unwrap().sign(MESSAGE).unwrap()),
        ("backend", Ed25519Key::new(seed).unwrap().sign(MESSAGE).unwrap()),
    ]
}

fn ecdsa_signatures(scalar: &p256::SecretKey) -> Vec<(&'static str, ecdsa::Signature)> {
    vec![
        ("p256", rust_crypto::EcdsaKey::new(scalar).unwrap().sign(MESSAGE).unwrap()),
        ("portable", portable::EcdsaKey::new(scalar).unwrap().sign(MESSAGE).unwrap()),
        ("backend", EcdsaKey::new(scalar).unwrap().sign(MESSAGE).unwrap()),
    ]
}

/// The x of a point, modulo the order.
fn x_of(point: &ProjectivePoint) -> Scalar {
    let encoded = point.to_affine().to_sec1_point(false);
    let x: [u8; 32] = encoded.as_bytes()[1..33].try_into().unwrap();
    Scalar::reduce(&p256::FieldBytes::from(x))
}
