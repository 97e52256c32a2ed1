//! What a bundle is rendered from: the network, and the node that it is for.

use std::collections::BTreeSet;
use std::net::IpAddr;

use nebula_pki::{Certificate, Fingerprint, Version};

use crate::config::Tun;
use crate::{Certificates, Endpoints};

/// The newest way of rendering. The number is kept with the network and enters every digest: two
/// versions of a program side by side render alike, until the number is raised as a change of its
/// own.
pub const RENDERING: u32 = 1;
/// The port of Nebula's own example configuration.
pub(crate) const USUAL_PORT: u16 = 4242;

/// What all nodes of a network have in common.
#[derive(Debug, Clone)]
pub struct Network {
    /// The way of rendering, from 1 to [`RENDERING`].
    pub rendering: u32,
    /// The trusted CAs, in the order written. Nodes older than 1.9.5 start with none of version 2,
    /// not even beside others; a CA of version 1 can sign certificates of both versions.
    pub cas: Vec<Certificate>,
    /// The lighthouses, in the order written.
    pub lighthouses: Vec<Lighthouse>,
    /// The relays, in the order written.
    pub relays: Vec<Relay>,
    /// Certificates to refuse.
    pub blocklist: BTreeSet<Fingerprint>,
    /// The overlay's network device.
    pub tun: Tun,
    /// The version in which nodes that have both certificates begin handshakes: 1 while there are
    /// peers without one of version 2, and IPv6 overlay addresses answer only after it is 2.
    pub initiating_version: Version,
}

/// A node that other nodes ask for each other's underlay addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lighthouse {
    /// Its addresses on the overlay. Each node gets the first that is in one of its own networks.
    pub overlay: Vec<IpAddr>,
    /// Where it is reached on the underlay.
    pub endpoints: Endpoints,
}

/// A node that passes on packets between others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Relay {
    /// Its addresses on the overlay. Each node gets the first that is in one of its own networks.
    pub overlay: Vec<IpAddr>,
}

/// The node a bundle is for.
#[derive(Debug, Clone)]
pub struct Node {
    /// Its certificates, issued by CAs of the network.
    pub certificates: Certificates,
    /// Where it is on the underlay, where it is itself a lighthouse.
    pub lighthouse: Option<Endpoints>,
    /// Whether it is itself a relay; it listens on UDP port 4242 unless it is a lighthouse, too.
    pub relay: bool,
    /// The largest packet on the overlay in bytes, where it is not the network's. At least 1280 is used
    /// for a node with an IPv6 address.
    pub mtu: Option<u32>,
}

impl Node {
    /// A node that is neither lighthouse nor relay and has the network's MTU.
    #[must_use]
    pub fn new(certificates: Certificates) -> Self {
        Self { certificates, lighthouse: None, relay: false, mtu: None }
    }

    /// The UDP port to listen on. A lighthouse and a relay need a fixed one, which firewalls can
    /// open: the one that the lighthouse's first endpoint names, or Nebula's usual one for a relay. For
    /// other nodes it is 0: the system chooses one, so that several nodes run on one machine.
    pub(crate) fn listen_port(&self) -> u16 {
        match &self.lighthouse {
            Some(endpoints) => endpoints.first().port.get(),
            None if self.relay => USUAL_PORT,
            None => 0,
        }
    }
}
