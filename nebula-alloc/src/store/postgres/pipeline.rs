//! Several statements in one round trip.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::Poll;

use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Row, Statement};

use super::value::{self, Bound};
use crate::Error;

/// What is sent.
pub(super) enum Message<'a> {
    /// A text without parameters, not prepared.
    Plain(&'a str),
    /// A prepared statement.
    Bound(&'a Statement, Vec<Bound<'a>>),
}

/// What comes back.
pub(super) enum Reply {
    Changed(u64),
    Rows(Vec<Row>),
}

/// The number that a statement of one answers, if it answers a row.
pub(super) fn number(reply: &Reply) -> Result<Option<i64>, Error> {
    match reply {
        Reply::Rows(rows) => {
            rows.first().map(|found| value::row(found)?.columns().integer()).transpose()
        }
        Reply::Changed(_) => Ok(None),
    }
}

impl<'a> Message<'a> {
    pub(super) async fn send(self, client: &Client) -> Result<Reply, tokio_postgres::Error> {
        match self {
            Self::Plain(sql) => client.batch_execute(sql).await.map(|()| Reply::Changed(0)),
            Self::Bound(statement, bound) => {
                let params: Vec<&(dyn ToSql + Sync)> =
                    bound.iter().map(|param| param as &(dyn ToSql + Sync)).collect();
                if statement.columns().is_empty() {
                    client.execute(statement, &params).await.map(Reply::Changed)
                } else {
                    client.query(statement, &params).await.map(Reply::Rows)
                }
            }
        }
    }
}

/// A future of a pipeline.
pub(super) type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Drives all of these together and answers their outputs in order.
///
/// Each is polled once, which sends it; from then on the first that has no answer yet, because the
/// server answers in order. The driver stops reading when an answer is not fetched, so nothing may
/// wait for a later one while an earlier one is left alone.
pub(super) async fn all<T>(mut futures: Vec<Boxed<'_, T>>) -> Vec<T> {
    let mut outputs: Vec<Option<T>> = futures.iter().map(|_| None).collect();
    let mut sent = false;
    let mut head = 0;
    poll_fn(move |context| {
        for (index, (future, output)) in futures.iter_mut().zip(&mut outputs).enumerate() {
            if index < head || output.is_some() {
                continue;
            }
            match future.as_mut().poll(context) {
                Poll::Ready(ready) => *output = Some(ready),
                Poll::Pending if sent => break,
                Poll::Pending => {}
            }
        }
        sent = true;
        head = outputs.iter().position(Option::is_none).unwrap_or(outputs.len());
        if head < outputs.len() {
            return Poll::Pending;
        }
        Poll::Ready(outputs.drain(..).flatten().collect())
    })
    .await
}
