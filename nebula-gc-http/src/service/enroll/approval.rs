//! A join token whose devices wait until an operator has approved them.

use nebula_alloc::store::Transaction;

use super::join::Join;
use crate::error::{JoinRefusal, KeyConflict};
use crate::key_fingerprint::KeyFingerprint;
use crate::secret::Bearer;
use crate::service::audit::{Author, Entry};
use crate::service::shared::Shared;
use crate::store::join_token::{self, JoinToken};
use crate::store::node::Node;
use crate::store::pending_join::{self, Asked, PendingJoin};
use crate::stored_words::PendingState;
use crate::{Error, JoinTokenId, NodeAddresses, PendingJoinId};

/// How long a device is remembered that waits, and one that was approved or refused, in seconds: a day.
pub(in crate::service) const WAITS: i64 = 86_400;

/// What a new node takes with it when it is written.
#[derive(Debug, Clone, Copy)]
pub(super) struct Spends {
    token: JoinTokenId,
    approval: Option<PendingJoinId>,
}

/// Whether a new node may be written.
pub(super) enum Admission {
    /// With what it takes from a join token.
    Admitted(Option<Spends>),
    /// An operator has to approve it.
    Waits(Box<Waits>),
}

/// A device that waits.
pub(super) struct Waits {
    row: PendingJoin,
    written: Written,
}

/// What is to be written of it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Written {
    /// It asked the same before.
    Nothing,
    /// It asked something else before, and waits still.
    Anew,
    /// It asks for the first time, or for something else than was approved.
    AndTold,
}

impl Admission {
    /// `node` is what would be written, with the addresses that it is to have; `device` is the device's own id, where it says one; and `token`
    /// its node token, where it has one.
    pub(super) fn of(
        tx: &mut dyn Transaction,
        shared: &Shared,
        join: &Join<'_>,
        (node, address): (&Node, Option<NodeAddresses>),
        (device, token): (Option<&str>, Option<&Bearer>),
    ) -> Result<Self, Error> {
        let Some(by) = join.token else { return Ok(Self::Admitted(None)) };
        let spends = Spends { token: by.id, approval: None };
        if !by.approval {
            return Ok(Self::Admitted(Some(spends)));
        }
        let now = node.created_at;
        let asks = Asked {
            name: node.name.clone(),
            device: device.map(str::to_owned),
            groups: node.groups.clone(),
            lighthouse: node.lighthouse.as_ref().map(ToString::to_string),
            relay: node.relay,
            mtu: node.mtu,
            address,
            user: node.user.clone(),
        };
        let known = pending_join::of_key(tx, by.id, &node.public_key, now)?;
        let written = match known {
            Some(known) => {
                if known.state == PendingState::Refused {
                    let fingerprint = KeyFingerprint::of(&node.public_key);
                    let reason = known.reason;
                    return Err(Error::JoinRefused { fingerprint, reason });
                }
                if !is_same_device(shared, &known, token) {
                    return Err(KeyConflict::AsksWithOtherToken.into());
                }
                match (known.asks == asks, known.state) {
                    (true, PendingState::Approved) => {
                        let approval = Some(known.id);
                        return Ok(Self::Admitted(Some(Spends { approval, ..spends })));
                    }
                    (true, _) => {
                        let waits = Waits { row: known, written: Written::Nothing };
                        return Ok(Self::Waits(Box::new(waits)));
                    }
                    (false, PendingState::Approved) => Written::AndTold,
                    (false, _) => Written::Anew,
                }
            }
            None => Written::AndTold,
        };
        let row = PendingJoin {
            id: PendingJoinId::new(),
            network: node.network,
            join_token: by.id,
            token_name: by.name.clone(),
            public_key: node.public_key.clone(),
            node_token: node.token.clone(),
            state: PendingState::Pending,
            asks,
            source: None,
            created_at: now,
            expires_at: until(by, now),
            decided_by: None,
            reason: None,
        };
        check_room(tx, by, &row.public_key, now)?;
        Ok(Self::Waits(Box::new(Waits { row, written })))
    }
}

impl Waits {
    /// Writes what is new. Others may have asked meanwhile.
    pub(super) fn write(
        self,
        tx: &mut dyn Transaction,
        author: &Author,
        now: i64,
    ) -> Result<PendingJoin, Error> {
        let Self { mut row, written } = self;
        if written == Written::Nothing {
            return Ok(row);
        }
        // Nobody else asks with the token, or revokes it, until this is written.
        let token = match join_token::hold(tx, row.join_token, now)? {
            true => join_token::by_id(tx, row.join_token)?,
            false => None,
        };
        let token = token.ok_or(JoinRefusal::ExpiredOrUsedUp)?;
        check_room(tx, &token, &row.public_key, now)?;
        row.source = author.source().map(str::to_owned);
        pending_join::insert(tx, &row)?;
        if written == Written::AndTold {
            author.record(tx, now, entry("join.asked", &row))?;
        }
        Ok(row)
    }
}

impl Spends {
    /// Takes a use of the join token, and the approval where it needs one. The last one goes to whoever
    /// writes first.
    pub(super) fn take(self, tx: &mut dyn Transaction, now: i64) -> Result<(), Error> {
        if !join_token::take_use(tx, self.token, now)? {
            return Err(JoinRefusal::ExpiredOrUsedUp.into());
        }
        match self.approval {
            // Refused, expired or used meanwhile: asking again tells which.
            Some(approval) if !pending_join::take(tx, approval, now)? => Err(Error::Overtaken),
            _ => Ok(()),
        }
    }
}

/// An event about a device that waits.
pub(in crate::service) fn entry<'a>(kind: &'static str, row: &'a PendingJoin) -> Entry<'a> {
    let detail = serde_json::json!({
        "name": row.asks.name,
        "keyFingerprint": row.key_fingerprint().to_string(),
        "joinToken": row.join_token.to_string(),
    });
    Entry { network: Some(row.network), detail, ..Entry::new(kind, row.id.as_bytes()) }
}

/// Until when a device is remembered that asks, or is decided about, now: no longer than its token.
pub(in crate::service) fn until(token: &JoinToken, now: i64) -> i64 {
    now.saturating_add(WAITS).min(token.expires_at)
}

/// No more wait than may still join with the token.
fn check_room(
    tx: &mut dyn Transaction,
    token: &JoinToken,
    public_key: &[u8],
    now: i64,
) -> Result<(), Error> {
    let most = token.uses.saturating_sub(token.used);
    match pending_join::waiting(tx, token.id, public_key, now)? < most {
        true => Ok(()),
        false => Err(JoinRefusal::TooManyWait { most }.into()),
    }
}

/// Whether it is who asked with the key before: a public key is public.
fn is_same_device(shared: &Shared, known: &PendingJoin, token: Option<&Bearer>) -> bool {
    match (&known.node_token, token) {
        (None, None) => true,
        (Some(stored), Some(token)) => {
            shared.secrets.hashes(token).any(|hashed| hashed.matches(stored))
        }
        _ => false,
    }
}
