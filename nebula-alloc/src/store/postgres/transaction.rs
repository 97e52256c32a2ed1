//! The seam over PostgreSQL.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use super::connection;
use super::pipeline::{Message, Reply};
use super::rewrite::batched_query;
use super::session::Session;
use super::settled;
use super::text::{Text, arrange, misuse};
use super::value::{self, Bound};
use crate::error::{Error, Misuse};
use crate::store::Open;
use crate::store::sql_text::{controls, sets};
use crate::store::{Param, Row, Transaction, Value, not_one};

/// A transaction of a connection; rolled back when dropped.
pub struct OpenPostgres<'a> {
    session: &'a mut Session,
    queue: Queue,
    /// The error that aborted the transaction; every later statement is refused.
    failed: Option<Error>,
    instance: Option<i64>,
    /// Whether what may write is refused.
    reading: bool,
    /// If all its statements see the same.
    snapshot: Option<Snapshot<'a>>,
    over: bool,
}

/// Of a transaction that only reads.
struct Snapshot<'a> {
    begin: &'static str,
    /// Whether a statement has made it.
    is_taken: bool,
    /// The highest event that is known to be settled, of all who share it.
    known: &'a AtomicI64,
    /// What that was before the transaction began.
    at_begin: i64,
    /// What was answered already.
    settled: Option<i64>,
}

/// Statements that wait for one that answers.
#[derive(Default)]
struct Queue {
    texts: Vec<Arc<Text>>,
    /// Where the values of each begin, and whether it must change exactly one row.
    entries: Vec<(usize, bool)>,
    values: Vec<Value>,
}

/// One or several queued statements, as sent.
struct Unit {
    text: Arc<Text>,
    /// Indices into the queue.
    members: Vec<usize>,
}

impl Queue {
    fn values(&self, index: usize) -> &[Value] {
        let start = |index: usize| self.entries.get(index).map(|(start, _)| *start);
        let begin = start(index).unwrap_or(self.values.len());
        let end = start(index + 1).unwrap_or(self.values.len());
        self.values.get(begin..end).unwrap_or_default()
    }

    /// What is sent for them; the texts must be prepared.
    fn units(&self) -> Result<Vec<Unit>, Error> {
        let mut units = Vec::with_capacity(self.texts.len());
        for members in arrange(&self.texts) {
            let Some(text) = members.first().and_then(|first| self.texts.get(*first)) else {
                continue;
            };
            for index in &members {
                text.check(self.values(*index).len())?;
            }
            match text.many()?.filter(|_| members.len() > 1) {
                Some(many) => units.push(Unit { text: Arc::clone(many), members }),
                None => units.extend(
                    members
                        .iter()
                        .map(|index| Unit { text: Arc::clone(text), members: vec![*index] }),
                ),
            }
        }
        Ok(units)
    }

    fn message<'a>(&'a self, unit: &'a Unit) -> Result<Message<'a>, Error> {
        let first = unit.members.first().map_or(&[][..], |first| self.values(*first));
        let bound: Vec<_> = match unit.members.as_slice() {
            [_] => first.iter().map(Bound::Kept).collect(),
            members => (0..first.len())
                .map(|column| {
                    let values = members.iter().filter_map(|index| self.values(*index).get(column));
                    Bound::Array(values.map(Bound::Kept).collect())
                })
                .collect(),
        };
        Ok(Message::Bound(unit.text.check(bound.len())?, bound))
    }

    /// Whether a unit changed as many rows as it has to.
    fn judge(&self, unit: &Unit, reply: &Reply) -> Result<(), Error> {
        let expected = unit.members.len();
        let all = |index: &usize| self.entries.get(*index).is_some_and(|(_, one)| *one);
        match reply {
            Reply::Changed(changed)
                if unit.members.iter().all(all) && u64::try_from(expected) != Ok(*changed) =>
            {
                Err(not_one(*changed, &unit.text.sql))
            }
            _ => Ok(()),
        }
    }
}

impl<'a> OpenPostgres<'a> {
    pub(super) fn new(session: &'a mut Session, instance: Option<i64>) -> Self {
        Self {
            session,
            queue: Queue::default(),
            failed: None,
            instance,
            reading: false,
            snapshot: None,
            over: false,
        }
    }

    /// One that was begun by `begin`, and sees one snapshot. `known` is the last event that others
    /// found settled, and what it was before.
    pub(super) fn reading(
        session: &'a mut Session,
        begin: &'static str,
        (known, at_begin): (&'a AtomicI64, i64),
    ) -> Self {
        let snapshot = Snapshot { begin, is_taken: false, known, at_begin, settled: None };
        let mut open = Self::new(session, None);
        open.snapshot = Some(snapshot);
        open
    }

    fn text(&mut self, sql: &str) -> Result<Arc<Text>, Error> {
        let text = self.session.text(sql);
        text.staying()?;
        Ok(text)
    }

    /// The text of a statement that may write.
    fn writing_text(&mut self, sql: &str) -> Result<Arc<Text>, Error> {
        self.writable(sql)?;
        self.text(sql)
    }

    /// That this is no plan, and no snapshot of [readers](super::PostgresReaders).
    fn writable(&self, sql: &str) -> Result<(), Error> {
        match self.reading || self.snapshot.is_some() {
            true => Err(misuse(Misuse::Writes, sql)),
            false => Ok(()),
        }
    }

    fn query_text(&mut self, sql: &str) -> Result<Arc<Text>, Error> {
        let text = self.text(sql)?;
        if self.reading {
            text.reading()?;
        }
        Ok(text)
    }

    /// Sends what is queued and, behind it, the text with each of the sets of parameters.
    fn run(&mut self, text: &Arc<Text>, sets: &[&[Param<'_>]]) -> Result<Vec<Reply>, Error> {
        self.usable()?;
        // Before anything is sent, so that a misuse leaves the transaction as it is.
        self.prepare([text])?;
        let asked: Vec<Message<'_>> = sets
            .iter()
            .map(|set| {
                let bound = set.iter().copied().map(Bound::Param).collect();
                Ok(Message::Bound(text.check(set.len())?, bound))
            })
            .collect::<Result<_, Error>>()?;
        let replies = self.send(asked)?;
        if text.sets {
            self.check_settings(&text.sql)?;
        }
        Ok(replies)
    }

    /// Behind a text that may have changed some.
    fn check_settings(&mut self, sql: &str) -> Result<(), Error> {
        connection::check_settings(self.session, sql).map_err(|error| self.fail(error))
    }

    fn send(&mut self, asked: Vec<Message<'_>>) -> Result<Vec<Reply>, Error> {
        if let Some(snapshot) = &mut self.snapshot {
            snapshot.is_taken = true;
        }
        let queue = std::mem::take(&mut self.queue);
        self.prepare(&queue.texts)?;
        let units = queue.units()?;
        self.prepare(units.iter().map(|unit| &unit.text))?;
        let outcome = exchange(self.session, &queue, &units, asked);
        outcome.map_err(|error| self.fail(error))
    }

    fn prepare<'t>(&mut self, texts: impl IntoIterator<Item = &'t Arc<Text>>) -> Result<(), Error> {
        self.session.prepare(texts).map_err(|error| self.fail(error))
    }

    fn fail(&mut self, error: Error) -> Error {
        self.failed.get_or_insert_with(|| error.clone());
        error
    }

    fn usable(&self) -> Result<(), Error> {
        if let Some(lost) = self.session.lost() {
            return Err(lost);
        }
        match &self.failed {
            None => Ok(()),
            Some(first) => Err(Error::Aborted(Box::new(first.clone()))),
        }
    }

    fn rows(reply: Reply) -> Result<Vec<Row>, Error> {
        match reply {
            Reply::Rows(rows) => rows.iter().map(value::row).collect(),
            Reply::Changed(_) => Ok(Vec::new()),
        }
    }
}

fn skip_locked(sql: &str) -> String {
    format!("{sql} FOR UPDATE SKIP LOCKED")
}

fn exchange(
    session: &mut Session,
    queue: &Queue,
    units: &[Unit],
    asked: Vec<Message<'_>>,
) -> Result<Vec<Reply>, Error> {
    let mut messages =
        units.iter().map(|unit| queue.message(unit)).collect::<Result<Vec<_>, Error>>()?;
    messages.extend(asked);
    if messages.is_empty() {
        return Ok(Vec::new());
    }
    let mut replies = session.send(messages)?.into_iter();
    for (unit, reply) in units.iter().zip(replies.by_ref()) {
        queue.judge(unit, &reply?)?;
    }
    replies.collect()
}

impl Transaction for OpenPostgres<'_> {
    fn execute(&mut self, sql: &str, params: &[Param<'_>]) -> Result<u64, Error> {
        self.usable()?;
        let text = self.writing_text(sql)?;
        self.prepare([&text])?;
        if !text.statement()?.columns().is_empty() {
            return Err(misuse(Misuse::ReturnsRows, sql));
        }
        match self.run(&text, &[params])?.pop() {
            Some(Reply::Changed(changed)) => Ok(changed),
            _ => Ok(0),
        }
    }

    fn query(&mut self, sql: &str, params: &[Param<'_>]) -> Result<Vec<Row>, Error> {
        let text = self.query_text(sql)?;
        match self.run(&text, &[params])?.pop() {
            Some(reply) => Self::rows(reply),
            None => Ok(Vec::new()),
        }
    }

    fn queue(&mut self, sql: &str, params: &[Param<'_>]) -> Result<(), Error> {
        self.enqueue(sql, params, false)
    }

    fn queue_one(&mut self, sql: &str, params: &[Param<'_>]) -> Result<(), Error> {
        self.enqueue(sql, params, true)
    }

    fn flush(&mut self) -> Result<(), Error> {
        if let Some(first) = &self.failed {
            return Err(first.clone());
        }
        self.usable()?;
        if self.queue.texts.is_empty() { Ok(()) } else { self.send(Vec::new()).map(drop) }
    }

    fn query_skip_locked(&mut self, sql: &str, params: &[Param<'_>]) -> Result<Vec<Row>, Error> {
        self.query(&skip_locked(sql), params)
    }

    fn query_each_skip_locked(
        &mut self,
        sql: &str,
        sets: &[Vec<Param<'_>>],
    ) -> Result<Vec<Vec<Row>>, Error> {
        self.query_each(&skip_locked(sql), sets)
    }

    fn instance(&self) -> Option<i64> {
        self.instance
    }

    fn query_each(&mut self, sql: &str, sets: &[Vec<Param<'_>>]) -> Result<Vec<Vec<Row>>, Error> {
        let text = self.query_text(sql)?;
        if sets.len() > 1 {
            self.usable()?;
            self.prepare([&text])?;
            let statement = text.statement()?;
            if let Some(sql) = batched_query(sql, statement.params())
                && sets.iter().all(|set| set.len() == statement.params().len())
            {
                return self.query_at_once(&sql, statement.params().len(), sets);
            }
        }
        let sets: Vec<&[Param<'_>]> = sets.iter().map(Vec::as_slice).collect();
        self.run(&text, &sets)?.into_iter().map(Self::rows).collect()
    }

    fn last_settled_event(&mut self) -> Result<i64, Error> {
        self.flush()?;
        self.usable()?;
        // Without a snapshot each statement sees what has been committed before it.
        let Some(snapshot) = &mut self.snapshot else { return settled::last(self.session) };
        if let Some(settled) = snapshot.settled {
            return Ok(settled);
        }
        let settled = if snapshot.is_taken {
            // What is found out now is for those to come.
            snapshot.known.fetch_max(settled::last(self.session)?, Ordering::AcqRel);
            snapshot.at_begin
        } else {
            let settled = settled::before(self.session, snapshot.begin)?;
            snapshot.known.fetch_max(settled, Ordering::AcqRel);
            settled
        };
        snapshot.settled = Some(settled);
        Ok(settled)
    }

    fn script(&mut self, sql: &str) -> Result<(), Error> {
        self.usable()?;
        self.writable(sql)?;
        if controls(sql) {
            return Err(misuse(Misuse::ControlsTransaction, sql));
        }
        self.flush()?;
        let sql = sql
            .replace("{blob}", "BYTEA")
            .replace("{identity}", "BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY")
            .replace("{clustered}", "");
        self.session.migrate(&sql).map_err(|error| self.fail(error))?;
        if sets(&sql) { self.check_settings(&sql) } else { Ok(()) }
    }

    fn tables(&mut self, prefix: &str) -> Result<Vec<String>, Error> {
        let rows = self.query(
            "SELECT CAST(tablename AS TEXT) FROM pg_catalog.pg_tables
             WHERE schemaname = current_schema() AND starts_with(CAST(tablename AS TEXT), $1)
             ORDER BY tablename",
            &[prefix.into()],
        )?;
        rows.iter().map(|row| row.columns().text().map(str::to_owned)).collect()
    }
}

impl OpenPostgres<'_> {
    /// Runs what [`batched_query`] made of a query.
    fn query_at_once(
        &mut self,
        sql: &str,
        parameters: usize,
        sets: &[Vec<Param<'_>>],
    ) -> Result<Vec<Vec<Row>>, Error> {
        let text = self.session.text(sql);
        self.prepare([&text])?;
        let column = |index: usize| -> Vec<Bound<'_>> {
            sets.iter().filter_map(|set| set.get(index).copied().map(Bound::Param)).collect()
        };
        let bound = (0..parameters).map(|index| Bound::Array(column(index))).collect();
        let asked = vec![Message::Bound(text.check(parameters)?, bound)];
        let mut answers = vec![Vec::new(); sets.len()];
        let replies = self.send(asked)?;
        if text.sets {
            self.check_settings(&text.sql)?;
        }
        for reply in replies {
            for mut row in Self::rows(reply)? {
                if let Some(Value::Integer(place)) = row.pop()
                    && let Some(index) = place.checked_sub(1)
                    && let Ok(index) = usize::try_from(index)
                    && let Some(answer) = answers.get_mut(index)
                {
                    answer.push(row);
                }
            }
        }
        Ok(answers)
    }

    fn enqueue(&mut self, sql: &str, params: &[Param<'_>], one: bool) -> Result<(), Error> {
        self.usable()?;
        let text = self.writing_text(sql)?;
        let sets = text.sets;
        self.queue.texts.push(text);
        self.queue.entries.push((self.queue.values.len(), one));
        self.queue.values.extend(params.iter().map(Value::from));
        if !sets {
            return Ok(());
        }
        self.flush()?;
        self.check_settings(sql)
    }
}

impl Open for OpenPostgres<'_> {
    const PREFETCHES: bool = true;

    fn only_read(&mut self, yes: bool) {
        self.reading = yes;
    }

    fn aborted_by(&self) -> Option<Error> {
        self.failed.clone().or_else(|| self.session.lost())
    }

    fn commit(mut self) -> Result<(), Error> {
        self.flush()?;
        // The server would take COMMIT for ROLLBACK, without an error, if a statement had failed;
        // `flush` has returned that error.
        self.over = true;
        match self.session.send(vec![Message::Plain("COMMIT")])?.pop() {
            Some(Err(error)) => Err(error),
            _ => Ok(()),
        }
    }
}

impl Drop for OpenPostgres<'_> {
    fn drop(&mut self) {
        if !self.over && self.session.lost().is_none() {
            // If it fails the connection is lost, which the next to use it notices.
            let _ = self.session.send(vec![Message::Plain("ROLLBACK")]);
        }
    }
}
