//! Reads values of the API's answers.

use serde_json::Value;

/// A field's text, where it is one.
pub(super) fn text_of<'a>(value: &'a Value, name: &str) -> Option<&'a str> {
    value.get(name)?.as_str()
}

/// A time, in seconds since the Unix epoch.
pub(super) fn seconds(time: &Value) -> Option<i64> {
    time.as_str()?.parse::<jiff::Timestamp>().ok().map(jiff::Timestamp::as_second)
}
