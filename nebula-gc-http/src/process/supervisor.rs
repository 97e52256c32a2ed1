use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

use super::actor::{Actor, Order};
use super::{Applied, ApplyError, Configuration, Place, Release, State, Times, Usage};

/// Keeps one Nebula running as it is told: started, reloaded where that is enough, restarted where it is
/// not, and started again when it ends by itself. Dropping it ends Nebula, too.
///
/// ```no_run
/// use nebula_gc_http::process::{Configuration, Place, Release, Supervisor, Times};
///
/// # async fn run(nebula_yml: &str, node_crt: &str, ca_crt: &str) -> Result<(), Box<dyn std::error::Error>> {
/// let place = Place {
///     name: "home".to_owned(),
///     directory: "/etc/nebula".into(),
///     config: "/etc/nebula/nebula.yml".into(),
///     pid_file: "/etc/nebula/nebula.pid".into(),
///     program: None,
/// };
/// let supervisor = Supervisor::start(place, Times::default());
/// let configuration = Configuration::read(nebula_yml, node_crt, ca_crt)?;
/// let applied = supervisor.apply(configuration, Release::OLDEST).await?;
/// println!("{applied:?}");
/// supervisor.stop().await;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Supervisor {
    orders: mpsc::Sender<Order>,
    state: watch::Receiver<State>,
    /// Dropped, it tells the task to end.
    stop: watch::Sender<()>,
    task: JoinHandle<()>,
}

impl Supervisor {
    /// Begins. First, a Nebula that a killed supervisor left behind here is ended. Nothing is started
    /// before the first [`Supervisor::apply`].
    ///
    /// # Panics
    /// Outside of a Tokio runtime with I/O and time.
    #[must_use]
    pub fn start(place: Place, times: Times) -> Self {
        let (orders, received) = mpsc::channel(1);
        let (stop, stopped) = watch::channel(());
        let (shown, state) = watch::channel(State::Stopped);
        let task = tokio::spawn(Actor::new(place, times, shown).run(received, stopped));
        Self { orders, state, stop, task }
    }

    /// Has Nebula run with what is in its files now, and waits until it does. The configuration is what
    /// the files say; `needed` is the oldest release that can run it.
    ///
    /// `nebula -test` comes first. Then it is reloaded, or restarted where a reload is not enough or
    /// does not succeed; a Nebula that doesn't run is started.
    ///
    /// # Errors
    /// Why the configuration is not in force. Unless it is [`ApplyError::NotStarted`], a Nebula that
    /// runs goes on with what it had; one that doesn't run is started later, when that is possible.
    pub async fn apply(
        &self,
        configuration: Configuration,
        needed: Release,
    ) -> Result<Applied, ApplyError> {
        let (answer, answered) = oneshot::channel();
        let order = Order { configuration, needed, answer };
        self.orders.send(order).await.map_err(|_| ApplyError::Stopped)?;
        answered.await.map_err(|_| ApplyError::Stopped)?
    }

    /// What it does, now and whenever that changes.
    #[must_use]
    pub fn state(&self) -> watch::Receiver<State> {
        self.state.clone()
    }

    /// What the running Nebula uses; nothing where none runs, or the system doesn't tell.
    #[must_use]
    pub fn usage(&self) -> Option<Usage> {
        match &*self.state.borrow() {
            State::Running(running) => Usage::of(running.pid),
            _ => None,
        }
    }

    /// Ends Nebula and the supervision, and waits for that.
    pub async fn stop(self) {
        drop(self.stop);
        // It ends by a panic at worst, and then the process is killed.
        let _ = self.task.await;
    }
}
