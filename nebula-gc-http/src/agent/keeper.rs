//! Keeps one node as its network wants it, for as long as an agent runs.

mod notes;

use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nebula_bundle::CheckedBundle;
use nebula_pki::Certificate;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use self::notes::write_state;
use super::error::AgentError;
use super::exchange::kept_out;
use super::local_files;
use super::node::{Installing, Node, Offer, certificates_of};
use super::pace::Pace;
use super::round::configuration_of;
use super::state::ProblemKind;
use crate::client::{Backoff, Client, ClientError};
use crate::process::{ApplyError, Place, Release, State as ProcessState, Supervisor, Times};
use crate::wire::Desired;

/// How long a poll waits by default: proxies often end connections after a minute.
const POLL: Duration = Duration::from_secs(25);
/// How often a node asks which servers there are, at most. With the default that is after each poll.
const SERVERS: Duration = Duration::from_secs(20);
/// How much later than it should a poll may be answered.
const LATE: Duration = Duration::from_secs(10);
/// How often the user's own files are looked at.
const LOOK: Duration = Duration::from_secs(1);
/// How long after a change of the blocklist flows are judged anew. Nebula looks at its tunnels every five
/// seconds, and a busy peer may take longer to show its new certificate.
const JUDGEMENTS: [Duration; 3] =
    [Duration::from_secs(8), Duration::from_secs(16), Duration::from_secs(32)];
/// How often a node reports although nothing has changed.
const REPORT: Duration = Duration::from_secs(900);
/// How long peers may need to see a certificate for a new key, before the report has the former one
/// blocked: Nebula looks at its tunnels every five seconds.
const SHOWN: Duration = Duration::from_secs(12);
/// The first pause after a failure, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));
/// How long until it is tried again what could not be given to Nebula because there was none, and what it
/// refused.
const MISSING: Duration = Duration::from_secs(30);
const REFUSED: Duration = Duration::from_secs(600);
/// The least time between two attempts to renew.
const RENEWALS: Duration = Duration::from_secs(5);
/// The longest pause while a certificate is overdue.
const OVERDUE: Duration = Duration::from_secs(3);

/// How an agent keeps its nodes.
#[derive(Debug, Clone)]
pub struct KeepOptions {
    /// Whether each renewal is for a new private key.
    pub new_keys: bool,
    /// How old a node token may become.
    pub token_age: Duration,
    /// The program `nebula`, where it is not the one in the search path.
    pub nebula: Option<PathBuf>,
    /// How long a poll for changes waits; the server answers after a minute at the latest. The list of
    /// servers is read between two polls.
    pub poll: Duration,
    /// The clock: seconds since the Unix epoch. Default: the machine's.
    pub clock: fn() -> i64,
}

impl Default for KeepOptions {
    fn default() -> Self {
        let token_age = Duration::from_secs(30 * 86_400);
        Self { new_keys: false, token_age, nebula: None, poll: POLL, clock: system_clock }
    }
}

/// Keeps a node until it is told to stop; then its Nebula is stopped, too.
pub(super) async fn keep(node: Node, options: KeepOptions, mut stop: watch::Receiver<bool>) {
    let network = node.membership.network.clone();
    let mut keeper = Keeper::new(node, options);
    let mut backoff = Backoff::new(PAUSES.0, PAUSES.1);
    let mut pace = Pace::default();
    tokio::select! {
        () = keeper.start() => {}
        _ = stop.wait_for(|stop| *stop) => {}
    }
    loop {
        let turn = async {
            let pause = match keeper.turn().await {
                Ok(()) => {
                    backoff.reset();
                    Duration::ZERO
                }
                Err(error) => {
                    tracing::warn!(network, %error, "the node can't be brought up to date");
                    let now = keeper.now();
                    keeper.node.note_error(&error, now);
                    let asked = match &error {
                        AgentError::Client(error) => error.retry_after(),
                        _ => None,
                    };
                    let pause = backoff.next(asked);
                    if keeper.is_overdue() { pause.min(OVERDUE) } else { pause }
                }
            };
            keeper.write_state();
            keeper.rest(pause.max(pace.pause())).await;
        };
        tokio::select! {
            () = turn => {}
            _ = stop.wait_for(|stop| *stop) => break,
        }
    }
    let Keeper { mut node, supervisor, options, .. } = keeper;
    supervisor.stop().await;
    node.state.nebula = None;
    write_state(&mut node, (options.clock)());
}

/// How a turn ended.
enum Turn {
    Done,
    /// There are other servers to ask from now on.
    OtherServers,
}

struct Keeper {
    node: Node,
    options: KeepOptions,
    supervisor: Supervisor,
    process: watch::Receiver<ProcessState>,
    client: Option<Client>,
    /// Of what the last bundle was that it has seen, also if that was refused.
    seen: Option<Desired>,
    /// Whether there is another one, as far as is known.
    is_stale: bool,
    /// The user's own files, as they were installed.
    local: Vec<(String, String)>,
    /// Nebula refused this one.
    refused: Option<Desired>,
    /// When to try again what Nebula did not take: a name may be resolved, a port free, a program there.
    again_at: Option<Instant>,
    /// What is installed, since this agent runs.
    installed: Option<Offer>,
    /// When to have Nebula judge the flows in use anew.
    judge_at: Vec<Instant>,
    renewed: Option<Instant>,
    report_at: Instant,
    /// Until when no report is sent of a new key: it would have a certificate blocked that peers still know.
    quiet_until: Option<Instant>,
    servers_at: Instant,
    knows_itself: bool,
}

impl Keeper {
    fn new(node: Node, options: KeepOptions) -> Self {
        let directory = node.directory.path().to_owned();
        let place = Place {
            name: node.membership.network.clone(),
            config: node.configuration(),
            pid_file: directory.join("nebula.pid"),
            program: options.nebula.clone().or_else(|| node.membership.local.nebula.clone()),
            directory,
        };
        let supervisor = Supervisor::start(place, Times::default());
        let process = supervisor.state();
        let now = Instant::now();
        Self {
            node,
            options,
            supervisor,
            process,
            client: None,
            seen: None,
            is_stale: true,
            local: vec![],
            refused: None,
            again_at: None,
            installed: None,
            judge_at: vec![],
            renewed: None,
            report_at: now,
            quiet_until: None,
            servers_at: now,
            knows_itself: false,
        }
    }

    /// Starts Nebula with what is installed: servers may be away.
    async fn start(&mut self) {
        self.node.state.by_agent = true;
        self.node.state.nebula = None;
        self.node.state.problems.clear();
        if let Err(error) = self.node.note_installed() {
            self.node.note_error(&error, self.now());
        }
        let is_valid = self.node.state.not_after.is_some_and(|end| end > self.now());
        // With an expired certificate Nebula does not start: fetch first.
        if is_valid && let Err(error) = self.run_installed().await {
            self.note_apply_error(&error);
        }
        self.write_state();
    }

    /// Has Nebula run with what is installed.
    async fn run_installed(&mut self) -> Result<(), ApplyError> {
        let files = self.node.installed().ok().flatten();
        if let Some(files) = files
            && let Some(configuration) = configuration_of(&files)
        {
            let text = |name| files.files().find(|(found, _)| *found == name).map(|(_, text)| text);
            let cas = text("ca.crt").unwrap_or_default();
            let cas = Certificate::from_pem_many(cas.as_bytes()).unwrap_or_default();
            let needed = Release::needed_for(&cas, &certificates_of(&files));
            self.supervisor.apply(configuration, needed).await?;
        }
        self.node.state.clear(ProblemKind::NebulaMissing);
        self.node.state.clear(ProblemKind::NebulaFails);
        Ok(())
    }

    /// One turn: whatever is due, then a long poll.
    async fn turn(&mut self) -> Result<(), AgentError> {
        self.note_process();
        let now = self.now();
        if self.client.is_none() {
            self.client = Some(self.node.connect().await?);
        }
        if self.node.identity.token_age().is_some_and(|age| age > self.options.token_age) {
            self.client = Some(self.node.rotate_token().await?);
        }
        let Some(client) = self.client.take() else { return Ok(()) };
        let done = self.turn_with(&client, now).await;
        match &done {
            // Another token may be in force, which an operator has put there.
            Err(AgentError::Client(error)) if kept_out(error) => {
                self.node.identity.reload_token();
            }
            // The next turn asks other servers.
            Ok(Turn::OtherServers) => {}
            _ => self.client = Some(client),
        }
        done.map(drop)
    }

    async fn turn_with(&mut self, client: &Client, now: i64) -> Result<Turn, AgentError> {
        // With another bundle, the time to renew may be another.
        if !self.knows_itself || self.is_stale {
            self.node.look_at_itself(client).await?;
            self.note_contact(client, now);
            self.knows_itself = true;
        }
        self.renew(client, now).await?;
        let local = match local_files::read(&self.node.directory) {
            Ok(local) => local,
            // Installing says what is wrong, after it has seen to the revocations.
            Err(_) => {
                self.is_stale = true;
                self.local.clone()
            }
        };
        let is_again = self.again_at.is_some_and(|at| at <= Instant::now());
        if is_again || local != self.local {
            // What was wrong may be mended.
            self.refused = None;
        }
        if self.is_stale || is_again || local != self.local {
            let offer = self.node.fetch(client, now).await?;
            self.note_contact(client, now);
            self.seen = Some(offer.applied.desired());
            self.local = local;
            self.again_at = None;
            self.apply(&offer).await?;
            self.is_stale = false;
        }
        self.judge().await?;
        if self.report_is_due() {
            self.note_tunnels();
            self.node.report(client, now).await?;
            self.report_at = Instant::now() + REPORT;
            self.quiet_until = None;
        }
        if self.servers_at <= Instant::now() {
            self.servers_at = Instant::now() + SERVERS.min(self.options.poll);
            if self.node.read_servers(client).await? {
                return Ok(Turn::OtherServers);
            }
        }
        self.note_process();
        self.write_state();
        self.poll(client).await?;
        Ok(Turn::Done)
    }

    /// Renews if that is due; what was issued is in the next bundle.
    async fn renew(&mut self, client: &Client, now: i64) -> Result<(), AgentError> {
        let is_due = self.node.renew_at().is_some_and(|at| at <= now);
        let is_soon = self.renewed.is_some_and(|at| at.elapsed() < RENEWALS);
        if !is_due || is_soon {
            return Ok(());
        }
        self.renewed = Some(Instant::now());
        match self.node.renew(client, self.options.new_keys).await {
            Ok(was_renewed) => {
                self.node.state.clear(ProblemKind::Renewal);
                self.is_stale |= was_renewed;
                if was_renewed {
                    tracing::info!(network = self.node.membership.network, "certificate renewed");
                }
                Ok(())
            }
            Err(error) => {
                self.node.state.note(ProblemKind::Renewal, error.to_string(), now);
                Err(error)
            }
        }
    }

    /// Installs an offer and has Nebula take it over, or goes back.
    async fn apply(&mut self, offer: &Offer) -> Result<(), AgentError> {
        let desired = offer.applied.desired();
        if self.refused == Some(desired) {
            return Ok(());
        }
        let installing = match self.node.install(offer) {
            Err(error) if error.is_of_local_files(self.node.directory.path()) => {
                if self.node.install_trust(&offer.bundle)?
                    && let Err(error) = self.run_installed().await
                {
                    self.note_apply_error(&error);
                }
                return Err(error);
            }
            installed => installed?,
        };
        let network = self.node.membership.network.clone();
        match self.run_installed().await {
            Ok(()) => {
                self.node.confirm(offer)?;
                self.node.state.awaited = None;
                self.refused = None;
                tracing::info!(
                    network,
                    revision = desired.revision,
                    generation = desired.generation,
                    "applied"
                );
                self.plan_judgements(offer);
                self.report_at = Instant::now();
                if installing == (Installing::Changed { key: true }) {
                    // A report that waits already is not put off again, so that one is sent some time.
                    self.quiet_until.get_or_insert(self.report_at + SHOWN);
                }
                Ok(())
            }
            Err(error) => {
                tracing::error!(network, %error, "nebula does not take the configuration");
                self.note_apply_error(&error);
                let is_missing = matches!(error, ApplyError::Find(_));
                let pause = if is_missing { MISSING } else { REFUSED };
                self.again_at = Some(Instant::now() + pause);
                if installing == Installing::Unchanged || is_missing {
                    return Ok(());
                }
                self.go_back(&offer.bundle, desired, &error.to_string()).await
            }
        }
    }

    /// A peer whose certificate was blocked may have another one, with less groups. Its flows were judged
    /// by the former one, and go on until the firewall changes once the peer has shown the new one, which
    /// takes as long as it takes Nebula to look at its tunnels.
    fn plan_judgements(&mut self, offer: &Offer) {
        let blocks = |offer: &Offer| offer.bundle.config().pki.blocklist.clone();
        let before = self.installed.as_ref().map(blocks).unwrap_or_default();
        if blocks(offer).iter().any(|blocked| !before.contains(blocked)) {
            let now = Instant::now();
            self.judge_at = JUDGEMENTS.iter().map(|after| now + *after).collect();
        }
        self.installed = Some(offer.clone());
    }

    /// Has Nebula judge all flows anew, by a reload that changes nothing else.
    async fn judge(&mut self) -> Result<(), AgentError> {
        let is_due = self.judge_at.iter().any(|at| *at <= Instant::now());
        self.judge_at.retain(|at| *at > Instant::now());
        if let Some(offer) = self.installed.as_ref().filter(|_| is_due) {
            self.node.touch(&offer.bundle)?;
            if let Err(error) = self.run_installed().await {
                self.note_apply_error(&error);
            }
        }
        Ok(())
    }

    async fn go_back(
        &mut self,
        newer: &CheckedBundle,
        refused: Desired,
        reason: &str,
    ) -> Result<(), AgentError> {
        self.refused = Some(refused);
        if !self.node.roll_back(newer)? {
            return Ok(());
        }
        match self.run_installed().await {
            Ok(()) => self.node.state.note(ProblemKind::NebulaRefused, reason, self.now()),
            Err(error) => self.note_apply_error(&error),
        }
        self.report_at = Instant::now();
        Ok(())
    }

    fn report_is_due(&self) -> bool {
        self.quiet_until.max(Some(self.report_at)) <= Some(Instant::now())
    }

    /// Waits for another bundle, for as long as nothing else is due.
    async fn poll(&mut self, client: &Client) -> Result<(), AgentError> {
        let seen = self.seen.unwrap_or_default();
        let wait = self.until_due().min(self.options.poll).max(Duration::from_secs(1));
        let watching = client.watch_own_node(seen, wait);
        tokio::pin!(watching);
        let mut look = tokio::time::interval(LOOK);
        let patience = wait + LATE;
        let end = Instant::now() + patience;
        loop {
            tokio::select! {
                () = sleep_until(end) => {
                    let (server, seconds) = (client.answered_by(), patience.as_secs());
                    return Err(ClientError::Timeout { server, seconds }.into());
                }
                news = &mut watching => {
                    let news = news?;
                    self.note_contact(client, self.now());
                    self.is_stale |= news.is_some_and(|news| news != seen);
                    return Ok(());
                }
                _ = look.tick() => {
                    let is_changed = local_files::read(&self.node.directory)
                        .is_ok_and(|local| local != self.local);
                    let now = Instant::now();
                    let is_due = self.judge_at.iter().any(|at| *at <= now);
                    if is_changed || is_due || self.report_is_due() {
                        return Ok(());
                    }
                }
                changed = self.process.changed() => {
                    // Its sender is there as long as the supervisor.
                    if changed.is_ok() {
                        self.note_process();
                        self.write_state();
                    }
                }
            }
        }
    }

    /// Rests after a failure, and notes what Nebula does meanwhile.
    async fn rest(&mut self, pause: Duration) {
        let end = Instant::now() + pause;
        while let Some(left) = end.checked_duration_since(Instant::now())
            && !left.is_zero()
        {
            match timeout(left.min(LOOK), self.process.changed()).await {
                Ok(Ok(())) => {
                    self.note_process();
                    self.write_state();
                }
                Ok(Err(_)) => sleep(left.min(LOOK)).await,
                Err(_) => {}
            }
            // Somebody has put another token there.
            if self.client.is_none() && self.node.identity.reload_token() {
                return;
            }
        }
    }

    /// How long until it renews.
    fn until_due(&self) -> Duration {
        let Some(at) = self.node.renew_at() else { return self.options.poll };
        let left = Duration::from_secs(u64::try_from(at.saturating_sub(self.now())).unwrap_or(0));
        match self.renewed.map(|at| RENEWALS.saturating_sub(at.elapsed())) {
            Some(pause) => left.max(pause),
            None => left,
        }
    }

    fn is_overdue(&self) -> bool {
        self.node.renew_at().is_some_and(|at| at <= self.now())
    }

    fn now(&self) -> i64 {
        (self.options.clock)()
    }
}

/// Seconds since the Unix epoch, by this machine's clock.
fn system_clock() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}
