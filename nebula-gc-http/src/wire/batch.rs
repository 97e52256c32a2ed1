//! One act on many nodes.

use serde::{Deserialize, Serialize};

#[cfg(feature = "server")]
use super::values::Id;
use super::values::not_null;

/// What is to be done to which nodes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct NodesBatchBody {
    /// What is done to each.
    pub action: BatchAction,
    /// To which nodes.
    pub filter: BatchFilter,
    /// Only tell what would be done.
    #[serde(default)]
    #[cfg_attr(feature = "server", schema(required = false, default = false))]
    pub dry_run: bool,
    /// Why, which the nodes are told: needed to revoke and suspend, and for nothing else. 1 to 1000
    /// characters, none of them a control character.
    #[serde(default, deserialize_with = "not_null", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(value_type = String, required = false, min_length = 1, max_length = 1000))]
    pub reason: Option<String>,
    /// For `set`: all their groups.
    #[serde(default, deserialize_with = "not_null", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(value_type = Vec<String>, required = false, max_items = 64))]
    pub groups: Option<Vec<String>>,
    /// For `set`: groups that they are in from now on, beside those that they have.
    #[serde(default, deserialize_with = "not_null", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(value_type = Vec<String>, required = false, max_items = 64))]
    pub add_groups: Option<Vec<String>>,
    /// For `set`: groups that they are no longer in.
    #[serde(default, deserialize_with = "not_null", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(value_type = Vec<String>, required = false, max_items = 64))]
    pub remove_groups: Option<Vec<String>>,
}

/// What is done to each of many nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the words say it")]
pub enum BatchAction {
    Revoke,
    Suspend,
    Reinstate,
    Renew,
    Set,
    Release,
}

/// Which nodes are meant: those for which all that is given holds. At least one must be given.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct BatchFilter {
    /// In this group.
    #[serde(default, deserialize_with = "not_null", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(value_type = String, required = false, min_length = 1, max_length = 253))]
    pub group: Option<String>,
    /// With a name that begins with this.
    #[serde(default, deserialize_with = "not_null", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(value_type = String, required = false, min_length = 1, max_length = 128))]
    pub name_prefix: Option<String>,
    /// Of this user.
    #[serde(default, deserialize_with = "not_null", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(value_type = String, required = false, min_length = 1, max_length = 128))]
    pub user: Option<String>,
}

/// What came of one act on many nodes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct NodesBatch {
    /// Whether nothing was done.
    pub dry_run: bool,
    /// How many it was done to, or would be.
    pub done: usize,
    /// How many were so already.
    pub unchanged: usize,
    /// How many were refused.
    pub refused: usize,
    /// Each of them, in the order in which they came.
    pub nodes: Vec<BatchNode>,
}

/// What came of it for one node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct BatchNode {
    /// The node.
    #[cfg_attr(feature = "server", schema(value_type = Id))]
    pub id: String,
    /// Its name, as it was before.
    pub name: String,
    /// What came of it.
    pub outcome: BatchOutcome,
    /// The problem's code, if it was refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(nullable = false))]
    pub code: Option<String>,
    /// Why it was refused, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(nullable = false))]
    pub detail: Option<String>,
}

/// What came of an act for one node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the words say it")]
pub enum BatchOutcome {
    Done,
    Unchanged,
    Refused,
}
