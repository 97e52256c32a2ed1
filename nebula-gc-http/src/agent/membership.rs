//! What joining settled about a node: `node.json`.

use std::path::PathBuf;

use nebula_bundle::Allowed;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::directory::NodeDirectory;
use super::error::AgentError;
use crate::server_list::{Pin, ServerListKey};

/// The file. A directory without it holds no node yet; it is written last.
pub(super) const FILE: &str = "node.json";
/// The largest accepted one, in bytes.
const LIMIT: u64 = 64 << 10;

/// Which node of which network a directory is of, and where its servers are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Membership {
    /// The network's name.
    pub network: String,
    /// The node's id.
    pub node: String,
    /// Its name in the network.
    pub name: String,
    /// The servers to ask, in order.
    pub servers: Vec<KnownServer>,
    /// The number of the list of servers that was applied last; 0 for none.
    #[serde(default)]
    pub serial: i64,
    /// The public key that signs such lists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub servers_key: Option<ServerListKey>,
    /// By what its join link is known again, without holding its secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<String>,
    /// Whether secrets may be sent over plain HTTP to other machines.
    #[serde(default)]
    pub allow_plain_http: bool,
    /// What this machine's user chose.
    #[serde(default)]
    pub local: LocalChoices,
}

/// A server that the node may ask.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KnownServer {
    /// Its URL.
    pub url: String,
    /// The public keys that it may have; none trusts the system's roots.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pins: Vec<Pin>,
    /// Whether its pins were set on this machine, where no list changes them.
    #[serde(default)]
    pub pinned_here: bool,
    /// Whether it is of a list that has been replaced, and stays until one of the new list has answered.
    #[serde(default)]
    pub former: bool,
}

/// What the machine's user chose for one network.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LocalChoices {
    /// The tun device's name. Default: that of the network.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tun_device: Option<String>,
    /// Whether the user's own files may set up Nebula's `sshd`.
    #[serde(default)]
    pub sshd: bool,
    /// The program `nebula`. Default: the one in the search path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nebula: Option<PathBuf>,
}

impl LocalChoices {
    /// What the user's own files may hold.
    pub(super) fn allowed(&self) -> Allowed {
        Allowed { firewall: false, sshd: self.sshd }
    }
}

impl Membership {
    /// Reads `node.json`; nothing where nobody has joined yet.
    ///
    /// # Errors
    /// [`AgentError::Damaged`] and those of the file.
    pub fn read(directory: &NodeDirectory) -> Result<Option<Self>, AgentError> {
        directory.read_json(FILE, LIMIT)
    }

    /// Reads `node.json`, which must be there.
    ///
    /// # Errors
    /// [`AgentError::NoNode`], and those of [`read`](Self::read).
    pub fn require(directory: &NodeDirectory) -> Result<Self, AgentError> {
        let missing = || AgentError::NoNode { path: directory.path().to_owned() };
        Self::read(directory)?.ok_or_else(missing)
    }

    /// Writes `node.json`.
    ///
    /// # Errors
    /// [`AgentError::File`].
    pub fn write(&self, directory: &NodeDirectory) -> Result<(), AgentError> {
        // Texts, numbers and lists of them can be written as JSON.
        let text = serde_json::to_string_pretty(self).unwrap_or_default() + "\n";
        directory.write(FILE, text.as_bytes())
    }
}

/// By what a join link is known again: nobody can find the token by it.
#[must_use]
pub(super) fn link_mark(token: &str) -> String {
    let hash = Sha256::digest(["nebula-gc join link ", token].concat());
    hash.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

/// A network's name as that of a directory.
#[must_use]
pub fn directory_name(network: &str) -> String {
    let mut name = String::with_capacity(network.len());
    for (at, byte) in network.bytes().enumerate() {
        let is_plain = byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
        if is_plain || (byte == b'.' && at > 0) {
            name.push(char::from(byte));
        } else {
            name.push_str(&format!("%{byte:02X}"));
        }
    }
    // 255 bytes are the most that file systems take.
    name.truncate(200);
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_of_any_name_has_a_directory_in_its_place() {
        for (network, name) in [
            ("home", "home"),
            ("a.b-c_d", "a.b-c_d"),
            ("../../etc", "%2E.%2F..%2Fetc"),
            (".hidden", "%2Ehidden"),
            ("büro 1", "b%C3%BCro%201"),
        ] {
            assert_eq!(directory_name(network), name);
        }
        assert!(directory_name(&"ü".repeat(128)).len() <= 200);
    }

    #[test]
    fn what_was_settled_is_read_again_also_by_a_version_that_knows_less() {
        let place = tempfile::tempdir().unwrap();
        let directory = NodeDirectory::create(&place.path().join("node")).unwrap();
        assert_eq!(Membership::read(&directory).unwrap(), None);
        assert!(matches!(Membership::require(&directory), Err(AgentError::NoNode { .. })));
        let text = r#"{"network": "home", "node": "n", "name": "laptop", "later": [],
            "servers": [{"url": "https://a.example", "more": 1}]}"#;
        directory.write(FILE, text.as_bytes()).unwrap();
        let read = Membership::require(&directory).unwrap();
        assert_eq!((read.name.as_str(), read.serial, read.servers.len()), ("laptop", 0, 1));
        read.write(&directory).unwrap();
        assert_eq!(Membership::require(&directory).unwrap(), read);
        directory.write(FILE, b"{").unwrap();
        assert!(matches!(Membership::read(&directory), Err(AgentError::Damaged { line: 1, .. })));
    }
}
