//! Many rows in one statement: an `INSERT` of one row as one of several.

use std::fmt::Write as _;
use std::sync::Arc;

use super::session::Text;

/// Rows per statement, at most; a power of two.
const MOST_ROWS: usize = 256;

/// Parameters per statement, at most. The protocol's limit is 65,535.
const MOST_PARAMETERS: usize = 16_384;

/// An `INSERT INTO t (…) VALUES (…)` that can be given more rows.
#[derive(Debug)]
pub(super) struct Insert {
    /// Up to and with `VALUES`.
    head: String,
    /// The row between its parentheses, cut at its parameters: what stands before each.
    before: Vec<(String, usize)>,
    after: String,
    parameters: usize,
}

impl Insert {
    /// `None` for any other statement, and for one whose row holds more than parameters, numbers
    /// and words: what it says of one row may mean something else among several.
    pub(super) fn parse(sql: &str) -> Option<Self> {
        let sql = sql.trim();
        if !sql.get(..6)?.eq_ignore_ascii_case("insert") {
            return None;
        }
        let values = sql.to_ascii_lowercase().find("values")? + "values".len();
        let (head, rest) = sql.split_at_checked(values)?;
        let mut row = rest.trim().strip_prefix('(')?.strip_suffix(')')?;
        let plain = |letter: char| {
            letter.is_ascii_alphanumeric()
                || letter.is_ascii_whitespace()
                || "$,_-".contains(letter)
        };
        if head.contains('$') || !row.chars().all(plain) || row.contains("--") {
            return None;
        }
        let mut before = Vec::new();
        let mut parameters = 0;
        while let Some((text, rest)) = row.split_once('$') {
            let digits = rest.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(rest.len());
            let (number, rest) = rest.split_at_checked(digits)?;
            let number = number.parse::<usize>().ok()?;
            parameters = parameters.max(number);
            before.push((text.to_owned(), number));
            row = rest;
        }
        (parameters > 0).then(|| Self {
            head: head.to_owned(),
            before,
            after: row.to_owned(),
            parameters,
        })
    }

    /// The statement for this many rows. The parameters of the second row follow the first's.
    pub(super) fn rows(&self, count: usize) -> String {
        let mut sql = self.head.clone();
        for row in 0..count {
            sql.push_str(if row == 0 { " (" } else { ", (" });
            for (text, number) in &self.before {
                let _ = write!(sql, "{text}${}", row * self.parameters + number);
            }
            sql.push_str(&self.after);
            sql.push(')');
        }
        sql
    }

    /// How many of `left` rows the next statement takes: a power of two, so that there are few
    /// statements to prepare.
    pub(super) fn chunk(&self, left: usize) -> usize {
        let most = (MOST_PARAMETERS / self.parameters.max(1)).clamp(1, MOST_ROWS);
        let left = left.clamp(1, most);
        1 << left.ilog2()
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
            first.is_some_and(|first| first.id == text.id)
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
            insert.rows(2),
            "INSERT INTO t (a, b, c)\n VALUES ($1, 1, $2, NULL, $1), ($3, 1, $4, NULL, $3)"
        );
        assert_eq!(insert.parameters, 2);
        let sizes = [1, 2, 3, 7, 256, 1000].map(|left| insert.chunk(left));
        assert_eq!(sizes, [1, 2, 2, 4, 256, 256]);
    }

    #[test]
    fn the_parameters_of_a_statement_have_a_limit() {
        let row: Vec<String> = (1..=1000).map(|number| format!("${number}")).collect();
        let insert = Insert::parse(&format!("INSERT INTO t VALUES ({})", row.join(", "))).unwrap();
        assert_eq!(insert.chunk(256), 16);
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
        let text = |id, sql: &str| Arc::new(Text::new(id, sql));
        let a = text(1, "INSERT INTO a VALUES ($1)");
        let b = text(2, "INSERT INTO b VALUES ($1)");
        let change = text(3, "UPDATE a SET x = $1");
        let queue = [&a, &b, &a, &b, &change, &change, &b, &a, &b].map(Arc::clone);
        let expected: &[&[usize]] = &[&[0, 2], &[1, 3], &[4], &[5], &[6, 8], &[7]];
        assert_eq!(arrange(&queue), expected);
    }
}
