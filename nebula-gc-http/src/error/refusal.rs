//! Who may not, and what is not there.

use super::Field;
use super::messages::messages;
use crate::NodeAddresses;
use crate::stored_words::Role;

messages! {
    /// What is wrong with the credential.
    #[derive(Copy)]
    enum Unauthorized {
        ["send an operator key as \"Authorization: Bearer …\""]
        Missing,
        ["the header must be \"Authorization: Bearer …\""]
        Malformed,
        ["the scheme must be Bearer"]
        Scheme,
        ["unknown, expired or revoked operator key"]
        OperatorKey,
        ["unknown or revoked join token"]
        JoinToken,
        ["unknown or revoked credential"]
        Unknown,
    }
}

messages! {
    /// What would be needed for what is forbidden.
    #[derive(Copy)]
    enum Needs {
        ["the role {} does not permit this", role.word()]
        OtherRole { role: Role },
        ["a join token does not permit this"]
        NoJoinToken,
        ["a node token does not permit this"]
        NoNodeToken,
        ["this needs an operator key"]
        OperatorKey,
        ["needs an operator key"]
        OperatorKeyFor(Field),
        ["this needs a root operator key"]
        RootKey,
        ["this operator key can't make networks"]
        TenantKey,
        ["this needs a node token"]
        NodeToken,
    }
}

messages! {
    /// What there is too much of.
    #[derive(Copy)]
    enum Limit {
        ["other encrypted keys are being opened"]
        EncryptedKeys,
        ["this node has {most} polls already"]
        Polls { most: usize },
        ["this node has had another key just now"]
        Rekeying,
        ["this node has had {most} other keys within a day"]
        RekeyingPerDay { most: i64 },
        ["too many requests of yours wait already"]
        Waiting,
    }
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

messages! {
    /// Why a join token does not let a node join.
    enum JoinRefusal {
        ["this join token is expired"]
        Expired,
        ["this join token is used up"]
        UsedUp,
        ["this join token is expired or used up"]
        ExpiredOrUsedUp,
        ["this join token is for names like {pattern:?}"]
        Name { pattern: String },
        ["this join token does not give {group:?}"]
        Group { group: String },
        ["this join token does not give that role"]
        Role { field: Field },
        ["this join token is for the device {device:?}; ask for one for this device"]
        Device { device: String },
        ["this join token is for the address {only}; ask for that, or for none"]
        Address { only: NodeAddresses },
        ["addresses are reserved for this device: ask with a join token that is made for it, or with an \
          operator key"]
        DeviceReserved,
        ["{most} devices wait for approval with this join token, and no more may join with it; have an \
         operator approve or refuse them, or ask for another link"]
        TooManyWait { most: i64 },
        ["this device came with another credential; ask with the join token that it came with, \
         or with an operator key"]
        OtherCredential,
    }
}

impl JoinRefusal {
    pub(super) fn field(&self) -> Option<Field> {
        match self {
            Self::Name { .. } => Some(Field::Name),
            Self::Group { .. } => Some(Field::Groups),
            Self::Role { field } => Some(*field),
            Self::Address { .. } => Some(Field::Address),
            Self::Device { .. } | Self::DeviceReserved | Self::OtherCredential => {
                Some(Field::Device)
            }
            Self::Expired | Self::UsedUp | Self::ExpiredOrUsedUp | Self::TooManyWait { .. } => None,
        }
    }
}
