use std::collections::BTreeSet;
use std::net::IpAddr;

use nebula_pki::{Certificate, Fingerprint, VerifiedCertificate};
use serde::Serialize;

use crate::bundle::{Bundle, File};
use crate::config::{
    Firewall, LighthouseSection, Listen, Own, Peer, Pki, Proto, Punchy, Rule, Shared, Tun,
};
use crate::{Endpoint, Error, readme};

/// The newest way of rendering. The number is kept with the network and enters every digest: two
/// versions of a program side by side render alike, until the number is raised as a change of its
/// own.
pub const RENDERING: u32 = 1;

/// What all nodes of a network are told.
#[derive(Debug, Clone)]
pub struct Network {
    /// The way of rendering, from 1 to [`RENDERING`].
    pub rendering: u32,
    /// The trusted CAs, in the order written.
    pub cas: Vec<Certificate>,
    /// The lighthouses, in the order written.
    pub lighthouses: Vec<Lighthouse>,
    /// Certificates to refuse.
    pub blocklist: BTreeSet<Fingerprint>,
    /// The overlay's network device.
    pub tun: Tun,
}

/// A node that tells others where they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lighthouse {
    /// Its addresses on the overlay. Each node is told the first that lies in a network of its own.
    pub overlay: Vec<IpAddr>,
    /// Where it is reached on the underlay.
    pub endpoint: Endpoint,
}

/// The node a bundle is for.
#[derive(Debug, Clone)]
pub struct Node {
    /// Its certificate, issued by one of the network's CAs.
    pub certificate: VerifiedCertificate,
    /// Where it is on the underlay, where it is itself a lighthouse.
    pub lighthouse: Option<Endpoint>,
}

/// Renders the bundles of a network's nodes. What they share is checked and written once, however
/// long the blocklist.
#[derive(Debug, Clone)]
pub struct Renderer {
    network: Network,
    trusted: BTreeSet<Fingerprint>,
    ca_crt: String,
    shared_yaml: String,
}

impl Renderer {
    /// Prepares what all bundles of a network share.
    ///
    /// # Errors
    /// [`Error::Rendering`], [`Error::TunDevice`], [`Error::TunMtu`].
    pub fn new(network: Network) -> Result<Self, Error> {
        if network.rendering != RENDERING {
            return Err(Error::Rendering { number: network.rendering });
        }
        network.tun.check()?;
        let shared = Shared {
            pki: Pki {
                ca: "ca.crt".to_owned(),
                cert: "node.crt".to_owned(),
                key: "node.key".to_owned(),
                blocklist: network.blocklist.clone(),
                disconnect_invalid: true,
            },
            punchy: Punchy { punch: true },
            tun: network.tun.clone(),
        };
        Ok(Self {
            trusted: network.cas.iter().map(Certificate::fingerprint).collect(),
            ca_crt: network.cas.iter().map(Certificate::to_pem).collect(),
            shared_yaml: yaml(&shared)?,
            network,
        })
    }

    /// Renders one node's bundle: `ca.crt`, `node.crt`, `nebula.yml` and `README.md`, to be started
    /// from the directory they are in, beside the node's own `node.key`.
    ///
    /// # Errors
    /// What makes a bundle that Nebula would not start with: [`Error::ForeignIssuer`],
    /// [`Error::NoNetwork`], [`Error::Group`].
    pub fn render(&self, node: &Node) -> Result<Bundle, Error> {
        let issuer = node.certificate.issuer();
        if !self.trusted.contains(&issuer) {
            return Err(Error::ForeignIssuer { issuer });
        }
        let own = own(&self.network, node)?;
        let files = vec![
            File { name: "ca.crt", contents: self.ca_crt.clone() },
            File { name: "node.crt", contents: node.certificate.certificate().to_pem() },
            File {
                name: "nebula.yml",
                contents: [self.shared_yaml.as_str(), &yaml(&own)?].concat(),
            },
            File { name: "README.md", contents: readme::write(&self.network, node) },
        ];
        Ok(Bundle::new(self.network.rendering, files))
    }
}

fn yaml(sections: &impl Serialize) -> Result<String, Error> {
    // A fingerprint of digits alone, or with one 'e', would be read as a number.
    let options = serde_saphyr::ser_options! { quote_all: true };
    serde_saphyr::to_string_with_options(sections, options)
        .map_err(|error| Error::Yaml { reason: error.to_string() })
}

fn own(network: &Network, node: &Node) -> Result<Own, Error> {
    let networks = node.certificate.details().networks();
    if networks.is_empty() {
        return Err(Error::NoNetwork);
    }
    let is_self =
        |other: &Lighthouse| networks.iter().any(|net| other.overlay.contains(&net.addr()));
    let reachable = |address: &IpAddr| networks.iter().any(|net| net.contains(address));
    let others: Vec<(IpAddr, &Endpoint)> = network
        .lighthouses
        .iter()
        .filter(|other| !is_self(other))
        .filter_map(|other| {
            let address = other.overlay.iter().copied().find(|address| reachable(address));
            address.map(|address| (address, &other.endpoint))
        })
        .collect();
    let am_lighthouse = node.lighthouse.is_some();
    Ok(Own {
        static_host_map: others
            .iter()
            .map(|(address, endpoint)| (*address, vec![Endpoint::clone(endpoint)]))
            .collect(),
        lighthouse: LighthouseSection {
            am_lighthouse,
            interval: 60,
            // A lighthouse asks no other: each node reports to all of them.
            hosts: if am_lighthouse {
                vec![]
            } else {
                others.iter().map(|(address, _)| *address).collect()
            },
        },
        listen: Listen {
            host: "::".to_owned(),
            port: node.lighthouse.as_ref().map_or(0, |endpoint| endpoint.port.get()),
        },
        firewall: firewall(node)?,
    })
}

/// Outbound everything; inbound ICMP, and everything from hosts that share a group with the node,
/// or from every host where the node has no groups.
fn firewall(node: &Node) -> Result<Firewall, Error> {
    let mut inbound = vec![Rule::all_ports(Proto::Icmp, Peer::any())];
    let groups = node.certificate.details().groups_bytes();
    for group in groups {
        let refuse = |reason| Error::Group { group: String::from_utf8_lossy(group).into(), reason };
        match str::from_utf8(group) {
            Ok("any") => return Err(refuse("it would admit every host")),
            Ok(group) => inbound.push(Rule::all_ports(Proto::Any, Peer::Group(group.to_owned()))),
            Err(_) => return Err(refuse("it is not UTF-8")),
        }
    }
    if groups.is_empty() {
        inbound.push(Rule::all_ports(Proto::Any, Peer::any()));
    }
    Ok(Firewall { outbound: vec![Rule::all_ports(Proto::Any, Peer::any())], inbound })
}
