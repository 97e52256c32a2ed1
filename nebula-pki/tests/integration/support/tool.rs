//! Runs releases of the reference's `nebula-cert`.

use std::env;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use nebula_pki::{Certificate, Curve, Error, Version};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{vector, wording};

/// One release, and a directory for its files.
pub(crate) struct Tool {
    program: PathBuf,
    pub(crate) release: String,
    files: TempDir,
}

/// A curve, the version of a CA on it, and the version of a certificate under that CA.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Kind {
    pub(crate) curve: Curve,
    pub(crate) ca: Version,
    pub(crate) host: Version,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?} under {:?}", self.curve, self.host, self.ca)
    }
}

/// The releases at hand: those in `NEBULA_BIN_DIR` (one directory per release), else the one in the
/// search path. Without any says so, and fails if `REQUIRE_PEERS=1`.
pub(crate) fn tools() -> Vec<Tool> {
    let mut programs: Vec<PathBuf> = match env::var_os("NEBULA_BIN_DIR") {
        Some(directory) => fs::read_dir(directory)
            .unwrap()
            .map(|release| release.unwrap().path().join("nebula-cert"))
            .collect(),
        None => env::split_paths(&env::var_os("PATH").unwrap_or_default())
            .map(|directory| directory.join("nebula-cert"))
            .find(|program| program.is_file())
            .into_iter()
            .collect(),
    };
    programs.retain(|program| program.is_file());
    programs.sort();
    if programs.is_empty() {
        assert!(env::var("REQUIRE_PEERS").as_deref() != Ok("1"), "no nebula-cert found");
        println!("skipped: no nebula-cert in NEBULA_BIN_DIR or the search path");
    }
    programs.into_iter().map(Tool::new).collect()
}

impl Tool {
    fn new(program: PathBuf) -> Self {
        let version = Command::new(&program).arg("-version").output().unwrap();
        let release = String::from_utf8(version.stdout).unwrap().replace("Version: ", "");
        Self { program, release: release.trim().to_owned(), files: TempDir::new().unwrap() }
    }

    /// Version 2 came with release 1.10.
    pub(crate) fn knows_v2(&self) -> bool {
        self.minor() >= 10
    }

    /// P256 came with release 1.7.
    pub(crate) fn curves(&self) -> Vec<Curve> {
        if self.minor() >= 7 {
            vec![Curve::Curve25519, Curve::P256]
        } else {
            vec![Curve::Curve25519]
        }
    }

    fn minor(&self) -> u32 {
        self.release.split('.').nth(1).and_then(|minor| minor.parse().ok()).unwrap()
    }

    pub(crate) fn versions(&self) -> Vec<Version> {
        if self.knows_v2() { vec![Version::V1, Version::V2] } else { vec![Version::V1] }
    }

    /// All that it knows.
    pub(crate) fn kinds(&self) -> Vec<Kind> {
        let mut kinds = Vec::new();
        for curve in self.curves() {
            for ca in self.versions() {
                kinds.extend(self.versions().into_iter().map(|host| Kind { curve, ca, host }));
            }
        }
        kinds
    }

    /// The flags for `ca` and `keygen`, as far as this release has them.
    pub(crate) fn curve_flags(&self, curve: Curve) -> Vec<&'static str> {
        match curve {
            Curve::P256 => vec!["-curve", "P256"],
            _ => Vec::new(),
        }
    }

    /// The flags for `ca` and `sign`, as far as this release has them.
    pub(crate) fn version_flags(&self, version: Version) -> Vec<&'static str> {
        match version {
            _ if !self.knows_v2() => Vec::new(),
            Version::V1 => vec!["-version", "1"],
            _ => vec!["-version", "2"],
        }
    }

    /// A place for a new file.
    pub(crate) fn path(&self, name: &str) -> String {
        let path = self.files.path().join(name);
        // The tool refuses to overwrite.
        remove(&path);
        path.to_str().unwrap().to_owned()
    }

    pub(crate) fn file(&self, name: &str, content: &str) -> String {
        let path = self.path(name);
        fs::write(&path, content).unwrap();
        path
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        Command::new(&self.program).args(arguments).env("TZ", "UTC").output().unwrap()
    }

    #[track_caller]
    pub(crate) fn succeed(&self, arguments: &[&str]) {
        let output = self.run(arguments);
        assert!(output.status.success(), "{} {arguments:?}: {output:?}", self.release);
    }

    /// Whether it refuses, with the words that it has for our error.
    #[track_caller]
    pub(crate) fn refuses(&self, arguments: &[&str], error: &Error, what: &str) {
        let output = self.run(arguments);
        let what = format!("{} {what}: {error:?}, {output:?}", self.release);
        assert_eq!(output.status.code(), Some(1), "{what}");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let mut words = wording::of_certificate(error);
        if !self.knows_v2() {
            words = words.replace("an unsafe network assignment", "a subnet assignment");
            words = words.replace("a network assignment", "an ip assignment");
            // It does not even load an expired CA.
            words = words.replace("root certificate is expired", "certificate is expired");
            if let Some((_, unknown)) = words.split_once(": could not find ca") {
                words = format!("could not find ca{unknown}");
            }
        }
        assert!(said.contains(&words), "{what}: expected {words:?}");
    }

    pub(crate) fn print(&self, path: &str) -> Value {
        let output = self.run(&["print", "-json", "-path", path]);
        assert!(output.status.success(), "{output:?}");
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// What this release shows of a certificate: before 1.10 a single object with older names.
    pub(crate) fn expected(&self, certificate: &Certificate) -> Value {
        let mut printed = vector::printed(certificate);
        if self.knows_v2() {
            return json!([printed]);
        }
        let details = printed["details"].as_object_mut().unwrap();
        let ips = details.remove("networks").unwrap();
        let subnets = details.remove("unsafeNetworks").unwrap();
        details.insert("ips".to_owned(), ips);
        details.insert("subnets".to_owned(), subnets);
        if self.minor() < 7 {
            details.remove("curve");
        }
        printed.as_object_mut().unwrap().remove("version");
        printed
    }
}

fn remove(path: &Path) {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => panic!("{error}"),
        _ => {}
    }
}
