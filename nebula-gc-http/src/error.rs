//! Why a request is refused, or can't be carried out: values, which become text only where an answer
//! leaves ([`Display`](std::fmt::Display) has the words of the API and the command line).

mod code;
mod conflict;
mod field;
mod format;
pub(crate) mod messages;
mod obstacle;
mod refusal;
mod unavailable;
mod wording;

use std::net::IpAddr;

use nebula_alloc::{Error as AllocError, Keeper};
use nebula_pki::Fingerprint;

pub use self::code::Code;
pub use self::conflict::{Conflict, KeyConflict};
pub use self::field::{Ambiguity, Fault, Field, Kind, Unit};
pub(crate) use self::format::time;
pub use self::obstacle::Obstacle;
pub use self::refusal::{JoinRefusal, Limit, Needs, Unauthorized};
pub use self::unavailable::{SignerFault, Unavailable};
#[cfg(feature = "server")]
pub(crate) use self::wording::Detail;
use crate::stored_words::{NodeState, UnknownWord};
use crate::{KeyFingerprint, PendingJoinId};

/// Why a request was refused, or could not be carried out.
///
/// [`Error::code`] is for programs. The message is what the client is told; what only the operator
/// should know is in [`Unavailable`], which goes to the log.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// A field is missing, unknown or unusable.
    Invalid {
        /// Which.
        field: Field,
        /// What is wrong with it.
        fault: Fault,
    },
    /// No credential, or an unknown one.
    Unauthorized(Unauthorized),
    /// The credential does not permit this.
    Forbidden(Needs),
    /// The node is suspended or revoked, until an operator reinstates it.
    NodeKeptOut {
        /// Which of the two.
        state: NodeState,
        /// Why, as the operator said.
        reason: Option<String>,
    },
    /// The network that the credential was of is deleted.
    NetworkDeleted {
        /// What it was called.
        network: String,
        /// When it was deleted, in seconds since the Unix epoch.
        at: i64,
    },
    /// Nodes are active in the network that is to be deleted.
    NodesActive {
        /// The names of the first 100.
        nodes: Vec<String>,
        /// How many there are.
        count: u64,
    },
    /// Too many requests.
    RateLimited {
        /// What there is too much of.
        limit: Limit,
        /// When to ask again, in seconds from now.
        retry_after: i64,
    },
    /// It does not exist, or not for this credential.
    NotFound {
        /// What was looked for.
        kind: Kind,
        /// Its name or id, where one was given.
        name: Option<String>,
    },
    /// The network has no free address left.
    PoolExhausted {
        /// Of which family.
        family: nebula_alloc::Family,
    },
    /// Another has the name.
    NameTaken {
        /// What has it.
        kind: Kind,
        /// The name, as the other has it.
        name: String,
    },
    /// The name is the id of another thing, which it would hide.
    NameIsId {
        /// What has the id.
        kind: Kind,
        /// The name.
        name: String,
    },
    /// Another node of the network has this public key.
    KeyTaken,
    /// It contradicts what is there.
    Conflict(Conflict),
    /// The device is known with another public key, or the public key with another node token.
    KeyMismatch(KeyConflict),
    /// The node token that is to be a new node's was that of a released one.
    NodeReleased,
    /// The join token lets nobody join any more, or not this node.
    JoinTokenRefused(JoinRefusal),
    /// The device waits until an operator approves it.
    AwaitsApproval {
        /// As what it is listed.
        pending: PendingJoinId,
        /// By what the operator recognises its key.
        fingerprint: KeyFingerprint,
        /// Until when it waits, in seconds since the Unix epoch.
        expires_at: i64,
    },
    /// An operator has refused the device.
    JoinRefused {
        /// By what the operator recognised its key.
        fingerprint: KeyFingerprint,
        /// Why, as the operator said.
        reason: Option<String>,
    },
    /// Another request was first to write the same name, key or id.
    Overtaken,
    /// The resource is not, any more, as the request expects it.
    Precondition {
        /// The ETag that it has now.
        etag: String,
    },
    /// Leases are in the way.
    LeasesStand {
        /// Their addresses, in order; the first 100.
        addresses: Vec<IpAddr>,
        /// Whether there are more.
        more: bool,
    },
    /// A quarantine can't end yet.
    QuarantineStands {
        /// When it can, in seconds since the Unix epoch; where certificates are in the way, without force.
        until: i64,
        /// Certificates that name the address and may be accepted, but for those that may have been signed
        /// without being recorded; the first 100.
        certificates: Vec<Fingerprint>,
        /// How many there are; none within the hold time.
        count: usize,
    },
    /// The network's CA has ended: nothing can be issued.
    CaExpired {
        /// The network, by name.
        network: String,
        /// When, in seconds since the Unix epoch.
        at: i64,
    },
    /// The network's CA has not begun: nothing can be issued yet.
    CaNotYetValid {
        /// The network, by name.
        network: String,
        /// When it begins, in seconds since the Unix epoch.
        at: i64,
    },
    /// Nodes have certificates of the CA.
    CaNeeded {
        /// Their names; the first 100.
        nodes: Vec<String>,
        /// Whether there are more.
        more: bool,
    },
    /// The idempotency key was used for another request.
    IdempotencyKeyReused,
    /// The signer that holds the CA's key did not sign in time; asking again is safe.
    SignerAway {
        /// What the certificate names that is not signed yet, and so is kept for the node.
        addresses: Vec<IpAddr>,
        /// Until when that certificate would be valid, in seconds since the Unix epoch: so long
        /// they are kept at most, where nobody asks again.
        until: i64,
        /// For the log.
        cause: Box<Unavailable>,
    },
    /// The service can't do its work now; asking again is safe.
    Unavailable(Unavailable),
}

impl Error {
    /// What is wrong, for programs: it stays the same in later versions.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::Invalid { field: Field::PublicKey, .. } => Code::InvalidPublicKey,
            Self::Invalid { .. } => Code::InvalidRequest,
            Self::Unauthorized(_) => Code::Unauthorized,
            Self::Forbidden(_) | Self::AwaitsApproval { .. } => Code::Forbidden,
            Self::JoinRefused { .. } => Code::JoinRefused,
            Self::NodeKeptOut { state: NodeState::Suspended, .. } => Code::NodeSuspended,
            Self::NodeKeptOut { .. } => Code::NodeRevoked,
            Self::NetworkDeleted { .. } => Code::NetworkDeleted,
            Self::NodesActive { .. } => Code::NodesActive,
            Self::RateLimited { .. } => Code::RateLimited,
            Self::NotFound { .. } => Code::NotFound,
            Self::PoolExhausted { .. } => Code::PoolExhausted,
            Self::NameTaken { .. }
            | Self::NameIsId { .. }
            | Self::KeyTaken
            | Self::Conflict(_)
            | Self::Overtaken => Code::Conflict,
            Self::KeyMismatch(_) => Code::KeyMismatch,
            Self::NodeReleased => Code::NodeReleased,
            Self::JoinTokenRefused(_) => Code::JoinTokenRefused,
            Self::Precondition { .. } => Code::PreconditionFailed,
            Self::LeasesStand { .. } => Code::LeasesStand,
            Self::QuarantineStands { .. } => Code::QuarantineStands,
            Self::CaExpired { .. } => Code::CaExpired,
            Self::CaNotYetValid { .. } => Code::CaNotYetValid,
            Self::CaNeeded { .. } => Code::CaNeeded,
            Self::IdempotencyKeyReused => Code::IdempotencyKeyReused,
            Self::SignerAway { .. } | Self::Unavailable(_) => Code::Unavailable,
        }
    }

    /// The field that is meant.
    #[must_use]
    pub fn field(&self) -> Option<Field> {
        match self {
            Self::Invalid { field, .. } => Some(*field),
            Self::NameTaken { .. } | Self::NameIsId { .. } => Some(Field::Name),
            Self::KeyTaken => Some(Field::PublicKey),
            Self::NodeReleased => Some(Field::NodeToken),
            Self::Forbidden(Needs::OperatorKeyFor(field)) => Some(*field),
            Self::RateLimited { limit, .. } => limit.field(),
            Self::Conflict(conflict) => conflict.field(),
            Self::KeyMismatch(conflict) => Some(conflict.field()),
            Self::JoinTokenRefused(refusal) => refusal.field(),
            _ => None,
        }
    }

    /// What the log is told, and the client is not.
    #[must_use]
    pub fn cause(&self) -> Option<&Unavailable> {
        match self {
            Self::SignerAway { cause, .. } => Some(cause),
            Self::Unavailable(cause) => Some(cause),
            _ => None,
        }
    }

    pub(crate) fn not_found(kind: Kind, name: impl ToString) -> Self {
        Self::NotFound { kind, name: Some(name.to_string()) }
    }
}

impl std::error::Error for Error {}

impl From<UnknownWord> for Error {
    fn from(UnknownWord { kind, word }: UnknownWord) -> Self {
        Unavailable::UnknownWord { kind, word }.into()
    }
}

impl From<AllocError> for Error {
    fn from(error: AllocError) -> Self {
        match error {
            AllocError::PoolExhausted { family, .. } => Self::PoolExhausted { family },
            AllocError::NoPool { family, .. } => Conflict::NoPool { family }.into(),
            AllocError::LeasesStand { addresses, more, .. } => {
                Self::LeasesStand { addresses, more }
            }
            AllocError::AddressTaken { address, .. } => Conflict::AddressTaken { address }.into(),
            AllocError::AddressQuarantined { address, until, .. } => {
                Conflict::AddressQuarantined { address, until }.into()
            }
            AllocError::AddressReserved { address, by: Keeper::Block, .. } => {
                Conflict::AddressInBlock { address }.into()
            }
            AllocError::AddressReserved { address, .. } => {
                Conflict::AddressReserved { address }.into()
            }
            AllocError::AddressOutsidePools { address, .. } => {
                Conflict::AddressOutsidePools { address }.into()
            }
            AllocError::AddressInAnotherPool { address, pool } => {
                Conflict::AddressInAnotherPool { address, pool }.into()
            }
            AllocError::Unique => Self::Overtaken,
            error @ (AllocError::TooMany { .. } | AllocError::UnusableText { .. }) => {
                Conflict::TooLarge(error).into()
            }
            other => Unavailable::Store(other).into(),
        }
    }
}

macro_rules! into_error {
    ($($inner:ident => $variant:ident;)*) => {$(
        impl From<$inner> for Error {
            fn from(inner: $inner) -> Self {
                Self::$variant(inner)
            }
        }
    )*};
}

into_error! {
    Unauthorized => Unauthorized;
    Needs => Forbidden;
    Conflict => Conflict;
    KeyConflict => KeyMismatch;
    JoinRefusal => JoinTokenRefused;
    Unavailable => Unavailable;
}
