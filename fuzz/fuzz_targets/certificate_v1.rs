#![no_main]
//! Whatever parses as version 1 keeps its meaning when written, and names itself the same again.

use libfuzzer_sys::fuzz_target;
use nebula_fuzz::check;
use nebula_pki::{Certificate, Version};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(certificate) = Certificate::from_bytes(Version::V1, bytes) {
        check(&certificate);
    }
});
