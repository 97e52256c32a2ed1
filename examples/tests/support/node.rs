//! A node of an overlay: a directory as its owner has it, and `nebula` running in it.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::peers::Peer;
use super::underlay::Host;
use super::unpack::unpack;

/// A node that runs; dropping it ends it, and shows its log if the test has failed.
pub struct Node {
    pub name: &'static str,
    /// On the overlay, without a prefix length.
    pub addresses: Vec<String>,
    directory: TempDir,
    process: Option<Child>,
    // Deleted after the process has ended.
    pub host: Host,
}

impl Node {
    /// One with a new key, made by the real tool.
    pub fn new(name: &'static str, host: Host, peer: &Peer) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        peer.nebula_cert(
            directory.path(),
            &["keygen", "-out-key", "node.key", "-out-pub", "node.pub"],
        );
        Self { name, addresses: vec![], directory, process: None, host }
    }

    /// One that has these files: names and contents.
    pub fn with(name: &'static str, host: Host, files: &[(&str, &str)]) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let node = Self { name, addresses: vec![], directory, process: None, host };
        for (file, contents) in files {
            node.write(file, contents);
        }
        node
    }

    pub fn write(&self, file: &str, contents: &str) {
        fs::write(self.directory().join(file), contents).expect("it can be written");
    }

    pub fn public_key(&self) -> String {
        fs::read_to_string(self.directory().join("node.pub")).expect("it was made")
    }

    /// Makes another key beside the one it has, and returns the public one.
    pub fn next_key(&self, peer: &Peer) -> String {
        let pair = ["keygen", "-out-key", "next.key", "-out-pub", "next.pub"];
        peer.nebula_cert(self.directory(), &pair);
        fs::read_to_string(self.directory().join("next.pub")).expect("it was made")
    }

    /// Puts that key in the place of the one it has.
    pub fn take_next_key(&self) {
        for (next, file) in [("next.key", "node.key"), ("next.pub", "node.pub")] {
            let (next, file) = (self.directory().join(next), self.directory().join(file));
            fs::rename(next, file).expect("it was made");
        }
    }

    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Starts `nebula` as the bundle's README says.
    pub fn start(&mut self, zip: &[u8], peer: &Peer) {
        unpack(zip, self.directory());
        self.run(peer);
    }

    /// Starts `nebula` with the files that are there.
    pub fn run(&mut self, peer: &Peer) {
        self.run_with(peer, Path::new("nebula.yml"));
    }

    /// Starts `nebula` with this configuration; the directory's own is tried first.
    pub fn run_with(&mut self, peer: &Peer, configuration: &Path) {
        peer.accepts(self.directory());
        let log = File::create(self.log()).expect("it can be written");
        let process = self
            .host
            .command(peer.nebula())
            .arg("-config")
            .arg(configuration)
            .current_dir(self.directory())
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a file"))
            .stderr(log)
            .spawn();
        self.process = Some(process.expect("ip is there"));
    }

    /// Updates the running `nebula` as the bundle's README says.
    pub fn update(&self, zip: &[u8], peer: &Peer) {
        unpack(zip, self.directory());
        self.reload(peer);
    }

    /// Makes the running `nebula` read its files again.
    pub fn reload(&self, peer: &Peer) {
        peer.accepts(self.directory());
        signal(self.process.as_ref().expect("it was started"), "HUP");
    }

    /// Whether its `nebula` has ended by itself.
    pub fn has_ended(&mut self) -> bool {
        let process = self.process.as_mut().expect("it was started");
        !matches!(process.try_wait(), Ok(None))
    }

    /// What `nebula` has logged.
    pub fn logged(&self) -> String {
        fs::read_to_string(self.log()).unwrap_or_default()
    }

    fn log(&self) -> std::path::PathBuf {
        self.directory().join("nebula.log")
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Some(process) = &mut self.process {
            end(process);
        }
        if std::thread::panicking() {
            let log = self.logged();
            let lines: Vec<&str> = log.lines().collect();
            let tail = lines.get(lines.len().saturating_sub(40)..).unwrap_or_default();
            eprintln!("--- {} {:?}\n{}", self.name, self.addresses, tail.join("\n"));
        }
    }
}

/// SIGTERM, and after 5 s SIGKILL. Runs while a test fails, so it fails itself at nothing.
fn end(process: &mut Child) {
    if matches!(process.try_wait(), Ok(None)) {
        signal(process, "TERM");
        let deadline = Instant::now() + Duration::from_secs(5);
        while matches!(process.try_wait(), Ok(None)) && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
    let _ = process.kill();
    let _ = process.wait();
}

fn signal(process: &Child, name: &str) {
    let sent = Command::new("kill").args([&format!("-{name}"), &process.id().to_string()]).status();
    if !sent.is_ok_and(|status| status.success()) {
        eprintln!("SIG{name} did not reach process {}", process.id());
    }
}
