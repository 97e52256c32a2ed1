//! A read and its parameters, kept to be made later.

use super::value::{Param, Value};

/// A read with its parameters, see [`Step::prefetch`](crate::writer::Step::prefetch).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Query {
    pub(crate) sql: &'static str,
    params: Vec<Value>,
}

impl Query {
    /// The read that [`query`](super::Transaction::query) with the same text and parameters makes.
    #[must_use]
    pub fn new(sql: &'static str, params: &[Param<'_>]) -> Self {
        Self { sql, params: params.iter().map(Value::from).collect() }
    }

    pub(crate) fn params(&self) -> Vec<Param<'_>> {
        self.params.iter().map(Param::from).collect()
    }

    pub(crate) fn is(&self, sql: &str, params: &[Param<'_>]) -> bool {
        self.sql == sql
            && self.params.len() == params.len()
            && self.params.iter().zip(params).all(|(own, param)| Param::from(own) == *param)
    }
}
