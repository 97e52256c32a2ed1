//! Deletes history: ended certificates, expired join tokens and released nodes.

use nebula_alloc::NetworkId;
use nebula_alloc::event;
use nebula_alloc::store::Transaction;

use crate::error::Conflict;
use crate::{Error, NodeId};

/// The kind of the event that is recorded before history is deleted.
pub(crate) const FORGETS: &str = "history.forgotten";
/// Devices with more nodes than this, one after another, are not deleted.
const CHAIN: i64 = 16;

/// Deletes at most `limit` certificates that ended before a time. Returns how many.
///
/// A fingerprint covers the certificate's times, so a deleted one cannot come back.
pub(crate) fn forget_certificates(
    tx: &mut dyn Transaction,
    before: i64,
    limit: i64,
) -> Result<u64, Error> {
    let mut gone = 0;
    // Each state has its own index.
    for sql in [
        "DELETE FROM gc_certificate WHERE id IN (SELECT id FROM gc_certificate \
         WHERE state = 'expired' AND not_after < $1 ORDER BY not_after LIMIT $2)",
        "DELETE FROM gc_certificate WHERE id IN (SELECT id FROM gc_certificate \
         WHERE state = 'revoked' AND not_after < $1 ORDER BY not_after LIMIT $2)",
        "DELETE FROM gc_certificate WHERE id IN (SELECT id FROM gc_certificate \
         WHERE state = 'cancelled' AND not_after < $1 ORDER BY not_after LIMIT $2)",
    ] {
        let left = limit - i64::try_from(gone).unwrap_or(limit);
        gone += tx.execute(sql, &[before.into(), left.into()])?;
    }
    Ok(gone)
}

/// Deletes at most `limit` join tokens that expired before a time. Returns how many.
pub(crate) fn forget_join_tokens(
    tx: &mut dyn Transaction,
    before: i64,
    limit: i64,
) -> Result<u64, Error> {
    Ok(tx.execute(
        "DELETE FROM gc_join_token WHERE id IN \
         (SELECT id FROM gc_join_token WHERE expires_at < $1 ORDER BY expires_at LIMIT $2)",
        &[before.into(), limit.into()],
    )?)
}

/// Nodes that were released before a time, ordered by the time of their release and id, after a
/// position; each with its position.
pub(crate) fn released(
    tx: &mut dyn Transaction,
    before: i64,
    (at, id): (i64, NodeId),
    limit: i64,
) -> Result<Vec<(i64, NodeId)>, Error> {
    let rows = tx.query(
        "SELECT released_at, id FROM gc_node WHERE state = 'released' \
         AND (released_at, id) > ($1, $2) AND released_at < $3 ORDER BY released_at, id LIMIT $4",
        &[at.into(), id.as_bytes().into(), before.into(), limit.into()],
    )?;
    rows.iter()
        .map(|row| {
            let mut columns = row.columns();
            Ok((columns.integer()?, columns.array()?.into()))
        })
        .collect()
}

/// A released node together with the other nodes of its device, if all of them may be deleted: the
/// history of addresses passed from one to another is only complete together. Nothing, if one of
/// them was not released before that time, has an address in quarantine, or a certificate that has
/// not ended.
pub(crate) fn forgettable(
    tx: &mut dyn Transaction,
    node: NodeId,
    before: i64,
) -> Result<Vec<(NetworkId, NodeId)>, Error> {
    let found = tx.query(
        "SELECT network, device FROM gc_node WHERE id = $1 AND state = 'released'",
        &[node.as_bytes().into()],
    )?;
    let Some(found) = found.first() else { return Ok(vec![]) };
    let mut columns = found.columns();
    let (network, device) = (NetworkId::from(columns.array()?), columns.text()?);
    let here = tx.query(
        "SELECT 1 FROM gc_node WHERE device = $1 AND network = $2 AND state <> 'released'",
        &[device.into(), network.as_bytes().into()],
    )?;
    if !here.is_empty() {
        return Ok(vec![]);
    }
    let all = tx.query(
        "SELECT id, released_at FROM gc_node WHERE device = $1 AND network = $2 \
         AND state = 'released' ORDER BY released_at, id LIMIT $3",
        &[device.into(), network.as_bytes().into(), (CHAIN + 1).into()],
    )?;
    let mut nodes = vec![];
    for row in &all {
        let mut columns = row.columns();
        let (id, released_at) = (NodeId::from(columns.array()?), columns.integer()?);
        let certificates = tx.query(
            "SELECT 1 FROM gc_certificate WHERE node = $1 \
             AND (not_after >= $2 OR state IN ('pending', 'issued', 'superseded')) LIMIT 1",
            &[id.as_bytes().into(), before.into()],
        )?;
        let stays = released_at >= before
            || !certificates.is_empty()
            || event::has_leases(tx, network, id.owner())?;
        if stays || nodes.len() >= usize::try_from(CHAIN).unwrap_or_default() {
            return Ok(vec![]);
        }
        nodes.push((network, id));
    }
    Ok(nodes)
}

/// Deletes nodes that are [`forgettable`], with everything that belongs to them. Returns how many.
pub(crate) fn forget_nodes(
    tx: &mut dyn Transaction,
    node: NodeId,
    before: i64,
) -> Result<u64, Error> {
    let nodes = forgettable(tx, node, before)?;
    for (network, node) in &nodes {
        if !event::forget_owner(tx, *network, node.owner())? {
            return Err(Conflict::HistoryTooLong.into());
        }
        for sql in [
            "DELETE FROM gc_former_key WHERE node = $1",
            "DELETE FROM gc_report WHERE node = $1",
            "DELETE FROM gc_lent WHERE node = $1",
            "DELETE FROM gc_lent WHERE holder = $1",
            "DELETE FROM gc_certificate WHERE node = $1",
            "DELETE FROM gc_node WHERE id = $1",
        ] {
            tx.execute(sql, &[node.as_bytes().into()])?;
        }
    }
    Ok(u64::try_from(nodes.len()).unwrap_or(u64::MAX))
}
