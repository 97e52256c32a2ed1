//! The servers that nodes are told.

use serde::{Deserialize, Serialize};

use super::values::not_null;
use crate::server_list::{Pin, SignedServerList};

/// The servers that nodes are told, and the key that signs the list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct Servers {
    /// The list.
    #[serde(flatten)]
    pub list: SignedServerList,
    /// The public key that verifies the signature, in Base64 for URLs. Nodes keep it from when they
    /// join.
    pub key: String,
}

/// The servers to tell nodes.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ServersBody {
    /// In the order in which nodes try them: 1 to 16.
    #[cfg_attr(feature = "server", schema(min_items = 1, max_items = 16))]
    pub servers: Vec<ServerBody>,
}

/// A server to tell nodes.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct ServerBody {
    /// `https://host`, or `http://host:port` where nodes may use plain HTTP; no slash at the end.
    #[cfg_attr(feature = "server", schema(max_length = 512))]
    pub url: String,
    /// The pin of its TLS key: SHA-256 of the SubjectPublicKeyInfo, in Base64 or hexadecimal. Default: its
    /// certificate must be trusted by the node's system.
    #[serde(default, deserialize_with = "not_null", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(value_type = String, required = false))]
    pub pin: Option<Pin>,
    /// The pin of the TLS key that it will have next: nodes accept both.
    #[serde(default, deserialize_with = "not_null", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(value_type = String, required = false))]
    pub next_pin: Option<Pin>,
}
