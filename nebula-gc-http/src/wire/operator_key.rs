//! Operator keys.

use serde::{Deserialize, Serialize};

#[cfg(feature = "server")]
use super::values::Id;
use super::values::{Secret, Timestamp, not_null};

/// What an operator key may do within its scope.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Everything, other operator keys included.
    Owner,
    /// Everything but tenants and operator keys.
    Operator,
    /// Look.
    Viewer,
}

/// Where an operator key applies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// Everywhere.
    Root,
    /// In the networks of the tenant with this id.
    #[cfg_attr(feature = "server", schema(value_type = Id))]
    Tenant(String),
    /// In the network with this id.
    #[cfg_attr(feature = "server", schema(value_type = Id))]
    Network(String),
}

/// Where a new operator key applies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum ScopeBody {
    /// Everywhere.
    Root,
    /// In the networks of the tenant with this id.
    #[cfg_attr(feature = "server", schema(value_type = Id))]
    Tenant(String),
    /// In the network with this name or id.
    #[cfg_attr(feature = "server", schema(value_type = String))]
    Network(String),
}

/// An operator key without its secret.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct OperatorKey {
    /// Its id.
    #[cfg_attr(feature = "server", schema(value_type = Id))]
    pub id: String,
    /// Its name.
    pub name: String,
    /// To whom nodes belong that it lets in: the name that it was created with.
    #[serde(default)]
    pub user: String,
    /// What it may do.
    pub role: Role,
    /// Where it applies.
    pub scope: Scope,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it expires.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(value_type = Timestamp, required = false))]
    pub expires_at: Option<Timestamp>,
    /// When it was revoked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(value_type = Timestamp, required = false))]
    pub revoked_at: Option<Timestamp>,
    /// Shown once, when it is created.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(value_type = Option<String>, nullable = false))]
    pub secret: Option<Secret>,
}

/// A new operator key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct NewOperatorKeyBody {
    /// 1 to 128 characters, none of them a control character.
    #[cfg_attr(feature = "server", schema(value_type = String, min_length = 1, max_length = 128))]
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// Where it applies: everywhere, in the networks of one tenant, or in one network.
    pub scope: ScopeBody,
    /// When it expires. Default: never.
    #[serde(default, deserialize_with = "not_null", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(value_type = Timestamp, required = false))]
    pub expires_at: Option<Timestamp>,
}
