#![no_main]
//! Whatever parses is shown as JSON, unless its times have no four-digit year.
#![allow(clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "it fails so")]

use libfuzzer_sys::fuzz_target;
use nebula_pki::{Certificate, Error, Version, utc};
use serde_json::Value;

fuzz_target!(|bytes: &[u8]| {
    for certificate in
        [Version::V1, Version::V2].into_iter().flat_map(|it| Certificate::from_bytes(it, bytes))
    {
        match (certificate.to_json(utc), certificate.to_text(utc)) {
            (Ok(json), Ok(text)) => {
                let shown: Value = serde_json::from_str(&json).unwrap();
                assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), shown);
                assert_eq!(shown["fingerprint"], certificate.fingerprint().to_string());
                assert!(!json.contains('\n'));
            }
            (Err(Error::UnprintableTime { .. }), Err(Error::UnprintableTime { .. })) => {}
            other => panic!("{other:?}"),
        }
    }
});
