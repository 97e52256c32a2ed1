//! Finds the releases of the reference tool.
//!
//! Looks in `NEBULA_BIN_DIR` (one directory per release). A test that finds none says so and
//! passes, unless `REQUIRE_PEERS=1`.

use std::env;
use std::path::PathBuf;

/// A release's `nebula-cert`.
pub(crate) fn nebula_cert(release: &str) -> Option<PathBuf> {
    let program = env::var_os("NEBULA_BIN_DIR")
        .map(|releases| PathBuf::from(releases).join(release).join("nebula-cert"))
        .filter(|program| program.is_file());
    if program.is_none() {
        skip(&format!("no nebula-cert {release} in NEBULA_BIN_DIR"));
    }
    program
}

pub(crate) fn skip(reason: &str) {
    assert!(env::var("REQUIRE_PEERS").as_deref() != Ok("1"), "{reason}");
    println!("skipped: {reason}");
}
