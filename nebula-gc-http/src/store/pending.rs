//! Certificates that wait for a remote signature. Each change of one is a compare-and-set: if
//! another instance was first, the step runs again and sees the result.

use nebula_alloc::NetworkId;
use nebula_alloc::store::{Row, Transaction};
use nebula_pki::{Certificate, Version};

use super::certificate::Reason;
use super::version;
use crate::{CaId, CertificateId, Error, NodeId};

/// A certificate without its signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pending {
    pub(crate) id: CertificateId,
    pub(crate) network: NetworkId,
    pub(crate) node: NodeId,
    pub(crate) issuer: CaId,
    pub(crate) version: Version,
    /// The first and the last second of its validity.
    pub(crate) validity: (i64, i64),
    pub(crate) to_be_signed: Vec<u8>,
    pub(crate) reason: Reason,
    /// The instance that has it signed.
    pub(crate) instance: String,
    /// When other instances may take over, in seconds since the Unix epoch.
    pub(crate) deadline: i64,
    pub(crate) created_at: i64,
}

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT id, network, node, issuer, version, not_before, not_after, contents, reason, instance, \
             deadline, created_at FROM gc_certificate ",
            $rest
        )
    };
}

fn read(row: &Row) -> Result<Pending, Error> {
    let mut columns = row.columns();
    Ok(Pending {
        id: columns.array()?.into(),
        network: columns.array()?.into(),
        node: columns.array()?.into(),
        issuer: columns.array()?.into(),
        version: version(columns.integer()?)?,
        validity: (columns.integer()?, columns.integer()?),
        to_be_signed: columns.blob()?.to_vec(),
        reason: Reason::from_word(columns.text()?)?,
        instance: columns.text()?.to_owned(),
        deadline: columns.integer()?,
        created_at: columns.integer()?,
    })
}

/// A node's pending certificates, the older version first.
pub(crate) fn of_node(tx: &mut dyn Transaction, node: NodeId) -> Result<Vec<Pending>, Error> {
    let rows = tx.query(
        select!("WHERE node = $1 AND state = 'pending' ORDER BY version"),
        &[node.as_bytes().into()],
    )?;
    rows.iter().map(read).collect()
}

/// Whether a node waits for its first certificates.
pub(crate) fn is_first(tx: &mut dyn Transaction, node: NodeId) -> Result<bool, Error> {
    let rows = tx.query(
        "SELECT 1 FROM gc_certificate WHERE node = $1 AND state = 'pending' AND reason = 'enrolled' LIMIT 1",
        &[node.as_bytes().into()],
    )?;
    Ok(!rows.is_empty())
}

/// At most `limit` pending certificates past their deadline, the longest expired first.
pub(crate) fn expired(
    tx: &mut dyn Transaction,
    now: i64,
    limit: i64,
) -> Result<Vec<Pending>, Error> {
    let rows = tx.query(
        select!("WHERE state = 'pending' AND deadline <= $1 ORDER BY deadline LIMIT $2"),
        &[now.into(), limit.into()],
    )?;
    rows.iter().map(read).collect()
}

pub(crate) fn insert(
    tx: &mut dyn Transaction,
    pending: &Pending,
    actor: &str,
) -> Result<(), Error> {
    Ok(tx.queue(
        "INSERT INTO gc_certificate (id, network, node, issuer, state, version, not_before, not_after, contents, \
         reason, actor, instance, deadline, created_at) \
         VALUES ($1, $2, $3, $4, 'pending', $5, $6, $7, $8, $9, $10, $11, $12, $13)",
        &[
            pending.id.as_bytes().into(),
            pending.network.as_bytes().into(),
            pending.node.as_bytes().into(),
            pending.issuer.as_bytes().into(),
            i64::from(pending.version.number()).into(),
            pending.validity.0.into(),
            pending.validity.1.into(),
            (&pending.to_be_signed).into(),
            pending.reason.word().into(),
            actor.into(),
            (&pending.instance).into(),
            pending.deadline.into(),
            pending.created_at.into(),
        ],
    )?)
}

/// Takes over a pending certificate past its deadline.
pub(crate) fn adopt(
    tx: &mut dyn Transaction,
    pending: &Pending,
    instance: &str,
    deadline: i64,
) -> Result<Pending, Error> {
    tx.queue_one(
        "UPDATE gc_certificate SET instance = $1, deadline = $2 \
         WHERE id = $3 AND state = 'pending' AND instance = $4 AND deadline = $5",
        &[
            instance.into(),
            deadline.into(),
            pending.id.as_bytes().into(),
            (&pending.instance).into(),
            pending.deadline.into(),
        ],
    )?;
    Ok(Pending { instance: instance.to_owned(), deadline, ..pending.clone() })
}

/// Records the signed certificate.
pub(crate) fn complete(
    tx: &mut dyn Transaction,
    id: CertificateId,
    certificate: &Certificate,
) -> Result<(), Error> {
    tx.queue_one(
        "UPDATE gc_certificate SET state = 'issued', fingerprint = $1, contents = $2, instance = NULL, \
         deadline = NULL WHERE id = $3 AND state = 'pending'",
        &[
            certificate.fingerprint().as_bytes().into(),
            (&certificate.to_bytes()).into(),
            id.as_bytes().into(),
        ],
    )?;
    Ok(())
}

/// Cancels a pending certificate. Its address stays reserved in case it was signed.
pub(crate) fn cancel(tx: &mut dyn Transaction, id: CertificateId) -> Result<(), Error> {
    tx.queue_one(
        "UPDATE gc_certificate SET state = 'cancelled' WHERE id = $1 AND state = 'pending'",
        &[id.as_bytes().into()],
    )?;
    Ok(())
}
