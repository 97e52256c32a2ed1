//! What the text of a statement shows: whether it only reads, changes a setting, or would end
//! the transaction, which is not its alone: the writer's has other requests in it, and a caller's own
//! has an owner.

/// How many words at the beginning show what a statement does.
const HEAD: usize = 3;

/// Whether one of these statements begins, ends or prepares a transaction. Savepoints don't.
///
/// It is against accidents, not malice: what a text really does only the engine knows, afterwards.
pub(crate) fn controls(sql: &str) -> bool {
    let (mut head, mut depth) = (Vec::new(), 0_usize);
    for token in (Tokens { rest: sql }).chain([";"]) {
        let token = token.to_ascii_uppercase();
        // A trigger's body, or a function's.
        let creates = head.first().is_some_and(|first| first == "CREATE");
        match token.as_str() {
            ";" if depth == 0 => {
                if is_control(&head) {
                    return true;
                }
                head.clear();
                continue;
            }
            "BEGIN" | "CASE" if creates => depth += 1,
            "END" if creates => depth = depth.saturating_sub(1),
            _ => {}
        }
        if head.len() < HEAD {
            head.push(token);
        }
    }
    false
}

/// Whether one of these statements may change a setting. What is set for a row, a function or a table
/// is none.
#[cfg(feature = "postgres")]
pub(crate) fn sets(sql: &str) -> bool {
    let mut begins = true;
    (Tokens { rest: sql }).any(|token| {
        let first = std::mem::replace(&mut begins, token == ";");
        let token = token.to_ascii_uppercase();
        token == "SET_CONFIG"
            || first && matches!(token.as_str(), "SET" | "RESET" | "DISCARD" | "DO" | "CALL")
    })
}

/// Whether a text only reads, judged by its words: the engine tells by running it. A text that is
/// not understood does not; functions that write are not seen.
///
/// A statement that writes can be part of a `WITH` at the beginning alone, and `INTO` makes a table.
pub(crate) fn reads(sql: &str) -> bool {
    let begin = sql.trim_start_matches(|c: char| c.is_whitespace() || c == '(');
    // A comment may begin with any word.
    if !begin.starts_with(char::is_alphabetic) {
        return false;
    }
    let mut words = begin
        .split(|c: char| !(c.is_alphanumeric() || c == '_'))
        .filter(|word| !word.is_empty())
        .peekable();
    let first = words.peek().copied().unwrap_or_default();
    let with = is_one_of(first, &["WITH"]);
    if !with && !is_one_of(first, &["SELECT", "VALUES", "TABLE"]) {
        return false;
    }
    let mut before = "";
    for word in words {
        let writes = is_one_of(word, &["INSERT", "DELETE", "MERGE"])
            // `FOR UPDATE` and `FOR NO KEY UPDATE` lock.
            || is_one_of(word, &["UPDATE"]) && !is_one_of(before, &["FOR", "KEY"]);
        if is_one_of(word, &["INTO"]) || with && writes {
            return false;
        }
        before = word;
    }
    true
}

fn is_one_of(word: &str, words: &[&str]) -> bool {
    words.iter().any(|one| one.eq_ignore_ascii_case(word))
}

fn is_control(head: &[String]) -> bool {
    let mut words = head.iter().map(String::as_str);
    match words.next() {
        Some("BEGIN" | "START" | "COMMIT" | "END" | "ABORT") => true,
        Some("PREPARE") => words.next() == Some("TRANSACTION"),
        Some("ROLLBACK") => !words.any(|word| word == "TO"),
        _ => false,
    }
}

/// Words and signs, without comments; what is quoted is one of them.
struct Tokens<'a> {
    rest: &'a str,
}

impl<'a> Iterator for Tokens<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        loop {
            self.rest = self.rest.trim_start();
            let length = if self.rest.starts_with("--") {
                behind(self.rest, 2, "\n")
            } else if self.rest.starts_with("/*") {
                behind(self.rest, 2, "*/")
            } else {
                break;
            };
            self.rest = self.rest.get(length..)?;
        }
        let first = self.rest.chars().next()?;
        let word = |text: &str| {
            text.find(|letter: char| !letter.is_alphanumeric() && letter != '_')
                .unwrap_or(text.len())
        };
        let length = match first {
            '\'' | '"' | '`' => behind(self.rest, 1, first.encode_utf8(&mut [0; 4])),
            'E' | 'e' if self.rest.get(1..).is_some_and(|rest| rest.starts_with('\'')) => {
                behind_escaped(self.rest)
            }
            // `$tag$ … $tag$`, but not `$1`.
            '$' => match self.rest.get(1..).and_then(|rest| rest.get(..=word(rest))) {
                Some(tag) if tag.ends_with('$') => {
                    behind(self.rest, 1 + tag.len(), &format!("${tag}"))
                }
                _ => 1,
            },
            _ => word(self.rest).max(first.len_utf8()),
        };
        let (token, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        Some(token)
    }
}

/// Where `end` ends, which is looked for from `from` on.
fn behind(text: &str, from: usize, end: &str) -> usize {
    let found = text.get(from..).and_then(|rest| rest.find(end));
    found.map_or(text.len(), |at| from + at + end.len())
}

/// Where PostgreSQL's `E'…'` ends, in which a backslash takes away what a quote means.
fn behind_escaped(text: &str) -> usize {
    let mut letters = text.char_indices().skip(2).peekable();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '\\' => drop(letters.next()),
            '\'' if letters.next_if(|(_, next)| *next == '\'').is_none() => return at + 1,
            _ => {}
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    #[cfg(feature = "postgres")]
    use super::sets;
    use super::{controls, reads};

    #[test]
    fn transactions_are_begun_and_ended() {
        for sql in [
            "BEGIN",
            "begin immediate",
            "START TRANSACTION",
            "COMMIT",
            "Commit And Chain",
            "END",
            "ABORT",
            "ROLLBACK",
            "ROLLBACK WORK",
            "PREPARE TRANSACTION 'x'",
            " ;; -- why\n/* TO */ COMMIT",
            "DELETE FROM t WHERE a = 'x''y;'; COMMIT; BEGIN",
            "CREATE TRIGGER a AFTER INSERT ON t BEGIN SELECT CASE 1 WHEN 1 THEN 2 END; END; END",
            "CREATE FUNCTION f() RETURNS void AS $$ BEGIN NULL; END $$ LANGUAGE plpgsql; ROLLBACK",
            "INSERT INTO t VALUES (E'it\\'s'); COMMIT",
            "INSERT INTO t VALUES (e'\\\\', E'a''b\\''); COMMIT -- '",
        ] {
            assert!(controls(sql), "{sql}");
        }
    }

    #[test]
    #[cfg(feature = "postgres")]
    fn settings_are_changed() {
        for sql in [
            "SET search_path = b",
            "-- why\nset local synchronous_commit TO off",
            "RESET ALL",
            "SELECT 1; DISCARD PLANS",
            "DO $$ BEGIN SET search_path = b; END $$",
            "CALL p()",
            "SELECT pg_catalog.set_config('search_path', '', false)",
        ] {
            assert!(sets(sql), "{sql}");
        }
        for sql in [
            "UPDATE t SET a = $1",
            "ALTER TABLE t ALTER a SET NOT NULL",
            "INSERT INTO t VALUES ($1) ON CONFLICT DO NOTHING",
            "SELECT 'SET a', \"set\", set_configs FROM t -- ; SET a",
        ] {
            assert!(!sets(sql), "{sql}");
        }
    }

    #[test]
    fn everything_else_does_not_touch_them() {
        for sql in [
            "",
            "/* COMMIT",
            "SELECT 'COMMIT; COMMIT', \"END\", $1 FROM t -- ; COMMIT",
            "INSERT INTO t VALUES ($1); UPDATE t SET a = $2",
            "SAVEPOINT a; RELEASE a",
            "ROLLBACK TO a",
            "ROLLBACK TRANSACTION TO SAVEPOINT a",
            "PREPARE plan AS SELECT 1",
            "CREATE TRIGGER a AFTER INSERT ON t BEGIN DELETE FROM u; DELETE FROM v; END",
            "CREATE FUNCTION f() RETURNS void AS $body$ BEGIN COMMIT; END $body$ LANGUAGE plpgsql",
            "SELECT CASE a WHEN 1 THEN 2 END FROM t",
            "SELECT E'\\'; COMMIT; --'",
        ] {
            assert!(!controls(sql), "{sql}");
        }
    }

    #[test]
    fn queries_read() {
        for sql in [
            "SELECT a FROM t WHERE b = $1 AND c = 'delete'",
            "\n  select a FROM t FOR UPDATE SKIP LOCKED",
            "(SELECT 1) UNION (SELECT 2)",
            "VALUES (1)",
            "TABLE t",
            "WITH one AS (SELECT 1) SELECT * FROM one, t FOR NO KEY UPDATE",
        ] {
            assert!(reads(sql), "{sql}");
        }
    }

    #[test]
    fn everything_else_may_write() {
        for sql in [
            "INSERT INTO t VALUES (1) RETURNING a",
            "update t SET a = 1 RETURNING a",
            "DELETE FROM t RETURNING a",
            "MERGE INTO t USING s ON true WHEN MATCHED THEN DELETE",
            "WITH gone AS (DELETE FROM t RETURNING a) SELECT a FROM gone",
            "WITH new AS(INSERT INTO t VALUES (1) RETURNING a) SELECT a FROM new",
            "(WITH old AS (\nupdate t SET a = 1 RETURNING a) SELECT a FROM old)",
            "SELECT a INTO u FROM t",
            "/* SELECT */ DELETE FROM t RETURNING a",
            "-- SELECT\nDELETE FROM t RETURNING a",
            "EXPLAIN ANALYZE DELETE FROM t",
            "COMMIT",
            "",
        ] {
            assert!(!reads(sql), "{sql}");
        }
    }
}
