use std::fmt;
use std::io;
use std::time::Duration;

use tokio::time::Instant;

use super::tunnels::TunnelCount;
use super::{FindError, Obstacle, Release, RestartReason, TestError};

/// What a supervised Nebula does.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum State {
    /// It has not been asked to run, or was stopped.
    Stopped,
    /// It is being started, for the first time or once more.
    Starting,
    /// It runs.
    Running(Running),
    /// It does not run and is started again later.
    Waiting {
        /// Why it doesn't run.
        failure: Failure,
        /// When it is started again.
        again_at: Instant,
        /// How many failures there were in a row.
        failures: u32,
    },
}

/// A Nebula that runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Running {
    /// Its process id.
    pub pid: u32,
    /// Its release.
    pub release: Release,
    /// The real name of its network device.
    pub interface: String,
    /// The real UDP port.
    pub port: Option<u16>,
    /// Since when it is active.
    pub since: Instant,
    pub(super) tunnels: TunnelCount,
}

impl Running {
    /// How many tunnels it has now, as far as it has said: it does not notice that the peer of an idle one
    /// is gone. It says nothing where its log's level is above `info`.
    #[must_use]
    pub fn tunnels(&self) -> u64 {
        self.tunnels.get()
    }
}

/// Why a Nebula does not run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Failure {
    /// There is no program to start.
    #[error(transparent)]
    Find(#[from] FindError),
    /// Nebula refuses the configuration.
    #[error(transparent)]
    Test(#[from] TestError),
    /// Nebula would not start with it.
    #[error(transparent)]
    Obstacle(#[from] Obstacle),
    /// The system doesn't start it.
    #[error("nebula can't be started: {kind}")]
    NotRunnable {
        /// What the system answers.
        kind: io::ErrorKind,
    },
    /// It ended at its start: there is a fault in the configuration, or a port, a device or a right is
    /// missing.
    #[error("nebula ended at its start ({}){}", .ended, said(.line))]
    AtStart {
        /// How.
        ended: Ended,
        /// The last error that it logged, where there is one.
        line: Option<String>,
    },
    /// It did not become active in time, and was ended.
    #[error("nebula was not active within {seconds} s{}", said(.line))]
    NotActive {
        /// How long it had.
        seconds: u64,
        /// The last error that it logged, where there is one.
        line: Option<String>,
    },
    /// Somebody deleted its network device.
    #[error("the network device of nebula vanished")]
    DeviceVanished,
    /// It had been active, and ended by itself or was ended by somebody else.
    #[error("nebula ended ({}){}", .ended, said(.line))]
    Ended {
        /// How.
        ended: Ended,
        /// The last error that it logged, where there is one.
        line: Option<String>,
    },
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ended {
    /// Its exit status, where it had one. Nebula's are 0 when it was told to stop, 1 at a failed start,
    /// 2 when its device vanished.
    pub code: Option<i32>,
    /// The signal that killed it.
    pub signal: Option<i32>,
}

/// What it took for a configuration to be in force.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Applied {
    /// Nothing: it was.
    Unchanged,
    /// A reload.
    Reloaded,
    /// A restart.
    Restarted(Restart),
    /// A start: it was not running.
    Started,
}

/// Why a running Nebula was restarted.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Restart {
    /// What changed is not taken over by a reload.
    Change(RestartReason),
    /// The running one is older than what is needed, and the program has been replaced.
    Release,
    /// It did not take over all of a reload.
    Refused {
        /// What it said.
        line: String,
    },
    /// It did not begin, or not end, a reload in time.
    Hung {
        /// How long it had.
        waited: Duration,
    },
    /// It ended during a reload.
    Ended(Ended),
}

impl fmt::Display for Restart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Change(reason) => reason.fmt(f),
            Self::Release => f.write_str("a newer nebula is needed, and is there"),
            Self::Refused { line } => write!(f, "it did not take over all of a reload: {line}"),
            Self::Hung { waited } => write!(f, "a reload took longer than {} s", waited.as_secs()),
            Self::Ended(ended) => write!(f, "it ended during a reload: {ended}"),
        }
    }
}

/// Why a configuration is not in force.
///
/// Where no Nebula runs, it is tried again later, with longer and longer pauses, whatever the reason:
/// what was missing may have come.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ApplyError {
    /// There is no program that can run it. What runs goes on as before.
    #[error(transparent)]
    Find(FindError),
    /// Nebula refuses it. What runs goes on as before.
    #[error(transparent)]
    Test(TestError),
    /// Nebula would not start with it. What runs goes on as before.
    #[error(transparent)]
    Obstacle(Obstacle),
    /// Nebula was started with it and does not run.
    #[error(transparent)]
    NotStarted(Failure),
    /// The supervisor has been stopped.
    #[error("nebula is not supervised any more")]
    Stopped,
}

impl From<Failure> for ApplyError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Find(error) => Self::Find(error),
            Failure::Test(error) => Self::Test(error),
            Failure::Obstacle(obstacle) => Self::Obstacle(obstacle),
            failure => Self::NotStarted(failure),
        }
    }
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.code, self.signal) {
            (Some(code), _) => write!(f, "exit status {code}"),
            (None, Some(signal)) => write!(f, "killed by signal {signal}"),
            (None, None) => f.write_str("in an unknown way"),
        }
    }
}

fn said(line: &Option<String>) -> String {
    line.as_ref().map(|line| format!(": {line}")).unwrap_or_default()
}
