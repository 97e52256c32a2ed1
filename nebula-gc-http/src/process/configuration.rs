use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;
use nebula_pki::Certificate;
use serde_json::Value;
use sha2::{Digest, Sha256};

/// What a Nebula runs with, as far as a change of it matters: of the keys of `nebula.yml` their digests,
/// the certificates, and the digest of the CAs. It holds no secret and no large text.
#[derive(Clone, PartialEq, Eq)]
pub struct Configuration {
    /// `section.key`, or the section alone where it is none → what it says.
    keys: BTreeMap<String, [u8; 32]>,
    cas: [u8; 32],
    certificates: Vec<Certificate>,
    pub(super) tun: Tun,
    pub(super) start: Start,
}

/// What is looked at in the section `tun`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Tun {
    /// In bytes.
    pub(super) mtu: Option<u64>,
    pub(super) has_unsafe_routes: bool,
    /// Where they lead, as far as they can be read.
    pub(super) unsafe_routes: Vec<IpNet>,
}

/// What could keep Nebula from starting.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Start {
    /// Whether it logs less than what is waited for.
    pub(super) is_quiet: bool,
    /// Nothing where it is a name.
    pub(super) host: Option<IpAddr>,
    /// 0 where any port will do.
    pub(super) port: Option<u16>,
    /// The network device, where there is one.
    pub(super) device: Option<String>,
}

/// Why it can't be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigurationError {
    /// `nebula.yml` is no YAML that is read here, or no mapping.
    #[error("nebula.yml is not a YAML mapping")]
    Yaml,
    /// The node's certificates can't be read.
    #[error("node.crt: {0}")]
    Certificates(nebula_pki::Error),
}

impl Configuration {
    /// From the texts of `nebula.yml`, of the node's own certificates and of the trusted CAs (PEM), as
    /// Nebula reads them.
    ///
    /// # Errors
    /// Which of them can't be read.
    pub fn read(
        nebula_yml: &str,
        node_crt: &str,
        ca_crt: &str,
    ) -> Result<Self, ConfigurationError> {
        let options = serde_saphyr::options! { with_snippet: false };
        let tree: Value = serde_saphyr::from_str_with_options(nebula_yml, options)
            .map_err(|_| ConfigurationError::Yaml)?;
        let sections = tree.as_object().ok_or(ConfigurationError::Yaml)?;
        let mut keys = BTreeMap::new();
        for (section, value) in sections {
            match value.as_object() {
                Some(values) => {
                    let named =
                        values.iter().map(|(key, value)| (format!("{section}.{key}"), value));
                    keys.extend(named.map(|(key, value)| (key, digest(&value.to_string()))));
                }
                None => _ = keys.insert(section.clone(), digest(&value.to_string())),
            }
        }
        let certificates = Certificate::from_pem_many(node_crt.as_bytes())
            .map_err(ConfigurationError::Certificates)?;
        let (tun, start) = (Tun::read(&tree), Start::read(&tree));
        Ok(Self { keys, cas: digest(ca_crt), certificates, tun, start })
    }

    /// The node's own certificates.
    #[must_use]
    pub fn certificates(&self) -> &[Certificate] {
        &self.certificates
    }

    /// Whether the trusted CAs are the same files.
    pub(super) fn has_same_cas(&self, other: &Self) -> bool {
        self.cas == other.cas
    }

    /// The keys of `nebula.yml` that differ, in order.
    pub(super) fn differing<'a>(&'a self, other: &'a Self) -> impl Iterator<Item = &'a str> {
        let changed = self.keys.iter().filter(|(key, value)| other.keys.get(*key) != Some(*value));
        let added = other.keys.iter().filter(|(key, _)| !self.keys.contains_key(*key));
        changed.chain(added).map(|(key, _)| key.as_str())
    }
}

impl Tun {
    fn read(tree: &Value) -> Self {
        let routes = tree.pointer("/tun/unsafe_routes").and_then(Value::as_array);
        let routes = routes.map(Vec::as_slice).unwrap_or_default();
        let leads = |route: &Value| route.get("route")?.as_str()?.parse().ok();
        Self {
            mtu: tree.pointer("/tun/mtu").and_then(Value::as_u64),
            has_unsafe_routes: !routes.is_empty(),
            unsafe_routes: routes.iter().filter_map(leads).collect(),
        }
    }
}

impl Start {
    fn read(tree: &Value) -> Self {
        let text = |path| tree.pointer(path).and_then(Value::as_str);
        let is_disabled = tree.pointer("/tun/disabled").and_then(Value::as_bool) == Some(true);
        let port = tree.pointer("/listen/port").and_then(Value::as_u64);
        let level = text("/logging/level").unwrap_or("info").to_ascii_lowercase();
        Self {
            is_quiet: !["info", "debug", "trace"].contains(&level.as_str()),
            host: text("/listen/host").and_then(|host| host.parse().ok()),
            port: port.and_then(|port| u16::try_from(port).ok()),
            device: text("/tun/dev").filter(|_| !is_disabled).map(str::to_owned),
        }
    }
}

impl fmt::Debug for Configuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Configuration").field("keys", &self.keys.keys()).finish_non_exhaustive()
    }
}

fn digest(text: &str) -> [u8; 32] {
    Sha256::digest(text.as_bytes()).into()
}
