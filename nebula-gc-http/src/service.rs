//! What the control plane does, without a word of how it is asked.

mod access;
pub(crate) mod asker;
mod audit;
mod authority;
mod blocking;
mod blocklist;
mod bundles;
mod cas;
mod consistency;
pub(crate) mod context;
mod dialect;
mod enroll;
mod events;
mod exclusive;
mod import;
mod issuance;
mod join_tokens;
mod networks;
mod node_change;
mod nodes;
pub(crate) mod operator_keys;
mod options;
mod pending;
mod pools;
mod precondition;
mod release;
mod revision;
pub(crate) mod secrets;
mod self_service;
mod tenants;
mod terms;
mod turns;
mod update;
pub(crate) mod upkeep;
mod watch;

use std::sync::Arc;

use nebula_alloc::store::Transaction;
use nebula_alloc::writer::Step;
use nebula_alloc::{Writer, WriterOptions};
use tokio::sync::oneshot;
use tokio::task::spawn_blocking;
use uuid::Uuid;

pub use self::access::Action;
use self::access::KnownCallers;
use self::asker::Asker;
use self::authority::Authorities;
pub use self::blocklist::BlockReport;
pub use self::bundles::NodeBundle;
use self::bundles::Views;
pub use self::cas::{ActiveCa, CaDetails, CaFiles, CaSource, CaStanding, CaWarnings, NetworkCa};
use self::context::Caller;
pub use self::context::Context;
pub use self::dialect::NodeStatus;
pub use self::dialect::add_pool::{AddPool, PoolAdded};
pub use self::dialect::register::Registration;
pub use self::enroll::Enrolled;
pub use self::enroll::renewal::Renewed;
pub use self::enroll::request::Enrollment;
pub use self::events::{EventPage, NumberedEvent};
pub use self::exclusive::{Created, Repeat};
pub use self::import::{HostImport, ImportConflict, ImportReport};
pub use self::join_tokens::{Expiry, NewJoinToken};
pub use self::networks::{NetworkPatch, NetworkSettings, NewNetwork};
pub use self::node_change::{Change, NodeChange};
pub use self::nodes::{NodeDetails, NodePage, Rotated, Unapplied};
pub use self::operator_keys::{NewOperatorKey, Reach};
pub use self::options::Options;
pub use self::pending::Settlement;
pub use self::pools::{Addresses, NewBlock, PoolUsage, Room};
pub use self::precondition::{Expected, Tag};
use self::self_service::Heartbeats;
pub use self::self_service::{OwnCertificate, OwnNode};
use self::turns::Turns;
use self::upkeep::Progress;
pub use self::upkeep::Upkeep;
pub use self::watch::Desired;
use self::watch::Watch;
use crate::error::Unavailable;
use crate::secret::{Bearer, BearerKind, ServerSecrets};
use crate::signers::Signers;
use crate::store::database::{Database, Reading};
use crate::store::{self, operator_key, tenant};
use crate::{Error, NetworkRef, TenantId};

/// The control plane over one database.
///
/// Its methods are what clients may ask for. Each decides and writes in one transaction, whose
/// commit comes before the answer.
pub struct Service {
    writer: Writer,
    reading: Arc<Reading>,
    shared: Arc<Shared>,
    views: Views,
    known: KnownCallers,
    turns: AllTurns,
    watch: Watch,
    progress: Progress,
    options: Options,
}

/// Turns at the writer, and at reading: who waits for a connection must not hold a thread meanwhile.
/// Nodes and health have some of their own, which operators' lists can't take.
struct AllTurns {
    write: Turns,
    read: Turns,
    read_as_node: Turns,
    read_health: Turns,
}

/// What steps need inside a transaction.
struct Shared {
    secrets: ServerSecrets,
    authorities: Authorities,
    /// Who holds the CA keys that are not here.
    signers: Signers,
    /// Nodes that were heard of.
    heartbeats: Heartbeats,
    /// This process, among those that share the database.
    instance: String,
    /// For reads: a step is told its transaction's time.
    clock: Arc<dyn Fn() -> i64 + Send + Sync>,
}

impl Shared {
    /// Seconds since the Unix epoch.
    fn now(&self) -> i64 {
        (self.clock)()
    }
}

impl Service {
    /// Starts the service over an open database, bringing its tables up to date.
    ///
    /// `clock` tells the time in seconds since the Unix epoch. `keep` is given the root operator
    /// key where there is no operator key yet, before it can be used: what it keeps is the only
    /// plaintext copy.
    ///
    /// # Errors
    /// What the database answers, or `keep`.
    pub fn start(
        database: impl Into<Database>,
        secrets: ServerSecrets,
        clock: impl Fn() -> i64 + Send + Sync + 'static,
        keep: impl FnOnce(&Bearer) -> Result<(), Error> + Send + 'static,
    ) -> Result<Self, Error> {
        Self::start_with(database, secrets, Signers::default(), clock, keep)
    }

    /// As [`start`](Self::start), with signers that networks may name for their CAs.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn start_with(
        database: impl Into<Database>,
        secrets: ServerSecrets,
        signers: Signers,
        clock: impl Fn() -> i64 + Send + Sync + 'static,
        keep: impl FnOnce(&Bearer) -> Result<(), Error> + Send + 'static,
    ) -> Result<Self, Error> {
        let keep = |key| keep(&key).map(|()| key);
        Self::start_keeping(database, secrets, signers, clock, keep)
    }

    /// As [`start_with`](Self::start_with); `keep` answers the key that it keeps, which may be
    /// another that was kept before.
    pub(crate) fn start_keeping(
        database: impl Into<Database>,
        secrets: ServerSecrets,
        signers: Signers,
        clock: impl Fn() -> i64 + Send + Sync + 'static,
        keep: impl FnOnce(Bearer) -> Result<Bearer, Error>,
    ) -> Result<Self, Error> {
        let mut database = database.into();
        database.migrate(&store::COMPONENT)?;
        database.transaction(|tx| secrets::verify(tx, &secrets))?;
        let clock: Arc<dyn Fn() -> i64 + Send + Sync> = Arc::new(clock);
        let writing = Arc::clone(&clock);
        let options = WriterOptions::default().with_queue(QUEUE);
        let (writer, reading) =
            database.start(move || writing(), options, READERS + NODE_READERS + 2)?;
        let reading = Arc::new(reading);
        let authorities = Authorities::default();
        let instance = Uuid::now_v7().to_string();
        let shared = Arc::new(Shared {
            secrets,
            authorities,
            signers,
            heartbeats: Heartbeats::default(),
            instance,
            clock,
        });
        let known = shared.secrets.clone();
        writer.transaction(move |tx, now| secrets::note(tx, &known, now))?;
        prepare(&writer, &shared.secrets, keep)?;
        secrets::reseal(&writer, &shared.secrets)?;
        let watch = Watch::start(Arc::clone(&reading))?;
        Ok(Self {
            writer,
            reading,
            shared,
            views: Views::default(),
            known: KnownCallers::default(),
            turns: AllTurns {
                write: Turns::new(WRITING, ROOM),
                read: Turns::new(READERS, ROOM),
                read_as_node: Turns::new(NODE_READERS, ROOM),
                read_health: Turns::new(1, ROOM),
            },
            watch,
            progress: Progress::default(),
            options: Options::default(),
        })
    }

    /// With other options.
    #[must_use]
    pub fn with_options(self, options: Options) -> Self {
        Self { options, ..self }
    }

    /// Whether it can do its work: the writer is up and the database answers.
    pub async fn is_ready(&self) -> bool {
        self.readiness().await.is_some()
    }

    /// How many networks need another CA, which keeps it from no other work; nothing where it can't do
    /// its work.
    pub async fn readiness(&self) -> Option<CaWarnings> {
        if !self.writer.is_ready() {
            return None;
        }
        let warn = |tx: &mut dyn Transaction, shared: &Shared| cas::warnings(tx, shared.now());
        self.read_in(&self.turns.read_health, warn).await.ok()
    }

    /// Ends its work, also while others still have it: nothing more is read or written, what was
    /// taken on is finished, and the database is closed. Of SQLite's the file alone is the whole
    /// database then; where that cannot be, a line of the log tells why.
    pub async fn close(&self) {
        self.watch.stop();
        let reading = Arc::clone(&self.reading);
        // A panic would be told by the runtime.
        let _ = spawn_blocking(move || reading.close()).await;
        if let Err(error) = self.writer.close().await {
            tracing::warn!(%error, "the database could not be closed as it should be");
        }
    }

    /// Whether someone has this credential, for a request that is refused before it is read.
    ///
    /// # Errors
    /// [`Error::Unauthorized`].
    pub async fn authenticate(&self, context: &Context) -> Result<(), Error> {
        let asked = context.clone();
        self.read(move |tx, shared| {
            access::Principal::authenticate(tx, &shared.secrets, &asked, shared.now()).map(drop)
        })
        .await
    }

    /// Whether someone may do this to a network, for a request that costs something before it comes
    /// to its transaction, which decides.
    ///
    /// # Errors
    /// Those of access, [`Error::NotFound`] for a network that the caller does not see.
    pub async fn authorize(
        &self,
        context: &Context,
        action: Action,
        network: Option<&NetworkRef>,
    ) -> Result<(), Error> {
        let (asked, network) = (context.clone(), network.cloned());
        self.read(move |tx, shared| {
            let (secrets, now) = (&shared.secrets, shared.now());
            access::authorize(tx, secrets, &asked, now, action, network.as_ref()).map(drop)
        })
        .await
    }

    /// Keeps callers without a good credential out of the writer's queue, and from having bodies read.
    /// It decides nothing else: the step asks again inside its transaction. Once is enough for a
    /// request.
    ///
    /// # Errors
    /// [`Error::Unauthorized`].
    pub async fn admit(&self, context: &Context) -> Result<(), Error> {
        let Caller::Bearer(bearer) = context.caller() else { return Ok(()) };
        if Asker::now().is_judged {
            return Ok(());
        }
        Asker::shows(bearer.kind());
        let hashed = self.shared.secrets.hash(bearer)?;
        if let Some(known) = self.known.find(&hashed, self.shared.now()) {
            Asker::has(&hashed, known.is_suspect);
            return Ok(());
        }
        let asked = context.clone();
        let authenticate = move |tx: &mut dyn Transaction, shared: &Shared| {
            let now = shared.now();
            let principal = access::Principal::authenticate(tx, &shared.secrets, &asked, now)?;
            Ok((principal.ends_at(), now))
        };
        let (ends_at, now) = self.read(authenticate).await?;
        if now < ends_at && bearer.kind() != BearerKind::NodeToken {
            self.known.insert(&hashed, ends_at);
        }
        Asker::has(&hashed, now >= ends_at);
        Ok(())
    }

    /// As [`admit`](Self::admit), for a request that is going to read: a node's credential is read
    /// with it.
    ///
    /// # Errors
    /// [`Error::Unauthorized`].
    pub async fn admit_to_read(&self, context: &Context) -> Result<(), Error> {
        match context.caller() {
            Caller::Bearer(bearer) if bearer.kind() == BearerKind::NodeToken => {
                Asker::shows(BearerKind::NodeToken);
                Ok(())
            }
            _ => self.admit(context).await,
        }
    }

    /// Runs a step with the writer's next batch.
    async fn write<S: Step<Error = Error>>(&self, step: S) -> Result<S::Output, Error> {
        let asker = Asker::now();
        let mut step = step;
        let mut is_suspect = asker.is_suspect;
        let turn = loop {
            if is_suspect {
                step = self.rehearse(step).await?;
            }
            let turn = self.turns.write.take(asker.who).await?;
            // What it asked beside this may have been refused while this waited.
            if is_suspect || !self.known.is_suspect(asker.who) {
                break turn;
            }
            is_suspect = true;
        };
        let (answer, outcome) = oneshot::channel();
        let waiting = Arc::clone(self.watch.waiting());
        self.writer.submit(step, move |result| {
            waiting.look_soon();
            // Who asked may have gone away; what was committed stays.
            let _ = answer.send(result);
            drop(turn);
        })?;
        let outcome = outcome.await;
        self.rehash();
        let outcome = outcome.map_err(|_| Unavailable::Stopping)?;
        let is_refused = outcome.as_ref().is_err_and(is_refusal);
        if is_refused != is_suspect {
            self.known.note(asker.who, is_refused);
        }
        outcome
    }

    /// Plans a step beside the writer, for who was refused before: where this is refused as well, the
    /// writer has nothing to do with it.
    async fn rehearse<S: Step<Error = Error>>(&self, mut step: S) -> Result<S, Error> {
        let rehearsed = self.read(move |tx, shared| {
            let planned = step.plan(tx, shared.now());
            Ok((step, planned.err().filter(is_refusal)))
        });
        match rehearsed.await? {
            (step, None) => Ok(step),
            (_, Some(refusal)) => Err(refusal),
        }
    }

    /// Has bearer secrets hashed anew that were found under a former key of the server.
    fn rehash(&self) {
        let stale = self.shared.secrets.take_stale();
        if stale.is_empty() {
            return;
        }
        let tell = |result: Result<(), Error>| {
            if let Err(error) = result {
                tracing::debug!(%error, "bearer secrets are hashed anew at their next use");
            }
        };
        // The next use is soon enough for what does not fit into the queue.
        if let Err(error) = self.writer.submit(secrets::Rehash(stale), tell) {
            tell(Err(error.into()));
        }
    }

    /// Reads in one snapshot, off the threads that serve requests.
    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&mut dyn Transaction, &Shared) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let turns = match Asker::now().kind {
            Some(BearerKind::NodeToken) => &self.turns.read_as_node,
            _ => &self.turns.read,
        };
        self.read_in(turns, read).await
    }

    async fn read_in<T: Send + 'static>(
        &self,
        turns: &Turns,
        read: impl FnOnce(&mut dyn Transaction, &Shared) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let _turn = turns.take(Asker::now().who).await?;
        let (reading, shared) = (Arc::clone(&self.reading), Arc::clone(&self.shared));
        let answer = spawn_blocking(move || reading.read(|tx| read(tx, &shared))).await;
        self.rehash();
        self.store_heartbeats();
        answer.map_err(|_| Unavailable::Panicked { task: "a read" })?
    }
}

/// Connections that read: more than the cores would only wait for each other. Two more are for health
/// and for who looks for changes.
const READERS: usize = 3;
/// Those that read for nodes.
const NODE_READERS: usize = 3;
/// Requests that the writer has at a time: enough that each commit is shared by many, and so few that
/// who comes next waits for few of somebody else's.
const WRITING: usize = 64;
/// Requests that may wait for the writer itself: those that have a turn, and what the service has
/// written beside them.
const QUEUE: usize = 4096;
/// Requests that may wait for a turn; one more is refused at once. Waiting costs less than to be asked
/// again.
const ROOM: usize = 1 << 17;

/// Whether an error is for good, as far as what is stored tells.
fn is_refusal(error: &Error) -> bool {
    !matches!(
        error,
        Error::Unavailable { .. }
            | Error::Overtaken
            | Error::PoolExhausted { .. }
            | Error::RateLimited { .. }
    )
}

/// What every database has from its first start: the default tenant and a root operator key.
fn prepare(
    writer: &Writer,
    secrets: &ServerSecrets,
    keep: impl FnOnce(Bearer) -> Result<Bearer, Error>,
) -> Result<(), Error> {
    let has_key = writer.transaction(|tx, now| {
        if tenant::by_name(tx, tenant::DEFAULT)?.is_none() {
            tenant::insert(tx, TenantId::new(), tenant::DEFAULT, now)?;
        }
        operator_key::any(tx)
    })?;
    if has_key {
        return Ok(());
    }
    // The copy comes first: a key that was stored but not handed out would lock everyone out.
    let hashed = secrets.hash(&keep(Bearer::new_operator_key()?)?)?;
    writer.transaction(move |tx, now| operator_keys::insert_root(tx, now, &hashed, "local"))
}
