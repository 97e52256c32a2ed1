//! Types of values in bodies and paths.

use ipnet::IpNet;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;
use utoipa::openapi::schema::SchemaType;
use utoipa::openapi::{KnownFormat, ObjectBuilder, RefOr, Schema, SchemaFormat, Type};
use utoipa::{PartialSchema, ToSchema};
use zeroize::Zeroizing;

use super::problem::Problem;
use crate::service::Addresses;

/// A text that is wiped from memory, and can't be printed.
pub(in crate::api) struct Secret(pub(in crate::api) Zeroizing<String>);

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from).map(|text| Self(Zeroizing::new(text)))
    }
}

/// Refuses `null` for an optional field; use it with `default`.
pub(in crate::api) fn not_null<'de, D, T>(from: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    T::deserialize(from).map(Some)
}

/// Distinguishes `null` from an omitted field; use it with `default`.
#[allow(dead_code, reason = "for changes that can take something away")]
pub(in crate::api) fn given<'de, D, T>(from: D) -> Result<Option<Option<T>>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    Option::deserialize(from).map(Some)
}

/// Refuses negative numbers; use it with `default`.
pub(in crate::api) fn not_negative<'de, D>(from: D) -> Result<Option<i64>, D::Error>
where
    D: Deserializer<'de>,
{
    match i64::deserialize(from)? {
        number if number < 0 => Err(D::Error::custom("must not be negative")),
        number => Ok(Some(number)),
    }
}

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
        ObjectBuilder::new()
            .schema_type(Type::String)
            .format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)))
            .into()
    }
}

impl ToSchema for Timestamp {}

/// Read-only fields in a change: a client may send back what an answer showed, unchanged.
///
/// Holds the read-only fields that were given.
pub(super) struct Shown(Vec<(&'static str, Value)>);

impl Shown {
    pub(super) fn new<const N: usize>(fields: [(&'static str, Option<Value>); N]) -> Self {
        let given = |(name, value): (&'static str, Option<Value>)| Some((name, value?));
        Self(fields.into_iter().filter_map(given).collect())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Refuses fields that differ from the resource.
    pub(super) fn check(&self, view: &impl Serialize) -> Result<(), Problem> {
        let view = serde_json::to_value(view).unwrap_or_default();
        match self.0.iter().find(|(name, value)| view.get(*name) != Some(value)) {
            None => Ok(()),
            Some((name, _)) => {
                let reason = "can't be changed here; leave it out, or send it as it is";
                Err(Problem::invalid(*name, reason))
            }
        }
    }
}

/// The id of a network, pool or block.
pub(in crate::api) struct Uuid(pub(in crate::api) [u8; 16]);

impl<'de> Deserialize<'de> for Uuid {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        crate::id::read_uuid(from).map(Self)
    }
}

/// A prefix without bits after its length.
pub(in crate::api) struct Prefix(pub(in crate::api) IpNet);

impl<'de> Deserialize<'de> for Prefix {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        let form = "must be a prefix such as 10.99.1.0/24 or fd00:99::/64";
        let prefix: IpNet = text.parse().map_err(|_| D::Error::custom(form))?;
        match prefix.trunc() {
            whole if whole == prefix => Ok(Self(prefix)),
            whole => Err(D::Error::custom(format!(
                "has bits set after its length; did you mean {whole}?"
            ))),
        }
    }
}

/// Some addresses: a prefix, a range, or one.
pub(in crate::api) struct Range(pub(in crate::api) Addresses);

impl<'de> Deserialize<'de> for Range {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        text.parse().map(Self).map_err(D::Error::custom)
    }
}

/// A count of addresses: a number, or a string of digits above 2⁵³, where numbers of JSON lose
/// digits in many clients.
pub(in crate::api) struct Count(pub(in crate::api) u128);

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

impl PartialSchema for Count {
    fn schema() -> RefOr<Schema> {
        let either = SchemaType::from_iter([Type::Integer, Type::String]);
        ObjectBuilder::new().schema_type(either).minimum(Some(0)).pattern(Some("^[0-9]+$")).into()
    }
}

impl ToSchema for Count {}

/// How an id is described.
pub(in crate::api) struct Id;

impl PartialSchema for Id {
    fn schema() -> RefOr<Schema> {
        let uuid = SchemaFormat::Custom("uuid".to_owned());
        ObjectBuilder::new().schema_type(Type::String).format(Some(uuid)).into()
    }
}

impl ToSchema for Id {}

/// Percent-encodes a text as one segment of a path (RFC 3986, 3.3).
pub(in crate::api) fn segment(text: impl std::fmt::Display) -> String {
    let mut segment = String::new();
    for byte in text.to_string().bytes() {
        match byte {
            b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' | b'-' | b'.' | b'_' | b'~' => {
                segment.push(char::from(byte));
            }
            _ => segment.push_str(&format!("%{byte:02X}")),
        }
    }
    segment
}
