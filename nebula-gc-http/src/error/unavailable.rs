//! Why the service can't do its work now: for the log, and for who starts a server.

use nebula_alloc::Error as AllocError;

use super::wording::time;

/// What keeps the service from its work.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Unavailable {
    /// The database.
    #[error("{0}")]
    Store(AllocError),
    /// The database holds what can't be read.
    #[error("the database holds an unreadable {what}")]
    Unreadable {
        /// What was to be read.
        what: &'static str,
    },
    /// The database holds an unknown word.
    #[error("the database holds an unknown {kind} {word:?}")]
    UnknownWord {
        /// The kind of word.
        kind: &'static str,
        /// The word.
        word: String,
    },
    /// What must be there is not.
    #[error("{what} is missing")]
    Missing {
        /// What.
        what: &'static str,
    },
    /// The last event is far ahead of the clock.
    #[error("the last event is of {}, far ahead of the clock, which says {}: put the clock right, or say that it is (`nebula-gc confirm-clock`)", time(*last),
                    time(*now))]
    ClockBehind {
        /// When the last event happened, in seconds since the Unix epoch.
        last: i64,
        /// What the clock says, likewise.
        now: i64,
    },
    /// The server has no key for this purpose.
    #[error("the server's secrets have no {purpose} key")]
    NoServerKey {
        /// What it is for.
        purpose: &'static str,
    },
    /// The server's secrets lack a key that the database needs.
    #[error("the server's secrets have no {purpose} key {key}")]
    MissingServerKey {
        /// What it is for.
        purpose: &'static str,
        /// Its id.
        key: i64,
    },
    /// A value could not be sealed.
    #[error("sealing failed")]
    Sealing,
    /// A sealed value does not open.
    #[error("a value sealed with key {key} does not open")]
    Unsealing {
        /// The key that it was sealed with.
        key: i64,
    },
    /// A signer failed.
    #[error("signer {name:?}: {fault}")]
    Signer {
        /// Its name.
        name: String,
        /// How.
        fault: SignerFault,
    },
    /// The same certificate was asked for too often within a second.
    #[error("the same certificate was asked for too often within a second")]
    SameCertificate,
    /// Other requests were first again and again.
    #[error("other requests were first again and again")]
    Displaced,
    /// Another instance waits for the signer.
    #[error("another instance waits for the signer")]
    SignerBusy,
    /// Too many requests wait for their turn.
    #[error("too many requests wait for their turn")]
    Crowded,
    /// The service is stopping.
    #[error("the service is stopping")]
    Stopping,
    /// A task panicked.
    #[error("{task} panicked")]
    Panicked {
        /// What it did.
        task: &'static str,
    },
    /// The system refused something.
    #[error("{task}: {words}")]
    System {
        /// What was to be done.
        task: &'static str,
        /// The system's words.
        words: String,
    },
    /// Certificates.
    #[error("{0}")]
    Pki(nebula_pki::Error),
    /// Bundles.
    #[error("{0}")]
    Bundle(nebula_bundle::Error),
}

/// How a signer failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SignerFault {
    /// It is not in the server's settings.
    #[error("is not in this server's settings")]
    NotConfigured,
    /// It was closed.
    #[error("closed")]
    Closed,
    /// No thread could be started for it.
    #[error("no thread can be started")]
    NoThread,
    /// It panicked.
    #[error("panicked")]
    Panicked,
    /// It did not answer in time.
    #[error("no answer within {seconds} s")]
    Timeout {
        /// How long it had, in seconds.
        seconds: u64,
    },
    /// It refused, or its signature is not one.
    #[error("{0}")]
    Failed(nebula_pki::Error),
}

impl Unavailable {
    pub(crate) fn system(task: &'static str, words: impl ToString) -> Self {
        Self::System { task, words: words.to_string() }
    }
}

impl SignerFault {
    /// That a signer failed so.
    pub(crate) fn of(self, name: &str) -> super::Error {
        Unavailable::Signer { name: name.to_owned(), fault: self }.into()
    }
}

impl From<nebula_pki::Error> for Unavailable {
    fn from(error: nebula_pki::Error) -> Self {
        Self::Pki(error)
    }
}

impl From<nebula_bundle::Error> for Unavailable {
    fn from(error: nebula_bundle::Error) -> Self {
        Self::Bundle(error)
    }
}
