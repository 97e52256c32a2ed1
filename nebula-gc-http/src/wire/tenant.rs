//! Tenants: the owners of networks and operator keys.

use serde::{Deserialize, Serialize};

#[cfg(feature = "server")]
use super::values::Id;
use super::values::Timestamp;

/// An owner of networks and operator keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct Tenant {
    /// Its id.
    #[cfg_attr(feature = "server", schema(value_type = Id))]
    pub id: String,
    /// Unique.
    pub name: String,
    /// When it was created.
    pub created_at: Timestamp,
}

/// A tenant that was deleted, or would be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct DeletedTenant {
    /// Its id.
    #[cfg_attr(feature = "server", schema(value_type = Id))]
    pub id: String,
    /// What it was called; another may have the name.
    pub name: String,
    /// Whether this is only what would happen.
    pub dry_run: bool,
    /// How many operator keys are worth nothing any more.
    pub operator_keys: u64,
}

/// A new tenant.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct TenantBody {
    /// 1 to 128 characters, none of them a control character.
    #[cfg_attr(feature = "server", schema(value_type = String, min_length = 1, max_length = 128))]
    pub name: String,
}

/// Changes to a tenant.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct TenantPatchBody {
    /// 1 to 128 characters, none of them a control character.
    #[cfg_attr(feature = "server", schema(value_type = String, min_length = 1, max_length = 128))]
    pub name: String,
}

/// Another name for something whose id stays.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct RenameBody {
    /// 1 to 128 characters, none of them a control character.
    #[cfg_attr(feature = "server", schema(value_type = String, min_length = 1, max_length = 128))]
    pub name: String,
}
