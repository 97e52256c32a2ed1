//! One connection with the small runtime that drives it.

use std::cell::Cell;
use std::collections::HashMap;
use std::future::Future;
use std::net::IpAddr;
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Duration;

use tokio::runtime::{Builder, Handle, Runtime};
use tokio_postgres::Client;

use super::encryption::Protection;
use super::failure::{ends_session, failure};
use super::pipeline::{Boxed, Message, Reply, all};
use super::target::Target;
use super::text::Text;
use super::value::Bound;
use crate::error::{EngineFault, Error, Outage};
use crate::store::Row;

/// Statements kept prepared; beyond it all are forgotten and prepared anew as they come.
const STATEMENTS: usize = 1024;

/// How long an answer may take before the connection is given up.
const PATIENCE: Duration = Duration::from_secs(60);

/// The same where the server has next to nothing to do.
const PROMPT: Duration = Duration::from_secs(10);

/// The same for the statements of a migration.
const MIGRATION: Duration = Duration::from_secs(3600);

pub(super) struct Session {
    driver: Driver,
    client: Client,
    texts: HashMap<String, Arc<Text>>,
    patience: Duration,
    /// What protects it.
    pub(super) protection: Protection,
    /// What locks on events of its schema have in common.
    pub(super) following: i32,
    /// The settings that nobody may change.
    pub(super) kept: Option<Row>,
}

impl Session {
    /// Connects to a server. It may take so long for that and for each answer, until
    /// [`settle`](Self::settle): the driver's own timeout ends when the socket is open.
    pub(super) fn open(server: &Target, patience: Duration) -> Result<Self, Error> {
        let driver = Driver::new()?;
        let (client, protection) = driver.wait(patience, server.connect())??;
        let texts = HashMap::new();
        Ok(Self { driver, client, texts, patience, protection, following: 0, kept: None })
    }

    /// From here on it has next to nothing to do.
    pub(super) fn hurry(&mut self) {
        self.patience = PROMPT;
    }

    /// From here on its answers may take as long as work takes.
    pub(super) fn settle(&mut self) {
        self.patience = PATIENCE;
    }

    /// Why the connection is over, if it is.
    pub(super) fn lost(&self) -> Option<Error> {
        self.driver.check().err()
    }

    /// How many round trips there were.
    pub(super) fn trips(&self) -> u64 {
        self.driver.trips.get()
    }

    /// What is known of a statement.
    pub(super) fn text(&mut self, sql: &str) -> Arc<Text> {
        if let Some(text) = self.texts.get(sql) {
            return Arc::clone(text);
        }
        if self.texts.len() >= STATEMENTS {
            self.texts.clear();
        }
        let text = Arc::new(Text::new(sql));
        self.texts.insert(sql.to_owned(), Arc::clone(&text));
        text
    }

    /// Prepares those that are not, in one round trip.
    pub(super) fn prepare<'a>(
        &mut self,
        texts: impl IntoIterator<Item = &'a Arc<Text>>,
    ) -> Result<(), Error> {
        let mut missing: Vec<&Arc<Text>> =
            texts.into_iter().filter(|text| text.statement.get().is_none()).collect();
        missing.sort_by_key(|text| Arc::as_ptr(text));
        missing.dedup_by_key(|text| Arc::as_ptr(text));
        if missing.is_empty() {
            return Ok(());
        }
        let client = &self.client;
        let futures = missing
            .iter()
            .map(|text| Box::pin(client.prepare(&text.sql)) as Boxed<'_, Result<_, _>>)
            .collect();
        let statements = self.driver.wait(self.patience, all(futures))?;
        let mut outcome = Ok(());
        for (text, statement) in missing.into_iter().zip(statements) {
            match statement {
                Ok(statement) => {
                    let _ = text.statement.set(statement);
                }
                Err(error) => outcome = outcome.and(Err(self.driver.note(&error))),
            }
        }
        outcome
    }

    /// Sends all of them at once and answers how each went, in order.
    pub(super) fn send(
        &mut self,
        messages: Vec<Message<'_>>,
    ) -> Result<Vec<Result<Reply, Error>>, Error> {
        let client = &self.client;
        let futures: Vec<Boxed<'_, Result<Reply, tokio_postgres::Error>>> = messages
            .into_iter()
            .map(|message| Box::pin(message.send(client)) as Boxed<'_, _>)
            .collect();
        let replies = self.driver.wait(self.patience, all(futures))?.into_iter();
        Ok(replies.map(|reply| reply.map_err(|error| self.driver.note(&error))).collect())
    }

    /// One statement by itself.
    pub(super) fn one(&mut self, sql: &str, params: &[Bound<'_>]) -> Result<Reply, Error> {
        let text = self.text(sql);
        self.prepare([&text])?;
        let message = Message::Bound(text.check(params.len())?, params.to_vec());
        self.send(vec![message])?.pop().unwrap_or(Ok(Reply::Changed(0)))
    }

    /// Statements without parameters, not prepared, that take the server no time.
    pub(super) fn script(&mut self, sql: &str) -> Result<(), Error> {
        self.driver.drive(PROMPT.min(self.patience), self.client.batch_execute(sql))
    }

    /// The same for those of a migration, which may take their time.
    pub(super) fn migrate(&mut self, sql: &str) -> Result<(), Error> {
        self.driver.drive(MIGRATION, self.client.batch_execute(sql))
    }
}

/// The addresses of a name.
pub(super) fn resolve(name: &str, port: u16, patience: Duration) -> Result<Vec<IpAddr>, Error> {
    let found = Driver::new()?.wait(patience, tokio::net::lookup_host((name, port)))?;
    let found = found.map_err(|error| {
        let cause = Box::new(Outage::Engine(EngineFault::uncoded(&error)));
        Error::Unavailable(Outage::Server { name: name.to_owned(), cause })
    })?;
    let found: Vec<_> = found.map(|address| address.ip()).collect();
    if found.is_empty() {
        Err(Error::Unavailable(Outage::NoAddress { name: name.to_owned() }))
    } else {
        Ok(found)
    }
}

/// Runs what needs the network on the calling thread.
struct Driver {
    /// How often an answer was waited for.
    trips: Cell<u64>,
    /// `None` only while it is dropped.
    runtime: Option<Runtime>,
    lost: OnceLock<Error>,
}

impl Driver {
    fn new() -> Result<Self, Error> {
        let runtime =
            Builder::new_current_thread().enable_io().enable_time().build().map_err(|error| {
                Error::Unavailable(Outage::Engine(EngineFault::uncoded(&error)))
            })?;
        Ok(Self { trips: Cell::new(0), runtime: Some(runtime), lost: OnceLock::new() })
    }

    fn check(&self) -> Result<(), Error> {
        match self.lost.get() {
            Some(cause) => Err(Error::Unavailable(Outage::ConnectionLost(Box::new(cause.clone())))),
            None => Ok(()),
        }
    }

    /// The error as ours; one that ends the connection is remembered.
    fn note(&self, error: &tokio_postgres::Error) -> Error {
        let ours = failure(error);
        if ends_session(error) {
            let _ = self.lost.set(ours.clone());
        }
        ours
    }

    fn wait<T: Send>(
        &self,
        patience: Duration,
        future: impl Future<Output = T> + Send,
    ) -> Result<T, Error> {
        self.check()?;
        // The timer needs the runtime's context.
        let outcome = self.block_on(async { tokio::time::timeout(patience, future).await })?;
        outcome.map_err(|_| {
            let silent = Error::Unavailable(Outage::NoAnswer { within: patience });
            let _ = self.lost.set(silent.clone());
            silent
        })
    }

    fn drive<T: Send>(
        &self,
        patience: Duration,
        future: impl Future<Output = Result<T, tokio_postgres::Error>> + Send,
    ) -> Result<T, Error> {
        self.wait(patience, future)?.map_err(|error| self.note(&error))
    }

    fn block_on<T: Send>(&self, future: impl Future<Output = T> + Send) -> Result<T, Error> {
        let gone = || Error::Unavailable(Outage::ConnectionClosed);
        let runtime = self.runtime.as_ref().ok_or_else(gone)?;
        self.trips.set(self.trips.get() + 1);
        if Handle::try_current().is_err() {
            return Ok(runtime.block_on(future));
        }
        // A thread that belongs to another runtime may not enter this one.
        let output = thread::scope(|scope| scope.spawn(|| runtime.block_on(future)).join());
        output.map_err(|_| gone())
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // Plain dropping would wait, which another runtime's thread may not.
            runtime.shutdown_background();
        }
    }
}
