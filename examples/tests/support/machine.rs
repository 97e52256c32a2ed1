//! A machine with the program `nebula-gc`: it joins networks, and its agent keeps them.

use std::fs::{self, DirBuilder, File, Permissions};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use super::peers::Peer;
use super::underlay::Host;

/// A machine; dropping it ends its agent, and shows its log if the test has failed.
pub struct Machine {
    pub name: &'static str,
    nebula: PathBuf,
    directory: TempDir,
    agent: Option<Child>,
    flags: Vec<String>,
    /// Who runs the agent, if not root.
    user: Option<u32>,
    // Deleted after the agent has ended.
    pub host: Host,
}

/// The program as Cargo built it.
pub fn nebula_gc() -> PathBuf {
    let test = std::env::current_exe().expect("a test knows its own path");
    let profile = test.ancestors().nth(2).expect("target/PROFILE/deps/TEST");
    let program = profile.join("nebula-gc");
    assert!(program.exists(), "cargo build -p nebula-gc-http --features cli");
    program
}

impl Machine {
    pub fn new(name: &'static str, host: Host, peer: &Peer) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let nebula = peer.nebula().to_owned();
        Self { name, nebula, directory, agent: None, flags: vec![], user: None, host }
    }

    /// With more flags for its agent.
    pub fn with_flags(mut self, flags: &[&str]) -> Self {
        self.flags = flags.iter().map(|&flag| flag.to_owned()).collect();
        self
    }

    /// With another program in the place of `nebula`, or none.
    pub fn with_nebula(mut self, nebula: &Path) -> Self {
        nebula.clone_into(&mut self.nebula);
        self
    }

    /// With an agent that runs as this user, who has `CAP_NET_ADMIN` alone, as in its unit.
    pub fn with_user(mut self, user: u32) -> Self {
        let place = self.directory.path();
        let everybody = Permissions::from_mode(0o755);
        fs::set_permissions(place, everybody.clone()).expect("it is ours");
        for (program, name) in [(&self.nebula, "nebula"), (&nebula_gc(), "nebula-gc")] {
            fs::copy(program, place.join(name)).expect("it can be copied");
        }
        let mut make = Command::new("mknod");
        make.args(["-m", "0666"]).arg(place.join("tun")).args(["c", "10", "200"]);
        assert!(make.status().expect("mknod is there").success(), "root may make devices");
        let nodes = self.nodes();
        DirBuilder::new().mode(0o700).create(&nodes).expect("a directory");
        chown(&nodes, Some(user), Some(user)).expect("root may");
        self.nebula = place.join("nebula");
        self.user = Some(user);
        self
    }

    /// Where its networks are.
    pub fn nodes(&self) -> PathBuf {
        self.directory.path().join("nodes")
    }

    /// The directory of one.
    pub fn node(&self, network: &str) -> PathBuf {
        self.nodes().join(network)
    }

    /// A command line of `nebula-gc` on this machine.
    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = self.host.command(&nebula_gc());
        command.args(words).stdin(Stdio::null());
        command
    }

    /// Joins a network by its link.
    #[track_caller]
    pub fn join(&self, link: &str, more: &[&str]) {
        let nodes = self.nodes();
        let words = ["join", link, "--name", self.name, "--allow-plain-http"];
        let mut command = self.command(&[&words, more].concat());
        let output = command.arg("--dir").arg(nodes).output().expect("it runs");
        assert!(output.status.success(), "{}: {output:?}", self.name);
    }

    /// Starts the agent.
    pub fn start(&mut self) {
        let log = File::options().create(true).append(true).open(self.log()).expect("a log");
        let mut command = match self.user {
            None => self.command(&["agent"]),
            Some(user) => self.command_as(user, &["agent"]),
        };
        command.arg("--dir").arg(self.nodes()).arg("--nebula").arg(&self.nebula);
        command.args(&self.flags).stdout(Stdio::null()).stderr(log);
        self.agent = Some(command.spawn().expect("ip is there"));
    }

    /// A command line of `nebula-gc` by a user with `CAP_NET_ADMIN` alone. `ip netns exec` has mounts of
    /// its own, so the device is another for this process only.
    fn command_as(&self, user: u32, words: &[&str]) -> Command {
        let (place, user) = (self.directory.path(), user.to_string());
        let capability = "-all,+net_admin";
        let mut command = self.host.command(Path::new("sh"));
        command
            .args(["-c", "mount --bind \"$1\" /dev/net/tun && shift && exec \"$@\"", "sh"])
            .arg(place.join("tun"))
            .args(["setpriv", "--reuid", &user, "--regid", &user, "--clear-groups"])
            .args(["--bounding-set", capability, "--inh-caps", capability])
            .args(["--ambient-caps", capability, "--no-new-privs"])
            .arg(place.join("nebula-gc"))
            .args(words)
            .stdin(Stdio::null());
        command
    }

    /// Kills the agent at once, as a crash does.
    pub fn kill(&mut self) {
        if let Some(mut agent) = self.agent.take() {
            agent.kill().expect("it is our own child");
            agent.wait().expect("it is our own child");
        }
    }

    /// Ends the agent in order.
    pub fn stop(&mut self) {
        if let Some(mut agent) = self.agent.take() {
            signal(agent.id(), "TERM");
            let deadline = Instant::now() + Duration::from_secs(20);
            while matches!(agent.try_wait(), Ok(None)) && Instant::now() < deadline {
                std::thread::sleep(Duration::from_millis(10));
            }
            let _ = agent.kill();
            let _ = agent.wait();
        }
    }

    /// What `nebula-gc status` says of all networks.
    pub fn status(&self) -> (Option<i32>, Value) {
        let mut command = self.command(&["status", "--output", "json", "--dir"]);
        let Output { status, stdout, .. } = command.arg(self.nodes()).output().expect("it runs");
        (status.code(), serde_json::from_slice(&stdout).unwrap_or_default())
    }

    /// What it says of one.
    pub fn status_of(&self, network: &str) -> Value {
        let (_, status) = self.status();
        let mut all = status["networks"].as_array().cloned().unwrap_or_default().into_iter();
        all.find(|one| one["network"] == network).unwrap_or_default()
    }

    /// What the agent has noted about a network.
    pub fn state(&self, network: &str) -> Value {
        let text = fs::read(self.node(network).join("state.json")).unwrap_or_default();
        serde_json::from_slice(&text).unwrap_or_default()
    }

    /// The first overlay address in a network, without its length.
    #[track_caller]
    pub fn address(&self, network: &str) -> String {
        let state = self.state(network);
        let address = state["addresses"][0].as_str().expect("it has joined");
        address.split('/').next().expect("an address").to_owned()
    }

    /// The process id of a network's Nebula, while it runs.
    pub fn pid(&self, network: &str) -> Option<i64> {
        self.state(network)["nebula"]["pid"].as_i64()
    }

    /// How many Nebulas run with its files.
    pub fn nebulas(&self) -> usize {
        let nodes = self.nodes().to_string_lossy().into_owned();
        let processes = fs::read_dir("/proc").expect("it is mounted").flatten();
        let lines = processes.filter_map(|one| fs::read(one.path().join("cmdline")).ok());
        lines
            .filter(|line| {
                let line = String::from_utf8_lossy(line);
                line.contains("\0-config\0") && line.contains(&nodes)
            })
            .count()
    }

    pub fn configuration(&self, network: &str) -> String {
        fs::read_to_string(self.node(network).join("current/nebula.yml")).unwrap_or_default()
    }

    pub fn logged(&self) -> String {
        fs::read_to_string(self.log()).unwrap_or_default()
    }

    /// Whether it gets an answer from an overlay address.
    pub fn reaches(&self, address: &str) -> bool {
        self.host.ping(address).wait().expect("our own child").success()
    }

    fn log(&self) -> PathBuf {
        self.directory.path().join("agent.log")
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.stop();
        // Of an agent that was killed, Nebulas may be left.
        for entry in fs::read_dir(self.nodes()).into_iter().flatten().flatten() {
            end_leftover(&entry.path());
        }
        if std::thread::panicking() {
            let log = self.logged();
            let lines: Vec<&str> = log.lines().collect();
            let tail = lines.get(lines.len().saturating_sub(60)..).unwrap_or_default();
            eprintln!("--- {}\n{}\n{:?}", self.name, tail.join("\n"), self.status());
        }
    }
}

/// Ends the Nebula that a pid file names, if it is still one.
fn end_leftover(node: &Path) {
    let Ok(text) = fs::read_to_string(node.join("nebula.pid")) else { return };
    let noted: Value = serde_json::from_str(&text).unwrap_or_default();
    let Some(pid) = noted["pid"].as_u64().and_then(|pid| u32::try_from(pid).ok()) else { return };
    let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    if String::from_utf8_lossy(&line).contains(&*node.to_string_lossy()) {
        signal(pid, "KILL");
    }
}

pub fn signal(pid: u32, name: &str) {
    let _ = Command::new("kill").args([&format!("-{name}"), &pid.to_string()]).status();
}
