//! Many rows in one statement: an `INSERT` of one row as one of several.

use std::sync::Arc;

use tokio_postgres::types::Type;

use super::each::arrays;
use super::session::Text;

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

/// Puts a run of queued statements in the order in which they are sent: those of one text that can
/// share a statement next to each other, where the first of them stood, as long as nothing but
/// such statements is between them. Answers indices into `texts`.
pub(super) fn arrange(texts: &[Arc<Text>]) -> Vec<Vec<usize>> {
    let mut groups: Vec<Vec<usize>> = Vec::new();
    // Where the present run of inserts begins among the groups.
    let mut run = 0;
    for (index, text) in texts.iter().enumerate() {
        if text.insert.is_none() {
            groups.push(vec![index]);
            run = groups.len();
            continue;
        }
        let same = |group: &&mut Vec<usize>| {
            let first = group.first().and_then(|first| texts.get(*first));
            first.is_some_and(|first| Arc::ptr_eq(first, text))
        };
        match groups.iter_mut().skip(run).find(same) {
            Some(group) => group.push(index),
            None => groups.push(vec![index]),
        }
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn other_statements_stay_as_they_are() {
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

    #[test]
    fn only_inserts_that_stand_together_share_a_statement() {
        let text = |sql| Arc::new(Text::new(sql));
        let a = text("INSERT INTO a VALUES ($1)");
        let b = text("INSERT INTO b VALUES ($1)");
        let change = text("UPDATE a SET x = $1");
        let queue = [&a, &b, &a, &b, &change, &change, &b, &a, &b].map(Arc::clone);
        let expected: &[&[usize]] = &[&[0, 2], &[1, 3], &[4], &[5], &[6, 8], &[7]];
        assert_eq!(arrange(&queue), expected);
    }
}
