use std::path::PathBuf;
use std::time::Duration;

/// Where a Nebula runs, and with which files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// What its lines are logged under, as the field `nebula`.
    pub name: String,
    /// The directory it is started in.
    pub directory: PathBuf,
    /// Its configuration, an absolute path.
    pub config: PathBuf,
    /// Where its process is noted, so that the next supervisor ends it if this one is killed.
    pub pid_file: PathBuf,
    /// The program; else the one in the search path. It is looked for at each start.
    pub program: Option<PathBuf>,
}

/// For how long things are waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Times {
    /// For Nebula to be active after its start. It takes 25 ms, on 1.6 also as long as the resolver.
    pub start: Duration,
    /// How long it has to live after that, because it says that it is active before it has its device.
    pub settle: Duration,
    /// For the first sign of a reload.
    pub reload: Duration,
    /// For the rest of a reload with a changed firewall.
    pub firewall: Duration,
    /// For what may be said after the last sign of a reload.
    pub quiet: Duration,
    /// For its end after SIGTERM, then SIGKILL.
    pub stop: Duration,
    /// Before the first new start after a failure; it doubles with each.
    pub first_pause: Duration,
    /// The longest pause before a new start.
    pub longest_pause: Duration,
    /// How long a run has to last so that the pauses begin anew.
    pub healthy: Duration,
}

impl Default for Times {
    fn default() -> Self {
        Self {
            start: Duration::from_secs(30),
            settle: Duration::from_millis(300),
            reload: Duration::from_secs(2),
            firewall: Duration::from_secs(30),
            quiet: Duration::from_millis(300),
            stop: Duration::from_secs(5),
            first_pause: Duration::from_secs(1),
            longest_pause: Duration::from_secs(60),
            healthy: Duration::from_secs(300),
        }
    }
}
