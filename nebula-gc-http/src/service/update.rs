//! What a repeated registration means for the node that its device has.

use std::collections::BTreeSet;

use nebula_pki::Certificate;

use super::terms::Terms;
use crate::store::certificate::Reason;
use crate::store::node::Node;

/// What follows from a change of a node.
pub(super) struct Update {
    /// The certificates it has, where it is to keep them.
    pub(super) keeps: Option<Vec<Certificate>>,
    /// Why it gets others, else.
    pub(super) reason: Reason,
    /// Its former certificates say more than it may have now.
    pub(super) blocks_former: bool,
    /// Other nodes' bundles name it, or no longer do, or name it otherwise.
    pub(super) moves_revision: bool,
    /// What is different, for the audit log.
    pub(super) changed: Vec<&'static str>,
}

impl Update {
    /// What leads from one to the other, or the current certificates where nothing does.
    pub(super) fn between(
        former: &Node,
        node: &Node,
        current: Vec<Certificate>,
        terms: &Terms,
    ) -> Result<Self, Vec<Certificate>> {
        let (had, has) = (set(&former.groups), set(&node.groups));
        let mut changed = vec![];
        let mut note = |what, differs: bool| {
            changed.extend(differs.then_some(what));
            differs
        };
        let name = note("name", former.name != node.name);
        let key = note("public_key", former.public_key != node.public_key);
        let groups = note("groups", had != has);
        let renewal = note("renewal", terms.is_due(&current));
        let lighthouse = note("lighthouse", former.lighthouse != node.lighthouse);
        let relay = note("relay", former.relay != node.relay);
        note("mtu", former.mtu != node.mtu);
        if changed.is_empty() {
            return Err(current);
        }
        let issues = name || key || groups || renewal;
        // A network that was given a second family gives its nodes an address of it with their
        // next certificates.
        let addresses = current
            .iter()
            .map(|certificate| certificate.unverified_details().networks().len())
            .max();
        let gains_address = addresses.unwrap_or_default() < terms.network.families().count();
        let named = node.lighthouse.is_some() || node.relay;
        Ok(Self {
            blocks_former: name || key || !had.is_subset(&has),
            moves_revision: lighthouse || relay || issues && named && gains_address,
            keeps: (!issues).then_some(current),
            reason: match (key, name || groups) {
                (true, _) => Reason::Rekeyed,
                (false, true) => Reason::Changed,
                (false, false) => Reason::Renewed,
            },
            changed,
        })
    }
}

fn set(groups: &[String]) -> BTreeSet<&str> {
    groups.iter().map(String::as_str).collect()
}
