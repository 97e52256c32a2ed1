//! The ledger as operators read it, and the changes of its rows by time.

#[cfg(feature = "server")]
use std::net::IpAddr;

use nebula_alloc::NetworkId;
use nebula_alloc::store::{Columns, Row, Transaction};
use nebula_pki::{Certificate, Fingerprint, Version};

use super::{Blockable, Reason};
use crate::store::{damaged, ids, one_integer, version};
use crate::stored_words::stored_words;
use crate::{CaId, CertificateId, Error, NodeId};

stored_words! {
    /// Where a certificate is in its life.
    pub enum CertificateState {
        /// Not signed yet.
        Pending = "pending",
        /// Its node's current certificate.
        Issued = "issued",
        /// Its node has a newer one.
        Superseded = "superseded",
        /// It was revoked, and is blocked.
        Revoked = "revoked",
        /// It expired.
        Expired = "expired",
        /// It was never signed.
        Cancelled = "cancelled",
    }
}

/// A row of the ledger. All times are seconds since the Unix epoch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LedgerEntry {
    /// The id of the row.
    pub id: CertificateId,
    /// Whose it is.
    pub node: NodeId,
    /// The CA that signed it.
    pub issuer: CaId,
    /// Where it is in its life.
    pub state: CertificateState,
    /// Its version.
    pub version: Version,
    /// Its fingerprint, once it is signed.
    pub fingerprint: Option<Fingerprint>,
    /// From when it is valid.
    pub not_before: i64,
    /// Until when it is valid, that second included.
    pub not_after: i64,
    /// Why it was issued.
    pub reason: Reason,
    /// Who asked for it.
    pub actor: String,
    /// When it will be blocked, unless its node reports the newer one before.
    pub block_after: Option<i64>,
    /// When it was found to contradict its node's rows.
    pub unsound_at: Option<i64>,
    /// When it was issued.
    pub created_at: i64,
}

macro_rules! select {
    ($rest:literal) => {
        select!("", $rest)
    };
    ($more:literal, $rest:literal) => {
        concat!(
            "SELECT id, node, issuer, state, version, fingerprint, not_before, not_after, reason, actor, \
             block_after, unsound_at, created_at",
            $more,
            " FROM gc_certificate ",
            $rest
        )
    };
}

fn read(columns: &mut Columns<'_>) -> Result<LedgerEntry, Error> {
    Ok(LedgerEntry {
        id: columns.array()?.into(),
        node: columns.array()?.into(),
        issuer: columns.array()?.into(),
        state: CertificateState::from_word(columns.text()?)?,
        version: version(columns.integer()?)?,
        fingerprint: columns.optional_array()?.map(Fingerprint::from_bytes),
        not_before: columns.integer()?,
        not_after: columns.integer()?,
        reason: Reason::from_word(columns.text()?)?,
        actor: columns.text()?.to_owned(),
        block_after: columns.optional_integer()?,
        unsound_at: columns.optional_integer()?,
        created_at: columns.integer()?,
    })
}

/// At most `limit` of a node's rows after this id, oldest first.
pub(crate) fn ledger(
    tx: &mut dyn Transaction,
    node: NodeId,
    after: CertificateId,
    limit: i64,
) -> Result<Vec<LedgerEntry>, Error> {
    let rows = tx.query(
        select!("WHERE node = $1 AND id > $2 ORDER BY id LIMIT $3"),
        &[node.as_bytes().into(), after.as_bytes().into(), limit.into()],
    )?;
    rows.iter().map(|row| read(&mut row.columns())).collect()
}

/// The current certificates of each of these nodes with their rows, the older version first, except
/// those of retired CAs.
pub(crate) fn current_entries<'a>(
    tx: &mut dyn Transaction,
    nodes: impl Iterator<Item = &'a NodeId>,
) -> Result<Vec<Vec<(LedgerEntry, Certificate)>>, Error> {
    let keys: Vec<_> = nodes.map(|node| vec![node.as_bytes().into()]).collect();
    let current = select!(
        ", contents",
        "WHERE node = $1 AND state = 'issued' AND EXISTS (SELECT 1 FROM gc_ca \
         WHERE gc_ca.id = gc_certificate.issuer AND gc_ca.state <> 'retired') ORDER BY version"
    );
    let found = tx.query_each(current, &keys)?;
    found.iter().map(|rows| rows.iter().map(with_contents).collect()).collect()
}

/// The end of the last certificate of each of these nodes that was not taken back, also after that.
pub(crate) fn last_ends(
    tx: &mut dyn Transaction,
    nodes: &[NodeId],
) -> Result<Vec<Option<i64>>, Error> {
    let keys: Vec<_> = nodes.iter().map(|node| vec![node.as_bytes().into()]).collect();
    let found = tx.query_each(
        "SELECT max(not_after) FROM gc_certificate WHERE node = $1 AND state IN ('issued', 'expired')",
        &keys,
    )?;
    let end =
        |rows: &Vec<Row>| rows.first().map(|row| row.columns().optional_integer()).transpose();
    found.iter().map(|rows| Ok(end(rows)?.flatten())).collect()
}

/// A certificate that has not ended.
#[cfg(feature = "server")]
pub(crate) struct Valid {
    pub(crate) entry: LedgerEntry,
    /// The certificate, once it is signed.
    contents: Option<Certificate>,
    /// The revision since which it is blocked.
    pub(crate) blocked_since: Option<i64>,
}

#[cfg(feature = "server")]
impl Valid {
    /// Whether it names this address; one that is not signed, as far as is known, may.
    pub(crate) fn may_name(&self, address: IpAddr) -> bool {
        self.contents.as_ref().is_none_or(|contents| {
            let networks = contents.unverified_details().networks();
            networks.iter().any(|network| network.addr() == address)
        })
    }
}

/// The certificates of these nodes that have not ended, in whatever state: those of each that were issued last,
/// at most 100.
#[cfg(feature = "server")]
pub(crate) fn valid(
    tx: &mut dyn Transaction,
    nodes: &[NodeId],
    now: i64,
) -> Result<Vec<Valid>, Error> {
    let keys: Vec<_> = nodes.iter().map(|node| vec![node.as_bytes().into(), now.into()]).collect();
    let sql = select!(
        ", contents, (SELECT revision FROM gc_blocklist AS list \
         WHERE list.network = gc_certificate.network AND list.fingerprint = gc_certificate.fingerprint)",
        "WHERE node = $1 AND not_after >= $2 ORDER BY id DESC LIMIT 100"
    );
    let read_one = |row: &Row| {
        let mut columns = row.columns();
        let entry = read(&mut columns)?;
        let bytes = columns.optional_blob()?.filter(|_| entry.fingerprint.is_some());
        let contents = bytes.map(|bytes| Certificate::from_bytes(entry.version, bytes)).transpose();
        let contents = contents.map_err(|_| damaged("certificate"))?;
        Ok(Valid { entry, contents, blocked_since: columns.optional_integer()? })
    };
    tx.query_each(sql, &keys)?.iter().flatten().map(read_one).collect()
}

fn with_contents(row: &Row) -> Result<(LedgerEntry, Certificate), Error> {
    let mut columns = row.columns();
    let entry = read(&mut columns)?;
    let certificate = Certificate::from_bytes(entry.version, columns.blob()?)
        .map_err(|_| damaged("certificate"))?;
    Ok((entry, certificate))
}

/// The row of a network's certificate with this fingerprint.
pub(crate) fn entry_of(
    tx: &mut dyn Transaction,
    network: NetworkId,
    fingerprint: &Fingerprint,
) -> Result<Option<LedgerEntry>, Error> {
    let rows = tx.query(
        select!("WHERE fingerprint = $1 AND network = $2"),
        &[fingerprint.as_bytes().into(), network.as_bytes().into()],
    )?;
    rows.first().map(|row| read(&mut row.columns())).transpose()
}

/// How many current certificates are of a CA.
pub(crate) fn count_of(tx: &mut dyn Transaction, issuer: CaId) -> Result<i64, Error> {
    let rows = tx.query(
        "SELECT count(*) FROM gc_certificate WHERE issuer = $1 AND state = 'issued'",
        &[issuer.as_bytes().into()],
    )?;
    Ok(one_integer(&rows)?.unwrap_or_default())
}

/// At most `limit` names of nodes whose current certificates are of a CA.
pub(crate) fn named_by(
    tx: &mut dyn Transaction,
    issuer: CaId,
    limit: i64,
) -> Result<Vec<String>, Error> {
    let rows = tx.query(
        "SELECT name FROM gc_node WHERE id IN (SELECT DISTINCT node FROM gc_certificate \
         WHERE issuer = $1 AND state = 'issued' ORDER BY node LIMIT $2) ORDER BY name",
        &[issuer.as_bytes().into(), limit.into()],
    )?;
    rows.iter().map(|row| Ok(row.columns().text()?.to_owned())).collect()
}

/// Nodes with a superseded certificate that is due to be blocked.
pub(crate) fn due_for_blocking(
    tx: &mut dyn Transaction,
    now: i64,
    limit: i64,
) -> Result<Vec<NodeId>, Error> {
    let rows = tx.query(
        "SELECT DISTINCT node FROM gc_certificate \
         WHERE block_after IS NOT NULL AND block_after <= $1 LIMIT $2",
        &[now.into(), limit.into()],
    )?;
    ids(&rows)
}

/// A node's certificates that are to be blocked once it reports the newer one, each with whether it
/// is blocked already.
pub(crate) fn to_block(
    tx: &mut dyn Transaction,
    node: NodeId,
) -> Result<Vec<(Blockable, bool)>, Error> {
    let rows = tx.query(
        "SELECT fingerprint, not_after, \
         (SELECT count(*) FROM gc_blocklist AS list WHERE list.network = gc_certificate.network \
         AND list.fingerprint = gc_certificate.fingerprint) \
         FROM gc_certificate WHERE node = $1 AND block_after IS NOT NULL",
        &[node.as_bytes().into()],
    )?;
    rows.iter()
        .map(|row| {
            let mut columns = row.columns();
            let former = Blockable {
                fingerprint: Fingerprint::from_bytes(columns.array()?),
                not_after: columns.integer()?,
            };
            Ok((former, columns.integer()? != 0))
        })
        .collect()
}

/// Marks a node's certificates that were to be blocked as revoked.
pub(crate) fn settle_blocked(tx: &mut dyn Transaction, node: NodeId) -> Result<(), Error> {
    Ok(tx.queue(
        "UPDATE gc_certificate SET state = 'revoked', block_after = NULL \
         WHERE node = $1 AND block_after IS NOT NULL",
        &[node.as_bytes().into()],
    )?)
}

/// Marks certificates as expired, those of both versions of a node together. Returns how many:
/// fewer than `limit` if there are no more.
pub(crate) fn expire(tx: &mut dyn Transaction, now: i64, limit: i64) -> Result<u64, Error> {
    Ok(tx.execute(
        // Grouping by node would scan the whole ledger.
        "UPDATE gc_certificate SET state = 'expired', block_after = NULL \
         WHERE state IN ('issued', 'superseded') AND not_after < $1 AND node IN \
         (SELECT node FROM gc_certificate WHERE state IN ('issued', 'superseded') AND not_after < $1 \
         ORDER BY not_after LIMIT $2)",
        &[now.into(), limit.into()],
    )?)
}

/// An issued certificate as it is stored, to be checked.
pub(crate) struct Checked {
    pub(crate) id: CertificateId,
    pub(crate) issuer: CaId,
    pub(crate) version: Version,
    pub(crate) fingerprint: Option<Fingerprint>,
    pub(crate) not_before: i64,
    pub(crate) not_after: i64,
    pub(crate) contents: Vec<u8>,
    pub(crate) is_blocked: bool,
}

/// A node's current certificates, except those already found to be unsound.
pub(crate) fn checked(tx: &mut dyn Transaction, node: NodeId) -> Result<Vec<Checked>, Error> {
    let rows = tx.query(
        "SELECT id, issuer, version, fingerprint, not_before, not_after, contents, \
         (SELECT count(*) FROM gc_blocklist AS list WHERE list.network = gc_certificate.network \
         AND list.fingerprint = gc_certificate.fingerprint) \
         FROM gc_certificate WHERE node = $1 AND state = 'issued' AND unsound_at IS NULL \
         AND EXISTS (SELECT 1 FROM gc_ca WHERE gc_ca.id = gc_certificate.issuer \
         AND gc_ca.state <> 'retired')",
        &[node.as_bytes().into()],
    )?;
    rows.iter()
        .map(|row| {
            let mut columns = row.columns();
            Ok(Checked {
                id: columns.array()?.into(),
                issuer: columns.array()?.into(),
                version: version(columns.integer()?)?,
                fingerprint: columns.optional_array()?.map(Fingerprint::from_bytes),
                not_before: columns.integer()?,
                not_after: columns.integer()?,
                contents: columns.optional_blob()?.unwrap_or_default().to_vec(),
                is_blocked: columns.integer()? != 0,
            })
        })
        .collect()
}

/// Marks a certificate as unsound. Returns whether it was not marked before.
pub(crate) fn mark_unsound(
    tx: &mut dyn Transaction,
    id: CertificateId,
    now: i64,
) -> Result<bool, Error> {
    let changed = tx.execute(
        "UPDATE gc_certificate SET unsound_at = $1 WHERE id = $2 AND unsound_at IS NULL",
        &[now.into(), id.as_bytes().into()],
    )?;
    Ok(changed == 1)
}
