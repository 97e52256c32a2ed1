//! PostgreSQL. Any number of processes on one database, each with one writing connection.
//!
//! What keeps them from each other: rows are taken with `SKIP LOCKED`, unique keys have the last
//! word, and the [`Writer`](crate::Writer) holds an advisory lock on each subject of its batch, so
//! that two steps of one key never run at once in any process. Advisory locks belong to the
//! schema of the tables.
//!
//! A batch takes one of the server's locks for each of its requests; what all processes may take
//! together is `max_locks_per_transaction` times `max_connections`, 6,400 by default.
//!
//! Connect to the server itself or through a pooler in session mode: statements stay prepared and
//! settings are the session's. Another mode is refused: when connecting, where a second connection
//! is served by the same process, and later, as soon as a transaction begins in another.

mod channel;
mod connection;
mod encryption;
mod failure;
mod gate;
mod heartbeat;
mod lock;
mod pipeline;
mod place;
mod readers;
mod rewrite;
mod rights;
mod server;
mod session;
mod settings;
mod settled;
mod target;
mod text;
mod timeline;
#[cfg(feature = "tls")]
mod tls;
mod transaction;
mod url;
mod value;

use std::thread;
use std::time::{Duration, Instant};

pub use self::encryption::Protection;
use self::gate::Gate;
use self::heartbeat::Heartbeat;
use self::lock::Locks;
use self::pipeline::{Message, Reply, number};
pub use self::readers::PostgresReaders;
use self::rights::Need;
use self::session::Session;
use self::settings::{LOCK_TIMEOUT, Opened, Purpose, Settings};
use self::settled::BEGINS_AFTER;
use self::transaction::OpenPostgres;
use self::value::Bound;
use crate::error::{Contention, Doubt, Error, Outage};
use crate::schema::COMPONENT;
use crate::store::migrate::{Component, migrate};
use crate::store::{Begin, Begun, Open, Subject};
use crate::store::{Row, Transaction};

const SHARED: &str = "SELECT 1, pg_backend_pid() FROM pg_advisory_xact_lock_shared($1)";
const EXCLUSIVE: &str = "SELECT 1, pg_backend_pid() FROM pg_advisory_xact_lock($1)";
const EXCLUSIVE_IF_FREE: &str = "SELECT pg_try_advisory_xact_lock($1), pg_backend_pid()";
const KEYS: &str = "SELECT pg_try_advisory_xact_lock(key)
     FROM unnest(CAST($1 AS BIGINT[])) WITH ORDINALITY AS asked (key, place) ORDER BY place";
const CLOCK: &str = "SELECT CAST(extract(epoch FROM clock_timestamp()) AS BIGINT)";
const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE";

/// How long a transaction about everything tries to get in between those of others: longer than a
/// stalled one can block it.
const PATIENCE: Duration = Duration::from_secs(12);

/// How often it looks meanwhile.
const LOOK: Duration = Duration::from_millis(5);

/// How often the clocks are compared while there is work.
const CLOCK_INTERVAL: Duration = Duration::from_secs(10);

/// A writing connection to a database.
///
/// It has a small runtime of its own. Its calls block, so asynchronous code should make them where
/// blocking is allowed.
pub struct Postgres {
    settings: Settings,
    session: Session,
    protection: Protection,
    /// The server's process that serves it.
    pid: i64,
    locks: Locks,
    gate: Gate,
    heartbeat: Heartbeat,
    components: Vec<Component>,
    /// How far, in seconds, the writer's clock may be from the server's.
    tolerance: Option<u64>,
    /// When they were last found to agree.
    agreed: Option<Instant>,
}

impl std::fmt::Debug for Postgres {
    /// Without the address, which holds a password.
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Postgres").field("instance", &self.heartbeat.number()).finish()
    }
}

impl Postgres {
    /// Connects, and brings this crate's tables to the current version. `url` is
    /// `postgresql://user:password@host:port/database?option=value` or the same as `name=value`
    /// words. Of several hosts it works with the one that takes writes and has the highest
    /// timeline, and never with one of a lower timeline than it has seen: one left behind by a
    /// failover. `connect_timeout` (5 seconds) is for each of them. In the first form, `@` in a password is
    /// written `%40`, and `%` is written `%25`.
    ///
    /// `sslmode` is `disable`, `prefer`, `require`, `verify-ca` or `verify-full`. Where it is left out,
    /// connections within the machine (Unix sockets, which are never encrypted, and loopback addresses)
    /// are plain, and all others are `verify-full`: the server's certificate must name the host and
    /// lead to a root certificate of the system, or of the PEM file that `sslrootcert` names. A
    /// certificate in that file may also be the server's own. `sslcert` and `sslkey` (mode 0600) are
    /// the client's certificate and key. Files are read with each new connection. TLS needs the feature
    /// `tls`. Beyond the machine, a server that `prefer`, `require` or `disable` did not verify gets a
    /// password by SCRAM alone, which does not show it.
    ///
    /// The tables are those that are found in the `search_path`, wherever in it; new ones are made
    /// in its first schema. The connection stays with that schema.
    ///
    /// `fsync` and `full_page_writes` must be on, `synchronous_commit` `on` or `remote_apply`, and
    /// `default_transaction_read_only` off. The database must be UTF-8.
    ///
    /// # Errors
    ///
    /// [`Error::Setting`] for one of these, for an unusable `url`, for a `sslmode` that this build does
    /// not support, for unusable certificates, for a server that asks for a password by another method than
    /// SCRAM where it is not verified, for a `search_path` with tables in two schemas, or with several schemas while the
    /// tables are in another, and for a pooler in transaction mode; [`Error::MissingRight`] when the
    /// role lacks a right; those of [`migrate`];
    /// [`Error::Unavailable`] when the server cannot be reached or does not take writes.
    pub fn connect(url: &str) -> Result<Self, Error> {
        let settings = Settings::parse(url)?;
        let Opened { session, schema, pid, timeline, protection } =
            settings.open(Purpose::Writing)?;
        let mut store = Self {
            settings,
            session,
            protection,
            pid,
            locks: Locks::new(&schema),
            gate: Gate::default(),
            heartbeat: Heartbeat::on(timeline),
            components: Vec::new(),
            tolerance: None,
            agreed: None,
        };
        store.migrate(&COMPONENT)?;
        Ok(store)
    }

    /// Has a [`Writer`](crate::Writer) write only while its clock is within so many seconds of the
    /// server's: of several processes one that is ahead would take the others along, since no
    /// transaction's time is before the last event's. Until it is the writer is not ready. They
    /// are compared every 10 seconds while there is work.
    #[must_use]
    pub fn with_clock_tolerance(self, seconds: u64) -> Self {
        Self { tolerance: Some(seconds), ..self }
    }

    /// Brings a caller's own tables to the current version, in one transaction. Of several
    /// processes one does it, and the others wait.
    ///
    /// # Errors
    ///
    /// As [`migrate`].
    pub fn migrate(&mut self, component: &Component) -> Result<(), Error> {
        self.migrate_under_lock(component)?;
        self.components.push(*component);
        Ok(())
    }

    fn migrate_under_lock(&mut self, component: &Component) -> Result<(), Error> {
        // Another's migration may take its time, and is worth waiting for.
        self.session.script(&format!("{BEGIN}; SET LOCAL lock_timeout = '50s'"))?;
        let mut open = OpenPostgres::new(&mut self.session, None);
        open.query(EXCLUSIVE, &[self.locks.migration().into()])?;
        rights::check(&mut open, component, Need::Write)?;
        migrate(&mut open, component)?;
        finish(open)
    }

    /// Runs `work` in one transaction, which is committed when it succeeds and else leaves nothing.
    ///
    /// As on SQLite it has the database to itself: it waits for other processes' batches, for 12
    /// seconds at most, and they for it. See [`transaction_about`](Self::transaction_about) for one that does not.
    ///
    /// # Errors
    ///
    /// Those of `work`, and the engine's; [`Error::OutcomeUnknown`] when the commit failed.
    pub fn transaction<T, E: From<Error>>(
        &mut self,
        work: impl FnOnce(&mut dyn Transaction) -> Result<T, E>,
    ) -> Result<T, E> {
        self.transaction_about(&[Subject::Everything], work)
    }

    /// As [`transaction`](Self::transaction), beside others that are not about the same: the caller
    /// says what it is about, as a [`Step`](crate::writer::Step) does.
    ///
    /// # Errors
    ///
    /// As [`transaction`](Self::transaction); [`Error::Contended`] when another is at work on one
    /// of the subjects.
    pub fn transaction_about<T, E: From<Error>>(
        &mut self,
        subjects: &[Subject],
        work: impl FnOnce(&mut dyn Transaction) -> Result<T, E>,
    ) -> Result<T, E> {
        let subjects: Vec<&Subject> = subjects.iter().collect();
        let give_up = Instant::now() + PATIENCE;
        while !self.start(None, &subjects)?.elsewhere.is_empty() {
            drop(OpenPostgres::new(&mut self.session, None));
            if !is_about_everything(&subjects) || Instant::now() > give_up {
                return Err(Error::Contended(Contention::SameSubject).into());
            }
            thread::sleep(LOOK);
        }
        let mut open = OpenPostgres::new(&mut self.session, self.heartbeat.number());
        let output = work(&mut open)?;
        finish(open)?;
        Ok(output)
    }

    /// Read-only connections to the same database, `count` of them (at least one).
    ///
    /// # Errors
    ///
    /// As [`connect`](Self::connect).
    pub fn readers(&self, count: usize) -> Result<PostgresReaders, Error> {
        PostgresReaders::connect(&self.settings, count)
    }

    /// What protects the connection.
    #[must_use]
    pub fn protection(&self) -> Protection {
        self.protection
    }

    /// How many times it has waited for the server since it connected: round trips, which is what
    /// work on a database far away costs.
    #[must_use]
    pub fn round_trips(&self) -> u64 {
        self.session.trips()
    }

    /// Begins a transaction, with a connection made anew if the old one was lost meanwhile: nothing
    /// of the transaction has been sent.
    fn start(&mut self, now: Option<i64>, subjects: &[&Subject]) -> Result<Started, Error> {
        match self.try_start(now, subjects) {
            Err(Error::Unavailable(_)) if self.session.lost().is_some() => {
                self.reconnect()?;
                self.try_start(now, subjects)
            }
            other => other,
        }
    }

    fn reconnect(&mut self) -> Result<(), Error> {
        let Opened { session, schema, pid, timeline, protection } =
            self.settings.open(Purpose::Writing)?;
        (self.session, self.pid, self.protection) = (session, pid, protection);
        self.locks = Locks::new(&schema);
        self.heartbeat.reconnected(timeline);
        for component in self.components.clone() {
            self.migrate_under_lock(&component)?;
        }
        Ok(())
    }

    /// Refuses a time that is too far from the server's.
    fn check_clock(&mut self, now: Option<i64>) -> Result<(), Error> {
        let (Some(tolerance), Some(now)) = (self.tolerance, now) else { return Ok(()) };
        let server = number(&self.session.one(CLOCK, &[])?)?.unwrap_or(now);
        let seconds = now.abs_diff(server);
        if seconds <= tolerance {
            self.agreed = Some(Instant::now());
            return Ok(());
        }
        Err(Error::Unavailable(Outage::ClockOff { seconds, is_ahead: now > server }))
    }

    fn try_start(&mut self, now: Option<i64>, subjects: &[&Subject]) -> Result<Started, Error> {
        // A stalled server should be noticed here, before there is anything to lose.
        self.session.hurry();
        let started = self.enter(now, subjects);
        self.session.settle();
        started
    }

    fn enter(&mut self, now: Option<i64>, subjects: &[&Subject]) -> Result<Started, Error> {
        if self.agreed.is_none_or(|agreed| agreed.elapsed() >= CLOCK_INTERVAL) {
            self.check_clock(now)?;
        }
        self.heartbeat.beat(&mut self.session, now)?;
        let everything = is_about_everything(subjects);
        let keys: Vec<i64> = subjects
            .iter()
            .filter_map(|subject| match subject {
                Subject::Key(key) if !everything => Some(self.locks.key(key)),
                _ => None,
            })
            .collect();
        let wait = if everything { self.gate.wait() } else { None };
        let gate = self.session.text(match (everything, wait) {
            (false, _) => SHARED,
            (true, Some(_)) => EXCLUSIVE,
            (true, None) => EXCLUSIVE_IF_FREE,
        });
        let (take, last) = (self.session.text(KEYS), self.session.text(BEGINS_AFTER));
        self.session.prepare([&gate, &take, &last])?;
        let waiting =
            wait.map(|wait| format!("{BEGIN}; SET LOCAL lock_timeout = {}", wait.as_millis()));
        let following = self.session.following;
        let all = self.locks.everything().into();
        let mut messages = vec![
            Message::Plain(waiting.as_deref().unwrap_or(BEGIN)),
            Message::Bound(gate.check(1)?, vec![Bound::Param(all)]),
            Message::Bound(take.check(1)?, vec![Bound::Keys(&keys)]),
            Message::Bound(last.check(1)?, vec![Bound::Param(i64::from(following).into())]),
        ];
        if wait.is_some() {
            messages.push(Message::Plain(LOCK_TIMEOUT));
        }
        let replies = self.session.send(messages)?;
        let started = match Started::read(replies) {
            Ok(started) if started.pid.is_some_and(|pid| pid != self.pid) => {
                Err(connection::pooled())
            }
            Ok(started) if started.shut => Ok(Started::shut_out(subjects)),
            Err(Error::Contended(_)) if everything => {
                self.gate.missed();
                Ok(Started::shut_out(subjects))
            }
            other => other,
        };
        match &started {
            Ok(started) if everything && !started.shut => self.gate.entered(),
            Err(_) if self.session.lost().is_none() => self.session.script("ROLLBACK")?,
            _ => {}
        }
        started
    }
}

fn is_about_everything(subjects: &[&Subject]) -> bool {
    subjects.iter().any(|subject| matches!(subject, Subject::Everything))
}

/// What beginning a transaction answered.
struct Started {
    last_event: Option<i64>,
    elsewhere: Vec<usize>,
    /// It needs exclusive access, and other processes are at work.
    shut: bool,
    /// The server's process in which it began.
    pid: Option<i64>,
}

impl Started {
    fn shut_out(subjects: &[&Subject]) -> Self {
        let elsewhere = (0..subjects.len()).collect();
        Self { last_event: None, elsewhere, shut: true, pid: None }
    }

    fn read(replies: Vec<Result<Reply, Error>>) -> Result<Self, Error> {
        let mut rows: Vec<Vec<Row>> = Vec::new();
        for reply in replies {
            if let Reply::Rows(received) = reply? {
                rows.push(received.iter().map(value::row).collect::<Result<_, _>>()?);
            }
        }
        let mut rows = rows.into_iter();
        let (mut shut, mut pid) = (false, None);
        if let Some(gate) = rows.next().unwrap_or_default().first() {
            let mut gate = gate.columns();
            shut = gate.integer()? == 0;
            pid = Some(gate.integer()?);
        }
        let mut elsewhere = Vec::new();
        for (index, row) in rows.next().unwrap_or_default().iter().enumerate() {
            if row.columns().integer()? == 0 {
                elsewhere.push(index);
            }
        }
        let last = rows.next().unwrap_or_default();
        let last_event =
            last.first().map(|row| row.columns().optional_integer()).transpose()?.flatten();
        Ok(Self { last_event, elsewhere, shut, pid })
    }
}

/// Sends what is queued, and commits.
fn finish(mut open: OpenPostgres<'_>) -> Result<(), Error> {
    open.flush()?;
    open.commit().map_err(|error| match error {
        Error::Contended(_) => error,
        other => Error::OutcomeUnknown(Doubt::Commit(Box::new(other))),
    })
}

impl Begin for Postgres {
    type Open<'a> = OpenPostgres<'a>;

    fn begin(&mut self, now: i64, subjects: &[&Subject]) -> Result<Begun<OpenPostgres<'_>>, Error> {
        let Started { last_event, elsewhere, .. } = self.start(Some(now), subjects)?;
        let open = OpenPostgres::new(&mut self.session, self.heartbeat.number());
        Ok(Begun { open, last_event, elsewhere })
    }

    fn recover(&mut self, now: i64) -> Result<(), Error> {
        self.reconnect()?;
        self.check_clock(Some(now))
    }

    fn round_trips(&self) -> u64 {
        self.session.trips()
    }

    fn is_lost(&self) -> bool {
        self.session.lost().is_some()
    }
}
