//! Do many callers share the writer without harming each other?

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::mpsc::channel;
use std::sync::{Arc, Barrier};
use std::thread;

use nebula_alloc::lease::{Lease, Request, list};
use nebula_alloc::store::Subject;
use nebula_alloc::store::Transaction;
use nebula_alloc::verify::verify;
use nebula_alloc::writer::{Planned, Step};
use nebula_alloc::{Allocator, Error, Family, Writer, WriterOptions, event};

use crate::support::busy::occupy;
use crate::support::*;

/// A lease, a row of its own, and what goes wrong.
struct Enroll {
    number: u64,
    wishes: Vec<Request>,
    fate: Fate,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Fate {
    Succeeds,
    PlanRefuses,
    PlanPanics,
    PlanWrites,
    PlanWritesByQuery,
    PlanWritesByQueries,
    PlanIgnoresThatItCannotWrite,
    ActorPanics,
    ComputeRefuses,
    ComputePanics,
    WriteRefuses,
    WritePanics,
    /// With a text that would end the transaction.
    Ends(How, &'static str),
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum How {
    Execute,
    Query,
    Queue,
    Script,
}

const BY_QUERY: &str = "INSERT INTO mine (number) VALUES ($1) RETURNING number";

#[derive(Debug, PartialEq)]
enum Refusal {
    Own,
    Store(Error),
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self::Store(error)
    }
}

impl Enroll {
    fn new(number: u64, fate: Fate) -> Self {
        Self { number, wishes: vec![request(number)], fate }
    }
}

impl Step for Enroll {
    /// Whether finding out who asks panics.
    type Plan = bool;
    type Output = Vec<IpAddr>;
    type Error = Refusal;

    fn subject(&self) -> Subject {
        Subject::Key(self.number.to_be_bytes().to_vec())
    }

    fn plan(&mut self, tx: &mut dyn Transaction, _: i64) -> Result<Planned<bool>, Refusal> {
        let none = Planned::without_addresses(false);
        match self.fate {
            Fate::PlanRefuses => Err(Refusal::Own),
            Fate::PlanPanics => panic!("in plan"),
            Fate::PlanWrites => {
                tx.execute("DELETE FROM alloc_lease", &[])?;
                Ok(none)
            }
            Fate::PlanWritesByQuery => {
                tx.query(BY_QUERY, &[1001.into()])?;
                Ok(none)
            }
            Fate::PlanWritesByQueries => {
                tx.query_each(BY_QUERY, &[vec![1001.into()], vec![1002.into()]])?;
                Ok(none)
            }
            Fate::PlanIgnoresThatItCannotWrite => {
                let refused = tx.query(BY_QUERY, &[1001.into()]);
                assert!(matches!(refused, Err(Error::Statement { .. })), "{refused:?}");
                tx.query("SELECT number FROM mine", &[])?;
                Err(Refusal::Own)
            }
            _ => {
                let panics = self.fate == Fate::ActorPanics;
                Ok(Planned::with_addresses(panics, self.wishes.clone(), |panics| {
                    assert!(!panics, "in actor");
                    ACTOR
                }))
            }
        }
    }

    const COMPUTES: bool = true;

    fn compute(&mut self, _: i64, _: &mut bool, leases: &[Lease]) -> Result<(), Refusal> {
        assert_eq!(leases.len(), self.wishes.len(), "it computes with what it was granted");
        match self.fate {
            Fate::ComputeRefuses => Err(Refusal::Own),
            Fate::ComputePanics => panic!("in compute"),
            _ => Ok(()),
        }
    }

    fn write(
        &mut self,
        tx: &mut dyn Transaction,
        now: i64,
        _: bool,
        leases: &[Lease],
    ) -> Result<Vec<IpAddr>, Refusal> {
        let number = i64::try_from(self.number).unwrap();
        tx.queue("INSERT INTO mine (number) VALUES ($1)", &[number.into()])?;
        event::append(tx, &event::Event::new(now, "test", "test"))?;
        match self.fate {
            Fate::WriteRefuses => Err(Refusal::Own),
            Fate::WritePanics => panic!("in write"),
            Fate::Ends(how, sql) => {
                match how {
                    How::Execute => tx.execute(sql, &[]).map(drop),
                    How::Query => tx.query(sql, &[]).map(drop),
                    How::Queue => tx.queue(sql, &[]),
                    How::Script => tx.script(sql),
                }?;
                Ok(Vec::new())
            }
            _ => Ok(leases.iter().map(|lease| lease.address).collect()),
        }
    }
}

fn writer(new: New, prefix: &str, options: WriterOptions) -> (Writer, impl Sized) {
    let mut store = new();
    store.pool(1, prefix);
    store.run(|tx| tx.script("CREATE TABLE mine (number BIGINT NOT NULL PRIMARY KEY)")).unwrap();
    store.writer(options)
}

type Answer = (u64, Result<Vec<IpAddr>, Refusal>);

/// Has all of them in one batch: they are queued while the writer is kept busy.
fn batch(writer: &Writer, steps: Vec<Enroll>) -> Vec<Answer> {
    let gate = occupy(writer);
    let (sender, receiver) = channel();
    for step in steps {
        let (number, sender) = (step.number, sender.clone());
        writer.submit(step, move |answer| sender.send((number, answer)).unwrap()).unwrap();
    }
    drop((sender, gate));
    receiver.iter().collect()
}

/// Rows and leases, which must agree with the answers.
fn stored(writer: &Writer) -> (BTreeSet<u64>, BTreeSet<IpAddr>) {
    writer
        .transaction(|tx, _| {
            assert_eq!(verify(tx)?, []);
            let rows = tx.query("SELECT number FROM mine", &[])?;
            let numbers =
                rows.iter().map(|row| row.columns().integer().unwrap().cast_unsigned()).collect();
            let leases = list(tx, NETWORK, None, 10_000)?;
            Ok::<_, Error>((numbers, leases.iter().map(|lease| lease.address).collect()))
        })
        .unwrap()
}

fn assert_answers_are_stored(writer: &Writer, answers: &[Answer]) {
    let granted: Vec<_> =
        answers.iter().filter_map(|(n, a)| Some((*n, a.as_ref().ok()?))).collect();
    let numbers = granted.iter().map(|(number, _)| *number).collect();
    let addresses: BTreeSet<_> =
        granted.iter().flat_map(|(_, list)| list.iter().copied()).collect();
    assert_eq!(addresses.len(), granted.iter().map(|(_, list)| list.len()).sum::<usize>());
    assert_eq!(stored(writer), (numbers, addresses));
}

pub fn a_thousand_owners_from_64_threads_get_a_thousand_addresses_and_again_the_same(new: New) {
    let mut store = new();
    store.pool(1, "10.0.0.0/16");
    let (writer, _directory) = store.writer(WriterOptions::default());
    let allocator = Allocator::new(writer, "test");
    let round = || -> Vec<(u64, IpAddr)> {
        let barrier = Barrier::new(64);
        let mut got: Vec<_> = thread::scope(|scope| {
            let threads: Vec<_> = (0..64)
                .map(|thread| {
                    let (allocator, barrier) = (&allocator, &barrier);
                    scope.spawn(move || {
                        barrier.wait();
                        (thread..1000)
                            .step_by(64)
                            .map(|n| (n, allocator.allocate(request(n)).wait().unwrap().address))
                            .collect::<Vec<_>>()
                    })
                })
                .collect();
            threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
        });
        got.sort_unstable();
        got
    };
    let first = round();
    let addresses: BTreeSet<_> = first.iter().map(|(_, address)| *address).collect();
    assert_eq!(addresses.len(), 1000);
    assert_eq!(addresses.last(), Some(&ip("10.0.3.232")), "lowest first, without a gap");
    assert_eq!(round(), first);
    let events = allocator.writer().transaction(|tx, _| event::after(tx, Some(NETWORK), 0, 5000));
    assert_eq!(events.unwrap().len(), 1001, "one is the pool's; asking again is no event");
}

/// The same owner from many threads at once is still one owner.
pub fn one_owner_asking_from_many_threads_gets_one_address(new: New) {
    let mut store = new();
    store.pool(1, "10.0.0.0/24");
    let (writer, _directory) = store.writer(WriterOptions::default());
    let allocator = Allocator::new(writer, "test");
    let got: BTreeSet<_> = thread::scope(|scope| {
        let threads: Vec<_> = (0..32)
            .map(|_| scope.spawn(|| allocator.allocate(request(1)).wait().unwrap().address))
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(got.len(), 1);
}

pub fn one_that_fails_among_a_hundred_fails_alone(new: New) {
    for fate in [
        Fate::PlanRefuses,
        Fate::PlanPanics,
        Fate::PlanWrites,
        Fate::PlanWritesByQuery,
        Fate::PlanWritesByQueries,
        Fate::PlanIgnoresThatItCannotWrite,
        Fate::ActorPanics,
        Fate::ComputeRefuses,
        Fate::ComputePanics,
        Fate::WriteRefuses,
        Fate::WritePanics,
    ] {
        for poisoned in [0, 37, 99] {
            let (writer, _directory) = writer(new, "10.0.0.0/24", WriterOptions::default());
            let steps = (0..100)
                .map(|n| Enroll::new(n, if n == poisoned { fate } else { Fate::Succeeds }))
                .collect();
            let answers = batch(&writer, steps);
            assert_eq!(answers.len(), 100);
            for (number, answer) in &answers {
                match (*number == poisoned, fate, answer) {
                    (false, _, Ok(_)) => {}
                    (
                        true,
                        Fate::PlanRefuses
                        | Fate::PlanIgnoresThatItCannotWrite
                        | Fate::ComputeRefuses
                        | Fate::WriteRefuses,
                        Err(Refusal::Own),
                    ) => {}
                    (
                        true,
                        Fate::PlanPanics
                        | Fate::ActorPanics
                        | Fate::ComputePanics
                        | Fate::WritePanics,
                        Err(Refusal::Store(Error::Panicked { message })),
                    ) => assert!(message.starts_with("in ")),
                    (
                        true,
                        Fate::PlanWrites | Fate::PlanWritesByQuery | Fate::PlanWritesByQueries,
                        Err(Refusal::Store(Error::Statement { .. })),
                    ) => {}
                    other => panic!("{number}: {:?}", other.2),
                }
            }
            assert_answers_are_stored(&writer, &answers);
            assert!(writer.is_ready());
            let panicked = answers
                .iter()
                .any(|(_, answer)| matches!(answer, Err(Refusal::Store(Error::Panicked { .. }))));
            assert_eq!(writer.counters().panics, u64::from(panicked));
        }
    }
}

/// Else what its neighbours were answered would be gone, or what it wrote be there although refused.
pub fn a_step_cannot_end_the_transaction_that_it_shares(new: New) {
    let (writer, _directory) = writer(new, "10.0.0.0/24", WriterOptions::default());
    let mut ends = vec![];
    for sql in ["ROLLBACK", "COMMIT", "END"] {
        ends.extend([How::Execute, How::Query, How::Queue, How::Script].map(|how| (how, sql)));
    }
    ends.extend(["SELECT 1; ROLLBACK; BEGIN", "COMMIT; BEGIN"].map(|sql| (How::Script, sql)));
    let fate = |number: u64| match ends.get(usize::try_from(number / 3).unwrap()) {
        Some((how, sql)) if number % 3 == 1 => Fate::Ends(*how, sql),
        _ => Fate::Succeeds,
    };
    let mut all = vec![];
    for first in (0..3 * u64::try_from(ends.len()).unwrap()).step_by(3) {
        let answers = batch(&writer, (first..first + 3).map(|n| Enroll::new(n, fate(n))).collect());
        for (number, answer) in &answers {
            match (fate(*number), answer) {
                (Fate::Succeeds, Ok(_)) | (_, Err(Refusal::Store(Error::Statement { .. }))) => {}
                (fate, answer) => panic!("{fate:?}: {answer:?}"),
            }
        }
        all.extend(answers);
        assert_answers_are_stored(&writer, &all);
    }
    // Savepoints are its own affair.
    let own = Fate::Ends(How::Script, "SAVEPOINT a; ROLLBACK TO a; RELEASE a");
    assert_eq!(batch(&writer, vec![Enroll::new(1_000, own)])[0].1, Ok(vec![]));
}

pub fn several_that_fail_in_different_ways_fail_alone(new: New) {
    let (writer, _directory) = writer(new, "10.0.0.0/24", WriterOptions::default());
    let fate = |number: u64| match number % 10 {
        1 => Fate::WriteRefuses,
        2 => Fate::ComputeRefuses,
        4 => Fate::WritePanics,
        7 => Fate::ComputePanics,
        9 => Fate::ActorPanics,
        5 => Fate::PlanRefuses,
        8 => Fate::PlanPanics,
        _ => Fate::Succeeds,
    };
    let answers = batch(&writer, (0..100).map(|n| Enroll::new(n, fate(n))).collect());
    assert_eq!(answers.len(), 100);
    for (number, answer) in &answers {
        assert_eq!(answer.is_ok(), fate(*number) == Fate::Succeeds, "{number}");
    }
    assert_answers_are_stored(&writer, &answers);
}

pub fn a_key_that_another_of_the_batch_uses_fails_the_later_alone(new: New) {
    let (writer, _directory) = writer(new, "10.0.0.0/24", WriterOptions::default());
    writer.transaction(|tx, _| tx.execute("INSERT INTO mine VALUES (7)", &[])).unwrap();
    let answers = batch(&writer, (0..20).map(|n| Enroll::new(n, Fate::Succeeds)).collect());
    for (number, answer) in &answers {
        match number {
            7 => assert_eq!(*answer, Err(Refusal::Store(Error::Unique))),
            _ => assert!(answer.is_ok()),
        }
    }
}

pub fn exhaustion_refuses_those_it_concerns_alone(new: New) {
    let (writer, _directory) = writer(new, "10.0.0.0/28", WriterOptions::default());
    let answers = batch(&writer, (0..20).map(|n| Enroll::new(n, Fate::Succeeds)).collect());
    assert_eq!(answers.iter().filter(|(_, answer)| answer.is_ok()).count(), 14);
    for (_, answer) in &answers[14..] {
        assert!(matches!(answer, Err(Refusal::Store(Error::PoolExhausted { .. }))));
    }
    assert_answers_are_stored(&writer, &answers);
}

/// Who wants two addresses and gets one must not keep it, nor keep another from it.
pub fn half_of_what_is_wanted_is_nothing_and_free_for_others(new: New) {
    let (writer, _directory) = writer(new, "10.0.0.0/30", WriterOptions::default());
    let mut both = Enroll::new(1, Fate::Succeeds);
    both.wishes.push(Request { family: Family::V6, ..request(1) });
    let steps = vec![both, Enroll::new(2, Fate::Succeeds), Enroll::new(3, Fate::Succeeds)];
    let answers = batch(&writer, steps);
    assert!(matches!(answers[0].1, Err(Refusal::Store(Error::NoPool { .. }))), "{answers:?}");
    assert!(answers[1].1.is_ok() && answers[2].1.is_ok());
    assert_answers_are_stored(&writer, &answers);
}

pub fn alone_half_of_what_is_wanted_is_nothing_too(new: New) {
    let (writer, _directory) = writer(new, "10.0.0.0/30", WriterOptions::default());
    let mut both = Enroll::new(1, Fate::Succeeds);
    both.wishes.push(Request { family: Family::V6, ..request(1) });
    assert!(writer.run(both).is_err());
    assert_eq!(stored(&writer), (BTreeSet::new(), BTreeSet::new()));
}

pub fn steps_about_the_same_thing_see_each_other(new: New) {
    let (writer, _directory) = writer(new, "10.0.0.0/24", WriterOptions::default());
    /// Counts up, by what its plan read.
    struct Count;
    impl Step for Count {
        type Plan = i64;
        type Output = i64;
        type Error = Error;
        fn subject(&self) -> Subject {
            Subject::Key(b"the counter".to_vec())
        }
        fn plan(&mut self, tx: &mut dyn Transaction, _: i64) -> Result<Planned<i64>, Error> {
            let rows = tx.query("SELECT count(*) FROM mine", &[])?;
            Ok(Planned::without_addresses(rows[0].columns().integer()?))
        }
        fn write(
            &mut self,
            tx: &mut dyn Transaction,
            _: i64,
            count: i64,
            _: &[Lease],
        ) -> Result<i64, Error> {
            tx.execute("INSERT INTO mine VALUES ($1)", &[count.into()])?;
            Ok(count)
        }
    }
    let gate = occupy(&writer);
    let (sender, receiver) = channel();
    for _ in 0..20 {
        let sender = sender.clone();
        writer.submit(Count, move |answer| sender.send(answer.unwrap()).unwrap()).unwrap();
    }
    drop((gate, sender));
    assert_eq!(receiver.iter().collect::<Vec<_>>(), (0..20).collect::<Vec<_>>());
}

/// Each of them takes a batch of its own.
pub fn many_requests_about_one_thing_keep_no_other_waiting(new: New) {
    let (writer, _directory) = writer(new, "10.0.0.0/24", WriterOptions::default().with_batch(8));
    let gate = occupy(&writer);
    let (sender, receiver) = channel();
    for (name, number) in [(1, 0); 100].into_iter().chain((0..70).map(|n| (0, n))) {
        let sender = sender.clone();
        let step = Named { name, number };
        writer.submit(step, move |answer| sender.send((name, answer)).unwrap()).unwrap();
    }
    drop((gate, sender));
    let answers: Vec<_> = receiver.iter().collect();
    assert!(answers.iter().all(|(_, answer)| answer.is_ok()));
    let last = answers.iter().rposition(|(name, _)| *name == 0).unwrap();
    let commits = answers[..last].iter().filter(|(name, _)| *name == 1).count();
    assert!(commits <= 10, "70 others had their answers after {commits} commits");
    assert_eq!(writer.counters().commits, 101);
}

/// A step that does nothing.
struct Named {
    name: u64,
    number: u64,
}

impl Step for Named {
    type Plan = ();
    type Output = ();
    type Error = Error;
    fn subject(&self) -> Subject {
        Subject::Key([self.name, self.number].map(u64::to_be_bytes).concat())
    }
    fn plan(&mut self, _: &mut dyn Transaction, _: i64) -> Result<Planned<()>, Error> {
        Ok(Planned::without_addresses(()))
    }
    fn write(&mut self, _: &mut dyn Transaction, _: i64, (): (), _: &[Lease]) -> Result<(), Error> {
        Ok(())
    }
}

pub fn a_full_queue_is_an_error_at_once(new: New) {
    let (writer, _directory) =
        writer(new, "10.0.0.0/24", WriterOptions::default().with_queue(4).with_batch(2));
    let gate = occupy(&writer);
    let (sender, receiver) = channel();
    for number in 0..4 {
        let sender = sender.clone();
        writer
            .submit(Enroll::new(number, Fate::Succeeds), move |answer| sender.send(answer).unwrap())
            .unwrap();
    }
    let full = writer.submit(Enroll::new(9, Fate::Succeeds), |_| panic!("not to be called"));
    assert_eq!(full, Err(Error::QueueFull { capacity: 4 }));
    drop((gate, sender));
    assert_eq!(receiver.iter().filter(Result::is_ok).count(), 4);
}

pub fn shutting_down_finishes_what_is_queued(new: New) {
    let (writer, directory) = writer(new, "10.0.0.0/24", WriterOptions::default().with_batch(7));
    let gate = occupy(&writer);
    let (sender, receiver) = channel();
    for number in 0..50 {
        let sender = sender.clone();
        writer
            .submit(Enroll::new(number, Fate::Succeeds), move |answer| sender.send(answer).unwrap())
            .unwrap();
    }
    drop((gate, sender));
    writer.shutdown();
    assert_eq!(receiver.try_iter().filter(Result::is_ok).count(), 50, "before it returned");
    drop(directory);
}

pub fn an_answer_that_panics_harms_nobody(new: New) {
    let (writer, _directory) = writer(new, "10.0.0.0/24", WriterOptions::default());
    writer.submit(Enroll::new(1, Fate::Succeeds), |_| panic!("in an answer")).unwrap();
    writer.run(Enroll::new(2, Fate::Succeeds)).unwrap();
    assert_eq!(stored(&writer).0, BTreeSet::from([1, 2]));
}

/// Whatever it is: the step, what it answers, and who is told. Two panics at once would be the end
/// of the process.
pub fn what_panics_when_it_is_dropped_harms_nobody(new: New) {
    struct Brittle;
    impl Drop for Brittle {
        fn drop(&mut self) {
            panic!("in a drop")
        }
    }
    struct Heavy(u64, #[allow(dead_code)] Brittle);
    impl Step for Heavy {
        type Plan = ();
        type Output = Brittle;
        type Error = Error;
        fn subject(&self) -> Subject {
            Subject::Key(vec![7])
        }
        fn plan(&mut self, _: &mut dyn Transaction, _: i64) -> Result<Planned<()>, Error> {
            Ok(Planned::with_addresses((), vec![request(self.0)], |()| ACTOR))
        }
        fn write(
            &mut self,
            _: &mut dyn Transaction,
            _: i64,
            (): (),
            _: &[Lease],
        ) -> Result<Brittle, Error> {
            Ok(Brittle)
        }
    }

    let (writer, _directory) = writer(new, "10.0.0.0/24", WriterOptions::default());
    let gate = occupy(&writer);
    let answer = |answer| {
        std::mem::forget(answer);
        panic!("in an answer")
    };
    writer.submit(Heavy(5, Brittle), answer).unwrap();
    // It has the batch rolled back, so that the other's first answer is dropped.
    let refused = writer.send(Enroll::new(1, Fate::WriteRefuses));
    drop(gate);
    let refused = refused.wait();
    assert_eq!(refused, Err(Refusal::Own));
    writer.run(Enroll::new(2, Fate::Succeeds)).unwrap();
    let (rows, leases) = stored(&writer);
    assert_eq!((rows, leases.len()), (BTreeSet::from([2]), 2));
}

pub fn time_never_runs_before_the_last_event(new: New) {
    let mut store = new();
    store.run(|tx| event::append(tx, &event::Event::new(NOW + 500, "before", "test"))).unwrap();
    let (writer, _directory) = store.writer(WriterOptions::default());
    assert_eq!(writer.transaction(|_, now| Ok::<_, Error>(now)), Ok(NOW + 500));
    let now =
        |tx: &mut dyn Transaction, now| event::append(tx, &event::Event::new(now, "now", "test"));
    writer.transaction(now).unwrap();
    assert_eq!(writer.transaction(|_, now| Ok::<_, Error>(now)), Ok(NOW + 500));
}

pub fn a_handle_is_shared_between_threads(new: New) {
    fn shared<T: Send + Sync>(_: &T) {}
    let (writer, _directory) = writer(new, "10.0.0.0/24", WriterOptions::default());
    let writer = Arc::new(writer);
    shared(&writer);
}
