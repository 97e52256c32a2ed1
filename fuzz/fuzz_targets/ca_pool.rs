#![no_main]
//! A PEM bundle loads or does not; what loads can be written and loaded again.

use libfuzzer_sys::fuzz_target;
use nebula_fuzz::check;
use nebula_pki::{CaPool, Certificate};

fuzz_target!(|bytes: &[u8]| {
    for certificate in Certificate::from_pem_many(bytes).unwrap_or_default() {
        check(&certificate);
    }
    if let Ok(pool) = CaPool::from_pem(bytes) {
        let written: String = pool.certificates().map(Certificate::to_pem).collect();
        let again = CaPool::from_pem(written.as_bytes());
        assert!(again.is_ok_and(|again| again.certificates().eq(pool.certificates())));
    }
});
