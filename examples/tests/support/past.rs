//! A server in this process whose clock is behind, over the files of one that is started after it:
//! what it issues is old then.

use std::fs::{DirBuilder, OpenOptions};
use std::io::Write as _;
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use nebula_alloc::Sqlite;
use nebula_gc_http::server::{ServerError, serve};
use nebula_gc_http::{ServerSecrets, Service};
use tokio::net::TcpListener;
use tokio::sync::oneshot::{Sender, channel};
use tokio::task::JoinHandle;

pub struct Past {
    pub address: SocketAddr,
    pub operator_key: String,
    stop: Sender<()>,
    serving: JoinHandle<Result<(), ServerError>>,
}

impl Past {
    /// Serves from a directory that is not there yet, so many seconds ago.
    pub async fn start(data: &Path, seconds: i64) -> Self {
        DirBuilder::new().mode(0o700).create(data).expect("it is new");
        let secrets = ServerSecrets::generate().expect("the system has randomness");
        keep(&data.join("secrets.json"), &secrets.to_json());
        let database = Sqlite::open(data.join("nebula-gc.db")).expect("a new one");
        let key_file = data.join("operator.key");
        let file = key_file.clone();
        let write_key = move |key: &nebula_gc_http::Bearer| {
            keep(&file, key.expose());
            Ok(())
        };
        let clock = move || now() - seconds;
        let service = Service::start(database, secrets, clock, write_key).expect("it starts");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let (stop, stopped) = channel();
        let serving = tokio::spawn(serve(listener, Arc::new(service), async move {
            drop(stopped.await);
        }));
        let operator_key = std::fs::read_to_string(key_file).expect("it was kept");
        Self { address, operator_key, stop, serving }
    }

    /// Ends it, so that another server can use its files.
    pub async fn end(self) {
        drop(self.stop);
        self.serving.await.expect("no panic").expect("it ends in order");
    }
}

fn keep(file: &Path, text: &str) {
    let mut options = OpenOptions::new();
    let file = options.write(true).create_new(true).mode(0o600).open(file);
    file.and_then(|mut file| file.write_all(text.as_bytes())).expect("it can be written");
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    i64::try_from(since.as_secs()).expect("in range")
}
