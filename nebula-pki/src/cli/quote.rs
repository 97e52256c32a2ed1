//! Text in double quotes.

use std::fmt::Write;

/// As Go's `%q` writes it.
pub(crate) fn quote(bytes: &[u8]) -> String {
    let mut quoted = String::from('"');
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            push(&mut quoted, c);
        }
        for byte in chunk.invalid() {
            let _ = write!(quoted, "\\x{byte:02x}");
        }
    }
    quoted.push('"');
    quoted
}

/// As JSON.
pub(crate) fn json(text: &str) -> String {
    let mut quoted = String::from('"');
    for c in text.chars() {
        let _ = match c {
            '"' => write!(quoted, "\\\""),
            '\\' => write!(quoted, "\\\\"),
            '\n' => write!(quoted, "\\n"),
            '\t' => write!(quoted, "\\t"),
            _ if c.is_control() => write!(quoted, "\\u{:04x}", u32::from(c)),
            _ => write!(quoted, "{c}"),
        };
    }
    quoted.push('"');
    quoted
}

fn push(quoted: &mut String, c: char) {
    let code = u32::from(c);
    let _ = match c {
        '"' => write!(quoted, "\\\""),
        '\\' => write!(quoted, "\\\\"),
        '\x07' => write!(quoted, "\\a"),
        '\x08' => write!(quoted, "\\b"),
        '\x0c' => write!(quoted, "\\f"),
        '\n' => write!(quoted, "\\n"),
        '\r' => write!(quoted, "\\r"),
        '\t' => write!(quoted, "\\t"),
        '\x0b' => write!(quoted, "\\v"),
        ' ' => write!(quoted, " "),
        _ if code < 0x20 || code == 0x7f => write!(quoted, "\\x{code:02x}"),
        _ if !c.is_control() && !c.is_whitespace() => write!(quoted, "{c}"),
        _ if code < 0x1_0000 => write!(quoted, "\\u{code:04x}"),
        _ => write!(quoted, "\\U{code:08x}"),
    };
}

#[cfg(test)]
mod tests {
    use super::{json, quote};

    #[test]
    fn as_go_writes_it() {
        assert_eq!(quote(b"a \"b\"\\\n\x01\x7f\xff"), r#""a \"b\"\\\n\x01\x7f\xff""#);
        assert_eq!(quote("é\u{a0}\u{2028}".as_bytes()), r#""é\u00a0\u2028""#);
    }

    #[test]
    fn as_json() {
        assert_eq!(json("a \"b\"\\\n\x01é"), r#""a \"b\"\\\n\u0001é""#);
    }
}
