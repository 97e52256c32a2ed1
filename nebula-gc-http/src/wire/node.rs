//! A node, as it sees itself.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

#[cfg(feature = "server")]
use super::values::Id;
use super::values::{Secret, Timestamp, not_null};

/// A node, as it sees itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct OwnNode {
    /// The node's id.
    #[cfg_attr(feature = "server", schema(value_type = Id))]
    pub id: String,
    /// The network's name.
    pub network: String,
    /// Its name in the network.
    pub name: String,
    /// Always `active`: requests of suspended or revoked nodes are answered with a problem.
    pub state: String,
    /// Its addresses on the overlay, IPv4 before IPv6.
    #[cfg_attr(feature = "server", schema(value_type = Vec<String>))]
    pub addresses: Vec<IpAddr>,
    /// Its groups.
    pub groups: Vec<String>,
    /// Where a lighthouse is reached: `HOST:PORT`, several separated by commas.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(nullable = false))]
    pub endpoint: Option<String>,
    /// Whether it is a relay.
    pub relay: bool,
    /// The MTU of its tun interface, in bytes, if it differs from the network's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(nullable = false))]
    pub mtu: Option<u32>,
    /// The certificates it has now, the older version first.
    pub certificates: Vec<OwnCertificate>,
    /// When it should renew: after two thirds of the lifetime, plus up to a tenth of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(nullable = false))]
    pub renew_at: Option<Timestamp>,
    /// The network's revision that its bundle is of.
    pub revision: i64,
    /// The node's generation that its bundle is of.
    pub generation: i64,
    /// What it reported last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(nullable = false))]
    pub applied: Option<Desired>,
}

/// A certificate of a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct OwnCertificate {
    /// The version of its format, 1 or 2.
    pub version: u8,
    /// SHA-256 of the certificate, in hexadecimal.
    pub fingerprint: String,
    /// The beginning of its validity.
    pub not_before: Timestamp,
    /// The end of its validity.
    pub not_after: Timestamp,
}

/// The counters of a bundle.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct Desired {
    /// The network's counter.
    #[cfg_attr(feature = "server", schema(minimum = 0))]
    pub revision: i64,
    /// The node's own counter.
    #[cfg_attr(feature = "server", schema(minimum = 0))]
    pub generation: i64,
}

/// A request for new certificates.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Renewal {
    /// Another public key, as for enrolling. Default: the present one.
    #[serde(default, deserialize_with = "not_null", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(value_type = String, required = false))]
    pub public_key: Option<String>,
}

/// The certificates after a renewal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct Renewed {
    /// Whether new certificates were issued by this request.
    pub renewed: bool,
    /// The node's certificates as PEM, the older version first.
    pub certificates: Vec<String>,
    /// When to renew them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(nullable = false))]
    pub renew_at: Option<Timestamp>,
    /// The network's revision that its bundle is of.
    pub revision: i64,
    /// The node's generation that its bundle is of.
    pub generation: i64,
}

/// What a node has applied, and how it is. Fields that this server does not know are ignored: its agent may be
/// newer.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// The network's revision.
    #[cfg_attr(feature = "server", schema(minimum = 0))]
    pub revision: i64,
    /// The node's generation.
    #[cfg_attr(feature = "server", schema(minimum = 0))]
    pub generation: i64,
    /// The receipt that came with the bundle that it has applied, at most 512 bytes.
    #[serde(default, deserialize_with = "not_null", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(value_type = String, required = false, max_length = 512))]
    pub receipt: Option<String>,
    /// The release of its Nebula, at most 64 bytes.
    #[serde(default, deserialize_with = "not_null", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(value_type = String, required = false, max_length = 64))]
    pub nebula: Option<String>,
    /// The release of its agent, at most 64 bytes.
    #[serde(default, deserialize_with = "not_null", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(value_type = String, required = false, max_length = 64))]
    pub agent: Option<String>,
    /// Its system, at most 64 bytes.
    #[serde(default, deserialize_with = "not_null", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(value_type = String, required = false, max_length = 64))]
    pub platform: Option<String>,
    /// The keys of `nebula.yml` that the machine sets otherwise than the bundle: at most 64, of at most
    /// 128 bytes each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "server", schema(required = false, max_items = 64))]
    pub overridden: Vec<String>,
    /// How long its Nebula has been running, in seconds.
    #[serde(default, deserialize_with = "count", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(value_type = u64, required = false, minimum = 0))]
    pub uptime_seconds: Option<u64>,
    /// How many tunnels are up, as far as its Nebula has said: it does not notice that the peer of an idle one
    /// is gone.
    #[serde(default, deserialize_with = "count", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(value_type = u64, required = false, minimum = 0))]
    pub tunnels: Option<u64>,
    /// How many bytes came in over the overlay since its Nebula started.
    #[serde(default, deserialize_with = "count", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(value_type = u64, required = false, minimum = 0))]
    pub bytes_in: Option<u64>,
    /// How many bytes went out.
    #[serde(default, deserialize_with = "count", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(value_type = u64, required = false, minimum = 0))]
    pub bytes_out: Option<u64>,
    /// How many seconds its clock is ahead of the server's.
    #[serde(default, deserialize_with = "not_null", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(value_type = i64, required = false))]
    pub clock_skew_seconds: Option<i64>,
    /// Whether its Nebula must be restarted for what it was given. Default: false; as all that a node tells
    /// of itself, it stays as it was where a report has nothing but counters.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    #[cfg_attr(feature = "server", schema(required = false))]
    pub restart_needed: bool,
    /// What is wrong, in a sentence of at most 512 bytes.
    #[serde(default, deserialize_with = "not_null", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(value_type = String, required = false, max_length = 512))]
    pub problem: Option<String>,
}

/// A new node token.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct NodeToken {
    /// The new token, created by the node: 32 to 256 printable ASCII characters, as random as
    /// possible.
    #[cfg_attr(feature = "server", schema(value_type = String, min_length = 32, max_length = 256))]
    pub node_token: Secret,
}

/// A number that every reader of JSON with 64-bit integers takes.
fn count<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<u64>, D::Error> {
    let count = u64::deserialize(from)?;
    match i64::try_from(count) {
        Ok(_) => Ok(Some(count)),
        Err(_) => Err(serde::de::Error::custom("must be at most 9223372036854775807")),
    }
}
