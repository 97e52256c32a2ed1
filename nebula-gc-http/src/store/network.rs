use ipnet::IpNet;
use nebula_alloc::store::{Row, Transaction};
use nebula_alloc::{Family, NetworkId};
use nebula_pki::Version;

use super::{damaged, prefix, version};
use crate::{CaId, Error, TenantId};

/// A network's counter. It moves once with each change of something in other nodes' bundles: CAs,
/// blocklist, lighthouses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Revision(pub(crate) i64);

impl Revision {
    pub(crate) const FIRST: Self = Self(1);
}

/// One overlay.
#[derive(Debug, Clone)]
pub(crate) struct Network {
    pub(crate) id: NetworkId,
    pub(crate) tenant: TenantId,
    pub(crate) name: String,
    pub(crate) version: Version,
    pub(crate) prefix_v4: Option<IpNet>,
    pub(crate) prefix_v6: Option<IpNet>,
    /// The CA that signs.
    pub(crate) active_ca: CaId,
    /// How long a released address is kept, at least, in seconds.
    pub(crate) hold_seconds: i64,
    pub(crate) revision: Revision,
    /// The rendering its bundles are made with.
    pub(crate) rendering: u32,
}

impl Network {
    pub(crate) fn prefix(&self, family: Family) -> Option<IpNet> {
        match family {
            Family::V4 => self.prefix_v4,
            Family::V6 => self.prefix_v6,
        }
    }

    /// The families it gives out addresses of, IPv4 first.
    pub(crate) fn families(&self) -> impl Iterator<Item = Family> {
        [Family::V4, Family::V6].into_iter().filter(|family| self.prefix(*family).is_some())
    }
}

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT id, tenant, name, certificate_version, prefix_v4, prefix_v6, active_ca, \
             hold_seconds, revision, rendering FROM gc_network ",
            $rest
        )
    };
}

fn read(row: &Row) -> Result<Network, Error> {
    Ok(Network {
        id: row.array(0)?.into(),
        tenant: row.array(1)?.into(),
        name: row.text(2)?.to_owned(),
        version: version(row.integer(3)?)?,
        prefix_v4: prefix(row.optional_text(4)?)?,
        prefix_v6: prefix(row.optional_text(5)?)?,
        active_ca: row.array(6)?.into(),
        hold_seconds: row.integer(7)?,
        revision: Revision(row.integer(8)?),
        rendering: row.integer(9)?.try_into().map_err(|_| damaged("rendering"))?,
    })
}

pub(crate) fn by_name(tx: &mut dyn Transaction, name: &str) -> Result<Option<Network>, Error> {
    let rows = tx.query(select!("WHERE name = $1"), &[name.into()])?;
    rows.first().map(read).transpose()
}

/// The first networks in the order of their ids, at most `limit`.
pub(crate) fn first(tx: &mut dyn Transaction, limit: i64) -> Result<Vec<Network>, Error> {
    let rows = tx.query(select!("ORDER BY id LIMIT $1"), &[limit.into()])?;
    rows.iter().map(read).collect()
}

/// The first networks of one tenant.
pub(crate) fn first_of_tenant(
    tx: &mut dyn Transaction,
    tenant: TenantId,
    limit: i64,
) -> Result<Vec<Network>, Error> {
    let rows = tx.query(
        select!("WHERE tenant = $1 ORDER BY id LIMIT $2"),
        &[tenant.as_bytes().into(), limit.into()],
    )?;
    rows.iter().map(read).collect()
}

pub(crate) fn by_id(tx: &mut dyn Transaction, id: NetworkId) -> Result<Option<Network>, Error> {
    let rows = tx.query(select!("WHERE id = $1"), &[id.as_bytes().into()])?;
    rows.first().map(read).transpose()
}

pub(crate) fn insert(tx: &mut dyn Transaction, network: &Network, now: i64) -> Result<(), Error> {
    let text = |prefix: Option<IpNet>| prefix.map(|prefix| prefix.to_string());
    let (v4, v6) = (text(network.prefix_v4), text(network.prefix_v6));
    Ok(tx.queue(
        "INSERT INTO gc_network (id, tenant, name, certificate_version, prefix_v4, prefix_v6, active_ca, \
         hold_seconds, revision, rendering, created_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
        &[
            network.id.as_bytes().into(),
            network.tenant.as_bytes().into(),
            (&network.name).into(),
            i64::from(network.version.number()).into(),
            v4.as_deref().into(),
            v6.as_deref().into(),
            network.active_ca.as_bytes().into(),
            network.hold_seconds.into(),
            network.revision.0.into(),
            i64::from(network.rendering).into(),
            now.into(),
        ],
    )?)
}

/// Gives a network its prefix of a family that it had none of.
pub(crate) fn set_prefix(
    tx: &mut dyn Transaction,
    id: NetworkId,
    prefix: IpNet,
) -> Result<(), Error> {
    let sql = match prefix {
        IpNet::V4(_) => "UPDATE gc_network SET prefix_v4 = $1 WHERE id = $2 AND prefix_v4 IS NULL",
        IpNet::V6(_) => "UPDATE gc_network SET prefix_v6 = $1 WHERE id = $2 AND prefix_v6 IS NULL",
    };
    match tx.execute(sql, &[(&prefix.to_string()).into(), id.as_bytes().into()])? {
        1 => Ok(()),
        _ => Err(Error::conflict("the network was given a prefix at the same time; ask again")),
    }
}

/// Moves the revision, once per change, and lets expired entries of the blocklist go with it.
pub(crate) fn move_revision(
    tx: &mut dyn Transaction,
    id: NetworkId,
    now: i64,
) -> Result<Revision, Error> {
    super::blocklist::remove_expired(tx, id, now)?;
    let rows = tx.query(
        "UPDATE gc_network SET revision = revision + 1 WHERE id = $1 RETURNING revision",
        &[id.as_bytes().into()],
    )?;
    Ok(Revision(rows.first().ok_or_else(|| damaged("network"))?.integer(0)?))
}
