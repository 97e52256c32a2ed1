use crate::unseen::is_unseen;

/// Text from elsewhere as one line that commands no terminal and hides nothing: control characters,
/// and those that are invisible or change the direction of the text, are escaped as Rust does it
/// (`\u{1b}`).
#[must_use]
pub fn printable(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() || is_unseen(c) {
            shown.extend(c.escape_default());
        } else {
            shown.push(c);
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::printable;

    #[test]
    fn what_a_terminal_would_obey_or_hide_is_escaped() {
        assert_eq!(printable("Zoë's \"laptop\" \\ 电脑"), "Zoë's \"laptop\" \\ 电脑");
        assert_eq!(printable("\u{1b}[2J\r\n\u{9b}"), "\\u{1b}[2J\\r\\n\\u{9b}");
        assert_eq!(printable("a\u{202e}b\u{200b}"), "a\\u{202e}b\\u{200b}");
    }
}
