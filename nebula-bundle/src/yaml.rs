//! Reads and writes YAML, always with the same bounds and quotes.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::Error;

/// An error's quotation of a file, in characters.
const QUOTED: usize = 300;

/// Every text is quoted: a fingerprint of digits alone, or with one 'e', would be read as a number.
pub(crate) fn write(value: &impl Serialize) -> Result<String, Error> {
    let options = serde_saphyr::ser_options! { quote_all: true };
    serde_saphyr::to_string_with_options(value, options).map_err(|_| Error::Yaml)
}

/// Reads one document without anchors, or says why it can't be read: in at most 300 characters,
/// which may quote the file, but hold no control characters.
pub(crate) fn read<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    let budget = serde_saphyr::budget! {
        max_anchors: 0,
        max_aliases: 0,
        max_merge_keys: 0,
        max_documents: 1,
        max_depth: 8,
    };
    let options = serde_saphyr::options! {
        budget: budget,
        with_snippet: false,
        strict_booleans: true,
    };
    serde_saphyr::from_str_with_options(text, options).map_err(|error| {
        let message = error.to_string();
        let shown = message.chars().take(QUOTED);
        shown.map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
    })
}
