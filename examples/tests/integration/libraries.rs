//! Do the examples about the client, the service and the leases do what they show?

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use nebula_alloc::rusqlite::Connection;
use nebula_gc_http::client::NodeQuery;
use nebula_gc_http::client::{Client, ClientError};
use nebula_gc_http::wire::{NewJoinTokenBody, NodeState};
use tempfile::TempDir;

use crate::support::server::program;

fn run(name: &str, directory: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(program(name));
    command.current_dir(directory).args(arguments).output().expect("it is built with the tests")
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).expect("UTF-8")
}

#[test]
fn a_machine_and_its_address_are_stored_together_or_not_at_all() {
    let home = TempDir::new().expect("a directory");
    let add = |names: &[&str]| {
        let arguments = [&["inventory.db"][..], names].concat();
        run("allocate-in-your-transaction", home.path(), &arguments)
    };
    let added = add(&["a", "b"]);
    assert_eq!(text(added.stdout), "a 10.42.0.1\nb 10.42.0.2\n");
    // The name is taken: no address is used up by it.
    assert_eq!(add(&["a"]).status.code(), Some(1));
    // The last of the pool's six addresses, and no machine without one.
    let last = add(&["c", "d", "e", "f", "g"]);
    assert_eq!(last.status.code(), Some(1));
    assert!(text(last.stdout).ends_with("f 10.42.0.6\n"));

    let connection = Connection::open(home.path().join("inventory.db")).expect("it is there");
    let count = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, i64>(0)).expect("one");
    assert_eq!(count("SELECT count(*) FROM machine WHERE address IS NOT NULL"), 6);
    assert_eq!(count("SELECT count(*) FROM machine"), 6);
    assert_eq!(count("SELECT count(*) FROM alloc_lease"), 6);
}

/// The example with the control plane inside; dropping it kills it.
struct Embedded {
    process: Child,
    url: String,
}

impl Embedded {
    fn start(directory: &Path) -> Self {
        let mut process = Command::new(program("embed-control-plane"))
            .current_dir(directory)
            .stdout(Stdio::piped())
            .spawn()
            .expect("it is built with the tests");
        let mut line = String::new();
        let mut lines = BufReader::new(process.stdout.take().expect("piped"));
        lines.read_line(&mut line).expect("it says where it serves");
        let url = line.split(' ').nth(1).expect("a URL").to_owned();
        Self { process, url }
    }
}

impl Drop for Embedded {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[tokio::test]
async fn a_device_enrols_at_a_control_plane_inside_another_application() {
    let home = TempDir::new().expect("a directory");
    let mut plane = Embedded::start(home.path());
    let key = fs::read_to_string(home.path().join("embedded-data/operator.key")).expect("kept");
    let operator = Client::new(&plane.url).expect("a URL").with_key(key.trim());
    let new = NewJoinTokenBody { name: "t".to_owned(), ..NewJoinTokenBody::default() };
    let token = operator.create_join_token("office", &new).await.expect("it may");
    let link = token.link.expect("the server knows its URL");

    let enrolled = run("enrol-with-client", home.path(), &[link.expose(), "laptop"]);
    assert!(enrolled.status.success(), "{enrolled:?}");
    let shown = text(enrolled.stdout);
    assert!(shown.starts_with("laptop is 10.42.0.1/16 in office\n"), "{shown}");
    let node = home.path().join("node");
    let files = ["ca.crt", "nebula.yml", "node.crt", "node.key", "node.token"];
    for name in files {
        let mode = fs::metadata(node.join(name)).expect(name).permissions().mode() & 0o777;
        let is_secret = ["node.key", "node.token"].contains(&name);
        assert_eq!(mode, if is_secret { 0o600 } else { 0o644 }, "{name}");
    }
    // The one use of the link is used up; the same device may still ask again.
    let again = run("enrol-with-client", home.path(), &[link.expose(), "laptop"]);
    assert!(again.status.success(), "{again:?}");
    let other = run("enrol-with-client", home.path(), &[link.expose(), "phone", "other"]);
    assert_eq!(other.status.code(), Some(1));

    let query = NodeQuery { state: Some(NodeState::Active), ..NodeQuery::default() };
    let nodes =
        operator.list_nodes("office", &query).next().await.expect("it may").expect("a page");
    let [node] = nodes.as_slice() else { panic!("{nodes:?}") };
    // No Nebula has taken over yet what it was given.
    assert!(node.name == "laptop" && node.applied.is_none(), "{node:?}");

    // A route of the application's own, over the same service.
    let pem = operator.read_network_ca("office").await.expect("it may");
    assert_eq!(get(&plane.url, "/certificates/office"), pem);
    assert_eq!(get(&plane.url, "/"), "our own page\n");

    // It stops cleanly: the database is one file.
    let id = plane.process.id().to_string();
    assert!(Command::new("kill").arg(id).status().expect("kill is there").success());
    assert!(plane.process.wait().expect("it is our own child").success());
    let log = home.path().join("embedded-data/nebula-gc.db-wal");
    assert!(!log.exists());
    let gone = operator.read_network("office").await.expect_err("it has stopped");
    assert!(matches!(gone, ClientError::Unreachable { .. }), "{gone}");
}

/// What a path answers, without a credential.
fn get(url: &str, path: &str) -> String {
    use std::io::{Read, Write};
    let address = url.strip_prefix("http://").expect("plain HTTP");
    let mut stream = std::net::TcpStream::connect(address).expect("it serves");
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).expect("it reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it answers");
    answer.split_once("\r\n\r\n").expect("a head and a body").1.to_owned()
}
