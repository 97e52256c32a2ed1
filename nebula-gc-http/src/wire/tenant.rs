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
