//! A running `http-server`, as a process of its own.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// The process; dropping it kills it.
pub struct Server {
    process: Child,
    pub address: SocketAddr,
    pub operator_key: String,
    /// What it printed until it served.
    pub guide: String,
}

/// The example as Cargo built it for this test.
pub fn program(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("a test knows its own path");
    let profile = test.ancestors().nth(2).expect("target/PROFILE/deps/TEST");
    profile.join("examples").join(name)
}

impl Server {
    /// Starts one over `data`, on a free port of loopback, and waits until it serves.
    pub fn start(data: &Path) -> Self {
        Self::start_on(data, "127.0.0.1:0".parse().expect("an address"))
    }

    pub fn start_on(data: &Path, listen: SocketAddr) -> Self {
        Self::spawn(Command::new(program("http-server")), data, listen)
    }

    /// Starts one that logs only what this filter lets through (`RUST_LOG`).
    pub fn start_logging(data: &Path, filter: &str) -> Self {
        let mut command = Command::new(program("http-server"));
        command.env("RUST_LOG", filter);
        Self::spawn(command, data, "127.0.0.1:0".parse().expect("an address"))
    }

    /// Starts one by a command of the caller's own; `data` is relative to its directory.
    pub fn spawn(mut command: Command, data: &Path, listen: SocketAddr) -> Self {
        let mut process = command
            .args(["--listen", &listen.to_string(), "--data"])
            .arg(data)
            .stdout(Stdio::piped())
            .spawn()
            .expect("the example is built with the tests");
        let mut lines = BufReader::new(process.stdout.take().expect("piped")).lines();
        let mut guide = String::new();
        while !guide.contains("nebula -config") {
            let line = lines.next().expect("the server ended before it served").expect("UTF-8");
            guide += &(line + "\n");
        }
        let url = guide.split_once("http://").expect("it prints where it serves").1;
        let address = url.split('/').next().and_then(|text| text.parse().ok()).expect("an address");
        let directory = command.get_current_dir().unwrap_or(Path::new(""));
        let operator_key = std::fs::read_to_string(directory.join(data).join("operator.key"))
            .expect("kept at the first start");
        Self { process, address, operator_key: operator_key.trim_end().to_owned(), guide }
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Kills it at once (SIGKILL), as a crash does.
    pub fn kill(&mut self) {
        self.process.kill().expect("it is our own child");
        self.process.wait().expect("it is our own child");
    }

    /// Sends a signal by name and waits for the end, 20 s at most.
    pub fn stop(&mut self, signal: &str) -> ExitStatus {
        self.signal(signal);
        self.wait()
    }

    /// Sends a signal by name.
    pub fn signal(&self, name: &str) {
        let sent =
            Command::new("kill").args([&format!("-{name}"), &self.id().to_string()]).status();
        assert!(sent.expect("kill is there").success());
    }

    /// Waits for the end, 20 s at most.
    pub fn wait(&mut self) -> ExitStatus {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            if let Some(status) = self.process.try_wait().expect("it is our own child") {
                return status;
            }
            assert!(Instant::now() < deadline, "it did not stop");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
