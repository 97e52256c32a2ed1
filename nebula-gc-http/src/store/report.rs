//! The latest report of each node, beside what it has applied.

use std::collections::HashMap;

use nebula_alloc::store::{Param, Transaction};

pub use crate::stored_words::ReceiptStanding;
use crate::{Error, NodeId};

/// A report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StoredReport {
    /// When it came, in seconds since the Unix epoch.
    pub(crate) at: i64,
    /// The receipt that came with it, and what it is worth.
    pub(crate) receipt: Option<(String, ReceiptStanding)>,
    /// The id of the key that proved the receipt.
    pub(crate) receipt_key: Option<i64>,
    /// What else the node said, as JSON.
    pub(crate) details: String,
}

/// Keeps a report in place of the node's former one.
pub(crate) fn keep(
    tx: &mut dyn Transaction,
    node: NodeId,
    report: &StoredReport,
) -> Result<(), Error> {
    let receipt = report.receipt.as_ref();
    Ok(tx.queue(
        "INSERT INTO gc_report (node, at, receipt, standing, receipt_key, details) \
         VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (node) DO UPDATE SET at = excluded.at, \
         receipt = excluded.receipt, standing = excluded.standing, \
         receipt_key = excluded.receipt_key, details = excluded.details",
        &[
            node.as_bytes().into(),
            report.at.into(),
            receipt.map(|receipt| receipt.0.as_str()).into(),
            receipt.map(|receipt| receipt.1.word()).into(),
            report.receipt_key.into(),
            report.details.as_str().into(),
        ],
    )?)
}

/// The reports of these nodes.
pub(crate) fn of(
    tx: &mut dyn Transaction,
    nodes: &[NodeId],
) -> Result<HashMap<NodeId, StoredReport>, Error> {
    let sets: Vec<Vec<Param<'_>>> = nodes.iter().map(|node| vec![node.as_bytes().into()]).collect();
    let found = tx.query_each(
        "SELECT at, receipt, standing, receipt_key, details FROM gc_report WHERE node = $1",
        &sets,
    )?;
    let mut reports = HashMap::new();
    for (node, rows) in nodes.iter().zip(found) {
        let Some(row) = rows.first() else { continue };
        let mut columns = row.columns();
        let at = columns.integer()?;
        let receipt = match (columns.optional_text()?, columns.optional_text()?) {
            (Some(text), Some(word)) => Some((text.to_owned(), ReceiptStanding::from_word(word)?)),
            _ => None,
        };
        let receipt_key = columns.optional_integer()?;
        let details = columns.text()?.to_owned();
        reports.insert(*node, StoredReport { at, receipt, receipt_key, details });
    }
    Ok(reports)
}

/// How many active nodes hold receipts under each key at most: by the last one that they sent, or under
/// any, `None`, where they never reported. Who reports without one has none.
#[cfg(feature = "server")]
pub(crate) fn by_receipt_key(tx: &mut dyn Transaction) -> Result<Vec<(Option<i64>, i64)>, Error> {
    let rows = tx.query(
        "SELECT report.receipt_key, COUNT(*) FROM gc_node AS node \
         LEFT JOIN gc_report AS report ON report.node = node.id \
         WHERE node.state = 'active' AND node.token_key IS NOT NULL \
         AND (report.receipt_key IS NOT NULL OR node.reported_at IS NULL) \
         GROUP BY report.receipt_key",
        &[],
    )?;
    rows.iter()
        .map(|row| {
            let mut columns = row.columns();
            Ok((columns.optional_integer()?, columns.integer()?))
        })
        .collect()
}
