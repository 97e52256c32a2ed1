//! Why the service can't do its work now: for the log, and for who starts a server.

use nebula_alloc::Error as AllocError;

use super::format::time;
use super::messages::messages;

messages! {
    /// What keeps the service from its work.
    enum Unavailable {
        ["{0}"]
        Store(AllocError),
        ["the database holds an unreadable {what}"]
        Unreadable { what: &'static str },
        ["the database holds an unknown {kind} {word:?}"]
        UnknownWord { kind: &'static str, word: String },
        ["{what} is missing"]
        Missing { what: &'static str },
        ["the last event is of {}, far ahead of the clock, which says {}: put the clock right, \
         or say that it is (`nebula-gc confirm-clock`)", time(*last), time(*now)]
        ClockBehind {
            /// When the last event happened, in seconds since the Unix epoch.
            last: i64,
            now: i64
        },
        ["the server's secrets have no {purpose} key"]
        NoServerKey { purpose: &'static str },
        ["the server's secrets have no {purpose} key {key}"]
        MissingServerKey { purpose: &'static str, key: i64 },
        ["sealing failed"]
        Sealing,
        ["a value sealed with key {key} does not open"]
        Unsealing { key: i64 },
        ["signer {name:?}: {fault}"]
        Signer { name: String, fault: SignerFault },
        ["the same certificate was asked for too often within a second"]
        SameCertificate,
        ["other requests were first again and again"]
        Displaced,
        ["another instance waits for the signer"]
        SignerBusy,
        ["too many requests wait for their turn"]
        Crowded,
        ["the service is stopping"]
        Stopping,
        ["{task} panicked"]
        Panicked { task: &'static str },
        ["{task}: {words}"]
        System { task: &'static str, words: String },
        ["{0}"]
        Pki(nebula_pki::Error),
        ["{0}"]
        Bundle(nebula_bundle::Error),
    }
}

messages! {
    /// How a signer failed.
    enum SignerFault {
        ["is not in this server's settings"]
        NotConfigured,
        ["closed"]
        Closed,
        ["no thread can be started"]
        NoThread,
        ["panicked"]
        Panicked,
        ["no answer within {seconds} s"]
        Timeout {
            /// How long it had, in seconds.
            seconds: u64
        },
        ["{0}"]
        Failed(nebula_pki::Error),
    }
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
