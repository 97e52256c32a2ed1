//! Networks: their settings, prefixes and counters. One that was deleted is found by nothing here; see
//! [`deleted_network`](super::deleted_network).

use ipnet::IpNet;
use nebula_alloc::store::Query;
use nebula_alloc::store::{Row, Transaction};
use nebula_alloc::{Family, NetworkId};
use nebula_pki::{Certificate, Curve, Version};

use super::{damaged, one_integer, prefix};
use crate::names::{key_beside, keys};
pub use crate::stored_words::Versions;
use crate::{CaId, Error, TenantId};

/// A network's counter. It moves once with each change of something in other nodes' bundles: CAs,
/// blocklist, lighthouses, relays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Revision(pub i64);

impl Revision {
    pub(crate) const FIRST: Self = Self(1);
}

/// One overlay.
#[derive(Debug, Clone)]
pub struct Network {
    /// Its id.
    pub id: NetworkId,
    /// Who owns it.
    pub tenant: TenantId,
    /// Its name, unique over all tenants.
    pub name: String,
    /// The versions of its nodes' certificates.
    pub versions: Versions,
    /// The curve of its keys.
    pub curve: Curve,
    /// Its IPv4 prefix.
    pub prefix_v4: Option<IpNet>,
    /// Its IPv6 prefix.
    pub prefix_v6: Option<IpNet>,
    /// The CA that signs.
    pub active_ca: CaId,
    /// How long a released address stays in quarantine at least, in seconds.
    pub hold_seconds: i64,
    /// Whether released addresses stay in quarantine for the hold time alone, regardless of
    /// certificates.
    pub hold_alone: bool,
    /// How long the certificates of native nodes are valid, in seconds.
    pub lifetime: i64,
    /// A node that has reported before is released after this time without a request, in seconds.
    pub silence_seconds: Option<i64>,
    /// A node without a token of its own, or one that never reports, is released this time after its last
    /// certificate has ended, in seconds.
    pub give_back_seconds: Option<i64>,
    /// A node that has reported before is shown as silent after this time without a request, in seconds.
    pub silent_after: i64,
    /// The MTU of its nodes' devices, in bytes, unless they have their own.
    pub mtu: u32,
    /// The version with which nodes that have certificates of both versions start handshakes, if an
    /// operator chose one.
    pub initiating_version: Option<Version>,
    /// Certificates that begin before this time are due for renewal, in seconds since the Unix
    /// epoch.
    pub(crate) renew_before: Option<i64>,
    /// Counts changes of what is in other nodes' bundles.
    pub revision: Revision,
    /// Counts what makes the waiting polls of single nodes be looked at again while the revision
    /// stays: a changed node, state or token. What a node renews by itself is not counted.
    pub(crate) wake_counter: i64,
    /// The number of the rendering of its bundles.
    pub rendering: u32,
    /// Counts changes of the network's settings.
    pub(crate) changes: i64,
    /// When it was made, in seconds since the Unix epoch.
    pub created_at: i64,
}

impl Network {
    pub(crate) fn prefix(&self, family: Family) -> Option<IpNet> {
        match family {
            Family::V4 => self.prefix_v4,
            Family::V6 => self.prefix_v6,
        }
    }

    /// Whether a node's certificates must be renewed before their time: an operator made them due, or the
    /// network has grown, or has gained a family since, of which the node has no address yet. `asked` is
    /// the time before which the node's own are due.
    pub(crate) fn has_left(
        &self,
        asked: Option<i64>,
        certificates: &[Certificate],
        now: i64,
    ) -> bool {
        let networks = |it: &Certificate| it.unverified_details().networks().len();
        let most = certificates.iter().map(networks).max();
        most.is_some_and(|most| most < self.families().count())
            || certificates.iter().any(|it| self.has_left_one(asked, it, now))
    }

    fn has_left_one(&self, asked: Option<i64>, certificate: &Certificate, now: i64) -> bool {
        let begin = certificate.unverified_details().not_before();
        // A time in the future comes from a wrong clock.
        let is_due = |before: i64| before <= now && begin < before;
        // What is issued after the operator asked ends that, and so is not due within the same second.
        let is_asked = |before: i64| before <= now && begin <= before;
        self.renew_before.is_some_and(is_due)
            || asked.is_some_and(is_asked)
            || self.has_outgrown(certificate)
    }

    /// Whether a certificate was issued when the network was smaller: a node with it cannot reach
    /// all addresses.
    fn has_outgrown(&self, certificate: &Certificate) -> bool {
        certificate.unverified_details().networks().iter().any(|net| {
            let prefix = self.prefix(Family::of(net.addr()));
            prefix.is_some_and(|prefix| prefix.prefix_len() < net.prefix_len())
        })
    }

    /// The version with which nodes that have certificates of both versions start handshakes: in a
    /// network of one version that one, because others have no other, or soon will not.
    #[must_use]
    pub fn begins_with(&self) -> Version {
        match self.versions {
            Versions::V1 => Version::V1,
            Versions::V2 => Version::V2,
            Versions::Both => self.initiating_version.unwrap_or(Version::V1),
        }
    }

    /// The address families of its prefixes, IPv4 first.
    pub(crate) fn families(&self) -> impl Iterator<Item = Family> {
        [Family::V4, Family::V6].into_iter().filter(|family| self.prefix(*family).is_some())
    }
}

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT id, tenant, name, certificate_version, also_version_1, curve, prefix_v4, prefix_v6, \
             active_ca, hold_seconds, hold_alone, lifetime, silence_seconds, mtu, initiating_version, \
             revision, moves, rendering, changes, created_at, renew_before, silent_after, give_back_seconds FROM gc_network ",
            $rest
        )
    };
}

const BY_ID: &str = select!("WHERE id = $1 AND deleting_at IS NULL");
const BY_NAME: &str = select!("WHERE name = $1 AND deleting_at IS NULL");

fn read(row: &Row) -> Result<Network, Error> {
    let mut columns = row.columns();
    Ok(Network {
        id: columns.array()?.into(),
        tenant: columns.array()?.into(),
        name: columns.text()?.to_owned(),
        versions: match (columns.integer()?, columns.integer()?) {
            (1, 0) => Versions::V1,
            (2, 0) => Versions::V2,
            (2, 1) => Versions::Both,
            _ => return Err(damaged("certificate version")),
        },
        curve: match columns.integer()? {
            0 => Curve::Curve25519,
            1 => Curve::P256,
            _ => return Err(damaged("curve")),
        },
        prefix_v4: prefix(columns.optional_text()?)?,
        prefix_v6: prefix(columns.optional_text()?)?,
        active_ca: columns.array()?.into(),
        hold_seconds: columns.integer()?,
        hold_alone: columns.integer()? != 0,
        lifetime: columns.integer()?,
        silence_seconds: columns.optional_integer()?,
        mtu: small(columns.integer()?, "MTU")?,
        initiating_version: match columns.optional_integer()? {
            None => None,
            Some(1) => Some(Version::V1),
            Some(2) => Some(Version::V2),
            Some(_) => return Err(damaged("initiating version")),
        },
        revision: Revision(columns.integer()?),
        wake_counter: columns.integer()?,
        rendering: small(columns.integer()?, "rendering")?,
        changes: columns.integer()?,
        created_at: columns.integer()?,
        renew_before: columns.optional_integer()?,
        silent_after: columns.integer()?,
        give_back_seconds: columns.optional_integer()?,
    })
}

fn small(number: i64, what: &'static str) -> Result<u32, Error> {
    number.try_into().map_err(|_| damaged(what))
}

pub(crate) fn by_name(tx: &mut dyn Transaction, name: &str) -> Result<Option<Network>, Error> {
    let rows = tx.query(BY_NAME, &[name.into()])?;
    rows.first().map(read).transpose()
}

/// The network whose name counts as equal to this one.
pub(crate) fn by_key(tx: &mut dyn Transaction, name: &str) -> Result<Option<Network>, Error> {
    for key in keys(name) {
        let rows = tx.query(
            select!("WHERE coalesce(name_key, name) = $1 AND deleting_at IS NULL"),
            &[(&key).into()],
        )?;
        if let Some(row) = rows.first() {
            return read(row).map(Some);
        }
    }
    Ok(None)
}

/// The query of [`by_name`], for prefetching.
pub(crate) fn name_query(name: &str) -> Query {
    Query::new(BY_NAME, &[name.into()])
}

/// At most `limit` networks after this id, ordered by id.
pub(crate) fn after(
    tx: &mut dyn Transaction,
    id: NetworkId,
    limit: i64,
) -> Result<Vec<Network>, Error> {
    let rows = tx.query(
        select!("WHERE id > $1 AND deleting_at IS NULL ORDER BY id LIMIT $2"),
        &[id.as_bytes().into(), limit.into()],
    )?;
    rows.iter().map(read).collect()
}

/// As [`after`], of one tenant.
pub(crate) fn after_of_tenant(
    tx: &mut dyn Transaction,
    tenant: TenantId,
    id: NetworkId,
    limit: i64,
) -> Result<Vec<Network>, Error> {
    let rows = tx.query(
        select!("WHERE tenant = $1 AND id > $2 AND deleting_at IS NULL ORDER BY id LIMIT $3"),
        &[tenant.as_bytes().into(), id.as_bytes().into(), limit.into()],
    )?;
    rows.iter().map(read).collect()
}

pub(crate) fn by_id(tx: &mut dyn Transaction, id: NetworkId) -> Result<Option<Network>, Error> {
    let rows = tx.query(BY_ID, &[id.as_bytes().into()])?;
    rows.first().map(read).transpose()
}

/// The query of [`by_id`], for prefetching.
pub(crate) fn id_query(id: NetworkId) -> Query {
    Query::new(BY_ID, &[id.as_bytes().into()])
}

/// The counters that tell whether long polls of a network must be answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Marks {
    pub(crate) revision: Revision,
    pub(crate) wake_counter: i64,
}

/// The marks of these networks, in their order; nothing for those that no longer exist.
pub(crate) fn marks(
    tx: &mut dyn Transaction,
    networks: &[NetworkId],
) -> Result<Vec<Option<Marks>>, Error> {
    let sets: Vec<_> = networks.iter().map(|network| vec![network.as_bytes().into()]).collect();
    let found = tx.query_each(
        "SELECT revision, moves FROM gc_network WHERE id = $1 AND deleting_at IS NULL",
        &sets,
    )?;
    found.iter().map(|rows| rows.first().map(read_marks).transpose()).collect()
}

fn read_marks(row: &Row) -> Result<Marks, Error> {
    let mut columns = row.columns();
    Ok(Marks { revision: Revision(columns.integer()?), wake_counter: columns.integer()? })
}

pub(crate) fn insert(tx: &mut dyn Transaction, network: &Network) -> Result<(), Error> {
    let text = |prefix: Option<IpNet>| prefix.map(|prefix| prefix.to_string());
    let (v4, v6) = (text(network.prefix_v4), text(network.prefix_v6));
    let (version, also_version_1) = stored(network.versions);
    Ok(tx.queue(
        "INSERT INTO gc_network (id, tenant, name, certificate_version, also_version_1, curve, prefix_v4, \
         prefix_v6, active_ca, hold_seconds, hold_alone, lifetime, silence_seconds, mtu, \
         initiating_version, revision, moves, rendering, changes, created_at, name_key, silent_after, \
         give_back_seconds) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23)",
        &[
            network.id.as_bytes().into(),
            network.tenant.as_bytes().into(),
            (&network.name).into(),
            version.into(),
            also_version_1.into(),
            i64::from(network.curve.number()).into(),
            v4.as_deref().into(),
            v6.as_deref().into(),
            network.active_ca.as_bytes().into(),
            network.hold_seconds.into(),
            i64::from(network.hold_alone).into(),
            network.lifetime.into(),
            network.silence_seconds.into(),
            i64::from(network.mtu).into(),
            network.initiating_version.map(|version| i64::from(version.number())).into(),
            network.revision.0.into(),
            network.wake_counter.into(),
            i64::from(network.rendering).into(),
            network.changes.into(),
            network.created_at.into(),
            key_beside(&network.name).as_deref().into(),
            network.silent_after.into(),
            network.give_back_seconds.into(),
        ],
    )?)
}

/// Writes the settings of a network, unless it changed since it was read. Returns whether it did
/// not.
pub(crate) fn update(tx: &mut dyn Transaction, network: &Network) -> Result<bool, Error> {
    let text = |prefix: Option<IpNet>| prefix.map(|prefix| prefix.to_string());
    let (v4, v6) = (text(network.prefix_v4), text(network.prefix_v6));
    let (version, also_version_1) = stored(network.versions);
    let changed = tx.execute(
        "UPDATE gc_network SET name = $1, certificate_version = $2, also_version_1 = $3, prefix_v4 = $4, \
         prefix_v6 = $5, hold_seconds = $6, hold_alone = $7, lifetime = $8, silence_seconds = $9, \
         mtu = $10, initiating_version = $11, name_key = CASE WHEN name = $1 THEN name_key ELSE $12 END, \
         silent_after = $13, give_back_seconds = $14, changes = changes + 1 WHERE id = $15 AND changes = $16",
        &[
            (&network.name).into(),
            version.into(),
            also_version_1.into(),
            v4.as_deref().into(),
            v6.as_deref().into(),
            network.hold_seconds.into(),
            i64::from(network.hold_alone).into(),
            network.lifetime.into(),
            network.silence_seconds.into(),
            i64::from(network.mtu).into(),
            network.initiating_version.map(|version| i64::from(version.number())).into(),
            key_beside(&network.name).as_deref().into(),
            network.silent_after.into(),
            network.give_back_seconds.into(),
            network.id.as_bytes().into(),
            network.changes.into(),
        ],
    )?;
    Ok(changed == 1)
}

/// Sets the curve of a network without nodes.
pub(crate) fn set_curve(
    tx: &mut dyn Transaction,
    id: NetworkId,
    curve: Curve,
) -> Result<(), Error> {
    Ok(tx.queue_one(
        "UPDATE gc_network SET curve = $1, changes = changes + 1 WHERE id = $2",
        &[i64::from(curve.number()).into(), id.as_bytes().into()],
    )?)
}

/// Makes every certificate that begins before this time due for renewal.
pub(crate) fn renew_before(
    tx: &mut dyn Transaction,
    id: NetworkId,
    then: i64,
) -> Result<(), Error> {
    Ok(tx.queue_one(
        "UPDATE gc_network SET renew_before = $1 WHERE id = $2",
        &[then.into(), id.as_bytes().into()],
    )?)
}

/// Moves the revision, and answers the new one.
pub(crate) fn increment_revision(
    tx: &mut dyn Transaction,
    id: NetworkId,
) -> Result<Revision, Error> {
    let rows = tx.query(
        "UPDATE gc_network SET revision = revision + 1 WHERE id = $1 RETURNING revision",
        &[id.as_bytes().into()],
    )?;
    one_integer(&rows)?.map(Revision).ok_or_else(|| damaged("network"))
}

/// Has every instance look at the waiting polls of this network again.
pub(crate) fn note_move(tx: &mut dyn Transaction, id: NetworkId) -> Result<(), Error> {
    Ok(tx.queue_one(
        "UPDATE gc_network SET moves = moves + 1 WHERE id = $1",
        &[id.as_bytes().into()],
    )?)
}

/// `certificate_version` and `also_version_1`.
fn stored(versions: Versions) -> (i64, i64) {
    match versions {
        Versions::V1 => (1, 0),
        Versions::V2 => (2, 0),
        Versions::Both => (2, 1),
    }
}
