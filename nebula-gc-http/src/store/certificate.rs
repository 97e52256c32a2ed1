//! The ledger of certificates: issuing, superseding and revoking.

mod ledger;
mod wrong_time;

use nebula_alloc::NetworkId;
use nebula_alloc::store::{Columns, Row, Transaction};
use nebula_pki::{Certificate, Fingerprint};

use super::{damaged, one_integer, version};
use crate::stored_words::stored_words;
use crate::{CaId, CertificateId, Error, NodeId};

pub use self::ledger::{CertificateState, LedgerEntry};
pub(crate) use self::ledger::{
    Checked, checked, count_of, current_entries, due_for_blocking, entry_of, expire, last_ends,
    ledger, mark_unsound, named_by, settle_blocked, to_block,
};
#[cfg(feature = "server")]
pub(crate) use self::ledger::{Valid, valid};
pub(crate) use self::wrong_time::{
    Unblocked, block_no_later, revive, revived, revoke_one, revoked_and_not_blocked,
};

stored_words! {
    /// Why a certificate was issued.
    pub enum Reason {
        /// The node is new.
        Enrolled = "enrolled",
        /// The node's name, groups or addresses changed.
        Changed = "changed",
        /// The former certificate was due for renewal.
        Renewed = "renewed",
        /// The node has another key.
        Rekeyed = "rekeyed",
        /// The node was reinstated.
        Reinstated = "reinstated",
        /// It was imported.
        Imported = "imported",
    }
}

/// A row of the ledger of issued certificates.
#[derive(Debug, Clone)]
pub(crate) struct Issued<'a> {
    pub(crate) network: NetworkId,
    pub(crate) node: NodeId,
    pub(crate) issuer: CaId,
    pub(crate) certificate: Certificate,
    pub(crate) reason: Reason,
    /// Who asked for it, as in the audit log.
    pub(crate) actor: &'a str,
}

/// What is needed to block a certificate.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Blockable {
    pub(crate) fingerprint: Fingerprint,
    pub(crate) not_after: i64,
}

/// Whether a certificate with this fingerprint was ever issued, be it in a network that was deleted since.
pub(crate) fn is_known(tx: &mut dyn Transaction, fingerprint: &Fingerprint) -> Result<bool, Error> {
    let rows = tx.query(
        "SELECT 1 FROM gc_certificate WHERE fingerprint = $1 \
         UNION ALL SELECT 1 FROM gc_former_certificate WHERE fingerprint = $1 LIMIT 1",
        &[fingerprint.as_bytes().into()],
    )?;
    Ok(!rows.is_empty())
}

/// When the last certificate that a node ever got ends, or would; nothing where none is on record.
pub(crate) fn last_end(tx: &mut dyn Transaction, node: NodeId) -> Result<Option<i64>, Error> {
    let rows = tx.query(
        "SELECT max(not_after) FROM gc_certificate WHERE node = $1",
        &[node.as_bytes().into()],
    )?;
    Ok(rows.first().map(|row| row.columns().optional_integer()).transpose()?.flatten())
}

/// When a node's latest certificate was asked for, if it ever had one.
pub(crate) fn last_issued(tx: &mut dyn Transaction, node: NodeId) -> Result<Option<i64>, Error> {
    let rows = tx.query(
        "SELECT max(created_at) FROM gc_certificate WHERE node = $1",
        &[node.as_bytes().into()],
    )?;
    Ok(rows.first().map(|row| row.columns().optional_integer()).transpose()?.flatten())
}

/// Whether a node ever had a certificate.
pub(crate) fn any(tx: &mut dyn Transaction, node: NodeId) -> Result<bool, Error> {
    let rows = tx.query(
        "SELECT 1 FROM gc_certificate WHERE node = $1 AND fingerprint IS NOT NULL LIMIT 1",
        &[node.as_bytes().into()],
    )?;
    Ok(!rows.is_empty())
}

/// A node's current certificates, one of each version, the older version first, except those of
/// retired CAs.
pub(crate) fn current(tx: &mut dyn Transaction, node: NodeId) -> Result<Vec<Certificate>, Error> {
    let rows = tx.query(
        "SELECT version, contents FROM gc_certificate WHERE node = $1 AND state = 'issued' \
         AND EXISTS (SELECT 1 FROM gc_ca WHERE gc_ca.id = gc_certificate.issuer \
         AND gc_ca.state <> 'retired') ORDER BY version",
        &[node.as_bytes().into()],
    )?;
    rows.iter().map(|row| read(&mut row.columns())).collect()
}

/// A node's certificates that other nodes accept: neither blocked nor at their end.
pub(crate) fn accepted(
    tx: &mut dyn Transaction,
    node: NodeId,
    now: i64,
) -> Result<Vec<Certificate>, Error> {
    let rows = tx.query(
        "SELECT version, contents FROM gc_certificate WHERE node = $1 \
         AND state IN ('issued', 'superseded', 'expired') AND not_after >= $2",
        &[node.as_bytes().into(), now.into()],
    )?;
    rows.iter().map(|row| read(&mut row.columns())).collect()
}

/// The columns `version` and `contents`.
fn read(columns: &mut Columns<'_>) -> Result<Certificate, Error> {
    Certificate::from_bytes(version(columns.integer()?)?, columns.blob()?)
        .map_err(|_| damaged("certificate"))
}

/// Adds a certificate to the ledger as its node's current one.
pub(crate) fn insert(tx: &mut dyn Transaction, issued: &Issued<'_>, now: i64) -> Result<(), Error> {
    insert_as(tx, issued, CertificateState::Issued, now)
}

/// Adds a certificate to the ledger as a former one, which its node may still use.
pub(crate) fn insert_former(
    tx: &mut dyn Transaction,
    issued: &Issued<'_>,
    now: i64,
) -> Result<(), Error> {
    insert_as(tx, issued, CertificateState::Superseded, now)
}

fn insert_as(
    tx: &mut dyn Transaction,
    issued: &Issued<'_>,
    state: CertificateState,
    now: i64,
) -> Result<(), Error> {
    let details = issued.certificate.unverified_details();
    Ok(tx.queue(
        "INSERT INTO gc_certificate (id, network, node, issuer, state, version, fingerprint, not_before, \
         not_after, contents, reason, actor, created_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)",
        &[
            CertificateId::new().as_bytes().into(),
            issued.network.as_bytes().into(),
            issued.node.as_bytes().into(),
            issued.issuer.as_bytes().into(),
            state.word().into(),
            i64::from(issued.certificate.version().number()).into(),
            issued.certificate.fingerprint().as_bytes().into(),
            details.not_before().into(),
            details.not_after().into(),
            (&issued.certificate.to_bytes()).into(),
            issued.reason.word().into(),
            issued.actor.into(),
            now.into(),
        ],
    )?)
}

/// Marks a node's current certificates as superseded. They stay valid unless they are blocked, too.
pub(crate) fn supersede(tx: &mut dyn Transaction, node: NodeId) -> Result<(), Error> {
    Ok(tx.queue(
        "UPDATE gc_certificate SET state = 'superseded' WHERE node = $1 AND state = 'issued'",
        &[node.as_bytes().into()],
    )?)
}

/// Schedules blocking of all of a node's certificates, unless that happens before.
pub(crate) fn block_later(tx: &mut dyn Transaction, node: NodeId, at: i64) -> Result<(), Error> {
    Ok(tx.queue(
        "UPDATE gc_certificate SET block_after = $1 \
         WHERE node = $2 AND state IN ('issued', 'superseded') AND block_after IS NULL",
        &[at.into(), node.as_bytes().into()],
    )?)
}

/// When a node last got a certificate for another key; times in the future do not count.
pub(crate) fn last_rekeyed(
    tx: &mut dyn Transaction,
    node: NodeId,
    now: i64,
) -> Result<Option<i64>, Error> {
    let rows = tx.query(
        "SELECT max(created_at) FROM gc_certificate WHERE node = $1 AND reason = 'rekeyed' \
         AND state <> 'pending' AND created_at <= $2",
        &[node.as_bytes().into(), now.into()],
    )?;
    Ok(rows.first().map(|row| row.columns().optional_integer()).transpose()?.flatten())
}

/// When a node got a certificate for another key, `later` such times before the last.
pub(crate) fn last_rekeyed_but(
    tx: &mut dyn Transaction,
    node: NodeId,
    later: i64,
    now: i64,
) -> Result<Option<i64>, Error> {
    // Those of both versions have one time.
    let rows = tx.query(
        "SELECT DISTINCT created_at FROM gc_certificate WHERE node = $1 AND reason = 'rekeyed' \
         AND state NOT IN ('pending', 'cancelled') AND created_at <= $2 \
         ORDER BY created_at DESC LIMIT 1 OFFSET $3",
        &[node.as_bytes().into(), now.into(), later.into()],
    )?;
    one_integer(&rows)
}

fn blockable(row: &Row) -> Result<Blockable, Error> {
    let mut columns = row.columns();
    Ok(Blockable {
        fingerprint: Fingerprint::from_bytes(columns.array()?),
        not_after: columns.integer()?,
    })
}

/// Revokes all certificates of a node, and cancels those that wait for a signature. Returns the
/// ones that other nodes might still accept.
///
/// Pending ones are cancelled first: if another transaction is completing one, this waits for it,
/// and then revokes what it completed. Only what was actually revoked is returned.
pub(crate) fn revoke(
    tx: &mut dyn Transaction,
    node: NodeId,
    now: i64,
) -> Result<Vec<Blockable>, Error> {
    tx.queue(
        "UPDATE gc_certificate SET state = 'cancelled' WHERE node = $1 AND state = 'pending'",
        &[node.as_bytes().into()],
    )?;
    revoke_signed(tx, node, now)
}

/// Revokes all signed certificates of a node. Returns the ones that other nodes might still accept,
/// including those marked as expired that are valid at `now`.
pub(crate) fn revoke_signed(
    tx: &mut dyn Transaction,
    node: NodeId,
    now: i64,
) -> Result<Vec<Blockable>, Error> {
    let node = node.as_bytes();
    let mut revoked = tx.query(
        "UPDATE gc_certificate SET state = 'revoked' WHERE node = $1 AND state = 'issued' \
         RETURNING fingerprint, not_after",
        &[node.into()],
    )?;
    revoked.extend(tx.query(
        "UPDATE gc_certificate SET state = 'revoked', block_after = NULL \
         WHERE node = $1 AND state = 'superseded' RETURNING fingerprint, not_after",
        &[node.into()],
    )?);
    revoked.extend(tx.query(
        "UPDATE gc_certificate SET state = 'revoked' \
         WHERE node = $1 AND state = 'expired' AND not_after >= $2 RETURNING fingerprint, not_after",
        &[node.into(), now.into()],
    )?);
    revoked.iter().map(blockable).collect()
}
