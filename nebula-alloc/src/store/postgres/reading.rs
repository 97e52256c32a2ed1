//! Which texts only read.

/// Whether a text only reads, judged by its words: the server tells by running it. A text that is
/// not understood does not; functions that write are not seen.
///
/// A statement that writes can be part of a `WITH` at the beginning alone, and `INTO` makes a table.
pub(super) fn reads(sql: &str) -> bool {
    let begin = sql.trim_start_matches(|c: char| c.is_whitespace() || c == '(');
    let mut words = begin
        .split(|c: char| !(c.is_alphanumeric() || c == '_'))
        .filter(|word| !word.is_empty())
        .map(str::to_ascii_uppercase)
        .peekable();
    // A comment may begin with any word.
    if !begin.starts_with(char::is_alphabetic) {
        return false;
    }
    let with = match words.peek().map(String::as_str) {
        Some("SELECT" | "VALUES" | "TABLE") => false,
        Some("WITH") => true,
        _ => return false,
    };
    let mut before = String::new();
    for word in words {
        match word.as_str() {
            "INTO" => return false,
            "INSERT" | "DELETE" | "MERGE" if with => return false,
            // `FOR UPDATE` and `FOR NO KEY UPDATE` lock.
            "UPDATE" if with && before != "FOR" && before != "KEY" => return false,
            _ => before = word,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

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
