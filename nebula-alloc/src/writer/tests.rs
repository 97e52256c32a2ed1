//! Failures that a real database does not give on demand.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::mpsc::channel;

use super::job::{Job, Jobs};
use super::thread::ATTEMPTS;
use super::*;
use crate::error::{Contention, Outage};
use crate::lease::{Lease, Request};
use crate::pool::{self, Pool};
use crate::store::sqlite::Sqlite;
use crate::store::{Begin, Begun, Open, Param, Row, Subject, Transaction};
use crate::verify::verify;
use crate::{Actor, Family, NetworkId, OwnerId, PoolId, lease, usable};

/// A lease and nothing else.
pub(crate) struct Plain(Request);

impl Plain {
    pub(crate) fn new(request: Request) -> Self {
        Self(request)
    }
}

impl Step for Plain {
    type Plan = ();
    type Output = Lease;
    type Error = Error;

    fn subject(&self) -> Subject {
        Subject::Key(self.0.owner.0.to_vec())
    }

    fn plan(&mut self, _: &mut dyn Transaction, _: i64) -> Result<Planned<()>, Error> {
        Ok(Planned::with_addresses((), vec![self.0], |()| ACTOR))
    }

    fn write(
        &mut self,
        _: &mut dyn Transaction,
        _: i64,
        (): (),
        leases: &[Lease],
    ) -> Result<Lease, Error> {
        Ok(leases[0])
    }
}

#[derive(Debug, Clone, PartialEq)]
enum Fault {
    /// The commit fails without having taken place.
    CommitLost,
    /// The commit takes place and fails nevertheless.
    CommitDone,
    /// Others are in the way of the commit.
    CommitContended,
    /// Others are in the way of the transaction.
    BeginContended,
    BeginFails,
    /// The next statement fails and ends the transaction.
    InputOutput,
    RecoveryFails,
}

/// SQLite, with the faults that are due.
struct Faulty {
    store: Sqlite,
    due: Arc<Mutex<VecDeque<Fault>>>,
}

struct FaultyOpen<'a> {
    inner: <Sqlite as Begin>::Open<'a>,
    due: &'a Mutex<VecDeque<Fault>>,
    ended: bool,
}

fn take(due: &Mutex<VecDeque<Fault>>, among: &[Fault]) -> Option<Fault> {
    let mut due = due.lock().unwrap();
    if among.contains(due.front()?) { due.pop_front() } else { None }
}

fn unavailable() -> Error {
    Error::Unavailable(Outage::Replaced)
}

fn contended() -> Error {
    Error::Contended(Contention::SameSubject)
}

impl Begin for Faulty {
    type Open<'a> = FaultyOpen<'a>;

    fn begin(&mut self, now: i64, subjects: &[&Subject]) -> Result<Begun<FaultyOpen<'_>>, Error> {
        match take(&self.due, &[Fault::BeginContended, Fault::BeginFails]) {
            Some(Fault::BeginContended) => return Err(contended()),
            Some(_) => return Err(unavailable()),
            None => {}
        }
        let Begun { open, last_event, elsewhere } = self.store.begin(now, subjects)?;
        let open = FaultyOpen { inner: open, due: &self.due, ended: false };
        Ok(Begun { open, last_event, elsewhere })
    }

    fn recover(&mut self, now: i64) -> Result<(), Error> {
        match take(&self.due, &[Fault::RecoveryFails]) {
            Some(_) => Err(unavailable()),
            None => self.store.recover(now),
        }
    }
}

impl FaultyOpen<'_> {
    fn fault(&mut self) -> Result<(), Error> {
        self.ended |= take(self.due, &[Fault::InputOutput]).is_some();
        if self.ended { Err(unavailable()) } else { Ok(()) }
    }
}

impl Open for FaultyOpen<'_> {
    fn only_read(&mut self, yes: bool) {
        self.inner.only_read(yes);
    }

    fn aborted_by(&self) -> Option<Error> {
        self.ended.then_some(Error::Unique)
    }

    fn commit(self) -> Result<(), Error> {
        let commits = [Fault::CommitLost, Fault::CommitDone, Fault::CommitContended];
        match take(self.due, &commits) {
            Some(Fault::CommitLost) => Err(unavailable()),
            Some(Fault::CommitDone) => self.inner.commit().and(Err(unavailable())),
            Some(_) => Err(contended()),
            None => self.inner.commit(),
        }
    }
}

impl Transaction for FaultyOpen<'_> {
    fn execute(&mut self, sql: &str, params: &[Param<'_>]) -> Result<u64, Error> {
        self.fault()?;
        self.inner.execute(sql, params)
    }

    fn query(&mut self, sql: &str, params: &[Param<'_>]) -> Result<Vec<Row>, Error> {
        self.inner.query(sql, params)
    }

    fn script(&mut self, sql: &str) -> Result<(), Error> {
        self.inner.script(sql)
    }

    fn tables(&mut self, prefix: &str) -> Result<Vec<String>, Error> {
        self.inner.tables(prefix)
    }
}

const NETWORK: NetworkId = NetworkId([1; 16]);
const ACTOR: Actor<'static> = Actor::named("test");

fn request(number: u8) -> Request {
    Request {
        network: NETWORK,
        owner: OwnerId([number; 16]),
        family: Family::V4,
        address: None,
        pool: None,
        hold_until: 0,
        until: None,
    }
}

/// Whose, what, and whether the writer was ready then.
type Answers = Vec<(u8, Result<Lease, Error>, bool)>;

struct Bench {
    writer: Arc<Writer>,
    due: Arc<Mutex<VecDeque<Fault>>>,
    _directory: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut store = Sqlite::open(directory.path().join("test.db")).unwrap();
        let range = usable("10.0.0.0/24".parse().unwrap()).unwrap();
        let pool = Pool { id: PoolId([2; 16]), network: NETWORK, range, position: 0 };
        store.transaction(|tx| pool::create(tx, 1, &ACTOR, &pool)).unwrap();
        let due = Arc::default();
        let engine = Faulty { store, due: Arc::clone(&due) };
        let writer = Arc::new(Writer::start(engine, || 7, WriterOptions::default()).unwrap());
        Self { writer, due, _directory: directory }
    }

    /// Submits all while the writer is busy, so that they share a batch, and answers in order of
    /// the answers.
    fn batch(&self, numbers: &[u8], faults: &[Fault]) -> Answers {
        let (release, wait) = channel::<()>();
        let (entered, inside) = channel();
        let (sender, receiver) = channel();
        let (due, faults) = (Arc::clone(&self.due), faults.to_vec());
        self.writer
            .submit(
                Once(move |_: &mut dyn Transaction, _| {
                    entered.send(()).unwrap();
                    wait.recv().unwrap();
                    Ok::<_, Error>(())
                }),
                // Its own commit is over by then.
                move |_| due.lock().unwrap().extend(faults),
            )
            .unwrap();
        inside.recv().unwrap();
        for number in numbers {
            let (number, sender, writer) = (*number, sender.clone(), Arc::downgrade(&self.writer));
            self.writer
                .submit(Plain(request(number)), move |answer| {
                    let ready = writer.upgrade().is_some_and(|writer| writer.is_ready());
                    sender.send((number, answer, ready)).unwrap();
                })
                .unwrap();
        }
        drop(sender);
        release.send(()).unwrap();
        receiver.iter().collect()
    }

    fn stored(&self) -> usize {
        self.writer
            .transaction(|tx, _| {
                assert_eq!(verify(tx)?, []);
                Ok::<_, Error>(lease::list(tx, NETWORK, None, 1000)?.len())
            })
            .unwrap()
    }
}

fn all(answers: &Answers, expected: impl Fn(&Result<Lease, Error>) -> bool) -> bool {
    !answers.is_empty() && answers.iter().all(|(_, answer, _)| expected(answer))
}

#[test]
fn answers_come_in_order_after_one_commit() {
    let bench = Bench::new();
    let answers = bench.batch(&[3, 1, 2], &[]);
    assert_eq!(answers.iter().map(|(number, ..)| *number).collect::<Vec<_>>(), [3, 1, 2]);
    assert!(all(&answers, Result::is_ok));
    assert_eq!(bench.stored(), 3);
}

#[test]
fn a_failed_commit_is_an_unknown_outcome_for_all_and_the_writer_recovers() {
    for (fault, stored) in [(Fault::CommitLost, 0), (Fault::CommitDone, 3)] {
        let bench = Bench::new();
        let answers = bench.batch(&[1, 2, 3], &[fault]);
        assert_eq!(answers.len(), 3);
        assert!(all(&answers, |answer| matches!(answer, Err(Error::OutcomeUnknown { .. }))));
        assert!(answers.iter().all(|(_, _, ready)| !ready), "not ready meanwhile");
        assert_eq!(bench.stored(), stored);
        assert!(bench.writer.is_ready());
        // Asking again is safe, whatever it was.
        assert!(all(&bench.batch(&[1, 2, 3], &[]), Result::is_ok));
        assert_eq!(bench.stored(), 3);
    }
}

#[test]
fn until_the_recovery_succeeds_what_is_queued_is_answered_unavailable() {
    let bench = Bench::new();
    let faults = [Fault::CommitLost, Fault::RecoveryFails, Fault::RecoveryFails];
    bench.batch(&[1], &faults);
    let refused = bench.writer.run(Plain(request(2)));
    assert!(matches!(refused, Err(Error::Unavailable { .. })), "{refused:?}");
    assert!(!bench.writer.is_ready());
    bench.writer.run(Plain(request(2))).unwrap();
    assert!(bench.writer.is_ready());
}

#[test]
fn storage_that_fails_is_unavailable_for_all_and_leaves_nothing() {
    let bench = Bench::new();
    let answers = bench.batch(&[1, 2, 3], &[Fault::InputOutput]);
    assert_eq!(answers.len(), 3);
    assert!(all(&answers, |answer| matches!(answer, Err(Error::Unavailable { .. }))));
    assert_eq!(bench.stored(), 0);
    assert!(all(&bench.batch(&[1, 2, 3], &[]), Result::is_ok));
}

#[test]
fn a_transaction_that_cannot_begin_is_unavailable_for_all() {
    let bench = Bench::new();
    let answers = bench.batch(&[1, 2], &[Fault::BeginFails]);
    assert!(all(&answers, |answer| matches!(answer, Err(Error::Unavailable { .. }))));
    assert_eq!(bench.stored(), 0);
}

#[test]
fn contention_is_retried_a_few_times() {
    let bench = Bench::new();
    let faults = [Fault::BeginContended, Fault::CommitContended, Fault::BeginContended];
    assert!(all(&bench.batch(&[1, 2], &faults), Result::is_ok));
    assert_eq!(bench.stored(), 2);

    let answers = bench.batch(&[3, 4], &vec![Fault::BeginContended; ATTEMPTS]);
    assert!(all(&answers, |answer| matches!(answer, Err(Error::Contended { .. }))));
    assert_eq!(bench.stored(), 2);
    assert!(bench.writer.is_ready());
}

/// Steps of different subjects that change the same row, which their plans have read.
#[test]
fn a_neighbour_in_the_way_costs_no_answer() {
    struct Move {
        subject: u8,
    }
    impl Step for Move {
        type Plan = i64;
        type Output = i64;
        type Error = Error;
        fn subject(&self) -> Subject {
            Subject::Key(vec![self.subject])
        }
        fn plan(&mut self, tx: &mut dyn Transaction, _: i64) -> Result<Planned<i64>, Error> {
            let rows = tx.query("SELECT number FROM counter", &[])?;
            Ok(Planned::without_addresses(rows[0].columns().integer()?))
        }
        fn write(
            &mut self,
            tx: &mut dyn Transaction,
            _: i64,
            read: i64,
            _: &[Lease],
        ) -> Result<i64, Error> {
            let params = [(read + 1).into(), read.into()];
            tx.queue_one("UPDATE counter SET number = $1 WHERE number = $2", &params)?;
            Ok(read + 1)
        }
    }

    let bench = Bench::new();
    let table = "CREATE TABLE counter (number BIGINT NOT NULL); INSERT INTO counter VALUES (0)";
    bench.writer.transaction(move |tx, _| tx.script(table)).unwrap();
    let (sender, receiver) = channel();
    let writer = Arc::downgrade(&bench.writer);
    // They are queued while the writer is busy with this.
    let once = Once(move |_: &mut dyn Transaction, _| {
        let writer = writer.upgrade().unwrap();
        for subject in 1..=20 {
            let sender = sender.clone();
            let answer = move |answer| sender.send(answer).unwrap();
            writer.submit(Move { subject }, answer).unwrap();
        }
        Ok::<_, Error>(())
    });
    bench.writer.submit(once, |_| {}).unwrap();
    let answers: Vec<i64> = receiver.iter().take(20).map(Result::unwrap).collect();
    assert_eq!(answers, (1..=20).collect::<Vec<_>>());
}

/// A step that keeps a storage failure to itself must not have the rest stored piecemeal.
#[test]
fn a_step_cannot_hide_that_its_transaction_ended() {
    let bench = Bench::new();
    let due = Arc::clone(&bench.due);
    let result = bench.writer.transaction(move |tx, _| {
        due.lock().unwrap().push_back(Fault::InputOutput);
        let _ = tx.execute("DELETE FROM alloc_interval", &[]);
        Ok::<_, Error>(())
    });
    assert!(matches!(result, Err(Error::Unavailable { .. })), "{result:?}");
    assert_eq!(bench.stored(), 0);
}

#[test]
fn the_last_handle_may_be_dropped_by_an_answer() {
    let Bench { writer, .. } = Bench::new();
    let (sender, receiver) = channel();
    let last = Arc::clone(&writer);
    writer
        .submit(Plain(request(1)), move |_| {
            drop(last);
            sender.send(()).unwrap();
        })
        .unwrap();
    drop(writer);
    receiver.recv().unwrap();
}

#[test]
fn a_clock_that_panics_has_the_store_unavailable_until_it_tells_the_time() {
    let directory = tempfile::tempdir().unwrap();
    let store = Sqlite::open(directory.path().join("test.db")).unwrap();
    let broken = Arc::new(AtomicBool::new(true));
    let stopped = Arc::clone(&broken);
    let clock = move || {
        assert!(!stopped.load(Ordering::Relaxed), "stopped");
        7
    };
    let writer = Writer::start(store, clock, WriterOptions::default()).unwrap();
    let refused = writer.transaction(|_, now| Ok::<_, Error>(now)).unwrap_err().to_string();
    assert!(refused.ends_with("store unavailable: the clock: request panicked: stopped"));
    assert!(!writer.is_ready());
    broken.store(false, Ordering::Relaxed);
    assert_eq!(writer.transaction(|_, now| Ok::<_, Error>(now)), Ok(7));
    assert!(writer.is_ready());
}

fn job(subject: Option<u8>) -> Box<dyn Job> {
    struct Named(Option<u8>);
    impl Step for Named {
        type Plan = ();
        type Output = ();
        type Error = Error;
        fn subject(&self) -> Subject {
            self.0.map_or(Subject::Everything, |key| Subject::Key(vec![key]))
        }
        fn plan(&mut self, _: &mut dyn Transaction, _: i64) -> Result<Planned<()>, Error> {
            Ok(Planned::without_addresses(()))
        }
        fn write(
            &mut self,
            _: &mut dyn Transaction,
            _: i64,
            (): (),
            _: &[Lease],
        ) -> Result<(), Error> {
            Ok(())
        }
    }
    Box::new(Task::new(Named(subject), |_| {}))
}

fn waiting(subjects: &[Option<u8>]) -> FairQueue {
    let mut queue = FairQueue::default();
    subjects.iter().for_each(|subject| queue.push(job(*subject)));
    queue
}

fn subjects(jobs: &Jobs) -> Vec<Option<u8>> {
    jobs.iter()
        .map(|job| match job.subject() {
            Subject::Key(key) => Some(key[0]),
            Subject::Everything => None,
        })
        .collect()
}

fn batches(queue: &mut FairQueue, limit: usize) -> Vec<Vec<Option<u8>>> {
    let mut batches = Vec::new();
    while !queue.is_empty() {
        batches.push(subjects(&queue.next(limit)));
    }
    batches
}

#[test]
fn no_subject_is_twice_in_a_batch_and_everything_is_alone() {
    let mut queue = waiting(&[Some(1), Some(2), Some(1), Some(3), None, Some(1), None, Some(4)]);
    let expected: [&[_]; 6] =
        [&[Some(1), Some(2), Some(3)], &[None], &[Some(4), Some(1)], &[None], &[Some(1)], &[]];
    assert_eq!(batches(&mut queue, 256), expected[..5]);
}

#[test]
fn everything_lets_all_pass_that_wait_now_and_no_others() {
    let mut queue = waiting(&[None, Some(1), Some(2), None]);
    queue.pass_everything();
    assert!(queue.has_keys());
    assert_eq!(subjects(&queue.next(256)), [Some(1), Some(2)]);
    assert!(!queue.has_keys());
    queue.push(job(Some(3)));
    assert_eq!(batches(&mut queue, 256), [vec![None], vec![Some(3)], vec![None]]);
}

#[test]
fn one_subject_with_many_jobs_takes_one_place_of_each_batch() {
    let mut queue = vec![Some(0); 100];
    queue.extend((1..=6).map(Some));
    let mut batches = batches(&mut waiting(&queue), 4).into_iter();
    assert_eq!(batches.next().unwrap(), [0, 1, 2, 3].map(Some));
    assert_eq!(batches.next().unwrap(), [4, 5, 6, 0].map(Some));
    assert!(batches.clone().all(|batch| batch == [Some(0)]));
    assert_eq!(batches.count(), 98);
}

#[test]
fn what_is_put_off_stays_before_what_came_after_it() {
    let mut queue = waiting(&[Some(1), Some(2), Some(1), Some(3)]);
    let mut jobs = queue.next(2);
    assert_eq!(subjects(&jobs), [Some(1), Some(2)]);
    jobs.iter_mut().for_each(|job| assert!(job.put_off().is_zero()));
    jobs.into_iter().rev().for_each(|job| queue.put_back(job));
    let mut jobs = queue.next(9);
    assert_eq!(subjects(&jobs), [Some(2), Some(3), Some(1)]);
    let times: Vec<_> = jobs.iter_mut().map(|job| job.put_off().is_zero()).collect();
    assert_eq!(times, [false, true, false], "of 1 it is the earlier");
    assert_eq!(batches(&mut queue, 9), [[Some(1)]]);
}
