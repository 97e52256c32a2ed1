//! Why a node's directory, or a step of its agent, does not do.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::KeyFingerprint;
use crate::client::ClientError;
use crate::process::FindError;
use crate::server_list::ServerListError;

/// Why something about a node on this machine could not be done.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AgentError {
    /// A file or directory can't be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// Its path.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A file or directory is not one that this program uses.
    #[error("{}: {fault}", path.display())]
    Unfit {
        /// Its path.
        path: PathBuf,
        /// What is wrong with it.
        fault: FileFault,
    },
    /// Another process keeps the directory.
    #[error("{}: another process, such as a running agent, uses it; stop that first", path.display())]
    Locked {
        /// The directory.
        path: PathBuf,
    },
    /// Nobody has joined with this directory.
    #[error("{}: holds no node; join a network first", path.display())]
    NoNode {
        /// The directory.
        path: PathBuf,
    },
    /// A file of ours can't be understood.
    #[error("{}: line {line}, column {column}: can't be read; join again, or remove it", path.display())]
    Damaged {
        /// Its path.
        path: PathBuf,
        /// Where, from 1.
        line: usize,
        /// Where, from 1.
        column: usize,
    },
    /// The private key can't be read or made.
    #[error("{}: {source}", path.display())]
    Key {
        /// Its path.
        path: PathBuf,
        /// What is wrong with it.
        source: nebula_pki::Error,
    },
    /// The system has no randomness.
    #[error("the system has no randomness")]
    Randomness,
    /// The servers can't be asked, or refuse.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// An operator has to approve this device before it joins: ask again.
    #[error(
        "this device waits until an operator approves it; its key's fingerprint is {fingerprint}"
    )]
    AwaitsApproval {
        /// As what the server lists it: another id where it waits anew.
        pending: String,
        /// By what the operator recognises this device's key.
        fingerprint: KeyFingerprint,
        /// Until when it waits, in seconds since the Unix epoch.
        expires_at: i64,
        /// After what time to ask again.
        retry_after: Duration,
    },
    /// What the server gave is not for this node.
    #[error("the server's answer can't be used, so nothing was installed: {0}")]
    Bundle(nebula_bundle::Error),
    /// One of the user's own files can't be merged.
    #[error("{0}")]
    Local(nebula_bundle::Error),
    /// What the server gave is older than what is installed.
    #[error(
        "the server's answer can't be used, so nothing was installed: its {counter} is {given}, and this \
         node already has {has}. Its database may be an older copy, or somebody else answers; if it is right, run \
         nebula-gc update --accept-older"
    )]
    Older {
        /// Which of its counters.
        counter: &'static str,
        /// What was given.
        given: i64,
        /// What is installed.
        has: i64,
    },
    /// A header of the answer is missing or wrong.
    #[error(
        "the server's answer can't be used, so nothing was installed: its {header} is missing or wrong"
    )]
    Answer {
        /// The header or field.
        header: &'static str,
    },
    /// The list of servers is not one to believe.
    #[error(transparent)]
    ServerList(#[from] ServerListError),
    /// The list of servers is less safe than what the node has.
    #[error(
        "{url}: the list of servers is refused: it would lead from https to http, or from a pin to none"
    )]
    Downgrade {
        /// The URL of the server that would be.
        url: String,
    },
    /// The bundle's digest is not that of its files.
    #[error("the server's answer can't be used, so nothing was installed: its digest is another")]
    Digest,
    /// The program `nebula` that was chosen, or is in the search path, can't be used.
    #[error(transparent)]
    Nebula(#[from] FindError),
}

/// What is wrong with a file or directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FileFault {
    /// It belongs to another user.
    #[error(
        "belongs to user {owner}, and this program runs as user {user}; run it as its owner, or as root"
    )]
    Owner {
        /// Who owns it.
        owner: u32,
        /// Who runs.
        user: u32,
    },
    /// Others can write to it.
    #[error("can be written by other users (mode {mode:04o}); run chmod go-w on it")]
    Writable {
        /// Its mode.
        mode: u32,
    },
    /// It is a link.
    #[error("is a link; its place must be taken by what it points to")]
    Link,
    /// It is not a directory.
    #[error("is not a directory")]
    NotDirectory,
    /// It is not a regular file.
    #[error("is not a regular file")]
    NotFile,
    /// It is too long.
    #[error("is longer than {limit} bytes")]
    TooLong {
        /// How long it may be.
        limit: u64,
    },
    /// It is not text.
    #[error("is not UTF-8")]
    NotText,
}

impl From<nebula_bundle::Error> for AgentError {
    fn from(error: nebula_bundle::Error) -> Self {
        match error {
            nebula_bundle::Error::Local { .. } => Self::Local(error),
            error => Self::Bundle(error),
        }
    }
}

impl AgentError {
    /// Whether the user's own files are what can't be used.
    pub(super) fn is_of_local_files(&self, node: &Path) -> bool {
        match self {
            Self::Local(_) => true,
            Self::Unfit { path, .. } => path.starts_with(node.join("local.d")),
            _ => false,
        }
    }

    pub(super) fn file(path: &Path, source: io::Error) -> Self {
        Self::File { path: path.to_owned(), source }
    }

    pub(super) fn unfit(path: &Path, fault: FileFault) -> Self {
        Self::Unfit { path: path.to_owned(), fault }
    }

    /// A stable identifier for the kind of error.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::File { .. } => "file",
            Self::Unfit { .. } => "unfit_file",
            Self::Locked { .. } => "locked",
            Self::NoNode { .. } => "no_node",
            Self::Damaged { .. } => "damaged",
            Self::Key { .. } => "key",
            Self::Randomness => "randomness",
            Self::Client(_) => "server",
            Self::Bundle(error) | Self::Local(error) => error.code(),
            Self::Older { .. } => "older",
            Self::Answer { .. } => "answer",
            Self::ServerList(_) => "server_list",
            Self::Downgrade { .. } => "downgrade",
            Self::Digest => "digest",
            Self::Nebula(_) => "nebula",
            Self::AwaitsApproval { .. } => "approval",
        }
    }
}
