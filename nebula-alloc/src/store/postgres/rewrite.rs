//! Texts for one row or one set of parameters, rewritten for many.

use std::fmt::Write as _;

use tokio_postgres::types::Type;

/// One query with many sets of parameters as one statement: a message each would cost the server
/// and this process a wake-up each.
///
/// The text that runs `sql` for each place of as many arrays as it has parameters, and answers its
/// columns with the place, from 1, behind them. `None` for a text that may mean something else
/// inside another.
pub(super) fn batched_query(sql: &str, parameters: &[Type]) -> Option<String> {
    let plain = sql.trim_start().get(..7)?.eq_ignore_ascii_case("select ")
        && !sql.contains(['\'', '"', ';'])
        && !sql.contains("--")
        && !sql.contains("/*")
        && !sql.to_ascii_uppercase().contains(" FOR ");
    if !plain || parameters.is_empty() {
        return None;
    }
    let arrays = arrays(parameters)?;
    let inner = sql.replace('$', "asked.p");
    // `OFFSET 0` keeps the planner from joining everything with everything: each place is looked
    // up by itself, as the query alone would be.
    Some(format!(
        "SELECT found.*, asked.place
     FROM unnest({}) WITH ORDINALITY AS asked ({}, place)
     CROSS JOIN LATERAL ({inner} OFFSET 0) AS found ORDER BY asked.place",
        arrays.parameters, arrays.columns
    ))
}

/// Many sets of parameters as an array for each parameter.
pub(super) struct Arrays {
    /// `$1`, `$2` and so on, as arrays.
    pub(super) parameters: String,
    /// What their elements are called: `p1`, `p2` and so on.
    pub(super) columns: String,
}

/// `None` when one of them is of a type that the seam does not write.
pub(super) fn arrays(types: &[Type]) -> Option<Arrays> {
    let (mut parameters, mut columns) = (String::new(), String::new());
    for (number, ty) in (1..).zip(types) {
        let array = match *ty {
            Type::BYTEA => "BYTEA[]",
            Type::INT8 => "BIGINT[]",
            Type::INT4 => "INT[]",
            Type::TEXT => "TEXT[]",
            _ => return None,
        };
        let comma = if number == 1 { "" } else { ", " };
        let _ = write!(parameters, "{comma}CAST(${number} AS {array})");
        let _ = write!(columns, "{comma}p{number}");
    }
    Some(Arrays { parameters, columns })
}

/// An `INSERT INTO t (…) VALUES (…)` that can be given more rows.
#[derive(Debug)]
pub(super) struct Insert {
    /// Before `VALUES`.
    head: String,
    /// The row between its parentheses.
    row: String,
}

impl Insert {
    /// `None` for any other statement, and for one whose row holds more than parameters, numbers
    /// and words: what it says of one row may mean something else among several.
    pub(super) fn parse(sql: &str) -> Option<Self> {
        let sql = sql.trim();
        if !sql.get(..6)?.eq_ignore_ascii_case("insert") {
            return None;
        }
        let (head, rest) = sql.split_at_checked(sql.to_ascii_lowercase().find("values")?)?;
        let row = rest.get("values".len()..)?.trim().strip_prefix('(')?.strip_suffix(')')?;
        let plain = |letter: char| {
            letter.is_ascii_alphanumeric()
                || letter.is_ascii_whitespace()
                || "$,_-".contains(letter)
        };
        if head.contains('$') || !row.contains('$') || !row.chars().all(plain) || row.contains("--")
        {
            return None;
        }
        Some(Self { head: head.to_owned(), row: row.to_owned() })
    }

    /// The statement for any number of rows, which takes an array for each parameter. `None` when
    /// one of them is of a type that the seam does not write.
    pub(super) fn many(&self, parameters: &[Type]) -> Option<String> {
        let arrays = arrays(parameters)?;
        let row = self.row.replace('$', "p");
        let Self { head, .. } = self;
        Some(format!(
            "{head}SELECT {row} FROM unnest({}) AS given ({})",
            arrays.parameters, arrays.columns
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_become_the_columns_of_arrays() {
        let sql =
            batched_query("SELECT a FROM t WHERE b = $1 AND c = $2", &[Type::BYTEA, Type::INT8]);
        assert_eq!(
            sql.unwrap().split_whitespace().collect::<Vec<_>>().join(" "),
            "SELECT found.*, asked.place \
             FROM unnest(CAST($1 AS BYTEA[]), CAST($2 AS BIGINT[])) \
             WITH ORDINALITY AS asked (p1, p2, place) \
             CROSS JOIN LATERAL (SELECT a FROM t WHERE b = asked.p1 AND c = asked.p2 OFFSET 0) \
             AS found ORDER BY asked.place"
        );
    }

    #[test]
    fn other_statements_stay_as_they_are() {
        for sql in [
            "SELECT a FROM t WHERE b = $1 AND c = '$1'",
            "SELECT a FROM t WHERE b = $1 FOR UPDATE",
            "SELECT a FROM t WHERE b = $1 -- ?",
            "UPDATE t SET a = $1 RETURNING a",
            "",
        ] {
            assert_eq!(batched_query(sql, &[Type::INT8]), None, "{sql}");
        }
        assert_eq!(batched_query("SELECT a FROM t", &[]), None);
        assert_eq!(batched_query("SELECT a FROM t WHERE b = $1", &[Type::INET]), None);
    }

    #[test]
    fn an_insert_of_one_row_takes_more() {
        let insert =
            Insert::parse("INSERT INTO t (a, b, c)\n VALUES ($1, 1, $2, NULL, $1)").unwrap();
        assert_eq!(
            insert.many(&[Type::BYTEA, Type::INT8]).unwrap(),
            "INSERT INTO t (a, b, c)\n SELECT p1, 1, p2, NULL, p1 \
             FROM unnest(CAST($1 AS BYTEA[]), CAST($2 AS BIGINT[])) AS given (p1, p2)"
        );
        assert_eq!(insert.many(&[Type::BYTEA, Type::INET]), None);
    }

    #[test]
    fn other_statements_are_no_inserts_of_one_row() {
        for sql in [
            "UPDATE t SET a = $1",
            "INSERT INTO t (a) VALUES ($1) ON CONFLICT DO NOTHING",
            "INSERT INTO t (a) VALUES ($1) RETURNING a",
            "INSERT INTO t (a) SELECT $1",
            "INSERT INTO t (a) VALUES ((SELECT max(a) FROM t WHERE a < $1))",
            "INSERT INTO t (a) VALUES ($1), ($2)",
            "INSERT INTO t (a) VALUES (nextval($1))",
            "INSERT INTO t (a) VALUES ('$1')",
            "INSERT INTO t (a) VALUES (1)",
            "inse",
        ] {
            assert!(Insert::parse(sql).is_none(), "{sql}");
        }
    }
}
