/// A text as one word of a POSIX shell's command line, for commands that people are told to run: a name
/// may hold anything.
#[must_use]
pub fn shell_word(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_./:@%+=,-".contains(c);
    match !text.is_empty() && !text.starts_with('-') && text.chars().all(is_plain) {
        true => text.to_owned(),
        false => format!("'{}'", text.replace('\'', r"'\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::shell_word;

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
}
