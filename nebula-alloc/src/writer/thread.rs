//! The writing thread: takes what is queued, tries it batch by batch, and recovers.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use super::batch::{Attempt, attempt};
use super::counters::Meters;
use super::job::{Job, Jobs, answer};
use super::queue::FairQueue;
use super::room::Room;

use crate::error::{Contention, Outage};
use crate::store::{Begun, Engine, Open, Subject, Transaction};
use crate::{Actor, Error, clock};

/// How often a batch is tried while others are in its way.
pub(super) const ATTEMPTS: usize = 5;

/// How long the writer waits for a request before it tries once more to recover.
const RECOVERY_INTERVAL: Duration = Duration::from_secs(1);

/// For how long a request is put off while another process is at work on its subject, before it is
/// answered [`Error::Contended`]. A batch elsewhere is over in milliseconds.
const DEFERRAL: Duration = Duration::from_secs(1);

/// The same for a step about everything, which needs a gap between the batches of all others: longer
/// than a stalled process can block it.
const DEFERRAL_EXCLUSIVE: Duration = Duration::from_secs(12);

/// How long steps of keys pass one about everything that was put off.
const PASSING: Duration = Duration::from_millis(5);

/// The longest pause between two attempts.
const PAUSE: Duration = Duration::from_millis(4);

/// Who confirmed the clock since the writer last looked.
pub(super) type Confirmed = Arc<Mutex<Option<String>>>;

/// The writing thread.
pub(super) struct Run<E, C> {
    pub(super) engine: E,
    pub(super) clock: C,
    pub(super) receiver: Receiver<Box<dyn Job>>,
    /// What was taken from the queue.
    pub(super) queue: FairQueue,
    /// Until when steps of keys pass those about everything.
    pub(super) passing: Option<Instant>,
    pub(super) room: Arc<Room>,
    pub(super) batch: usize,
    pub(super) ready: Arc<AtomicBool>,
    pub(super) meters: Arc<Meters>,
    /// Whether the clock is the only reason for not being ready.
    pub(super) untimely: bool,
    pub(super) confirmed: Confirmed,
}

impl<E: Engine, C: Fn() -> Result<i64, Error>> Run<E, C> {
    pub(super) fn run(&mut self) {
        loop {
            if self.queue.is_empty() {
                match self.next() {
                    Ok(job) => self.queue.push(job),
                    Err(RecvTimeoutError::Timeout) => {
                        // An error that keeps it from recovering answers the next request.
                        let _ = self.recover();
                        continue;
                    }
                    Err(RecvTimeoutError::Disconnected) => break,
                }
            }
            self.gather();
            if self.passing.is_some_and(|end| Instant::now() < end) {
                self.queue.pass_everything();
            }
            let jobs = self.queue.next(self.batch);
            self.room.give(jobs.len());
            self.process(jobs);
        }
    }

    /// Takes what is queued. Callers that were just answered are about to ask again: as long as
    /// yielding to them brings something, it is cheaper than a commit for the first of them.
    fn gather(&mut self) {
        let mut before = 0;
        while self.queue.subjects() > before && self.queue.subjects() < self.batch {
            before = self.queue.subjects();
            thread::yield_now();
            while self.queue.subjects() < self.batch
                && let Ok(job) = self.receiver.try_recv()
            {
                self.queue.push(job);
            }
        }
    }

    fn next(&self) -> Result<Box<dyn Job>, RecvTimeoutError> {
        if self.ready.load(Ordering::Acquire) {
            self.receiver.recv().map_err(|_| RecvTimeoutError::Disconnected)
        } else {
            self.receiver.recv_timeout(RECOVERY_INTERVAL)
        }
    }

    /// Sees every job of a batch answered, or put off to the next.
    fn process(&mut self, jobs: Jobs) {
        let all = jobs.len();
        let mut later = Vec::new();
        let mut parts = vec![(jobs, 1)];
        while let Some((jobs, tries)) = parts.pop() {
            if !self.ready.load(Ordering::Acquire)
                && let Err(error) = self.recover()
            {
                let cause = match error {
                    Error::Unavailable(cause) => cause,
                    other => Outage::Recovery(Box::new(other)),
                };
                answer_all(jobs, &Error::Unavailable(cause), &self.meters);
                continue;
            }
            self.meters.batch(jobs.len());
            let start = Instant::now();
            let outcome = attempt(&mut self.engine, &self.clock, &self.meters, jobs, &mut later);
            self.meters.took(start.elapsed());
            match outcome {
                Attempt::Done => {}
                Attempt::Failed(jobs, error)
                    if !matches!(error, Error::Unavailable(_)) && !self.engine.is_lost() =>
                {
                    answer_all(jobs, &error, &self.meters);
                }
                Attempt::Failed(jobs, error) | Attempt::Broken(jobs, error) => {
                    self.ready.store(false, Ordering::Release);
                    answer_all(jobs, &error, &self.meters);
                    // If it fails, it is tried again before the next batch.
                    let _ = self.recover();
                }
                // The other may be a neighbour that is as fast the next time; or it is in the way
                // of one of them for good.
                Attempt::Contended(jobs, _) if tries > 1 && jobs.len() > 1 => {
                    self.meters.splits.count();
                    parts.extend(halves(jobs).map(|half| (half, tries)));
                }
                Attempt::Contended(jobs, error) | Attempt::Shut(jobs, error)
                    if tries >= ATTEMPTS =>
                {
                    answer_all(jobs, &error, &self.meters);
                }
                Attempt::Contended(jobs, _) | Attempt::Shut(jobs, _) => {
                    self.meters.retries.count();
                    pause();
                    parts.push((jobs, tries + 1));
                }
                Attempt::Split(jobs) => {
                    self.meters.splits.count();
                    parts.extend(halves(jobs).map(|half| (half, 1)));
                }
            }
        }
        let shut_out = later.iter().any(|job| *job.subject() == Subject::Everything);
        if shut_out {
            self.passing = Some(Instant::now() + PASSING);
        }
        if later.len() == all && !(shut_out && self.queue.has_keys()) {
            pause();
        }
        self.put_off(later);
    }

    /// Back to the head of the queue, in their order.
    fn put_off(&mut self, later: Jobs) {
        for mut job in later.into_iter().rev() {
            self.meters.deferrals.count();
            let exclusive = *job.subject() == Subject::Everything;
            if job.put_off() <= if exclusive { DEFERRAL_EXCLUSIVE } else { DEFERRAL } {
                self.room.take_back();
                self.queue.put_back(job);
            } else {
                job.fail(Error::Contended(Contention::SameSubject));
                answer(job, &self.meters);
            }
        }
    }

    fn recover(&mut self) -> Result<(), Error> {
        // Reading the whole database once more makes no clock right.
        if !self.untimely {
            self.engine.recover((self.clock)()?)?;
            self.meters.recoveries.count();
        }
        self.check_time()?;
        self.ready.store(true, Ordering::Release);
        Ok(())
    }

    /// That the last event is not far ahead of the clock, or somebody says that the clock is right.
    pub(super) fn check_time(&mut self) -> Result<(), Error> {
        self.untimely = false;
        let now = (self.clock)()?;
        let Begun { mut open, last_event, .. } = match self.engine.begin(now, &[]) {
            // The next batch looks, too.
            Err(error) if error.is_contention() => return Ok(()),
            begun => begun?,
        };
        let confirmed = self.confirmed.lock().unwrap_or_else(PoisonError::into_inner).take();
        match (clock::after(last_event, now), confirmed) {
            (Ok(_), _) => Ok(()),
            (Err(_), Some(actor)) => {
                clock::confirm(&mut open, now, &Actor::named(&actor))?;
                open.flush()?;
                open.commit()
            }
            (Err(error), None) => {
                self.untimely = true;
                Err(error)
            }
        }
    }
}

/// The second half first, as on a stack; no half is empty.
fn halves(mut first: Jobs) -> impl Iterator<Item = Jobs> {
    let second = first.split_off(first.len().div_ceil(2));
    [second, first].into_iter().filter(|half| !half.is_empty())
}

/// Waits a little, and not as long as others who wait for the same.
fn pause() {
    let nanos = SystemTime::UNIX_EPOCH.elapsed().map_or(0, |elapsed| elapsed.subsec_nanos());
    // The low digits of a time differ between processes and from one moment to the next.
    thread::sleep(PAUSE.mul_f64(0.1 + 0.9 * f64::from(nanos % 1009) / 1009.0));
}

/// However the thread ends, it is no longer ready.
impl<E, C> Drop for Run<E, C> {
    fn drop(&mut self) {
        self.ready.store(false, Ordering::Release);
    }
}

fn answer_all(jobs: Jobs, error: &Error, meters: &Meters) {
    for mut job in jobs {
        job.fail(error.clone());
        answer(job, meters);
    }
}
