//! Small things that bodies and paths are made of.

use serde::{Deserialize, Deserializer};
use utoipa::openapi::{ObjectBuilder, RefOr, Schema, SchemaFormat, Type};
use utoipa::{PartialSchema, ToSchema};

/// Refuses `null` where leaving the field out means something: use it with `default`.
pub(in crate::api) fn not_null<'de, D, T>(from: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    T::deserialize(from).map(Some)
}

/// Tells `null` from a field that is left out: use it with `default`.
#[allow(dead_code, reason = "for changes that can take something away")]
pub(in crate::api) fn given<'de, D, T>(from: D) -> Result<Option<Option<T>>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    Option::deserialize(from).map(Some)
}

/// How an id is described.
pub(in crate::api) struct Id;

impl PartialSchema for Id {
    fn schema() -> RefOr<Schema> {
        let uuid = SchemaFormat::Custom("uuid".to_owned());
        ObjectBuilder::new().schema_type(Type::String).format(Some(uuid)).into()
    }
}

impl ToSchema for Id {}
