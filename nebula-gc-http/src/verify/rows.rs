//! The database's rows, read once.

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
    /// What bundles carry of it: each form of the fingerprints.
    carried: BTreeSet<(NetworkId, Fingerprint)>,
    /// What happened, in the order of the audit log, but for what happened to leases.
    pub(super) events: Vec<Happened>,
    /// Networks whose prefixes have been others before, which could only be narrower.
    grown: BTreeSet<NetworkId>,
    /// What is over since before then may have been forgotten, as an event tells.
    pub(super) forgotten_before: Option<i64>,
    /// How often an event of this kind was about this subject.
    counts: HashMap<(String, Vec<u8>), usize>,
}

/// An entry of a blocklist.
pub(super) struct Blocked {
    /// The network's revision since which it is blocked.
    pub(super) revision: i64,
    /// Until when the certificate would be valid; that of [`UNKNOWN_END`](store::blocklist::UNKNOWN_END)
    /// where only its fingerprint is known.
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
    pub(super) told: Told,
}

/// What the detail of an event may tell.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Told {
    /// To what the network's revision moved.
    pub(super) revision: Option<i64>,
    /// To what the node's generation moved.
    pub(super) generation: Option<i64>,
    /// Of certificates that were issued.
    pub(super) fingerprints: Vec<String>,
    /// The same, as events from before schema version 2 tell it.
    pub(super) fingerprint: Option<String>,
    /// Of certificates that were blocked.
    pub(super) blocked: Vec<String>,
    /// What was before of what changed, by name.
    pub(super) former: Value,
    /// The names of what is another since.
    pub(super) changed: Vec<String>,
    /// From when on all is still remembered.
    pub(super) before: Option<i64>,
}

impl Happened {
    /// The fingerprints of the certificates that it issued.
    pub(super) fn issued(&self) -> impl Iterator<Item = Fingerprint> {
        // An event about a CA has one as well.
        let one = self.told.fingerprint.iter().filter(|_| self.kind.starts_with("node."));
        self.told.fingerprints.iter().chain(one).filter_map(|text| text.parse().ok())
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
    /// When it was issued, or was to be signed.
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
            counts: HashMap::new(),
        };
        let forgets = rows.events.iter().filter(|event| event.kind == store::history::FORGETS);
        rows.forgotten_before = forgets.filter_map(|event| event.told.before).max();
        for event in &rows.events {
            if event.told.changed.iter().any(|what| what == "prefixes") {
                rows.grown.extend(event.network);
            }
            *rows.counts.entry((event.kind.clone(), event.subject.clone())).or_default() += 1;
        }
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

    /// How often this happened to that.
    pub(super) fn count(&self, kind: &str, subject: &[u8]) -> usize {
        self.counts.get(&(kind.to_owned(), subject.to_vec())).copied().unwrap_or_default()
    }

    pub(super) fn is_blocked(&self, network: NetworkId, fingerprint: &Fingerprint) -> bool {
        self.blocklist.contains_key(&(network, *fingerprint))
    }

    /// Whether bundles block a certificate, in either form of its signature.
    pub(super) fn is_carried(&self, network: NetworkId, certificate: &Certificate) -> bool {
        let forms = [Some(certificate.fingerprint()), certificate.alternate_fingerprint()];
        forms.into_iter().flatten().all(|form| self.carried.contains(&(network, form)))
    }

    /// Whether a network's certificates may have a longer prefix than it has now: they were issued
    /// before it grew.
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
                // What can't be read is missed where it should have been told.
                told: detail.and_then(Result::ok).unwrap_or_default(),
            });
        }
    }
}
