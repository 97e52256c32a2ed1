#![no_main]
//! Keys of every kind load or do not, and survive being written.

use libfuzzer_sys::fuzz_target;
use nebula_pki::Curve;
use nebula_pki::key::{AgreementKey, PublicKey, SigningKey};

fuzz_target!(|bytes: &[u8]| {
    let _ = (SigningKey::from_pem(bytes), AgreementKey::from_pem(bytes));
    let curves = [Curve::Curve25519, Curve::P256, Curve::Unknown(2)];
    let raw = curves.map(|curve| PublicKey::from_raw(curve, bytes));
    for key in raw.into_iter().chain([PublicKey::from_pem(bytes)]).flatten() {
        assert_eq!(PublicKey::from_pem(key.to_pem().as_bytes()), Ok(key));
    }
});
