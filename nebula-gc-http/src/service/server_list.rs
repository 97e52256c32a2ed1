//! The list of servers that nodes are told.

pub(super) mod key;

use nebula_alloc::store::Transaction;
use serde_json::json;

use super::audit::Entry;
use super::context::Context;
use super::core::Service;
use super::exclusive::Work;
use super::precondition::{Expected, Tag};
use super::principal::{Action, Principal};
use super::shared::heard;
use crate::Error;
use crate::error::{Fault, Field, Needs};
use crate::server_list::{ListedServer, ServerList, ServerListKey, SignedServerList};
use crate::store::operator_key::Scope;
use crate::store::server_list::{self, StoredList};

/// The list of servers as it is, and the key that signs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Servers {
    /// The list.
    pub list: SignedServerList,
    /// The store's public key, which nodes keep from when they join.
    pub key: ServerListKey,
}

impl Servers {
    /// What tells this state from its others.
    #[must_use]
    pub fn tag(&self) -> Tag {
        Tag::exactly(self.list.unverified_serial())
    }

    pub(super) fn read(tx: &mut dyn Transaction) -> Result<Self, Error> {
        key::stored(tx).map(|stored| Self { list: stored.list, key: stored.key })
    }
}

impl Service {
    /// The servers that nodes are told, for operators of the whole store.
    ///
    /// # Errors
    /// Those of access.
    pub async fn servers(&self, context: Context) -> Result<Servers, Error> {
        self.read(move |tx, shared| {
            let principal = Principal::authenticate(tx, &shared.secrets, &context, shared.now())?;
            principal.permit(Action::ReadServers)?;
            require_root(&principal)?;
            Servers::read(tx)
        })
        .await
    }

    /// The servers that the caller's node may ask.
    ///
    /// # Errors
    /// [`Error::NodeKeptOut`] and those of access.
    pub async fn own_servers(&self, context: Context) -> Result<Servers, Error> {
        self.read(move |tx, shared| {
            heard(tx, shared, &context)?;
            Servers::read(tx)
        })
        .await
    }

    /// The servers that a node is told when it joins.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    #[cfg(feature = "server")]
    pub(crate) async fn servers_of_new_nodes(&self) -> Result<Servers, Error> {
        self.read(|tx, _| Servers::read(tx)).await
    }

    /// Tells nodes other servers. The same list again changes nothing.
    ///
    /// # Errors
    /// [`Error::Invalid`], [`Error::Precondition`], and those of access.
    pub async fn set_servers(
        &self,
        context: Context,
        expected: Expected,
        servers: Vec<ListedServer>,
    ) -> Result<Servers, Error> {
        let refuse = |error| Fault::ServerList(error).of(Field::Servers);
        let list = ServerList::new(1, servers).map_err(refuse)?;
        self.exclusive(context, move |work| change(work, &expected, list.servers())).await
    }
}

fn change(
    work: &mut Work<'_>,
    expected: &Expected,
    servers: &[ListedServer],
) -> Result<Servers, Error> {
    work.principal.permit(Action::ManageServers)?;
    require_root(work.principal)?;
    let StoredList { key: public, sealed, list } = key::stored(work.tx)?;
    let now = Servers { list: list.clone(), key: public };
    expected.check(&now.tag())?;
    let serial = list.unverified_serial();
    let is_same = list.verify(&public).is_ok_and(|list| list.servers() == servers);
    if is_same {
        return Ok(now);
    }
    let refuse = |error| Fault::ServerList(error).of(Field::Servers);
    // By time, so that it is higher than what a store had handed out before it was restored from a copy.
    let serial = serial.saturating_add(1).max(work.now);
    let list = ServerList::new(serial, servers.to_vec()).map_err(refuse)?;
    let urls: Vec<_> = servers.iter().map(|server| server.url.as_str()).collect();
    work.record(Entry {
        detail: json!({"serial": list.serial(), "servers": urls}),
        ..Entry::new("servers.changed", &public.0)
    })?;
    let list = list.signed(&key::open(&work.shared.secrets, &sealed)?);
    server_list::replace(work.tx, &list)?;
    Ok(Servers { list, key: public })
}

fn require_root(principal: &Principal) -> Result<(), Error> {
    match principal.scope() {
        Scope::Root => Ok(()),
        _ => Err(Needs::RootKey.into()),
    }
}
