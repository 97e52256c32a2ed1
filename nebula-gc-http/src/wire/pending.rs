//! Devices that wait for an operator's approval.

use serde::{Deserialize, Serialize};

#[cfg(feature = "server")]
use super::values::Id;
use super::values::{Timestamp, not_null};

/// The answer to an enrolment that waits for an operator's approval. Ask again with the same request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct PendingEnrollment {
    /// The pending device's id.
    #[cfg_attr(feature = "server", schema(value_type = Id))]
    pub pending: String,
    /// SHA-256 of the raw bytes of its public key, as 16 groups of four hexadecimal digits: what the device
    /// shows, and the operator compares.
    pub key_fingerprint: String,
    /// Until when it waits.
    pub expires_at: Timestamp,
}

/// A device that wants to join a network, and holds neither a name nor an address yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct PendingDevice {
    /// Its id: another one where the device asks for something else.
    #[cfg_attr(feature = "server", schema(value_type = Id))]
    pub id: String,
    /// The name that it asks for.
    pub name: String,
    /// What an operator said of it.
    pub state: PendingState,
    /// SHA-256 of the raw bytes of its public key, as 16 groups of four hexadecimal digits: the device shows
    /// the same.
    pub key_fingerprint: String,
    /// The device's own id, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(nullable = false))]
    pub device: Option<String>,
    /// The groups that it would have.
    pub groups: Vec<String>,
    /// Where it would be reached as a lighthouse.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(nullable = false))]
    pub lighthouse: Option<String>,
    /// Whether it would be a relay.
    pub relay: bool,
    /// The MTU of its tun interface, in bytes, if it is not the network's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(nullable = false))]
    pub mtu: Option<u32>,
    /// The address that it asks for, or an IPv4 and an IPv6 one with a comma between them. Nothing is kept
    /// for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(nullable = false))]
    pub address: Option<String>,
    /// To whom it would belong.
    pub user: String,
    /// The id of its join token.
    #[cfg_attr(feature = "server", schema(value_type = Id))]
    pub join_token: String,
    /// The name of its join token.
    pub join_token_name: String,
    /// The address that it asked from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(nullable = false))]
    pub source: Option<String>,
    /// When it asked first.
    pub asked_at: Timestamp,
    /// When it is forgotten, unless it has joined.
    pub expires_at: Timestamp,
    /// Who approved or refused it, as events name it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(nullable = false))]
    pub decided_by: Option<String>,
    /// Why it was refused, which the device is told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(nullable = false))]
    pub reason: Option<String>,
}

/// What an operator said of a pending device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub enum PendingState {
    /// Nothing yet.
    Pending,
    /// It may join, once.
    Approved,
    /// It may not join with its token.
    Refused,
}

/// Which key is approved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct ApprovalBody {
    /// The key's fingerprint as the device shows it, or at least its first four groups: 16 hexadecimal
    /// digits.
    #[cfg_attr(feature = "server", schema(min_length = 1, max_length = 128))]
    pub key_fingerprint: String,
}

/// Why a device is refused.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct RefusalBody {
    /// What the device is told: 1 to 1000 characters, none of them a control character. Default: nothing.
    #[serde(default, deserialize_with = "not_null", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(value_type = String, required = false, min_length = 1, max_length = 1000))]
    pub reason: Option<String>,
}
