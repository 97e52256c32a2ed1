#![no_main]
//! A configuration from elsewhere is refused, or what is installed of it is what would be again.
#![allow(clippy::expect_used, reason = "it fails so")]

use libfuzzer_sys::fuzz_target;
use nebula_bundle::check;
use nebula_pki::Certificate;
use nebula_pki::key::PublicKey;

const CA: &str = include_str!("../../nebula-bundle/tests/snapshots/groups/ca.crt");
const NODE: &str = include_str!("../../nebula-bundle/tests/snapshots/groups/node.crt");
const NOW: i64 = 1_700_000_001;

fuzz_target!(|yaml: &str| {
    let node = Certificate::from_pem(NODE.as_bytes()).expect("it is one");
    let key = PublicKey::from_raw(node.curve(), node.public_key()).expect("it has one");
    let files =
        [("ca.crt", CA), ("node.crt", NODE), ("nebula.yml", yaml), ("README.md", "Start it.\n")];
    if let Ok(checked) = check(files, &key, NOW) {
        assert_eq!(check(checked.files(), &key, NOW), Ok(checked.clone()));
    }
});
