//! Texts in other forms: safe for a terminal, a shell or a path, and bytes as hexadecimal digits.

/// A text as one word of a POSIX shell's command line, for commands that people are told to run: a name
/// may contain anything.
#[must_use]
pub fn shell_word(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_./:@%+=,-".contains(c);
    match !text.is_empty() && !text.starts_with('-') && text.chars().all(is_plain) {
        true => text.to_owned(),
        false => format!("'{}'", text.replace('\'', r"'\''")),
    }
}

/// Encodes everything but the unreserved characters, for a segment of a path or a value of a query (RFC
/// 3986, 2.3).
#[cfg(any(feature = "client", feature = "server"))]
pub(crate) fn percent_encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                encoded.push(char::from(byte));
            }
            other => encoded += &format!("%{other:02X}"),
        }
    }
    encoded
}

/// The bytes of hexadecimal digits, two each.
pub(crate) fn from_hex(digits: &str) -> Option<Vec<u8>> {
    let nibble = |digit: char| digit.to_digit(16).and_then(|value| u8::try_from(value).ok());
    let nibbles = digits.chars().map(nibble).collect::<Option<Vec<_>>>()?;
    let pairs = nibbles.chunks(2).map(|pair| match pair {
        [high, low] => Some(high << 4 | low),
        _ => None,
    });
    pairs.collect()
}

/// Untrusted text as one line that is safe to print on a terminal: control characters, and those that are
/// invisible or change the direction of the text, are escaped as in Rust (`\u{1b}`).
#[cfg(feature = "client")]
#[must_use]
pub fn printable(text: &str) -> String {
    let mut printable = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() || is_invisible(c) {
            printable.extend(c.escape_default());
        } else {
            printable.push(c);
        }
    }
    printable
}

/// Whether a reader would not see a character: Unicode's characters for direction, zero-width characters,
/// fillers, variation selectors, line separators and tags.
pub(crate) fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}'
        | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{2800}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}'
        | '\u{ffa0}' | '\u{fff9}'..='\u{fffb}' | '\u{1d173}'..='\u{1d17a}'
        | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_shell_would_read_is_quoted() {
        for (text, word) in [
            ("office", "office"),
            ("/var/lib/node-1", "/var/lib/node-1"),
            ("my net", "'my net'"),
            ("", "''"),
            ("-rf", "'-rf'"),
            ("x; touch y #", "'x; touch y #'"),
            ("it's $HOME", r"'it'\''s $HOME'"),
            ("büro", "'büro'"),
        ] {
            assert_eq!(shell_word(text), word);
        }
    }

    #[cfg(feature = "client")]
    #[test]
    fn what_a_terminal_would_obey_or_hide_is_escaped() {
        assert_eq!(printable("Zoë's \"laptop\" \\ 电脑"), "Zoë's \"laptop\" \\ 电脑");
        assert_eq!(printable("\u{1b}[2J\r\n\u{9b}"), "\\u{1b}[2J\\r\\n\\u{9b}");
        assert_eq!(printable("a\u{202e}b\u{200b}"), "a\\u{202e}b\\u{200b}");
    }
}
