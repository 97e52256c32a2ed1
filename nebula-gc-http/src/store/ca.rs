//! CAs of networks, with their sealed keys.

use nebula_alloc::NetworkId;
use nebula_alloc::store::{Columns, Row, Transaction};
use nebula_pki::{Certificate, Fingerprint};

use super::{counts_by_key, damaged};
use crate::secret::Sealed;
use crate::stored_words::stored_words;
use crate::{CaId, Error};

stored_words! {
    /// What a CA is used for.
    pub enum CaState {
        /// It signs.
        Active = "active",
        /// It does not sign, or not yet; its certificates are accepted.
        Trusted = "trusted",
        /// Its certificates are refused.
        Retired = "retired",
    }
}

/// A CA of a network.
pub(crate) struct Ca {
    pub(crate) id: CaId,
    pub(crate) network: NetworkId,
    pub(crate) state: CaState,
    pub(crate) certificate: Certificate,
    /// Its private key, if this server holds it.
    pub(crate) key: Option<Sealed>,
    /// The signer that holds its private key, by its name in the server's settings.
    pub(crate) signer: Option<String>,
}

/// A CA as operators see it.
#[derive(Debug, Clone)]
pub(crate) struct Kept {
    pub(crate) id: CaId,
    pub(crate) state: CaState,
    pub(crate) certificate: Certificate,
    pub(crate) signer: Option<String>,
    pub(crate) created_at: i64,
}

/// When a CA is valid.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Span {
    pub(crate) id: CaId,
    pub(crate) fingerprint: Fingerprint,
    pub(crate) not_before: i64,
    pub(crate) not_after: i64,
}

const KEPT: &str = "SELECT id, state, certificate, signer, created_at FROM gc_ca";

/// At most `limit` of a network's CAs after this id, oldest first.
pub(crate) fn after(
    tx: &mut dyn Transaction,
    network: NetworkId,
    id: CaId,
    limit: i64,
) -> Result<Vec<Kept>, Error> {
    let rows = tx.query(
        &format!("{KEPT} WHERE network = $1 AND id > $2 ORDER BY id LIMIT $3"),
        &[network.as_bytes().into(), id.as_bytes().into(), limit.into()],
    )?;
    rows.iter().map(kept).collect()
}

/// A network's CA.
pub(crate) fn kept_by_id(
    tx: &mut dyn Transaction,
    network: NetworkId,
    id: CaId,
) -> Result<Option<Kept>, Error> {
    let rows = tx.query(
        &format!("{KEPT} WHERE network = $1 AND id = $2"),
        &[network.as_bytes().into(), id.as_bytes().into()],
    )?;
    rows.first().map(kept).transpose()
}

fn kept(row: &Row) -> Result<Kept, Error> {
    let mut columns = row.columns();
    Ok(Kept {
        id: columns.array()?.into(),
        state: CaState::from_word(columns.text()?)?,
        certificate: certificate(columns.text()?)?,
        signer: columns.optional_text()?.map(str::to_owned),
        created_at: columns.integer()?,
    })
}

/// When these CAs are valid, in their order.
#[cfg(feature = "server")]
pub(crate) fn spans(tx: &mut dyn Transaction, ids: &[CaId]) -> Result<Vec<Span>, Error> {
    let keys: Vec<_> = ids.iter().map(|id| vec![id.as_bytes().into()]).collect();
    let found = tx.query_each(
        "SELECT id, fingerprint, not_before, not_after FROM gc_ca WHERE id = $1",
        &keys,
    )?;
    found
        .iter()
        .map(|rows| span(&mut rows.first().ok_or_else(|| damaged("CA"))?.columns()))
        .collect()
}

fn span(columns: &mut Columns<'_>) -> Result<Span, Error> {
    Ok(Span {
        id: columns.array()?.into(),
        fingerprint: Fingerprint::from_bytes(columns.array()?),
        not_before: columns.integer()?,
        not_after: columns.integer()?,
    })
}

/// At most `limit` signing CAs that expire before this time, the first to expire first, each with
/// its network's name.
pub(crate) fn ending(
    tx: &mut dyn Transaction,
    before: i64,
    limit: i64,
) -> Result<Vec<(Span, String)>, Error> {
    let rows = tx.query(
        "SELECT gc_ca.id, fingerprint, not_before, not_after, name \
         FROM gc_ca JOIN gc_network ON gc_network.id = gc_ca.network \
         WHERE state = 'active' AND not_after < $1 AND deleting_at IS NULL ORDER BY not_after LIMIT $2",
        &[before.into(), limit.into()],
    )?;
    rows.iter()
        .map(|row| {
            let mut columns = row.columns();
            Ok((span(&mut columns)?, columns.text()?.to_owned()))
        })
        .collect()
}

/// Retires a CA permanently. It can't sign again, so its key is deleted.
pub(crate) fn retire(tx: &mut dyn Transaction, id: CaId) -> Result<(), Error> {
    Ok(tx.queue_one(
        "UPDATE gc_ca SET state = 'retired', seal_key = NULL, sealed_key = NULL \
         WHERE id = $1 AND state = 'trusted'",
        &[id.as_bytes().into()],
    )?)
}

pub(crate) fn insert(tx: &mut dyn Transaction, ca: &Ca, now: i64) -> Result<(), Error> {
    let details = ca.certificate.unverified_details();
    Ok(tx.queue(
        "INSERT INTO gc_ca (id, network, state, fingerprint, certificate, seal_key, sealed_key, signer, \
         not_before, not_after, created_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
        &[
            ca.id.as_bytes().into(),
            ca.network.as_bytes().into(),
            ca.state.word().into(),
            ca.certificate.fingerprint().as_bytes().into(),
            (&ca.certificate.to_pem()).into(),
            ca.key.as_ref().map(|key| key.key_id).into(),
            ca.key.as_ref().map(|key| key.bytes.as_slice()).into(),
            ca.signer.as_deref().into(),
            details.not_before().into(),
            details.not_after().into(),
            now.into(),
        ],
    )?)
}

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT id, network, state, certificate, seal_key, sealed_key, signer FROM gc_ca ",
            $rest
        )
    };
}

pub(crate) fn by_id(tx: &mut dyn Transaction, id: CaId) -> Result<Option<Ca>, Error> {
    let rows = tx.query(select!("WHERE id = $1"), &[id.as_bytes().into()])?;
    rows.first().map(read).transpose()
}

pub(crate) fn by_fingerprint(
    tx: &mut dyn Transaction,
    fingerprint: &Fingerprint,
) -> Result<Option<Ca>, Error> {
    let rows = tx.query(select!("WHERE fingerprint = $1"), &[fingerprint.as_bytes().into()])?;
    rows.first().map(read).transpose()
}

/// Whether a CA may still be asked to sign.
pub(crate) fn is_usable(tx: &mut dyn Transaction, id: CaId) -> Result<bool, Error> {
    let sql = "SELECT 1 FROM gc_ca WHERE id = $1 AND state <> 'retired'";
    Ok(!tx.query(sql, &[id.as_bytes().into()])?.is_empty())
}

/// Makes a CA the one that signs. The previous one is still trusted.
pub(crate) fn activate(
    tx: &mut dyn Transaction,
    network: NetworkId,
    id: CaId,
) -> Result<(), Error> {
    tx.queue(
        "UPDATE gc_ca SET state = 'trusted' WHERE network = $1 AND state = 'active'",
        &[network.as_bytes().into()],
    )?;
    tx.queue_one(
        "UPDATE gc_ca SET state = 'active' WHERE id = $1 AND network = $2 AND state = 'trusted'",
        &[id.as_bytes().into(), network.as_bytes().into()],
    )?;
    Ok(tx.queue_one(
        "UPDATE gc_network SET active_ca = $1, changes = changes + 1 WHERE id = $2",
        &[id.as_bytes().into(), network.as_bytes().into()],
    )?)
}

/// The certificates of the CAs that nodes are to trust, oldest first.
pub(crate) fn trusted(
    tx: &mut dyn Transaction,
    network: NetworkId,
) -> Result<Vec<Certificate>, Error> {
    let rows = tx.query(
        "SELECT certificate FROM gc_ca WHERE network = $1 AND state IN ('active', 'trusted') ORDER BY id",
        &[network.as_bytes().into()],
    )?;
    rows.iter().map(|row| certificate(row.columns().text()?)).collect()
}

/// At most `limit` CAs whose keys are sealed under a key with a lower id.
pub(crate) fn sealed_before(
    tx: &mut dyn Transaction,
    key_id: i64,
    limit: i64,
) -> Result<Vec<(CaId, Sealed)>, Error> {
    let rows = tx.query(
        "SELECT id, seal_key, sealed_key FROM gc_ca \
         WHERE seal_key < $1 AND sealed_key IS NOT NULL ORDER BY id LIMIT $2",
        &[key_id.into(), limit.into()],
    )?;
    rows.iter()
        .map(|row| {
            let mut columns = row.columns();
            let id = columns.array()?.into();
            Ok((id, Sealed { key_id: columns.integer()?, bytes: columns.blob()?.to_vec() }))
        })
        .collect()
}

/// Replaces a sealed key by the same one sealed under another key, unless it changed meanwhile.
pub(crate) fn reseal(
    tx: &mut dyn Transaction,
    id: CaId,
    former: &Sealed,
    new: &Sealed,
) -> Result<(), Error> {
    Ok(tx.queue(
        "UPDATE gc_ca SET seal_key = $1, sealed_key = $2 WHERE id = $3 AND seal_key = $4",
        &[
            new.key_id.into(),
            new.bytes.as_slice().into(),
            id.as_bytes().into(),
            former.key_id.into(),
        ],
    )?)
}

/// How many keys of CAs are sealed under each key of the server.
pub(crate) fn by_secret_key(tx: &mut dyn Transaction) -> Result<Vec<(i64, i64)>, Error> {
    let sql = "SELECT seal_key, COUNT(*) FROM gc_ca WHERE seal_key IS NOT NULL GROUP BY seal_key";
    counts_by_key(tx, sql)
}

fn read(row: &Row) -> Result<Ca, Error> {
    let mut columns = row.columns();
    Ok(Ca {
        id: columns.array()?.into(),
        network: columns.array()?.into(),
        state: CaState::from_word(columns.text()?)?,
        certificate: certificate(columns.text()?)?,
        key: match (columns.optional_integer()?, columns.optional_blob()?) {
            (Some(key_id), Some(bytes)) => Some(Sealed { key_id, bytes: bytes.to_vec() }),
            _ => None,
        },
        signer: columns.optional_text()?.map(str::to_owned),
    })
}

fn certificate(pem: &str) -> Result<Certificate, Error> {
    Certificate::from_pem(pem.as_bytes()).map_err(|_| damaged("CA certificate"))
}

/// The name in a CA certificate.
pub(crate) fn name_in(pem: &str) -> Option<String> {
    let certificate = Certificate::from_pem(pem.as_bytes()).ok()?;
    Some(certificate.unverified_details().name().into_owned())
}
