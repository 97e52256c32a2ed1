use std::io;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Keeps what this process has in memory, keys among it, from core dumps and from other processes of
/// the same user (`ptrace`, `/proc/PID/mem`). Where that is not possible the log says so, and all else
/// goes on. A debugger then has to be root's.
pub fn forbid_dumps() {
    if let Err(error) = forbid() {
        tracing::warn!(%error, "this process may be dumped to a file, its keys included");
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
