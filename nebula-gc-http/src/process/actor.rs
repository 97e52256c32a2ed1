//! The task that owns the process.

use std::future::pending;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep_until};

use super::backoff::Backoff;
use super::child::{Child, NotReloaded};
use super::line::is_panic;
use super::preflight::obstacle;
use super::{
    Applied, ApplyError, Change, Configuration, Ended, Failure, Nebula, Place, Release, Restart,
    Running, State, Times, change_between, leftover,
};

/// What a supervisor is asked.
#[derive(Debug)]
pub(super) struct Order {
    pub(super) configuration: Configuration,
    pub(super) needed: Release,
    pub(super) answer: oneshot::Sender<Result<Applied, ApplyError>>,
}

#[derive(Debug)]
pub(super) struct Actor {
    place: Place,
    times: Times,
    shown: watch::Sender<State>,
    backoff: Backoff,
    /// What is to run.
    wanted: Option<(Configuration, Release)>,
    /// What runs, and with what.
    running: Option<(Child, Configuration)>,
    /// When it is started again.
    again_at: Option<Instant>,
}

impl Actor {
    pub(super) fn new(place: Place, times: Times, shown: watch::Sender<State>) -> Self {
        let backoff = Backoff::new(times.first_pause, times.longest_pause, times.healthy);
        Self { place, times, shown, backoff, wanted: None, running: None, again_at: None }
    }

    /// Until nobody asks any more.
    pub(super) async fn run(
        mut self,
        orders: mpsc::Receiver<Order>,
        mut stop: watch::Receiver<()>,
    ) {
        leftover::end(&self.place.pid_file, self.times.stop).await;
        tokio::select! {
            // Nothing is ever sent: it ends when the sender is dropped.
            _ = stop.changed() => {}
            () = self.serve(orders) => {}
        }
        self.end().await;
        self.shown.send_replace(State::Stopped);
    }

    async fn serve(&mut self, mut orders: mpsc::Receiver<Order>) {
        loop {
            tokio::select! {
                order = orders.recv() => {
                    let Some(Order { configuration, needed, answer }) = order else { return };
                    let outcome = self.apply(configuration, needed).await;
                    // Who asked may be gone.
                    let _ = answer.send(outcome);
                }
                ended = ended(&mut self.running) => self.note_end(ended).await,
                () = due(self.again_at) => self.start_again().await,
            }
        }
    }

    async fn apply(
        &mut self,
        configuration: Configuration,
        needed: Release,
    ) -> Result<Applied, ApplyError> {
        let nebula = match self.check(&configuration, needed).await {
            Ok(nebula) => nebula,
            // What runs goes on. Where nothing runs, what is missing may come.
            Err(failure) => {
                if self.running.is_none() {
                    self.wanted = Some((configuration, needed));
                    self.wait(failure.clone(), Duration::ZERO);
                }
                return Err(failure.into());
            }
        };
        self.wanted = Some((configuration.clone(), needed));
        let restart = match self.reload(&configuration, needed).await {
            Ok(applied) => return Ok(applied),
            Err(restart) => restart,
        };
        if let Some(restart) = &restart {
            tracing::info!(nebula = self.place.name, reason = %restart, "nebula is restarted");
        }
        self.shown.send_replace(State::Starting);
        self.end().await;
        self.backoff.reset();
        self.launch(&nebula, configuration).await?;
        Ok(restart.map_or(Applied::Started, Applied::Restarted))
    }

    /// Finds the program, and asks it and looks whether it could run this.
    async fn check(&self, new: &Configuration, needed: Release) -> Result<Nebula, Failure> {
        let nebula = Nebula::find(self.place.program.as_deref(), needed).await?;
        nebula.test(&self.place.config, &self.place.directory).await?;
        let old = self.running.as_ref().map(|(_, configuration)| configuration);
        obstacle(old, new).map_or(Ok(nebula), |obstacle| Err(obstacle.into()))
    }

    /// Brings it about without a restart, or tells why that can't be; with nothing where none runs.
    async fn reload(
        &mut self,
        new: &Configuration,
        needed: Release,
    ) -> Result<Applied, Option<Restart>> {
        let Some((child, running)) = &mut self.running else { return Err(None) };
        if child.release() < needed {
            return Err(Some(Restart::Release));
        }
        let is_marked = match change_between(running, new, child.release()) {
            Change::Nothing => return Ok(Applied::Unchanged),
            Change::Restart(reason) => return Err(Some(Restart::Change(reason))),
            Change::Reload { is_marked } => is_marked,
        };
        child.reload(is_marked, &self.times).await.map_err(|not| {
            Some(match not {
                NotReloaded::Refused { line } => Restart::Refused { line },
                NotReloaded::Hung { waited } => Restart::Hung { waited },
                NotReloaded::Ended(ended) => Restart::Ended(ended),
            })
        })?;
        *running = new.clone();
        Ok(Applied::Reloaded)
    }

    /// Starts it and waits until it runs.
    async fn launch(
        &mut self,
        nebula: &Nebula,
        configuration: Configuration,
    ) -> Result<(), Failure> {
        self.again_at = None;
        self.shown.send_replace(State::Starting);
        let outcome = match Child::start(nebula, &self.place) {
            Ok(child) => {
                // From here on it is ended whatever happens.
                let (child, _) = self.running.insert((child, configuration));
                child.active(&self.times).await
            }
            Err(failure) => Err(failure),
        };
        match outcome {
            Ok(running) => {
                self.shown.send_replace(State::Running(running));
                Ok(())
            }
            Err(failure) => {
                self.end().await;
                self.wait(failure.clone(), Duration::ZERO);
                Err(failure)
            }
        }
    }

    /// The time for a new start has come.
    async fn start_again(&mut self) {
        self.again_at = None;
        let Some((configuration, needed)) = self.wanted.clone() else { return };
        match self.check(&configuration, needed).await {
            // What it answers is in the state.
            Ok(nebula) => _ = self.launch(&nebula, configuration).await,
            Err(failure) => self.wait(failure, Duration::ZERO),
        }
    }

    /// It has ended, and nobody here wanted that.
    async fn note_end(&mut self, ended: Ended) {
        let ran = match &*self.shown.borrow() {
            State::Running(Running { since, .. }) => since.elapsed(),
            _ => Duration::ZERO,
        };
        leftover::forget(&self.place.pid_file);
        let line = match self.running.take() {
            Some((mut child, _)) => child.last_words().await,
            None => None,
        };
        let failure = match (ended.code, line) {
            // Go ends with the same status after a panic.
            (Some(2), line) if !line.as_deref().is_some_and(is_panic) => Failure::DeviceVanished,
            (_, line) => Failure::Ended { ended, line },
        };
        self.wait(failure, ran);
    }

    /// Starts it again later.
    fn wait(&mut self, failure: Failure, ran: Duration) {
        let pause = self.backoff.failed(ran);
        let seconds = pause.as_secs_f32();
        tracing::warn!(nebula = self.place.name, %failure, seconds, "nebula does not run; starting it again");
        let again_at = Instant::now() + pause;
        self.again_at = Some(again_at);
        self.shown.send_replace(State::Waiting {
            failure,
            again_at,
            failures: self.backoff.failures(),
        });
    }

    /// Ends what runs.
    async fn end(&mut self) {
        if let Some((child, _)) = &mut self.running {
            child.end(self.times.stop).await;
            leftover::forget(&self.place.pid_file);
        }
        self.running = None;
    }
}

async fn ended(running: &mut Option<(Child, Configuration)>) -> Ended {
    match running {
        Some((child, _)) => child.ended().await,
        None => pending().await,
    }
}

async fn due(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => pending().await,
    }
}
