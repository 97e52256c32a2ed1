//! Lists in pages.

use serde::{Deserialize, Serialize};

/// A page of a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct Page<T> {
    /// The page's items.
    #[cfg_attr(feature = "server", schema(schema_with = items::<T>))]
    pub items: Vec<T>,
    /// The `cursor` of the next page; absent on the last. A page may have fewer items than
    /// requested, or none, and still be followed by others: a search through many items is split
    /// over several pages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(nullable = false))]
    pub next: Option<String>,
}

/// By name: described anew, they would be a second type of each to clients made from the
/// description.
#[cfg(feature = "server")]
fn items<T: utoipa::ToSchema>() -> utoipa::openapi::Array {
    utoipa::openapi::Array::new(utoipa::openapi::Ref::from_schema_name(T::name()))
}
