//! Effects of a clock that was ahead: valid certificates marked as expired, and revoked ones that
//! are no longer blocked.

use nebula_alloc::NetworkId;
use nebula_alloc::store::Transaction;
use nebula_pki::{Certificate, Fingerprint};

use super::read;
use crate::store::ids;
use crate::store::node::{Node, NodeState};
use crate::{CertificateId, Error, NodeId};

/// A certificate that others accept although it is revoked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Unblocked {
    pub(crate) network: NetworkId,
    pub(crate) fingerprint: Fingerprint,
    pub(crate) not_after: i64,
}

/// At most `limit` revoked certificates that are valid at `now` and not blocked. It scans all
/// revoked certificates that are valid.
pub(crate) fn revoked_and_not_blocked(
    tx: &mut dyn Transaction,
    now: i64,
    limit: i64,
) -> Result<Vec<Unblocked>, Error> {
    let rows = tx.query(
        "SELECT network, fingerprint, not_after FROM gc_certificate \
         WHERE state = 'revoked' AND not_after >= $1 AND NOT EXISTS \
         (SELECT 1 FROM gc_blocklist AS list WHERE list.network = gc_certificate.network \
         AND list.fingerprint = gc_certificate.fingerprint) ORDER BY not_after LIMIT $2",
        &[now.into(), limit.into()],
    )?;
    rows.iter()
        .map(|row| {
            let mut columns = row.columns();
            Ok(Unblocked {
                network: columns.array()?.into(),
                fingerprint: Fingerprint::from_bytes(columns.array()?),
                not_after: columns.integer()?,
            })
        })
        .collect()
}

/// At most `limit` nodes with a certificate marked as expired that is valid at `now`.
pub(crate) fn revived(
    tx: &mut dyn Transaction,
    now: i64,
    limit: i64,
) -> Result<Vec<NodeId>, Error> {
    let rows = tx.query(
        "SELECT DISTINCT node FROM (SELECT node FROM gc_certificate \
         WHERE state = 'expired' AND not_after >= $1 ORDER BY not_after LIMIT $2) AS ended",
        &[now.into(), limit.into()],
    )?;
    ids(&rows)
}

/// Restores those of a node's certificates that are marked as expired and valid at `now`: the
/// newest of each version is its current one again, unless it has one; those that the node may not
/// use are revoked, to be blocked. Returns how many there were.
pub(crate) fn revive(tx: &mut dyn Transaction, node: &Node, now: i64) -> Result<u64, Error> {
    let id = node.id.as_bytes();
    let rows = tx.query(
        "SELECT version, contents, id FROM gc_certificate \
         WHERE node = $1 AND state = 'expired' AND not_after >= $2 ORDER BY not_after DESC, id DESC",
        &[id.into(), now.into()],
    )?;
    let current = tx.query(
        "SELECT version FROM gc_certificate WHERE node = $1 AND state = 'issued'",
        &[id.into()],
    )?;
    let mut has =
        current.iter().map(|row| row.columns().integer()).collect::<Result<Vec<_>, _>>()?;
    for row in &rows {
        let mut columns = row.columns();
        let certificate = read(&mut columns)?;
        let row_id = CertificateId::from(columns.array()?);
        let version = i64::from(certificate.version().number());
        let state = match standing(node, &certificate) {
            Standing::NotItsOwn => "revoked",
            Standing::AsItIs if !has.contains(&version) => {
                has.push(version);
                "issued"
            }
            Standing::AsItIs | Standing::AsItWas => "superseded",
        };
        tx.queue(
            "UPDATE gc_certificate SET state = $1 WHERE id = $2",
            &[state.into(), row_id.as_bytes().into()],
        )?;
    }
    Ok(u64::try_from(rows.len()).unwrap_or(u64::MAX))
}

/// How a certificate relates to its node.
enum Standing {
    /// It matches the node.
    AsItIs,
    /// It grants less.
    AsItWas,
    /// It grants more than the node may have, or is for another key.
    NotItsOwn,
}

fn standing(node: &Node, certificate: &Certificate) -> Standing {
    let details = certificate.unverified_details();
    let own = node.state == NodeState::Active
        && certificate.public_key() == node.public_key
        && details.name() == node.name;
    let mut groups = details.groups();
    if !own || !groups.all(|group| node.groups.iter().any(|has| **has == *group)) {
        return Standing::NotItsOwn;
    }
    match details.groups().count() == node.groups.len() {
        true => Standing::AsItIs,
        false => Standing::AsItWas,
    }
}

/// Revokes a certificate that was blocked, whatever its state, unless it is its node's current one.
pub(crate) fn revoke_one(tx: &mut dyn Transaction, fingerprint: &Fingerprint) -> Result<(), Error> {
    Ok(tx.queue(
        "UPDATE gc_certificate SET state = 'revoked', block_after = NULL \
         WHERE fingerprint = $1 AND state IN ('superseded', 'expired')",
        &[fingerprint.as_bytes().into()],
    )?)
}

/// Blocks everything at this time that was scheduled for later.
pub(crate) fn block_no_later(tx: &mut dyn Transaction, then: i64) -> Result<(), Error> {
    Ok(tx.queue(
        "UPDATE gc_certificate SET block_after = $1 WHERE block_after > $1",
        &[then.into()],
    )?)
}
