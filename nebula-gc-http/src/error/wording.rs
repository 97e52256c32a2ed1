//! The native words for errors: what the API, the command line and the log say.

use std::fmt::{Display, Formatter, Result};

use super::format::{joined, names, time};
use super::{Error, Kind};
use crate::text::shell_word;

/// What is wrong, without the field that is meant.
pub(crate) struct Detail<'a>(pub(crate) &'a Error);

impl Display for Error {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self.field() {
            Some(field) => write!(f, "{field}: {}", Detail(self)),
            None => Detail(self).fmt(f),
        }
    }
}

impl Display for Detail<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self.0 {
            Error::Invalid { fault, .. } => fault.fmt(f),
            Error::Unauthorized(fault) => fault.fmt(f),
            Error::Forbidden(needs) => needs.fmt(f),
            Error::NodeKeptOut { state, reason } => {
                write!(f, "this node is {}", state.word())?;
                if let Some(reason) = reason {
                    write!(f, " ({reason})")?;
                }
                f.write_str("; an operator must reinstate it")
            }
            Error::NetworkDeleted { network, at } => {
                write!(f, "the network {network:?} was deleted at {}", time(*at))
            }
            Error::NodesActive { nodes, count } => {
                let more = usize::try_from(*count).is_ok_and(|count| count > nodes.len());
                let these = match count {
                    1 => "1 node is".to_owned(),
                    count => format!("{count} nodes are"),
                };
                write!(
                    f,
                    "{these} active: {}; release them first, or force the deletion",
                    names(nodes, more)
                )
            }
            Error::RateLimited { limit, retry_after } => {
                write!(f, "{limit}; ask again in {retry_after} s")
            }
            Error::NotFound { kind, name: Some(name) }
                if matches!(kind, Kind::Network | Kind::Device) =>
            {
                write!(f, "{kind} {name:?} not found")
            }
            Error::NotFound { kind, name: Some(name) } => write!(f, "{kind} {name} not found"),
            Error::NotFound { kind: Kind::Certificate, .. } => f.write_str(
                "this node has no current certificate; it gets one when it renews, enrols or \
                 registers again",
            ),
            Error::NotFound { kind, name: None } => write!(f, "{kind} not found"),
            Error::PoolExhausted { family } => write!(
                f,
                "no {family} address is free in the pools or the block that it may come from: all are taken, \
                 reserved, or kept for released devices until their certificates have expired; resize a \
                 pool or block, or make another pool"
            ),
            Error::NameTaken { kind: kind @ (Kind::Network | Kind::Tenant), name } => {
                write!(f, "another {kind} is called {name:?}")
            }
            Error::NameTaken { kind, name } => {
                write!(f, "another {kind} of the network is called {name:?}")
            }
            Error::NameIsId { kind, name } => {
                write!(f, "{name:?} is the id of another {kind}; choose another name")
            }
            Error::KeyTaken => f.write_str(
                "another node of the network has this key; make a new pair on this device",
            ),
            Error::Conflict(conflict) => conflict.fmt(f),
            Error::KeyMismatch(conflict) => conflict.fmt(f),
            Error::NodeReleased => f.write_str(
                "its node was released; make a new token, and send this one as formerNodeToken to get \
                 the address back",
            ),
            Error::JoinTokenRefused(refusal) => refusal.fmt(f),
            Error::AwaitsApproval { fingerprint, expires_at, .. } => write!(
                f,
                "this device waits until an operator approves it, until {} at most; ask again then. Its \
                 key's fingerprint is {fingerprint}",
                time(*expires_at)
            ),
            Error::JoinRefused { fingerprint, reason } => {
                f.write_str("an operator has refused this device")?;
                if let Some(reason) = reason {
                    write!(f, " ({reason:?})")?;
                }
                write!(
                    f,
                    ", whose key's fingerprint is {fingerprint}; ask them to approve it after all, or for \
                     another link"
                )
            }
            Error::Overtaken => f.write_str(
                "another request has taken the same name, key or id just now; ask again",
            ),
            Error::Precondition { etag } => {
                write!(f, "it was changed meanwhile, and has the ETag \"{etag}\"")
            }
            Error::LeasesStand { addresses, more } => {
                let count = addresses.len();
                match (count, more) {
                    (1, false) => f.write_str("1 address is leased or in quarantine"),
                    (_, false) => write!(f, "{count} addresses are leased or in quarantine"),
                    (_, true) => {
                        write!(f, "more than {count} addresses are leased or in quarantine")
                    }
                }
            }
            Error::QuarantineStands { until, count: 0, .. } => write!(
                f,
                "the network's hold time has not passed: the quarantine can end from {} on",
                time(*until)
            ),
            Error::QuarantineStands { until, count, .. } => {
                let these = match count {
                    1 => "1 certificate that names it is".to_owned(),
                    count => format!("{count} certificates that name it are"),
                };
                write!(
                    f,
                    "{these} valid until {}, and not every node has applied that it is blocked; force \
                     the end, or let it end by itself",
                    time(*until)
                )
            }
            Error::CaExpired { network, at } => write!(
                f,
                "the CA of network {network:?} expired at {}; an operator has to add another: \
                 nebula-gc admin networks add-ca {} --name NAME",
                time(*at),
                shell_word(network)
            ),
            Error::CaNotYetValid { network, at } => write!(
                f,
                "the CA of network {network:?} is not valid before {}; wait, or put the server's \
                 clock right",
                time(*at)
            ),
            Error::CaNeeded { nodes, more } => write!(
                f,
                "nodes have certificates of this CA, and nobody would accept them: {}; have them \
                 renewed first, or force it",
                names(nodes, *more)
            ),
            Error::IdempotencyKeyReused => {
                f.write_str("this Idempotency-Key was used for another request; make a new one")
            }
            Error::SignerAway { addresses, until, .. } => {
                f.write_str(
                    "the signer that holds the key of the network's CA did not sign in time; ask \
                     again",
                )?;
                if addresses.is_empty() {
                    return Ok(());
                }
                let (addresses, until) = (joined(addresses), time(*until));
                write!(
                    f,
                    ": {addresses} is kept for this node, until {until} at most if nobody asks again"
                )
            }
            Error::Unavailable(_) => {
                f.write_str("the server can't do this now; nothing is lost by asking again")
            }
        }
    }
}
