//! The control plane over one database: how it starts and ends, and in whose turn it reads and writes.
//!
//! The operations are in the files beside, each in an `impl` of [`Service`]; this file knows none of them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use nebula_alloc::NetworkId;
use nebula_alloc::store::Transaction;
use nebula_alloc::writer::Step;
use nebula_alloc::{Writer, WriterOptions};
use tokio::sync::oneshot;
use tokio::task::spawn_blocking;
use uuid::Uuid;

use super::access::{KnownCallers, authorize};
use super::asker::Asker;
use super::authority::Authorities;
use super::context::{Caller, Context};
use super::heartbeat::Heartbeats;
use super::look::Watch;
use super::pace::Pace;
use super::principal::{Action, Principal};
use super::shared::Shared;
use super::turns::Turns;
use super::views::Views;
use super::{first_start, secrets};
use crate::error::Unavailable;
use crate::secret::{Bearer, BearerKind, ServerSecrets};
use crate::signers::Signers;
use crate::store;
use crate::store::database::{Database, Reading};
use crate::{Error, NetworkRef};

/// The control plane over one database.
///
/// Its methods are what clients may ask for. Each decides and writes in one transaction, whose
/// commit comes before the answer.
pub struct Service {
    pub(super) writer: Writer,
    pub(super) reading: Arc<Reading>,
    pub(super) shared: Arc<Shared>,
    pub(super) views: Views,
    pub(super) known: KnownCallers,
    pub(super) turns: AllTurns,
    pub(super) watch: Watch,
    pub(super) progress: Progress,
    pub(super) options: Options,
}

/// How far this instance has come, where that saves looking again.
#[derive(Default)]
pub(super) struct Progress {
    /// Up to which revision of a network quarantines were shortened.
    shortened: Mutex<HashMap<NetworkId, i64>>,
}

/// Turns at the writer, and at reading: who waits for a connection must not hold a thread meanwhile.
/// Nodes and health have some of their own, which operators' lists can't take.
pub(super) struct AllTurns {
    pub(super) write: Turns,
    pub(super) read: Turns,
    pub(super) read_as_node: Turns,
    pub(super) read_health: Turns,
}

/// What an operator decides about a service, whatever its database is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Options {
    /// How much memory opening an encrypted CA key may take, in KiB; all passes over it together may
    /// go over four times as much. One is opened at a time. 2 GiB by default, as `nebula-cert` makes
    /// them.
    pub key_memory: u32,
    /// How long what is over is remembered, in seconds: events, certificates that ended, join tokens
    /// that expired, released nodes. For ever by default.
    pub keep_history: Option<i64>,
    /// How fast certificates may follow each other.
    pub pace: Pace,
}

impl Default for Options {
    fn default() -> Self {
        Self { key_memory: 2 << 20, keep_history: None, pace: Pace::default() }
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
            store: OnceLock::new(),
            pace: OnceLock::new(),
            instance,
            clock,
        });
        let known = shared.secrets.clone();
        writer.transaction(move |tx, now| secrets::note(tx, &known, now))?;
        first_start::prepare(&writer, &shared.secrets, keep)?;
        let identity = writer.transaction(|tx, _| store::identity::prepare(tx))?;
        // Once: it was made just now.
        let _ = shared.store.set(identity);
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

    /// With other options. The first pace that is given holds.
    #[must_use]
    pub fn with_options(self, options: Options) -> Self {
        // What runs already goes by it.
        let _ = self.shared.pace.set(options.pace.within_bounds());
        Self { options, ..self }
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
            tracing::warn!(%error, "closing the database failed");
        }
    }

    /// Whether someone has this credential, for a request that is refused before it is read.
    ///
    /// # Errors
    /// [`Error::Unauthorized`].
    pub async fn authenticate(&self, context: &Context) -> Result<(), Error> {
        let asked = context.clone();
        self.read(move |tx, shared| {
            Principal::authenticate(tx, &shared.secrets, &asked, shared.now()).map(drop)
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
            authorize(tx, secrets, &asked, now, action, network.as_ref()).map(drop)
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
            let principal = Principal::authenticate(tx, &shared.secrets, &asked, now)?;
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
    pub(super) async fn write<S: Step<Error = Error>>(&self, step: S) -> Result<S::Output, Error> {
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
                tracing::debug!(%error, "rehashing bearer secrets failed; retrying at their next use");
            }
        };
        // The next use is soon enough for what does not fit into the queue.
        if let Err(error) = self.writer.submit(secrets::rehash(stale), tell) {
            tell(Err(error.into()));
        }
    }

    /// Reads in one snapshot, off the threads that serve requests.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&mut dyn Transaction, &Shared) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let turns = match Asker::now().kind {
            Some(BearerKind::NodeToken) => &self.turns.read_as_node,
            _ => &self.turns.read,
        };
        self.read_in(turns, read).await
    }

    pub(super) async fn read_in<T: Send + 'static>(
        &self,
        turns: &Turns,
        read: impl FnOnce(&mut dyn Transaction, &Shared) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let _turn = turns.take(Asker::now().who).await?;
        let (reading, shared) = (Arc::clone(&self.reading), Arc::clone(&self.shared));
        let answer = spawn_blocking(move || reading.read(|tx| read(tx, &shared))).await;
        self.rehash();
        self.shared.heartbeats.store(&self.writer);
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

impl Progress {
    pub(super) fn shortened(&self, network: NetworkId) -> i64 {
        let shortened = self.shortened.lock().unwrap_or_else(PoisonError::into_inner);
        shortened.get(&network).copied().unwrap_or_default()
    }

    pub(super) fn note_shortened(&self, network: NetworkId, revision: i64) {
        let mut shortened = self.shortened.lock().unwrap_or_else(PoisonError::into_inner);
        shortened.insert(network, revision);
    }
}
