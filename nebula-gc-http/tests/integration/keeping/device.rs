//! A machine in one network, with an agent and a program that behaves as Nebula.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File, Permissions};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::support::shell::{Shell, text};

const AGENT: &str = env!("CARGO_BIN_EXE_nebula-gc-agent");
/// Answers to `-version` and `-test`. What follows is the case's.
const BEGINNING: &str = r#"#!/bin/sh
case "$1" in
-version) echo "Version: 1.11.0"; exit;;
-test) exit;;
esac
echo "$$" >> "${0%/*}/starts"
say() { echo "time=t level=info msg=\"$1\""; }
forever() { while :; do sleep 5 & wait $!; done; }
"#;
/// Runs, and takes over what it is told to.
pub(super) const GOOD: &str = "
trap 'kill $!; exit 0' TERM
hup() { say 'Caught HUP, reloading config'; say 'New firewall has been installed'; }
trap hup HUP
say 'Nebula interface is active'
forever
";

/// Within this time something has to be so.
pub(super) const SOON: Duration = Duration::from_secs(30);

/// A machine. Dropping it ends its agents.
pub(super) struct Device {
    pub(super) shell: Shell,
    pub(super) nodes: PathBuf,
    programs: TempDir,
    agents: Vec<Child>,
}

impl Device {
    /// One that joins a network by way of this URL, or the server's own, in a directory below `place`.
    pub(super) fn join(place: &Path, by: impl FnOnce(&str) -> String) -> Self {
        let shell = Shell::new();
        shell.json("networks create --name home --prefixes 10.42.0.0/16", &[]);
        let token = shell.json("join-tokens create home --name laptops", &[]);
        let link = format!("{}/join#token={}", by(&shell.url), token["secret"].as_str().unwrap());
        let nodes = place.join("nodes");
        let device = Self { shell, nodes, programs: tempfile::tempdir().unwrap(), agents: vec![] };
        device.nebula_is(GOOD);
        let mut join = device.command(&["join", &link, "--name", "laptop"]);
        let joined = join.arg("--nebula").arg(device.nebula()).output().unwrap();
        assert!(joined.status.success(), "{}", text(&joined.stderr));
        DirBuilder::new().mode(0o700).create(device.file("local.d")).unwrap();
        let without_device = "tun: {disabled: true}\nlisten: {port: 0}\n";
        fs::write(device.file("local.d/test.yml"), without_device).unwrap();
        device
    }

    pub(super) fn nebula(&self) -> PathBuf {
        self.programs.path().join("nebula")
    }

    /// Puts another program in the place of Nebula. Another process writes it: a child of another test
    /// would inherit a file that is open here.
    pub(super) fn nebula_is(&self, script: &str) {
        self.program_is(&format!("{BEGINNING}{script}"));
    }

    pub(super) fn program_is(&self, script: &str) {
        let write = "printf %s \"$0\" > new && chmod 755 new && mv new nebula";
        let mut sh = Command::new("sh");
        let made = sh.current_dir(self.programs.path()).args(["-c", write]).arg(script).status();
        assert!(made.unwrap().success());
    }

    /// How often Nebula was started.
    pub(super) fn starts(&self) -> usize {
        let noted = fs::read_to_string(self.programs.path().join("starts")).unwrap_or_default();
        noted.lines().count()
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(AGENT);
        command.env_clear().env("PATH", "/usr/bin:/bin").args(words);
        command.arg("--dir").arg(&self.nodes).stdin(Stdio::null());
        command
    }

    /// Starts an agent, which is the last one from now on.
    pub(super) fn start(&mut self) {
        let log = File::create(self.log(self.agents.len())).unwrap();
        let mut command = self.command(&["agent", "--poll", "1"]);
        self.agents.push(command.stdout(Stdio::null()).stderr(log).spawn().unwrap());
    }

    /// Ends the first agent in order; how long that took.
    pub(super) fn stop(&mut self) -> Duration {
        let mut agent = self.agents.remove(0);
        let begun = Instant::now();
        assert!(Command::new("kill").arg(agent.id().to_string()).status().unwrap().success());
        agent.wait().unwrap();
        begun.elapsed()
    }

    pub(super) fn pid(&self) -> u32 {
        self.agents.last().unwrap().id()
    }

    fn log(&self, number: usize) -> PathBuf {
        self.programs.path().join(format!("{number}.log"))
    }

    /// What agents have logged, by the number of the agent.
    pub(super) fn logged(&self, number: usize) -> String {
        fs::read_to_string(self.log(number)).unwrap_or_default()
    }

    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.nodes.join("home").join(name)
    }

    pub(super) fn state(&self) -> Value {
        serde_json::from_slice(&fs::read(self.file("state.json")).unwrap_or_default())
            .unwrap_or_default()
    }

    /// The exit code of `status`, and the codes of what it finds.
    pub(super) fn findings(&self) -> (Option<i32>, Vec<String>) {
        let output = self.command(&["status", "--output", "json"]).output().unwrap();
        let said: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        let found = said["networks"][0]["findings"].as_array().cloned().unwrap_or_default();
        let codes = found.iter().map(|one| one["code"].as_str().unwrap().to_owned());
        (output.status.code(), codes.collect())
    }

    /// What `status` says to people.
    pub(super) fn status(&self) -> String {
        text(&self.command(&["status"]).output().unwrap().stdout)
    }

    /// Takes the machine out of the network, while the agent runs.
    #[track_caller]
    pub(super) fn leave(&self) {
        let left = self.command(&["leave", "home"]).output().unwrap();
        assert!(left.status.success(), "{}", text(&left.stderr));
    }

    pub(super) fn has(&self, code: &str) -> bool {
        self.findings().1.iter().any(|found| found == code)
    }

    /// Once the agent has done what there is to do.
    #[track_caller]
    pub(super) fn is_healthy_soon(&self) {
        until("it is healthy", || self.has_settled() && self.findings() == (Some(0), vec![]));
    }

    pub(super) fn has_settled(&self) -> bool {
        let state = self.state();
        let current = fs::read_to_string(self.file("current/nebula.yml")).unwrap_or_default();
        current.contains("disabled: true") && state["reported"].is_object()
    }

    /// Changes what the node should have.
    pub(super) fn change(&self, groups: &str) {
        self.shell.json(&format!("nodes set home laptop --groups {groups}"), &[]);
    }

    #[track_caller]
    pub(super) fn applies_soon(&self, groups: &str) {
        until("it is applied", || {
            let current = fs::read_to_string(self.file("current/nebula.yml")).unwrap_or_default();
            current.contains(groups) && self.state()["reported"] == self.state()["applied"]
        });
    }

    /// What must never be lost or changed by anybody else: secrets, membership, what is installed.
    pub(super) fn kept(&self) -> BTreeMap<&'static str, String> {
        let names = ["node.key", "node.token", "node.json", "current/nebula.yml"];
        let read = |name| fs::read_to_string(self.file(name)).unwrap();
        names.into_iter().map(|name| (name, read(name))).collect()
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        while !self.agents.is_empty() {
            if std::thread::panicking() {
                eprintln!("{}", self.logged(self.agents.len() - 1));
            }
            self.stop();
        }
    }
}

/// A directory for networks.
pub(super) fn place() -> TempDir {
    let place = tempfile::tempdir().unwrap();
    fs::set_permissions(place.path(), Permissions::from_mode(0o700)).unwrap();
    place
}

#[track_caller]
pub(super) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < SOON, "not within {SOON:?}: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
