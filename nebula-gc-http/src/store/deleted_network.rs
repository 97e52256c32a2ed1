//! Networks that were deleted: what is left to remove of them, and what is remembered.
//!
//! From [`mark`] on a network is there for nobody. Its rows go in steps, whoever runs them. What stays: its name,
//! and those of its nodes and credentials, for the audit log; its nodes' and join tokens' hashes for a while, so that
//! who comes with one is told; and the fingerprints of its certificates until these end, and of what else it had
//! blocked, because their CA may be brought in again.

use nebula_alloc::NetworkId;
use nebula_alloc::store::{Row, Transaction};
use nebula_pki::{Certificate, Fingerprint};

use super::former_name;
use super::network::Network;
use super::{ca, damaged, ids, one_id, version};
use crate::secret::Hashed;
use crate::{CaId, Error, NodeId};

/// A network that was deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DeletedNetwork {
    pub(crate) name: String,
    /// In seconds since the Unix epoch.
    pub(crate) at: i64,
}

/// A certificate that a deleted network had or had blocked, and that has not ended.
pub(crate) struct FormerCertificate {
    pub(crate) fingerprint: Fingerprint,
    /// [`UNKNOWN_END`](super::blocklist::UNKNOWN_END) where only its fingerprint is known.
    pub(crate) not_after: i64,
}

/// Deletes a network for everybody, unless it changed since it was read: its name is free, and its keys are gone.
/// Returns whether it did not change, and its CAs.
pub(crate) fn mark(
    tx: &mut dyn Transaction,
    network: &Network,
    now: i64,
) -> Result<Option<Vec<CaId>>, Error> {
    let id = network.id.as_bytes();
    let marked = tx.execute(
        "UPDATE gc_network SET deleting_at = $1, name = $2, name_key = NULL, moves = moves + 1 \
         WHERE id = $3 AND changes = $4 AND deleting_at IS NULL",
        &[now.into(), (&network.id.to_string()).into(), id.into(), network.changes.into()],
    )?;
    if marked != 1 {
        return Ok(None);
    }
    tx.queue_one(
        "INSERT INTO gc_deleted_network (id, tenant, name, deleted_at) VALUES ($1, $2, $3, $4)",
        &[id.into(), network.tenant.as_bytes().into(), (&network.name).into(), now.into()],
    )?;
    tx.queue(
        "UPDATE gc_operator_key SET revoked_at = $1 WHERE network = $2 AND revoked_at IS NULL",
        &[now.into(), id.into()],
    )?;
    let cas = tx.query(
        "UPDATE gc_ca SET state = 'retired', seal_key = NULL, sealed_key = NULL WHERE network = $1 \
         RETURNING id",
        &[id.into()],
    )?;
    ids(&cas).map(Some)
}

/// A network of which there is something left to remove, if any.
pub(crate) fn next(tx: &mut dyn Transaction) -> Result<Option<NetworkId>, Error> {
    one_id(&tx.query("SELECT id FROM gc_network WHERE deleting_at IS NOT NULL LIMIT 1", &[])?)
}

/// Whether there is something left to remove of a network.
pub(crate) fn is_left(tx: &mut dyn Transaction, network: NetworkId) -> Result<bool, Error> {
    let sql = "SELECT 1 FROM gc_network WHERE id = $1 AND deleting_at IS NOT NULL";
    Ok(!tx.query(sql, &[network.as_bytes().into()])?.is_empty())
}

/// Whether there is something left to remove of a tenant's networks.
pub(crate) fn any_left_of(
    tx: &mut dyn Transaction,
    tenant: crate::TenantId,
) -> Result<bool, Error> {
    let sql = "SELECT 1 FROM gc_network WHERE tenant = $1 AND deleting_at IS NOT NULL LIMIT 1";
    Ok(!tx.query(sql, &[tenant.as_bytes().into()])?.is_empty())
}

/// Removes what nothing else refers to, at most `limit` rows. Returns whether there may be more.
pub(crate) fn remove_leaves(
    tx: &mut dyn Transaction,
    network: NetworkId,
    now: i64,
    limit: i64,
) -> Result<bool, Error> {
    for sql in [
        "DELETE FROM gc_pending_join WHERE id IN \
         (SELECT id FROM gc_pending_join WHERE network = $1 LIMIT $2)",
        "DELETE FROM gc_device_reservation WHERE (device, network) IN \
         (SELECT device, network FROM gc_device_reservation WHERE network = $1 LIMIT $2)",
        "DELETE FROM gc_lent WHERE (network, address) IN \
         (SELECT network, address FROM gc_lent WHERE network = $1 LIMIT $2)",
        "DELETE FROM gc_former_key WHERE (network, public_key, node) IN \
         (SELECT network, public_key, node FROM gc_former_key WHERE network = $1 LIMIT $2)",
    ] {
        if tx.execute(sql, &[network.as_bytes().into(), limit.into()])? > 0 {
            return Ok(true);
        }
    }
    Ok(remove_blocked(tx, network, now, limit)?
        || remove_operator_keys(tx, network, now, limit)?
        || remove_join_tokens(tx, network, now, limit)?)
}

/// Removes entries of the blocklist, and keeps those that are not about a certificate in the ledger: any CA of the
/// network may have signed what they name.
fn remove_blocked(
    tx: &mut dyn Transaction,
    network: NetworkId,
    now: i64,
    limit: i64,
) -> Result<bool, Error> {
    let rows = tx.query(
        "SELECT list.fingerprint, list.not_after, ledger.id FROM gc_blocklist AS list \
         LEFT JOIN gc_certificate AS ledger ON ledger.fingerprint = list.fingerprint \
         WHERE list.network = $1 ORDER BY list.fingerprint LIMIT $2",
        &[network.as_bytes().into(), limit.into()],
    )?;
    let cas = match rows.is_empty() {
        true => vec![],
        false => tx.query(
            "SELECT fingerprint FROM gc_ca WHERE network = $1",
            &[network.as_bytes().into()],
        )?,
    };
    for row in &rows {
        let mut columns = row.columns();
        let fingerprint = Fingerprint::from_bytes(columns.array()?);
        let not_after = columns.integer()?;
        if columns.optional_array::<16>()?.is_none() && not_after >= now {
            for ca in &cas {
                let ca = Fingerprint::from_bytes(ca.columns().array()?);
                keep(tx, &fingerprint, &ca, not_after)?;
            }
        }
        tx.queue(
            "DELETE FROM gc_blocklist WHERE network = $1 AND fingerprint = $2",
            &[network.as_bytes().into(), fingerprint.as_bytes().into()],
        )?;
    }
    Ok(!rows.is_empty())
}

fn remove_operator_keys(
    tx: &mut dyn Transaction,
    network: NetworkId,
    now: i64,
    limit: i64,
) -> Result<bool, Error> {
    let rows = tx.query(
        "SELECT id, name FROM gc_operator_key WHERE network = $1 ORDER BY id LIMIT $2",
        &[network.as_bytes().into(), limit.into()],
    )?;
    for row in &rows {
        let mut columns = row.columns();
        let id: [u8; 16] = columns.array()?;
        former_name::keep(tx, &id, columns.text()?, now)?;
        tx.queue_one("DELETE FROM gc_operator_key WHERE id = $1", &[id.as_slice().into()])?;
    }
    Ok(!rows.is_empty())
}

fn remove_join_tokens(
    tx: &mut dyn Transaction,
    network: NetworkId,
    now: i64,
    limit: i64,
) -> Result<bool, Error> {
    let rows = tx.query(
        "SELECT id, name, hash_key, hash, revoked_at FROM gc_join_token \
         WHERE network = $1 ORDER BY id LIMIT $2",
        &[network.as_bytes().into(), limit.into()],
    )?;
    for row in &rows {
        let mut columns = row.columns();
        let id: [u8; 16] = columns.array()?;
        former_name::keep(tx, &id, columns.text()?, now)?;
        let hashed = Hashed { key_id: columns.integer()?, hash: columns.array()? };
        if columns.optional_integer()?.is_none() {
            remember(tx, network, &hashed)?;
        }
        tx.queue_one("DELETE FROM gc_join_token WHERE id = $1", &[id.as_slice().into()])?;
    }
    Ok(!rows.is_empty())
}

/// Removes at most `limit` certificates, and keeps the fingerprints of those that have not ended. Returns whether
/// there may be more.
pub(crate) fn remove_certificates(
    tx: &mut dyn Transaction,
    network: NetworkId,
    now: i64,
    limit: i64,
) -> Result<bool, Error> {
    let rows = tx.query(
        "SELECT certificate.id, certificate.fingerprint, certificate.version, certificate.contents, \
         certificate.not_after, ca.fingerprint \
         FROM gc_certificate AS certificate JOIN gc_ca AS ca ON ca.id = certificate.issuer \
         WHERE certificate.network = $1 ORDER BY certificate.id LIMIT $2",
        &[network.as_bytes().into(), limit.into()],
    )?;
    for row in &rows {
        let mut columns = row.columns();
        let id: [u8; 16] = columns.array()?;
        let fingerprint = columns.optional_array()?.map(Fingerprint::from_bytes);
        let (version, contents) = (version(columns.integer()?)?, columns.optional_blob()?);
        let not_after = columns.integer()?;
        let ca = Fingerprint::from_bytes(columns.array()?);
        if let (Some(fingerprint), Some(contents), true) = (fingerprint, contents, not_after >= now)
        {
            let certificate = Certificate::from_bytes(version, contents);
            let certificate = certificate.map_err(|_| damaged("certificate"))?;
            let forms = [Some(fingerprint), certificate.alternate_fingerprint()];
            for form in forms.into_iter().flatten() {
                keep(tx, &form, &ca, not_after)?;
            }
        }
        tx.queue_one("DELETE FROM gc_certificate WHERE id = $1", &[id.as_slice().into()])?;
    }
    Ok(!rows.is_empty())
}

fn keep(
    tx: &mut dyn Transaction,
    fingerprint: &Fingerprint,
    ca: &Fingerprint,
    not_after: i64,
) -> Result<(), Error> {
    Ok(tx.queue(
        "INSERT INTO gc_former_certificate (fingerprint, ca, not_after) VALUES ($1, $2, $3) \
         ON CONFLICT (fingerprint, ca) DO NOTHING",
        &[fingerprint.as_bytes().into(), ca.as_bytes().into(), not_after.into()],
    )?)
}

/// Removes at most `limit` nodes that have neither certificates nor leases any more. Returns whether there may be
/// more.
pub(crate) fn remove_nodes(
    tx: &mut dyn Transaction,
    network: NetworkId,
    now: i64,
    limit: i64,
) -> Result<bool, Error> {
    let rows = tx.query(
        "SELECT id, name, token_key, token_hash, state FROM gc_node WHERE network = $1 ORDER BY id LIMIT $2",
        &[network.as_bytes().into(), limit.into()],
    )?;
    for row in &rows {
        let mut columns = row.columns();
        let id = NodeId::from(columns.array()?);
        former_name::keep(tx, id.as_bytes(), columns.text()?, now)?;
        let token = (columns.optional_integer()?, columns.optional_array()?);
        if let (Some(key_id), Some(hash)) = token
            && columns.text()? != "released"
        {
            remember(tx, network, &Hashed { key_id, hash })?;
        }
        tx.queue("DELETE FROM gc_report WHERE node = $1", &[id.as_bytes().into()])?;
        tx.queue_one("DELETE FROM gc_node WHERE id = $1", &[id.as_bytes().into()])?;
    }
    Ok(!rows.is_empty())
}

/// Removes the CAs and the network itself, once it has nothing else.
pub(crate) fn remove_last(
    tx: &mut dyn Transaction,
    network: NetworkId,
    now: i64,
) -> Result<(), Error> {
    let sql = "SELECT id, certificate FROM gc_ca WHERE network = $1";
    for row in &tx.query(sql, &[network.as_bytes().into()])? {
        let mut columns = row.columns();
        let id: [u8; 16] = columns.array()?;
        if let Some(name) = ca::name_in(columns.text()?) {
            former_name::keep(tx, &id, &name, now)?;
        }
    }
    tx.queue("DELETE FROM gc_ca WHERE network = $1", &[network.as_bytes().into()])?;
    Ok(tx.queue(
        "DELETE FROM gc_network WHERE id = $1 AND deleting_at IS NOT NULL",
        &[network.as_bytes().into()],
    )?)
}

fn remember(tx: &mut dyn Transaction, network: NetworkId, hashed: &Hashed) -> Result<(), Error> {
    Ok(tx.queue(
        "INSERT INTO gc_deleted_credential (hash, hash_key, network) VALUES ($1, $2, $3) \
         ON CONFLICT (hash) DO NOTHING",
        &[(&hashed.hash).into(), hashed.key_id.into(), network.as_bytes().into()],
    )?)
}

/// The deleted network that a node token or join token was of.
pub(crate) fn of_credential(
    tx: &mut dyn Transaction,
    hashed: &Hashed,
) -> Result<Option<DeletedNetwork>, Error> {
    for sql in [
        "SELECT name, deleted_at FROM gc_deleted_network WHERE id IN \
         (SELECT network FROM gc_deleted_credential WHERE hash = $1 AND hash_key = $2)",
        "SELECT name, deleted_at FROM gc_deleted_network WHERE id IN \
         (SELECT network FROM gc_node WHERE token_hash = $1 AND token_key = $2 AND state <> 'released')",
        "SELECT name, deleted_at FROM gc_deleted_network WHERE id IN \
         (SELECT network FROM gc_join_token WHERE hash = $1 AND hash_key = $2 AND revoked_at IS NULL)",
    ] {
        let rows = tx.query(sql, &[(&hashed.hash).into(), hashed.key_id.into()])?;
        if let Some(row) = rows.first() {
            let mut columns = row.columns();
            let (name, at) = (columns.text()?.to_owned(), columns.integer()?);
            return Ok(Some(DeletedNetwork { name, at }));
        }
    }
    Ok(None)
}

/// At most `limit` certificates of deleted networks that a CA has signed, and that end at `now` or later.
pub(crate) fn certificates_of(
    tx: &mut dyn Transaction,
    ca: &Fingerprint,
    now: i64,
    limit: i64,
) -> Result<Vec<FormerCertificate>, Error> {
    let rows = tx.query(
        "SELECT fingerprint, not_after FROM gc_former_certificate WHERE ca = $1 AND not_after >= $2 \
         ORDER BY not_after DESC LIMIT $3",
        &[ca.as_bytes().into(), now.into(), limit.into()],
    )?;
    let read = |row: &Row| {
        let mut columns = row.columns();
        Ok(FormerCertificate {
            fingerprint: Fingerprint::from_bytes(columns.array()?),
            not_after: columns.integer()?,
        })
    };
    rows.iter().map(read).collect()
}

/// Forgets at most `limit` certificates that ended before `ended`, and as many credentials of networks that were
/// deleted before `deleted`. Returns whether there may be more.
pub(crate) fn forget(
    tx: &mut dyn Transaction,
    (ended, deleted): (i64, i64),
    limit: i64,
) -> Result<bool, Error> {
    let mut gone = 0;
    for (sql, before) in [
        (
            "DELETE FROM gc_former_certificate WHERE (fingerprint, ca) IN (SELECT fingerprint, ca \
             FROM gc_former_certificate WHERE not_after < $1 ORDER BY not_after LIMIT $2)",
            ended,
        ),
        (
            "DELETE FROM gc_deleted_credential WHERE hash IN (SELECT credential.hash \
             FROM gc_deleted_network AS network \
             JOIN gc_deleted_credential AS credential ON credential.network = network.id \
             WHERE network.deleted_at < $1 LIMIT $2)",
            deleted,
        ),
    ] {
        gone += tx.execute(sql, &[before.into(), limit.into()])?;
    }
    Ok(gone > 0)
}
