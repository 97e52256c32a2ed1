#![no_main]
//! Encrypted keys are read or not, and survive being written. None is opened.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use libfuzzer_sys::fuzz_target;
use nebula_pki::key::EncryptedKey;

const BANNER: &str = "NEBULA ED25519 ENCRYPTED PRIVATE KEY-----";

fuzz_target!(|bytes: &[u8]| {
    // What does not look like PEM is taken for a block's contents.
    let read = if bytes.starts_with(b"-----") {
        EncryptedKey::from_pem(bytes)
    } else {
        let body = STANDARD.encode(bytes);
        let text = format!("-----BEGIN {BANNER}\n{body}\n-----END {BANNER}\n");
        EncryptedKey::from_pem(text.as_bytes())
    };
    if let Ok(key) = read {
        assert_eq!(EncryptedKey::from_pem(key.to_pem().as_bytes()), Ok(key));
    }
});
