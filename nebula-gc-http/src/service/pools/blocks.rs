//! Blocks: contiguous addresses of a pool that are kept for a group.

use nebula_alloc::block::{self, Block};
use nebula_alloc::store::Transaction;
use nebula_alloc::{Family, NetworkId, PoolId, pool};

use super::{Addresses, find as find_pool, refusal};
use crate::error::{Conflict, Field, Kind};
use crate::names::{check_seen, hidden_id};
use crate::service::access::authorize;
use crate::service::context::Context;
use crate::service::core::Service;
use crate::service::exclusive::{Created, Repeat};
use crate::service::principal::Action;
use crate::{Error, Label, NetworkRef, id};

/// A block to be made.
#[derive(Debug, Clone)]
pub struct NewBlock {
    /// Unique in its network and family.
    pub name: Label,
    /// The pool that it is a part of.
    pub pool: PoolId,
    /// Which of the pool's addresses.
    pub room: Room,
}

/// Where a block lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Room {
    /// Here.
    At(Addresses),
    /// Where as many addresses are free, as high in the pool as can be.
    Of(u128),
}

impl Service {
    /// A network's blocks in the order of their ids, after the one of this id, at most `limit`.
    ///
    /// # Errors
    /// [`Error::NotFound`], and those of access.
    pub async fn blocks(
        &self,
        context: Context,
        network: NetworkRef,
        after: Option<PoolId>,
        limit: i64,
    ) -> Result<Vec<Block>, Error> {
        self.read(move |tx, shared| {
            let (secrets, now) = (&shared.secrets, shared.now());
            let (_, network) =
                authorize(tx, secrets, &context, now, Action::ReadNetwork, Some(&network))?;
            let limit = usize::try_from(limit).unwrap_or_default();
            Ok(block::by_network(tx, network.id, after, limit)?)
        })
        .await
    }

    /// One block.
    ///
    /// # Errors
    /// [`Error::NotFound`], and those of access.
    pub async fn block(
        &self,
        context: Context,
        network: NetworkRef,
        id: PoolId,
    ) -> Result<Block, Error> {
        self.read(move |tx, shared| {
            let (secrets, now) = (&shared.secrets, shared.now());
            let (_, network) =
                authorize(tx, secrets, &context, now, Action::ReadNetwork, Some(&network))?;
            find(tx, network.id, id)
        })
        .await
    }

    /// Makes a block.
    ///
    /// # Errors
    /// [`Error::Invalid`], [`Error::NotFound`], [`Error::Conflict`] where there is no room or
    /// another has the name, [`Error::LeasesStand`], [`Error::IdempotencyKeyReused`], and those of
    /// access.
    pub async fn create_block(
        &self,
        context: Context,
        network: NetworkRef,
        request: NewBlock,
        repeat: Option<Repeat>,
    ) -> Result<Created<Block>, Error> {
        self.exclusive(context, move |work| {
            let network = work.network(Action::ChangeNetwork, &network)?;
            work.once(
                repeat.as_ref(),
                |work, id| find(work.tx, network.id, PoolId(id)),
                |work| {
                    let pool = find_pool(work.tx, network.id, request.pool)?;
                    let range = match request.room {
                        Room::At(range) => range.of(&network)?,
                        Room::Of(size) => block::find_room(work.tx, pool.id, size)
                            .map_err(refusal)?
                            .ok_or(Conflict::NoRun)?,
                    };
                    let name = request.name.as_str();
                    check_name(work.tx, network.id, range.family(), name)?;
                    let (id, name) = (id::new_pool(), name.to_owned());
                    let block = Block { id, network: network.id, pool: pool.id, name, range };
                    block::create(work.tx, work.now, &work.author.actor(), &block)
                        .map_err(refusal)?;
                    Ok((id.0, block, None))
                },
            )
        })
        .await
    }

    /// Gives a block another name.
    ///
    /// # Errors
    /// [`Error::NameTaken`], [`Error::NameIsId`], [`Error::NotFound`], and those of access.
    pub async fn rename_block(
        &self,
        context: Context,
        network: NetworkRef,
        id: PoolId,
        name: Label,
    ) -> Result<Block, Error> {
        self.exclusive(context, move |work| {
            let network = work.network(Action::ChangeNetwork, &network)?;
            let block = find(work.tx, network.id, id)?;
            let name = name.as_str();
            if block.name == name {
                return Ok(block);
            }
            check_name(work.tx, network.id, block.range.family(), name)?;
            block::rename(work.tx, work.now, &work.author.actor(), id, name).map_err(refusal)
        })
        .await
    }

    /// Gives a block's addresses back to its pool.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::LeasesStand`], and those of access.
    pub async fn delete_block(
        &self,
        context: Context,
        network: NetworkRef,
        id: PoolId,
    ) -> Result<(), Error> {
        self.exclusive(context, move |work| {
            let network = work.network(Action::ChangeNetwork, &network)?;
            find(work.tx, network.id, id)?;
            block::delete(work.tx, work.now, &work.author.actor(), id).map_err(refusal).map(drop)
        })
        .await
    }
}

/// That a block may have this name.
fn check_name(
    tx: &mut dyn Transaction,
    network: NetworkId,
    family: Family,
    name: &str,
) -> Result<(), Error> {
    check_seen(Field::Name, name)?;
    if block::by_name(tx, network, family, name)?.is_some() {
        return Err(Error::NameTaken { kind: Kind::Block, name: name.to_owned() });
    }
    if let Some(id) = hidden_id(name).map(PoolId)
        && (pool::by_id(tx, id)?.is_some() || block::by_id(tx, id)?.is_some())
    {
        return Err(Error::NameIsId { name: name.to_owned(), kind: Kind::PoolOrBlock });
    }
    Ok(())
}

fn find(tx: &mut dyn Transaction, network: NetworkId, id: PoolId) -> Result<Block, Error> {
    block::by_id(tx, id)?
        .filter(|block| block.network == network)
        .ok_or_else(|| Error::not_found(Kind::Block, id))
}
