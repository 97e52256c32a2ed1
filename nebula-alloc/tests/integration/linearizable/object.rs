//! One thing that changes: an address, an owner. Its events say in which order it did; whether real
//! time allows that order, and explains what others saw of it, is found out here.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::checker::Violation;
use super::record::Record;

pub struct Object<S> {
    /// At first, and after each change.
    states: Vec<S>,
    changes: Vec<Span>,
    reads: Vec<Read<S>>,
    /// Between which moments each state can have been there, once all changes are known.
    windows: Vec<(u64, u64)>,
}

/// When an operation took place: somewhere in between.
#[derive(Clone, Copy)]
struct Span {
    id: u64,
    invoked: u64,
    responded: u64,
}

impl From<&Record> for Span {
    fn from(record: &Record) -> Self {
        Self { id: record.id, invoked: record.invoked, responded: record.responded }
    }
}

/// An operation that saw a state and changed nothing.
struct Read<S> {
    span: Span,
    fits: Box<dyn Fn(&S) -> bool>,
}

impl<S> Object<S> {
    pub fn new(state: S) -> Self {
        let states = vec![state];
        Self { states, changes: Vec::new(), reads: Vec::new(), windows: Vec::new() }
    }

    pub fn now(&self) -> &S {
        &self.states[self.states.len() - 1]
    }

    pub fn change(&mut self, by: &Record, state: S) {
        self.changes.push(by.into());
        self.states.push(state);
    }

    pub fn saw(&mut self, who: &Record, fits: impl Fn(&S) -> bool + 'static) {
        self.reads.push(Read { span: who.into(), fits: Box::new(fits) });
    }

    /// To be called when all changes are known.
    pub fn settle(&mut self, found: &mut Vec<Violation>) {
        // A change is not before it was invoked, nor before those that precede it.
        let mut latest: Option<Span> = None;
        let mut begins = vec![0];
        for change in &self.changes {
            if let Some(earlier) = latest.filter(|earlier| change.responded < earlier.invoked) {
                found.push(Violation::OutOfOrder { earlier: earlier.id, later: change.id });
            }
            if latest.is_none_or(|latest| latest.invoked < change.invoked) {
                latest = Some(*change);
            }
            begins.push(latest.map_or(0, |latest| latest.invoked));
        }
        // It is not after it was answered, nor after those that follow it.
        let mut ends = vec![u64::MAX];
        for change in self.changes.iter().rev() {
            ends.push(ends[ends.len() - 1].min(change.responded));
        }
        self.windows = begins.into_iter().zip(ends.into_iter().rev()).collect();
    }

    /// Whether one order of all that was seen fits the states: each is given the earliest state that
    /// it can be, not earlier than what operations before it were given.
    pub fn explain(&mut self, found: &mut Vec<Violation>) {
        let mut reads = std::mem::take(&mut self.reads);
        reads.sort_by_key(|read| read.span.invoked);
        let mut pending = BinaryHeap::new();
        let mut least = 0;
        for Read { span, fits } in &reads {
            while let Some(Reverse((responded, state))) = pending.peek().copied()
                && responded < span.invoked
            {
                least = least.max(state);
                pending.pop();
            }
            let (first, beyond) = self.possible(span.invoked, span.responded);
            match (first.max(least)..beyond).find(|state| fits(&self.states[*state])) {
                Some(state) => pending.push(Reverse((span.responded, state))),
                None => found.push(Violation::Unexplained { operation: span.id }),
            }
        }
    }

    /// When, within the operation, it can have been in a state that `fits`.
    pub fn times(&self, who: &Record, fits: impl Fn(&S) -> bool) -> Vec<(u64, u64)> {
        let (first, beyond) = self.possible(who.invoked, who.responded);
        (first..beyond)
            .filter(|state| fits(&self.states[*state]))
            .map(|state| self.windows[state])
            .map(|(begin, end)| (begin.max(who.invoked), end.min(who.responded)))
            .filter(|(begin, end)| begin <= end)
            .collect()
    }

    /// The states that can have been there between two moments: from the one up to the other.
    fn possible(&self, from: u64, to: u64) -> (usize, usize) {
        let first = self.windows.partition_point(|(_, end)| *end < from);
        (first, self.windows.partition_point(|(begin, _)| *begin <= to))
    }
}
