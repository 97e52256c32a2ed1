//! Runs our `nebula-cert`, or another, in a directory of its own.

use std::env;
use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

/// What a run of the program did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) exit: i32,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
}

impl Outcome {
    pub(crate) fn stdout(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }
}

pub(crate) fn ours() -> PathBuf {
    env!("CARGO_BIN_EXE_nebula-cert").into()
}

/// The reference of the release that ours replaces, if it is here: in one of the directories in
/// `NEBULA_BIN_DIR`, or in the search path.
#[allow(clippy::print_stdout, reason = "says what it skips")]
pub(crate) fn reference() -> Option<PathBuf> {
    let directories: Vec<_> = match env::var_os("NEBULA_BIN_DIR") {
        Some(all) => fs::read_dir(all).unwrap().map(|entry| entry.unwrap().path()).collect(),
        None => env::split_paths(&env::var_os("PATH").unwrap_or_default()).collect(),
    };
    let found = directories.into_iter().map(|path| path.join("nebula-cert")).find(|program| {
        let version = Command::new(program).arg("-version").output();
        version.is_ok_and(|output| output.stdout == b"Version: 1.11.0\n")
    });
    if found.is_none() {
        assert!(env::var("REQUIRE_PEERS").as_deref() != Ok("1"), "no nebula-cert 1.11.0 found");
        println!("skipped: no nebula-cert 1.11.0 in NEBULA_BIN_DIR or the search path");
    }
    found
}

/// A directory to run the program in.
pub(crate) struct Scratch {
    directory: TempDir,
    program: PathBuf,
}

impl Scratch {
    pub(crate) fn new() -> Self {
        Self::of(ours())
    }

    pub(crate) fn of(program: PathBuf) -> Self {
        Self { directory: TempDir::new().unwrap(), program }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// The files made here, with their modes.
    pub(crate) fn files(&self) -> Vec<(String, u32)> {
        let mut files = Vec::new();
        list(self.directory.path(), "", &mut files);
        files.sort();
        files
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Outcome {
        self.run_with(arguments, &[], b"")
    }

    /// Runs the program, under the name `nebula-cert`, in UTC unless told otherwise.
    pub(crate) fn run_with(
        &self,
        arguments: &[&str],
        variables: &[(&str, &str)],
        stdin: &[u8],
    ) -> Outcome {
        let mut child = Command::new(&self.program)
            .arg0("nebula-cert")
            .args(arguments)
            .current_dir(self.directory.path())
            .env("TZ", "UTC")
            .env_remove("NEBULA_CA_PASSPHRASE")
            .env_remove("NEBULA_CA_NEW_PASSPHRASE")
            .env_remove("NEBULA_CERT_ERRORS")
            .envs(variables.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // A program that reads nothing may be gone already.
        let _ = child.stdin.take().unwrap().write_all(stdin);
        let output = child.wait_with_output().unwrap();
        Outcome {
            exit: output.status.code().unwrap(),
            stdout: output.stdout,
            // The protobuf library writes a space or a non-breaking space here, as it pleases.
            stderr: String::from_utf8_lossy(&output.stderr).replace("proto:\u{a0}", "proto: "),
        }
    }

    /// Runs it and expects success and silence.
    pub(crate) fn succeed(&self, arguments: &[&str]) {
        let outcome = self.run(arguments);
        assert_eq!((outcome.exit, &*outcome.stderr), (0, ""), "{arguments:?}");
    }
}

fn list(directory: &Path, prefix: &str, files: &mut Vec<(String, u32)>) {
    for entry in fs::read_dir(directory).unwrap() {
        let entry = entry.unwrap();
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        if entry.file_type().unwrap().is_dir() {
            list(&entry.path(), &format!("{name}/"), files);
        }
        files.push((name, entry.metadata().unwrap().permissions().mode() & 0o7777));
    }
}

/// What our usage texts say beyond the reference's. Taking it out must leave the reference's text.
pub(crate) fn without_additions(text: &str) -> String {
    ADDITIONS.iter().fold(text.to_owned(), |text, addition| text.replace(addition, ""))
}

const ADDITIONS: [&str; 14] = [
    // The released reference is built without it.
    "  -pkcs11 string
    \tOptional: PKCS#11 URI to an existing private key
",
    "; 1,2 makes both, v1 first, for the same key",
    "; of several in one file the one that fits the key signs",
    "    -implementation: Prints this implementation's name and version\n",
    "  -json-legacy
    \tOptional: outputs certificates in the json format of release 1.9 and older: one object per line, with ips and subnets
",
    "  -expires-within duration
    \tOptional: also refuses certificates that expire within this time
",
    "  -key string
    \tOptional: path to a private key, which must be that of the certificates in crt
",
    "  -blocklist string
    \tOptional: path to a list of fingerprints that must not be trusted, one per line, with # before comments
",
    "  -strict
    \tOptional: also refuses ca certificates, P256 signatures with a high s, and a crt without any certificate
",
    "    renew <flags>: renew a certificate: same key and details, new validity\n",
    "    rekey <flags>: encrypt a CA key, or change its passphrase\n",
    "    inspect <flags>: shows what a key or an encrypted key is, without needing its passphrase\n",
    "    completions <shell>: print the completions for bash, zsh or fish\n",
    "    man: print this program's manual page\n",
];
