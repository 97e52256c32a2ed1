//! HTTPS, judged by curl and OpenSSL.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::{Duration, Instant};

use crate::support::shell::has_programs;
use axum::routing::get;
use axum::{Extension, Router};
use nebula_gc_http::api::Public;
use nebula_gc_http::server::{Limits, Server, Tls};
use tempfile::TempDir;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;
use tokio::signal::unix::{SignalKind, signal};

const PATIENCE: Duration = Duration::from_secs(20);

fn peers() -> bool {
    has_programs(&["curl", "openssl"])
}

async fn run(directory: &Path, program: &str, arguments: &[&str]) -> Output {
    Command::new(program).current_dir(directory).args(arguments).output().await.unwrap()
}

/// A key of this kind and a certificate for `localhost`, as `NAME.key` and `NAME.crt`.
async fn make(directory: &Path, name: &str, kind: &[&str]) {
    let (key, certificate) = (format!("{name}.key"), format!("{name}.crt"));
    let subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"];
    let files = ["-days", "2", "-keyout", &key, "-out", &certificate];
    let arguments = [&["req", "-x509", "-nodes"][..], kind, &subject, &files].concat();
    let made = run(directory, "openssl", &arguments).await;
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}

const P256: [&str; 4] = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"];

/// The pin as RFC 7469 has it made: base64 of SHA-256 of the public key in DER.
async fn pin_of(directory: &Path, certificate: &str) -> String {
    let pipe = format!(
        "openssl x509 -in {certificate} -pubkey -noout | openssl pkey -pubin -outform der \
         | openssl dgst -sha256 -binary | openssl base64"
    );
    let made = run(directory, "sh", &["-c", &pipe]).await;
    String::from_utf8(made.stdout).unwrap().trim().to_owned()
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

struct Running {
    directory: TempDir,
    address: SocketAddr,
    tls: Tls,
}

impl Running {
    async fn start(limits: Limits) -> Self {
        let directory = tempfile::tempdir().unwrap();
        make(directory.path(), "a", &P256).await;
        for ending in ["crt", "key"] {
            let file = |name: &str| directory.path().join(format!("{name}.{ending}"));
            std::fs::copy(file("a"), file("used")).unwrap();
        }
        let tls = Tls::load(directory.path().join("used.crt"), directory.path().join("used.key"));
        let tls = tls.unwrap();
        let router = Router::new().route(
            "/",
            get(async |Extension(public): Extension<Public>| {
                format!("{} {}", public.url.unwrap(), base64(&public.pin.unwrap()))
            }),
        );
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = Server::new(listener, router).limits(limits).tls(tls.clone());
        tokio::spawn(server.run(std::future::pending()));
        Self { directory, address, tls }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// What curl says that trusts this certificate only, and takes this pin only.
    async fn ask(&self, trusted: &str, pin: &str) -> Result<String, String> {
        let port = self.address.port();
        let output = run(
            self.directory.path(),
            "curl",
            &[
                "-sS",
                "--http1.1",
                "--cacert",
                trusted,
                "--pinnedpubkey",
                &format!("sha256//{pin}"),
                "--resolve",
                &format!("localhost:{port}:127.0.0.1"),
                &format!("https://localhost:{port}/"),
            ],
        )
        .await;
        if output.status.success() {
            Ok(String::from_utf8(output.stdout).unwrap())
        } else {
            Err(String::from_utf8(output.stderr).unwrap())
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn curl_trusts_the_certificate_and_its_pin() {
    if !peers() {
        return;
    }
    let server = Running::start(Limits::default()).await;
    let pin = pin_of(server.directory.path(), "a.crt").await;
    assert_eq!(base64(&server.tls.pin()), pin);
    let url = format!("https://{}", server.address);
    assert_eq!(server.ask("a.crt", &pin).await.unwrap(), format!("{url} {pin}"));
    // The comparison itself can fail.
    make(server.directory.path(), "b", &P256).await;
    let other = pin_of(server.directory.path(), "b.crt").await;
    assert!(server.ask("a.crt", &other).await.is_err());
    assert!(server.ask("b.crt", &pin).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn every_usual_kind_of_key_serves() {
    if !peers() {
        return;
    }
    let server = Running::start(Limits::default()).await;
    let kinds: [(&str, &[&str]); 3] = [
        ("rsa", &["-newkey", "rsa:2048"]),
        ("p384", &["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-384"]),
        ("ed25519", &["-newkey", "ed25519"]),
    ];
    for (name, kind) in kinds {
        make(server.directory.path(), name, kind).await;
        for ending in ["crt", "key"] {
            std::fs::copy(
                server.path(&format!("{name}.{ending}")),
                server.path(&format!("used.{ending}")),
            )
            .unwrap();
        }
        assert!(server.tls.reload().unwrap());
        let pin = pin_of(server.directory.path(), &format!("{name}.crt")).await;
        assert!(server.ask(&format!("{name}.crt"), &pin).await.unwrap().ends_with(&pin), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn replaced_files_are_served_without_a_restart_and_broken_ones_are_not() {
    if !peers() {
        return;
    }
    let server = Running::start(Limits::default()).await;
    let tls = server.tls.clone();
    let hangup = signal(SignalKind::hangup()).unwrap();
    let follower = tokio::spawn(async move { tls.follow(hangup, Duration::from_millis(20)).await });
    let old = pin_of(server.directory.path(), "a.crt").await;
    make(server.directory.path(), "b", &P256).await;
    let new = pin_of(server.directory.path(), "b.crt").await;
    let copy = |from: &str, to: &str| std::fs::copy(server.path(from), server.path(to)).unwrap();

    // Only the certificate: it is not the key's.
    copy("b.crt", "used.crt");
    assert!(server.ask("a.crt", &old).await.is_ok());
    copy("b.key", "used.key");
    let begun = Instant::now();
    while server.tls.pin() != server_pin(&new) {
        assert!(begun.elapsed() < PATIENCE, "the new pair was not loaded");
        tokio::task::yield_now().await;
    }
    assert!(server.ask("b.crt", &new).await.is_ok());
    assert!(server.ask("a.crt", &old).await.is_err());
    follower.abort();

    // By hand from here, to see what each is refused with.
    let _ = server.tls.reload();
    for (file, contents, reason) in [
        ("used.crt", "", "no PEM certificate"),
        (
            "used.crt",
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
            "certificate",
        ),
        ("used.key", "nothing", "no unencrypted PEM private key"),
    ] {
        let before = std::fs::read(server.path(file)).unwrap();
        std::fs::write(server.path(file), contents).unwrap();
        let error = server.tls.reload().unwrap_err().to_string();
        assert!(error.contains(file) && error.contains(reason), "{error}");
        // Said once.
        assert!(!server.tls.reload().unwrap());
        assert!(server.ask("b.crt", &new).await.is_ok());
        std::fs::write(server.path(file), before).unwrap();
        assert!(server.tls.reload().unwrap());
    }
    let error = {
        copy("a.key", "used.key");
        server.tls.reload().unwrap_err().to_string()
    };
    assert!(error.contains("does not belong to the certificate"), "{error}");
    std::fs::remove_file(server.path("used.key")).unwrap();
    assert!(server.tls.reload().is_err());
    assert!(!server.tls.reload().unwrap());
    assert!(server.ask("b.crt", &new).await.is_ok());
}

fn server_pin(pin: &str) -> [u8; 32] {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.decode(pin).unwrap().try_into().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chain_that_was_cut_is_refused() {
    if !peers() {
        return;
    }
    let server = Running::start(Limits::default()).await;
    make(server.directory.path(), "b", &P256).await;
    let mut chain = std::fs::read_to_string(server.path("a.crt")).unwrap();
    let second = std::fs::read_to_string(server.path("b.crt")).unwrap();
    chain.push_str(&second[..second.len() / 2]);
    std::fs::write(server.path("used.crt"), chain).unwrap();
    assert!(server.tls.reload().is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handshake_takes_no_longer_than_it_may() {
    if !peers() {
        return;
    }
    let handshake_time = Duration::from_millis(200);
    let server = Running::start(Limits { handshake_time, ..Limits::default() }).await;
    let begun = Instant::now();
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let mut bytes = Vec::new();
    tokio::time::timeout(PATIENCE, stream.read_to_end(&mut bytes)).await.unwrap().unwrap();
    assert!(bytes.is_empty() && begun.elapsed() >= handshake_time);
}
