//! Keeps secrets out of core dumps.

use std::io;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

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

#[cfg(all(test, target_os = "linux"))]
mod tests {
    #[test]
    fn nothing_dumps_a_process_that_forbids_it() {
        super::forbid_dumps();
        let behavior = rustix::process::dumpable_behavior();
        assert_eq!(behavior.ok(), Some(rustix::process::DumpableBehavior::NotDumpable));
    }
}
