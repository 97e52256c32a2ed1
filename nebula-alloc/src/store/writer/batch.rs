//! One attempt at one batch, in one transaction.

use std::num::NonZeroUsize;
use std::thread;

use super::counters::Meters;
use super::step::{Job, Phase};
use super::{Begin, Begun, Open, answer};
use crate::Error;
use crate::lease::{Lease, Request, allocate_many};
use crate::store::{Param, Row, Transaction};

/// Starting a thread costs about as much as one signature.
const WORTH_A_THREAD: usize = 4;

pub(super) type Jobs = Vec<Box<dyn Job>>;

/// How an attempt ended for the jobs that it has not answered.
pub(super) enum Attempt {
    /// All are answered.
    Done,
    /// Rolled back; somebody else was in the way.
    Contended(Jobs, Error),
    /// Rolled back; one of these fails, or cannot be judged beside its neighbours.
    Split(Jobs),
    /// Nothing was stored; all get this error.
    Failed(Jobs, Error),
    /// The same, or with [`Error::OutcomeUnknown`] all or nothing was stored; and the connection
    /// is not to be trusted.
    Broken(Jobs, Error),
}

/// A job whose plan succeeded.
struct Planned {
    job: Box<dyn Job>,
    wishes: Vec<Request>,
    leases: Vec<Lease>,
    refused: bool,
    put_off: bool,
}

impl Planned {
    fn is_out(&self) -> bool {
        self.refused || self.put_off
    }
}

/// Tries the jobs. Those that are in another process's way go to `later`.
pub(super) fn attempt<E: Begin>(
    engine: &mut E,
    clock: &dyn Fn() -> i64,
    meters: &Meters,
    jobs: Jobs,
    later: &mut Jobs,
) -> Attempt {
    let clock = clock();
    let subjects: Vec<_> = jobs.iter().map(|job| job.subject()).collect();
    let (mut open, last, elsewhere) = match engine.begin(clock, &subjects) {
        Ok(Begun { open, last_event, elsewhere }) => (open, last_event, elsewhere),
        Err(error) if error.is_contention() => return Attempt::Contended(jobs, error),
        Err(error) => return Attempt::Broken(jobs, error),
    };
    let now = last.unwrap_or(i64::MIN).max(clock);
    let jobs = present(jobs, &elsewhere, later);
    if jobs.is_empty() {
        return Attempt::Done;
    }

    let mut tx = Watched { inner: &mut open, planning: true, fault: None };
    let mut planned = match plan(&mut tx, now, meters, jobs) {
        Ok(planned) => planned,
        Err(attempt) => return attempt,
    };
    if planned.is_empty() {
        return Attempt::Done;
    }
    let alone = planned.len() == 1;

    tx.planning = false;
    let requests: Vec<_> = planned
        .iter()
        .flat_map(|entry| entry.wishes.iter().map(|wish| (entry.job.actor(), *wish)))
        .collect();
    let answers = match allocate_many(&mut tx, now, &requests) {
        Ok(answers) => answers,
        Err(error) => return unallocated(planned, tx.fault.take().unwrap_or(error)),
    };
    let mut partly = false;
    let mut answers = answers.into_iter();
    for entry in &mut planned {
        for answer in answers.by_ref().take(entry.wishes.len()) {
            match answer {
                Ok(lease) => entry.leases.push(lease),
                // Another process has what it could be given, locked.
                Err(error) if error.is_contention() => entry.put_off = true,
                Err(error) => {
                    entry.refused = true;
                    entry.job.fail(error);
                }
            }
        }
        partly |= entry.is_out() && !entry.leases.is_empty();
    }
    partly |= compute(&mut planned, now);
    if partly && !alone {
        // What it was granted must go back, and may be what another was refused.
        return Attempt::Split(jobs_of(planned));
    }
    let (put_off, mut planned): (Vec<_>, Vec<_>) =
        planned.into_iter().partition(|entry| entry.put_off && !entry.refused);
    later.extend(jobs_of(put_off));

    for index in 0..planned.len() {
        let Some(entry) = planned.get_mut(index).filter(|entry| !entry.refused) else { continue };
        let phase = entry.job.write(&mut tx, now, &entry.leases);
        if let Some(fault) = tx.fault.take() {
            return stopped(jobs_of(planned), fault);
        }
        match phase {
            Phase::Done(()) => {}
            Phase::Refused if alone => entry.refused = true,
            Phase::Panicked if alone => {
                meters.panics.count();
                entry.refused = true;
            }
            Phase::Refused => return Attempt::Split(jobs_of(planned)),
            // It is known which one it was, and it is not asked a second time.
            Phase::Panicked => {
                drop(open);
                meters.panics.count();
                answer(planned.remove(index).job, meters);
                return Attempt::Split(jobs_of(planned));
            }
        }
    }

    if planned.iter().all(|entry| entry.refused) {
        drop(open);
    } else {
        if let Err(error) = tx.flush() {
            return unwritten(planned, tx.fault.take().unwrap_or(error));
        }
        match open.commit() {
            Ok(()) => meters.commits.count(),
            Err(error) if error.is_contention() => {
                return Attempt::Contended(jobs_of(planned), error);
            }
            Err(error) => {
                meters.failed_commits.count();
                let reason = format!("commit: {error}");
                return Attempt::Broken(jobs_of(planned), Error::OutcomeUnknown { reason });
            }
        }
    }
    answer_each(planned, meters);
    Attempt::Done
}

fn answer_each(entries: Vec<Planned>, meters: &Meters) {
    jobs_of(entries).into_iter().for_each(|job| answer(job, meters));
}

/// Those whose subject nobody else is at work on.
fn present(jobs: Jobs, elsewhere: &[usize], later: &mut Jobs) -> Jobs {
    let mut present = Vec::with_capacity(jobs.len());
    for (index, job) in jobs.into_iter().enumerate() {
        if elsewhere.contains(&index) {
            later.push(job);
        } else {
            present.push(job);
        }
    }
    present
}

/// Lets all jobs compute, on all processors where that is worth it. Answers whether one refused
/// that was granted addresses.
fn compute(planned: &mut [Planned], now: i64) -> bool {
    let busy = planned.iter().filter(|entry| !entry.is_out() && entry.job.computes()).count();
    let threads = thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let threads = threads.min(busy / WORTH_A_THREAD).max(1);
    let share = planned.len().div_ceil(threads).max(1);
    let mut shares = planned.chunks_mut(share);
    let own = shares.next().unwrap_or_default();
    thread::scope(|scope| {
        let others: Vec<_> =
            shares.map(|share| scope.spawn(move || compute_share(share, now))).collect();
        let own = compute_share(own, now);
        // A job's own panic is caught where it happens.
        others.into_iter().fold(own, |refused, other| other.join().unwrap_or(true) | refused)
    })
}

fn compute_share(share: &mut [Planned], now: i64) -> bool {
    let mut granted = false;
    for entry in share.iter_mut().filter(|entry| !entry.is_out()) {
        if let Phase::Refused | Phase::Panicked = entry.job.compute(now, &entry.leases) {
            entry.refused = true;
            granted |= !entry.leases.is_empty();
        }
    }
    granted
}

/// Plans all jobs and answers those that refuse: a plan cannot write, so there is nothing to roll
/// back and nothing to wait for. Unless its error made the transaction void: then what its
/// neighbours read is none of theirs.
fn plan<T: Open>(
    tx: &mut Watched<'_, T>,
    now: i64,
    meters: &Meters,
    jobs: Jobs,
) -> Result<Vec<Planned>, Attempt> {
    let mut entries = Vec::with_capacity(jobs.len());
    for mut job in jobs {
        let (wishes, refused) = match job.plan(tx, now) {
            Phase::Done(wishes) => (wishes, false),
            Phase::Refused => (Vec::new(), true),
            Phase::Panicked => {
                meters.panics.count();
                (Vec::new(), true)
            }
        };
        let leases = Vec::with_capacity(wishes.len());
        entries.push(Planned { job, wishes, leases, refused, put_off: false });
    }
    if let Some(fault) = tx.fault.take() {
        return Err(stopped(jobs_of(entries), fault));
    }
    if tx.inner.is_aborted() {
        return Err(void(entries, meters));
    }
    let (refused, planned) = entries.into_iter().partition(|entry| entry.refused);
    answer_each(refused, meters);
    Ok(planned)
}

/// A plan's error ended the transaction: the job has it, if it was alone.
fn void(mut entries: Vec<Planned>, meters: &Meters) -> Attempt {
    if entries.len() > 1 {
        return Attempt::Split(jobs_of(entries));
    }
    for entry in entries.iter_mut().filter(|entry| !entry.refused) {
        // It took the error for something to go on with.
        let reason = "a failed statement ended the transaction".into();
        entry.job.fail(Error::Database { code: "25P02".into(), message: reason });
    }
    answer_each(entries, meters);
    Attempt::Done
}

/// What a job queued failed when it was sent; it is not known whose it was.
fn unwritten(mut planned: Vec<Planned>, error: Error) -> Attempt {
    if is_of_all(&error) {
        return stopped(jobs_of(planned), error);
    }
    match planned.pop() {
        Some(only) if planned.is_empty() => Attempt::Failed(vec![only.job], error),
        last => {
            planned.extend(last);
            Attempt::Split(jobs_of(planned))
        }
    }
}

fn jobs_of(entries: Vec<Planned>) -> Jobs {
    entries.into_iter().map(|entry| entry.job).collect()
}

/// The transaction is over, through no fault of a job.
fn stopped(jobs: Jobs, error: Error) -> Attempt {
    if error.is_contention() {
        Attempt::Contended(jobs, error)
    } else {
        Attempt::Failed(jobs, error)
    }
}

/// Whether an error concerns the whole batch, whoever met it.
fn is_of_all(error: &Error) -> bool {
    error.is_contention() || matches!(error, Error::Unavailable { .. })
}

/// Taking addresses failed as a whole. A unique key in the way means that another process took an
/// address between the reading and the writing: reading again tells.
fn unallocated(planned: Vec<Planned>, error: Error) -> Attempt {
    if error == Error::Unique {
        let reason = "another process took one of the addresses".into();
        return Attempt::Contended(jobs_of(planned), Error::Contended { reason });
    }
    unwritten(planned, error)
}

/// The transaction as steps see it: it keeps plans from writing, and notices failures that concern
/// the whole batch, whatever a step makes of them.
struct Watched<'a, T> {
    inner: &'a mut T,
    planning: bool,
    fault: Option<Error>,
}

impl<T> Watched<'_, T> {
    fn note<V>(&mut self, result: Result<V, Error>) -> Result<V, Error> {
        if let Err(error) = &result
            && is_of_all(error)
            && self.fault.is_none()
        {
            self.fault = Some(error.clone());
        }
        result
    }

    fn check(&self, sql: &str) -> Result<(), Error> {
        if self.planning {
            return Err(Error::Statement { reason: "a plan only reads", sql: sql.to_owned() });
        }
        Ok(())
    }
}

impl<T: Transaction> Transaction for Watched<'_, T> {
    fn execute(&mut self, sql: &str, params: &[Param<'_>]) -> Result<u64, Error> {
        self.check(sql)?;
        let result = self.inner.execute(sql, params);
        self.note(result)
    }

    fn query(&mut self, sql: &str, params: &[Param<'_>]) -> Result<Vec<Row>, Error> {
        let result = self.inner.query(sql, params);
        self.note(result)
    }

    fn queue(&mut self, sql: &str, params: &[Param<'_>]) -> Result<(), Error> {
        self.check(sql)?;
        let result = self.inner.queue(sql, params);
        self.note(result)
    }

    fn queue_one(&mut self, sql: &str, params: &[Param<'_>]) -> Result<(), Error> {
        self.check(sql)?;
        let result = self.inner.queue_one(sql, params);
        self.note(result)
    }

    fn flush(&mut self) -> Result<(), Error> {
        let result = self.inner.flush();
        self.note(result)
    }

    fn query_skip_locked(&mut self, sql: &str, params: &[Param<'_>]) -> Result<Vec<Row>, Error> {
        let result = self.inner.query_skip_locked(sql, params);
        self.note(result)
    }

    fn instance(&self) -> Option<i64> {
        self.inner.instance()
    }

    fn query_each(&mut self, sql: &str, sets: &[Vec<Param<'_>>]) -> Result<Vec<Vec<Row>>, Error> {
        let result = self.inner.query_each(sql, sets);
        self.note(result)
    }

    fn script(&mut self, sql: &str) -> Result<(), Error> {
        self.check(sql)?;
        let result = self.inner.script(sql);
        self.note(result)
    }

    fn tables(&mut self, prefix: &str) -> Result<Vec<String>, Error> {
        let result = self.inner.tables(prefix);
        self.note(result)
    }
}
