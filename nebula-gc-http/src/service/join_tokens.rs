//! Join tokens: what lets devices join a network.

use nebula_alloc::store::Transaction;
use nebula_alloc::{NetworkId, PoolId, block, pool};
use serde_json::json;

use super::access::authorize;
use super::audit::Entry;
use super::context::Context;
use super::core::Service;
use super::enroll::address::check_preset;
use super::exclusive::{Created, Repeat, Work};
use super::networks::settings::within;
use super::principal::Action;
use crate::error::{Fault, Field, Kind};
use crate::names::{check_seen, hidden_id};
use crate::secret::Bearer;
use crate::store::join_token::{self, JoinToken};
use crate::{
    DeviceId, Error, Groups, JoinTokenId, Label, NetworkRef, NodeAddresses, NodeName, UserName,
};

/// A join token to be made.
#[derive(Debug, Clone)]
pub struct NewJoinToken {
    /// What its maker calls it.
    pub name: Label,
    /// How many nodes may join with it: 1 to 1,000,000.
    pub uses: i64,
    /// From when it lets nobody join any more, in seconds since the Unix epoch; within a year.
    pub expires: Expiry,
    /// What names of nodes have to match: `*` stands for any characters.
    pub name_pattern: Option<NodeName>,
    /// The groups that its nodes get.
    pub groups: Groups,
    /// Whether its nodes are relays.
    pub relay: bool,
    /// Whether its nodes may say that they are lighthouses.
    pub lighthouse: bool,
    /// The pool or block its nodes get their addresses from.
    pub pool: Option<PoolId>,
    /// The addresses that its node gets; it is for one node then.
    pub addresses: Option<NodeAddresses>,
    /// To whom its nodes belong; the maker's own user where left out.
    pub user: Option<UserName>,
    /// The only device id that a node may join under, and the one of who names none.
    pub device: Option<DeviceId>,
    /// After how long a silence its nodes are released, in seconds: 15 minutes to 10 years. Never where it
    /// is left out.
    pub ephemeral_seconds: Option<i64>,
    /// Whether an operator has to approve each device that joins.
    pub approval: bool,
}

/// When something ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expiry {
    /// Then, in seconds since the Unix epoch.
    At(i64),
    /// After so many seconds.
    In(i64),
}

/// No join token lives longer, in seconds: a year.
const LONGEST: i64 = 365 * 86_400;
/// The shortest silence after which a node may be released, in seconds: longer than servers may be away
/// without that being an interruption, and than nodes wait to ask again.
const LEAST_EPHEMERAL: i64 = 900;
/// No join token lets more nodes join.
const MOST_USES: i64 = 1_000_000;

impl Service {
    /// A network's join tokens, revoked ones too, after the one of this id, at most `limit`.
    ///
    /// # Errors
    /// [`Error::NotFound`], and those of access.
    pub async fn join_tokens(
        &self,
        context: Context,
        network: NetworkRef,
        after: Option<JoinTokenId>,
        limit: i64,
    ) -> Result<Vec<JoinToken>, Error> {
        self.read(move |tx, shared| {
            let (secrets, now) = (&shared.secrets, shared.now());
            let (_, network) =
                authorize(tx, secrets, &context, now, Action::ReadJoinTokens, Some(&network))?;
            join_token::after(tx, network.id, after.unwrap_or([0; 16].into()), limit)
        })
        .await
    }

    /// One join token.
    ///
    /// # Errors
    /// [`Error::NotFound`], and those of access.
    pub async fn join_token(
        &self,
        context: Context,
        network: NetworkRef,
        id: JoinTokenId,
    ) -> Result<JoinToken, Error> {
        self.read(move |tx, shared| {
            let (secrets, now) = (&shared.secrets, shared.now());
            let (_, network) =
                authorize(tx, secrets, &context, now, Action::ReadJoinTokens, Some(&network))?;
            find(tx, network.id, id)
        })
        .await
    }

    /// Makes a join token.
    ///
    /// # Errors
    /// [`Error::Invalid`], [`Error::NotFound`], [`Error::Conflict`] for an address that no node could
    /// have, [`Error::IdempotencyKeyReused`], and those of access.
    pub async fn create_join_token(
        &self,
        context: Context,
        network: NetworkRef,
        request: NewJoinToken,
        repeat: Option<Repeat>,
    ) -> Result<Created<JoinToken>, Error> {
        self.admit(&context).await?;
        if !(1..=MOST_USES).contains(&request.uses) {
            return Err(Fault::OutOfRange { least: 1, most: MOST_USES }.of(Field::Uses));
        }
        if request.addresses.is_some() && request.uses != 1 {
            return Err(Fault::OneUse.of(Field::Uses));
        }
        if let Some(seconds) = request.ephemeral_seconds {
            within(Field::EphemeralSeconds, seconds, LEAST_EPHEMERAL)?;
        }
        self.exclusive(context, move |work| {
            let network = work.network(Action::ManageJoinTokens, &network)?;
            work.once(
                repeat.as_ref(),
                |work, id| find(work.tx, network.id, id.into()),
                |work| {
                    let expires_at = request.expires.check(work.now)?;
                    if let Some(pool) = request.pool {
                        check_pool(work.tx, network.id, pool)?;
                    }
                    if let Some(named) = request.addresses {
                        let device = request.device.as_ref().map(DeviceId::as_str);
                        check_preset(work.tx, &network, (device, request.pool), named, work.now)?;
                    }
                    let name = request.name.as_str();
                    check_name(work.tx, name)?;
                    let secret = Bearer::new_join_token()?;
                    let token = JoinToken {
                        id: JoinTokenId::new(),
                        network: network.id,
                        name: request.name.to_string(),
                        uses: request.uses,
                        used: 0,
                        expires_at,
                        name_pattern: request.name_pattern.as_ref().map(NodeName::to_string),
                        groups: request.groups.as_slice().to_vec(),
                        relay: request.relay,
                        lighthouse: request.lighthouse,
                        pool: request.pool,
                        addresses: request.addresses,
                        user: match &request.user {
                            Some(user) => user.to_string(),
                            None => work.principal.user(),
                        },
                        device: request.device.as_ref().map(DeviceId::to_string),
                        ephemeral_seconds: request.ephemeral_seconds,
                        approval: request.approval,
                        created_at: work.now,
                        revoked_at: None,
                    };
                    let hashed = work.shared.secrets.hash(&secret)?;
                    join_token::insert(work.tx, &token, &hashed)?;
                    work.record(Entry {
                        network: Some(network.id),
                        detail: json!({"name": token.name, "uses": token.uses, "user": token.user}),
                        ..Entry::new("join_token.created", token.id.as_bytes())
                    })?;
                    Ok((*token.id.as_bytes(), token, Some(secret)))
                },
            )
        })
        .await
    }

    /// Gives a join token another name.
    ///
    /// # Errors
    /// [`Error::NameIsId`], [`Error::NotFound`], and those of access.
    pub async fn rename_join_token(
        &self,
        context: Context,
        network: NetworkRef,
        id: JoinTokenId,
        name: Label,
    ) -> Result<JoinToken, Error> {
        self.exclusive(context, move |work| {
            let network = work.network(Action::ManageJoinTokens, &network)?;
            let token = find(work.tx, network.id, id)?;
            if token.name == name.as_str() {
                return Ok(token);
            }
            check_name(work.tx, name.as_str())?;
            join_token::rename(work.tx, &token, name.as_str())?;
            work.record(Entry {
                network: Some(network.id),
                detail: json!({"name": name.as_str(), "former": token.name}),
                ..Entry::new("join_token.renamed", id.as_bytes())
            })?;
            Ok(JoinToken { name: name.to_string(), ..token })
        })
        .await
    }

    /// Revokes a join token, for good. The nodes that joined with it stay; devices that wait with it for
    /// approval wait no longer. Doing it again changes nothing.
    ///
    /// # Errors
    /// [`Error::NotFound`], and those of access.
    pub async fn revoke_join_token(
        &self,
        context: Context,
        network: NetworkRef,
        id: JoinTokenId,
    ) -> Result<(), Error> {
        self.exclusive(context, move |work| {
            let network = work.network(Action::ManageJoinTokens, &network)?;
            find(work.tx, network.id, id)?;
            revoke(work, id)
        })
        .await
    }
}

/// Revokes a join token, unless it is.
pub(super) fn revoke(work: &mut Work<'_>, id: JoinTokenId) -> Result<(), Error> {
    let token = join_token::by_id(work.tx, id)?;
    let token = token.ok_or_else(|| Error::not_found(Kind::JoinToken, id))?;
    if !join_token::revoke(work.tx, id, work.now)? {
        return Ok(());
    }
    work.record(Entry {
        network: Some(token.network),
        detail: json!({"name": token.name}),
        ..Entry::new("join_token.revoked", id.as_bytes())
    })
}

/// That a join token may have this name. Several may have one.
fn check_name(tx: &mut dyn Transaction, name: &str) -> Result<(), Error> {
    check_seen(Field::Name, name)?;
    match hidden_id(name) {
        Some(id) if join_token::by_id(tx, id.into())?.is_some() => {
            Err(Error::NameIsId { name: name.to_owned(), kind: Kind::JoinToken })
        }
        _ => Ok(()),
    }
}

impl Expiry {
    fn check(self, now: i64) -> Result<i64, Error> {
        let (field, at) = match self {
            Self::At(at) => (Field::ExpiresAt, at),
            Self::In(seconds) => (Field::ExpiresInSeconds, now.saturating_add(seconds)),
        };
        if now < at && at <= now.saturating_add(LONGEST) {
            return Ok(at);
        }
        Err(Fault::NotWithin { days: 365 }.of(field))
    }
}

fn find(tx: &mut dyn Transaction, network: NetworkId, id: JoinTokenId) -> Result<JoinToken, Error> {
    join_token::by_id(tx, id)?
        .filter(|token| token.network == network)
        .ok_or_else(|| Error::not_found(Kind::JoinToken, id))
}

/// That the network has this pool or block.
pub(super) fn check_pool(
    tx: &mut dyn Transaction,
    network: NetworkId,
    id: PoolId,
) -> Result<(), Error> {
    let of = match pool::by_id(tx, id)? {
        Some(pool) => Some(pool.network),
        None => block::by_id(tx, id)?.map(|block| block.network),
    };
    if of == Some(network) {
        return Ok(());
    }
    Err(Fault::NotInNetwork(Kind::PoolOrBlock).of(Field::Pool))
}
