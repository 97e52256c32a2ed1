//! The model of `nebula.yml`: the keys a node's configuration uses here, under the names that Nebula
//! 1.6 to 1.11 read. Field order is the order written.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;
use nebula_pki::Fingerprint;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use sha2::{Digest as _, Sha256};

use crate::archive::{CA, CERTIFICATE};
use crate::{Endpoint, Error};

/// A whole `nebula.yml`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Whom the node trusts and who it is.
    pub pki: Pki,
    /// Keeping NAT mappings open.
    pub punchy: Punchy,
    /// Overlay address of a lighthouse → where it is on the underlay.
    pub static_host_map: BTreeMap<IpAddr, Vec<Endpoint>>,
    /// How the node finds the others, or helps them find each other.
    pub lighthouse: LighthouseSection,
    /// The UDP socket.
    pub listen: Listen,
    /// Help for nodes that can't reach each other.
    pub relay: RelaySection,
    /// The overlay's network device.
    pub tun: Tun,
    /// What may pass.
    pub firewall: Firewall,
}

/// The sections that are the same for all nodes of a network. With [`Own`] they make a
/// `nebula.yml`: the texts of two mappings, one after the other, are one mapping.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Shared {
    /// Whom the node trusts and who it is.
    pub pki: Pki,
    /// Keeping NAT mappings open.
    pub punchy: Punchy,
}

/// The sections that differ from node to node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Own {
    /// Overlay address of a lighthouse → where it is on the underlay.
    pub static_host_map: BTreeMap<IpAddr, Vec<Endpoint>>,
    /// How the node finds the others, or helps them find each other.
    pub lighthouse: LighthouseSection,
    /// The UDP socket.
    pub listen: Listen,
    /// Help for nodes that can't reach each other.
    pub relay: RelaySection,
    /// The overlay's network device.
    pub tun: Tun,
    /// What may pass.
    pub firewall: Firewall,
}

/// The section `pki`. Paths are relative to the directory `nebula` is started in, or absolute.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pki {
    /// The trusted CAs' file.
    pub ca: String,
    /// The node's certificate file.
    pub cert: String,
    /// The node's own private key file.
    pub key: String,
    /// Certificates that are refused although a trusted CA signed them. Nebula has no other form of
    /// revocation list; the comparison is by exact lower-case hexadecimal text.
    #[serde(serialize_with = "as_hex", deserialize_with = "from_hex")]
    pub blocklist: BTreeSet<Fingerprint>,
    /// Ends tunnels to peers whose certificate became invalid (the default since Nebula 1.8).
    pub disconnect_invalid: bool,
    /// With which of its two certificates a node begins handshakes, 1 or 2; default: version 1. Nebula reads it since 1.10, and does not start with a version that the node
    /// has no certificate of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub initiating_version: Option<u8>,
}

impl Pki {
    /// As it is rendered: the files are those beside `nebula.yml`.
    pub(crate) fn rendered(
        blocklist: BTreeSet<Fingerprint>,
        initiating_version: Option<u8>,
    ) -> Self {
        Self {
            ca: CA.to_owned(),
            cert: CERTIFICATE.to_owned(),
            key: "node.key".to_owned(),
            blocklist,
            disconnect_invalid: true,
            initiating_version,
        }
    }
}

/// The section `lighthouse`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LighthouseSection {
    /// Whether this node is one.
    pub am_lighthouse: bool,
    /// How often the node reports its addresses to its lighthouses, in seconds.
    pub interval: u32,
    /// Overlay addresses of the lighthouses it asks; each needs its entry in the static host map.
    pub hosts: Vec<IpAddr>,
}

/// The section `relay` (since Nebula 1.6).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RelaySection {
    /// Whether this node passes on packets between others.
    pub am_relay: bool,
    /// Whether it reaches others through their relays, which a relay itself never does.
    pub use_relays: bool,
    /// Overlay addresses of the relays that others may reach it through; a relay itself has none.
    pub relays: Vec<IpAddr>,
}

/// The section `listen`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listen {
    /// The local address; `::` is every address of both families.
    pub host: String,
    /// The UDP port; 0 takes any free one, which a lighthouse can't use.
    pub port: u16,
}

/// The section `punchy`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Punchy {
    /// Whether to send packets that keep NAT mappings open.
    pub punch: bool,
    /// Whether to begin a handshake of its own with who tries one: a node behind symmetric NAT is
    /// reached in no other way.
    pub respond: bool,
    /// How long it waits before that, as Nebula reads a duration. Read since 1.7; before, and by
    /// default, it is 5 s.
    pub respond_delay: String,
}

impl Punchy {
    /// As it is rendered.
    pub(crate) fn rendered() -> Self {
        Self { punch: true, respond: true, respond_delay: "1s".to_owned() }
    }
}

/// The smallest MTU of a device that has an IPv6 address, in bytes (RFC 8200, section 5). With less
/// Nebula does not start.
pub const LEAST_IPV6_MTU: u32 = 1280;

/// The section `tun`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tun {
    /// The device's name, at most 15 bytes on Linux.
    pub dev: String,
    /// The largest packet on the overlay, in bytes.
    pub mtu: u32,
}

impl Default for Tun {
    /// `nebula1` with an MTU of 1300 bytes, which fits one UDP packet on almost every underlay.
    fn default() -> Self {
        Self { dev: "nebula1".to_owned(), mtu: 1300 }
    }
}

/// The range of device numbers, the end not included: OpenBSD has no larger ones, and the smaller ones
/// are those that other programs take.
const DEVICES: (u32, u32) = (1000, 1 << 24);

impl Tun {
    /// The name of a network's device, from the network's id: `tun` and a number from 1000 to
    /// 16777215. Every system takes it (Linux, FreeBSD and Windows as it is, OpenBSD and NetBSD no
    /// other, macOS numbers its devices itself), and two networks on one machine get the same
    /// name with a chance of 1 in 16 million.
    #[must_use]
    pub fn device_of(network: &[u8]) -> String {
        let (least, end) = DEVICES;
        let hash = Sha256::new().chain_update(b"tun device").chain_update(network).finalize();
        let number = hash.iter().take(8).fold(0, |sum, byte| (sum << 8) | u64::from(*byte));
        format!("tun{}", u64::from(least) + number % u64::from(end - least))
    }

    /// Whether Linux and Nebula take these values.
    ///
    /// # Errors
    /// [`Error::TunDevice`], [`Error::TunMtu`].
    pub fn check(&self) -> Result<(), Error> {
        let dev = &self.dev;
        // Linux keeps ':' for aliases, and numbers '%d' itself.
        let is_allowed = |byte: u8| byte.is_ascii_graphic() && !b"/:%".contains(&byte);
        let reserved = [".", "..", "lo", "all", "default"];
        if !(1..=15).contains(&dev.len())
            || !dev.bytes().all(is_allowed)
            || reserved.contains(&dev.as_str())
        {
            return Err(Error::TunDevice { device: dev.clone() });
        }
        if !(500..=65_535).contains(&self.mtu) {
            return Err(Error::TunMtu { mtu: self.mtu });
        }
        Ok(())
    }

    /// With an MTU that a device with these addresses can have.
    pub(crate) fn for_networks(self, networks: &[IpNet]) -> Self {
        let has_ipv6 = networks.iter().any(|net| net.addr().is_ipv6());
        Self { mtu: if has_ipv6 { self.mtu.max(LEAST_IPV6_MTU) } else { self.mtu }, ..self }
    }
}

/// The section `firewall`: everything is denied but what a rule allows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Firewall {
    /// What the node may send.
    pub outbound: Vec<Rule>,
    /// What it accepts.
    pub inbound: Vec<Rule>,
}

/// One allowing rule. The port is always written, because releases before 1.11 refuse a rule
/// without one, for ICMP too.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "WrittenRule")]
pub struct Rule {
    /// `any`, a number, or a range `a-b`.
    pub port: String,
    /// The protocol.
    pub proto: Proto,
    /// Whom it concerns.
    #[serde(flatten)]
    pub peer: Peer,
}

impl Rule {
    /// Every port of one protocol, for some peers.
    #[must_use]
    pub fn all_ports(proto: Proto, peer: Peer) -> Self {
        Self { port: "any".to_owned(), proto, peer }
    }
}

/// A rule's protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Proto {
    /// All of them.
    Any,
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// ICMP, for both address families.
    Icmp,
}

/// Whom a rule concerns, by what their certificates say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Peer {
    /// The host of this name, or every host: `any`.
    Host(String),
    /// Hosts in this group.
    Group(String),
}

impl Peer {
    /// Every host of the network.
    #[must_use]
    pub fn any() -> Self {
        Self::Host("any".to_owned())
    }
}

/// A [`Rule`] as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenRule {
    port: String,
    proto: Proto,
    host: Option<String>,
    group: Option<String>,
}

impl TryFrom<WrittenRule> for Rule {
    type Error = &'static str;

    fn try_from(rule: WrittenRule) -> Result<Self, Self::Error> {
        let peer = match (rule.host, rule.group) {
            (Some(host), None) => Peer::Host(host),
            (None, Some(group)) => Peer::Group(group),
            _ => return Err("a firewall rule names either a host or a group"),
        };
        Ok(Self { port: rule.port, proto: rule.proto, peer })
    }
}

fn from_hex<'de, D: Deserializer<'de>>(from: D) -> Result<BTreeSet<Fingerprint>, D::Error> {
    let texts = Vec::<String>::deserialize(from)?;
    texts.iter().map(|text| text.parse().map_err(de::Error::custom)).collect()
}

fn as_hex<S: Serializer>(list: &BTreeSet<Fingerprint>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(list.iter().map(Fingerprint::to_string))
}
