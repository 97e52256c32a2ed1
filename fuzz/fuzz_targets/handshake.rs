#![no_main]
//! What a peer may send in a handshake: without its key, which stands before it here.

use libfuzzer_sys::fuzz_target;
use nebula_fuzz::check;
use nebula_pki::{Certificate, Curve, Version};

fuzz_target!(|input: (bool, bool, [u8; 65], &[u8])| {
    let (v1, p256, key, bytes) = input;
    let version = if v1 { Version::V1 } else { Version::V2 };
    let (curve, key) = if p256 { (Curve::P256, &key[..]) } else { (Curve::Curve25519, &key[..32]) };
    if let Ok(certificate) = Certificate::from_handshake(version, bytes, key, curve) {
        check(&certificate);
        let sent = certificate.to_handshake_bytes();
        let again = Certificate::from_handshake(version, &sent, key, curve);
        assert_eq!(again.map(|again| again.to_handshake_bytes()), Ok(sent.clone()));
        let again = Certificate::from_handshake(version, &sent, key, curve);
        assert_eq!(again, Ok(certificate));
    }
});
