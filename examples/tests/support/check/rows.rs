//! The database's rows, read once.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;

use ipnet::IpNet;
use nebula_pki::{Certificate, Version};
use rusqlite::{Connection, Row};

pub type Id = [u8; 16];

pub struct Rows {
    pub networks: BTreeMap<Id, Network>,
    pub cas: BTreeMap<Id, Ca>,
    pub nodes: BTreeMap<Id, Node>,
    pub leases: Vec<Lease>,
    /// In the order in which they were issued.
    pub certificates: Vec<Issued>,
    pub blocklist: BTreeMap<(Id, Vec<u8>), i64>,
    /// Kind and subject.
    pub events: BTreeSet<(String, Id)>,
    /// The active node of a network's device.
    pub active: HashMap<(Id, String), Id>,
    /// Where in `certificates`.
    pub by_fingerprint: HashMap<Vec<u8>, usize>,
    certificates_of: HashMap<Id, Vec<usize>>,
    leases_of: HashMap<Id, Vec<usize>>,
}

pub struct Network {
    pub name: String,
    pub prefixes: Vec<IpNet>,
    pub active_ca: Id,
    pub hold_seconds: i64,
}

pub struct Ca {
    pub network: Id,
    pub state: String,
    pub certificate: Certificate,
}

pub struct Node {
    pub network: Id,
    pub device: String,
    pub name: String,
    pub public_key: Vec<u8>,
    pub state: String,
    pub groups: Vec<String>,
    pub lighthouse: Option<String>,
    pub released_at: Option<i64>,
}

pub struct Lease {
    pub network: Id,
    pub address: IpAddr,
    pub family: i64,
    pub owner: Id,
    pub active: bool,
    pub hold_until: i64,
    pub released_at: Option<i64>,
}

pub struct Issued {
    pub id: Id,
    pub network: Id,
    pub node: Id,
    pub issuer: Id,
    pub state: String,
    pub version: Version,
    pub fingerprint: Vec<u8>,
    pub not_before: i64,
    pub not_after: i64,
    pub contents: Vec<u8>,
}

impl Network {
    pub fn families(&self) -> impl Iterator<Item = i64> {
        self.prefixes.iter().map(|prefix| if prefix.addr().is_ipv4() { 4 } else { 6 })
    }
}

impl Rows {
    pub fn read(database: &Connection) -> Self {
        let networks = read(
            database,
            "SELECT id, name, prefix_v4, prefix_v6, active_ca, hold_seconds FROM gc_network",
            |row| {
                let prefixes = [row.get::<_, Option<String>>(2)?, row.get(3)?];
                let prefixes = prefixes.into_iter().flatten();
                let network = Network {
                    name: row.get(1)?,
                    prefixes: prefixes.map(|text| text.parse().expect("a prefix")).collect(),
                    active_ca: row.get(4)?,
                    hold_seconds: row.get(5)?,
                };
                Ok((row.get(0)?, network))
            },
        );
        let cas = read(database, "SELECT id, network, state, certificate FROM gc_ca", |row| {
            let pem: String = row.get(3)?;
            let certificate = Certificate::from_pem(pem.as_bytes()).expect("a CA");
            Ok((row.get(0)?, Ca { network: row.get(1)?, state: row.get(2)?, certificate }))
        });
        let nodes: BTreeMap<Id, Node> = read(
            database,
            "SELECT id, network, device, name, public_key, state, groups, lighthouse, released_at \
             FROM gc_node",
            |row| {
                let node = Node {
                    network: row.get(1)?,
                    device: row.get(2)?,
                    name: row.get(3)?,
                    public_key: row.get(4)?,
                    state: row.get(5)?,
                    groups: serde_json::from_str(&row.get::<_, String>(6)?).expect("groups"),
                    lighthouse: row.get(7)?,
                    released_at: row.get(8)?,
                };
                Ok((row.get(0)?, node))
            },
        );
        let leases: Vec<Lease> = read(
            database,
            "SELECT network, address, family, owner, state, hold_until, released_at FROM alloc_lease",
            |row| {
                Ok(Lease {
                    network: row.get(0)?,
                    address: address(&row.get::<_, Vec<u8>>(1)?),
                    family: row.get(2)?,
                    owner: row.get(3)?,
                    active: row.get::<_, i64>(4)? == 1,
                    hold_until: row.get(5)?,
                    released_at: row.get(6)?,
                })
            },
        );
        let certificates: Vec<Issued> = read(
            database,
            "SELECT id, network, node, issuer, state, version, fingerprint, not_before, not_after, \
             contents FROM gc_certificate ORDER BY id",
            |row| {
                Ok(Issued {
                    id: row.get(0)?,
                    network: row.get(1)?,
                    node: row.get(2)?,
                    issuer: row.get(3)?,
                    state: row.get(4)?,
                    version: if row.get::<_, i64>(5)? == 1 { Version::V1 } else { Version::V2 },
                    fingerprint: row.get(6)?,
                    not_before: row.get(7)?,
                    not_after: row.get(8)?,
                    contents: row.get(9)?,
                })
            },
        );
        let blocklist =
            read(database, "SELECT network, fingerprint, not_after FROM gc_blocklist", |row| {
                Ok(((row.get(0)?, row.get(1)?), row.get(2)?))
            });
        let events = read(
            database,
            "SELECT kind, subject FROM alloc_event WHERE length(subject) = 16",
            |row| Ok((row.get(0)?, row.get(1)?)),
        );

        let active = nodes.iter().filter(|(_, node)| node.state == "active");
        let active = active.map(|(id, node)| ((node.network, node.device.clone()), *id)).collect();
        let mut certificates_of: HashMap<_, Vec<_>> = HashMap::new();
        let mut by_fingerprint = HashMap::new();
        for (index, row) in certificates.iter().enumerate() {
            certificates_of.entry(row.node).or_default().push(index);
            by_fingerprint.insert(row.fingerprint.clone(), index);
        }
        let mut leases_of: HashMap<_, Vec<_>> = HashMap::new();
        for (index, lease) in leases.iter().enumerate() {
            leases_of.entry(lease.owner).or_default().push(index);
        }
        Self {
            networks,
            cas,
            nodes,
            leases,
            certificates,
            blocklist,
            events,
            active,
            by_fingerprint,
            certificates_of,
            leases_of,
        }
    }

    pub fn network(&self, name: &str) -> Option<Id> {
        self.networks.iter().find(|(_, network)| network.name == name).map(|(id, _)| *id)
    }

    pub fn has_event(&self, kind: &str, subject: &Id) -> bool {
        self.events.contains(&(kind.to_owned(), *subject))
    }

    pub fn certificates_of(&self, node: &Id) -> impl Iterator<Item = &Issued> {
        let indexes = self.certificates_of.get(node).into_iter().flatten();
        indexes.filter_map(|index| self.certificates.get(*index))
    }

    pub fn leases_of(&self, node: &Id) -> impl Iterator<Item = &Lease> {
        let indexes = self.leases_of.get(node).into_iter().flatten();
        indexes.filter_map(|index| self.leases.get(*index))
    }

    /// What a node holds now.
    pub fn addresses_of(&self, node: &Id) -> BTreeSet<IpAddr> {
        self.leases_of(node).filter(|lease| lease.active).map(|lease| lease.address).collect()
    }

    /// Whether a certificate says more than a later one of its node: its name or key was changed,
    /// or a group taken away.
    pub fn says_more(&self, row: &Issued, certificates: &BTreeMap<Id, Certificate>) -> bool {
        let Some(one) = certificates.get(&row.id) else { return false };
        let details = one.unverified_details();
        let later = self.certificates_of(&row.node).filter(|other| other.id > row.id);
        later.filter_map(|later| certificates.get(&later.id)).any(|later| {
            let now = later.unverified_details();
            now.name_bytes() != details.name_bytes()
                || later.public_key() != one.public_key()
                || details.groups_bytes().iter().any(|group| !now.groups_bytes().contains(group))
        })
    }
}

fn read<T, C: FromIterator<T>>(
    database: &Connection,
    sql: &str,
    one: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
) -> C {
    let mut statement = database.prepare(sql).expect("SQL");
    let rows = statement.query_map([], one).expect("rows");
    rows.collect::<Result<_, _>>().expect("values")
}

fn address(octets: &[u8]) -> IpAddr {
    match octets.len() {
        4 => <[u8; 4]>::try_from(octets).expect("4 octets").into(),
        _ => <[u8; 16]>::try_from(octets).expect("16 octets").into(),
    }
}
