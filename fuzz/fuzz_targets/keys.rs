#![no_main]
//! Keys of every kind load or do not, and survive being written.

use libfuzzer_sys::fuzz_target;
use nebula_pki::Curve;
use nebula_pki::key::{AgreementKey, PublicKey, SigningKey};

fuzz_target!(|bytes: &[u8]| {
    let curves = [Curve::Curve25519, Curve::P256, Curve::Unknown(2)];
    let signing = curves.map(|curve| SigningKey::from_bytes(curve, bytes));
    for key in signing.into_iter().chain([SigningKey::from_pem(bytes)]).flatten() {
        let again = SigningKey::from_pem(key.to_pem().as_bytes());
        assert!(again.is_ok_and(|again| again.to_bytes() == key.to_bytes()));
    }
    let agreement = curves.map(|curve| AgreementKey::from_bytes(curve, bytes));
    for key in agreement.into_iter().chain([AgreementKey::from_pem(bytes)]).flatten() {
        let again = AgreementKey::from_pem(key.to_pem().as_bytes());
        assert!(again.is_ok_and(|again| again.to_pem() == key.to_pem()));
        assert_eq!(
            PublicKey::from_raw(key.curve(), key.public_key().as_bytes()),
            Ok(key.public_key())
        );
    }
    let public = curves.map(|curve| PublicKey::from_raw(curve, bytes));
    for key in public.into_iter().chain([PublicKey::from_pem(bytes)]).flatten() {
        assert_eq!(PublicKey::from_pem(key.to_pem().as_bytes()), Ok(key));
    }
});
