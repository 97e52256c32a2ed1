//! CAs of a network, and importing hosts.

use serde::{Deserialize, Serialize};

#[cfg(feature = "server")]
use super::values::Id;
use super::values::{Secret, Timestamp, not_null};

/// A CA: a new one by `name`, or for the key of a `signer`, or one with `certificate` and `key`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct NewCa {
    /// Create a CA of this name, whose key is sealed by the server. No other CA that the network
    /// trusts may have the name.
    #[serde(default, deserialize_with = "not_null", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(value_type = String, required = false, min_length = 1, max_length = 128))]
    pub name: Option<String>,
    /// Lifetime of a new CA: a day to 30 years. Default: 10 years. For a new network it may be
    /// given alone: its first CA then has the network's name.
    #[serde(default, deserialize_with = "not_null", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(value_type = i64, required = false, minimum = 86_400, maximum = 946_080_000))]
    pub lifetime_seconds: Option<i64>,
    /// Create a CA for the key of this signer, which the server's settings define.
    #[serde(default, deserialize_with = "not_null", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(value_type = String, required = false))]
    pub signer: Option<String>,
    /// The certificate of an existing CA, as `nebula-cert` creates it, as PEM.
    #[serde(default, deserialize_with = "not_null", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(value_type = String, required = false))]
    pub certificate: Option<String>,
    /// Its private key, as PEM. It is sealed before it is stored, and never returned.
    #[serde(default, deserialize_with = "not_null", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(value_type = String, required = false, write_only))]
    pub key: Option<Secret>,
    /// The passphrase of an encrypted key. Decryption may use as much memory as the server's
    /// setting `ca-key-memory` allows (default: 2 GiB, what `nebula-cert` needs), and four times
    /// that over all passes.
    #[serde(default, deserialize_with = "not_null", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(value_type = String, required = false, write_only))]
    pub passphrase: Option<Secret>,
}

/// The CA that signs for a network now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct ActiveCa {
    /// Its id.
    #[cfg_attr(feature = "server", schema(value_type = Id))]
    pub id: String,
    /// The name of its network.
    pub network: String,
    /// SHA-256, in hexadecimal.
    pub fingerprint: String,
}

/// A CA of a network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct Ca {
    /// Its id.
    #[cfg_attr(feature = "server", schema(value_type = Id))]
    pub id: String,
    /// Its name.
    pub name: String,
    /// `active`: it signs; `trusted`: its certificates are accepted; `retired`: its certificates
    /// are refused.
    pub state: String,
    /// SHA-256, in hexadecimal.
    pub fingerprint: String,
    /// The version of its certificate.
    pub version: u8,
    /// The beginning of its validity.
    pub not_before: Timestamp,
    /// The end of its validity.
    pub not_after: Timestamp,
    /// `valid`, `not_yet_valid`, `ends_soon` (within 60 days, or in the last third of its lifetime
    /// if that is shorter) or `expired`.
    pub standing: String,
    /// The signer that holds its key; null if the server holds it, or did before the CA was
    /// retired.
    #[cfg_attr(feature = "server", schema(required))]
    pub signer: Option<String>,
    /// How many current certificates of nodes it has signed.
    pub certificates: i64,
    /// Its certificate, as PEM.
    pub certificate: String,
    /// When it was created.
    pub created_at: Timestamp,
}

/// How to retire a CA.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct RetireBody {
    /// Retire it even if nodes have certificates of it: they are refused from then on, and each
    /// node gets new ones when it renews. Default: false.
    #[serde(default)]
    pub force: bool,
}

/// Hosts of a running network.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct ImportBody {
    /// Their certificates as PEM. Several certificates of one host have its name, and an address or
    /// the key in common: the newest is its current one.
    #[serde(default, deserialize_with = "not_null", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(value_type = String, required = false))]
    pub certificates: Option<String>,
    /// The fingerprints that the hosts block, one on each line, as in `pki.blocklist`.
    #[serde(default, deserialize_with = "not_null", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(value_type = String, required = false))]
    pub blocklist: Option<String>,
    /// Only report what would happen. Default: false.
    #[serde(default)]
    pub dry_run: bool,
    /// Skip hosts with conflicts. Default: false, which imports nothing if there is any conflict.
    #[serde(default)]
    pub skip_conflicts: bool,
}

/// The outcome of an import, or of a dry run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct ImportReport {
    /// How many hosts were already nodes with these certificates.
    pub present: usize,
    /// How many hosts became nodes, or would.
    pub imported: usize,
    /// The conflicts of the other hosts.
    pub conflicts: Vec<ImportConflict>,
    /// How many fingerprints are newly blocked, or would be.
    pub blocked: usize,
}

/// A conflict that prevents the import of a host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct ImportConflict {
    /// The position of the host's first certificate among all that were sent, from 0. The reason
    /// says which of several certificates is meant.
    pub index: usize,
    /// The host's name.
    pub name: String,
    /// The conflict, for people.
    pub reason: String,
}
