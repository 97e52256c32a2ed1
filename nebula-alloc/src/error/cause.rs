//! Why the store did not serve a request, as values.

use std::path::PathBuf;
use std::time::Duration;

use super::Error;
use crate::utc::utc;
use std::net::IpAddr;

/// What is wrong with a statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Misuse {
    /// It would write where only reading is allowed: in a plan, in a reader's snapshot.
    #[error("writes, where only reading is allowed")]
    Writes,
    /// It was given to `execute` or `queue` and returns rows.
    #[error("returns rows, which need a query")]
    ReturnsRows,
    /// It would begin or end the transaction.
    #[error("begins or ends the transaction, which others share")]
    ControlsTransaction,
    /// It changed a setting of the session.
    #[error(
        "changes search_path, synchronous_commit, session_replication_role or \
         idle_in_transaction_session_timeout, on which others rely"
    )]
    ChangesSettings,
    /// It has another number of parameters than there are values.
    #[error("has more or fewer parameters than values")]
    ParameterCount,
    /// Its parameters are not `$1, $2, …` in the order in which they first appear.
    #[error("does not number its parameters as they appear")]
    ParameterOrder,
    /// It was sent before it was prepared.
    #[error("is not prepared")]
    NotPrepared,
}

/// What keeps an address from the owner that asks for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Keeper {
    /// It is excluded: it exists elsewhere.
    #[error("excluded from allocation")]
    Exclusion,
    /// It is pinned to another owner.
    #[error("pinned to another owner")]
    Pin,
    /// It is in a block that was not asked for.
    #[error("in a block that was not asked for")]
    Block,
}

/// Where another transaction was in the way.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Contention {
    /// Other processes are taking the last addresses.
    #[error("others are taking the last addresses")]
    LastAddresses,
    /// Other processes are taking the addresses around this one.
    #[error("others take addresses around {0}")]
    Around(IpAddr),
    /// Another process took one of the addresses between the reading and the writing.
    #[error("another process took one of the addresses")]
    AddressTaken,
    /// Another process is at work on the same subject.
    #[error("another process is at work on the same subject")]
    SameSubject,
    /// Another process was first; now this is refused.
    #[error("another process was first: {0}")]
    First(Box<Error>),
    /// The engine says so.
    #[error(transparent)]
    Engine(#[from] EngineFault),
}

/// What an engine or the system below it says, in its own words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct EngineFault {
    /// SQLite's extended result code, PostgreSQL's SQLSTATE; none of the driver and the system.
    pub code: Option<String>,
    /// The words.
    pub message: String,
}

/// Why tables are not those of the component whose name they have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SchemaFault {
    /// A table of the component, but no version of it is recorded.
    #[error("table {table} has no recorded version")]
    NoVersion {
        /// The table.
        table: String,
    },
    /// The table of versions cannot be read as such.
    #[error(transparent)]
    Versions(EngineFault),
}

/// Why it is not known whether a commit took place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Doubt {
    /// It failed.
    #[error("commit: {0}")]
    Commit(Box<Error>),
    /// The writer stopped before it answered.
    #[error("the writer stopped before it answered")]
    WriterStopped,
}

/// What is wrong with a file of an open database.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FileFault {
    /// It no longer exists.
    #[error("was moved or removed")]
    Gone,
    /// Another is at its path.
    #[error("was replaced by another file")]
    Replaced,
    /// It is shorter than it was.
    #[error("was cut off")]
    CutOff,
    /// It has so many names.
    #[error("has {0} names (hard links)")]
    Names(u64),
    /// It is mounted by itself, so that its log is not beside it.
    #[error("is mounted without its log")]
    Mounted,
    /// The system does not tell.
    #[error("cannot be looked at ({0})")]
    Unreadable(String),
}

/// What to do about a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Remedy {
    /// Restart the program.
    #[error("stop this program and start it anew")]
    Restart,
    /// Put the file back, or restart.
    #[error("put it back, or restart this program")]
    PutBack,
    /// Remove the other names.
    #[error("remove all but one")]
    RemoveNames,
    /// Mount the directory.
    #[error("mount its directory instead")]
    MountDirectory,
}

/// Why the store cannot serve now.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Outage {
    /// The engine or the system says so: a full disk, failed input or output, a lost server.
    #[error(transparent)]
    Engine(#[from] EngineFault),
    /// A failed statement ended the transaction.
    #[error("the transaction is over: {0}")]
    TransactionOver(Box<Error>),
    /// The database could not be reopened after a fault.
    #[error("{0}")]
    Recovery(Box<Error>),
    /// The last event is far ahead of the clock.
    #[error(
        "the last event is of {}, far ahead of the clock, which says {}: put the clock right, or \
         say that it is (`nebula-gc confirm-clock`)",
        utc(*last_event), utc(*clock)
    )]
    ClockBehindEvents {
        /// When the last event happened, in seconds since the Unix epoch.
        last_event: i64,
        /// What the clock says, in seconds since the Unix epoch.
        clock: i64,
    },
    /// The clock is too far from the database's.
    #[error(
        "the clock is {seconds} s {} the database's",
        if *is_ahead { "ahead of" } else { "behind" }
    )]
    ClockOff {
        /// How far.
        seconds: u64,
        /// Whether the clock is ahead, rather than behind.
        is_ahead: bool,
    },
    /// The writer's clock failed.
    #[error("the clock: {0}")]
    Clock(Box<Error>),
    /// The writer has stopped.
    #[error("the writer has stopped")]
    WriterStopped,
    /// The writer panicked.
    #[error("the writer panicked")]
    WriterPanicked,
    /// The writer was closed before.
    #[error("the writer was closed before")]
    WriterClosed,
    /// The database is closed.
    #[error("the database is closed")]
    Closed,
    /// All readers are in use.
    #[error("all readers are in use")]
    ReadersInUse,
    /// The readers are closed.
    #[error("the readers are closed")]
    ReadersClosed,
    /// A file of the database is not what it was.
    #[error("{} {fault}: {remedy}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        fault: FileFault,
        /// What to do about it.
        remedy: Remedy,
    },
    /// The database was replaced while it was open.
    #[error("the database was replaced meanwhile")]
    Replaced,
    /// The database file cannot be written.
    #[error("the database file cannot be written")]
    ReadOnly,
    /// The database contradicts itself.
    #[error(transparent)]
    Damaged(EngineFault),
    /// The database is shorter than its header says, and the log has not the rest.
    #[error(
        "the database is cut off after {length} bytes, its log has {log}: put a whole copy in its \
         place"
    )]
    CutOff {
        /// How many bytes the database has.
        length: u64,
        /// How many its log has.
        log: u64,
    },
    /// There is a log without its database.
    #[error(
        "{} is not there, but its log is: the database was moved or removed; put it back",
        path.display()
    )]
    LogAlone {
        /// Where the database is missing.
        path: PathBuf,
    },
    /// The log beside the database belongs to another file.
    #[error(
        "{} is the log of {}: put that one back, or remove the log, which loses what only it has",
        log.display(), whose_log(verdict.as_ref())
    )]
    LogOfAnother {
        /// The log.
        log: PathBuf,
        /// What the engine found, where that is how it was noticed.
        verdict: Option<EngineFault>,
    },
    /// The log is still needed: another program reads the database.
    #[error(
        "the log of {} still holds {bytes} bytes that are needed: another program reads the database",
        path.display()
    )]
    LogInUse {
        /// The database.
        path: PathBuf,
        /// How much is in the log.
        bytes: u64,
    },
    /// The lock that keeps a second writer out is gone.
    #[error(
        "{} was removed or replaced, and keeps no second writer out any more: restart this program",
        path.display()
    )]
    LockGone {
        /// What was locked.
        path: PathBuf,
    },
    /// The server is a standby.
    #[error("the server is a standby")]
    Standby,
    /// A standby was asked which events are complete.
    #[error("a standby cannot tell which events are still to come: ask the primary")]
    EventsOnStandby,
    /// The server is one that others have left behind.
    #[error("the server is of timeline {timeline}, and {highest} was seen: it was left behind")]
    LeftBehind {
        /// The server's timeline.
        timeline: u32,
        /// The highest that was seen.
        highest: u32,
    },
    /// The server tells no settings.
    #[error("the server tells no settings")]
    NoSettings,
    /// A server of several.
    #[error("{name}: {cause}")]
    Server {
        /// Which.
        name: String,
        /// Why it cannot be used.
        cause: Box<Outage>,
    },
    /// None of the servers can be used.
    #[error("{}", all(servers))]
    Servers {
        /// Why, of each.
        servers: Vec<Outage>,
    },
    /// The server has no TLS, which `sslmode` asks for.
    #[error("it has no TLS, which sslmode asks for")]
    NoTls,
    /// The server's certificate is not accepted, with what `sslrootcert` and `sslmode` say.
    #[error(
        "its certificate is not accepted: {0}; sslrootcert names the certificates to trust, and sslmode how \
         much is checked"
    )]
    UntrustedServer(EngineFault),
    /// TLS could not be begun otherwise.
    #[error("TLS: {0}")]
    Tls(EngineFault),
    /// No server is named.
    #[error("no server is named")]
    NoServer,
    /// Asking a server panicked.
    #[error("asking it panicked")]
    AskingPanicked,
    /// A server's name has no address.
    #[error("{name}: no address")]
    NoAddress {
        /// The name.
        name: String,
    },
    /// The connection is lost.
    #[error("the connection is lost: {0}")]
    ConnectionLost(Box<Error>),
    /// The connection is closed.
    #[error("the connection is closed")]
    ConnectionClosed,
    /// The server did not answer in time.
    #[error("no answer within {} s", within.as_secs_f32())]
    NoAnswer {
        /// How long it was waited for.
        within: Duration,
    },
}

fn whose_log(verdict: Option<&EngineFault>) -> String {
    match verdict {
        None => "another file that was at its path".to_owned(),
        Some(verdict) => format!("another file, or one of them is damaged ({verdict})"),
    }
}

fn all(servers: &[Outage]) -> String {
    servers.iter().map(Outage::to_string).collect::<Vec<_>>().join("; ")
}

impl EngineFault {
    /// A fault without a code, in the words of who found it.
    pub(crate) fn uncoded(message: &impl ToString) -> Self {
        Self { code: None, message: message.to_string() }
    }
}
