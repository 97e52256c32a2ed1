//! The file that says which Nebula was started, so that the next supervisor can end one whose own was
//! killed. The Nebula has the file as its standard input, too: so it is known even if its supervisor was
//! killed between the start and the note. Linux only: elsewhere no leftover is known.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
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

/// The empty note of a process that is about to be started, to be its standard input.
///
/// # Errors
/// The file can't be made.
pub(super) fn begin(file: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(true).mode(0o600);
    options.open(file)
}

/// Notes which process runs; nothing if it has ended. In place, because the process has the file as its
/// input; and not synchronised, because a note says nothing after the next boot.
///
/// # Errors
/// The file can't be written.
pub(super) fn note(mut file: &File, pid: u32) -> io::Result<()> {
    let Some(started) = Started::of(pid) else { return Ok(()) };
    let boot = boot().ok_or(io::ErrorKind::NotFound)?;
    let text = serde_json::to_string(&Record { pid, started: started.ticks, boot })?;
    file.write_all(text.as_bytes())
}

/// Takes the note away.
pub(super) fn forget(file: &Path) {
    let _ = fs::remove_file(file); // There may be none.
}

/// Ends the Nebula that a former supervisor started, if it still runs, and waits for its end. Another
/// process that has its id by now is left alone. Where it can't be ended its note stays.
pub(super) async fn end(file: &Path, patience: Duration) {
    let mut is_ended = true;
    if let Some(record) = Record::read(file) {
        is_ended = end_one(record.pid, |_| record.is_running(), patience).await;
    }
    for pid in processes_with_input(file) {
        is_ended &= end_one(pid, |pid| has_input(pid, file), patience).await;
    }
    if is_ended {
        forget(file);
    }
}

/// Whether it does not run any more.
async fn end_one(pid: u32, is_meant: impl Fn(u32) -> bool, patience: Duration) -> bool {
    match end_if(pid, is_meant, patience).await {
        Ok(true) => tracing::warn!(pid, "ended a nebula of a former run"),
        Ok(false) => {}
        Err(error) => {
            tracing::warn!(pid, %error, "a former nebula goes on");
            return false;
        }
    }
    true
}

/// Whether there was one.
async fn end_if(id: u32, is_meant: impl Fn(u32) -> bool, patience: Duration) -> io::Result<bool> {
    let Some(pid) = i32::try_from(id).ok().and_then(Pid::from_raw) else { return Ok(false) };
    // From here on it is one process that is meant, however often its id is used again.
    let process = match pidfd_open(pid, PidfdFlags::empty()) {
        Err(Errno::SRCH) => return Ok(false),
        opened => opened,
    };
    if !is_meant(id) {
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

/// The processes whose standard input a file is, as far as this one may know.
fn processes_with_input(file: &Path) -> Vec<u32> {
    let Ok(processes) = fs::read_dir("/proc") else { return vec![] };
    let ids = processes.flatten().filter_map(|process| process.file_name().to_str()?.parse().ok());
    ids.filter(|id| has_input(*id, file)).collect()
}

fn has_input(pid: u32, file: &Path) -> bool {
    let (input, file) = (fs::metadata(format!("/proc/{pid}/fd/0")), fs::metadata(file));
    let inode = |of: fs::Metadata| (of.dev(), of.ino());
    file.is_ok_and(|file| input.is_ok_and(|input| inode(input) == inode(file)))
}

impl Record {
    fn read(file: &Path) -> Option<Self> {
        serde_json::from_str(&fs::read_to_string(file).ok()?).ok()
    }

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
        note(&begin(file).unwrap(), child.id().unwrap()).unwrap();
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
    async fn a_leftover_is_ended_that_was_not_noted() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("nebula.pid");
        let mut command = Command::new("sleep");
        command.arg("60").stdin(begin(&file).unwrap()).kill_on_drop(true);
        let mut child = command.spawn().unwrap();
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
