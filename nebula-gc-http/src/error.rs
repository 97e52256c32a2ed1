use std::net::IpAddr;

use nebula_alloc::Error as AllocError;

use crate::NodeState;
use crate::text::shell_word;

/// Why a request was refused, or could not be carried out.
///
/// The message is what the client is told. What only the operator should know is in
/// [`Error::Unavailable::internal`], which goes to the log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A field is missing, unknown or unusable.
    #[error("{field}: {reason}")]
    InvalidRequest {
        /// The field's name as the client wrote it.
        field: String,
        /// What to change.
        reason: String,
    },
    /// The public key can't be used.
    #[error("publicKey: {reason}")]
    InvalidPublicKey {
        /// What to change.
        reason: String,
    },
    /// No credential, or one that nobody has.
    #[error("{reason}")]
    Unauthorized {
        /// What to send.
        reason: &'static str,
    },
    /// The credential does not permit this.
    #[error("{reason}")]
    Forbidden {
        /// What would be needed.
        reason: String,
    },
    /// The node is suspended or revoked, until an operator reinstates it.
    #[error("this node is {}{}; an operator must reinstate it", state.word(), said(reason.as_ref()))]
    NodeKeptOut {
        /// Which of the two.
        state: NodeState,
        /// Why, as the operator said.
        reason: Option<String>,
    },
    /// Asked too often.
    #[error("{reason}; ask again in {retry_after} s")]
    RateLimited {
        /// What there is too much of.
        reason: String,
        /// When to ask again, in seconds from now.
        retry_after: i64,
    },
    /// What was asked about is not there, or not for this credential to see.
    #[error("{what} not found")]
    NotFound {
        /// What was looked for, as in `network "demo"`.
        what: String,
    },
    /// The network has no free address left.
    #[error(
        "every {family} address of the network is taken, or kept for a released device until its certificate has expired; make a network with a larger prefix"
    )]
    PoolExhausted {
        /// `IPv4` or `IPv6`.
        family: &'static str,
    },
    /// Another node of the network has this name.
    #[error("another node of the network is called {name:?}")]
    NameTaken {
        /// The name.
        name: String,
    },
    /// The name is the id of another thing, which it would hide.
    #[error("{name:?} is the id of another {what}; choose another name")]
    NameIsId {
        /// The name.
        name: String,
        /// What kind of thing has the id, as in `network`.
        what: &'static str,
    },
    /// Another node of the network has this public key.
    #[error("another node of the network has this key; make a new pair on this device")]
    KeyTaken,
    /// Somebody else has it, or it contradicts what is there.
    #[error("{reason}")]
    Conflict {
        /// What is in the way.
        reason: String,
    },
    /// The device is known with another public key, or the public key with another node token.
    #[error("{reason}")]
    KeyMismatch {
        /// What is in the way.
        reason: String,
    },
    /// The node token that is to be a new node's was that of a released one.
    #[error(
        "nodeToken: its node was released; make a new token, and send this one as formerNodeToken to have the address back"
    )]
    NodeReleased,
    /// The join token lets nobody join any more, or not this node.
    #[error("{reason}")]
    JoinTokenRefused {
        /// Why.
        reason: String,
    },
    /// Another request was first to write the same name, key or id.
    #[error("another request has taken the same name, key or id just now; ask again")]
    Overtaken,
    /// The resource is not, any more, as the request expects it.
    #[error("{reason}")]
    Precondition {
        /// What is different.
        reason: String,
    },
    /// Leases are in the way.
    #[error("{} stand in the way", count(addresses, *more))]
    LeasesStand {
        /// Their addresses, in order; the first 100.
        addresses: Vec<IpAddr>,
        /// Whether there are more.
        more: bool,
    },
    /// The network's CA has ended: nothing can be issued.
    #[error("the CA of network {network:?} expired at {}; an operator has to add another: \
        nebula-gc admin networks add-ca {} --name NAME", time(*at), shell_word(network))]
    CaExpired {
        /// The network, by name.
        network: String,
        /// When, in seconds since the Unix epoch.
        at: i64,
    },
    /// The network's CA has not begun: nothing can be issued yet.
    #[error("the CA of network {network:?} is not valid before {}; wait, or put the server's clock \
        right", time(*at))]
    CaNotYetValid {
        /// The network, by name.
        network: String,
        /// When it begins, in seconds since the Unix epoch.
        at: i64,
    },
    /// Nodes have certificates of the CA.
    #[error("nodes have certificates of this CA, and nobody would accept them: {}; have them renewed \
        first, or force it", names(nodes, *more))]
    CaNeeded {
        /// Their names; the first 100.
        nodes: Vec<String>,
        /// Whether there are more.
        more: bool,
    },
    /// The idempotency key was used for another request.
    #[error("this Idempotency-Key was used for another request; make a new one")]
    IdempotencyKeyReused,
    /// The signer that holds the CA's key did not sign in time; asking again is safe.
    #[error(
        "the signer that holds the key of the network's CA did not sign in time; ask again{}",
        held(addresses, *until)
    )]
    SignerAway {
        /// What the certificate names that is not signed yet, and so is kept for the node.
        addresses: Vec<IpAddr>,
        /// Until when that certificate would be valid, in seconds since the Unix epoch: so long
        /// they are kept at most, where nobody asks again.
        until: i64,
        /// For the log.
        internal: String,
    },
    /// The service can't do its work now; asking again is safe.
    #[error("the server can't do this now; nothing is lost by asking again")]
    Unavailable {
        /// For the log.
        internal: String,
    },
}

impl Error {
    pub(crate) fn invalid(field: &str, reason: impl Into<String>) -> Self {
        Self::InvalidRequest { field: field.to_owned(), reason: reason.into() }
    }

    pub(crate) fn conflict(reason: impl Into<String>) -> Self {
        Self::Conflict { reason: reason.into() }
    }

    pub(crate) fn unavailable(internal: impl ToString) -> Self {
        Self::Unavailable { internal: internal.to_string() }
    }
}

impl From<AllocError> for Error {
    fn from(error: AllocError) -> Self {
        match error {
            AllocError::PoolExhausted { family, .. } => Self::PoolExhausted {
                family: match family {
                    nebula_alloc::Family::V4 => "IPv4",
                    nebula_alloc::Family::V6 => "IPv6",
                },
            },
            AllocError::NoPool { family, .. } => {
                Self::conflict(format!("the network has no {family} pool; make one"))
            }
            AllocError::LeasesStand { addresses, more, .. } => {
                Self::LeasesStand { addresses, more }
            }
            AllocError::Unique => Self::Overtaken,
            error @ (AllocError::TooMany { .. } | AllocError::UnusableText { .. }) => {
                Self::conflict(error.to_string())
            }
            other => Self::unavailable(other),
        }
    }
}

/// As RFC 3339 writes it.
pub(crate) fn time(at: i64) -> String {
    jiff::Timestamp::from_second(at).map_or_else(|_| at.to_string(), |time| time.to_string())
}

fn held(addresses: &[IpAddr], until: i64) -> String {
    if addresses.is_empty() {
        return String::new();
    }
    let addresses: Vec<_> = addresses.iter().map(IpAddr::to_string).collect();
    let addresses = addresses.join(" and ");
    format!(": {addresses} is kept for this node until {} at most, should nobody do", time(until))
}

/// The first few names.
fn names(all: &[String], more: bool) -> String {
    const SHOWN: usize = 5;
    let shown = all.iter().take(SHOWN).map(|name| format!("{name:?}")).collect::<Vec<_>>();
    let is_cut = more || all.len() > SHOWN;
    shown.join(", ") + if is_cut { " and others" } else { "" }
}

fn count(addresses: &[IpAddr], more: bool) -> String {
    format!("{}{} leases", if more { "more than " } else { "" }, addresses.len())
}

fn said(reason: Option<&String>) -> String {
    reason.map(|reason| format!(" ({reason})")).unwrap_or_default()
}
