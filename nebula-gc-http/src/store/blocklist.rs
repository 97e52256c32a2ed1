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
    /// Of the certificate.
    pub fingerprint: Fingerprint,
    /// That of the same P256 certificate with the other form of its signature, which is as valid.
    pub alternate: Option<Fingerprint>,
    /// Until when the certificate would be valid, in seconds since the Unix epoch; nothing where only
    /// its fingerprint is known: it stays blocked.
    pub until: Option<i64>,
    /// The network's revision since which bundles carry it.
    pub since: i64,
    /// Whose certificate it is.
    pub node: Option<NodeId>,
}

/// The end of a certificate of which only the fingerprint is known.
pub(crate) const UNKNOWN_END: i64 = i64::MAX;

/// Blocks a certificate in every bundle from `revision` on. It stays blocked where it already was.
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

/// What bundles carry: every form of the fingerprints.
pub(crate) fn fingerprints(
    tx: &mut dyn Transaction,
    network: &Network,
) -> Result<BTreeSet<Fingerprint>, Error> {
    if network.curve != Curve::P256 {
        // One form is all there is, and the ledger need not be read.
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

/// The entries after the one of this fingerprint, in the order of their bytes, at most `limit`.
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

/// Whether it has an entry that expired before then.
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

/// A released node all of whose certificates that could still be accepted are blocked, since this
/// revision at the latest.
pub(crate) struct Contained {
    pub(crate) node: NodeId,
    pub(crate) since: i64,
    /// The entry that told, and its revision.
    pub(crate) entry: (i64, Fingerprint),
}

/// Those that entries tell of, a node more than once where it has several: entries up to this
/// revision, in the order of revisions and fingerprints after this one, at most `limit`. What a
/// remote signer may have signed unseen is not blocked: whose device is named by such a
/// certificate is left out.
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
         AND list.revision <= $4 AND gone.state = 'released' AND gone.device NOT IN \
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

/// Nobody accepts a certificate that expired before then, so nobody needs to block it.
pub(super) fn remove_expired(
    tx: &mut dyn Transaction,
    network: NetworkId,
    before: i64,
) -> Result<(), Error> {
    Ok(tx.queue(
        "DELETE FROM gc_blocklist WHERE network = $1 AND not_after < $2",
        &[network.as_bytes().into(), before.into()],
    )?)
}
