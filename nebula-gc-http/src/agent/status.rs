//! How the networks of a machine are, for people and for programs.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use serde::Serialize;

use super::applied::Applied;
use super::directory::NodeDirectory;
use super::disk;
use super::error::AgentError;
use super::identity::KEY;
use super::membership::{self, Membership};
use super::state::{Contact, Problem, ProblemKind, State};

/// How long a server may be silent before that is worth a word, in seconds: a long poll and its retries.
const SILENT: i64 = 180;
/// The largest harmless difference of clocks, in seconds.
const SKEW: i64 = 60;

/// How a network is on this machine, the best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Health {
    /// All is as it should be.
    Healthy,
    /// The overlay works, but something needs attention.
    Degraded,
    /// The overlay does not work.
    CutOff,
}

/// How one network is.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NetworkStatus {
    /// The network's name, or the directory's where nothing else is known.
    pub network: String,
    /// The node's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// Its addresses.
    pub addresses: Vec<String>,
    /// How it is.
    pub health: Health,
    /// Until when its certificates are valid, in seconds since the Unix epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_after: Option<i64>,
    /// When they are renewed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub renew_at: Option<i64>,
    /// The server's last answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub contact: Option<Contact>,
    /// What is applied.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub applied: Option<Applied>,
    /// Nebula's release, while it runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nebula: Option<String>,
    /// How many tunnels Nebula has, those to idle peers that are gone included.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tunnels: Option<u64>,
    /// Bytes in and out of the tun device since it was made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub traffic: Option<Traffic>,
    /// How far this machine's clock is before the server's, in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clock_skew: Option<i64>,
    /// Keys that the user's own files override.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub overridden: Vec<String>,
    /// What is wrong, the gravest first.
    pub findings: Vec<Finding>,
}

/// Something that is wrong, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// For programs.
    pub code: &'static str,
    /// How grave it is.
    pub health: Health,
    /// Since when, in seconds since the Unix epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<i64>,
    /// What is wrong, for people.
    pub what: String,
    /// What to do, in one sentence.
    pub advice: String,
}

/// What passed through a tun device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Traffic {
    /// Bytes received.
    pub bytes_in: u64,
    /// Bytes sent.
    pub bytes_out: u64,
}

/// How all networks below a directory are, in the order of their names.
///
/// # Errors
/// [`AgentError::File`] where the directory can't be read.
pub fn of_all(nodes: &Path, now: i64) -> Result<Vec<NetworkStatus>, AgentError> {
    let mut all = vec![];
    if fs::symlink_metadata(nodes).is_err_and(|error| error.kind() == ErrorKind::NotFound) {
        return Ok(all);
    }
    for entry in fs::read_dir(nodes).map_err(|error| AgentError::file(nodes, error))? {
        let entry = entry.map_err(|error| AgentError::file(nodes, error))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if !name.starts_with('.') && is_node(&entry.path()) {
            all.push(of_one(&entry.path(), &name, now));
        }
    }
    all.sort_by(|a, b| a.network.cmp(&b.network));
    Ok(all)
}

/// Whether a directory is a node's, also of one whose joining was interrupted, or can't be looked into.
fn is_node(path: &Path) -> bool {
    let has = |name: &str| path.join(name).try_exists().unwrap_or(true);
    path.is_dir() && [membership::FILE, KEY].into_iter().any(has)
}

/// How the network of one directory is.
#[must_use]
pub fn of_one(path: &Path, name: &str, now: i64) -> NetworkStatus {
    let read = || {
        let directory = NodeDirectory::open(path)?;
        let membership = Membership::require(&directory)?;
        let mut state = State::read(&directory)?;
        let is_kept = matches!(directory.lock(), Err(AgentError::Locked { .. }));
        if let Some(obstacle) = disk::obstacle(directory.path())
            && !state.problems.contains_key(&ProblemKind::Disk)
        {
            state.note(ProblemKind::Disk, obstacle, now);
        }
        Ok((membership, state, is_kept))
    };
    match read() {
        Ok((membership, state, is_kept)) => judge(&membership, state, is_kept, now),
        Err(error) => unreadable(name, &error),
    }
}

fn unreadable(name: &str, error: &AgentError) -> NetworkStatus {
    let advice = match error {
        AgentError::NoNode { .. } => "Join again with the same link, or remove the directory.",
        AgentError::Unfit { .. } => "No agent keeps this network before that is put right.",
        _ => "Look at the directory as its owner, or as root.",
    };
    NetworkStatus {
        network: name.to_owned(),
        node: None,
        addresses: vec![],
        health: Health::CutOff,
        not_after: None,
        renew_at: None,
        contact: None,
        applied: None,
        nebula: None,
        tunnels: None,
        traffic: None,
        clock_skew: None,
        overridden: vec![],
        findings: vec![Finding {
            code: error.code(),
            health: Health::CutOff,
            since: None,
            what: error.to_string(),
            advice: advice.to_owned(),
        }],
    }
}

fn judge(membership: &Membership, state: State, is_kept: bool, now: i64) -> NetworkStatus {
    let mut findings: Vec<Finding> =
        state.problems.iter().map(|(kind, problem)| kind.finding(problem, &state, now)).collect();
    let mut add = |code, health, since, what: &str, advice: &str| {
        let (what, advice) = (what.to_owned(), advice.to_owned());
        findings.push(Finding { code, health, since, what, advice });
    };
    // Who wrote that it runs may be gone since, and Nebula with it.
    let has_device = |device: &Option<String>| !device.as_deref().is_some_and(is_missing);
    let nebula = state.nebula.as_ref().filter(|nebula| nebula.running);
    let runs = nebula.is_some_and(|nebula| is_kept || has_device(&nebula.device));
    if state.applied.is_none() {
        let advice = "Start the agent: nebula-gc agent.";
        add("not_started", Health::CutOff, None, "joined, and nothing is installed yet", advice);
    } else if state.by_agent && !is_kept {
        add(
            "no_agent",
            if runs { Health::Degraded } else { Health::CutOff },
            Some(state.written_at),
            "no agent runs",
            "Start it: systemctl start nebula-gc-agent, or nebula-gc agent.",
        );
    } else if !state.by_agent
        && let Some(device) = &state.device
        && is_missing(device)
    {
        let advice = "Start it: nebula-gc agent.";
        add("not_running", Health::CutOff, None, "Nebula is not running", advice);
    } else if !state.by_agent && now > state.written_at.saturating_add(86_400) {
        let advice = "Run nebula-gc agent, or nebula-gc update every hour.";
        add("no_agent", Health::Degraded, Some(state.written_at), "nobody keeps it", advice);
    }
    if let Some(not_after) = state.not_after
        && not_after < now
    {
        let advice = "It renews as soon as a server answers; is this machine's clock right?";
        add("expired", Health::CutOff, Some(not_after), "its certificate has expired", advice);
    }
    if let Some(skew) = state.clock_skew
        && skew.abs() > SKEW
    {
        let what = match skew > 0 {
            true => format!("this machine's clock is {skew} s before the server's"),
            false => format!("this machine's clock is {} s behind the server's", skew.abs()),
        };
        add("clock_skew", Health::Degraded, None, &what, "Set the clock, by NTP for example.");
    }
    let silent = state.contact.as_ref().map(|contact| contact.at);
    if state.by_agent
        && let Some(at) = silent
        && now.saturating_sub(at) > SILENT
        && !state.problems.contains_key(&ProblemKind::Unreachable)
    {
        let advice = "If it stays so, restart the agent and look at its log.";
        add("silent", Health::Degraded, Some(at), "no server was asked since", advice);
    }
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.health));
    let health = findings.iter().map(|finding| finding.health).max();
    let running = state.nebula.as_ref().filter(|nebula| nebula.running);
    NetworkStatus {
        network: membership.network.clone(),
        node: Some(membership.name.clone()),
        health: health.unwrap_or(Health::Healthy),
        not_after: state.not_after,
        renew_at: state.renew_at,
        contact: state.contact.clone(),
        applied: state.applied.clone(),
        nebula: running.map(|nebula| nebula.release.clone()),
        tunnels: running.and_then(|nebula| nebula.tunnels),
        traffic: running.and_then(|nebula| traffic(nebula.device.as_deref()?)),
        clock_skew: state.clock_skew,
        overridden: state.overridden,
        addresses: state.addresses,
        findings,
    }
}

/// Whether Linux has no such device; of other systems it is not known.
fn is_missing(device: &str) -> bool {
    let devices = Path::new("/sys/class/net");
    devices.is_dir() && !devices.join(device).exists()
}

/// What passed through a tun device, as Linux counts it.
#[must_use]
pub fn traffic(device: &str) -> Option<Traffic> {
    if device.is_empty() || device.contains(['/', '.']) {
        return None;
    }
    let count = |name: &str| {
        let path = format!("/sys/class/net/{device}/statistics/{name}");
        fs::read_to_string(path).ok()?.trim().parse().ok()
    };
    Some(Traffic { bytes_in: count("rx_bytes")?, bytes_out: count("tx_bytes")? })
}

impl ProblemKind {
    fn finding(self, problem: &Problem, state: &State, now: i64) -> Finding {
        let ends = state.not_after.filter(|end| *end > now).is_some();
        let (code, health, advice) = match self {
            Self::KeptOut => (
                "kept_out",
                Health::CutOff,
                "Ask an operator of the network to reinstate this node.",
            ),
            Self::NetworkDeleted => (
                "network_deleted",
                Health::CutOff,
                "Take this machine out of it: nebula-gc leave NETWORK.",
            ),
            Self::Released => (
                "released",
                Health::CutOff,
                "Join again with a join link: the former address comes back while it is free.",
            ),
            Self::Unknown => (
                "unknown_token",
                Health::CutOff,
                "Put the token that an operator made into node.token, or leave and join again.",
            ),
            Self::NebulaMissing => (
                "nebula_missing",
                Health::CutOff,
                "Install it, or name another program: nebula-gc agent --nebula PATH.",
            ),
            Self::NebulaFails => (
                "nebula_fails",
                Health::CutOff,
                "The agent goes on trying; the reason is in its log.",
            ),
            Self::Disk => (
                "disk",
                Health::Degraded,
                "Make room on the disk, or make it writable; the agent goes on trying.",
            ),
            Self::Renewal => (
                "renewal",
                if ends { Health::Degraded } else { Health::CutOff },
                "The agent goes on trying; ask an operator if it stays so.",
            ),
            Self::NebulaRefused => (
                "nebula_refused",
                Health::Degraded,
                "The former configuration goes on, with the new revocations; tell an operator.",
            ),
            Self::Refused => (
                "refused",
                Health::Degraded,
                "What is installed goes on; tell an operator of the network.",
            ),
            Self::Unreachable => (
                "unreachable",
                if ends { Health::Degraded } else { Health::CutOff },
                "Check that the server is up, and that this machine reaches it.",
            ),
            Self::Local => (
                "local_files",
                Health::Degraded,
                "What was installed goes on; put the file right, or remove it.",
            ),
        };
        Finding {
            code,
            health,
            since: Some(problem.since),
            what: problem.detail.clone(),
            advice: advice.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::state::NebulaState;
    use super::*;

    const NOW: i64 = 1_800_000_000;

    fn membership() -> Membership {
        serde_json::from_str(r#"{"network": "home", "node": "n", "name": "laptop", "servers": []}"#)
            .unwrap()
    }

    fn running() -> State {
        State {
            addresses: vec!["10.42.0.2/16".to_owned()],
            not_after: Some(NOW + 86_400),
            contact: Some(Contact { at: NOW - 12, server: "https://a.example".to_owned() }),
            applied: Some(Applied { epoch: 0, revision: 17, generation: 1, receipt: None }),
            nebula: Some(NebulaState {
                running: true,
                release: "1.11.0".to_owned(),
                pid: Some(1),
                device: None,
                since: NOW,
                tunnels: Some(2),
            }),
            by_agent: true,
            written_at: NOW,
            ..State::default()
        }
    }

    fn found(state: State, is_kept: bool) -> (Health, Vec<&'static str>) {
        let status = judge(&membership(), state, is_kept, NOW);
        (status.health, status.findings.iter().map(|finding| finding.code).collect())
    }

    #[test]
    fn each_trouble_is_told_and_the_gravest_decides() {
        assert_eq!(found(running(), true), (Health::Healthy, vec![]));
        assert_eq!(found(running(), false), (Health::Degraded, vec!["no_agent"]));
        assert_eq!(found(State::default(), true), (Health::CutOff, vec!["not_started"]));
        let joined = State { by_agent: false, device: Some("none-such".to_owned()), ..running() };
        assert_eq!(found(joined, false), (Health::CutOff, vec!["not_running"]));
        let with = |kind, change: fn(&mut State)| {
            let mut state = running();
            state.note(kind, "x", NOW - 5);
            change(&mut state);
            found(state, true)
        };
        let nothing = |_: &mut State| {};
        let ended = |state: &mut State| state.not_after = Some(NOW - 1);
        let unreachable = with(ProblemKind::Unreachable, nothing);
        assert_eq!(unreachable, (Health::Degraded, vec!["unreachable"]));
        let unreachable = with(ProblemKind::Unreachable, ended);
        assert_eq!(unreachable, (Health::CutOff, vec!["unreachable", "expired"]));
        assert_eq!(with(ProblemKind::KeptOut, nothing), (Health::CutOff, vec!["kept_out"]));
        let deleted = with(ProblemKind::NetworkDeleted, nothing);
        assert_eq!(deleted, (Health::CutOff, vec!["network_deleted"]));
        assert_eq!(with(ProblemKind::Disk, nothing), (Health::Degraded, vec!["disk"]));
        let skewed = with(ProblemKind::Local, |state| state.clock_skew = Some(-90));
        assert_eq!(skewed, (Health::Degraded, vec!["local_files", "clock_skew"]));
    }

    #[test]
    fn what_is_left_of_a_joining_is_told_with_what_to_do_and_other_directories_are_not() {
        let place = tempfile::tempdir().unwrap();
        fs::create_dir(place.path().join("half")).unwrap();
        fs::write(place.path().join("half").join(KEY), "").unwrap();
        fs::create_dir(place.path().join("nebula-gc-data")).unwrap();
        fs::create_dir(place.path().join(".joining-1")).unwrap();
        let all = of_all(place.path(), NOW).unwrap();
        assert_eq!(all.len(), 1);
        assert_eq!((all[0].network.as_str(), all[0].health), ("half", Health::CutOff));
        assert_eq!(all[0].findings[0].code, "no_node");
    }
}
