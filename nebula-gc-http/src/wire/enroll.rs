//! Enrolment: a device becomes a node.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

#[cfg(feature = "server")]
use super::values::Id;
use super::values::{Secret, not_null};
use crate::server_list::{ServerListKey, SignedServerList};

/// A request to enrol a device.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct EnrollmentBody {
    /// The network's name or id. Optional if the credential sees only one network, as a join token
    /// does.
    #[serde(default, deserialize_with = "not_null", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(
        feature = "server",
        schema(value_type = String, required = false, min_length = 1, max_length = 128)
    )]
    pub network: Option<String>,
    /// The node's name in the network: 1 to 253 bytes, no control characters, not `any`.
    #[cfg_attr(feature = "server", schema(min_length = 1, max_length = 253))]
    pub name: String,
    /// The PEM that `nebula-cert keygen` writes, or Base64 or hexadecimal of the raw key.
    pub public_key: String,
    /// The node token, created by the device: 32 to 256 printable ASCII characters, as random as
    /// possible.
    #[cfg_attr(feature = "server", schema(value_type = String, min_length = 32, max_length = 256))]
    pub node_token: Secret,
    /// The token of the device's former node, if that was released: with it the device gets its
    /// addresses back, if the new node may have them.
    #[serde(default, deserialize_with = "not_null", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(
        feature = "server",
        schema(value_type = String, required = false, min_length = 32, max_length = 256)
    )]
    pub former_node_token: Option<Secret>,
    /// The device's own id, if it has one. After a release the device gets its addresses back by
    /// this id with an operator key, or with the same public key, which it must then keep for a
    /// while.
    #[serde(default, deserialize_with = "not_null", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(
        feature = "server",
        schema(value_type = String, required = false, min_length = 1, max_length = 128)
    )]
    pub device: Option<String>,
    /// To whom the node belongs, with an operator key only: 1 to 128 characters. Default: whom the join
    /// token names, or the operator key's user.
    #[serde(default, deserialize_with = "not_null", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(
        feature = "server",
        schema(value_type = String, required = false, min_length = 1, max_length = 128)
    )]
    pub user: Option<String>,
    /// Default: those of the join token.
    #[serde(default, deserialize_with = "not_null", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(
        feature = "server",
        schema(value_type = Vec<String>, required = false, max_items = 64)
    )]
    pub groups: Option<Vec<String>>,
    /// Where a lighthouse is reached.
    #[serde(default, deserialize_with = "not_null", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(value_type = Lighthouse, required = false))]
    pub lighthouse: Option<Lighthouse>,
    /// Whether it is a relay. Default: as the join token says.
    #[serde(default, deserialize_with = "not_null", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(value_type = bool, required = false))]
    pub relay: Option<bool>,
    /// The address that it is to have, or an IPv4 and an IPv6 one with a comma between them; with a join
    /// token, free ones of where that gives any. Default: what the join token names, else any.
    #[serde(default, deserialize_with = "not_null", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(
        feature = "server",
        schema(value_type = String, required = false, min_length = 2, max_length = 64)
    )]
    pub address: Option<String>,
    /// The MTU of its tun interface, in bytes. Default: the network's.
    #[serde(default, deserialize_with = "not_null", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(
        feature = "server",
        schema(value_type = u32, required = false, minimum = 500, maximum = 65535)
    )]
    pub mtu: Option<u32>,
}

/// The endpoint of a lighthouse.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Lighthouse {
    /// `HOST:PORT`, or up to eight of them separated by commas, all of which other nodes try. It listens on
    /// the first one's port.
    pub endpoint: String,
}

/// The answer to an enrolment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct Enrolled {
    /// The node's id.
    #[cfg_attr(feature = "server", schema(value_type = Id))]
    pub node: String,
    /// The network's name.
    pub network: String,
    /// Its name in the network.
    pub name: String,
    /// The device's own id.
    pub device: String,
    /// Its addresses with the prefix length of the network, IPv4 first.
    pub addresses: Vec<String>,
    /// Its certificates as PEM, the older version first.
    pub certificates: Vec<String>,
    /// The network's revision that the bundle is of.
    pub revision: i64,
    /// The node's generation that the bundle is of.
    pub generation: i64,
    /// What it starts with.
    pub bundle: Bundle,
    /// The servers that the node may ask, signed by the store's key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(value_type = SignedServerList, required))]
    pub servers: Option<SignedServerList>,
    /// The store's public key, in Base64 for URLs. The node keeps it, and believes no list of servers
    /// that another key signed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(value_type = String, required))]
    pub servers_key: Option<ServerListKey>,
}

/// What a node needs to start, except its private key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct Bundle {
    /// SHA-256 of the files; equal for equal bundles.
    pub digest: String,
    /// Text by file name.
    pub files: BTreeMap<String, String>,
    /// What the node keeps beside them, and sends with its reports: it proves later what it was given.
    #[serde(default)]
    #[cfg_attr(feature = "server", schema(required = true))]
    pub receipt: String,
}
