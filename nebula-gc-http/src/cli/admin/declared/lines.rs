//! What a file can't have, and on which line it says so.

use toml::de::{DeTable, DeValue};

/// Something that a file says and can't have.
#[derive(Debug)]
pub(super) struct Refusal {
    /// The keys that lead there; none where the file can't be read.
    pub(super) path: Vec<String>,
    pub(super) text: String,
}

impl Refusal {
    /// The refusal with the file's name and the line.
    pub(super) fn located(&self, name: &str, contents: &str) -> String {
        match line(contents, &self.path) {
            Some(line) => format!("{name}: line {line}: {}", self.text),
            None => format!("{name}: {}", self.text),
        }
    }
}

/// The line, from 1, of the last key of a path that is there.
fn line(contents: &str, path: &[String]) -> Option<usize> {
    let table = DeTable::parse(contents).ok()?;
    let (mut table, mut at) = (table.get_ref(), None);
    for part in path {
        let found = table.iter().find(|(key, _)| key.get_ref() == part);
        let Some((key, value)) = found else { break };
        at = Some(key.span().start);
        let DeValue::Table(inner) = value.get_ref() else { break };
        table = inner;
    }
    let before = contents.get(..at?)?;
    Some(before.matches('\n').count().saturating_add(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_names_the_line_of_the_last_key_that_is_there() {
        let contents = "[networks.office]\nmtu = 1\n\n[networks.office.blocks.a]\nsize = 2\n\
                        [networks.office.pools]\n\"10.0.0.0/24\" = {}\n";
        for (path, expected) in [
            (&["networks", "office", "mtu"][..], "f: line 2: x"),
            (&["networks", "office", "blocks", "a", "size"], "f: line 5: x"),
            (&["networks", "office", "blocks", "a", "pool"], "f: line 4: x"),
            (&["networks", "office", "pools", "10.0.0.0/24"], "f: line 7: x"),
            (&[], "f: x"),
            (&["tenants"], "f: x"),
        ] {
            let path = path.iter().map(|&part| part.to_owned()).collect();
            let refusal = Refusal { path, text: "x".to_owned() };
            assert_eq!(refusal.located("f", contents), expected);
        }
    }
}
