//! A statement's text with what is known of it, and which texts are sent together.

use std::sync::{Arc, OnceLock};

use tokio_postgres::Statement;

use super::rewrite::Insert;
use crate::error::{Error, Misuse};
use crate::store::sql_text::{controls, reads, sets};

/// A statement's text with what is known of it.
#[derive(Debug)]
pub(super) struct Text {
    pub(super) sql: String,
    pub(super) insert: Option<Insert>,
    reads: bool,
    controls: bool,
    /// Whether it may change a setting.
    pub(super) sets: bool,
    pub(super) statement: OnceLock<Statement>,
    many: OnceLock<Option<Arc<Self>>>,
}

impl Text {
    pub(super) fn new(sql: &str) -> Self {
        Self {
            sql: sql.to_owned(),
            insert: Insert::parse(sql),
            reads: reads(sql),
            controls: controls(sql),
            sets: sets(sql),
            statement: OnceLock::new(),
            many: OnceLock::new(),
        }
    }

    /// Prepared already, unless this is asked before [`Session::prepare`](super::session::Session::prepare).
    pub(super) fn statement(&self) -> Result<&Statement, Error> {
        self.statement.get().ok_or_else(|| misuse(Misuse::NotPrepared, &self.sql))
    }

    /// Refuses what would end the transaction.
    pub(super) fn staying(&self) -> Result<(), Error> {
        if self.controls { Err(misuse(Misuse::ControlsTransaction, &self.sql)) } else { Ok(()) }
    }

    /// Refuses what may write.
    pub(super) fn reading(&self) -> Result<(), Error> {
        if self.reads { Ok(()) } else { Err(misuse(Misuse::Writes, &self.sql)) }
    }

    /// Checks what the driver would refuse only after it began to send.
    pub(super) fn check(&self, parameters: usize) -> Result<&Statement, Error> {
        let statement = self.statement()?;
        if statement.params().len() != parameters {
            return Err(misuse(Misuse::ParameterCount, &self.sql));
        }
        Ok(statement)
    }

    /// The same `INSERT` for several rows, if it can have them. Asked when it is prepared.
    pub(super) fn many(&self) -> Result<Option<&Arc<Self>>, Error> {
        let Some(insert) = &self.insert else { return Ok(None) };
        let parameters = self.statement()?.params();
        let many = || insert.many(parameters).map(|sql| Arc::new(Self::new(&sql)));
        Ok(self.many.get_or_init(many).as_ref())
    }
}

pub(super) fn misuse(misuse: Misuse, sql: &str) -> Error {
    Error::Statement { misuse, sql: sql.to_owned() }
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
