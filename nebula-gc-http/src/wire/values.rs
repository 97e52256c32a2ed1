//! Types of values in bodies and answers.

use std::fmt;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use zeroize::Zeroizing;

/// A text that is wiped from memory, and can't be printed. It is written into requests alone.
#[derive(Clone, Default)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// The plaintext.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    #[cfg(feature = "server")]
    pub(crate) fn into_text(self) -> Zeroizing<String> {
        self.0
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(Zeroizing::new(text))
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        text.to_owned().into()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from).map(Self::from)
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&self.0)
    }
}

/// Refuses `null` for an optional field; use it with `default`.
pub(crate) fn not_null<'de, D, T>(from: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    T::deserialize(from).map(Some)
}

/// Distinguishes `null` from an omitted field; use it with `default`.
pub(crate) fn given<'de, D, T>(from: D) -> Result<Option<Option<T>>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    Option::deserialize(from).map(Some)
}

/// Seconds since the Unix epoch, written as `2026-11-21T19:13:00Z`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp(pub i64);

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Beyond jiff's range, the year 9999, there is no such text.
        let time = jiff::Timestamp::from_second(self.0).unwrap_or(jiff::Timestamp::MAX);
        time.round(jiff::Unit::Second).unwrap_or(time).fmt(f)
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
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

/// A count of addresses: in JSON a number, or a string of digits above 2⁵³, where numbers lose digits in
/// many clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Count(pub u128);

/// Above it, JSON numbers lose digits in many clients.
const EXACT_IN_JSON: u128 = 1 << 53;

impl Serialize for Count {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match u64::try_from(self.0) {
            Ok(number) if self.0 <= EXACT_IN_JSON => to.serialize_u64(number),
            _ => to.collect_str(&self.0),
        }
    }
}

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Form {
            Number(u64),
            Text(String),
        }
        match Form::deserialize(from)? {
            Form::Number(number) => Ok(Self(number.into())),
            Form::Text(text) => {
                text.parse().map(Self).map_err(|_| D::Error::custom("must be a count"))
            }
        }
    }
}

#[cfg(feature = "server")]
mod described {
    use utoipa::openapi::schema::SchemaType;
    use utoipa::openapi::{KnownFormat, ObjectBuilder, RefOr, Schema, SchemaFormat, Type};
    use utoipa::{PartialSchema, ToSchema};

    use super::{Count, Timestamp};

    impl PartialSchema for Count {
        fn schema() -> RefOr<Schema> {
            let either = SchemaType::from_iter([Type::Integer, Type::String]);
            let count = ObjectBuilder::new().schema_type(either).minimum(Some(0));
            count.pattern(Some("^[0-9]+$")).into()
        }
    }

    impl ToSchema for Count {}

    impl PartialSchema for Timestamp {
        fn schema() -> RefOr<Schema> {
            ObjectBuilder::new()
                .schema_type(Type::String)
                .format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)))
                .into()
        }
    }

    impl ToSchema for Timestamp {}

    /// How an id is described.
    pub(crate) struct Id;

    impl PartialSchema for Id {
        fn schema() -> RefOr<Schema> {
            let uuid = SchemaFormat::Custom("uuid".to_owned());
            ObjectBuilder::new().schema_type(Type::String).format(Some(uuid)).into()
        }
    }

    impl ToSchema for Id {}
}

#[cfg(feature = "server")]
pub(crate) use self::described::Id;
