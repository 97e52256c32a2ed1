//! Reads JSON bodies, and describes what is wrong with one in terms of JSON.

use serde::de::{DeserializeOwned, IgnoredAny};

/// What is wrong with a body.
pub(super) struct Unreadable {
    /// The field's path, or `body`.
    pub(super) field: String,
    /// What is wrong with it.
    pub(super) reason: String,
}

/// A quotation of what was sent, in characters.
const QUOTED: usize = 100;

/// Reads a body that is a JSON object.
pub(super) fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Unreadable> {
    let whole = |reason: String| Unreadable { field: "body".to_owned(), reason };
    if let Some(reason) = encoding(bytes) {
        return Err(whole(reason.to_owned()));
    }
    // serde would also accept an array of the fields' values.
    if bytes.trim_ascii_start().first().is_some_and(|byte| *byte == b'[') {
        return Err(whole("must be a JSON object".to_owned()));
    }
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let read = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let path = error.path().to_string();
        // A body that is cut off has no field name yet.
        let field = if path.contains('?') || path == "." { "body".to_owned() } else { path };
        let error = error.into_inner();
        // serde_json's wording for a number in place of an enum's name.
        let is_json = !error.is_data() && serde_json::from_slice::<IgnoredAny>(bytes).is_ok();
        let reason = if is_json { "must be a name, in quotes".to_owned() } else { reason(&error) };
        Unreadable { field, reason }
    })?;
    json.end().map_err(|error| whole(error.to_string()))?;
    Ok(read)
}

/// How a body is encoded that is no text in UTF-8, by its first bytes.
fn encoding(bytes: &[u8]) -> Option<&'static str> {
    match bytes {
        [0x1f, 0x8b, ..] => Some("is compressed with gzip: send it uncompressed"),
        [0xef, 0xbb, 0xbf, ..] => Some("begins with a byte order mark: send it without (RFC 8259)"),
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => Some("is UTF-16: send it as UTF-8"),
        _ => None,
    }
}

/// Without the place in the text where the field is named: what was sent may be one long line, and
/// not its sender's own.
fn reason(error: &serde_json::Error) -> String {
    let place = format!(" at line {} column {}", error.line(), error.column());
    let whole = error.to_string();
    match whole.strip_suffix(&place).filter(|_| error.is_data()) {
        Some(named) => plain(named),
        None => whole,
    }
}

/// serde's message about a value, in terms of JSON instead of Rust.
pub(super) fn plain(said: &str) -> String {
    let kinds = ["invalid type: ", "invalid value: ", "invalid length ", "unknown variant "];
    let mismatch =
        kinds.iter().find_map(|kind| said.strip_prefix(kind)?.rsplit_once(", expected "));
    if let Some((found, expected)) = mismatch {
        return format!("must be {}, not {}", wanted(expected), given(found));
    }
    if said.starts_with("data did not match any variant of untagged enum") {
        return "has none of the forms that are allowed here".to_owned();
    }
    match said {
        "invalid digit found in string"
        | "cannot parse integer from empty string"
        | "number too large to fit in target type"
        | "number too small to fit in target type" => {
            "must be a whole number, not larger than its limit".to_owned()
        }
        _ => said.to_owned(),
    }
}

fn wanted(expected: &str) -> String {
    let numbers = [
        ("u8", u64::from(u8::MAX)),
        ("u16", u64::from(u16::MAX)),
        ("u32", u64::from(u32::MAX)),
        ("u64", u64::MAX),
        ("usize", u64::MAX),
    ];
    if let Some((_, most)) = numbers.iter().find(|(name, _)| *name == expected) {
        return format!("a whole number from 0 to {most}");
    }
    match expected {
        "i8" | "i16" | "i32" | "i64" => "a whole number".to_owned(),
        "f32" | "f64" => "a number".to_owned(),
        "a sequence" => "an array".to_owned(),
        "a map" => "an object".to_owned(),
        "string or map" => "a string".to_owned(),
        _ if expected.starts_with("struct ") || expected.starts_with("internally tagged") => {
            "an object".to_owned()
        }
        _ if expected.starts_with("tuple ") => "an array".to_owned(),
        _ if expected.starts_with("enum ") || expected.starts_with("variant ") => {
            "a string".to_owned()
        }
        _ => expected.to_owned(),
    }
}

fn given(found: &str) -> String {
    let value = match found {
        "sequence" => return "an array".to_owned(),
        "map" => return "an object".to_owned(),
        "unit" | "unit value" | "Option value" => return "null".to_owned(),
        _ => ["integer ", "floating point ", "boolean ", "string ", "character "]
            .into_iter()
            .find_map(|kind| found.strip_prefix(kind))
            .unwrap_or(found)
            .trim_matches('`'),
    };
    let mut quoted: String = value.chars().take(QUOTED).collect();
    if quoted.len() < value.len() {
        quoted.push('…');
    }
    quoted
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::read;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields, rename_all = "camelCase")]
    #[allow(dead_code, reason = "it is only read")]
    struct Body {
        small: Option<u16>,
        name: Option<String>,
        #[serde(default)]
        list: Vec<i64>,
        inner: Option<Inner>,
        choice: Option<Choice>,
        form: Option<Form>,
        yes: Option<bool>,
    }

    #[derive(Debug, Deserialize)]
    #[allow(dead_code, reason = "it is only read")]
    struct Inner {
        ratio: f64,
    }

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum Choice {
        One,
        Two,
    }

    #[derive(Debug, Deserialize)]
    #[serde(untagged)]
    #[allow(dead_code, reason = "it is only read")]
    enum Form {
        Text(String),
        Number(u8),
    }

    #[test]
    fn a_refusal_is_in_the_words_of_json() {
        for (body, said) in [
            (r#"{"small": -1}"#, "small: must be a whole number from 0 to 65535, not -1"),
            (r#"{"small": 70000}"#, "small: must be a whole number from 0 to 65535, not 70000"),
            (r#"{"small": "1"}"#, "small: must be a whole number from 0 to 65535, not \"1\""),
            (r#"{"small": 1.5}"#, "small: must be a whole number from 0 to 65535, not 1.5"),
            (r#"{"name": 7}"#, "name: must be a string, not 7"),
            (r#"{"name": {"a": 1}}"#, "name: must be a string, not an object"),
            (r#"{"list": 1}"#, "list: must be an array, not 1"),
            (r#"{"list": [true]}"#, "list[0]: must be a whole number, not true"),
            (r#"{"list": null}"#, "list: must be an array, not null"),
            (r#"{"inner": 1}"#, "inner: must be an object, not 1"),
            (r#"{"inner": {"ratio": []}}"#, "inner.ratio: must be a number, not an array"),
            (r#"{"choice": 1}"#, "choice: must be a name, in quotes"),
            (r#"{"choice": "x"}"#, "choice: must be `one` or `two`, not x"),
            (r#"{"form": []}"#, "form: has none of the forms that are allowed here"),
            (r#"{"yes": "no, expected u8"}"#, "yes: must be a boolean, not \"no, expected u8\""),
            ("[]", "body: must be a JSON object"),
            ("7", "body: must be an object, not 7"),
            ("\u{feff}{}", "body: begins with a byte order mark: send it without (RFC 8259)"),
        ] {
            let Err(refused) = read::<Body>(body.as_bytes()) else { panic!("{body}") };
            assert_eq!(format!("{}: {}", refused.field, refused.reason), said);
        }
        let long = format!(r#"{{"small": "{}"}}"#, "x".repeat(10_000));
        let Err(refused) = read::<Body>(long.as_bytes()) else { panic!("{long}") };
        assert!(refused.reason.len() < 200, "{}", refused.reason);
    }

    #[test]
    fn what_is_no_utf_8_is_named() {
        for (bytes, said) in [
            (&[0x1f, 0x8b, 8, 0][..], "gzip"),
            (b"\xff\xfe{\0}\0", "UTF-16"),
            (b"\xfe\xff\0{\0}", "UTF-16"),
        ] {
            let Err(refused) = read::<Body>(bytes) else { panic!("{bytes:?}") };
            assert!(refused.reason.contains(said), "{}", refused.reason);
        }
    }
}
