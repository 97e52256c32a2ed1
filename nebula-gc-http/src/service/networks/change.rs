//! Changing a network, and what follows from it for its nodes.

use ipnet::IpNet;
use nebula_alloc::{AddressRange, Family};
use nebula_bundle::config::LEAST_IPV6_MTU;
use nebula_pki::Version;
use serde_json::{Map, Value, json};

use super::create::{check_unused, create_pool};
use super::prefixes::{check_prefixes, family, prefixes};
use super::settings::{NetworkSettings, check_initiating, check_mtu};
use crate::error::{Conflict, Fault, Field};
use crate::service::audit::Entry;
use crate::service::cas::check_permits;
use crate::service::exclusive::Work;
use crate::service::node_change::check_endpoints;
use crate::service::pace::Pace;
use crate::service::revision::move_revision;
use crate::store::network::{self, Network, Versions};
use crate::store::{ca, damaged, node};
use crate::{Error, NetworkRef};

/// What is to change of a network; what is left out stays.
#[derive(Debug, Clone, Default)]
pub struct NetworkPatch {
    /// Its name.
    pub name: Option<NetworkRef>,
    /// Its prefixes: those it has, or larger ones around them, and one of a family that it has none
    /// of, which gets a pool of all its addresses.
    pub prefixes: Option<Vec<IpNet>>,
    /// From 1 to both or 2, and from both to 2. Nodes have them with their next certificates.
    pub versions: Option<Versions>,
    /// [`NetworkSettings::lifetime`]
    pub lifetime: Option<i64>,
    /// [`NetworkSettings::hold_seconds`]
    pub hold_seconds: Option<i64>,
    /// [`NetworkSettings::hold_alone`]
    pub hold_alone: Option<bool>,
    /// [`NetworkSettings::silence_seconds`]
    pub silence_seconds: Option<Option<i64>>,
    /// [`NetworkSettings::give_back_seconds`]
    pub give_back_seconds: Option<Option<i64>>,
    /// [`NetworkSettings::silent_after`]
    pub silent_after: Option<i64>,
    /// [`NetworkSettings::mtu`]
    pub mtu: Option<u32>,
    /// [`NetworkSettings::initiating_version`]
    pub initiating_version: Option<Option<Version>>,
}

impl NetworkPatch {
    /// The network as it is to be, and the usable addresses of the prefix that it gains.
    fn apply(&self, former: &Network, pace: Pace) -> Result<(Network, Vec<AddressRange>), Error> {
        let had = NetworkSettings::of(former);
        let settings = NetworkSettings {
            lifetime: self.lifetime.unwrap_or(had.lifetime),
            hold_seconds: self.hold_seconds.unwrap_or(had.hold_seconds),
            hold_alone: self.hold_alone.unwrap_or(had.hold_alone),
            silence_seconds: self.silence_seconds.unwrap_or(had.silence_seconds),
            give_back_seconds: self.give_back_seconds.unwrap_or(had.give_back_seconds),
            silent_after: self.silent_after.unwrap_or(had.silent_after),
            mtu: self.mtu.unwrap_or(had.mtu),
            initiating_version: match self.initiating_version {
                // What is shown where nobody chose is no choice.
                Some(Some(asked))
                    if former.versions == Versions::Both && asked == former.begins_with() =>
                {
                    had.initiating_version
                }
                Some(asked) => asked,
                None => had.initiating_version,
            },
        };
        settings.check(pace)?;
        let mut network = settings.apply(former.clone());
        if let Some(name) = &self.name {
            network.name = name.to_string();
        }
        if let Some(versions) = self.versions {
            use Versions::{Both, V1, V2};
            let later = matches!((former.versions, versions), (V1, Both | V2) | (Both, V2));
            if versions != former.versions && !later {
                return Err(Conflict::OlderVersions.into());
            }
            network.versions = versions;
        }
        check_initiating(self.initiating_version.flatten(), network.versions)?;
        if self.initiating_version == Some(None) && former.versions == Versions::Both {
            return Err(Fault::VersionNeeded.of(Field::InitiatingVersion));
        }
        let had_ipv6 = former.prefix_v6.is_some();
        if self.mtu.is_some() {
            check_mtu(network.mtu, had_ipv6)?;
        }
        let Some(prefixes) = &self.prefixes else { return Ok((network, vec![])) };
        let usable = check_prefixes(prefixes, network.versions)?;
        let mut gains = vec![];
        for family in [Family::V4, Family::V6] {
            let asked = prefixes.iter().copied().find(|prefix| self::family(*prefix) == family);
            match (former.prefix(family), asked) {
                (Some(has), Some(asked)) if asked.contains(&has) => {}
                (None, None) => {}
                (None, Some(_)) => {
                    gains.extend(usable.iter().filter(|range| range.family() == family));
                }
                (Some(has), _) => {
                    return Err(Conflict::PrefixFixed { prefix: has }.into());
                }
            }
            match family {
                Family::V4 => network.prefix_v4 = asked,
                Family::V6 => network.prefix_v6 = asked,
            }
        }
        check_mtu(network.mtu, network.prefix_v6.is_some() && !had_ipv6)?;
        Ok((network, gains))
    }
}

/// Refuses prefixes with which a node of the network could not start, or others not reach it.
fn check_nodes(work: &mut Work<'_>, former: &Network, network: &Network) -> Result<(), Error> {
    for node in node::lighthouses(work.tx, network.id)? {
        check_endpoints(network, &node)
            .map_err(|_| Conflict::EndpointInside { node: node.name })?;
    }
    if former.prefix_v6.is_none()
        && network.prefix_v6.is_some()
        && let Some(node) = node::with_mtu_below(work.tx, network.id, LEAST_IPV6_MTU)?
    {
        return Err(Conflict::NodeMtu { node, least: LEAST_IPV6_MTU }.into());
    }
    Ok(())
}

/// Changes a network, with all that follows from it.
pub(in crate::service) fn change(
    work: &mut Work<'_>,
    former: Network,
    patch: &NetworkPatch,
) -> Result<Network, Error> {
    let (network, gains) = patch.apply(&former, work.shared.pace())?;
    let changed = differences(&former, &network);
    if changed.is_empty() {
        return Ok(former);
    }
    if former.name != network.name {
        check_unused(work, &network.name, Some(network.id))?;
    }
    if !network::update(work.tx, &network)? {
        return Err(Conflict::ChangedMeanwhile.into());
    }
    if prefixes(&former) != prefixes(&network) {
        let ca = ca::by_id(work.tx, network.active_ca)?.ok_or_else(|| damaged("CA"))?;
        check_permits(&ca.certificate, &network)
            .map_err(|prefix| Conflict::PrefixNotPermitted { field: Field::Prefixes, prefix })?;
        check_nodes(work, &former, &network)?;
    }
    for range in gains {
        create_pool(work, network.id, range, 0)?;
    }
    // Where a prefix grows or is new, every node is told, because its certificate is due.
    let grows = prefixes(&former) != prefixes(&network);
    let rendered = |network: &Network| (network.mtu, network.begins_with());
    let moved = match rendered(&former) == rendered(&network) && !grows {
        true => None,
        false => Some(move_revision(work.tx, network.id, work.now)?),
    };
    let revision = moved.unwrap_or(network.revision);
    work.record(Entry {
        network: Some(network.id),
        detail: json!({
            "changed": changed.keys().collect::<Vec<_>>(),
            "former": changed,
            "revision": moved.map(|moved| moved.0),
        }),
        ..Entry::new("network.changed", network.id.as_bytes())
    })?;
    Ok(Network { changes: network.changes + 1, revision, ..network })
}

/// How what is different was before: for the audit log, and for `verify`, which judges what is older
/// by that.
fn differences(former: &Network, network: &Network) -> Map<String, Value> {
    let all = |network: &Network| {
        let prefixes = prefixes(network).into_iter().flatten();
        let versions = network.versions.as_slice().iter();
        [
            ("name", json!(network.name)),
            ("prefixes", prefixes.map(|prefix| prefix.to_string()).collect()),
            ("versions", versions.map(|version| version.number()).collect()),
            ("lifetime", json!(network.lifetime)),
            ("hold_seconds", json!(network.hold_seconds)),
            ("hold_alone", json!(network.hold_alone)),
            ("silence_seconds", json!(network.silence_seconds)),
            ("give_back_seconds", json!(network.give_back_seconds)),
            ("silent_after", json!(network.silent_after)),
            ("mtu", json!(network.mtu)),
            ("initiating_version", json!(network.initiating_version.map(Version::number))),
        ]
    };
    let pairs = all(former).into_iter().zip(all(network));
    let changed = pairs.filter(|(had, has)| had != has);
    changed.map(|((what, had), _)| (what.to_owned(), had)).collect()
}
