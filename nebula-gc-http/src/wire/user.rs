//! Ending all that a user has.

use serde::{Deserialize, Serialize};

#[cfg(feature = "server")]
use super::values::Id;
use super::values::not_null;

/// How to end what somebody has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct EndUserBody {
    /// What happens to the nodes. A revoked one's public key is refused as well.
    pub action: EndAction,
    /// 1 to 1000 characters, none of them a control character. The nodes are told.
    #[cfg_attr(feature = "server", schema(value_type = String, min_length = 1, max_length = 1000))]
    pub reason: String,
    /// Only tell what would happen. Default: false.
    #[serde(default, deserialize_with = "not_null", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(value_type = bool, required = false))]
    pub dry_run: Option<bool>,
}

/// What happens to nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the words say it")]
pub enum EndAction {
    Suspend,
    Revoke,
}

/// What became of what somebody had.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct EndedUser {
    /// The user.
    pub user: String,
    /// Whether this is only what would happen.
    pub dry_run: bool,
    /// The user's nodes.
    pub nodes: Vec<EndedItem>,
    /// The join tokens for the user's nodes.
    pub join_tokens: Vec<EndedItem>,
    /// The operator keys whose nodes are the user's.
    pub operator_keys: Vec<EndedItem>,
    /// The revisions that keep the nodes out, once all nodes of their networks have applied them.
    pub revisions: Vec<NetworkRevision>,
    /// Whether there may be more than one request ends: repeat it.
    pub more: bool,
}

/// A node, join token or operator key of an ended user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct EndedItem {
    /// Its id.
    #[cfg_attr(feature = "server", schema(value_type = Id))]
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its network's name; absent for operator keys.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(nullable = false))]
    pub network: Option<String>,
    /// `suspended`, `revoked`, `unchanged` if it was so already, or `kept`.
    pub outcome: String,
    /// Why it is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(nullable = false))]
    pub reason: Option<String>,
}

/// A network at a revision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct NetworkRevision {
    /// The network's name.
    pub network: String,
    /// Its revision.
    pub revision: i64,
}
