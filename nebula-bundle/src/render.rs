//! Renders the files of a bundle.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnet::IpNet;
use nebula_pki::{Certificate, Details, Fingerprint, Version};

use crate::archive::{CA, CERTIFICATE, CONFIG, File, README};
use crate::bundle::Bundle;
use crate::config::{
    Firewall, LighthouseSection, Listen, Own, Peer, Pki, Proto, Punchy, RelaySection, Rule, Shared,
    Tun,
};
use crate::error::GroupDefect;
use crate::inputs::{Network, Node, RENDERING};
use crate::{Endpoints, Error, readme, yaml};

/// How often nodes report their addresses to their lighthouses, in seconds.
pub(crate) const INTERVAL: u32 = 60;
/// Every address of both families.
pub(crate) const EVERYWHERE: &str = "::";

/// Renders the bundles of a network's nodes. What they share is checked and written once, however
/// long the blocklist.
#[derive(Debug, Clone)]
pub struct Renderer {
    network: Network,
    trusted: BTreeSet<Fingerprint>,
    ca_crt: String,
    shared_yaml: String,
    /// The same for nodes with two certificates, where that differs.
    paired_yaml: Option<String>,
}

impl Renderer {
    /// Prepares what all bundles of a network share.
    ///
    /// # Errors
    /// [`Error::Rendering`], [`Error::TunDevice`], [`Error::TunMtu`].
    pub fn new(network: Network) -> Result<Self, Error> {
        if network.rendering != RENDERING {
            return Err(Error::Rendering { number: network.rendering, newest: RENDERING });
        }
        network.tun.check()?;
        // 1 is Nebula's own default. A node that has no certificate of the version does not start,
        // so only nodes with both get 2.
        let paired_yaml = match network.initiating_version {
            Version::V1 => None,
            later => Some(yaml::write(&shared(&network, Some(later.number())))?),
        };
        Ok(Self {
            trusted: network.cas.iter().map(Certificate::fingerprint).collect(),
            ca_crt: network.cas.iter().map(Certificate::to_pem).collect(),
            shared_yaml: yaml::write(&shared(&network, None))?,
            paired_yaml,
            network,
        })
    }

    /// Renders one node's bundle: `ca.crt`, `node.crt`, `nebula.yml` and `README.md`, to be started
    /// from the directory they are in, beside the node's own `node.key`.
    ///
    /// # Errors
    /// [`Error::ForeignIssuer`], [`Error::Group`], [`Error::TunMtu`], and [`Error::Endpoint`] for a
    /// lighthouse inside of the node's networks.
    pub fn render(&self, node: &Node) -> Result<Bundle, Error> {
        let mut node_crt = String::new();
        for certificate in node.certificates.iter() {
            let issuer = certificate.issuer();
            if !self.trusted.contains(&issuer) {
                return Err(Error::ForeignIssuer { issuer });
            }
            node_crt.push_str(&certificate.certificate().to_pem());
        }
        let own = own(&self.network, node)?;
        let shared_yaml = match &self.paired_yaml {
            Some(paired) if node.certificates.iter().nth(1).is_some() => paired,
            _ => &self.shared_yaml,
        };
        let files = vec![
            File { name: CA, contents: self.ca_crt.clone() },
            File { name: CERTIFICATE, contents: node_crt },
            File { name: CONFIG, contents: [shared_yaml.as_str(), &yaml::write(&own)?].concat() },
            File { name: README, contents: readme::write(&self.network, node) },
        ];
        Ok(Bundle::new(self.network.rendering, files))
    }
}

fn shared(network: &Network, initiating_version: Option<u8>) -> Shared {
    Shared {
        pki: Pki::rendered(network.blocklist.clone(), initiating_version),
        punchy: Punchy::rendered(),
    }
}

fn own(network: &Network, node: &Node) -> Result<Own, Error> {
    let networks = node.certificates.details().networks();
    let tun = Tun { mtu: node.mtu.unwrap_or(network.tun.mtu), ..network.tun.clone() };
    tun.check()?;
    let lighthouses: Vec<(IpAddr, &Endpoints)> = network
        .lighthouses
        .iter()
        .filter_map(|other| Some((address_of(&other.overlay, networks)?, &other.endpoints)))
        .collect();
    for (_, endpoints) in &lighthouses {
        endpoints.check_outside(networks)?;
    }
    let am_lighthouse = node.lighthouse.is_some();
    // A lighthouse asks no other: each node reports to all of them.
    let hosts =
        if am_lighthouse { vec![] } else { lighthouses.iter().map(|found| found.0).collect() };
    // Nebula takes no notice of a relay's own relays.
    let relays = if node.relay {
        vec![]
    } else {
        network.relays.iter().filter_map(|other| address_of(&other.overlay, networks)).collect()
    };
    Ok(Own {
        static_host_map: lighthouses
            .iter()
            .map(|(address, endpoints)| (*address, endpoints.iter().cloned().collect()))
            .collect(),
        lighthouse: LighthouseSection { am_lighthouse, interval: INTERVAL, hosts },
        listen: Listen { host: EVERYWHERE.to_owned(), port: node.listen_port() },
        relay: RelaySection { am_relay: node.relay, use_relays: !node.relay, relays },
        tun: tun.for_networks(networks),
        firewall: firewall(node.certificates.details())?,
    })
}

/// The first of another node's overlay addresses that is in these networks of a node; none if the
/// other is the node itself.
fn address_of(overlay: &[IpAddr], networks: &[IpNet]) -> Option<IpAddr> {
    if networks.iter().any(|net| overlay.contains(&net.addr())) {
        return None;
    }
    overlay.iter().copied().find(|address| networks.iter().any(|net| net.contains(address)))
}

/// Outbound everything; inbound ICMP, and everything from hosts that share a group with the node,
/// or from every host where the node has no groups.
pub(crate) fn firewall(details: &Details) -> Result<Firewall, Error> {
    let mut inbound = vec![Rule::all_ports(Proto::Icmp, Peer::any())];
    let groups = details.groups_bytes();
    for group in groups {
        let refuse = |defect| Error::Group { group: String::from_utf8_lossy(group).into(), defect };
        match str::from_utf8(group) {
            Ok("any") => return Err(refuse(GroupDefect::AdmitsAll)),
            Ok(group) => inbound.push(Rule::all_ports(Proto::Any, Peer::Group(group.to_owned()))),
            Err(_) => return Err(refuse(GroupDefect::NotUtf8)),
        }
    }
    if groups.is_empty() {
        inbound.push(Rule::all_ports(Proto::Any, Peer::any()));
    }
    Ok(Firewall { outbound: vec![Rule::all_ports(Proto::Any, Peer::any())], inbound })
}
