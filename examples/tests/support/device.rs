//! A device as it registers over HTTP, and what it is given.

use std::io::{Cursor, Read};
use std::net::IpAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ipnet::IpNet;
use nebula_pki::Certificate;
use serde_json::{Value, json};

use super::client::Answer;
use super::random::Random;

/// What a device asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    pub network: &'static str,
    pub id: String,
    pub name: String,
    pub public_key: [u8; 32],
    pub groups: Vec<String>,
    /// Where it is reached, for a lighthouse.
    pub endpoint: Option<String>,
}

/// What it was given, as it would keep it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Given {
    pub addresses: Vec<IpAddr>,
    /// `node.crt` of its ZIP.
    pub certificate: String,
    /// The whole answer.
    pub data: Value,
}

impl Device {
    pub fn new(network: &'static str, id: String, random: &mut Random) -> Self {
        let (name, public_key) = (id.clone(), random.public_key());
        Self { network, id, name, public_key, groups: vec![], endpoint: None }
    }

    /// The registration, with every field given.
    pub fn body(&self) -> String {
        json!({
            "projectId": self.network,
            "deviceId": self.id,
            "deviceName": self.name,
            "publicKey": STANDARD.encode(self.public_key),
            "groups": self.groups,
            "lighthouse": self.endpoint.as_ref().map(|endpoint| json!({"endpoint": endpoint})),
        })
        .to_string()
    }

    /// A path of this device: `bundle`, `status` or `release`.
    pub fn path(&self, of: &str) -> String {
        format!("/api/nebula/{of}/{}?projectId={}", self.id, self.network)
    }

    /// Whether a certificate says what this device asked for.
    pub fn is_in(&self, certificate: &Certificate) -> bool {
        let details = certificate.unverified_details();
        details.name() == self.name
            && details.groups().eq(self.groups.iter().map(String::as_str))
            && certificate.public_key() == self.public_key
    }
}

impl Given {
    /// What a registration was answered with.
    pub fn of(answer: &Answer) -> Self {
        assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
        let body: Value = serde_json::from_slice(&answer.body).expect("JSON");
        assert_eq!(body["success"], true);
        let data = body["data"].clone();
        let zip = STANDARD.decode(data["zipBundle"].as_str().expect("text")).expect("Base64");
        assert_eq!(data["zipSize"], zip.len());
        let addresses = data["nebulaIps"].as_array().expect("a list").iter().map(|text| {
            let address: IpNet = text.as_str().expect("text").parse().expect("an address");
            assert_eq!(address.prefix_len(), address.max_prefix_len());
            address.addr()
        });
        let given =
            Self { addresses: addresses.collect(), certificate: node_certificate(&zip), data };
        let certificate = given.parsed();
        assert_eq!(given.data["fingerprint"], certificate.fingerprint().to_string());
        let named = certificate.unverified_details().networks().iter().map(IpNet::addr);
        assert!(named.eq(given.addresses.iter().copied()), "the certificate names other addresses");
        given
    }

    pub fn parsed(&self) -> Certificate {
        Certificate::from_pem(self.certificate.as_bytes()).expect("a certificate")
    }
}

/// `node.crt` of a bundle.
pub fn node_certificate(zip: &[u8]) -> String {
    let mut archive = zip::ZipArchive::new(Cursor::new(zip)).expect("a ZIP");
    let mut text = String::new();
    archive.by_name("node.crt").expect("is in it").read_to_string(&mut text).expect("text");
    text
}

/// The code of a refusal, with its status.
pub fn refusal(answer: &Answer) -> (u16, String) {
    let body: Value = serde_json::from_slice(&answer.body).expect("JSON");
    assert_eq!(body["success"], false, "{body}");
    (answer.status, body["error"].as_str().expect("text").to_owned())
}
