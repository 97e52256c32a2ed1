//! One attempt at one batch, in one transaction.

use std::mem::take;
use std::num::NonZeroUsize;
use std::sync::{LazyLock, Mutex, PoisonError};
use std::thread;

use super::counters::Meters;
use super::guard;
use super::guarded_tx::{GuardedTx, is_of_all};
use super::job::{Job, Jobs, Phase, answer};
use super::prefetch::{Prefetched, read};
use crate::error::{Contention, Doubt};
use crate::lease::{Lease, grant_many};
use crate::store::{Begin, Begun, Open, Transaction};
use crate::{Error, clock};

/// Starting a thread costs about as much as one signature.
const WORTH_A_THREAD: usize = 4;

/// How an attempt ended for the jobs that it has not answered.
pub(super) enum Attempt {
    /// All are answered.
    Done,
    /// Rolled back because of a conflict with another transaction.
    Contended(Jobs, Error),
    /// It could not begin: another process has the database to itself.
    Shut(Jobs, Error),
    /// Rolled back; one of these fails, or cannot be judged beside its neighbours.
    Split(Jobs),
    /// Nothing was stored; all get this error.
    Failed(Jobs, Error),
    /// The same, or with [`Error::OutcomeUnknown`] all or nothing was stored; and the connection
    /// is not to be trusted.
    Broken(Jobs, Error),
}

/// A job whose plan succeeded.
struct Entry {
    job: Box<dyn Job>,
    /// How many addresses it asks for.
    wanted: usize,
    leases: Vec<Lease>,
    prefetched: Prefetched,
    refused: bool,
    /// Refused with a panic: it is not asked a second time.
    panicked: bool,
    put_off: bool,
}

impl Entry {
    fn is_out(&self) -> bool {
        self.refused || self.put_off
    }

    fn panicked(&mut self, meters: &Meters) {
        meters.panics.count();
        self.refused = true;
        self.panicked = true;
    }
}

/// Tries the jobs. Those that are in another process's way go to `later`.
pub(super) fn attempt<E: Begin>(
    engine: &mut E,
    clock: &dyn Fn() -> Result<i64, Error>,
    meters: &Meters,
    jobs: Jobs,
    later: &mut Jobs,
) -> Attempt {
    let time = match clock() {
        Ok(time) => time,
        Err(error) => return Attempt::Broken(jobs, error),
    };
    let trips = engine.round_trips();
    let subjects: Vec<_> = jobs.iter().map(|job| job.subject()).collect();
    let (open, last, elsewhere) = match engine.begin(time, &subjects) {
        Ok(Begun { open, last_event, elsewhere }) => (open, last_event, elsewhere),
        Err(error) if error.is_contention() => return Attempt::Shut(jobs, error),
        Err(error) => return Attempt::Broken(jobs, error),
    };
    let now = match clock::after(last, time) {
        Ok(now) => now,
        Err(error) => {
            drop(open);
            return Attempt::Failed(jobs, error);
        }
    };
    let jobs = present(jobs, &elsewhere, later);
    let tx = GuardedTx::new(open, now);
    let outcome = phases(tx, now, meters, jobs, later);
    meters.round_trips.add(engine.round_trips().saturating_sub(trips));
    match outcome {
        Ok(done) => {
            answer_each(done, meters);
            Attempt::Done
        }
        Err(attempt) => attempt,
    }
}

/// The jobs whose subject no other process is working on; the others go to `later`.
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

/// All plan, all are granted what they ask for, all compute, all write; one commit. Answers those that
/// can be answered then.
fn phases<T: Open>(
    mut tx: GuardedTx<T>,
    now: i64,
    meters: &Meters,
    jobs: Jobs,
    later: &mut Jobs,
) -> Result<Vec<Entry>, Attempt> {
    let planned = plan(&mut tx, now, meters, jobs)?;
    if planned.is_empty() {
        return Ok(planned);
    }
    let exclusive = planned.len() == 1;
    tx.planned();
    let mut planned = grant(&mut tx, now, meters, planned)?;
    compute(&mut planned, now, meters);
    if !exclusive && planned.iter().any(|entry| entry.is_out() && !entry.leases.is_empty()) {
        // What it was granted must go back, and may be what another was refused.
        drop(tx);
        let (panicked, others) = planned.into_iter().partition(|entry| entry.panicked);
        answer_each(panicked, meters);
        return Err(Attempt::Split(jobs_of(others)));
    }
    let (put_off, planned): (Vec<_>, Vec<_>) =
        planned.into_iter().partition(|entry| entry.put_off && !entry.refused);
    later.extend(jobs_of(put_off));
    write(tx, now, meters, planned, exclusive)
}

/// Plans all jobs and answers those that refuse: a plan cannot write, so there is nothing to roll
/// back and nothing to wait for. But if an error aborted the transaction, the other plans must read
/// again.
fn plan<T: Open>(
    tx: &mut GuardedTx<T>,
    now: i64,
    meters: &Meters,
    jobs: Jobs,
) -> Result<Vec<Entry>, Attempt> {
    let mut entries = Vec::with_capacity(jobs.len());
    let (jobs, prefetched) = prefetch(tx, meters, jobs)?;
    for (mut job, prefetched) in jobs.into_iter().zip(prefetched) {
        tx.prefetched = prefetched;
        let (wanted, refused) = match job.plan(tx, now) {
            Phase::Done(wanted) => (wanted, false),
            Phase::Refused => (0, true),
            Phase::Panicked => {
                meters.panics.count();
                (0, true)
            }
        };
        let leases = Vec::with_capacity(wanted);
        let prefetched = take(&mut tx.prefetched);
        entries.push(Entry {
            job,
            wanted,
            leases,
            prefetched,
            refused,
            panicked: false,
            put_off: false,
        });
    }
    if let Some(fault) = tx.fault.take() {
        return Err(stopped(jobs_of(entries), fault));
    }
    if let Some(cause) = tx.inner.aborted_by() {
        return Err(aborted(entries, cause, meters));
    }
    let (refused, planned) = entries.into_iter().partition(|entry| entry.refused);
    answer_each(refused, meters);
    Ok(planned)
}

/// Makes the reads that the jobs declare, where that saves round trips or one serves several.
fn prefetch<T: Open>(
    tx: &mut GuardedTx<T>,
    meters: &Meters,
    jobs: Jobs,
) -> Result<(Jobs, Vec<Prefetched>), Attempt> {
    if jobs.len() == 1 && !T::PREFETCHES {
        return Ok((jobs, vec![Prefetched::default()]));
    }
    let mut sound = Jobs::with_capacity(jobs.len());
    let mut asked = Vec::with_capacity(jobs.len());
    for mut job in jobs {
        match job.prefetch() {
            Ok(queries) => {
                sound.push(job);
                asked.push(queries);
            }
            Err(panicked) => {
                meters.panics.count();
                job.fail(panicked);
                answer(job, meters);
            }
        }
    }
    match read(tx, asked, T::PREFETCHES) {
        Ok(prefetched) => Ok((sound, prefetched)),
        Err(error) => Err(together(sound, tx.fault.take().unwrap_or(error))),
    }
}

/// Takes the addresses of all.
fn grant<T: Open>(
    tx: &mut GuardedTx<T>,
    now: i64,
    meters: &Meters,
    mut planned: Vec<Entry>,
) -> Result<Vec<Entry>, Attempt> {
    let mut requests = Vec::with_capacity(planned.len());
    let mut panicked = Vec::new();
    for (index, entry) in planned.iter().enumerate() {
        match entry.job.requests() {
            Ok(wanted) => requests.extend(wanted),
            Err(error) => panicked.push((index, error)),
        }
    }
    let answers = match grant_many(tx, now, &requests) {
        Ok(answers) => answers,
        Err(error) => return Err(unallocated(planned, tx.fault.take().unwrap_or(error))),
    };
    for (index, error) in panicked {
        if let Some(entry) = planned.get_mut(index) {
            entry.wanted = 0;
            entry.job.fail(error);
            entry.panicked(meters);
        }
    }
    let mut answers = answers.into_iter();
    for entry in &mut planned {
        for answer in answers.by_ref().take(entry.wanted) {
            match answer {
                Ok(lease) => {
                    entry.prefetched.forget();
                    entry.leases.push(lease);
                }
                // Another process has what it could be given, locked.
                Err(error) if error.is_contention() => entry.put_off = true,
                Err(error) => {
                    entry.refused = true;
                    entry.job.fail(error);
                }
            }
        }
    }
    Ok(planned)
}

/// Asked once: finding out reads several files.
static PROCESSORS: LazyLock<usize> =
    LazyLock::new(|| thread::available_parallelism().map_or(1, NonZeroUsize::get));

/// Lets all jobs compute, on all processors where that is worth it.
fn compute(planned: &mut [Entry], now: i64, meters: &Meters) {
    let busy = planned.iter().filter(|entry| !entry.is_out() && entry.job.computes()).count();
    let threads = (*PROCESSORS).min(busy / WORTH_A_THREAD);
    let rest = Mutex::new(planned.iter_mut().filter(|entry| !entry.is_out()));
    let next = || rest.lock().unwrap_or_else(PoisonError::into_inner).next();
    let work = || {
        while let Some(entry) = next() {
            match entry.job.compute(now, &entry.leases) {
                Phase::Done(()) => {}
                Phase::Refused => entry.refused = true,
                Phase::Panicked => entry.panicked(meters),
            }
        }
    };
    let writer = thread::current().id();
    let help = || {
        guard::work_for(writer);
        work();
    };
    thread::scope(|scope| {
        for _ in 1..threads {
            // Where there is no thread to be had, the others do its share.
            let _ = thread::Builder::new().spawn_scoped(scope, help);
        }
        work();
    });
}

/// Lets all jobs write, and commits unless none did.
fn write<T: Open>(
    mut tx: GuardedTx<T>,
    now: i64,
    meters: &Meters,
    mut planned: Vec<Entry>,
    exclusive: bool,
) -> Result<Vec<Entry>, Attempt> {
    for index in 0..planned.len() {
        let Some(entry) = planned.get_mut(index).filter(|entry| !entry.refused) else { continue };
        tx.prefetched = take(&mut entry.prefetched);
        let phase = entry.job.write(&mut tx, now, &entry.leases);
        if let Some(fault) = tx.fault.take() {
            return Err(stopped(jobs_of(planned), fault));
        }
        match phase {
            Phase::Done(()) => {}
            Phase::Refused if exclusive => entry.refused = true,
            Phase::Panicked if exclusive => entry.panicked(meters),
            Phase::Refused => return Err(Attempt::Split(jobs_of(planned))),
            // It is known which one it was, and it is not asked a second time.
            Phase::Panicked => {
                drop(tx);
                meters.panics.count();
                answer(planned.remove(index).job, meters);
                return Err(Attempt::Split(jobs_of(planned)));
            }
        }
    }
    if planned.iter().all(|entry| entry.refused) {
        return Ok(planned);
    }
    if let Err(error) = tx.flush() {
        return Err(together(jobs_of(planned), tx.fault.take().unwrap_or(error)));
    }
    commit(tx, meters, planned)
}

fn commit<T: Open>(
    tx: GuardedTx<T>,
    meters: &Meters,
    planned: Vec<Entry>,
) -> Result<Vec<Entry>, Attempt> {
    match tx.inner.commit() {
        Ok(()) => {
            meters.commits.count();
            Ok(planned)
        }
        Err(error) if error.is_contention() => Err(Attempt::Contended(jobs_of(planned), error)),
        Err(error) => {
            meters.failed_commits.count();
            let unknown = Error::OutcomeUnknown(Doubt::Commit(Box::new(error)));
            Err(Attempt::Broken(jobs_of(planned), unknown))
        }
    }
}

fn answer_each(entries: Vec<Entry>, meters: &Meters) {
    jobs_of(entries).into_iter().for_each(|job| answer(job, meters));
}

/// An error of a plan aborted the transaction: its job is answered with it, if it was the only one.
fn aborted(mut entries: Vec<Entry>, cause: Error, meters: &Meters) -> Attempt {
    if entries.len() > 1 {
        return Attempt::Split(jobs_of(entries));
    }
    // A plan that was not refused ignored the error.
    for entry in entries.iter_mut().filter(|entry| !entry.refused) {
        entry.job.fail(Error::Aborted(Box::new(cause.clone())));
    }
    answer_each(entries, meters);
    Attempt::Done
}

/// What was sent for all of them failed; it is not known whose it was.
fn together(jobs: Jobs, error: Error) -> Attempt {
    if is_of_all(&error) {
        return stopped(jobs, error);
    }
    match jobs.len() {
        1 => Attempt::Failed(jobs, error),
        _ => Attempt::Split(jobs),
    }
}

fn jobs_of(entries: Vec<Entry>) -> Jobs {
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

/// Taking addresses failed as a whole. A unique key in the way means that another process took an
/// address between the reading and the writing, and reading again will show it.
fn unallocated(planned: Vec<Entry>, error: Error) -> Attempt {
    if error == Error::Unique {
        let contended = Error::Contended(Contention::AddressTaken);
        return Attempt::Contended(jobs_of(planned), contended);
    }
    together(jobs_of(planned), error)
}
