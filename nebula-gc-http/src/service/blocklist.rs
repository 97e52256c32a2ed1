//! Blocking certificates that were issued elsewhere, by their fingerprints.

use nebula_alloc::store::Transaction;
use nebula_pki::Fingerprint;
use serde_json::json;

use super::audit::Entry;
use super::context::Context;
use super::core::Service;
use super::exclusive::Work;
use super::principal::Action;
use crate::error::{Conflict, Fault, Field};
use crate::service::revision::move_revision;
use crate::store::certificate::CertificateState;
use crate::store::network::Network;
use crate::store::{blocklist, ca, certificate, node};
use crate::{Error, NetworkRef};

/// How many fingerprints one request blocks at most, and one transaction.
pub(super) const MOST: usize = 1_000;

/// What became of fingerprints that were to be blocked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BlockReport {
    /// How many are blocked now and were not.
    pub blocked: usize,
    /// How many were blocked already.
    pub present: usize,
    /// The network's revision with all of them.
    pub revision: i64,
}

impl Service {
    /// Blocks certificates in every bundle, for good, whoever issued them. Doing it again changes
    /// nothing.
    ///
    /// # Errors
    /// [`Error::Invalid`] for too many, and for the fingerprint of one of the network's CAs,
    /// which Nebula does not look up; [`Error::Conflict`] for a node's current certificate, and those
    /// of access.
    pub async fn block_certificates(
        &self,
        context: Context,
        network: NetworkRef,
        fingerprints: Vec<Fingerprint>,
    ) -> Result<BlockReport, Error> {
        if fingerprints.is_empty() || fingerprints.len() > MOST {
            let fault = Fault::Count { count: fingerprints.len(), least: 1, most: MOST };
            return Err(fault.of(Field::Fingerprints));
        }
        self.exclusive(context, move |work| {
            let network = work.network(Action::Import, &network)?;
            block(work, &network, (Field::Fingerprints, &fingerprints))
        })
        .await
    }
}

/// Refuses what can't be blocked, and tells how many are not yet blocked.
pub(super) fn check(
    tx: &mut dyn Transaction,
    network: &Network,
    (field, fingerprints): (Field, &[Fingerprint]),
) -> Result<usize, Error> {
    let mut open = 0;
    for fingerprint in fingerprints {
        if end(tx, network, (field, fingerprint))?.is_some() {
            open += 1;
        }
    }
    Ok(open)
}

/// Blocks fingerprints, with one move of the revision.
pub(super) fn block(
    work: &mut Work<'_>,
    network: &Network,
    (field, fingerprints): (Field, &[Fingerprint]),
) -> Result<BlockReport, Error> {
    let mut open = std::collections::BTreeMap::new();
    for fingerprint in fingerprints {
        if let Some(end) = end(work.tx, network, (field, fingerprint))? {
            open.insert(*fingerprint, end);
        }
    }
    let (blocked, present) = (open.len(), fingerprints.len() - open.len());
    if open.is_empty() {
        return Ok(BlockReport { blocked, present, revision: network.revision.0 });
    }
    let revision = move_revision(work.tx, network.id, work.now)?;
    for (fingerprint, end) in &open {
        certificate::revoke_one(work.tx, fingerprint)?;
        blocklist::insert(work.tx, network.id, fingerprint, *end, revision)?;
    }
    let told: Vec<_> = open.keys().map(Fingerprint::to_string).collect();
    work.record(Entry {
        network: Some(network.id),
        detail: json!({"blocked": told, "revision": revision.0}),
        ..Entry::new("blocklist.added", network.id.as_bytes())
    })?;
    Ok(BlockReport { blocked, present, revision: revision.0 })
}

/// When the certificate ends that is to be blocked; nothing where it is blocked already.
fn end(
    tx: &mut dyn Transaction,
    network: &Network,
    (field, fingerprint): (Field, &Fingerprint),
) -> Result<Option<i64>, Error> {
    if let Some(ca) = ca::by_fingerprint(tx, fingerprint)?.filter(|ca| ca.network == network.id) {
        let ca = ca.certificate.unverified_details().name().into_owned();
        return Err(Fault::FingerprintOfCa { fingerprint: *fingerprint, ca }.of(field));
    }
    if blocklist::is_blocked(tx, network.id, fingerprint)? {
        return Ok(None);
    }
    let Some(entry) = certificate::entry_of(tx, network.id, fingerprint)? else {
        return Ok(Some(blocklist::UNKNOWN_END));
    };
    if entry.state == CertificateState::Issued {
        let node = node::by_id(tx, entry.node)?.map(|node| node.name).unwrap_or_default();
        return Err(Conflict::CurrentCertificate { field, fingerprint: *fingerprint, node }.into());
    }
    Ok(Some(entry.not_after))
}
