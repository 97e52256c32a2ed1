//! Checks certificates that wait or waited for a remote signature: their bytes and instance are
//! stored, and their addresses are reserved as if they had been signed.

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;

use nebula_alloc::lease::{Lease, LeaseState};
use nebula_pki::{Curve, Issuer, Signer};

use super::quarantine::History;
use super::rows::{Entry, Rows};
use super::{Found, Rule};
use crate::store::ca::Ca;
use crate::store::certificate::Reason;
use crate::store::node::NodeState;
use crate::{CaId, NodeId};

pub(super) fn check(rows: &Rows, history: &History<'_>, now: i64, found: &mut Found) {
    let issuers: HashMap<CaId, Issuer<Nobody>> =
        rows.cas.iter().filter_map(|(id, ca)| Some((*id, issuer(ca)?))).collect();
    let leases: HashMap<_, _> =
        rows.leases.iter().map(|lease| ((lease.network, lease.address), lease)).collect();
    let mut waiting = BTreeSet::new();
    for entry in &rows.certificates {
        let id = uuid::Uuid::from_bytes(entry.id);
        let is_pending = entry.state == "pending";
        if !is_pending && entry.state != "cancelled" {
            let settled = entry.instance.is_none() && entry.deadline.is_none();
            found.unless(settled && entry.fingerprint.is_some(), Rule::Ledger, || {
                format!("the {} certificate {id} still waits for its signature", entry.state)
            });
            continue;
        }
        let whole =
            entry.instance.is_some() && entry.deadline.is_some() && entry.fingerprint.is_none();
        found.unless(whole, Rule::Ledger, || {
            format!("nobody sees to the {} certificate {id}", entry.state)
        });
        if is_pending {
            let awaited = rows.nodes.get(&entry.node).is_some_and(|node| match node.state {
                NodeState::Active => true,
                // Readmitted once the certificate is signed.
                NodeState::Suspended | NodeState::Revoked => {
                    entry.reason == Reason::Reinstated.word()
                }
                NodeState::Released => false,
            });
            found.unless(awaited, Rule::Blocked, || {
                format!("a certificate is pending for a node that is kept out: {id}")
            });
            let alone = waiting.insert((entry.node, entry.version.number()));
            found.unless(alone, Rule::AllOrNothing, || {
                format!("a node waits for two certificates of one version: {id}")
            });
        }
        let addresses = match addresses(entry, issuers.get(&entry.issuer)) {
            Ok(addresses) => addresses,
            Err(reason) => {
                found.add(Rule::Ledger, format!("{} certificate {id}: {reason}", entry.state));
                continue;
            }
        };
        if entry.not_after < now || history.held_alone(entry.network, entry.created_at) {
            continue;
        }
        for address in addresses {
            if let Err(problem) = is_kept(rows, entry, leases.get(&(entry.network, address))) {
                found.add(Rule::Quarantine, format!("{address} {problem}"));
            }
        }
    }
}

/// The addresses in the bytes to be signed, which must match the row.
fn addresses(entry: &Entry, issuer: Option<&Issuer<Nobody>>) -> Result<Vec<IpAddr>, String> {
    let issuer = issuer.ok_or("its CA is not there")?;
    let prepared =
        issuer.resume(entry.version, &entry.contents).map_err(|error| error.to_string())?;
    let details = prepared.details();
    if (details.not_before(), details.not_after()) != (entry.not_before, entry.not_after) {
        return Err("its bytes are valid at another time".to_owned());
    }
    Ok(details.networks().iter().map(|net| net.addr()).collect())
}

/// It may have been signed without our knowledge, and can't be blocked: its address must stay with
/// its device.
fn is_kept(rows: &Rows, entry: &Entry, lease: Option<&&Lease>) -> Result<(), &'static str> {
    let Some(lease) = lease else {
        return Err("is free, and bytes that name it may be signed");
    };
    if lease.hold_until <= entry.not_after {
        return Err("is held shorter than bytes that may be signed name it");
    }
    let device = |node: NodeId| rows.nodes.get(&node).map(|node| (node.network, &node.device));
    let holder = NodeId::from(*lease.owner.as_bytes());
    if lease.state == LeaseState::Active && device(holder) != device(entry.node) {
        return Err("has a holder, and another's bytes that name it may be signed");
    }
    Ok(())
}

fn issuer(ca: &Ca) -> Option<Issuer<Nobody>> {
    let certificate = ca.certificate.clone();
    let signer =
        Nobody { curve: certificate.curve(), public_key: certificate.public_key().to_vec() };
    Issuer::new(certificate, signer).ok()
}

/// A signer that signs nothing, to check certificates with.
struct Nobody {
    curve: Curve,
    public_key: Vec<u8>,
}

impl Signer for Nobody {
    fn curve(&self) -> Curve {
        self.curve
    }

    fn public_key(&self) -> &[u8] {
        &self.public_key
    }

    fn sign(&self, _: &[u8]) -> Result<Vec<u8>, nebula_pki::Error> {
        Err(nebula_pki::Error::Signer { reason: "nothing is signed here".to_owned() })
    }
}
