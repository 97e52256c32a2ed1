#![no_main]
//! An archive from elsewhere is refused, or what is read of it is bounded, and of known names.

use libfuzzer_sys::fuzz_target;
use nebula_bundle::{ARCHIVE_LIMIT, unpack};

const NAMES: [&str; 4] = ["ca.crt", "node.crt", "nebula.yml", "README.md"];

fuzz_target!(|archive: &[u8]| {
    if let Ok(files) = unpack(archive) {
        assert!(files.iter().all(|(name, _)| NAMES.contains(&name)));
        assert!(files.iter().map(|file| file.1.len()).sum::<usize>() <= ARCHIVE_LIMIT);
    }
});
