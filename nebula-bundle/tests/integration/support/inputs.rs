//! Networks and nodes whose keys and times are the same in every run.

use std::collections::BTreeSet;
use std::net::IpAddr;

use nebula_bundle::{
    Bundle, Certificates, Error, Lighthouse, Network, Node, RENDERING, Relay, Renderer, Tun,
};
use nebula_pki::key::{AgreementKey, SigningKey};
use nebula_pki::{
    CaParameters, Curve, Fingerprint, HostParameters, Issuer, Random, Validity,
    VerifiedCertificate, Version,
};

/// Valid now, whenever that is, because `nebula -test` has no other clock.
pub const VALIDITY: Validity = Validity { not_before: 1_700_000_000, not_after: 4_000_000_000 };

/// The same "random" bytes in every run.
struct Counted(u8);

impl Random for Counted {
    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), nebula_pki::Error> {
        for byte in bytes {
            self.0 = self.0.wrapping_mul(5).wrapping_add(17);
            *byte = self.0;
        }
        Ok(())
    }
}

/// A CA of this name, which alone its key depends on.
pub fn issuer(name: &str, version: Version, curve: Curve) -> Issuer<SigningKey> {
    let seed = u8::try_from(name.len()).unwrap();
    let key = SigningKey::generate(curve, &mut Counted(seed)).unwrap();
    Issuer::self_signed(version, CaParameters::new(name, VALIDITY), key).unwrap()
}

/// The key of every node.
pub fn node_key(curve: Curve) -> AgreementKey {
    AgreementKey::generate(curve, &mut Counted(3)).unwrap()
}

/// A host of this name.
pub fn host(name: &str, curve: Curve, networks: &[&str], groups: &[&str]) -> HostParameters {
    let networks = networks.iter().map(|network| network.parse().unwrap()).collect();
    HostParameters::new(name, networks, node_key(curve).public_key(), VALIDITY)
        .groups(groups.iter().copied())
}

/// A version 1 certificate of the host "node", under the CA of [`network`].
pub fn certificate(networks: &[&str], groups: &[&str]) -> VerifiedCertificate {
    issue(Version::V1, &host("node", Curve::Curve25519, networks, groups))
}

/// A certificate on Curve25519 under the CA of [`network`], which signs both versions.
pub fn issue(version: Version, host: &HostParameters) -> VerifiedCertificate {
    issuer("ca", Version::V1, Curve::Curve25519).issue(version, host).unwrap()
}

/// A node with these certificates.
pub fn node<const N: usize>(certificates: [VerifiedCertificate; N]) -> Node {
    Node::new(Certificates::new(certificates).unwrap())
}

/// A network with one CA of version 1 on Curve25519, and one lighthouse.
pub fn network() -> Network {
    Network {
        rendering: RENDERING,
        cas: vec![issuer("ca", Version::V1, Curve::Curve25519).certificate().clone()],
        lighthouses: vec![lighthouse(&["10.1.0.1", "fd00::1"], "192.0.2.1:4242")],
        relays: vec![],
        blocklist: BTreeSet::new(),
        tun: Tun::default(),
        initiating_version: Version::V1,
    }
}

pub fn lighthouse(overlay: &[&str], endpoint: &str) -> Lighthouse {
    Lighthouse { overlay: addresses(overlay), endpoints: endpoint.parse().unwrap() }
}

pub fn relay(overlay: &[&str]) -> Relay {
    Relay { overlay: addresses(overlay) }
}

/// The fingerprints made of one repeated byte.
pub fn blocklist(bytes: &[u8]) -> BTreeSet<Fingerprint> {
    bytes.iter().map(|byte| Fingerprint::from_bytes([*byte; 32])).collect()
}

pub fn render(network: &Network, node: &Node) -> Result<Bundle, Error> {
    Renderer::new(network.clone())?.render(node)
}

/// What a YAML reader finds in a bundle's `nebula.yml`.
pub fn configuration(bundle: &Bundle) -> serde_json::Value {
    serde_saphyr::from_str(bundle.file("nebula.yml").unwrap()).unwrap()
}

fn addresses(texts: &[&str]) -> Vec<IpAddr> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}
