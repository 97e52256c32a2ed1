//! The file that says which Nebula was started, so that the next supervisor can end one whose own was
//! killed. Linux only: elsewhere no leftover is known.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use serde::{Deserialize, Serialize};

use super::proc::{Started, boot};

/// Which process it is. On one machine no two have all three.
#[derive(Debug, Serialize, Deserialize)]
struct Record {
    pid: u32,
    /// In ticks since boot.
    started: u64,
    boot: String,
}

/// Notes which process runs; nothing if it has ended.
///
/// # Errors
/// The file can't be written.
pub(super) fn note(file: &Path, pid: u32) -> io::Result<()> {
    let Some(started) = Started::of(pid) else { return Ok(()) };
    let boot = boot().ok_or(io::ErrorKind::NotFound)?;
    let text = serde_json::to_string(&Record { pid, started: started.ticks, boot })?;
    nebula_pki::files::replace(file, text.as_bytes(), 0o600)
}

/// Takes the note away.
pub(super) fn forget(file: &Path) {
    let _ = fs::remove_file(file); // There may be none.
}

/// Ends the Nebula that a former supervisor noted, if it still runs, and waits for its end. Another
/// process that has its id by now is left alone. Where it can't be ended its note stays.
pub(super) async fn end(file: &Path, patience: Duration) {
    let record = fs::read_to_string(file).ok().and_then(|text| serde_json::from_str(&text).ok());
    if let Some(record) = record {
        match end_noted(&record, patience).await {
            Ok(true) => tracing::warn!(pid = record.pid, "ended a nebula of a former run"),
            Ok(false) => {}
            Err(error) => {
                tracing::warn!(pid = record.pid, %error, "a former nebula goes on");
                return;
            }
        }
    }
    forget(file);
}

/// Whether there was one.
async fn end_noted(record: &Record, patience: Duration) -> io::Result<bool> {
    let Some(pid) = i32::try_from(record.pid).ok().and_then(Pid::from_raw) else {
        return Ok(false);
    };
    // From here on it is one process that is meant, however often its id is used again.
    let process = match pidfd_open(pid, PidfdFlags::empty()) {
        Err(Errno::SRCH) => return Ok(false),
        opened => opened,
    };
    if !record.is_running() {
        return Ok(false);
    }
    let process = process?;
    // Waiting for its end blocks a thread, which is one that is for that.
    let ending = tokio::task::spawn_blocking(move || signal(&process, patience));
    ending.await.map_err(io::Error::other)??;
    Ok(true)
}

/// SIGTERM, then SIGKILL, each with this time for the process to end.
fn signal(process: &OwnedFd, patience: Duration) -> io::Result<()> {
    let patience = Timespec::try_from(patience).map_err(|_| io::ErrorKind::InvalidInput)?;
    for signal in [Signal::TERM, Signal::KILL] {
        pidfd_send_signal(process, signal)?;
        if poll(&mut [PollFd::new(process, PollFlags::IN)], Some(&patience))? > 0 {
            return Ok(());
        }
    }
    Err(io::ErrorKind::TimedOut.into())
}

impl Record {
    /// Whether the process of this id is the one that was noted.
    fn is_running(&self) -> bool {
        Started::of(self.pid).is_some_and(|started| started.ticks == self.started)
            && boot().is_some_and(|boot| boot == self.boot)
    }
}

#[cfg(test)]
mod tests {
    use tokio::process::Command;

    use super::*;

    /// A process that runs for long, and its note.
    fn noted(file: &Path) -> tokio::process::Child {
        let child = Command::new("sleep").arg("60").kill_on_drop(true).spawn().unwrap();
        note(file, child.id().unwrap()).unwrap();
        child
    }

    /// Changes what is noted.
    fn change(file: &Path, change: impl FnOnce(&mut Record)) {
        let mut record = serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap();
        change(&mut record);
        fs::write(file, serde_json::to_string(&record).unwrap()).unwrap();
    }

    #[tokio::test]
    async fn a_leftover_is_ended() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("nebula.pid");
        let mut child = noted(&file);
        end(&file, Duration::from_secs(5)).await;
        assert!(!child.wait().await.unwrap().success());
        assert!(!file.exists());
    }

    #[tokio::test]
    async fn another_process_with_its_id_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("nebula.pid");
        let changes: [fn(&mut Record); 3] = [
            |record| record.started += 1,
            |record| record.boot.push('x'),
            |record| record.pid = u32::MAX,
        ];
        for of_another in changes {
            let mut child = noted(&file);
            change(&file, of_another);
            end(&file, Duration::from_secs(5)).await;
            assert_eq!(child.try_wait().unwrap(), None);
        }
        fs::write(&file, "{\"pid\": 1").unwrap();
        end(&file, Duration::from_secs(5)).await;
    }
}
