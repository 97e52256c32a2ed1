//! Does the server do what it says to somebody who starts it for the first time?
//!
//! Where `curl` or the real Nebula is missing, what needs it says so and passes, unless
//! `REQUIRE_PEERS=1`.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::time::{Duration, Instant};

use crate::support::client::{Answer, Client};
use crate::support::peers::{self, skip};
use crate::support::server::{Server, program};
use crate::support::unpack::unpack;
use nebula_pki::key::{AgreementKey, PublicKey};
use serde_json::{Value, json};
use tempfile::TempDir;

/// The server's default, which the guide is printed with.
const DATA: &str = "nebula-gc-data";

#[test]
fn the_printed_lines_bring_a_device_in() {
    let Some(_) = curl() else { return };
    let home = directory();
    let server = start(home.path(), DATA);
    follow(&server.guide, home.path(), LINES);

    let device = home.path().join("device-1");
    let registered: Value =
        serde_json::from_str(&read(&device.join("registered.json"))).expect("JSON");
    assert_eq!(registered["data"]["nebulaIp"], "10.99.1.1/32");
    let zip = fs::read(device.join("device-1.zip")).expect("it was fetched");
    assert_eq!(registered["data"]["zipSize"], zip.len());
    unpack(&zip, &device);
    for peer in peers::releases() {
        peer.accepts(&device);
    }
}

#[test]
fn the_printed_lines_work_wherever_the_data_is_and_on_ipv6() {
    let Some(_) = curl() else { return };
    let home = directory();
    let data = Path::new("it's my data");
    let server = Server::spawn(command(home.path()), data, "[::1]:0".parse().expect("an address"));
    follow(&server.guide, home.path(), LINES);
    assert!(home.path().join("device-1/device-1.zip").exists());
}

#[test]
fn secrets_are_for_their_owner_alone_and_no_private_key_is_in_clear() {
    let home = directory();
    let server = start(home.path(), DATA);
    keygen(home.path(), "device-1");
    let data = home.path().join(DATA);

    assert_eq!(mode(&data), 0o700);
    assert_eq!(mode(&data.join("operator.key")), 0o600);
    assert_eq!(mode(&home.path().join("device-1/node.key")), 0o600);
    let kept = read(&data.join("operator.key"));
    assert_eq!(kept, format!("{}\n", server.operator_key));
    assert!(!server.guide.contains(&server.operator_key), "it is printed");

    let mut checked = 0;
    for entry in fs::read_dir(&data).expect("it is there") {
        let path = entry.expect("it can be read").path();
        let contents = fs::read(&path).expect("it can be read");
        let holds = |text: &str| contents.windows(text.len()).any(|part| part == text.as_bytes());
        assert!(!holds("PRIVATE KEY"), "{}", path.display());
        if path.file_name() != Some("operator.key".as_ref()) {
            assert!(!holds(&server.operator_key), "the operator key is in {}", path.display());
        }
        assert_eq!(mode(&path) & 0o077, 0, "{} is open to others", path.display());
        checked += 1;
    }
    assert!(checked >= 3, "the database, the secrets and the key");
}

#[tokio::test]
async fn a_second_start_keeps_the_key_and_the_devices() {
    let home = directory();
    let mut server = start(home.path(), DATA);
    keygen(home.path(), "device-1");
    let registration = registration(&home.path().join("device-1"));
    let first = post(&server, "/api/nebula/register", &registration).await;
    let key = server.operator_key.clone();
    assert!(server.stop("TERM").success());

    let server = start(home.path(), DATA);
    assert_eq!(server.operator_key, key);
    let mut client = client(&server).await;
    let status = client.get("/api/nebula/status/device-1?projectId=demo").await.expect("an answer");
    let status: Value = serde_json::from_slice(&status.body).expect("JSON");
    let allocated = json!({
        "success": true, "deviceId": "device-1", "nebulaIp": "10.99.1.1/32", "allocated": true
    });
    assert_eq!(status, allocated);
    let second = post(&server, "/api/nebula/register", &registration).await;
    assert_eq!((first.status, second.status), (200, 200));
    assert_eq!(first.body, second.body);
}

#[test]
fn a_second_server_on_the_same_data_is_refused() {
    let home = directory();
    let server = start(home.path(), DATA);
    let refusal = refused(home.path(), &["--listen", "127.0.0.1:0", "--data", DATA]);
    assert!(refusal.contains(DATA) && refusal.contains("in use by a running server"), "{refusal}");
    TcpStream::connect(server.address).expect("the first one still serves");
}

/// Not only the database, but also the secrets that it can't be read without must be one server's.
#[tokio::test]
async fn of_many_first_starts_at_once_one_serves_and_its_data_is_whole() {
    for _ in 0..10 {
        let home = directory();
        let mut all: Vec<Starting> = (0..6).map(|_| Starting::new(home.path())).collect();
        let served = all.iter_mut().filter_map(Starting::serves).count();
        assert_eq!(served, 1);
        drop(all);

        let server = start(home.path(), DATA);
        let answer = client(&server).await.get("/api/nebula/status/device-1?projectId=demo").await;
        assert_eq!(answer.expect("an answer").status, 200, "the key is no longer known");
    }
}

#[test]
fn a_signal_ends_it_after_what_is_in_flight_is_answered() {
    for name in ["TERM", "INT"] {
        let home = directory();
        let mut server = start(home.path(), DATA);
        keygen(home.path(), "device-1");
        let body = registration(&home.path().join("device-1"));
        let (begin, end) = body.split_at(body.len() / 2);

        let mut stream = BufReader::new(TcpStream::connect(server.address).expect("it serves"));
        let head = format!(
            "POST /api/nebula/register HTTP/1.1\r\nHost: test\r\nAuthorization: Bearer {}\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\nExpect: 100-continue\r\n\r\n",
            server.operator_key,
            body.len()
        );
        stream.get_mut().write_all(head.as_bytes()).expect("it is sent");
        // It asks for the body, so the request is under way.
        assert_eq!(line(&mut stream), "HTTP/1.1 100 Continue");
        assert_eq!(line(&mut stream), "");
        stream.get_mut().write_all(begin.as_bytes()).expect("it is sent");

        server.signal(name);
        // It took the signal: it accepts no more.
        let deadline = Instant::now() + Duration::from_secs(5);
        while TcpStream::connect(server.address).is_ok() {
            assert!(Instant::now() < deadline, "it accepts connections after SIG{name}");
        }
        stream.get_mut().write_all(end.as_bytes()).expect("it is sent");
        assert_eq!(line(&mut stream), "HTTP/1.1 200 OK");
        let mut rest = String::new();
        stream.read_to_string(&mut rest).expect("it ends with the connection");
        assert!(rest.contains(r#""deviceId":"device-1""#), "{rest}");
        assert_eq!(server.wait().code(), Some(0));
    }
}

#[tokio::test]
async fn idle_connections_do_not_hold_its_end_up() {
    for name in ["TERM", "INT"] {
        let home = directory();
        let mut server = start(home.path(), DATA);
        let mut kept_alive = client(&server).await;
        kept_alive.get("/api/nebula/ca?projectId=demo").await.expect("an answer");
        let silent = TcpStream::connect(server.address).expect("it serves");

        let asked = Instant::now();
        assert_eq!(server.stop(name).code(), Some(0));
        let took = asked.elapsed();
        assert!(took < Duration::from_secs(5), "it took {took:?}");
        silent.shutdown(Shutdown::Both).ok();
    }
}

#[test]
fn data_that_is_open_to_others_is_refused() {
    let home = directory();
    let data = home.path().join(DATA);
    fs::create_dir(&data).expect("it is new");
    fs::set_permissions(&data, fs::Permissions::from_mode(0o755)).expect("it is ours");
    let refusal = refused(home.path(), &["--listen", "127.0.0.1:0"]);
    assert_eq!(
        refusal,
        "http-server: nebula-gc-data: is accessible to other users (mode 755); run chmod 700 on it\n"
    );
    assert_eq!(fs::read_dir(&data).expect("it is there").count(), 0, "it wrote into it");
}

#[test]
fn a_lost_database_or_lost_secrets_are_refused_and_the_operator_key_stays() {
    let home = directory();
    let data = home.path().join("data");
    let mut server = start(home.path(), "data");
    server.stop("TERM");
    let operator_key = read(&data.join("operator.key"));
    for lost in ["nebula-gc.db", "secrets.json"] {
        let (here, aside) = (data.join(lost), home.path().join(lost));
        fs::rename(&here, &aside).expect("it is ours");
        let message = refused(home.path(), &["--data", "data", "--listen", "127.0.0.1:0"]);
        assert!(message.contains(lost) && message.contains("is missing"), "{message}");
        assert!(!here.exists(), "{lost} was made anew");
        assert_eq!(read(&data.join("operator.key")), operator_key);
        fs::rename(&aside, &here).expect("it is ours");
    }
    // Put back, it serves as before.
    assert_eq!(start(home.path(), "data").operator_key, operator_key.trim_end());
}

#[test]
fn an_address_in_use_is_refused_before_anything_is_written() {
    let home = directory();
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("it is bound").to_string();
    let refusal = refused(home.path(), &["--listen", &address]);
    assert!(refusal.starts_with(&format!("http-server: --listen {address}: Address")), "{refusal}");
    assert!(!home.path().join(DATA).exists());
}

#[test]
fn help_tells_the_options_and_their_defaults() {
    let output = command(Path::new(".")).arg("--help").output().expect("it runs");
    assert!(output.status.success());
    let help = text(output.stdout);
    for part in ["--listen <ADDR>", "127.0.0.1:8080", "--data <DIR>", DATA] {
        assert!(help.contains(part), "{part} is not in\n{help}");
    }
}

#[test]
fn keygen_makes_a_pair_that_nebula_cert_signs_and_never_overwrites_it() {
    let home = directory();
    keygen(home.path(), "device-1");
    let device = home.path().join("device-1");
    let (key, public) = (read(&device.join("node.key")), read(&device.join("node.pub")));
    let private = AgreementKey::from_pem(key.as_bytes()).expect("a key");
    assert_eq!(private.public_key(), PublicKey::from_pem(public.as_bytes()).expect("a public key"));

    let again = run(Command::new(program("keygen")).arg("device-1"), home.path());
    assert!(!again.status.success());
    let refusal = text(again.stderr);
    assert_eq!(refusal, "keygen: device-1/node.key: File exists (os error 17)\n");
    assert_eq!((read(&device.join("node.key")), read(&device.join("node.pub"))), (key, public));

    for peer in peers::releases() {
        let authority = directory();
        peer.nebula_cert(authority.path(), &["ca", "-name", "theirs"]);
        let public = device.join("node.pub");
        let public = public.to_str().expect("UTF-8");
        let sign = ["sign", "-in-pub", public, "-name", "device-1", "-ip", "10.1.2.3/16"];
        peer.nebula_cert(authority.path(), &sign);
        peer.nebula_cert(authority.path(), &["verify", "-ca", "ca.crt", "-crt", "device-1.crt"]);
    }
}

/// The lines of the guide to be run, by how they begin.
const LINES: [&str; 3] =
    ["  cargo run --release -p examples --example keygen", "  curl ", "  curl "];

/// Runs these lines of the guide as they are printed, but for building `keygen` anew.
fn follow<const N: usize>(guide: &str, home: &Path, expected: [&str; N]) {
    // The two devices before them need root; `.ci/newcomer` runs those.
    let (_, own) = guide.split_once("Or bring a device in").expect("the guide has them");
    let lines: Vec<&str> = own.lines().filter(|line| line.starts_with("  ")).collect();
    assert!(
        lines.len() == N && lines.iter().zip(expected).all(|(line, begin)| line.starts_with(begin)),
        "{guide}"
    );
    let keygen = program("keygen");
    let keygen = keygen.to_str().expect("UTF-8");
    let script =
        lines.join("\n").replace("cargo run --release -p examples --example keygen --", keygen);
    let output = run(Command::new("sh").args(["-e", "-c", &script]), home);
    assert!(output.status.success(), "{script}\n{output:?}");
}

#[track_caller]
fn curl() -> Option<std::path::PathBuf> {
    let curl = peers::in_path("curl");
    if curl.is_none() {
        skip("the program curl");
    }
    curl
}

fn directory() -> TempDir {
    tempfile::tempdir().expect("a directory")
}

fn command(home: &Path) -> Command {
    let mut command = Command::new(program("http-server"));
    command.current_dir(home);
    command
}

/// A server started from a directory, as somebody would.
fn start(home: &Path, data: &str) -> Server {
    Server::spawn(command(home), Path::new(data), "127.0.0.1:0".parse().expect("an address"))
}

/// What a server that must not start says.
fn refused(home: &Path, arguments: &[&str]) -> String {
    let output = command(home).args(arguments).output().expect("it runs");
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(output.stdout.is_empty(), "{output:?}");
    text(output.stderr)
}

/// A server that may serve or be refused; dropping it kills it.
struct Starting {
    process: Child,
    // Kept open, so that it can print to its end.
    output: BufReader<ChildStdout>,
}

impl Starting {
    fn new(home: &Path) -> Self {
        let mut command = command(home);
        command.args(["--listen", "127.0.0.1:0"]).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut process = command.spawn().expect("it runs");
        let output = BufReader::new(process.stdout.take().expect("piped"));
        Self { process, output }
    }

    /// Waits until it serves or has ended.
    fn serves(&mut self) -> Option<()> {
        let mut line = String::new();
        self.output.read_line(&mut line).expect("text");
        line.starts_with("Serving").then_some(())
    }
}

impl Drop for Starting {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn keygen(home: &Path, device: &str) {
    let output = run(Command::new(program("keygen")).arg(device), home);
    assert!(output.status.success(), "{output:?}");
}

fn run(command: &mut Command, home: &Path) -> Output {
    command.current_dir(home).output().expect("it runs")
}

fn registration(device: &Path) -> String {
    json!({
        "projectId": "demo",
        "deviceId": "device-1",
        "deviceName": "device-1",
        "publicKey": read(&device.join("node.pub")),
    })
    .to_string()
}

async fn client(server: &Server) -> Client {
    Client::connect(server.address, &server.operator_key).await.expect("it serves")
}

async fn post(server: &Server, path: &str, json: &str) -> Answer {
    client(server).await.post(path, json.to_owned()).await.expect("an answer")
}

fn line(stream: &mut impl BufRead) -> String {
    let mut line = String::new();
    stream.read_line(&mut line).expect("an answer");
    line.trim_end().to_owned()
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("it is there").permissions().mode() & 0o7777
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).expect("it is there")
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).expect("UTF-8")
}
