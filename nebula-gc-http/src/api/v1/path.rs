//! Reads the parameters of a path, so that an error names the parameter.

use axum::extract::rejection::RawPathParamsRejection;
use axum::extract::{FromRequestParts, RawPathParams};
use axum::http::request::Parts;
use serde::de::value::{Error, MapDeserializer, SeqDeserializer};
use serde::de::{DeserializeOwned, Deserializer, IntoDeserializer, Visitor};
use serde::forward_to_deserialize_any;
use serde_path_to_error::Segment;

use super::problem::Problem;

/// Reads them into a text or number, a tuple in their order, or a struct with their names.
pub(super) async fn read<P: DeserializeOwned>(parts: &mut Parts) -> Result<P, Problem> {
    let raw = RawPathParams::from_request_parts(parts, &()).await.map_err(unreadable)?;
    let parameters: Vec<(&str, &str)> = raw.iter().collect();
    serde_path_to_error::deserialize(Parameters(&parameters)).map_err(|error| {
        let name = match error.path().iter().next() {
            Some(Segment::Seq { index }) => parameters.get(*index).map(|(name, _)| *name),
            Some(Segment::Map { key }) => Some(key.as_str()),
            _ => parameters.first().map(|(name, _)| *name),
        };
        Problem::invalid(name.unwrap_or("path"), error.inner().to_string())
    })
}

fn unreadable(rejection: RawPathParamsRejection) -> Problem {
    let text = rejection.body_text();
    // axum words it "Invalid UTF-8 in `NAME`".
    let name = text.split('`').nth(1).unwrap_or("path");
    Problem::invalid(name, "must be percent-encoded UTF-8")
}

/// All parameters.
struct Parameters<'a>(&'a [(&'a str, &'a str)]);

/// One of them.
#[derive(Clone, Copy)]
struct Text<'a>(&'a str);

impl<'de> IntoDeserializer<'de> for Text<'de> {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

macro_rules! numbers {
    ($($method:ident $visit:ident $type:ident)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            let is_plain = self.0.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
            match self.0.parse::<$type>().ok().filter(|_| is_plain) {
                Some(number) => visitor.$visit(number),
                None => Err(serde::de::Error::custom("must be a whole number")),
            }
        }
    )*};
}

impl<'de> Deserializer<'de> for Text<'de> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_str(self.0)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    numbers! {
        deserialize_i64 visit_i64 i64
        deserialize_u64 visit_u64 u64
        deserialize_i32 visit_i32 i32
        deserialize_u32 visit_u32 u32
    }

    forward_to_deserialize_any! {
        bool i8 i16 i128 u8 u16 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

impl<'de> Parameters<'de> {
    fn first(&self) -> Text<'de> {
        Text(self.0.first().map_or("", |(_, value)| value))
    }
}

macro_rules! of_first {
    ($($method:ident)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            self.first().$method(visitor)
        }
    )*};
}

impl<'de> Deserializer<'de> for Parameters<'de> {
    type Error = Error;

    of_first! { deserialize_any deserialize_i64 deserialize_u64 deserialize_i32 deserialize_u32 }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.first().deserialize_newtype_struct(name, visitor)
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_seq(SeqDeserializer::new(self.0.iter().map(|(_, value)| Text(value))))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        let pairs = self.0.iter().map(|(name, value)| (*name, Text(value)));
        visitor.visit_map(MapDeserializer::new(pairs))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i128 u8 u16 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        seq tuple_struct map enum identifier ignored_any
    }
}
