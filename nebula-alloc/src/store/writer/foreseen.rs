//! Reads that steps tell beforehand, made for a whole batch together.

use crate::Error;
use crate::store::{Param, Row, Transaction, Value};

/// A read with its parameters, see [`Step::foreseen`](super::Step::foreseen).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    sql: &'static str,
    params: Vec<Value>,
}

impl Query {
    /// The read that [`query`](Transaction::query) with the same text and parameters makes.
    #[must_use]
    pub fn new(sql: &'static str, params: &[Param<'_>]) -> Self {
        Self { sql, params: params.iter().map(Value::from).collect() }
    }

    fn params(&self) -> Vec<Param<'_>> {
        self.params.iter().map(Param::from).collect()
    }

    fn is(&self, sql: &str, params: &[Param<'_>]) -> bool {
        self.sql == sql && self.params().as_slice() == params
    }
}

/// What one step was read beforehand and did not ask for yet.
#[derive(Debug, Default)]
pub(super) struct Foreseen(Vec<(Query, Vec<Row>)>);

impl Foreseen {
    /// The answer of a read, if it was foreseen; once.
    pub(super) fn take(&mut self, sql: &str, params: &[Param<'_>]) -> Option<Vec<Row>> {
        let place = self.0.iter().position(|(query, _)| query.is(sql, params))?;
        Some(self.0.swap_remove(place).1)
    }

    /// It may be otherwise by now.
    pub(super) fn forget(&mut self) {
        self.0.clear();
    }
}

/// Makes the reads of all steps: in one round trip for each text, where the engine can.
///
/// # Errors
///
/// The engine's, of whichever read it is.
pub(super) fn read(
    tx: &mut dyn Transaction,
    asked: Vec<Vec<Query>>,
) -> Result<Vec<Foreseen>, Error> {
    let mut foreseen: Vec<_> = asked.iter().map(|_| Foreseen::default()).collect();
    let mut texts: Vec<(&str, Vec<(usize, Query)>)> = Vec::new();
    for (step, queries) in asked.into_iter().enumerate() {
        for query in queries {
            match texts.iter_mut().find(|(sql, _)| *sql == query.sql) {
                Some((_, members)) => members.push((step, query)),
                None => texts.push((query.sql, vec![(step, query)])),
            }
        }
    }
    for (sql, members) in texts {
        let sets: Vec<_> = members.iter().map(|(_, query)| query.params()).collect();
        let answers = tx.query_each(sql, &sets)?;
        for ((step, query), rows) in members.into_iter().zip(answers) {
            if let Some(Foreseen(all)) = foreseen.get_mut(step) {
                all.push((query, rows));
            }
        }
    }
    Ok(foreseen)
}
