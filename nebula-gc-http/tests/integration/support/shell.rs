//! `nebula-gc serve` and its operator's shell.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Output, Stdio};
use std::time::UNIX_EPOCH;

use nebula_pki::Issuer;
use nebula_pki::key::SigningKey;
use serde_json::Value;
use tempfile::TempDir;

use super::requests::ca;
use super::{Engine, Fixture, Place};

pub const PROGRAM: &str = env!("CARGO_BIN_EXE_nebula-gc");

pub struct Shell {
    pub place: TempDir,
    server: Child,
    pub url: String,
    /// The PostgreSQL that it is over, where it is over one.
    pub database: Option<String>,
    /// The admin commands that were run.
    pub used: RefCell<BTreeSet<String>>,
}

/// A command line, as one text or as its words.
pub trait Line {
    fn words(&self) -> Vec<&str>;
}

impl Line for str {
    fn words(&self) -> Vec<&str> {
        self.split_whitespace().collect()
    }
}

impl Line for String {
    fn words(&self) -> Vec<&str> {
        self.as_str().words()
    }
}

impl Line for [&str] {
    fn words(&self) -> Vec<&str> {
        self.to_vec()
    }
}

impl<const N: usize> Line for [&str; N] {
    fn words(&self) -> Vec<&str> {
        self.to_vec()
    }
}

impl Fixture for Shell {
    async fn on(engine: Engine) -> Option<Self> {
        match engine {
            Engine::Sqlite => Some(Self::new()),
            Engine::Postgres => {
                let database = crate::shared::postgres::cluster_in_memory()?.schema();
                let place = tempfile::tempdir().unwrap();
                let mut shell = Self::start(place, &["--database", &database]);
                shell.database = Some(database);
                Some(shell)
            }
        }
    }
}

impl Shell {
    pub fn start(place: TempDir, arguments: &[&str]) -> Self {
        let mut command = Command::new(PROGRAM);
        command.env_clear().current_dir(place.path());
        command.args(["serve", "--listen", "127.0.0.1:0"]).args(arguments);
        let mut server = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut lines = BufReader::new(server.stdout.take().unwrap()).lines().map_while(Result::ok);
        let listening = lines.find(|line| line.starts_with("Listening ")).expect("it ended");
        let url = listening.split_whitespace().nth(1).unwrap().to_owned();
        Self { place, server, url, database: None, used: RefCell::default() }
    }

    pub fn new() -> Self {
        Self::start(tempfile::tempdir().unwrap(), &[])
    }

    /// Where the server's rows are.
    pub fn rows(&self) -> Place {
        match &self.database {
            Some(url) => Place::Server(url.clone()),
            None => {
                let file = self.place.path().join("nebula-gc-data/nebula-gc.db");
                Place::File(file, tempfile::tempdir().unwrap())
            }
        }
    }

    pub fn command(&self, line: &(impl Line + ?Sized)) -> Command {
        let words = line.words();
        if let ["admin", group, verb, ..] = words[..] {
            self.used.borrow_mut().insert(format!("{group} {verb}"));
        }
        let mut command = Command::new(PROGRAM);
        command.env_clear().current_dir(self.place.path());
        command.env("NEBULAGC_SERVER", &self.url).args(words);
        command
    }

    pub fn run(&self, line: &(impl Line + ?Sized)) -> Output {
        self.command(line).output().unwrap()
    }

    /// What it prints, where it succeeds.
    #[track_caller]
    pub fn says(&self, line: &(impl Line + ?Sized)) -> String {
        let output = self.run(line);
        let error = text(&output.stderr);
        assert!(output.status.success() && error.is_empty(), "{:?}: {error}", line.words());
        text(&output.stdout)
    }

    /// What an admin command answers as JSON.
    #[track_caller]
    pub fn json(&self, line: &str, last: &[&str]) -> Value {
        let words = ["admin"].into_iter().chain(line.split_whitespace());
        let words: Vec<_> = words.chain(last.iter().copied()).chain(["--output", "json"]).collect();
        let said = self.says(&words[..]);
        if said.is_empty() { Value::Null } else { serde_json::from_str(&said).unwrap() }
    }

    /// What a command says on the standard error, where it ends with this code.
    #[track_caller]
    pub fn fails(&self, code: i32, line: &str) -> String {
        let output = self.run(line);
        assert_eq!(output.status.code(), Some(code), "{line}: {}", text(&output.stderr));
        assert!(output.stdout.is_empty(), "{line}");
        text(&output.stderr)
    }

    pub fn file(&self, name: &str, text: &str) {
        std::fs::write(self.place.path().join(name), text).unwrap();
    }

    /// A CA as `nebula-cert` makes one; its certificate is in `old.crt`, its key in `old.key`.
    pub fn ca_from_elsewhere(&self) -> Issuer<SigningKey> {
        let now = i64::try_from(UNIX_EPOCH.elapsed().unwrap().as_secs()).unwrap();
        let (issuer, key) = ca(nebula_pki::Version::V2, now - 60);
        self.file("old.crt", &issuer.certificate().to_pem());
        self.file("old.key", &key);
        issuer
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Whether the programs are there that a test asks.
pub fn has_programs(names: &[&str]) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let is_there = |name: &&str| std::env::split_paths(&path).any(|at| at.join(name).is_file());
    let all = names.iter().all(is_there);
    let required = std::env::var_os("REQUIRE_PEERS").is_some_and(|value| value == "1");
    assert!(all || !required, "of {names:?} one is not installed");
    if !all {
        eprintln!("skipped: of {names:?} one is not installed");
    }
    all
}

/// Makes a certificate of its own for `localhost` and `127.0.0.1`: `NAME.crt`, and its `NAME.key`.
pub fn make_tls(directory: &std::path::Path, name: &str) {
    let request = "req -x509 -nodes -newkey ec -pkeyopt ec_paramgen_curve:P-256 -days 2 \
        -subj /CN=localhost -addext basicConstraints=critical,CA:FALSE \
        -addext subjectAltName=DNS:localhost,IP:127.0.0.1";
    let mut openssl = Command::new("openssl");
    openssl.current_dir(directory).args(request.split_whitespace());
    openssl.args(["-keyout", &format!("{name}.key"), "-out", &format!("{name}.crt")]);
    let made = openssl.output().unwrap();
    assert!(made.status.success(), "{}", text(&made.stderr));
}

/// Makes a key on Curve25519 for `openssl` to sign with: `key`.
pub fn make_signing_key(directory: &std::path::Path) {
    let mut openssl = Command::new("openssl");
    openssl.args(["genpkey", "-algorithm", "ed25519", "-out", "key"]).current_dir(directory);
    assert!(openssl.status().unwrap().success());
}
