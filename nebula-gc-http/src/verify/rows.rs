//! All rows of the database, read once.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use nebula_alloc::NetworkId;
use nebula_alloc::lease::{self, Lease};
use nebula_alloc::store::{Row, Transaction};
use nebula_pki::{Certificate, Fingerprint, Version};
use serde::Deserialize;
use serde_json::Value;

use crate::store::ca::{self, Ca};
use crate::store::event;
use crate::store::join_token::{self, JoinToken};
use crate::store::network::{self, Network};
use crate::store::node::{self, Node};
use crate::store::{self, damaged, version};
use crate::{CaId, Error, JoinTokenId, NodeId};

/// How many rows are read at a time.
const PAGE: usize = 1024;
const PAGE_OF_EVENTS: i64 = 1024;
const LIMIT: i64 = 1024;

pub(super) struct Rows {
    pub(super) networks: BTreeMap<NetworkId, Network>,
    pub(super) cas: HashMap<CaId, Ca>,
    pub(super) nodes: BTreeMap<NodeId, Node>,
    pub(super) join_tokens: Vec<JoinToken>,
    pub(super) leases: Vec<Lease>,
    pub(super) certificates: Vec<Entry>,
    pub(super) blocklist: BTreeMap<(NetworkId, Fingerprint), Blocked>,
    /// The fingerprints that bundles block, both forms of each.
    carried: BTreeSet<(NetworkId, Fingerprint)>,
    /// The events in the order of the audit log, except those of leases.
    pub(super) events: Vec<Happened>,
    /// Networks whose prefixes have changed, which means that they have grown.
    grown: BTreeSet<NetworkId>,
    /// History before this time may have been deleted.
    pub(super) forgotten_before: Option<i64>,
    /// The fingerprints of deleted networks' certificates that have not ended.
    pub(super) former: BTreeSet<Fingerprint>,
    /// Networks that were deleted, as the audit log tells.
    pub(super) deleted: BTreeSet<NetworkId>,
    /// The number of events by kind and subject.
    counts: HashMap<(String, Vec<u8>), usize>,
}

/// An entry of a blocklist.
pub(super) struct Blocked {
    /// The revision since which it is blocked.
    pub(super) revision: i64,
    /// The end of the certificate's validity; [`UNKNOWN_END`](store::blocklist::UNKNOWN_END) if
    /// only its fingerprint is known.
    pub(super) end: i64,
}

/// An event.
pub(super) struct Happened {
    /// When, in seconds since the Unix epoch.
    pub(super) at: i64,
    pub(super) kind: String,
    pub(super) network: Option<NetworkId>,
    pub(super) subject: Vec<u8>,
    pub(super) request: Option<String>,
    pub(super) detail: EventDetail,
}

/// The details of an event.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct EventDetail {
    /// The network's new revision.
    pub(super) revision: Option<i64>,
    /// The node's new generation.
    pub(super) generation: Option<i64>,
    /// The fingerprints of certificates that were issued.
    pub(super) fingerprints: Vec<String>,
    /// The same in events from before schema version 2.
    pub(super) fingerprint: Option<String>,
    /// The fingerprints of certificates that were blocked.
    pub(super) blocked: Vec<String>,
    /// Former values of changed settings, by name.
    pub(super) former: Value,
    /// The names of the changed fields.
    pub(super) changed: Vec<String>,
    /// The time before which history was deleted.
    pub(super) before: Option<i64>,
}

impl Happened {
    /// The fingerprints of the certificates that it issued.
    pub(super) fn issued(&self) -> impl Iterator<Item = Fingerprint> {
        // Events about CAs have the field, too.
        let one = self.detail.fingerprint.iter().filter(|_| self.kind.starts_with("node."));
        self.detail.fingerprints.iter().chain(one).filter_map(|text| text.parse().ok())
    }
}

/// A row of the ledger.
pub(super) struct Entry {
    pub(super) id: [u8; 16],
    pub(super) network: NetworkId,
    pub(super) node: NodeId,
    pub(super) issuer: CaId,
    pub(super) state: String,
    pub(super) reason: String,
    pub(super) version: Version,
    pub(super) fingerprint: Option<Fingerprint>,
    pub(super) not_before: i64,
    pub(super) not_after: i64,
    /// When it was issued, or prepared for signing.
    pub(super) created_at: i64,
    pub(super) contents: Vec<u8>,
    pub(super) instance: Option<String>,
    pub(super) deadline: Option<i64>,
}

impl Rows {
    pub(super) fn read(tx: &mut dyn Transaction) -> Result<Self, Error> {
        let mut networks = BTreeMap::new();
        let mut last = NetworkId::from([0; 16]);
        loop {
            let page = network::after(tx, last, LIMIT)?;
            let Some(end) = page.last() else { break };
            last = end.id;
            networks.extend(page.into_iter().map(|network| (network.id, network)));
        }
        let mut rows = Self {
            networks,
            cas: HashMap::new(),
            nodes: BTreeMap::new(),
            join_tokens: vec![],
            leases: vec![],
            certificates: certificates(tx)?,
            blocklist: blocklist(tx)?,
            carried: BTreeSet::new(),
            events: events(tx)?,
            grown: BTreeSet::new(),
            forgotten_before: None,
            former: former(tx)?,
            deleted: BTreeSet::new(),
            counts: HashMap::new(),
        };
        let forgets = rows.events.iter().filter(|event| event.kind == store::history::FORGETS);
        rows.forgotten_before = forgets.filter_map(|event| event.detail.before).max();
        for event in &rows.events {
            if event.detail.changed.iter().any(|what| what == "prefixes") {
                rows.grown.extend(event.network);
            }
            *rows.counts.entry((event.kind.clone(), event.subject.clone())).or_default() += 1;
        }
        rows.leave_out_deleted();
        for row in tx.query("SELECT id FROM gc_ca", &[])? {
            let id = row.columns().array()?.into();
            let ca = ca::by_id(tx, id)?.ok_or_else(|| damaged("CA"))?;
            rows.cas.insert(id, ca);
        }
        let ids: Vec<_> = rows.networks.keys().copied().collect();
        for network in ids {
            rows.read_network(tx, network)?;
        }
        Ok(rows)
    }

    /// What a deleted network had is gone, or is going; its events need no rows any more.
    fn leave_out_deleted(&mut self) {
        let deletions = self.events.iter().filter(|event| event.kind == "network.deleted");
        self.deleted = deletions.filter_map(|event| event.network).collect();
        let deleted = &self.deleted;
        let is_gone = |network: &NetworkId| deleted.contains(network);
        self.events.retain(|event| !event.network.as_ref().is_some_and(is_gone));
        self.certificates.retain(|entry| !is_gone(&entry.network));
        self.blocklist.retain(|(network, _), _| !is_gone(network));
    }

    fn read_network(&mut self, tx: &mut dyn Transaction, network: NetworkId) -> Result<(), Error> {
        if let Some(whole) = self.networks.get(&network) {
            let carried = store::blocklist::fingerprints(tx, whole)?;
            self.carried.extend(carried.into_iter().map(|carried| (network, carried)));
        }
        let mut last = NodeId::from([0; 16]);
        loop {
            let page = node::after(tx, network, last, LIMIT)?;
            let Some(end) = page.last() else { break };
            last = end.id;
            self.nodes.extend(page.into_iter().map(|node| (node.id, node)));
        }
        let mut token = JoinTokenId::from([0; 16]);
        loop {
            let page = join_token::after(tx, network, token, LIMIT)?;
            let Some(end) = page.last() else { break };
            token = end.id;
            self.join_tokens.extend(page);
        }
        let mut address = None;
        loop {
            let page = lease::list(tx, network, address, PAGE)?;
            let Some(end) = page.last() else { break };
            address = Some(end.address);
            self.leases.extend(page);
        }
        Ok(())
    }

    /// The number of events of this kind about this subject.
    pub(super) fn count(&self, kind: &str, subject: &[u8]) -> usize {
        self.counts.get(&(kind.to_owned(), subject.to_vec())).copied().unwrap_or_default()
    }

    pub(super) fn is_blocked(&self, network: NetworkId, fingerprint: &Fingerprint) -> bool {
        self.blocklist.contains_key(&(network, *fingerprint))
    }

    /// Whether bundles block both forms of a certificate.
    pub(super) fn is_carried(&self, network: NetworkId, certificate: &Certificate) -> bool {
        let forms = [Some(certificate.fingerprint()), certificate.alternate_fingerprint()];
        forms.into_iter().flatten().all(|form| self.carried.contains(&(network, form)))
    }

    /// Whether a network has grown, so that older certificates may have a longer prefix.
    pub(super) fn has_grown(&self, network: NetworkId) -> bool {
        self.grown.contains(&network)
    }
}

fn certificates(tx: &mut dyn Transaction) -> Result<Vec<Entry>, Error> {
    let (mut all, mut last) = (vec![], [0; 16]);
    loop {
        let page = tx.query(
            "SELECT id, network, node, issuer, state, version, fingerprint, not_before, not_after, contents, \
             instance, deadline, reason, created_at FROM gc_certificate WHERE id > $1 ORDER BY id LIMIT $2",
            &[(&last).into(), (LIMIT).into()],
        )?;
        let Some(end) = page.last() else { return Ok(all) };
        last = end.columns().array()?;
        for row in &page {
            all.push(entry(row)?);
        }
    }
}

fn entry(row: &Row) -> Result<Entry, Error> {
    let mut columns = row.columns();
    Ok(Entry {
        id: columns.array()?,
        network: columns.array()?.into(),
        node: columns.array()?.into(),
        issuer: columns.array()?.into(),
        state: columns.text()?.to_owned(),
        version: version(columns.integer()?)?,
        fingerprint: columns.optional_array()?.map(Fingerprint::from_bytes),
        not_before: columns.integer()?,
        not_after: columns.integer()?,
        contents: columns.optional_blob()?.unwrap_or_default().to_vec(),
        instance: columns.optional_text()?.map(str::to_owned),
        deadline: columns.optional_integer()?,
        reason: columns.text()?.to_owned(),
        created_at: columns.integer()?,
    })
}

fn blocklist(
    tx: &mut dyn Transaction,
) -> Result<BTreeMap<(NetworkId, Fingerprint), Blocked>, Error> {
    let rows =
        tx.query("SELECT network, fingerprint, revision, not_after FROM gc_blocklist", &[])?;
    rows.iter()
        .map(|row| {
            let mut columns = row.columns();
            let key = (columns.array()?.into(), Fingerprint::from_bytes(columns.array()?));
            Ok((key, Blocked { revision: columns.integer()?, end: columns.integer()? }))
        })
        .collect()
}

fn former(tx: &mut dyn Transaction) -> Result<BTreeSet<Fingerprint>, Error> {
    let rows = tx.query("SELECT fingerprint FROM gc_former_certificate", &[])?;
    rows.iter().map(|row| Ok(Fingerprint::from_bytes(row.columns().array()?))).collect()
}

fn events(tx: &mut dyn Transaction) -> Result<Vec<Happened>, Error> {
    let (mut events, mut last) = (vec![], 0);
    loop {
        let page = event::stored(tx, last, PAGE_OF_EVENTS)?;
        let Some((end, _)) = page.last() else { return Ok(events) };
        last = *end;
        for (_, event) in page {
            let Some(subject) = event.subject.filter(|_| !event.kind.starts_with("lease.")) else {
                continue;
            };
            let detail = event.detail.as_deref().map(serde_json::from_str);
            events.push(Happened {
                at: event.at,
                kind: event.kind,
                network: event.network,
                subject,
                request: event.request_id,
                // Unreadable details count as missing.
                detail: detail.and_then(Result::ok).unwrap_or_default(),
            });
        }
    }
}
