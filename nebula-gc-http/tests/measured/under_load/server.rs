//! A `nebula-gc serve` of its own, in a process whose memory can be looked at.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nebula_pki::key::AgreementKey;
use nebula_pki::{Curve, SystemRandom};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::HONEST;
use super::client::{Connection, get, post};

/// With a certificate of its own.
pub(crate) const TLS: &str = "TLS";
/// With a log of some hundred thousand events, of thousands of networks and of one subject.
pub(crate) const LONG_LOG: &str = "LONG_LOG";
pub(crate) const SUBJECT: &str = "07070707-0707-0707-0707-070707070707";

pub(crate) struct Server {
    process: Child,
    directory: TempDir,
    pub(crate) address: SocketAddr,
    pub(crate) key: String,
}

impl Server {
    /// With these settings, as variables without their prefix, or those above.
    pub(crate) async fn start(settings: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        if settings.contains(&LONG_LOG) {
            let mut first = Self::run(&directory, &[]);
            while !directory.path().join("gc/operator.key").exists() {
                std::thread::sleep(Duration::from_millis(10));
            }
            signal(&first.0, "TERM");
            first.0.wait().unwrap();
            fill(&directory);
        }
        let (process, address) = Self::run(&directory, settings);
        let key = std::fs::read_to_string(directory.path().join("gc/operator.key")).unwrap();
        let server = Self { process, directory, address, key: key.trim().to_owned() };
        if !settings.contains(&TLS) {
            let pool = json!({"projectId": "demo", "cidr": "10.0.0.0/9"});
            server.made("/api/nebula/pools", &pool).await;
        }
        server
    }

    fn run(directory: &TempDir, settings: &[&str]) -> (Child, SocketAddr) {
        let program = std::env::var_os("UNDER_LOAD_PROGRAM");
        let program = program.unwrap_or_else(|| env!("CARGO_BIN_EXE_nebula-gc").into());
        let mut command = Command::new(program);
        command.env_clear().current_dir(directory).args(["serve", "--data", "gc"]);
        command.args(["--listen", "127.0.0.1:0", "--log", "error"]);
        for setting in settings {
            match setting.split_once('=') {
                Some((name, value)) if name.starts_with("TOKIO") => command.env(name, value),
                Some((name, value)) => command.env(format!("NEBULAGC_{name}"), value),
                None if *setting == TLS => {
                    make_certificate(directory.path());
                    command.args(["--tls-certificate", "fullchain.pem", "--tls-key", "privkey.pem"])
                }
                None => &mut command,
            };
        }
        let mut process = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let mut lines = lines.map_while(Result::ok);
        let listening = lines.find(|line| line.starts_with("Listening "));
        let listening = listening.expect("it ended before it served");
        let address = listening.rsplit('/').next().unwrap();
        (process, address.parse().unwrap())
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Resident memory, in KiB.
    pub(crate) fn memory(&self) -> u64 {
        memory(&self.process, "VmRSS:")
    }

    pub(crate) fn signal(&self, name: &str) {
        signal(&self.process, name);
    }

    pub(crate) fn ended(&mut self, longest: Duration) -> Option<ExitStatus> {
        let end = Instant::now() + longest;
        while Instant::now() < end {
            if let Some(status) = self.process.try_wait().unwrap() {
                return Some(status);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        None
    }

    async fn made(&self, path: &str, body: &Value) -> Value {
        let mut connection = Connection::open(self.address, HONEST).await.unwrap();
        let (status, body) = connection.answer(&post(path, &self.key, body)).await.unwrap();
        assert!(status < 300, "{status} {}", String::from_utf8_lossy(&body));
        serde_json::from_slice(&body).unwrap()
    }

    /// A join token for so many nodes and seconds.
    pub(crate) async fn join_token(&self, uses: u32, seconds: u32) -> String {
        let body = json!({"name": "token", "uses": uses, "expiresInSeconds": seconds});
        let made = self.made("/api/v1/networks/demo/join-tokens", &body).await;
        made["secret"].as_str().unwrap().to_owned()
    }

    /// An operator key that may only look.
    pub(crate) async fn viewer(&self) -> String {
        let body = json!({"name": "viewer", "role": "viewer", "scope": "root"});
        let made = self.made("/api/v1/operator-keys", &body).await;
        let secret = made["secret"].as_str().unwrap().to_owned();
        let mut connection = Connection::open(self.address, HONEST).await.unwrap();
        assert_eq!(
            connection.ask(&get("/api/v1/events?limit=1", Some(&secret))).await.unwrap(),
            200
        );
        secret
    }

    /// The request with which a device registers.
    #[allow(clippy::unused_self, reason = "it is asked of this one")]
    pub(crate) fn registration(&self, device: &str, credential: &str) -> Vec<u8> {
        let key = AgreementKey::generate(Curve::Curve25519, &mut SystemRandom).unwrap();
        let key = key.public_key().to_pem();
        let body = json!({
            "projectId": "demo", "deviceId": device, "deviceName": device, "publicKey": key,
        });
        post("/api/nebula/register", credential, &body)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Of a process, in KiB.
pub(crate) fn memory(process: &Child, what: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(what)).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

fn signal(process: &Child, name: &str) {
    let id = process.id().to_string();
    assert!(Command::new("kill").args(["-s", name, &id]).status().unwrap().success());
}

/// For `localhost`, in `fullchain.pem`, with its `privkey.pem`.
pub(crate) fn make_certificate(directory: &Path) {
    let request = "req -x509 -nodes -newkey ec -pkeyopt ec_paramgen_curve:P-256 -days 2 \
        -subj /CN=localhost -addext subjectAltName=DNS:localhost \
        -addext basicConstraints=critical,CA:FALSE -keyout privkey.pem -out fullchain.pem";
    let mut openssl = Command::new("openssl");
    let made = openssl.current_dir(directory).args(request.split_whitespace()).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}

/// Whether the programs are there that a case asks.
pub(crate) fn has_peers(names: &[&str]) -> bool {
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

fn fill(directory: &TempDir) {
    let database = rusqlite::Connection::open(directory.path().join("gc/nebula-gc.db")).unwrap();
    database
        .execute_batch(
            "BEGIN;
             INSERT INTO alloc_event (at, network, kind, actor)
                 WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 149999)
                 SELECT 1, CAST(printf('%016d', i % 3000) AS BLOB), 'much.seen', 'test' FROM n;
             INSERT INTO alloc_event (at, network, kind, actor, subject)
                 WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 79999)
                 SELECT 1, CAST(printf('%016d', 1) AS BLOB), 'often.seen', 'test',
                     x'07070707070707070707070707070707' FROM n;
             COMMIT;",
        )
        .unwrap();
}
