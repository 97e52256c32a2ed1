//! Values in their three forms: in a file, compared, and in the API.

use nebula_alloc::AddressRange;
use nebula_gc_http::Addresses;
use serde_json::{Map, Value, json};

use super::super::fields::{duration, seconds};
use super::super::names::is_range;
use super::super::operation::{Field, Kind};

/// The comparable form of a value of a file: as in the API, but with names in place of ids, and `name=value`
/// in place of an object with only one field.
pub(super) fn of_file(field: &Field, value: &toml::Value) -> Result<Value, String> {
    let refuse = |what: &str| format!("must be {what}");
    let text = || value.as_str().map(str::to_owned);
    Ok(match &field.kind {
        Kind::Seconds => {
            let number = value.as_integer().or_else(|| seconds(value.as_str()?));
            json!(
                number
                    .ok_or_else(|| refuse("a duration such as \"14d\", or a number of seconds"))?
            )
        }
        Kind::Whole => json!(value.as_integer().ok_or_else(|| refuse("a whole number"))?),
        Kind::YesOrNo => json!(value.as_bool().ok_or_else(|| refuse("true or false"))?),
        Kind::Texts => {
            let items = value.as_array().ok_or_else(|| refuse("a list of texts"))?;
            let texts: Option<Vec<_>> = items.iter().map(toml::Value::as_str).collect();
            json!(texts.ok_or_else(|| refuse("a list of texts"))?)
        }
        Kind::OneOf(words) => {
            let word = text().or_else(|| value.as_integer().map(|number| number.to_string()));
            let word = word.filter(|word| words.contains(word));
            json!(word.ok_or_else(|| refuse(&format!("one of {}", words.join(", "))))?)
        }
        Kind::Text if field.name.ends_with("At") => {
            let time = text().or_else(|| value.as_datetime().map(ToString::to_string));
            let time = time.filter(|time| time.parse::<jiff::Timestamp>().is_ok());
            json!(time.ok_or_else(|| refuse("a time such as 2030-01-31T12:00:00Z"))?)
        }
        Kind::Text | Kind::Wrapped(_) | Kind::WordOr(..) | Kind::Secret | Kind::Json => {
            json!(text().ok_or_else(|| refuse("a text"))?)
        }
    })
}

/// The comparable form of a value of the API. `name_of` finds the name of an id.
pub(super) fn of_api(field: &Field, value: &Value, name_of: impl Fn(&str) -> String) -> Value {
    match &field.kind {
        Kind::Wrapped(inner) => value.get(inner).cloned().unwrap_or(Value::Null),
        Kind::WordOr(_, names) => {
            let one = names.iter().find_map(|name| Some((name, value.get(name)?.as_str()?)));
            one.map_or_else(|| value.clone(), |(name, id)| format!("{name}={}", name_of(id)).into())
        }
        Kind::Text if is_id(field) => value.as_str().map_or(Value::Null, |id| name_of(id).into()),
        _ => value.clone(),
    }
}

/// Whether a field of the API holds the id of another thing.
pub(super) fn is_id(field: &Field) -> bool {
    ["tenant", "pool", "node"].contains(&field.name.as_str())
}

/// The value in the API of a comparable one whose names are ids.
pub(super) fn to_api(field: &Field, value: &Value) -> Value {
    match (&field.kind, value) {
        (Kind::Wrapped(inner), value) => {
            Value::Object(Map::from_iter([(inner.clone(), value.clone())]))
        }
        (Kind::WordOr(_, names), Value::String(text)) => match text.split_once('=') {
            Some((name, value)) if names.iter().any(|it| it == name) => {
                Value::Object(Map::from_iter([(name.to_owned(), value.into())]))
            }
            _ => value.clone(),
        },
        _ => value.clone(),
    }
}

/// The value in a file of a comparable one; `None` for what says nothing.
pub(super) fn to_file(field: &Field, value: &Value) -> Option<toml::Value> {
    match (&field.kind, value) {
        (Kind::Seconds, Value::Number(number)) => Some(duration(number.as_i64()?).into()),
        (_, Value::String(text)) if text.is_empty() => None,
        (_, Value::Array(items)) if items.is_empty() => None,
        (_, Value::Null | Value::Object(_)) => None,
        (_, value) => toml::Value::try_from(value).ok(),
    }
}

/// Whether two comparable values say the same.
pub(super) fn is_same(field: &Field, one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Array(one), Value::Array(other)) => {
            let sorted = |items: &[Value]| {
                let mut texts: Vec<_> = items.iter().map(ToString::to_string).collect();
                texts.sort();
                texts.dedup();
                texts
            };
            sorted(one) == sorted(other)
        }
        (Value::String(one), Value::String(other)) if ["range", "pool"].contains(&&*field.name) => {
            one == other || is_range(one, other)
        }
        _ => one == other,
    }
}

/// All addresses of a range as operators write it.
pub(super) fn whole(text: &str) -> Option<AddressRange> {
    match text.parse().ok()? {
        Addresses::Range(range) => Some(range),
        Addresses::Prefix(prefix) => AddressRange::new(prefix.network(), prefix.broadcast()).ok(),
    }
}
