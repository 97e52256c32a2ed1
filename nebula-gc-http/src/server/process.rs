//! What a server's process is to the operating system: its core dumps, its open files, its signals.

use std::io;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Keeps this process's memory, which holds keys, out of core dumps and from other processes of the same
/// user (`ptrace`, `/proc/PID/mem`). Only root can debug it then. A failure is logged, not fatal.
pub fn forbid_dumps() {
    if let Err(error) = forbid() {
        tracing::warn!(%error, "core dumps could not be disabled; a dump would contain keys");
    }
}

fn forbid() -> io::Result<()> {
    let Rlimit { maximum, .. } = getrlimit(Resource::Core);
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum })?;
    #[cfg(target_os = "linux")]
    rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable)?;
    Ok(())
}

/// Raises the limit of open files (`RLIMIT_NOFILE`) to its maximum: each connection is one. Returns the
/// limit; nothing where there is none.
pub fn raise_file_limit() -> Option<u64> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    match setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        Ok(()) => maximum,
        Err(error) => {
            tracing::warn!(%error, "the limit of open files could not be raised");
            current
        }
    }
}

/// The signals that ask a server to stop: SIGINT (Ctrl-C) and SIGTERM.
#[derive(Debug)]
pub struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    /// Catches them from now on, instead of ending the process.
    ///
    /// # Errors
    /// What the operating system answers.
    pub fn catch() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    /// Waits for the next one.
    pub async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    #[test]
    fn nothing_dumps_a_process_that_forbids_it() {
        super::forbid_dumps();
        let behavior = rustix::process::dumpable_behavior();
        assert_eq!(behavior.ok(), Some(rustix::process::DumpableBehavior::NotDumpable));
    }
}
