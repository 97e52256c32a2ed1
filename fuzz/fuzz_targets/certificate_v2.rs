#![no_main]
//! Whatever parses as version 2 is written without what follows its signature, and names itself the same again.

use libfuzzer_sys::fuzz_target;
use nebula_pki::{Certificate, Version};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(certificate) = Certificate::from_bytes(Version::V2, bytes) {
        let written = certificate.to_bytes();
        let again = Certificate::from_bytes(Version::V2, &written);
        assert!(again.is_ok_and(|again| again == certificate && again.to_bytes() == written));
    }
});
