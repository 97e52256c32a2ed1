//! Values as the server's types.

use std::error::Error as StdError;

use bytes::BytesMut;
use tokio_postgres::types::{FromSql, IsNull, Kind, ToSql, Type, to_sql_checked};

use crate::Error;
use crate::store::{Param, Row, Value};

/// A parameter, to be written as the type that the server inferred for it.
#[derive(Debug, Clone)]
pub(super) enum Bound<'a> {
    Param(Param<'a>),
    Kept(&'a Value),
    Keys(&'a [i64]),
    /// One parameter of several sets.
    Array(Vec<Bound<'a>>),
}

impl<'a> Bound<'a> {
    fn param(&self) -> Option<Param<'a>> {
        match *self {
            Self::Param(param) => Some(param),
            Self::Kept(value) => Some(match value {
                Value::Null => Param::Null,
                Value::Integer(number) => Param::Integer(*number),
                Value::Text(text) => Param::Text(text),
                Value::Blob(bytes) => Param::Blob(bytes),
            }),
            Self::Keys(_) | Self::Array(_) => None,
        }
    }
}

impl ToSql for Bound<'_> {
    fn to_sql(
        &self,
        ty: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn StdError + Sync + Send>> {
        match (self.param(), self) {
            (Some(Param::Null), _) => Ok(IsNull::Yes),
            (Some(Param::Integer(number)), _) if *ty == Type::INT8 => number.to_sql(ty, out),
            (Some(Param::Integer(number)), _) if *ty == Type::INT4 => {
                i32::try_from(number)?.to_sql(ty, out)
            }
            (Some(Param::Text(text)), _) if <&str as ToSql>::accepts(ty) => text.to_sql(ty, out),
            (Some(Param::Blob(bytes)), _) if *ty == Type::BYTEA => bytes.to_sql(ty, out),
            (None, Self::Keys(keys)) if *ty == Type::INT8_ARRAY => keys.to_sql(ty, out),
            (None, Self::Array(values)) if matches!(ty.kind(), Kind::Array(_)) => {
                values.to_sql(ty, out)
            }
            _ => Err(format!("a parameter of type {ty} is given another").into()),
        }
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}

/// A row of the server's. Integers of each width and truth values are numbers, as in SQLite.
pub(super) fn row(row: &tokio_postgres::Row) -> Result<Row, Error> {
    let values = (0..row.len()).map(|index| match row.try_get::<_, Received>(index) {
        Ok(Received(Some(value))) => Ok(value),
        Ok(Received(None)) | Err(_) => Err(Error::Column {
            index,
            expected: "an integer, text, blob or null",
            found: "of another type",
        }),
    });
    values.collect::<Result<_, _>>().map(Row::new)
}

/// `None` for a type that the seam does not know.
struct Received(Option<Value>);

impl<'a> FromSql<'a> for Received {
    fn from_sql(ty: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn StdError + Sync + Send>> {
        Ok(Self(match *ty {
            Type::INT8 => Some(Value::Integer(i64::from_sql(ty, raw)?)),
            Type::INT4 => Some(Value::Integer(i32::from_sql(ty, raw)?.into())),
            Type::INT2 => Some(Value::Integer(i16::from_sql(ty, raw)?.into())),
            Type::BOOL => Some(Value::Integer(bool::from_sql(ty, raw)?.into())),
            Type::BYTEA => Some(Value::Blob(raw.to_vec())),
            _ if <&str as FromSql>::accepts(ty) => {
                Some(Value::Text(<&str as FromSql>::from_sql(ty, raw)?.to_owned()))
            }
            _ => None,
        }))
    }

    fn from_sql_null(_: &Type) -> Result<Self, Box<dyn StdError + Sync + Send>> {
        Ok(Self(Some(Value::Null)))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}
