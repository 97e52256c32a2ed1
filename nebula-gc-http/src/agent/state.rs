//! What is known of a node at the moment: `state.json`, which `status` reads.

use std::collections::BTreeMap;
use std::fs;

use serde::{Deserialize, Serialize};

use super::applied::Applied;
use super::directory::NodeDirectory;
use super::error::{AgentError, FileFault};

/// The file.
pub(super) const FILE: &str = "state.json";
/// The file beside it, which takes its name.
const ASIDE: &str = ".state.json.new";
/// The largest accepted one, in bytes.
const LIMIT: u64 = 256 << 10;
/// How much is kept of what is wrong, in characters.
const DETAIL: usize = 1_000;

/// What an agent, or a single round, knows of a node.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct State {
    /// Its addresses with the network's prefix length, IPv4 first.
    pub addresses: Vec<String>,
    /// Until when its certificates are valid, in seconds since the Unix epoch.
    pub not_after: Option<i64>,
    /// When they are to be renewed.
    pub renew_at: Option<i64>,
    /// When a server answered last, and which.
    pub contact: Option<Contact>,
    /// What is installed, and was taken by Nebula.
    pub applied: Option<Applied>,
    /// What the servers know to be applied.
    pub reported: Option<Applied>,
    /// How far this machine's clock is before the server's, in seconds.
    pub clock_skew: Option<i64>,
    /// The running Nebula.
    pub nebula: Option<NebulaState>,
    /// Keys of the bundle that the user's own files override.
    pub overridden: Vec<String>,
    /// The tun device that Nebula makes, as it is configured, where that is known.
    pub device: Option<String>,
    /// What Nebula has still to do for what is installed, as far as a round knows.
    pub awaited: Option<Awaited>,
    /// Whether an agent keeps it, rather than a round from time to time.
    pub by_agent: bool,
    /// What is wrong.
    pub problems: BTreeMap<ProblemKind, Problem>,
    /// When it was written.
    pub written_at: i64,
}

/// What Nebula has to do, so that what is installed is in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Awaited {
    /// A reload.
    Reload,
    /// A start, or another one.
    Restart,
}

/// A server's last answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Contact {
    /// When, in seconds since the Unix epoch.
    pub at: i64,
    /// Its URL.
    pub server: String,
}

/// The Nebula of a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NebulaState {
    /// Whether it runs.
    pub running: bool,
    /// Its release, such as 1.9.3.
    pub release: String,
    /// Its process id.
    pub pid: Option<u32>,
    /// The tun device.
    pub device: Option<String>,
    /// Since when, in seconds since the Unix epoch.
    pub since: i64,
    /// How many tunnels it had when this was written, where it says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tunnels: Option<u64>,
}

/// The kinds of what may be wrong, the gravest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ProblemKind {
    /// The server refuses the node: it is suspended or revoked.
    KeptOut,
    /// The network was deleted, and the node with it.
    NetworkDeleted,
    /// The server knows the node's token as that of a node that was released.
    Released,
    /// The server does not know the node's token.
    Unknown,
    /// No `nebula` is found, or one that can't run the bundle.
    NebulaMissing,
    /// Nebula doesn't start, or ends again and again.
    NebulaFails,
    /// The directory can't be written to.
    Disk,
    /// The certificate can't be renewed.
    Renewal,
    /// Nebula refused a bundle, and the one before it is back.
    NebulaRefused,
    /// What a server gave was refused.
    Refused,
    /// No server answers.
    Unreachable,
    /// A file in `local.d` can't be used.
    Local,
}

/// Something that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Problem {
    /// Since when, in seconds since the Unix epoch.
    pub since: i64,
    /// What, for people. It may contain a server's words.
    pub detail: String,
}

impl State {
    /// Reads `state.json`. What is damaged is as good as nothing: it only holds what is found again.
    ///
    /// # Errors
    /// [`AgentError::File`], [`AgentError::Unfit`].
    pub fn read(directory: &NodeDirectory) -> Result<Self, AgentError> {
        let text = match directory.read(FILE, LIMIT) {
            Err(AgentError::Unfit { fault: FileFault::TooLong { .. }, .. }) => None,
            read => read?,
        };
        let state = text.and_then(|text| serde_json::from_slice(&text).ok());
        Ok(state.unwrap_or_default())
    }

    /// Writes `state.json` whole, for readers; what a loss of power takes is found again.
    ///
    /// # Errors
    /// [`AgentError::File`].
    pub fn write(&self, directory: &NodeDirectory) -> Result<(), AgentError> {
        use std::io::Write as _;
        use std::os::unix::fs::OpenOptionsExt as _;

        let text = serde_json::to_string_pretty(self).unwrap_or_default() + "\n";
        let (aside, path) = (directory.file(ASIDE), directory.file(FILE));
        // Whatever lies there is not written through.
        if let Err(error) = fs::remove_file(&aside)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            return Err(AgentError::file(&aside, error));
        }
        let mut options = fs::OpenOptions::new();
        options.write(true).create_new(true).mode(0o600);
        let written = options.open(&aside).and_then(|mut file| file.write_all(text.as_bytes()));
        let written = written.and_then(|()| fs::rename(&aside, &path));
        written.map_err(|error| AgentError::file(&path, error))
    }

    /// Notes that something is wrong; it is since when it was first so.
    pub fn note(&mut self, kind: ProblemKind, detail: impl Into<String>, now: i64) {
        let since = self.problems.get(&kind).map_or(now, |problem| problem.since);
        // A server's words may have any length.
        let detail = detail.into().chars().take(DETAIL).collect();
        self.problems.insert(kind, Problem { since, detail });
    }

    /// Notes that something is no longer wrong.
    pub fn clear(&mut self, kind: ProblemKind) {
        self.problems.remove(&kind);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_is_since_it_was_first_noted_and_survives_writing() {
        let place = tempfile::tempdir().unwrap();
        let directory = NodeDirectory::create(&place.path().join("node")).unwrap();
        assert_eq!(State::read(&directory).unwrap(), State::default());
        let mut state = State::default();
        state.note(ProblemKind::Unreachable, "no route", 10);
        state.note(ProblemKind::Unreachable, "refused", 20);
        state.write(&directory).unwrap();
        let read = State::read(&directory).unwrap();
        assert_eq!(read, state);
        let problem = &read.problems[&ProblemKind::Unreachable];
        assert_eq!((problem.since, problem.detail.as_str()), (10, "refused"));
        directory.write(FILE, b"{\"addresses\": 1}").unwrap();
        assert_eq!(State::read(&directory).unwrap(), State::default(), "it is found again");
    }

    #[test]
    fn nothing_is_written_through_a_link_and_a_long_refusal_is_cut() {
        let place = tempfile::tempdir().unwrap();
        let directory = NodeDirectory::create(&place.path().join("node")).unwrap();
        let target = place.path().join("target");
        fs::write(&target, "kept").unwrap();
        std::os::unix::fs::symlink(&target, directory.file(ASIDE)).unwrap();
        let mut state = State::default();
        state.note(ProblemKind::Refused, "ü".repeat(8 << 20), 7);
        state.write(&directory).unwrap();
        assert_eq!(fs::read_to_string(&target).unwrap(), "kept");
        assert!(fs::symlink_metadata(directory.file(FILE)).unwrap().is_file());
        assert_eq!(State::read(&directory).unwrap(), state);
        // One that an older version left is as good as none.
        fs::write(directory.file(FILE), " ".repeat(300 << 10)).unwrap();
        assert_eq!(State::read(&directory).unwrap(), State::default());
    }
}
