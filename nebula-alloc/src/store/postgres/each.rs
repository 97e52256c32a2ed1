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
