//! Join tokens.

use serde::{Deserialize, Serialize};

#[cfg(feature = "server")]
use super::values::Id;
use super::values::{Secret, Timestamp, not_null};

/// A join token, without its secret.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct JoinToken {
    /// Its id.
    #[cfg_attr(feature = "server", schema(value_type = Id))]
    pub id: String,
    /// Its name.
    pub name: String,
    /// How many nodes may join with it.
    pub uses: i64,
    /// How many nodes have joined with it.
    pub used: i64,
    /// When it expires.
    pub expires_at: Timestamp,
    /// A pattern that names of nodes must match; `*` stands for any characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(nullable = false))]
    pub name_pattern: Option<String>,
    /// The groups of nodes that join with it.
    pub groups: Vec<String>,
    /// Whether nodes join as relays.
    pub relay: bool,
    /// Whether nodes may join as lighthouses.
    pub lighthouse: bool,
    /// The pool or block that nodes get their addresses from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(value_type = Id, required = false))]
    pub pool: Option<String>,
    /// The address that its one node gets, or an IPv4 and an IPv6 one with a comma between them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(nullable = false))]
    pub address: Option<String>,
    /// To whom nodes that join with it belong; empty for a token from before there were users.
    #[serde(default)]
    #[cfg_attr(feature = "server", schema(required = true))]
    pub user: String,
    /// The only device id that a node may join under, and the one of a device that names none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(nullable = false))]
    pub device: Option<String>,
    /// After how long a silence nodes that join with it are released; absent: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(nullable = false))]
    pub ephemeral_seconds: Option<i64>,
    /// Whether an operator has to approve each device that joins.
    #[serde(default)]
    #[cfg_attr(feature = "server", schema(required = true))]
    pub approval: bool,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it was revoked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(value_type = Timestamp, required = false))]
    pub revoked_at: Option<Timestamp>,
    /// Shown once, when it is created.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(value_type = Option<String>, nullable = false))]
    pub secret: Option<Secret>,
    /// Shown once: the server's URL, the secret, the pin of the server's certificate (SHA-256 of its
    /// public key, base64url) where the URL is that of the server's own TLS, and the network's curve.
    /// The secret follows the `#`, which browsers don't send. Absent if the server does not know the
    /// URL that devices use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(value_type = Option<String>, nullable = false))]
    pub link: Option<Secret>,
    /// The link as a QR code: a PNG in Base64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(value_type = Option<String>, nullable = false))]
    pub qr_png: Option<Secret>,
    /// Shown once: why there is no link, or what is insecure about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(nullable = false))]
    pub warning: Option<String>,
}

/// A new join token.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct NewJoinTokenBody {
    /// 1 to 128 characters, none of them a control character.
    #[cfg_attr(feature = "server", schema(value_type = String, min_length = 1, max_length = 128))]
    pub name: String,
    /// How many nodes may join with it. Default: 1.
    #[serde(default, deserialize_with = "not_null", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(value_type = i64, required = false, minimum = 1, maximum = 1_000_000))]
    pub uses: Option<i64>,
    /// At most 365 days from now. Either this or `expiresInSeconds`. Default: a day from now.
    #[serde(default, deserialize_with = "not_null", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(value_type = Timestamp, required = false))]
    pub expires_at: Option<Timestamp>,
    /// How long it can be used from now on. Either this or `expiresAt`.
    #[serde(default, deserialize_with = "not_null", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(value_type = i64, required = false, minimum = 1, maximum = 31_536_000))]
    pub expires_in_seconds: Option<i64>,
    /// A pattern that names of nodes must match; `*` stands for any characters. Default: any name.
    #[serde(default, deserialize_with = "not_null", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(value_type = String, required = false, min_length = 1, max_length = 253))]
    pub name_pattern: Option<String>,
    /// The groups of nodes that join with it. Default: none.
    #[serde(default, deserialize_with = "not_null", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(value_type = Vec<String>, required = false, max_items = 64))]
    pub groups: Option<Vec<String>>,
    /// Whether nodes join as relays. Default: false.
    #[serde(default, deserialize_with = "not_null", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(value_type = bool, required = false))]
    pub relay: Option<bool>,
    /// Whether nodes may join as lighthouses. Default: false.
    #[serde(default, deserialize_with = "not_null", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(value_type = bool, required = false))]
    pub lighthouse: Option<bool>,
    /// The pool or block that nodes get their addresses from.
    #[serde(default, deserialize_with = "not_null", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(value_type = Id, required = false))]
    pub pool: Option<String>,
    /// The address that its node gets, or an IPv4 and an IPv6 one with a comma between them; `uses` is 1
    /// then. Default: any.
    #[serde(default, deserialize_with = "not_null", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(
        feature = "server",
        schema(value_type = String, required = false, min_length = 2, max_length = 64)
    )]
    pub address: Option<String>,
    /// To whom nodes that join with it belong: 1 to 128 characters. Default: the user of the operator key
    /// that makes the token.
    #[serde(default, deserialize_with = "not_null", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(value_type = String, required = false, min_length = 1, max_length = 128))]
    pub user: Option<String>,
    /// The only device id that a node may join under, and the one of a device that names none: 1 to 128
    /// characters. Default: any.
    #[serde(default, deserialize_with = "not_null", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(value_type = String, required = false, min_length = 1, max_length = 128))]
    pub device: Option<String>,
    /// Nodes that join with it are released when they have been silent for so long: 15 minutes to 10 years.
    /// Default: never.
    #[serde(default, deserialize_with = "not_null", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(value_type = i64, required = false, minimum = 900, maximum = 315_360_000))]
    pub ephemeral_seconds: Option<i64>,
    /// Whether each device that joins waits until an operator has approved it. Default: false.
    #[serde(default, deserialize_with = "not_null", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(value_type = bool, required = false))]
    pub approval: Option<bool>,
}
