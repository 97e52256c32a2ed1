//! The real Nebula: its releases in `NEBULA_BIN_DIR` (one directory for each), else the one in the
//! search path. Where there is none, a test says so and is skipped, unless `REQUIRE_PEERS=1`.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// One release.
pub struct Peer {
    pub release: String,
    pub program: PathBuf,
}

/// Says what is missing, and that the test is skipped for it.
#[track_caller]
pub fn skip(missing: &str) {
    assert!(std::env::var("REQUIRE_PEERS").as_deref() != Ok("1"), "missing: {missing}");
    eprintln!("skipped: missing {missing}");
}

/// All releases at hand; where there is none, the test is to be skipped.
#[track_caller]
pub fn releases() -> Vec<Peer> {
    let directories: Vec<PathBuf> = match std::env::var_os("NEBULA_BIN_DIR") {
        Some(all) => {
            std::fs::read_dir(all).unwrap().map(|release| release.unwrap().path()).collect()
        }
        None => std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()).collect(),
    };
    let found: Vec<Peer> = directories.iter().filter_map(|path| Peer::find(path)).collect();
    if found.is_empty() {
        skip("nebula, in NEBULA_BIN_DIR or the search path");
    }
    found
}

/// A release's number as one that can be compared: `1.9.3` is later than `1.9`.
pub fn numbers(release: &str) -> Vec<u32> {
    release.split(['.', '-', '+']).map_while(|number| number.parse().ok()).collect()
}

impl Peer {
    fn find(directory: &Path) -> Option<Self> {
        // Absolute, because it is started in another directory.
        let program = directory.join("nebula").canonicalize().ok()?;
        let version = Command::new(&program).arg("-version").output().unwrap();
        let version = String::from_utf8(version.stdout).unwrap();
        let release = version.trim().trim_start_matches("Version: ").to_owned();
        Some(Self { release, program })
    }

    /// What it says of the configuration in a directory, without starting.
    pub fn test(&self, directory: &Path) -> Output {
        let mut command = Command::new(&self.program);
        command.args(["-test", "-config", "nebula.yml"]).current_dir(directory).output().unwrap()
    }
}
