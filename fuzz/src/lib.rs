//! What must hold of every certificate that parses, whatever it was parsed from.
#![allow(clippy::unwrap_used, reason = "a fuzz target fails by panicking")]

use std::sync::LazyLock;

use nebula_pki::{Blocklist, CaPool, Certificate};

/// CAs of both versions and curves.
static POOL: LazyLock<CaPool> = LazyLock::new(|| {
    let bundle = [
        &include_bytes!("../../nebula-pki/tests/vectors/v1-25519/ca-plain.crt")[..],
        include_bytes!("../../nebula-pki/tests/vectors/v1-p256/ca-plain.crt"),
        include_bytes!("../../nebula-pki/tests/vectors/v2-25519/ca-plain.crt"),
        include_bytes!("../../nebula-pki/tests/vectors/v2-p256/ca-plain.crt"),
    ];
    CaPool::from_pem(&bundle.concat()).unwrap()
});

/// A time at which those CAs are valid.
const AT: i64 = 1_800_000_000;

/// What is written parses as the same and is written the same; and verification never panics.
pub fn check(certificate: &Certificate) {
    let written = certificate.to_bytes();
    let again = Certificate::from_bytes(certificate.version(), &written).unwrap();
    assert_eq!(again, *certificate);
    assert_eq!(again.unverified_details(), certificate.unverified_details());
    assert_eq!(again.to_bytes(), written);
    assert_eq!(Certificate::from_pem(certificate.to_pem().as_bytes()), Ok(again));

    let nobody = Blocklist::new();
    match POOL.verify(certificate, AT, &nobody) {
        Ok(verified) => assert_eq!(POOL.reverify(&verified, AT, &nobody), Ok(())),
        Err(_) => assert!(POOL.verify_strict(certificate, AT, &nobody).is_err()),
    }
}
