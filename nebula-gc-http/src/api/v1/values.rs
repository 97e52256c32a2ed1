//! Types of values in bodies and paths.

use std::fmt;
use std::marker::PhantomData;

use ipnet::IpNet;
use serde::de::value::{Error as PlainError, MapAccessDeserializer};
use serde::de::{
    DeserializeOwned, DeserializeSeed, Error as _, IgnoredAny, IntoDeserializer, MapAccess, Visitor,
};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use super::problem::Problem;
use crate::api::json;
use crate::service::{Addresses, ReservationRef};

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

/// What of a resource a change can't change.
pub(super) trait ReadOnly {
    /// Fields that must be as they are, where they are given.
    const SHOWN: &'static [&'static str];
    /// Fields that change by themselves, which are not compared.
    const MOVING: &'static [&'static str] = &[];
}

/// A change, with read-only fields: a client may send back what an answer showed, unchanged.
pub(super) struct Editing<T> {
    pub(super) body: T,
    pub(super) shown: Shown,
}

impl<'de, T: ReadOnly + Deserialize<'de>> Deserialize<'de> for Editing<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Whole<T>(PhantomData<T>);

        impl<'de, T: ReadOnly + Deserialize<'de>> Visitor<'de> for Whole<T> {
            type Value = Editing<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Editing<T>, A::Error> {
                let mut shown = vec![];
                let rest = Rest { map, read_only: T::SHOWN, moving: T::MOVING, shown: &mut shown };
                let body = T::deserialize(MapAccessDeserializer::new(rest))?;
                Ok(Editing { body, shown: Shown(shown) })
            }
        }

        from.deserialize_map(Whole(PhantomData))
    }
}

/// The fields of a change without the read-only ones, which are put aside.
struct Rest<'a, A> {
    map: A,
    read_only: &'static [&'static str],
    moving: &'static [&'static str],
    shown: &'a mut Vec<(&'static str, Value)>,
}

/// A field's name: a read-only one's, or what the type makes of it.
enum Key<K, S> {
    ReadOnly(&'static str, S),
    Moving(S),
    Of(K),
}

/// Reads a name; the seed is given back where it was not needed.
struct KeySeed<S> {
    seed: S,
    read_only: &'static [&'static str],
    moving: &'static [&'static str],
}

impl<'de, S: DeserializeSeed<'de>> DeserializeSeed<'de> for KeySeed<S> {
    type Value = Key<S::Value, S>;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Self::Value, D::Error> {
        let name = String::deserialize(from)?;
        let among = |names: &[&'static str]| names.iter().find(|it| **it == name).copied();
        if let Some(name) = among(self.read_only) {
            return Ok(Key::ReadOnly(name, self.seed));
        }
        if among(self.moving).is_some() {
            return Ok(Key::Moving(self.seed));
        }
        self.seed.deserialize(name.into_deserializer()).map(Key::Of)
    }
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Rest<'_, A> {
    type Error = A::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        mut seed: K,
    ) -> Result<Option<K::Value>, A::Error> {
        let (read_only, moving) = (self.read_only, self.moving);
        loop {
            match self.map.next_key_seed(KeySeed { seed, read_only, moving })? {
                None => return Ok(None),
                Some(Key::Of(key)) => return Ok(Some(key)),
                Some(Key::ReadOnly(name, unused)) => {
                    // `null` counts as left out.
                    if let Some(value) = self.map.next_value()? {
                        self.shown.push((name, value));
                    }
                    seed = unused;
                }
                Some(Key::Moving(unused)) => {
                    self.map.next_value::<IgnoredAny>()?;
                    seed = unused;
                }
            }
        }
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, A::Error> {
        self.map.next_value_seed(seed)
    }
}

/// The read-only fields that were given.
pub(super) struct Shown(Vec<(&'static str, Value)>);

impl Shown {
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

/// Reads a field's value into the type that checks it.
pub(super) fn read<'de, T, V>(field: &str, value: V) -> Result<T, Problem>
where
    T: Deserialize<'de>,
    V: IntoDeserializer<'de, PlainError>,
{
    T::deserialize(value.into_deserializer())
        .map_err(|error| Problem::invalid(field, json::plain(&error.to_string())))
}

/// As [`read`], for a field that may be left out.
pub(super) fn read_some<'de, T, V>(field: &str, value: Option<V>) -> Result<Option<T>, Problem>
where
    T: Deserialize<'de>,
    V: IntoDeserializer<'de, PlainError>,
{
    value.map(|value| read(field, value)).transpose()
}

/// As [`read`], for each item of a list.
pub(super) fn read_each<T: DeserializeOwned>(
    field: &str,
    texts: Vec<String>,
) -> Result<Vec<T>, Problem> {
    let each = texts.into_iter().enumerate();
    each.map(|(index, text)| read(&format!("{field}[{index}]"), text)).collect()
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

/// Reservations, by their addresses or their holder.
pub(super) struct Reserved(pub(super) ReservationRef);

impl<'de> Deserialize<'de> for Reserved {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        text.parse().map(Self).map_err(D::Error::custom)
    }
}
