//! Blocklists: the certificates that a network's nodes refuse.

use std::collections::BTreeSet;

use nebula_alloc::NetworkId;
use nebula_alloc::store::{Row, Transaction};
use nebula_pki::{Certificate, Curve, Fingerprint};

use super::network::{Network, Revision};
use super::{damaged, version};
use crate::{Error, NodeId};

/// An entry of a network's blocklist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blocked {
    /// The certificate's fingerprint.
    pub fingerprint: Fingerprint,
    /// The fingerprint of the same P256 certificate with the other form of its signature, which is
    /// equally valid.
    pub alternate: Option<Fingerprint>,
    /// The end of the certificate's validity, in seconds since the Unix epoch; nothing if only its
    /// fingerprint is known: then the entry stays.
    pub until: Option<i64>,
    /// The revision since which bundles contain the entry.
    pub since: i64,
    /// Whose certificate it is.
    pub node: Option<NodeId>,
}

/// Stored as the end of certificates of which only the fingerprint is known.
pub(crate) const UNKNOWN_END: i64 = i64::MAX;

/// Blocks a certificate in every bundle from `revision` on, unless it is blocked already.
pub(crate) fn insert(
    tx: &mut dyn Transaction,
    network: NetworkId,
    fingerprint: &Fingerprint,
    not_after: i64,
    revision: Revision,
) -> Result<(), Error> {
    Ok(tx.queue(
        "INSERT INTO gc_blocklist (network, fingerprint, not_after, revision) VALUES ($1, $2, $3, $4) \
         ON CONFLICT (network, fingerprint) DO NOTHING",
        &[network.as_bytes().into(), fingerprint.as_bytes().into(), not_after.into(), revision.0.into()],
    )?)
}

pub(crate) fn is_blocked(
    tx: &mut dyn Transaction,
    network: NetworkId,
    fingerprint: &Fingerprint,
) -> Result<bool, Error> {
    let rows = tx.query(
        "SELECT 1 FROM gc_blocklist WHERE network = $1 AND fingerprint = $2",
        &[network.as_bytes().into(), fingerprint.as_bytes().into()],
    )?;
    Ok(!rows.is_empty())
}

/// The fingerprints in bundles: both forms of each.
pub(crate) fn fingerprints(
    tx: &mut dyn Transaction,
    network: &Network,
) -> Result<BTreeSet<Fingerprint>, Error> {
    if network.curve != Curve::P256 {
        // There is only one form, so the ledger need not be read.
        let rows = tx.query(
            "SELECT fingerprint FROM gc_blocklist WHERE network = $1",
            &[network.id.as_bytes().into()],
        )?;
        return rows
            .iter()
            .map(|row| Ok(Fingerprint::from_bytes(row.columns().array()?)))
            .collect();
    }
    let entries = after(tx, network.id, &[], i64::MAX)?;
    Ok(entries
        .into_iter()
        .flat_map(|entry| [Some(entry.fingerprint), entry.alternate])
        .flatten()
        .collect())
}

/// At most `limit` entries after this fingerprint, ordered by fingerprint.
pub(crate) fn after(
    tx: &mut dyn Transaction,
    network: NetworkId,
    fingerprint: &[u8],
    limit: i64,
) -> Result<Vec<Blocked>, Error> {
    let rows = tx.query(
        "SELECT list.fingerprint, list.not_after, list.revision, ledger.node, ledger.version, ledger.contents \
         FROM gc_blocklist AS list \
         LEFT JOIN gc_certificate AS ledger ON ledger.fingerprint = list.fingerprint \
         WHERE list.network = $1 AND list.fingerprint > $2 ORDER BY list.fingerprint LIMIT $3",
        &[network.as_bytes().into(), fingerprint.into(), limit.into()],
    )?;
    rows.iter().map(read).collect()
}

fn read(row: &Row) -> Result<Blocked, Error> {
    let mut columns = row.columns();
    Ok(Blocked {
        fingerprint: Fingerprint::from_bytes(columns.array()?),
        until: Some(columns.integer()?).filter(|end| *end != UNKNOWN_END),
        since: columns.integer()?,
        node: columns.optional_array()?.map(NodeId::from),
        alternate: match (columns.optional_integer()?, columns.optional_blob()?) {
            (Some(number), Some(contents)) => Certificate::from_bytes(version(number)?, contents)
                .map_err(|_| damaged("certificate"))?
                .alternate_fingerprint(),
            _ => None,
        },
    })
}

/// Whether the blocklist has an entry that expired before this time.
pub(crate) fn any_expired(
    tx: &mut dyn Transaction,
    network: NetworkId,
    before: i64,
) -> Result<bool, Error> {
    let rows = tx.query(
        "SELECT 1 FROM gc_blocklist WHERE network = $1 AND not_after < $2 LIMIT 1",
        &[network.as_bytes().into(), before.into()],
    )?;
    Ok(!rows.is_empty())
}

/// A released node whose certificates are all blocked or expired, the last one since the revision
/// `since`; or an active one of which some are, because it has moved, say.
pub(crate) struct Contained {
    pub(crate) node: NodeId,
    pub(crate) since: i64,
    /// The position of the entry that led to it: its revision and fingerprint.
    pub(crate) entry: (i64, Fingerprint),
}

/// Contained nodes, found by at most `limit` entries after a position and up to the revision
/// `until`; a node with several entries is found more than once. Devices with a certificate that a
/// remote signer may have signed without our knowledge are left out: it is not blocked.
pub(crate) fn contained(
    tx: &mut dyn Transaction,
    network: NetworkId,
    (after, fingerprint): (i64, &[u8]),
    until: i64,
    now: i64,
    limit: i64,
) -> Result<Vec<Contained>, Error> {
    let rows = tx.query(
        "SELECT * FROM (SELECT gone.id, list.revision, list.fingerprint, \
         (SELECT max(other.revision) FROM gc_certificate AS own JOIN gc_blocklist AS other \
         ON other.network = own.network AND other.fingerprint = own.fingerprint \
         WHERE own.node = gone.id) AS since \
         FROM gc_blocklist AS list \
         JOIN gc_certificate AS ledger ON ledger.fingerprint = list.fingerprint \
         JOIN gc_node AS gone ON gone.id = ledger.node \
         WHERE list.network = $1 AND (list.revision, list.fingerprint) > ($2, $3) \
         AND list.revision <= $4 AND gone.state IN ('released', 'active') AND gone.device NOT IN \
         (SELECT former.device FROM gc_certificate AS unseen \
         JOIN gc_node AS former ON former.id = unseen.node WHERE unseen.network = $1 \
         AND unseen.state IN ('pending', 'cancelled') AND unseen.not_after >= $5)) AS contained \
         WHERE since <= $4 ORDER BY revision, fingerprint LIMIT $6",
        &[
            network.as_bytes().into(),
            after.into(),
            fingerprint.into(),
            until.into(),
            now.into(),
            limit.into(),
        ],
    )?;
    rows.iter()
        .map(|row| {
            let mut columns = row.columns();
            Ok(Contained {
                node: columns.array()?.into(),
                entry: (columns.integer()?, Fingerprint::from_bytes(columns.array()?)),
                since: columns.integer()?,
            })
        })
        .collect()
}

/// Removes entries of certificates that expired before this time: nobody accepts them.
pub(crate) fn remove_expired(
    tx: &mut dyn Transaction,
    network: NetworkId,
    before: i64,
) -> Result<(), Error> {
    Ok(tx.queue(
        "DELETE FROM gc_blocklist WHERE network = $1 AND not_after < $2",
        &[network.as_bytes().into(), before.into()],
    )?)
}
