//! One process: its start, its reloads, its end.

use std::fs::File;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use super::command::command;
use super::output::{self, Seen};
use super::tunnels::TunnelCount;
use super::{Ended, Failure, Nebula, Place, Release, Running, Times, leftover};

/// How long the last output of a process that has ended may take to be read: a child of its own may
/// hold the pipe.
const LAST_WORDS_TIME: Duration = Duration::from_secs(1);

/// A Nebula that was started, and killed when this is dropped.
#[derive(Debug)]
pub(super) struct Child {
    process: tokio::process::Child,
    pid: u32,
    release: Release,
    seen: watch::Receiver<Seen>,
    tunnels: TunnelCount,
}

/// Why a reload did not bring the new configuration about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum NotReloaded {
    /// It did not take all of it.
    Refused { line: String },
    /// It did not say that it begins or ends.
    Hung { waited: Duration },
    /// It is gone.
    Ended(Ended),
}

impl Child {
    pub(super) fn start(nebula: &Nebula, place: &Place) -> Result<Self, Failure> {
        let not_runnable = |error: io::Error| Failure::NotRunnable { kind: error.kind() };
        let (pipe, seen, tunnels) = output::read(place.name.clone()).map_err(not_runnable)?;
        let errors = pipe.try_clone().map_err(not_runnable)?;
        let mut command = command(nebula.program());
        command.arg("-config").arg(&place.config).current_dir(&place.directory);
        // In a group of its own: a terminal's Ctrl-C is for us.
        command.process_group(0).stdout(Stdio::from(pipe)).stderr(Stdio::from(errors));
        let note = leftover::begin(&place.pid_file);
        if let Ok(input) = File::open(&place.pid_file) {
            command.stdin(Stdio::from(input));
        }
        let process = command.spawn().map_err(not_runnable)?;
        // The pipe's other end is to be the process's alone.
        drop(command);
        let pid = process.id().ok_or(Failure::NotRunnable { kind: io::ErrorKind::NotFound })?;
        if let Err(error) = note.and_then(|note| leftover::note(&note, pid)) {
            // It runs all the same, or has ended already.
            tracing::warn!(nebula = place.name, %error, "can't write {}", place.pid_file.display());
        }
        Ok(Self { process, pid, release: nebula.release(), seen, tunnels })
    }

    pub(super) fn release(&self) -> Release {
        self.release
    }

    /// The last error that it logged about itself, once it has ended and all of its output is read.
    pub(super) async fn last_words(&mut self) -> Option<String> {
        let _ = timeout(LAST_WORDS_TIME, self.silence()).await;
        self.last_error()
    }

    /// The last error that it has logged about itself so far.
    fn last_error(&self) -> Option<String> {
        self.seen.borrow().error.clone()
    }

    /// Waits for the end of its output.
    async fn silence(&mut self) {
        while self.seen.changed().await.is_ok() {}
    }

    /// Waits until it runs: until it says that it is active, and then a while, because it says so before
    /// it has its device.
    pub(super) async fn active(&mut self, times: &Times) -> Result<Running, Failure> {
        let (mut seen, since) = (self.seen.clone(), Instant::now());
        let waiting = async {
            let active = seen.wait_for(|seen| seen.active.is_some()).await;
            active.ok().and_then(|seen| seen.active.clone())
        };
        let active = tokio::select! {
            ended = self.ended() => Err(ended),
            active = timeout(times.start, waiting) => Ok(active.ok().flatten()),
        };
        let active = match active {
            Ok(active) => active,
            Err(ended) => return Err(self.at_start(ended).await),
        };
        let Some(active) = active else {
            if let Ok(ended) =
                timeout(times.start.saturating_sub(since.elapsed()), self.ended()).await
            {
                return Err(self.at_start(ended).await);
            }
            return Err(Failure::NotActive {
                seconds: times.start.as_secs(),
                line: self.last_error(),
            });
        };
        let since = Instant::now();
        if let Ok(ended) = timeout(times.settle, self.ended()).await {
            return Err(self.at_start(ended).await);
        }
        let (interface, port) = (active.interface, active.port);
        let tunnels = self.tunnels.clone();
        Ok(Running { pid: self.pid, release: self.release, interface, port, since, tunnels })
    }

    /// Why it ended at its start.
    async fn at_start(&mut self, ended: Ended) -> Failure {
        Failure::AtStart { ended, line: self.last_words().await }
    }

    /// Has it read its files again, and waits until it has.
    pub(super) async fn reload(
        &mut self,
        is_marked: bool,
        times: &Times,
    ) -> Result<(), NotReloaded> {
        let before = self.seen.borrow().clone();
        if self.signal(Signal::HUP).is_err() {
            return Err(NotReloaded::Ended(self.ended().await));
        }
        self.until(times.reload, |seen| seen.reloads > before.reloads).await?;
        if is_marked {
            let ends = |seen: &Seen| seen.firewalls > before.firewalls;
            // An error may be in the marker's place.
            let all = |seen: &Seen| ends(seen) || seen.refusals > before.refusals;
            self.until(times.firewall, all).await?;
        }
        if let Ok(ended) = timeout(times.quiet, self.ended()).await {
            return Err(NotReloaded::Ended(ended));
        }
        let seen = self.seen.borrow();
        match &seen.refusal {
            Some(line) if seen.refusals > before.refusals => {
                Err(NotReloaded::Refused { line: line.clone() })
            }
            _ => Ok(()),
        }
    }

    /// Waits for what it says.
    async fn until(
        &mut self,
        time: Duration,
        is_seen: impl FnMut(&Seen) -> bool,
    ) -> Result<(), NotReloaded> {
        let mut seen = self.seen.clone();
        tokio::select! {
            ended = self.ended() => Err(NotReloaded::Ended(ended)),
            waited = timeout(time, seen.wait_for(is_seen)) => match waited {
                Ok(Ok(_)) => Ok(()),
                _ => Err(NotReloaded::Hung { waited: time }),
            },
        }
    }

    /// Waits for its end.
    pub(super) async fn ended(&mut self) -> Ended {
        match self.process.wait().await {
            Ok(status) => Ended::from(status),
            // Its end is noticed by that of its output.
            Err(error) => {
                tracing::warn!(%error, "can't wait for nebula");
                self.silence().await;
                Ended { code: None, signal: None }
            }
        }
    }

    /// SIGTERM, and where it doesn't end by that, SIGKILL.
    pub(super) async fn end(&mut self, patience: Duration) {
        let _ = self.signal(Signal::TERM); // It may have ended.
        if timeout(patience, self.ended()).await.is_err() {
            tracing::warn!(pid = self.pid, "nebula does not end and is killed");
            let _ = self.process.start_kill();
            self.ended().await;
        }
    }

    fn signal(&self, signal: Signal) -> io::Result<()> {
        // Not reaped yet where there is an id: no other process can have it.
        let id = self.process.id().and_then(|id| i32::try_from(id).ok());
        let pid = id.and_then(Pid::from_raw).ok_or(io::ErrorKind::NotFound)?;
        Ok(kill_process(pid, signal)?)
    }
}

impl From<ExitStatus> for Ended {
    fn from(status: ExitStatus) -> Self {
        Self { code: status.code(), signal: status.signal() }
    }
}
