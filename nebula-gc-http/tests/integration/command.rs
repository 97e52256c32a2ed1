//! The program `nebula-gc`, run as its users do.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

use crate::shared::postgres;
use crate::support::dialect::registration;
use crate::support::requests::new_key;
use crate::support::shell::{PROGRAM, has_programs, make_tls, text};
use serde_json::{Value, json};
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(30);

fn command(directory: &Path) -> Command {
    let mut command = Command::new(PROGRAM);
    // What is set where the tests run is not what they are about.
    command.env_clear().current_dir(directory);
    command
}

fn run(directory: &Path, arguments: &[&str]) -> Output {
    command(directory).args(arguments).output().unwrap()
}

/// What it says on the standard output, where it succeeds.
#[track_caller]
fn said(directory: &Path, arguments: &[&str]) -> String {
    let output = run(directory, arguments);
    assert!(output.status.success(), "{}", text(&output.stderr));
    text(&output.stdout)
}

/// What it says on the standard error, where it fails.
#[track_caller]
fn failed(directory: &Path, arguments: &[&str]) -> String {
    let output = run(directory, arguments);
    assert!(!output.status.success(), "{}", text(&output.stdout));
    text(&output.stderr)
}

/// A running `nebula-gc serve`; dropping it kills it.
struct Server {
    process: Child,
    address: SocketAddr,
    scheme: String,
    key: String,
}

impl Server {
    fn start(directory: &Path, arguments: &[&str]) -> Self {
        let mut command = command(directory);
        command.args(["serve", "--listen", "127.0.0.1:0"]).args(arguments);
        let mut process = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let mut said = |what: &str| loop {
            let line = lines.next().expect("it ended before it served").unwrap();
            if let Some(rest) = line.strip_prefix(what) {
                break rest.trim_start().to_owned();
            }
        };
        let url = said("Listening ");
        let (scheme, address) = url.split_once("//").unwrap();
        let (scheme, address) = (scheme.to_owned(), address.parse().unwrap());
        let key = said("Your key ");
        let key = directory.join(key.split(" (root").next().unwrap());
        let key = std::fs::read_to_string(key).unwrap_or_default().trim_end().to_owned();
        Self { process, address, scheme, key }
    }

    /// The status and the body of an answer.
    fn ask(&self, method: &str, path: &str, body: &Value) -> (u16, String) {
        let mut stream = TcpStream::connect(self.address).unwrap();
        let (key, body) = (&self.key, body.to_string());
        let length = body.len();
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\
             Authorization: Bearer {key}\r\nContent-Type: application/json\r\n\
             Content-Length: {length}\r\n\r\n{body}"
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
    }

    #[track_caller]
    fn get(&self, path: &str) -> u16 {
        self.ask("GET", path, &Value::Null).0
    }

    /// Makes the network `demo`.
    #[track_caller]
    fn make_network(&self) {
        let pool = json!({"projectId": "demo", "cidr": "10.1.0.0/16"});
        let (status, body) = self.ask("POST", "/api/nebula/pools", &pool);
        assert_eq!(status, 200, "{body}");
    }

    /// Registers a device, which needs the CA's key.
    #[track_caller]
    fn register(&self, device: &str) {
        let body = registration(device, &new_key());
        let (status, body) = self.ask("POST", "/api/nebula/register", &body);
        assert_eq!(status, 200, "{body}");
    }

    fn signal(&self, name: &str) {
        let arguments = [format!("-{name}"), self.process.id().to_string()];
        assert!(Command::new("kill").args(arguments).status().unwrap().success());
    }

    fn ended(mut self) -> ExitStatus {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.process.try_wait().unwrap() {
                return status;
            }
            assert!(begun.elapsed() < PATIENCE, "it did not stop");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    #[track_caller]
    fn stop(self) {
        self.signal("TERM");
        assert!(self.ended().success());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn help_says_what_it_said() {
    let place = tempfile::tempdir().unwrap();
    let kept = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/help");
    let cases: [&[&str]; 17] = [
        &[],
        &["serve"],
        &["secrets"],
        &["secrets", "rotate"],
        &["secrets", "prune"],
        &["join"],
        &["agent"],
        &["update"],
        &["status"],
        &["leave"],
        &["verify"],
        &["confirm-clock"],
        &["operator-key"],
        &["operator-key", "new"],
        &["admin"],
        &["admin", "tenants"],
        &["admin", "tenants", "create"],
    ];
    for words in cases {
        let help = said(place.path(), &[words, &["--help"]].concat());
        let file = kept.join([&["nebula-gc"], words].concat().join("-") + ".txt");
        if std::env::var_os("UPDATE_HELP").is_some() {
            std::fs::write(&file, &help).unwrap();
        }
        let is_group = help.contains("<COMMAND>") && !help.contains("\n      --restart <COMMAND>");
        assert!(is_group || help.contains("\nExample:\n"), "{help}");
        let expected = std::fs::read_to_string(&file).unwrap_or_default();
        assert_eq!(help, expected, "{}: UPDATE_HELP=1 writes it anew", file.display());
    }
}

/// One source for both programs: only the name is another.
#[test]
fn the_small_program_has_the_commands_for_nodes_as_the_large_one_has_them() {
    let place = tempfile::tempdir().unwrap();
    let small = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_nebula-gc-agent"));
        command.env_clear().current_dir(place.path()).args(arguments).output().unwrap()
    };
    for name in ["join", "agent", "update", "status", "leave"] {
        let large = said(place.path(), &[name, "--help"]);
        let help = text(&small(&[name, "--help"]).stdout);
        let without = |help: &str| help.replace("nebula-gc-agent", "nebula-gc");
        // Lines break elsewhere.
        let words = |help: &str| help.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(words(&without(&help)), words(&without(&large)), "{name}");
        assert!(help.contains(&format!("Usage: nebula-gc-agent {name}")), "{help}");
    }
    for name in ["serve", "admin", "verify", "secrets"] {
        assert_eq!(small(&[name]).status.code(), Some(2), "{name}");
    }
    let nodes = place.path().join("nodes");
    std::fs::create_dir_all(nodes.join("half")).unwrap();
    let status = small(&["status", "--dir", "none"]);
    assert_eq!(
        text(&status.stdout),
        "No networks in none. Join one: nebula-gc-agent join --dir none LINK\n"
    );
    assert_eq!(small(&["status", "--none"]).status.code(), Some(64));
    let refused = small(&["leave", "none"]);
    assert!(text(&refused.stderr).starts_with("nebula-gc-agent: "), "{refused:?}");
}

#[test]
fn shells_complete_each_command_and_each_has_a_man_page() {
    let place = tempfile::tempdir().unwrap();
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let script = said(place.path(), &["completions", shell]);
        for word in ["join-tokens", "confirm-clock"] {
            assert!(script.contains(word), "{shell}: {word}");
        }
    }
    let bash = said(place.path(), &["completions", "bash"]);
    std::fs::write(place.path().join("completions"), bash).unwrap();
    let complete = "source completions; COMP_WORDS=(nebula-gc admin nodes s); COMP_CWORD=3; \
                    _nebula__gc nebula-gc s nodes; echo ${COMPREPLY[@]}";
    let mut shell = Command::new("bash");
    let output = shell.args(["-c", complete]).current_dir(place.path()).output().unwrap();
    let words = String::from_utf8(output.stdout).unwrap();
    assert!(words.contains("suspend") && words.contains("show"), "{words}");
    let page = said(place.path(), &["manual"]);
    assert!(page.contains(".TH nebula-gc 1") && page.contains("nebula\\-gc\\-join(1)"), "{page}");
    assert_eq!(said(place.path(), &["manual", "--out", "man1"]), "");
    for name in ["nebula-gc", "nebula-gc-admin-nodes-list", "nebula-gc-secrets-prune"] {
        let page = std::fs::read_to_string(place.path().join(format!("man1/{name}.1"))).unwrap();
        assert!(page.contains(".SH SYNOPSIS"), "{page}");
    }
    std::fs::write(place.path().join("file"), "").unwrap();
    let refused = failed(place.path(), &["manual", "--out", "file"]);
    assert!(refused.starts_with("nebula-gc: file: "), "{refused}");
}

#[test]
fn who_lost_the_operator_key_makes_another_beside_the_stopped_server() {
    let place = tempfile::tempdir().unwrap();
    let server = Server::start(place.path(), &[]);
    let running = failed(place.path(), &["operator-key", "new"]);
    assert!(running.contains("is in use by a running server"), "{running}");
    let former = server.key.clone();
    server.stop();
    let there = failed(place.path(), &["operator-key", "new"]);
    assert!(there.contains("operator.key: already exists"), "{there}");
    let file = place.path().join("nebula-gc-data/operator.key");
    std::fs::remove_file(&file).unwrap();

    let mut command = command(place.path());
    command.args(["serve", "--listen", "127.0.0.1:0"]);
    let mut without = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let lines = BufReader::new(without.stdout.take().unwrap()).lines();
    let told = lines.map_while(Result::ok).find(|line| line.starts_with("Your key ")).unwrap();
    assert!(told.contains(" not in ") && told.contains("--key-file"), "{told}");
    without.kill().unwrap();
    without.wait().unwrap();

    let elsewhere = failed(place.path(), &["operator-key", "new", "--data", "elsewhere"]);
    assert!(elsewhere.contains("is missing"), "{elsewhere}");
    let made = said(place.path(), &["operator-key", "new"]);
    assert!(made.contains("operator.key") && made.contains("operator-keys list"), "{made}");
    use std::os::unix::fs::PermissionsExt as _;
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let mut server = Server::start(place.path(), &[]);
    assert_ne!(server.key, former);
    server.make_network();
    let events = server.ask("GET", "/api/v1/events?kind=operator_key.created", &Value::Null).1;
    assert!(events.contains("nebula-gc operator-key new"), "{events}");
    server.key = former;
    assert_eq!(server.get("/api/v1/networks"), 200);
    server.stop();
    assert_eq!(said(place.path(), &["verify"]), "No inconsistencies found.\n");
}

/// As after a start with a clock that was a year ahead.
#[test]
fn it_serves_again_once_a_clock_that_events_contradict_is_confirmed() {
    use nebula_alloc::Sqlite;
    use nebula_alloc::event::{Event, append};

    let place = tempfile::tempdir().unwrap();
    let server = Server::start(place.path(), &[]);
    server.make_network();
    server.stop();
    let mut store = Sqlite::open(place.path().join("nebula-gc-data/nebula-gc.db")).unwrap();
    let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs();
    let event = Event::new(i64::try_from(now).unwrap() + 365 * 86_400, "test", "test");
    store.transaction(|tx| append(tx, &event)).unwrap();
    drop(store);
    let refused = failed(place.path(), &["serve", "--listen", "127.0.0.1:0"]);
    assert!(refused.contains("ahead of the clock"), "{refused}");
    assert!(refused.contains("nebula-gc confirm-clock"), "{refused}");
    let missing = failed(place.path(), &["confirm-clock", "--data", "elsewhere"]);
    assert!(missing.contains("is missing"), "{missing}");
    let ahead = i64::try_from(now).unwrap() + 365 * 86_400;
    let last = jiff::Timestamp::from_second(ahead).unwrap().to_string();
    assert!(refused.contains(&last) && !refused.contains("Writer::"), "{refused}");
    let confirmed = said(place.path(), &["confirm-clock"]);
    assert!(confirmed.starts_with("Time continues from 20"), "{confirmed}");
    assert!(confirmed.ends_with(&format!("; the last event is of {last}.\n")), "{confirmed}");
    let again = said(place.path(), &["confirm-clock"]);
    assert!(again.starts_with("Nothing to confirm"), "{again}");
    let server = Server::start(place.path(), &[]);
    assert_eq!(server.get("/health/ready"), 200);
    server.register("a");
}

/// As a clock leaves it that was ahead for a while.
#[test]
fn verify_names_a_certificate_that_is_no_longer_blocked_and_repairs_it_on_request() {
    let place = tempfile::tempdir().unwrap();
    let server = Server::start(place.path(), &[]);
    server.make_network();
    server.register("gone");
    let released = server.ask("POST", "/api/nebula/release/gone?projectId=demo", &json!({}));
    assert_eq!(released.0, 200);
    server.stop();
    let database = place.path().join("nebula-gc-data/nebula-gc.db");
    let sql =
        |text: &str| rusqlite::Connection::open(&database).unwrap().execute(text, []).unwrap();
    assert_eq!(sql("DELETE FROM gc_blocklist"), 1);
    let wrong = run(place.path(), &["verify"]);
    assert_eq!(wrong.status.code(), Some(1));
    assert!(text(&wrong.stdout).contains("is not blocked"));
    let repaired = said(place.path(), &["verify", "--repair"]);
    assert_eq!(repaired, "1 certificate was repaired.\nNo inconsistencies found.\n");
    assert_eq!(sql("UPDATE gc_blocklist SET revision = revision"), 1);
    let again = said(place.path(), &["verify", "--repair"]);
    assert_eq!(again, "Nothing to repair.\nNo inconsistencies found.\n");
    // A server that finds it does it by itself, and says so.
    assert_eq!(sql("DELETE FROM gc_blocklist"), 1);
    assert!(sql("DELETE FROM gc_duty") > 0);
    let mut serve = command(place.path());
    serve.args(["serve", "--listen", "127.0.0.1:0"]).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut process = serve.spawn().unwrap();
    let log = BufReader::new(process.stderr.take().unwrap()).lines();
    let told = log.map(Result::unwrap).find(|line| line.contains("were not blocked"));
    process.kill().unwrap();
    process.wait().unwrap();
    assert!(told.unwrap().contains("certificates=1"));
}

#[test]
fn plain_http_is_for_this_machine_unless_it_is_allowed() {
    let place = tempfile::tempdir().unwrap();
    for listen in ["0.0.0.0:0", "[::]:0", "192.0.2.1:0"] {
        let refused = failed(place.path(), &["serve", "--listen", listen]);
        for word in ["plain HTTP", "tls-certificate", "--allow-plain-http"] {
            assert!(refused.contains(word), "{refused}");
        }
    }
    // Nothing was made, and other commands don't mind.
    assert!(!place.path().join("nebula-gc-data").exists());
    let variable = "NEBULAGC_ALLOW_PLAIN_HTTP";
    for (argument, value) in
        [(Some("--allow-plain-http"), ""), (Some("--allow-plain-http=true"), ""), (None, "true")]
    {
        let mut command = command(place.path());
        command.args(["serve", "--listen", "0.0.0.0:0"]).args(argument).env(variable, value);
        let mut process = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines().map_while(Result::ok);
        let mut said = lines.take(8);
        assert!(said.any(|line| line.starts_with("Listening  http://0.0.0.0:")));
        process.kill().unwrap();
        process.wait().unwrap();
    }
}

/// What it logs until it serves.
fn logged(directory: &Path, command: &str) -> String {
    let mut process = Command::new("sh")
        .args(["-c", command])
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .current_dir(directory)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(process.stdout.take().unwrap()).lines().map_while(Result::ok);
    assert!(lines.any(|line| line.starts_with("Listening ")), "it ended before it served");
    process.kill().unwrap();
    let mut log = String::new();
    process.stderr.take().unwrap().read_to_string(&mut log).unwrap();
    process.wait().unwrap();
    log
}

#[test]
fn fewer_connections_are_told_only_where_files_lack() {
    let place = tempfile::tempdir().unwrap();
    let serve = format!("exec {PROGRAM} serve --listen 127.0.0.1:0");
    let few = logged(place.path(), &format!("ulimit -n 1000; {serve}"));
    assert!(few.contains("max-connections lowered") && few.contains("most=936"), "{few}");
    let fitting = format!("ulimit -n 1000; {serve} --max-connections 900");
    assert_eq!(logged(place.path(), &fitting), "");
}

#[cfg(target_os = "linux")]
#[test]
fn a_server_leaves_no_core_behind() {
    let place = tempfile::tempdir().unwrap();
    let server = Server::start(place.path(), &[]);
    let limits = format!("/proc/{}/limits", server.process.id());
    let limits = std::fs::read_to_string(limits).unwrap();
    let cores = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(cores.split_whitespace().nth(4), Some("0"), "{cores}");
}

/// Whatever of a process's memory was written to, as root alone may read it.
#[cfg(target_os = "linux")]
fn memory(id: u32) -> Option<Vec<u8>> {
    use std::os::unix::fs::FileExt;
    const PAGE: usize = 4096;
    let memory = std::fs::File::open(format!("/proc/{id}/mem")).ok()?;
    let maps = std::fs::read_to_string(format!("/proc/{id}/maps")).ok()?;
    let (mut written, mut part) = (vec![], vec![0; 1 << 20]);
    for line in maps.lines().filter(|line| line.contains(" rw")) {
        let (begin, end) = line.split(' ').next()?.split_once('-')?;
        let at = |text| usize::from_str_radix(text, 16).ok();
        for begin in (at(begin)?..at(end)?).step_by(part.len()) {
            let length = part.len().min(at(end)? - begin);
            let part = &mut part[..length];
            if memory.read_exact_at(part, begin as u64).is_ok() {
                let pages = part.chunks(PAGE).filter(|page| *page != &[0; PAGE][..page.len()]);
                written.extend(pages.flatten());
            }
        }
    }
    Some(written)
}

#[cfg(target_os = "linux")]
#[test]
fn no_key_or_passphrase_of_a_request_stays_in_memory() {
    let place = tempfile::tempdir().unwrap();
    let server = Server::start(place.path(), &[]);
    let word = "marked-".to_owned() + &"passphrase".repeat(9);
    let ca = json!({"name": "demo", "prefixes": ["10.1.0.0/16"],
        "ca": {"certificate": "none", "key": word, "passphrase": word}});
    for _ in 0..20 {
        assert_eq!(server.ask("POST", "/api/v1/networks", &ca).0, 400);
        assert_eq!(server.get("/api/v1/networks"), 200);
    }
    // The connections have ended, and the server has noticed.
    std::thread::sleep(Duration::from_millis(300));
    let Some(memory) = memory(server.process.id()) else {
        eprintln!("skipped: the memory of another process can't be read");
        return;
    };
    let holds = |secret: &str| {
        // A text of these bytes is found as fast as the standard library can.
        String::from_utf8_lossy(&memory).contains(secret)
    };
    assert!(holds("nebula-gc"), "something is found");
    assert!(!holds(&word), "a passphrase is left");
}

#[test]
fn it_serves_until_it_is_asked_to_stop() {
    let place = tempfile::tempdir().unwrap();
    let server = Server::start(place.path(), &[]);
    assert_eq!(server.scheme, "http:");
    assert_eq!(server.get("/health/ready"), 200);
    server.make_network();
    // Nothing to load anew, and no reason to end.
    server.signal("HUP");
    assert_eq!(server.get("/health/ready"), 200);
    server.stop();
    let server = Server::start(place.path(), &[]);
    server.register("a");
    let in_use = failed(place.path(), &["serve", "--listen", "127.0.0.1:0"]);
    assert!(in_use.contains("nebula-gc-data: is in use by a running server"), "{in_use}");
    server.signal("INT");
    assert!(server.ended().success());
}

/// What curl learns that takes only the certificate `NAME.crt`: the status, or why it refuses.
fn curl(directory: &Path, server: &Server, name: &str) -> Result<String, String> {
    let (port, certificate) = (server.address.port(), format!("{name}.crt"));
    let resolve = format!("localhost:{port}:127.0.0.1");
    let url = format!("https://localhost:{port}/health/ready");
    let output = Command::new("curl")
        .current_dir(directory)
        .args(["-sS", "-o", "/dev/null", "-w", "%{http_code}", "--cacert", &certificate])
        .args(["--resolve", &resolve, &url])
        .output()
        .unwrap();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}

#[test]
fn https_takes_a_new_certificate_on_sighup() {
    if !has_programs(&["curl", "openssl"]) {
        return;
    }
    let place = tempfile::tempdir().unwrap();
    let file = |name: &str| place.path().join(name);
    for name in ["old", "new"] {
        make_tls(place.path(), name);
    }
    let put = |name: &str| {
        for ending in ["crt", "key"] {
            std::fs::copy(file(&format!("{name}.{ending}")), file(&format!("used.{ending}")))
                .unwrap();
        }
    };
    put("old");
    let tls = ["--tls-certificate", "used.crt", "--tls-key", "used.key"];
    let server = Server::start(place.path(), &tls);
    assert_eq!(server.scheme, "https:");
    assert_eq!(curl(place.path(), &server, "old").unwrap(), "200");
    assert!(curl(place.path(), &server, "new").is_err());
    put("new");
    server.signal("HUP");
    let begun = Instant::now();
    while curl(place.path(), &server, "new").is_err() {
        assert!(begun.elapsed() < PATIENCE, "it serves the former certificate");
    }
    assert!(curl(place.path(), &server, "old").is_err());
    server.stop();
}

#[test]
fn once_it_has_stopped_the_one_file_is_the_whole_database() {
    let place = tempfile::tempdir().unwrap();
    let server = Server::start(place.path(), &["--shutdown-timeout", "1"]);
    server.make_network();
    // A request that does not come to an end.
    let stream = TcpStream::connect(server.address).unwrap();
    let head = "POST /api/nebula/pools HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n{";
    (&stream).write_all(head.as_bytes()).unwrap();
    for number in 0..20 {
        server.register(&format!("device-{number}"));
    }
    let (key, data) = (server.key.clone(), place.path().join("nebula-gc-data"));
    server.stop();
    for suffix in ["-wal", "-shm"] {
        let left = data.join(format!("nebula-gc.db{suffix}"));
        assert!(!left.exists(), "{} is left", left.display());
    }
    let copy = place.path().join("elsewhere");
    std::fs::create_dir(&copy).unwrap();
    for name in ["nebula-gc.db", "secrets.json", "operator.key"] {
        std::fs::copy(data.join(name), copy.join(name)).unwrap();
    }
    assert!(Command::new("chmod").arg("700").arg(&copy).status().unwrap().success());
    assert_eq!(
        said(place.path(), &["verify", "--data", "elsewhere"]),
        "No inconsistencies found.\n"
    );
    let server = Server::start(place.path(), &["--data", "elsewhere"]);
    assert_eq!(server.key, key, "it began anew");
    let (status, body) =
        server.ask("GET", "/api/nebula/status/device-19?projectId=demo", &Value::Null);
    assert_eq!((status, body.contains("10.1.0.20")), (200, true), "{body}");
    server.stop();
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let place = tempfile::tempdir().unwrap();
    let server = Server::start(place.path(), &["--shutdown-timeout", "600"]);
    // A request whose body does not come is under way.
    let mut stream = TcpStream::connect(server.address).unwrap();
    let key = &server.key;
    write!(
        stream,
        "POST /api/nebula/pools HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {key}\r\n\
         Content-Type: application/json\r\nContent-Length: 9\r\n\r\n{{"
    )
    .unwrap();
    // The answer to a later request says that the earlier one was read.
    assert_eq!(server.get("/health/ready"), 200);
    server.signal("INT");
    let begun = Instant::now();
    while TcpStream::connect(server.address).is_ok() {
        assert!(begun.elapsed() < PATIENCE, "it goes on taking connections");
    }
    server.signal("INT");
    assert_eq!(server.ended().code(), Some(130));
    assert!(begun.elapsed() < Duration::from_secs(9), "it waited for the body");
}

#[test]
fn settings_come_from_flags_the_environment_and_a_file() {
    let place = tempfile::tempdir().unwrap();
    let file = |text: &str| std::fs::write(place.path().join("gc.toml"), text).unwrap();
    file("data = \"from-file\"\nlisten = \"127.0.0.1:0\"\n");
    let mut flag = command(place.path());
    flag.args(["secrets", "rotate", "--data", "from-flag", "--config", "gc.toml"]);
    let output = flag.env("NEBULAGC_DATA", "from-variable").output().unwrap();
    assert!(text(&output.stderr).starts_with("nebula-gc: from-flag"), "{}", text(&output.stderr));
    let mut variable = command(place.path());
    variable.args(["secrets", "rotate"]).env("NEBULAGC_CONFIG", "gc.toml");
    let output = variable.env("NEBULAGC_DATA", "from-variable").output().unwrap();
    assert!(text(&output.stderr).starts_with("nebula-gc: from-variable"));
    let from_file = failed(place.path(), &["secrets", "rotate", "--config", "gc.toml"]);
    assert!(from_file.starts_with("nebula-gc: from-file"), "{from_file}");

    file("data = \"a\"\nlisten-on = \"b\"\n");
    let unknown = failed(place.path(), &["serve", "--config", "gc.toml"]);
    assert_eq!(unknown, "nebula-gc: gc.toml, line 2: listen-on: unknown setting\n");
    let missing = failed(place.path(), &["serve", "--config", "none.toml"]);
    assert!(missing.starts_with("nebula-gc: config: none.toml: No such file"), "{missing}");
    let mut misspelt = command(place.path());
    misspelt.args(["serve", "--tls-certificate", "a", "--tls-key", "b", "--listen", "127.0.0.1:0"]);
    let output = misspelt.env("NEBULAGC_LISTN", "x").output().unwrap();
    assert!(text(&output.stderr).contains("NEBULAGC_LISTN"), "{}", text(&output.stderr));
}

#[test]
fn other_secrets_than_the_databases_are_refused_by_name() {
    refuse_other_secrets([&[], &[]]);
}

#[test]
fn other_secrets_than_those_of_a_postgresql_are_refused_by_name() {
    let Some(cluster) = postgres::cluster_in_memory() else { return };
    let (own, other) = (cluster.schema(), cluster.schema());
    refuse_other_secrets([&["--database", &own], &["--database", &other]]);
}

/// Of the first of two databases.
fn refuse_other_secrets(databases: [&[&str]; 2]) {
    let (place, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for (place, database) in [&place, &other].into_iter().zip(databases) {
        Server::start(place.path(), database).stop();
    }
    let [database, _] = databases;
    let secrets = |place: &TempDir| place.path().join("nebula-gc-data/secrets.json");
    let own = std::fs::read(secrets(&place)).unwrap();
    std::fs::copy(secrets(&other), secrets(&place)).unwrap();
    let serve = [&["serve", "--listen", "127.0.0.1:0"], database].concat();
    let prune = [&["secrets", "prune"], database].concat();
    let refused = failed(place.path(), &serve);
    let reason = "hashing key 1 is not the one that this database was written with";
    assert!(refused.contains(reason), "{refused}");
    let refused = failed(place.path(), &prune);
    assert!(refused.contains(reason), "{refused}");
    // One of two lists is enough.
    let (ours, theirs) = (json_of(&own), json_of(&std::fs::read(secrets(&other)).unwrap()));
    let mixed = json!({"hashing": ours["hashing"], "sealing": theirs["sealing"]});
    std::fs::write(secrets(&place), mixed.to_string()).unwrap();
    assert!(failed(place.path(), &serve).contains("sealing key 1 is not the one"));
    let mut renumbered = ours.clone();
    renumbered["hashing"][0]["id"] = json!(7);
    std::fs::write(secrets(&place), renumbered.to_string()).unwrap();
    assert!(failed(place.path(), &serve).contains("hashing key 1 is missing"));
    std::fs::write(secrets(&place), own).unwrap();
    Server::start(place.path(), database).stop();
}

fn json_of(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap()
}

/// Rotates the secrets of a server over this database, and drops the former ones.
fn rotate_and_prune(database: &[&str]) {
    let place = tempfile::tempdir().unwrap();
    let server = Server::start(place.path(), database);
    server.make_network();
    server.register("a");
    server.stop();
    let rotated = said(place.path(), &["secrets", "rotate"]);
    assert!(rotated.contains("in use from the server's next start"), "{rotated}");
    let prune = [&["secrets", "prune"], database].concat();
    // Nothing was started since: all is as it was.
    assert_eq!(
        said(place.path(), &prune),
        "hashing key 1: kept for 1 operator keys\nsealing key 1: kept for 1 CA keys, 1 key of the server list\n"
    );
    let server = Server::start(place.path(), database);
    server.stop();
    assert_eq!(
        said(place.path(), &prune),
        "hashing key 1: kept for 1 operator keys\nsealing key 1: dropped\n"
    );
    let server = Server::start(place.path(), database);
    // Of the key as it was before; its hash becomes another meanwhile, which the next waits for.
    server.register("b");
    server.register("c");
    server.stop();
    assert_eq!(said(place.path(), &prune), "hashing key 1: dropped\n");
    assert_eq!(said(place.path(), &prune), "");
    let server = Server::start(place.path(), database);
    server.register("d");
    server.stop();
    let file = json_of(&std::fs::read(place.path().join("nebula-gc-data/secrets.json")).unwrap());
    let ids = |list: &str| {
        file[list].as_array().unwrap().iter().map(|key| key["id"].clone()).collect::<Vec<_>>()
    };
    assert_eq!([ids("hashing"), ids("sealing")], [[json!(2)], [json!(2)]]);
}

#[test]
fn rotated_secrets_take_over_what_was_written_before() {
    rotate_and_prune(&[]);
}

#[test]
fn rotated_secrets_stay_their_owners() {
    let (place, data) = data_without(&[]);
    let file = data.join("secrets.json");
    if std::os::unix::fs::chown(&file, Some(65_534), Some(65_534)).is_err() {
        eprintln!("skipped: this process can't give files away");
        return;
    }
    said(place.path(), &["secrets", "rotate"]);
    let found = file.metadata().unwrap();
    assert_eq!((found.uid(), found.gid(), found.mode() & 0o777), (65_534, 65_534, 0o600));
}

#[test]
fn rotated_secrets_take_over_on_postgresql() {
    let Some(cluster) = postgres::cluster_in_memory() else { return };
    rotate_and_prune(&["--database", &cluster.schema()]);
}

#[test]
fn servers_over_one_postgresql_need_the_same_secrets() {
    let Some(cluster) = postgres::cluster_in_memory() else { return };
    let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let url = cluster.schema();
    let database = ["--database", &url];
    let one = Server::start(first.path(), &database);
    one.make_network();
    let serve = [&["serve", "--listen", "127.0.0.1:0"][..], &database].concat();
    let refused = failed(second.path(), &serve);
    assert!(refused.contains("secrets.json: is missing"), "{refused}");
    let file = second.path().join("nebula-gc-data/secrets.json");
    assert!(!file.exists());
    // Staged keys reach both before either writes with them.
    said(first.path(), &["secrets", "rotate", "--stage"]);
    assert!(failed(first.path(), &["secrets", "rotate", "--stage"]).contains("staged already"));
    std::fs::copy(first.path().join("nebula-gc-data/secrets.json"), &file).unwrap();
    let mut two = Server::start(second.path(), &database);
    two.key.clone_from(&one.key);
    two.register("a");
    one.register("b");
    one.stop();
    said(first.path(), &["secrets", "rotate"]);
    let one = Server::start(first.path(), &database);
    let key = std::fs::read_to_string(first.path().join("nebula-gc-data/operator.key")).unwrap();
    assert_eq!(one.key, key.trim_end());
    one.register("c");
    one.register("d");
    // The one that has not put them to use reads what is written with them.
    two.register("e");
}

#[test]
fn secrets_may_lie_elsewhere() {
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("elsewhere.json");
    let elsewhere = ["--secrets-file", "elsewhere.json"];
    Server::start(place.path(), &elsewhere).stop();
    assert!(file.exists() && !place.path().join("nebula-gc-data/secrets.json").exists());
    let before = std::fs::read(&file).unwrap();
    said(place.path(), &[&["secrets", "rotate"][..], &elsewhere].concat());
    assert_ne!(std::fs::read(&file).unwrap(), before);
    use std::os::unix::fs::PermissionsExt as _;
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    // As container platforms give it to a group.
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o440)).unwrap();
    Server::start(place.path(), &elsewhere).stop();
    for open in [0o644, 0o604, 0o620] {
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(open)).unwrap();
        let refused = failed(place.path(), &[&["secrets", "rotate"][..], &elsewhere].concat());
        assert!(refused.contains("elsewhere.json: is accessible to other users"), "{refused}");
    }
}

/// What a server says that does not begin to serve.
#[track_caller]
fn does_not_serve(directory: &Path, arguments: &[&str]) -> String {
    let mut command = command(directory);
    command.args(["serve", "--listen", "127.0.0.1:0"]).args(arguments);
    let mut process = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
    if !line.is_empty() {
        process.kill().unwrap();
    }
    let output = process.wait_with_output().unwrap();
    assert_eq!((line.as_str(), output.status.code()), ("", Some(1)));
    text(&output.stderr)
}

/// A data directory as a server that was stopped leaves it, without some of its files.
fn data_without(names: &[&str]) -> (TempDir, PathBuf) {
    let place = tempfile::tempdir().unwrap();
    let server = Server::start(place.path(), &[]);
    server.make_network();
    server.stop();
    let data = place.path().join("nebula-gc-data");
    for name in names {
        std::fs::remove_file(data.join(name)).unwrap();
    }
    (place, data)
}

#[test]
fn a_server_whose_database_is_lost_does_not_begin_anew() {
    for (lost, told) in [
        (&["nebula-gc.db", "operator.key"][..], "secrets.json"),
        (&["nebula-gc.db", "secrets.json"], "operator.key"),
        (&["nebula-gc.db"], "secrets.json"),
    ] {
        for (is_empty, what) in [(false, "missing"), (true, "empty")] {
            let (place, data) = data_without(lost);
            let database = data.join("nebula-gc.db");
            if is_empty {
                std::fs::write(&database, "").unwrap();
            }
            let key = std::fs::read(data.join("operator.key")).ok();
            let refused = does_not_serve(place.path(), &[]);
            let reason = format!(
                "nebula-gc.db: is {what}, although {told} exists: restore the database, or move \
                 secrets.json and operator.key away to start over"
            );
            assert!(refused.contains(&reason), "{refused}");
            assert_eq!(std::fs::read(data.join("operator.key")).ok(), key);
            assert_eq!(database.metadata().ok().map(|found| found.len()), is_empty.then_some(0));
            for name in ["secrets.json", "operator.key"] {
                let _ = std::fs::remove_file(data.join(name));
            }
            Server::start(place.path(), &[]).stop();
        }
    }
}

#[test]
fn a_first_start_that_was_cut_off_goes_on() {
    // Before the database had anything in it.
    let place = tempfile::tempdir().unwrap();
    let data = place.path().join("nebula-gc-data");
    std::fs::create_dir(&data).unwrap();
    assert!(Command::new("chmod").arg("700").arg(&data).status().unwrap().success());
    std::fs::write(data.join("nebula-gc.db"), "").unwrap();
    Server::start(place.path(), &[]).stop();
    // With tables only, with or without secrets; then with secrets, with or without the key's file.
    let cut_off = "DELETE FROM gc_operator_key; DELETE FROM gc_network";
    let earlier = format!("{cut_off}; DELETE FROM gc_secret_check");
    for (sql, lost) in [
        (earlier.as_str(), &["secrets.json", "operator.key"][..]),
        (&earlier, &["operator.key"]),
        (cut_off, &["operator.key"]),
        (cut_off, &[]),
    ] {
        let (place, data) = data_without(lost);
        let database = rusqlite::Connection::open(data.join("nebula-gc.db")).unwrap();
        database.execute_batch(&format!("PRAGMA foreign_keys = OFF; {sql}")).unwrap();
        drop(database);
        let kept = std::fs::read_to_string(data.join("operator.key")).ok();
        let server = Server::start(place.path(), &[]);
        assert!(kept.is_none_or(|kept| kept.trim_end() == server.key));
        assert_eq!(server.get("/api/v1/networks"), 200);
        server.stop();
    }
}

#[test]
fn an_operator_key_is_never_overwritten() {
    let (place, data) = data_without(&[]);
    let key = std::fs::read(data.join("operator.key")).unwrap();
    let database = rusqlite::Connection::open(data.join("nebula-gc.db")).unwrap();
    let sql = "PRAGMA foreign_keys = OFF; DELETE FROM gc_operator_key; DELETE FROM gc_secret_check";
    database.execute_batch(sql).unwrap();
    drop(database);
    let refused = does_not_serve(place.path(), &[]);
    assert!(refused.contains("operator.key: exists, although the database is new"), "{refused}");
    assert_eq!(std::fs::read(data.join("operator.key")).unwrap(), key);
    let Some(cluster) = postgres::cluster_in_memory() else { return };
    let refused = does_not_serve(place.path(), &["--database", &cluster.schema()]);
    assert!(refused.contains("operator.key: exists, although the database is new"), "{refused}");
    assert_eq!(std::fs::read(data.join("operator.key")).unwrap(), key);
}

#[test]
fn what_is_wrong_with_a_database_is_told_with_its_path() {
    let (place, data) = data_without(&[]);
    let database = data.join("nebula-gc.db");
    let half = database.metadata().unwrap().len() / 2 / 4096 * 4096;
    let file = std::fs::File::options().write(true).open(&database).unwrap();
    file.set_len(half).unwrap();
    let told = failed(place.path(), &["verify"]);
    assert!(told.contains("nebula-gc-data/nebula-gc.db: "), "{told}");
    file.set_len(half + 100).unwrap();
    let told = does_not_serve(place.path(), &[]);
    assert!(told.contains(": put a whole copy in its place"), "{told}");
    file.set_len(0).unwrap();
    let told = failed(place.path(), &["verify"]);
    assert!(told.contains("nebula-gc-data/nebula-gc.db: is empty"), "{told}");
    let told = does_not_serve(place.path(), &["--database", "/some/path"]);
    let reason = "is not the address of a PostgreSQL server, expected postgresql://user:password@";
    assert!(told.contains(reason), "{told}");
}
