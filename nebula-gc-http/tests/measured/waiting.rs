//! What a connection costs that does nothing but wait for a change.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use crate::alone;
use crate::under_load::server::{has_peers, make_certificate, memory};
use axum::Router;
use axum::routing::get;
use nebula_gc_http::server::{Server, Tls, raise_file_limit};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;

/// Set for the process that serves: a directory with its certificate, or nothing.
const SERVE: &str = "NEBULA_GC_TEST_SERVE";
/// How many connections wait in the longer form of the test.
const COUNT: &str = "WAITING_CONNECTIONS";
/// Bytes of a request as devices send it.
const REQUEST: &[u8] = b"GET /poll HTTP/1.1\r\nHost: nebula.example.org\r\nUser-Agent: nebula-gc/0.1.0\r\n\
    Accept: */*\r\nAuthorization: Bearer nebula-node-0123456789012345678901234567890123456789012\r\n\r\n";

/// No test: the server of the others, in a process of its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn serve_for_the_others() {
    let Some(place) = std::env::var_os(SERVE) else { return };
    raise_file_limit();
    let poll = async || std::future::pending::<&str>().await;
    let router = Router::new().route("/poll", get(poll)).route("/live", get(async || "live"));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut server = Server::new(listener, router);
    if !place.is_empty() {
        let place = Path::new(&place);
        server =
            server.tls(Tls::load(place.join("fullchain.pem"), place.join("privkey.pem")).unwrap());
    }
    println!("\nserving {address}");
    server.run(std::future::pending()).await.unwrap();
}

struct Serving {
    process: Child,
    address: SocketAddr,
}

impl Serving {
    fn start(place: &Path) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "waiting::serve_for_the_others", "--nocapture"]).env(SERVE, place);
        let mut process = command.stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let address = lines
            .map(Result::unwrap)
            .find_map(|line| line.strip_prefix("serving ").map(|address| address.parse().unwrap()))
            .expect("it ended before it served");
        Self { process, address }
    }

    /// Bytes of memory that are its own.
    fn memory(&self) -> u64 {
        memory(&self.process, "RssAnon:") * 1024
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// What each of `count` waiting connections costs, in bytes.
async fn cost<S, F>(serving: &Serving, count: u64, connect: impl Fn(TcpStream) -> F) -> u64
where
    S: AsyncRead + AsyncWrite + Unpin,
    F: Future<Output = S>,
{
    let open = async |request: &[u8]| {
        let mut stream = connect(TcpStream::connect(serving.address).await.unwrap()).await;
        stream.write_all(request).await.unwrap();
        stream
    };
    // One after the other is served: when the last is answered, all before were read.
    let settled = async || {
        let mut stream = open(b"GET /live HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
        let mut answer = Vec::new();
        let read = stream.read_to_end(&mut answer);
        let _ = tokio::time::timeout(Duration::from_secs(20), read).await.unwrap();
    };
    let mut warm = Vec::new();
    for _ in 0..50 {
        warm.push(open(REQUEST).await);
    }
    settled().await;
    let before = serving.memory();
    let mut waiting = Vec::new();
    for _ in 0..count {
        waiting.push(open(REQUEST).await);
    }
    settled().await;
    let after = serving.memory();
    after.saturating_sub(before) / count
}

#[tokio::test]
async fn a_waiting_connection_leaves_room_in_20_kb_for_what_it_waits_for() {
    let _alone = alone().await;
    let serving = Serving::start(Path::new(""));
    let count = std::env::var(COUNT).map_or(2000, |count| count.parse().unwrap());
    let each = cost(&serving, count, async |stream| stream).await;
    println!("{each} bytes for each connection");
    assert!(each > 1000 && each <= 15_000, "{each} bytes");
}

#[tokio::test]
async fn with_tls_it_costs_at_most_25_kb() {
    let _alone = alone().await;
    let place = tempfile::tempdir().unwrap();
    if !has_peers(&["openssl"]) {
        return;
    }
    make_certificate(place.path());
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(place.path().join("fullchain.pem")).unwrap()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let connector = TlsConnector::from(Arc::new(config));
    let serving = Serving::start(place.path());
    let name = ServerName::try_from("localhost").unwrap();
    let each =
        cost(&serving, 500, async |stream| connector.connect(name.clone(), stream).await.unwrap())
            .await;
    println!("{each} bytes for each connection with TLS");
    assert!(each > 1000 && each <= 25_000, "{each} bytes");
}
