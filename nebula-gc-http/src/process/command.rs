use std::path::Path;
use std::process::Stdio;

use tokio::process::Command;

/// What a child process takes over of this one's environment, with the settings of Go: other variables
/// may hold secrets (`GOOGLE_API_KEY`), or concern this process alone (`NOTIFY_SOCKET`).
const KEPT: [&str; 9] = [
    "PATH",
    "TZ",
    "SystemRoot",
    "TEMP",
    "GODEBUG",
    "GOGC",
    "GOMAXPROCS",
    "GOMEMLIMIT",
    "GOTRACEBACK",
];

/// A command of Nebula. It reads nothing, and what it prints is dropped.
pub(super) fn command(program: &Path) -> Command {
    let mut command = Command::new(program);
    command.env_clear();
    for (name, value) in std::env::vars_os() {
        if KEPT.iter().any(|kept| name == *kept) {
            command.env(name, value);
        }
    }
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    command
}
