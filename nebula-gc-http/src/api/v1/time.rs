//! Times in JSON: RFC 3339, UTC, whole seconds.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

/// Seconds since the Unix epoch, written as `2026-11-21T19:13:00Z`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::api) struct Timestamp(pub(in crate::api) i64);

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        // Beyond jiff's range, the year 9999, there is no such text.
        let time = jiff::Timestamp::from_second(self.0).unwrap_or(jiff::Timestamp::MAX);
        to.collect_str(&time.round(jiff::Unit::Second).unwrap_or(time))
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        text.parse::<jiff::Timestamp>()
            .map(|time| Self(time.as_second()))
            .map_err(|_| D::Error::custom("must be a time, as in 2026-11-21T19:13:00Z"))
    }
}

impl PartialSchema for Timestamp {
    fn schema() -> RefOr<Schema> {
        use utoipa::openapi::{KnownFormat, ObjectBuilder, SchemaFormat, Type};
        ObjectBuilder::new()
            .schema_type(Type::String)
            .format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)))
            .into()
    }
}

impl ToSchema for Timestamp {}
