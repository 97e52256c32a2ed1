//! One query with many sets of parameters as one statement: a message each would cost the server
//! and this process a wake-up each.

use std::fmt::Write as _;

use tokio_postgres::types::Type;

/// The text that runs `sql` for each place of as many arrays as it has parameters, and answers its
/// columns with the place, from 1, behind them. `None` for a text that may mean something else
/// inside another.
pub(super) fn each(sql: &str, parameters: &[Type]) -> Option<String> {
    let plain = sql.trim_start().get(..7)?.eq_ignore_ascii_case("select ")
        && !sql.contains(['\'', '"', ';'])
        && !sql.contains("--")
        && !sql.contains("/*")
        && !sql.to_ascii_uppercase().contains(" FOR ");
    if !plain || parameters.is_empty() {
        return None;
    }
    let mut arrays = String::new();
    let mut names = String::new();
    for (number, parameter) in (1..).zip(parameters) {
        let array = match *parameter {
            Type::BYTEA => "BYTEA[]",
            Type::INT8 => "BIGINT[]",
            Type::INT4 => "INT[]",
            Type::TEXT => "TEXT[]",
            _ => return None,
        };
        let comma = if number == 1 { "" } else { ", " };
        let _ = write!(arrays, "{comma}CAST(${number} AS {array})");
        let _ = write!(names, "p{number}, ");
    }
    let inner = sql.replace('$', "asked.p");
    // `OFFSET 0` keeps the planner from joining everything with everything: each place is looked
    // up by itself, as the query alone would be.
    Some(format!(
        "SELECT found.*, asked.place
     FROM unnest({arrays}) WITH ORDINALITY AS asked ({names}place)
     CROSS JOIN LATERAL ({inner} OFFSET 0) AS found ORDER BY asked.place"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_become_the_columns_of_arrays() {
        let sql = each("SELECT a FROM t WHERE b = $1 AND c = $2", &[Type::BYTEA, Type::INT8]);
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
            assert_eq!(each(sql, &[Type::INT8]), None, "{sql}");
        }
        assert_eq!(each("SELECT a FROM t", &[]), None);
        assert_eq!(each("SELECT a FROM t WHERE b = $1", &[Type::INET]), None);
    }
}
