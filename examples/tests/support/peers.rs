//! The real Nebula: its releases in `NEBULA_BIN_DIR` (one directory for each), else the one in the
//! search path. Where what a test needs is missing, the test says so and is skipped, unless
//! `REQUIRE_PEERS=1`.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// One release.
pub struct Peer {
    pub release: String,
    nebula: PathBuf,
    nebula_cert: PathBuf,
}

/// Says what is missing, and that the test is skipped for it.
#[track_caller]
pub fn skip(missing: &str) {
    assert!(std::env::var("REQUIRE_PEERS").as_deref() != Ok("1"), "missing: {missing}");
    eprintln!("skipped: missing {missing}");
}

/// Where the search path has a program.
pub fn in_path(program: &str) -> Option<PathBuf> {
    std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default())
        .map(|directory| directory.join(program))
        .find(|path| path.is_file())
}

/// All releases at hand, oldest first; where there is none, the test is to be skipped.
#[track_caller]
pub fn releases() -> Vec<Peer> {
    let found = find();
    if found.is_empty() {
        skip("nebula and nebula-cert, in NEBULA_BIN_DIR or the search path");
    }
    found
}

/// The newest release of a series, as `1.6`; where there is none, the test is to be skipped.
#[track_caller]
pub fn newest_of(series: &str) -> Option<Peer> {
    let prefix = format!("{series}.");
    let found = find().into_iter().rfind(|peer| peer.release.starts_with(&prefix));
    if found.is_none() {
        skip(&format!("nebula {series}, in NEBULA_BIN_DIR or the search path"));
    }
    found
}

/// The newest release; where there is none, the test is to be skipped.
#[track_caller]
pub fn newest() -> Option<Peer> {
    releases().pop()
}

fn find() -> Vec<Peer> {
    let directories: Vec<PathBuf> = match std::env::var_os("NEBULA_BIN_DIR") {
        Some(all) => std::fs::read_dir(all)
            .expect("NEBULA_BIN_DIR is a directory")
            .map(|release| release.expect("it can be read").path())
            .collect(),
        None => {
            in_path("nebula").and_then(|path| Some(path.parent()?.to_owned())).into_iter().collect()
        }
    };
    let mut found: Vec<Peer> =
        directories.iter().filter_map(|directory| Peer::find(directory)).collect();
    found.sort_by_key(Peer::numbers);
    found
}

impl Peer {
    fn find(directory: &Path) -> Option<Self> {
        // Absolute, because it is started in another directory.
        let directory = directory.canonicalize().ok()?;
        let (nebula, nebula_cert) = (directory.join("nebula"), directory.join("nebula-cert"));
        if !nebula.is_file() || !nebula_cert.is_file() {
            return None;
        }
        let version = Command::new(&nebula).arg("-version").output().expect("it runs");
        let version = String::from_utf8(version.stdout).expect("text");
        let release = version.trim().trim_start_matches("Version: ").to_owned();
        Some(Self { release, nebula, nebula_cert })
    }

    /// Version 2 of certificates came with release 1.10.
    pub fn knows_version_2(&self) -> bool {
        self.numbers() >= vec![1, 10]
    }

    /// The curve P256 came with release 1.7.
    pub fn knows_p256(&self) -> bool {
        self.numbers() >= vec![1, 7]
    }

    /// Runs `nebula-cert` in a directory, where it must succeed, with UTC as its time zone; returns
    /// what it prints.
    #[track_caller]
    pub fn nebula_cert(&self, directory: &Path, arguments: &[&str]) -> String {
        let output = run(&self.nebula_cert, directory, arguments);
        assert!(output.status.success(), "{} {arguments:?}: {output:?}", self.release);
        String::from_utf8(output.stdout).expect("text")
    }

    /// Whether it would start with this configuration, which it must.
    #[track_caller]
    pub fn accepts(&self, directory: &Path) {
        let output = run(&self.nebula, directory, &["-test", "-config", "nebula.yml"]);
        assert!(output.status.success(), "{} refuses the configuration: {output:?}", self.release);
    }

    /// The program to start.
    pub fn nebula(&self) -> &Path {
        &self.nebula
    }

    fn numbers(&self) -> Vec<u32> {
        self.release.split(['.', '-', '+']).map_while(|number| number.parse().ok()).collect()
    }
}

fn run(program: &Path, directory: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(program);
    command.args(arguments).current_dir(directory).env("TZ", "UTC").output().expect("it runs")
}
