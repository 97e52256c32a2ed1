//! A control plane in this process, on the underlay, that can be away and come back.

use std::fs::{DirBuilder, OpenOptions};
use std::future::pending;
use std::io::Write as _;
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nebula_alloc::Sqlite;
use nebula_gc_http::api;
use nebula_gc_http::client::{Client, ServerUrl};
use nebula_gc_http::server::{Server, Tls};
use nebula_gc_http::server_list::Pin;
use nebula_gc_http::wire::NewJoinTokenBody;
use nebula_gc_http::{Options, Pace, ServerSecrets, Service};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::oneshot::{Sender, channel};

use super::api::Api;
use super::underlay::Host;

/// The files of a control plane, and its server while that runs.
pub struct Plane {
    pub address: SocketAddr,
    data: TempDir,
    pace: Pace,
    running: Option<Running>,
    /// The port and the files of certificate and key of a listener with TLS, which devices use then.
    tls: Option<(u16, [PathBuf; 2])>,
    /// The operator's.
    pub api: Api,
    // Deleted last.
    pub host: Host,
}

struct Running {
    stop: Sender<()>,
    thread: JoinHandle<()>,
}

impl Plane {
    /// Starts one on a host of the underlay, in whose namespace the calling thread is from now on.
    pub fn start(host: Host, pace: Pace) -> Self {
        host.enter();
        let address = SocketAddr::new(host.address.parse().expect("an address"), 8080);
        let data = tempfile::tempdir().expect("a directory");
        let api = Api::new(address, "");
        let mut plane = Self { address, data, pace, running: None, tls: None, api, host };
        plane.come_back();
        let key = std::fs::read_to_string(plane.file("operator.key")).expect("it was kept");
        plane.api = Api::new(address, key.trim());
        plane
    }

    /// Serves again.
    pub fn come_back(&mut self) {
        assert!(self.running.is_none(), "it serves already");
        let (stop, stopped) = channel::<()>();
        let (served, serving) = std::sync::mpsc::channel();
        let (data, address, pace) = (self.data.path().to_owned(), self.address, self.pace);
        let tls = self.tls.clone();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(async {
                let service = Arc::new(service(&data, pace));
                let router = api::router(Arc::clone(&service));
                let server = Server::new(listen(address), router.clone());
                let encrypted = tls.map(|(port, [certificate, key])| {
                    let listener = listen(SocketAddr::new(address.ip(), port));
                    let tls = Tls::load(certificate, key).expect("its files");
                    tokio::spawn(Server::new(listener, router).tls(tls).run(pending()))
                });
                served.send(()).expect("it is waited for");
                let upkeep = tokio::spawn(upkeep(Arc::clone(&service)));
                let url = format!("http://{address}");
                let ended = server.public_url(url).run(async { drop(stopped.await) }).await;
                ended.expect("it ends in order");
                upkeep.abort();
                if let Some(encrypted) = encrypted {
                    encrypted.abort();
                }
                service.close().await;
            });
        });
        serving.recv_timeout(Duration::from_secs(20)).expect("it serves");
        self.running = Some(Running { stop, thread });
    }

    /// Stops serving.
    pub fn go_away(&mut self) {
        if let Some(running) = self.running.take() {
            drop(running.stop);
            running.thread.join().expect("it did not panic");
        }
    }

    /// Serves at another address from now on.
    pub fn move_to(&mut self, address: SocketAddr) {
        self.go_away();
        self.address = address;
        self.api.server = address;
        self.come_back();
    }

    /// Serves devices over TLS on another port from now on, with this certificate and key.
    pub fn serve_tls(&mut self, port: u16, files: [PathBuf; 2]) {
        self.go_away();
        self.tls = Some((port, files));
        self.come_back();
    }

    /// Tells nodes which servers there are; the list's serial.
    pub async fn set_servers(&self, list: &Value) -> i64 {
        let set = self.api.put("/servers", list).await.expect(200);
        set["serial"].as_i64().expect("a number")
    }

    fn file(&self, name: &str) -> PathBuf {
        self.data.path().join(name)
    }

    /// Makes a network.
    pub async fn network(&self, name: &str, prefix: &str, more: Value) {
        let mut network = json!({"name": name, "prefixes": [prefix]});
        let more = more.as_object().cloned().unwrap_or_default();
        network.as_object_mut().expect("an object").extend(more);
        self.api.post("/networks", &network).await.expect(201);
    }

    /// A join link.
    pub async fn link(&self, network: &str, token: Value) -> String {
        let made = self.api.post(&format!("/networks/{network}/join-tokens"), &token).await;
        made.expect(201)["link"].as_str().expect("text").to_owned()
    }

    /// Where it serves TLS.
    pub fn tls_url(&self) -> String {
        let (port, _) = self.tls.as_ref().expect("it serves TLS");
        format!("https://{}:{port}", self.address.ip())
    }

    /// A join link of the listener with TLS, which has this pin.
    pub async fn pinned_link(&self, network: &str, pin: Pin, token: &NewJoinTokenBody) -> String {
        let server = ServerUrl { url: self.tls_url(), pins: vec![pin.0] };
        let client = Client::over(vec![server]).expect("a URL").with_key(self.api.secret());
        let made = client.create_join_token(network, token).await.expect("it may");
        made.link.expect("the server knows its URL").expose().to_owned()
    }

    /// A node by its name.
    pub async fn node(&self, network: &str, name: &str) -> Value {
        let path = format!("/networks/{network}/nodes?limit=100");
        let nodes = self.api.get(&path).await.expect(200);
        let mut nodes = nodes["items"].as_array().expect("a list").iter();
        nodes.find(|node| node["name"] == name).cloned().expect("there is one of this name")
    }

    /// How a node is addressed below `/api/v1`.
    pub async fn path(&self, network: &str, name: &str) -> String {
        let node = self.node(network, name).await;
        format!("/networks/{network}/nodes/{}", node["id"].as_str().expect("text"))
    }

    /// Which nodes have not applied the present revision.
    pub async fn unapplied(&self, network: &str) -> Value {
        let revision = self.api.get(&format!("/networks/{network}")).await.expect(200);
        let revision = revision["revision"].as_i64().expect("a number");
        let path = format!("/networks/{network}/revisions/{revision}/unapplied");
        self.api.get(&path).await.expect(200)
    }
}

impl Drop for Plane {
    fn drop(&mut self) {
        // A test that fails has not to fail once more.
        if let Some(running) = self.running.take() {
            drop(running.stop);
            let _ = running.thread.join();
        }
    }
}

/// The time it was away, the port is in the state TIME-WAIT.
fn listen(address: SocketAddr) -> TcpListener {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_reuseaddr(true).expect("an option");
    socket.bind(address).expect("it is free");
    socket.listen(1024).expect("it listens")
}

async fn upkeep(service: Arc<Service>) {
    loop {
        let _ = service.upkeep().await;
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

fn service(data: &Path, pace: Pace) -> Service {
    let kept = data.join("secrets.json");
    let secrets = match std::fs::read_to_string(&kept) {
        Ok(text) => ServerSecrets::from_json(&text).expect("its own secrets"),
        Err(_) => {
            let secrets = ServerSecrets::generate().expect("the system has randomness");
            keep(&kept, &secrets.to_json());
            secrets
        }
    };
    let database = Sqlite::open(data.join("nebula-gc.db")).expect("a database");
    let file = data.join("operator.key");
    let write_key = move |key: &nebula_gc_http::Bearer| {
        keep(&file, key.expose());
        Ok(())
    };
    let service = Service::start(database, secrets, now, write_key).expect("it starts");
    let mut options = Options::default();
    options.pace = pace;
    service.with_options(options)
}

fn keep(file: &Path, text: &str) {
    DirBuilder::new().recursive(true).mode(0o700).create(file.parent().expect("a directory")).ok();
    let mut options = OpenOptions::new();
    let file = options.write(true).create_new(true).mode(0o600).open(file);
    file.and_then(|mut file| file.write_all(text.as_bytes())).expect("it can be written");
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    i64::try_from(since.as_secs()).expect("in range")
}
