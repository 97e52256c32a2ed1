//! Who may not, and what is not there.

use super::Field;
use crate::Role;

/// What is wrong with the credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Unauthorized {
    /// None was sent.
    #[error("send an operator key as \"Authorization: Bearer …\"")]
    Missing,
    /// The header has another form.
    #[error("the header must be \"Authorization: Bearer …\"")]
    Malformed,
    /// The header has another scheme than Bearer.
    #[error("the scheme must be Bearer")]
    Scheme,
    /// An unknown, expired or revoked operator key.
    #[error("unknown, expired or revoked operator key")]
    OperatorKey,
    /// An unknown or revoked join token.
    #[error("unknown or revoked join token")]
    JoinToken,
    /// Nothing that is known.
    #[error("unknown or revoked credential")]
    Unknown,
}

/// What would be needed for what is forbidden.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Needs {
    /// Another role than this.
    #[error("the role {} does not permit this", .0.word())]
    OtherRole(Role),
    /// Another credential than a join token.
    #[error("a join token does not permit this")]
    NoJoinToken,
    /// Another credential than a node token.
    #[error("a node token does not permit this")]
    NoNodeToken,
    /// An operator key.
    #[error("this needs an operator key")]
    OperatorKey,
    /// An operator key, for this field to be set.
    #[error("needs an operator key")]
    OperatorKeyFor(Field),
    /// A root operator key.
    #[error("this needs a root operator key")]
    RootKey,
    /// An operator key of a whole tenant, to create a network.
    #[error("this operator key can't make networks")]
    TenantKey,
    /// A node token.
    #[error("this needs a node token")]
    NodeToken,
}

/// What there is too much of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Limit {
    /// Encrypted keys that are being opened.
    #[error("other encrypted keys are being opened")]
    EncryptedKeys,
    /// Polls of one node.
    #[error("this node has {most} polls already")]
    Polls {
        /// How many it may have.
        most: usize,
    },
    /// The node has had another key just now.
    #[error("this node has had another key just now")]
    Rekeying,
    /// Keys of one node within a day.
    #[error("this node has had {most} other keys within a day")]
    RekeyingPerDay {
        /// How many other keys it may have.
        most: i64,
    },
    /// Requests of one client that wait.
    #[error("too many requests of yours wait already")]
    Waiting,
}

impl Limit {
    pub(super) fn field(self) -> Option<Field> {
        match self {
            Self::EncryptedKeys => Some(Field::Key),
            Self::Rekeying | Self::RekeyingPerDay { .. } => Some(Field::PublicKey),
            Self::Polls { .. } | Self::Waiting => None,
        }
    }
}

/// Why a join token does not let a node join.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum JoinRefusal {
    /// It is expired.
    #[error("this join token is expired")]
    Expired,
    /// It is used up.
    #[error("this join token is used up")]
    UsedUp,
    /// It expired or was used up while the request was under way.
    #[error("this join token is expired or used up")]
    ExpiredOrUsedUp,
    /// It is for other names.
    #[error("this join token is for names like {pattern:?}")]
    Name {
        /// The pattern of names that it is for.
        pattern: String,
    },
    /// It does not give a group.
    #[error("this join token does not give {group:?}")]
    Group {
        /// Which.
        group: String,
    },
    /// It does not give a role.
    #[error("this join token does not give that role")]
    Role {
        /// The role's field.
        field: Field,
    },
    /// The device came with another credential.
    #[error(
        "this device came with another credential; ask with the join token that it came with, or with an operator key"
    )]
    OtherCredential,
}

impl JoinRefusal {
    pub(super) fn field(&self) -> Option<Field> {
        match self {
            Self::Name { .. } => Some(Field::Name),
            Self::Group { .. } => Some(Field::Groups),
            Self::Role { field } => Some(*field),
            Self::OtherCredential => Some(Field::Device),
            Self::Expired | Self::UsedUp | Self::ExpiredOrUsedUp => None,
        }
    }
}
