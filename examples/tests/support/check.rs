//! Do the rules that always hold, hold? Reads a server's data directory and what its clients kept.
//!
//! The rules are those of the design, by their numbers, as far as they are built: no node reports
//! yet what it applied, so that an address is kept until the last certificate that names it has
//! expired; certificates are signed in the process. The networks checked have all their prefixes
//! before their first node.

mod rows;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use ipnet::IpNet;
use nebula_alloc::store::sqlite::SqliteTransaction;
use nebula_alloc::verify::{Violation, verify};
use nebula_pki::{Blocklist, CaPool, Certificate};
use rusqlite::{Connection, OpenFlags};

pub use self::rows::Id;
use self::rows::{Issued, Node, Rows};
use super::device::{Device, Given};

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rule {
    /// 1: an address has one holder, and the database's own keys say so.
    OneHolder,
    /// 2: an address that a valid certificate names is kept from everybody else.
    Quarantine,
    /// 3: what was acknowledged is stored.
    Durable,
    /// 4: no half of anything is stored.
    AllOrNothing,
    /// 5: what the ledger holds is what was signed, and all of it.
    Ledger,
    /// 6: a device that asks again gets what it had.
    AskingAgain,
    /// 7: what was taken away is blocked and stays so.
    Blocked,
}

/// A rule that does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    pub rule: Rule,
    pub what: String,
}

/// What a client knows of a device.
pub struct Kept {
    pub network: &'static str,
    pub device: String,
    pub acknowledged: Acknowledged,
    /// What it asked for since, without an answer: done or not, but nothing between.
    pub in_doubt: Option<Asked>,
    /// Every certificate it was ever given.
    pub certificates: Vec<Certificate>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "nearly all are members")]
pub enum Acknowledged {
    Nothing,
    Member(Device, Given),
    Released,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asked {
    Register(Device),
    Release,
}

/// Checks one data directory again and again. It remembers what must not change between two checks,
/// and which signatures it has verified.
#[derive(Default)]
pub struct Checker {
    blocked: BTreeMap<(Id, Vec<u8>), i64>,
    verified: HashMap<Vec<u8>, Certificate>,
    found: Vec<Finding>,
}

/// The server's database, for reading.
pub fn database(data: &Path) -> Connection {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let database =
        Connection::open_with_flags(data.join("nebula-gc.db"), flags).expect("a database");
    database.busy_timeout(std::time::Duration::from_secs(5)).expect("a setting");
    database
}

/// Seconds since the Unix epoch, by the clock that the server goes by.
pub fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    i64::try_from(since.as_secs()).expect("before the end of time")
}

impl Checker {
    /// What is wrong at `now` (seconds since the Unix epoch), with one snapshot of the database.
    pub fn check(&mut self, data: &Path, kept: &[Kept], now: i64) -> Vec<Finding> {
        let mut connection = database(data);
        let transaction = connection.transaction().expect("a snapshot");
        self.keys(&transaction);
        self.whole(&transaction, data);
        let violations =
            verify(&mut SqliteTransaction::new(&transaction)).expect("readable leases");
        for violation in violations {
            let rule = match violation {
                // A lease and its event are stored together.
                Violation::WrongTimes { .. }
                | Violation::HeldBack { .. }
                | Violation::EndedEarly { .. } => Rule::Quarantine,
                Violation::Unexplained { .. } | Violation::ImpossibleEvent { .. } => {
                    Rule::AllOrNothing
                }
                _ => Rule::OneHolder,
            };
            self.find(rule, violation.to_string());
        }
        let rows = Rows::read(&transaction);
        let certificates = self.certificates(&rows);
        self.one_holder(&rows);
        self.quarantine(&rows, &certificates, now);
        self.complete(&rows);
        self.current(&rows, &certificates);
        self.blocked(&rows, &certificates, now);
        for kept in kept {
            self.kept(&rows, kept);
        }
        std::mem::take(&mut self.found)
    }

    fn find(&mut self, rule: Rule, what: impl Into<String>) {
        self.found.push(Finding { rule, what: what.into() });
    }

    /// Rules 1, 3, 4 and 7 as far as the schema and the file say so themselves.
    fn keys(&mut self, database: &Connection) {
        let texts = |sql: &str| -> Vec<String> {
            let mut statement = database.prepare(sql).expect("SQL");
            let rows = statement.query_map([], |row| row.get(0)).expect("rows");
            rows.collect::<Result<_, _>>().expect("text")
        };
        // The order of a key's columns is the planner's business. What is unique without exception
        // must not be a partial index. `substr(network, 1)` is the network, and a name is told from others
        // by the key beside it, where there is one.
        let has = |table: &str, columns: &str, partial: bool| {
            let keys = texts(&format!(
                "SELECT (SELECT group_concat(name, ' ' ORDER BY name) FROM ( \
                     SELECT coalesce(info.name, CASE \
                         WHEN index_of.sql LIKE '%substr(network, 1)%' THEN 'network' \
                         WHEN index_of.sql LIKE '%coalesce(name_key, name)%' THEN 'name' \
                         ELSE '?' END) AS name \
                     FROM pragma_index_info(list.name) AS info \
                     LEFT JOIN sqlite_schema AS index_of ON index_of.name = list.name)) \
                 FROM pragma_index_list('{table}') AS list WHERE \"unique\" AND partial = {partial}"
            ));
            keys.iter().any(|key| key == columns)
        };
        for (rule, table, columns, partial) in [
            (Rule::OneHolder, "alloc_lease", "address network", false),
            (Rule::OneHolder, "alloc_lease", "family network owner", true),
            (Rule::OneHolder, "gc_node", "device network", true),
            (Rule::OneHolder, "gc_node", "name network", true),
            (Rule::OneHolder, "gc_node", "network public_key", true),
            (Rule::AllOrNothing, "gc_certificate", "node version", true),
            (Rule::Blocked, "gc_certificate", "fingerprint", false),
        ] {
            if !has(table, columns, partial) {
                self.find(rule, format!("{table} lacks its unique key ({columns})"));
            }
        }
        let mode = texts("PRAGMA journal_mode");
        if mode != ["wal"] {
            self.find(Rule::Durable, format!("journal_mode is {mode:?}"));
        }
    }

    /// Rule 4 as far as SQLite and the file system can tell.
    fn whole(&mut self, database: &Connection, data: &Path) {
        let verdict: String =
            database.query_row("PRAGMA integrity_check", [], |row| row.get(0)).expect("a verdict");
        if verdict != "ok" {
            self.find(Rule::AllOrNothing, verdict);
        }
        let mut dangling = database.prepare("PRAGMA foreign_key_check").expect("SQL");
        let dangling = dangling.query_map([], |row| row.get::<_, String>(0)).expect("rows");
        for table in dangling {
            let table = table.expect("text");
            self.find(
                Rule::AllOrNothing,
                format!("a row of {table} refers to one that is not there"),
            );
        }
        for entry in std::fs::read_dir(data).expect("a directory") {
            let name = entry.expect("an entry").file_name();
            if Path::new(&name).extension().is_some_and(|extension| extension == "nebula-new") {
                self.find(Rule::AllOrNothing, format!("{} was left behind", name.display()));
            }
        }
    }

    /// Rule 5: every certificate of the ledger, as it was signed. Answers them by the id of the row.
    fn certificates(&mut self, rows: &Rows) -> BTreeMap<Id, Certificate> {
        let trusted: BTreeMap<_, _> = rows
            .cas
            .iter()
            .map(|(id, ca)| {
                let mut pool = CaPool::new();
                pool.add(ca.certificate.clone()).expect("a CA");
                (*id, pool)
            })
            .collect();
        let mut certificates = BTreeMap::new();
        for row in &rows.certificates {
            match self.certificate(rows, row, &trusted) {
                Ok(certificate) => {
                    certificates.insert(row.id, certificate);
                }
                Err(reason) => {
                    self.find(Rule::Ledger, format!("certificate {:?}: {reason}", row.id))
                }
            }
        }
        certificates
    }

    fn certificate(
        &mut self,
        rows: &Rows,
        row: &Issued,
        trusted: &BTreeMap<Id, CaPool>,
    ) -> Result<Certificate, String> {
        let certificate = match self.verified.get(&row.contents) {
            Some(certificate) => certificate.clone(),
            None => {
                let parsed = Certificate::from_bytes(row.version, &row.contents);
                let certificate = parsed.map_err(|error| error.to_string())?;
                let at = certificate.unverified_details().not_before();
                let pool = trusted.get(&row.issuer).ok_or("its CA is not there")?;
                pool.verify(&certificate, at, &Blocklist::new())
                    .map_err(|error| error.to_string())?;
                self.verified.insert(row.contents.clone(), certificate.clone());
                certificate
            }
        };
        let details = certificate.unverified_details();
        let network = rows.networks.get(&row.network).ok_or("its network is not there")?;
        let issuer = rows.cas.get(&row.issuer).map(|ca| ca.certificate.fingerprint());
        let within = |net: &IpNet| {
            network.prefixes.iter().any(|prefix| {
                prefix.contains(&net.addr()) && prefix.prefix_len() == net.prefix_len()
            })
        };
        let facts = [
            (certificate.version() == row.version, "version"),
            (certificate.to_bytes() == row.contents, "contents"),
            (certificate.fingerprint().as_bytes().as_slice() == row.fingerprint, "fingerprint"),
            (details.not_before() == row.not_before, "not_before"),
            (details.not_after() == row.not_after, "not_after"),
            (details.issuer() == issuer, "issuer"),
            (!details.networks().is_empty() && details.networks().iter().all(within), "networks"),
        ];
        match facts.iter().find(|(holds, _)| !holds) {
            Some((_, what)) => Err(format!("{what} is not what was signed")),
            None => Ok(certificate),
        }
    }

    /// Rule 1, where the schema does not say so itself.
    fn one_holder(&mut self, rows: &Rows) {
        let mut held = BTreeSet::new();
        for lease in &rows.leases {
            if !held.insert((lease.network, lease.address)) {
                self.find(Rule::OneHolder, format!("{} has two leases", lease.address));
            }
        }
    }

    /// Rule 2.
    fn quarantine(&mut self, rows: &Rows, certificates: &BTreeMap<Id, Certificate>, now: i64) {
        let mut leases: BTreeMap<(Id, IpAddr), Vec<_>> = BTreeMap::new();
        for lease in &rows.leases {
            leases.entry((lease.network, lease.address)).or_default().push(lease);
            if lease.active {
                continue;
            }
            let hold = rows.networks.get(&lease.network).map_or(0, |network| network.hold_seconds);
            if lease.released_at.is_none_or(|released| lease.hold_until < released + hold) {
                let what = format!("the quarantine of {} is too short", lease.address);
                self.find(Rule::Quarantine, what);
            }
        }
        for row in &rows.certificates {
            let Some(certificate) = certificates.get(&row.id) else { continue };
            for net in certificate.unverified_details().networks() {
                let address = net.addr();
                let Some(leases) = leases.get(&(row.network, address)) else {
                    if row.not_after >= now {
                        let what = format!("{address} is free, and a valid certificate names it");
                        self.find(Rule::Quarantine, what);
                    }
                    continue;
                };
                for lease in leases {
                    if lease.hold_until < row.not_after {
                        let what = format!("{address} is held shorter than a certificate names it");
                        self.find(Rule::Quarantine, what);
                    }
                    // A device that registers anew after its release takes its address back.
                    let device = |id| rows.nodes.get(id).map(|node| &node.device);
                    if lease.active
                        && row.not_after >= now
                        && device(&lease.owner) != device(&row.node)
                    {
                        let what =
                            format!("{address} has a holder, and another's certificate is valid");
                        self.find(Rule::Quarantine, what);
                    }
                }
            }
        }
    }

    /// Rule 4: every row has those that belong to it.
    fn complete(&mut self, rows: &Rows) {
        for (id, node) in &rows.nodes {
            let enrolled = rows.has_event("node.enrolled", id);
            let released = rows.has_event("node.released", id);
            let current = rows.certificates_of(id).filter(|row| row.state == "issued").count();
            let active: BTreeSet<_> =
                rows.leases_of(id).filter(|lease| lease.active).map(|lease| lease.family).collect();
            let families: BTreeSet<_> = rows
                .networks
                .get(&node.network)
                .into_iter()
                .flat_map(|network| network.families())
                .collect();
            let facts = match node.state.as_str() {
                "active" => [
                    (enrolled && !released, "event"),
                    (current == 1, "one current certificate"),
                    (active == families, "lease of each family"),
                    (node.released_at.is_none(), "released_at"),
                ],
                "released" => [
                    (enrolled && released, "event"),
                    (rows.certificates_of(id).next().is_some(), "certificate"),
                    (active.is_empty(), "released lease"),
                    (node.released_at.is_some(), "released_at"),
                ],
                other => panic!("nothing makes a node {other:?} yet"),
            };
            for (_, what) in facts.iter().filter(|(holds, _)| !holds) {
                let what = format!("{} node {:?} lacks its {what}", node.state, node.device);
                self.find(Rule::AllOrNothing, what);
            }
        }
        for lease in &rows.leases {
            let node = rows.nodes.get(&lease.owner).filter(|node| node.network == lease.network);
            if node.is_none_or(|node| lease.active != (node.state == "active")) {
                self.find(
                    Rule::AllOrNothing,
                    format!("the lease of {} has no such node", lease.address),
                );
            }
        }
        for row in &rows.certificates {
            let node = rows.nodes.get(&row.node).is_some_and(|node| node.network == row.network);
            let ca = rows.cas.get(&row.issuer).is_some_and(|ca| ca.network == row.network);
            if !node || !ca {
                self.find(
                    Rule::AllOrNothing,
                    format!("certificate {:?} has no node or CA", row.id),
                );
            }
        }
        let issued: BTreeSet<_> =
            rows.certificates.iter().map(|row| (row.network, &row.fingerprint)).collect();
        for (network, fingerprint) in rows.blocklist.keys() {
            if !issued.contains(&(*network, fingerprint)) {
                self.find(Rule::AllOrNothing, "what is blocked was never issued");
            }
        }
        for (kind, subject) in &rows.events {
            if kind.starts_with("node.") && !rows.nodes.contains_key(subject) {
                self.find(Rule::AllOrNothing, format!("{kind} of a node that is not there"));
            }
        }
        for network in rows.networks.values() {
            if rows.cas.get(&network.active_ca).is_none_or(|ca| ca.state != "active") {
                self.find(
                    Rule::AllOrNothing,
                    format!("network {:?} has no active CA", network.name),
                );
            }
        }
    }

    /// Rule 5: the current certificate says what its node's rows say.
    fn current(&mut self, rows: &Rows, certificates: &BTreeMap<Id, Certificate>) {
        for row in rows.certificates.iter().filter(|row| row.state == "issued") {
            let (Some(certificate), Some(node)) =
                (certificates.get(&row.id), rows.nodes.get(&row.node))
            else {
                continue;
            };
            let details = certificate.unverified_details();
            let named: BTreeSet<_> = details.networks().iter().map(IpNet::addr).collect();
            let facts = [
                (details.name() == node.name, "name"),
                (details.groups().eq(node.groups.iter().map(String::as_str)), "groups"),
                (certificate.public_key() == node.public_key, "public key"),
                (named == rows.addresses_of(&row.node), "addresses"),
            ];
            for (_, what) in facts.iter().filter(|(holds, _)| !holds) {
                let what = format!("the certificate of {:?} has another {what}", node.device);
                self.find(Rule::Ledger, what);
            }
        }
    }

    /// Rule 7.
    fn blocked(&mut self, rows: &Rows, certificates: &BTreeMap<Id, Certificate>, now: i64) {
        let mut fingerprints = BTreeSet::new();
        for row in &rows.certificates {
            let blocked = rows.blocklist.contains_key(&(row.network, row.fingerprint.clone()));
            if !fingerprints.insert(&row.fingerprint) {
                self.find(Rule::Blocked, "a fingerprint was issued twice");
            }
            if row.state == "issued" && blocked {
                self.find(Rule::Blocked, "a current certificate is blocked");
            }
            let Some(node) = rows.nodes.get(&row.node) else { continue };
            if node.state == "released" && row.state != "revoked" {
                let what =
                    format!("released node {:?} has an {} certificate", node.device, row.state);
                self.find(Rule::Blocked, what);
            }
            let must_be = node.state == "released" || rows.says_more(row, certificates);
            if must_be && row.not_after >= now && !blocked {
                let what = format!("a certificate of {:?} should be blocked", node.device);
                self.find(Rule::Blocked, what);
            }
        }
        let forgotten = self
            .blocked
            .iter()
            .filter(|(entry, not_after)| **not_after >= now && !rows.blocklist.contains_key(entry));
        if forgotten.count() > 0 {
            self.find(Rule::Blocked, "the blocklist lost what is not expired");
        }
        self.blocked.clone_from(&rows.blocklist);
    }

    /// Rules 3 to 6 as a client sees them.
    fn kept(&mut self, rows: &Rows, kept: &Kept) {
        for certificate in &kept.certificates {
            let stored = rows.by_fingerprint.get(certificate.fingerprint().as_bytes().as_slice());
            let stored = stored.and_then(|index| rows.certificates.get(*index));
            if stored.is_none_or(|row| row.contents != certificate.to_bytes()) {
                let what = format!("{:?} has a certificate that is not in the ledger", kept.device);
                self.find(Rule::Ledger, what);
            }
        }
        let Some(network) = rows.network(kept.network) else {
            self.find(Rule::Durable, format!("network {:?} is not there", kept.network));
            return;
        };
        let node = rows.active.get(&(network, kept.device.clone()));
        let node = node.and_then(|id| Some((id, rows.nodes.get(id)?)));
        if kept.in_doubt.as_ref().is_some_and(|asked| is_done(rows, network, kept, asked, node)) {
            return;
        }
        let finding = match (&kept.acknowledged, node) {
            (Acknowledged::Nothing | Acknowledged::Released, None) => None,
            (Acknowledged::Nothing, Some(_)) => Some((Rule::AllOrNothing, "is there unasked")),
            (Acknowledged::Released, Some(_)) => Some((Rule::Durable, "is no longer released")),
            (Acknowledged::Member(..), None) => Some((Rule::Durable, "is not there")),
            (Acknowledged::Member(device, given), Some((id, node))) => {
                let current = rows.certificates_of(id).find(|row| row.state == "issued");
                let same = rows.addresses_of(id).into_iter().eq(given.addresses.iter().copied())
                    && current.is_some_and(|row| row.contents == given.parsed().to_bytes());
                if !same {
                    Some((Rule::AskingAgain, "would get something else than it has"))
                } else if node.lighthouse != device.endpoint {
                    Some((Rule::Durable, "is no longer reached where it was"))
                } else {
                    None
                }
            }
        };
        if let Some((rule, what)) = finding {
            self.find(rule, format!("{:?} {what}", kept.device));
        }
    }
}

/// Whether what nobody answered was done.
fn is_done(
    rows: &Rows,
    network: Id,
    kept: &Kept,
    asked: &Asked,
    node: Option<(&Id, &Node)>,
) -> bool {
    match (asked, node) {
        (Asked::Release, None) => {
            let gone = |node: &Node| node.network == network && node.device == kept.device;
            rows.nodes.values().any(gone)
        }
        (Asked::Register(device), Some((id, node))) => {
            let keeps_address = match &kept.acknowledged {
                Acknowledged::Member(_, given) => {
                    rows.addresses_of(id).into_iter().eq(given.addresses.iter().copied())
                }
                _ => true,
            };
            is_as_asked(node, device) && keeps_address
        }
        _ => false,
    }
}

fn is_as_asked(node: &Node, device: &Device) -> bool {
    node.name == device.name
        && node.public_key == device.public_key
        && node.groups == device.groups
        && node.lighthouse == device.endpoint
}
