//! Reads that steps declare, made for a whole batch together.

use std::collections::HashMap;
use std::sync::Arc;

use crate::Error;
use crate::store::{Param, Query, Row, Transaction};

/// The prefetched reads of one step that it has not made yet.
#[derive(Debug, Default)]
pub(super) struct Prefetched(Vec<(Arc<Query>, Arc<Vec<Row>>)>);

impl Prefetched {
    /// The answer of a prefetched read, once.
    pub(super) fn take(&mut self, sql: &str, params: &[Param<'_>]) -> Option<Vec<Row>> {
        let place = self.0.iter().position(|(query, _)| query.is(sql, params))?;
        Some(Arc::unwrap_or_clone(self.0.swap_remove(place).1))
    }

    /// Whether none is left.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Discards all: the rows may have changed.
    pub(super) fn forget(&mut self) {
        self.0.clear();
    }
}

/// Makes the reads of all steps, equal ones once: in one round trip for each text, where the engine
/// can. Where a read costs no round trip, only reads that several steps declare are made.
///
/// # Errors
///
/// The engine's, of whichever read it is.
pub(super) fn read(
    tx: &mut dyn Transaction,
    asked: Vec<Vec<Query>>,
    costs_a_trip: bool,
) -> Result<Vec<Prefetched>, Error> {
    let mut prefetched: Vec<_> = asked.iter().map(|_| Prefetched::default()).collect();
    let mut texts: Vec<(&str, Vec<Wanted>)> = Vec::new();
    for wanted in distinct(asked) {
        if !costs_a_trip && !wanted.is_shared() {
            continue;
        }
        match texts.iter_mut().find(|(sql, _)| *sql == wanted.query.sql) {
            Some((_, members)) => members.push(wanted),
            None => texts.push((wanted.query.sql, vec![wanted])),
        }
    }
    for (sql, members) in texts {
        let sets: Vec<_> = members.iter().map(|wanted| wanted.query.params()).collect();
        let answers = tx.query_each(sql, &sets)?;
        for (Wanted { query, steps }, rows) in members.into_iter().zip(answers) {
            let rows = Arc::new(rows);
            for step in steps {
                if let Some(Prefetched(all)) = prefetched.get_mut(step) {
                    all.push((Arc::clone(&query), Arc::clone(&rows)));
                }
            }
        }
    }
    Ok(prefetched)
}

/// A read, and the steps that declare it, in ascending order; one may do so more than once.
struct Wanted {
    query: Arc<Query>,
    steps: Vec<usize>,
}

impl Wanted {
    fn is_shared(&self) -> bool {
        self.steps.first() != self.steps.last()
    }
}

/// Equal reads as one, in the order in which they were first declared.
fn distinct(asked: Vec<Vec<Query>>) -> Vec<Wanted> {
    let mut places = HashMap::new();
    let mut reads: Vec<Wanted> = Vec::new();
    for (step, queries) in asked.into_iter().enumerate() {
        for query in queries {
            let query = Arc::new(query);
            let place = *places.entry(Arc::clone(&query)).or_insert_with(|| {
                reads.push(Wanted { query, steps: Vec::new() });
                reads.len() - 1
            });
            if let Some(wanted) = reads.get_mut(place) {
                wanted.steps.push(step);
            }
        }
    }
    reads
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Value;

    /// Answers each read with its parameter, and counts the reads.
    struct Counting(usize);

    impl Transaction for Counting {
        fn execute(&mut self, _: &str, _: &[Param<'_>]) -> Result<u64, Error> {
            unreachable!("nothing is written")
        }

        fn query(&mut self, _: &str, params: &[Param<'_>]) -> Result<Vec<Row>, Error> {
            self.0 += 1;
            Ok(vec![Row::new(params.iter().map(Value::from).collect())])
        }

        fn script(&mut self, _: &str) -> Result<(), Error> {
            unreachable!("nothing is written")
        }

        fn tables(&mut self, _: &str) -> Result<Vec<String>, Error> {
            unreachable!("nothing is listed")
        }
    }

    #[test]
    fn what_several_steps_read_alike_is_read_once() {
        let query = |number: i64| Query::new("SELECT $1", &[number.into()]);
        let asked = || (1..=64).map(|own| vec![query(0), query(own), query(own)]).collect();
        for (costs_a_trip, reads) in [(false, 1), (true, 65)] {
            let mut tx = Counting(0);
            let prefetched = read(&mut tx, asked(), costs_a_trip).unwrap();
            assert_eq!(tx.0, reads);
            for (own, mut prefetched) in (1..).zip(prefetched) {
                let mut take = |number: i64| prefetched.take("SELECT $1", &[number.into()]);
                let row = |number| Some(vec![Row::new(vec![Value::Integer(number)])]);
                assert_eq!(take(0), row(0));
                assert_eq!(take(0), None);
                let told = costs_a_trip.then(|| row(own)).flatten();
                assert_eq!([take(own), take(own), take(own)], [told.clone(), told, None]);
            }
        }
    }
}
