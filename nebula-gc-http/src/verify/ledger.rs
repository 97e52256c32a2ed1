//! Checks that certificates in the ledger are as they were signed, and that current ones match
//! their nodes.

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;

use nebula_alloc::lease::{LeaseState, Reason};
use nebula_pki::{Blocklist, CaPool, Certificate, Version};

use super::rows::{Entry, Rows};
use super::{Found, Rule};
use crate::{CaId, NodeId};

/// Returns the readable certificates by the id of their row.
pub(super) fn check(rows: &Rows, found: &mut Found) -> HashMap<[u8; 16], Certificate> {
    let pools = pools(rows, found);
    let mut active: HashMap<NodeId, BTreeSet<IpAddr>> = HashMap::new();
    let mut left: HashMap<NodeId, BTreeSet<IpAddr>> = HashMap::new();
    for lease in &rows.leases {
        let of = match (lease.state, lease.reason) {
            (LeaseState::Active, _) => &mut active,
            (_, Some(Reason::Replaced)) => &mut left,
            _ => continue,
        };
        of.entry(NodeId::from(*lease.owner.as_bytes())).or_default().insert(lease.address);
    }
    let mut readable = HashMap::new();
    for entry in &rows.certificates {
        let id = uuid::Uuid::from_bytes(entry.id);
        if matches!(entry.state.as_str(), "pending" | "cancelled") {
            let whole = !entry.contents.is_empty() && entry.deadline.is_some();
            found.unless(whole, Rule::Ledger, || {
                format!("{} certificate {id} lacks its bytes or deadline", entry.state)
            });
            continue;
        }
        let certificate = match read(rows, entry, &pools) {
            Ok(certificate) => certificate,
            Err(reason) => {
                found.add(Rule::Ledger, format!("certificate {id}: {reason}"));
                continue;
            }
        };
        if entry.state == "issued" {
            let none = BTreeSet::new();
            let of = |map: &HashMap<NodeId, BTreeSet<IpAddr>>| {
                map.get(&entry.node).unwrap_or(&none).clone()
            };
            let addresses = (&of(&active), &of(&left));
            if let Err(what) = says_what_rows_say(rows, entry, &certificate, addresses) {
                found.add(
                    Rule::Ledger,
                    format!("certificate {id} has another {what} than its node"),
                );
            }
        }
        readable.insert(entry.id, certificate);
    }
    readable
}

fn pools(rows: &Rows, found: &mut Found) -> HashMap<CaId, CaPool> {
    let mut pools = HashMap::new();
    for (id, ca) in &rows.cas {
        let mut pool = CaPool::new();
        match pool.add(ca.certificate.clone()) {
            Ok(()) => drop(pools.insert(*id, pool)),
            Err(error) => found.add(Rule::Ledger, format!("CA {id}: {error}")),
        }
    }
    pools
}

fn read(rows: &Rows, entry: &Entry, pools: &HashMap<CaId, CaPool>) -> Result<Certificate, String> {
    let certificate = Certificate::from_bytes(entry.version, &entry.contents)
        .map_err(|error| error.to_string())?;
    let details = certificate.unverified_details();
    let pool = pools.get(&entry.issuer).ok_or("its CA is not there")?;
    pool.verify(&certificate, details.not_before(), &Blocklist::default())
        .map_err(|error| error.to_string())?;
    let network = rows.networks.get(&entry.network).ok_or("its network is not there")?;
    let prefixes = [network.prefix_v4, network.prefix_v6];
    let grown = rows.has_grown(network.id);
    let within = |net: &ipnet::IpNet| {
        prefixes.iter().flatten().any(|prefix| {
            let same = prefix.prefix_len() == net.prefix_len();
            prefix.contains(&net.addr()) && (same || grown && prefix.contains(net))
        })
    };
    let networks = details.networks();
    let facts = [
        (certificate.to_bytes() == entry.contents, "contents"),
        (Some(certificate.fingerprint()) == entry.fingerprint, "fingerprint"),
        (details.not_before() == entry.not_before, "beginning"),
        (details.not_after() == entry.not_after, "end"),
        (!networks.is_empty() && networks.iter().all(within), "network"),
    ];
    match facts.iter().find(|(holds, _)| !holds) {
        Some((_, what)) => Err(format!("its {what} is not what was signed")),
        None => Ok(certificate),
    }
}

fn says_what_rows_say(
    rows: &Rows,
    entry: &Entry,
    certificate: &Certificate,
    (addresses, left): (&BTreeSet<IpAddr>, &BTreeSet<IpAddr>),
) -> Result<(), &'static str> {
    let node = rows.nodes.get(&entry.node).ok_or("id")?;
    let details = certificate.unverified_details();
    let named: BTreeSet<_> = details.networks().iter().map(ipnet::IpNet::addr).collect();
    let wanted: BTreeSet<_> = addresses
        .iter()
        .copied()
        .filter(|address| entry.version == Version::V2 || address.is_ipv4())
        .collect();
    let groups: Vec<_> = details.groups().map(|group| group.into_owned()).collect();
    let facts = [
        (details.name() == node.name, "name"),
        (groups == node.groups, "group"),
        (certificate.public_key() == node.public_key, "public key"),
        // One that moved while its signer was away goes on with what it has left.
        (
            named == wanted
                || named.len() == wanted.len()
                    && named.iter().all(|it| wanted.contains(it) || left.contains(it)),
            "address",
        ),
    ];
    match facts.iter().find(|(holds, _)| !holds) {
        Some((_, what)) => Err(what),
        None => Ok(()),
    }
}
