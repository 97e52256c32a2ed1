//! Bare signatures of the libraries that nebula-pki was built with.

use nebula_pki::key::SigningKey;
use nebula_pki::{Certificate, Curve, Signer as _};

use crate::samples::Outcome;

#[cfg(feature = "graviola")]
pub(crate) use self::graviola::{BACKEND, BareSigner, BareVerifier};
#[cfg(all(feature = "aws-lc-rs", not(feature = "graviola")))]
pub(crate) use aws_lc::{BACKEND, BareSigner, BareVerifier};
#[cfg(not(any(feature = "aws-lc-rs", feature = "graviola")))]
pub(crate) use rust_crypto::{BACKEND, BareSigner, BareVerifier};

#[cfg(not(any(feature = "aws-lc-rs", feature = "graviola")))]
mod rust_crypto {
    use ed25519_dalek::{Signer as _, Verifier as _};

    use super::*;

    pub(crate) const BACKEND: &str = "ed25519-dalek and p256";

    pub(crate) enum BareSigner {
        Ed25519(ed25519_dalek::SigningKey),
        Ecdsa(p256::ecdsa::SigningKey),
    }

    impl BareSigner {
        pub(crate) fn new(key: &SigningKey) -> Outcome<Self> {
            let bytes = key.to_bytes();
            Ok(match key.curve() {
                Curve::Curve25519 => {
                    let bytes = bytes.as_slice().try_into()?;
                    Self::Ed25519(ed25519_dalek::SigningKey::from_keypair_bytes(bytes)?)
                }
                _ => Self::Ecdsa(p256::ecdsa::SigningKey::from_slice(&bytes)?),
            })
        }

        pub(crate) fn sign(&self, message: &[u8]) -> bool {
            match self {
                Self::Ed25519(key) => std::hint::black_box(key.try_sign(message)).is_ok(),
                Self::Ecdsa(key) => {
                    let signature: Result<p256::ecdsa::Signature, _> = key.try_sign(message);
                    std::hint::black_box(signature).is_ok()
                }
            }
        }
    }

    pub(crate) enum BareVerifier {
        Ed25519(ed25519_dalek::VerifyingKey),
        Ecdsa(p256::ecdsa::VerifyingKey),
    }

    impl BareVerifier {
        pub(crate) fn new(ca: &Certificate) -> Outcome<Self> {
            let key = ca.public_key();
            Ok(match ca.curve() {
                Curve::Curve25519 => Self::Ed25519(key.try_into()?),
                _ => Self::Ecdsa(p256::ecdsa::VerifyingKey::from_sec1_bytes(key)?),
            })
        }

        pub(crate) fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
            match self {
                Self::Ed25519(key) => ed25519_dalek::Signature::from_slice(signature)
                    .is_ok_and(|signature| key.verify(message, &signature).is_ok()),
                Self::Ecdsa(key) => p256::ecdsa::Signature::from_der(signature)
                    .is_ok_and(|signature| key.verify(message, &signature).is_ok()),
            }
        }
    }
}

#[cfg(all(feature = "aws-lc-rs", not(feature = "graviola")))]
mod aws_lc {
    use aws_lc_rs::rand::SystemRandom;
    use aws_lc_rs::signature::{
        ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, Ed25519KeyPair,
        ParsedPublicKey,
    };
    use ed25519_dalek::Verifier as _;

    use super::*;

    pub(crate) const BACKEND: &str = "aws-lc-rs, Ed25519 verified by ed25519-dalek";

    pub(crate) enum BareSigner {
        Ed25519(Ed25519KeyPair),
        Ecdsa(EcdsaKeyPair),
    }

    impl BareSigner {
        pub(crate) fn new(key: &SigningKey) -> Outcome<Self> {
            let bytes = key.to_bytes();
            Ok(match key.curve() {
                Curve::Curve25519 => {
                    let seed = bytes.get(..32).ok_or("a seed and a public half")?;
                    Self::Ed25519(Ed25519KeyPair::from_seed_and_public_key(seed, key.public_key())?)
                }
                _ => Self::Ecdsa(EcdsaKeyPair::from_private_key_and_public_key(
                    &ECDSA_P256_SHA256_ASN1_SIGNING,
                    &bytes,
                    key.public_key(),
                )?),
            })
        }

        pub(crate) fn sign(&self, message: &[u8]) -> bool {
            match self {
                Self::Ed25519(key) => std::hint::black_box(key.try_sign(message)).is_ok(),
                Self::Ecdsa(key) => {
                    std::hint::black_box(key.sign(&SystemRandom::new(), message)).is_ok()
                }
            }
        }
    }

    pub(crate) enum BareVerifier {
        Ed25519(ed25519_dalek::VerifyingKey),
        Ecdsa(ParsedPublicKey),
    }

    impl BareVerifier {
        pub(crate) fn new(ca: &Certificate) -> Outcome<Self> {
            let key = ca.public_key();
            Ok(match ca.curve() {
                Curve::Curve25519 => Self::Ed25519(key.try_into()?),
                _ => Self::Ecdsa(ParsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, key)?),
            })
        }

        pub(crate) fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
            match self {
                Self::Ed25519(key) => ed25519_dalek::Signature::from_slice(signature)
                    .is_ok_and(|signature| key.verify(message, &signature).is_ok()),
                Self::Ecdsa(key) => key.verify_sig(message, signature).is_ok(),
            }
        }
    }
}

#[cfg(feature = "graviola")]
mod graviola {
    use ::graviola::hashing::Sha256;
    use ::graviola::key_agreement::p256::StaticPrivateKey;
    use ::graviola::signing::ecdsa::{self, P256};
    use ::graviola::signing::eddsa::Ed25519SigningKey;
    use ed25519_dalek::Verifier as _;

    use super::*;

    pub(crate) const BACKEND: &str = "graviola, Ed25519 verified by ed25519-dalek";

    pub(crate) enum BareSigner {
        Ed25519(Ed25519SigningKey),
        Ecdsa(ecdsa::SigningKey<P256>),
    }

    impl BareSigner {
        pub(crate) fn new(key: &SigningKey) -> Outcome<Self> {
            let bytes = key.to_bytes();
            Ok(match key.curve() {
                Curve::Curve25519 => {
                    let seed = bytes.get(..32).ok_or("a seed and a public half")?;
                    Self::Ed25519(Ed25519SigningKey::from_bytes(seed)?)
                }
                _ => {
                    let private_key = StaticPrivateKey::from_bytes(&bytes)?;
                    Self::Ecdsa(ecdsa::SigningKey { private_key })
                }
            })
        }

        pub(crate) fn sign(&self, message: &[u8]) -> bool {
            match self {
                Self::Ed25519(key) => {
                    std::hint::black_box(key.sign(message));
                    true
                }
                Self::Ecdsa(key) => {
                    let mut der = [0; 72];
                    std::hint::black_box(key.sign_asn1::<Sha256>(&[message], &mut der)).is_ok()
                }
            }
        }
    }

    pub(crate) enum BareVerifier {
        Ed25519(ed25519_dalek::VerifyingKey),
        Ecdsa(Box<ecdsa::VerifyingKey<P256>>),
    }

    impl BareVerifier {
        pub(crate) fn new(ca: &Certificate) -> Outcome<Self> {
            let key = ca.public_key();
            Ok(match ca.curve() {
                Curve::Curve25519 => Self::Ed25519(key.try_into()?),
                _ => Self::Ecdsa(Box::new(ecdsa::VerifyingKey::from_x962_uncompressed(key)?)),
            })
        }

        pub(crate) fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
            match self {
                Self::Ed25519(key) => ed25519_dalek::Signature::from_slice(signature)
                    .is_ok_and(|signature| key.verify(message, &signature).is_ok()),
                Self::Ecdsa(key) => key.verify_asn1::<Sha256>(&[message], signature).is_ok(),
            }
        }
    }
}
