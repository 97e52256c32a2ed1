//! Devices that wait for an operator's approval: who they are, and what the operator says.

use nebula_alloc::NetworkId;
use nebula_alloc::store::Transaction;

use super::access::authorize;
use super::context::Context;
use super::core::Service;
use super::enroll::address::check_approvable;
use super::enroll::approval::{entry, until};
use super::principal::Action;
use crate::error::{Conflict, Fault, Field, KeyConflict, Kind};
use crate::key_fingerprint::{LEAST_DIGITS, NamedKey};
use crate::store::join_token;
use crate::store::pending_join::{self, PendingJoin};
use crate::stored_words::PendingState;
use crate::{Error, NetworkRef, PendingJoinId, StateReason};

impl Service {
    /// A network's devices that wait, were approved and have not come yet, or were refused, after the one
    /// of this id, at most `limit`.
    ///
    /// # Errors
    /// [`Error::NotFound`], and those of access.
    pub async fn pending_joins(
        &self,
        context: Context,
        network: NetworkRef,
        after: Option<PendingJoinId>,
        limit: i64,
    ) -> Result<Vec<PendingJoin>, Error> {
        self.read(move |tx, shared| {
            let (secrets, now) = (&shared.secrets, shared.now());
            let (_, network) =
                authorize(tx, secrets, &context, now, Action::ReadPending, Some(&network))?;
            pending_join::after(tx, network.id, after.unwrap_or([0; 16].into()), now, limit)
        })
        .await
    }

    /// One of them.
    ///
    /// # Errors
    /// [`Error::NotFound`], and those of access.
    pub async fn pending_join(
        &self,
        context: Context,
        network: NetworkRef,
        id: PendingJoinId,
    ) -> Result<PendingJoin, Error> {
        self.read(move |tx, shared| {
            let (secrets, now) = (&shared.secrets, shared.now());
            let (_, network) =
                authorize(tx, secrets, &context, now, Action::ReadPending, Some(&network))?;
            find(tx, network.id, id, now)
        })
        .await
    }

    /// Approves a device, which then has a day to come. `fingerprint` is what the device shows of its key,
    /// or at least its first 16 digits. Doing it again changes nothing.
    ///
    /// # Errors
    /// [`Error::Invalid`] and [`Error::KeyMismatch`] for what is not the device's fingerprint,
    /// [`Error::NameTaken`] and [`Error::Conflict`] where it could not join as it asks,
    /// [`Error::NotFound`], and those of access.
    pub async fn approve_join(
        &self,
        context: Context,
        network: NetworkRef,
        id: PendingJoinId,
        fingerprint: &str,
    ) -> Result<PendingJoin, Error> {
        let named = NamedKey::parse(fingerprint);
        let named = named.ok_or_else(|| {
            Fault::KeyFingerprint { least: LEAST_DIGITS }.of(Field::KeyFingerprint)
        })?;
        let check = move |row: &PendingJoin| match row.key_fingerprint().is(&named) {
            true => Ok(()),
            false => Err(KeyConflict::OtherFingerprint.into()),
        };
        self.decide_join(context, network, id, (PendingState::Approved, None), check).await
    }

    /// Refuses a device: its key may not join with its token for a day. It is told the reason. Doing it again
    /// changes nothing, but for another reason.
    ///
    /// # Errors
    /// [`Error::NotFound`], and those of access.
    pub async fn refuse_join(
        &self,
        context: Context,
        network: NetworkRef,
        id: PendingJoinId,
        reason: Option<StateReason>,
    ) -> Result<PendingJoin, Error> {
        let decision = (PendingState::Refused, reason.map(String::from));
        self.decide_join(context, network, id, decision, |_| Ok(())).await
    }

    async fn decide_join(
        &self,
        context: Context,
        network: NetworkRef,
        id: PendingJoinId,
        (state, reason): (PendingState, Option<String>),
        check: impl Fn(&PendingJoin) -> Result<(), Error> + Send + 'static,
    ) -> Result<PendingJoin, Error> {
        self.exclusive(context, move |work| {
            let network = work.network(Action::DecidePending, &network)?;
            let row = find(work.tx, network.id, id, work.now)?;
            check(&row)?;
            if row.state == state && (reason.is_none() || row.reason == reason) {
                return Ok(row);
            }
            let token = join_token::by_id(work.tx, row.join_token)?
                .ok_or_else(|| Error::not_found(Kind::PendingJoin, id))?;
            if state == PendingState::Approved {
                check_approvable(work.tx, &network, &row, token.pool, work.now)?;
            }
            let (actor, expires_at) = (work.author.name(), until(&token, work.now));
            let decided_by = Some(actor.to_owned());
            let reason = reason.clone();
            let former = row.state;
            let row = PendingJoin { state, expires_at, decided_by, reason, ..row };
            if !pending_join::decide(work.tx, former, &row, work.now)? {
                // Another instance was first: with the same, or with something else.
                let row = find(work.tx, network.id, id, work.now)?;
                return match row.state == state {
                    true => Ok(row),
                    false => Err(Conflict::ChangedMeanwhile.into()),
                };
            }
            let kind = match state {
                PendingState::Refused => "join.refused",
                _ => "join.approved",
            };
            work.record(entry(kind, &row))?;
            Ok(row)
        })
        .await
    }
}

fn find(
    tx: &mut dyn Transaction,
    network: NetworkId,
    id: PendingJoinId,
    now: i64,
) -> Result<PendingJoin, Error> {
    pending_join::by_id(tx, id, now)?
        .filter(|row| row.network == network)
        .ok_or_else(|| Error::not_found(Kind::PendingJoin, id))
}
