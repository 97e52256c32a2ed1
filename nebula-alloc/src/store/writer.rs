//! The batching writer: one thread, one connection, one commit for whatever is waiting.
//!
//! A request is a [`Step`]: it plans (reads, decides, says which addresses it wants), is given its
//! leases, and writes. The writer drains its queue into a batch, plans all of it, takes all
//! addresses at once, lets all compute (on all processors), lets all write, commits, and answers
//! in order.
//!
//! * A plan that refuses is answered alone and disturbs nobody; so is a wish for addresses that is
//!   refused.
//! * A request that fails while writing, or is granted only some of its addresses, has the batch
//!   rolled back and halved, down to a transaction of its own in which it gets its own error. A
//!   panic fails its request with [`Error::Panicked`].
//! * When storage fails (full disk, failed input or output) the whole batch is answered
//!   [`Error::Unavailable`], and nothing of it is stored. When it is the commit that fails, the
//!   answer is [`Error::OutcomeUnknown`].
//! * After either the database is opened anew and checked, and on SQLite its disk must have room.
//!   Until that succeeds the writer is not ready, tries again every second, and answers what is
//!   queued with [`Error::Unavailable`].
//! * Contention is retried a few times: once with the whole batch, then in halves, so that who is
//!   in the way of one request for longer is in the way of that one only.
//! * A step of [`Subject::Everything`] that finds other processes at work is put off, for 12 seconds
//!   at most, and lets steps of keys pass meanwhile.
//!
//! Time in a batch is the clock's, but never before the last event's. Where that is more than an hour
//! ahead, one of the two is wrong, and the writer is not ready: see [`Writer::confirm_clock`].

mod answer;
mod batch;
mod counters;
mod engine;
mod foreseen;
mod guard;
mod line;
mod options;
mod slot;
mod step;
#[cfg(test)]
#[cfg(feature = "sqlite")]
pub(crate) mod tests;
mod watched;

use std::future::{Future, poll_fn};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime};

pub use self::answer::Answer;
use self::batch::{Attempt, Jobs, attempt};
pub use self::counters::Counters;
use self::counters::Meters;
pub use self::engine::Engine;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
pub(crate) use self::engine::LAST_EVENT;
pub(crate) use self::engine::{Begin, Begun, Open};
pub use self::foreseen::Query;
use self::guard::guard;
use self::line::Line;
pub use self::options::WriterOptions;
use self::slot::{Await, Fill, slot};
pub(crate) use self::step::Once;
use self::step::{Job, Task};
pub use self::step::{Step, Subject};
use crate::store::Transaction;
use crate::{Actor, Error, clock};

/// How often a batch is tried while others are in its way.
const ATTEMPTS: usize = 5;

/// How long the writer waits for a request before it tries once more to recover.
const RECOVERY_INTERVAL: Duration = Duration::from_secs(1);

/// For how long a request is put off while another process is at work on its subject, before it is
/// answered [`Error::Contended`]. A batch elsewhere is over in milliseconds.
const DEFERRAL: Duration = Duration::from_secs(1);

/// The same for a step about everything, which needs a gap between the batches of all others: longer
/// than a process that stands still can keep it out.
const DEFERRAL_ALONE: Duration = Duration::from_secs(12);

/// How long steps of keys pass one about everything that was put off.
const PASSING: Duration = Duration::from_millis(5);

/// The longest pause between two attempts.
const PAUSE: Duration = Duration::from_millis(4);

/// The handle of the writing thread; share it by reference or in an `Arc`.
///
/// Dropping it finishes what is queued and blocks until that is done; a task should
/// [`close`](Self::close) it.
#[derive(Debug)]
pub struct Writer {
    sender: Option<Sender<Box<dyn Job>>>,
    thread: Option<JoinHandle<()>>,
    ended: Option<Await<()>>,
    ready: Arc<AtomicBool>,
    meters: Arc<Meters>,
    /// How many requests wait.
    waiting: Arc<AtomicUsize>,
    confirmed: Confirmed,
    queue: usize,
}

/// Who confirmed the clock since the writer last looked.
type Confirmed = Arc<Mutex<Option<String>>>;

impl Writer {
    /// Starts the writer on a database. `clock` tells seconds since the Unix epoch.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] when no thread can be started.
    pub fn start(
        store: impl Engine,
        clock: impl Fn() -> i64 + Send + 'static,
        options: WriterOptions,
    ) -> Result<Self, Error> {
        let queue = options.queue.max(1);
        // Bounded by what waits, here and in line.
        let (sender, receiver) = mpsc::channel();
        let waiting = Arc::<AtomicUsize>::default();
        let ready = Arc::new(AtomicBool::new(true));
        let meters = Arc::<Meters>::default();
        let (end, ended) = slot();
        let clock = move || {
            guard(&clock)
                .map_err(|error| Error::Unavailable { reason: format!("the clock: {error}") })
        };
        let confirmed = Confirmed::default();
        let mut run = Run {
            engine: store,
            clock,
            receiver,
            line: Line::default(),
            passing: None,
            waiting: Arc::clone(&waiting),
            batch: options.batch.max(1),
            ready: Arc::clone(&ready),
            meters: Arc::clone(&meters),
            _end: end,
            untimely: false,
            confirmed: Arc::clone(&confirmed),
        };
        ready.store(run.check_time().is_ok(), Ordering::Release);
        let thread = thread::Builder::new()
            .name("nebula-alloc-writer".into())
            .spawn(move || run.run())
            .map_err(|error| Error::Unavailable { reason: error.to_string() })?;
        Ok(Self {
            sender: Some(sender),
            thread: Some(thread),
            ended: Some(ended),
            ready,
            meters,
            confirmed,
            waiting,
            queue,
        })
    }

    /// Queues a request. `answer` is called on the writer's thread, after the commit: it should
    /// hand the result on and return.
    ///
    /// # Errors
    ///
    /// [`Error::QueueFull`] at once, [`Error::Unavailable`] when the writer is gone; `answer` is
    /// not called then.
    pub fn submit<S: Step>(
        &self,
        step: S,
        answer: impl FnOnce(Result<S::Output, S::Error>) + Send + 'static,
    ) -> Result<(), Error> {
        let gone = || Error::Unavailable { reason: "the writer has stopped".into() };
        let sender = self.sender.as_ref().ok_or_else(gone)?;
        let task = Box::new(Task::new(step, answer));
        let room = |waiting| (waiting < self.queue).then_some(waiting + 1);
        if self.waiting.fetch_update(Ordering::Relaxed, Ordering::Relaxed, room).is_err() {
            self.meters.full.count();
            return Err(Error::QueueFull { capacity: self.queue });
        }
        sender.send(task).map_err(|_| gone())?;
        self.meters.accepted.count();
        Ok(())
    }

    /// Queues a request at once; its answer, or why it was not queued, is a future. No particular
    /// runtime is needed, and dropping the future does not take the request back.
    pub fn send<S: Step>(&self, step: S) -> Answer<S::Output, S::Error> {
        let (fill, answer) = slot();
        match self.submit(step, move |result| fill.fill(result)) {
            Ok(()) => Answer::awaited(answer),
            Err(error) => Answer::refused(error.into()),
        }
    }

    /// Queues a request and waits for its answer.
    ///
    /// # Errors
    ///
    /// The step's, and those of [`submit`](Self::submit).
    pub fn run<S: Step>(&self, step: S) -> Result<S::Output, S::Error> {
        self.send(step).wait()
    }

    /// Runs `work` in a transaction that it shares with no other request, and waits. `work` may run
    /// again after a rollback; the number is the transaction's time.
    ///
    /// # Errors
    ///
    /// Those of `work`, and those of [`submit`](Self::submit).
    pub fn transaction<T, E>(
        &self,
        work: impl FnMut(&mut dyn Transaction, i64) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        self.run(Once(work))
    }

    /// Whether the writer would try what it is given: `false` from a failure of storage until the
    /// database has been opened anew and found sound, on a disk with room; while the last event is
    /// more than an hour ahead of the clock; and after the writer stopped.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Acquire)
    }

    /// The clock is right, although the last event is more than an hour ahead of it: the events were
    /// written by a clock that was wrong. If that keeps the writer from being ready, then within a
    /// second, or with the next request, it records an event of `actor` at the clock's time, and time
    /// goes on from there; otherwise this changes nothing. Quarantines that ended too early are not
    /// brought back.
    pub fn confirm_clock(&self, actor: impl Into<String>) {
        if !self.is_ready() {
            *self.confirmed.lock().unwrap_or_else(PoisonError::into_inner) = Some(actor.into());
        }
    }

    /// What it has done so far.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.meters.read()
    }

    /// As [`shutdown`](Self::shutdown), for a task, which must not block: it begins at once, and
    /// what is answered is done when all is answered and the database closed. No particular runtime
    /// is needed.
    pub fn close(mut self) -> impl Future<Output = ()> + Send + 'static {
        self.sender = None;
        // Nobody joins it: that it ended is told.
        self.thread = None;
        let ended = self.ended.take();
        poll_fn(move |context| match &ended {
            Some(ended) => ended.poll(context).map(drop),
            None => Poll::Ready(()),
        })
    }

    /// Finishes what is queued, and ends; blocks until then. Dropping does the same.
    pub fn shutdown(self) {
        drop(self);
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.sender = None;
        if let Some(thread) = self.thread.take()
            // The last handle may be dropped by an answer.
            && thread.thread().id() != thread::current().id()
        {
            // A panic of the writer's own thread was reported where it happened.
            let _ = thread.join();
        }
    }
}

/// The writing thread.
struct Run<E, C> {
    engine: E,
    clock: C,
    receiver: Receiver<Box<dyn Job>>,
    /// What was taken from the queue.
    line: Line,
    /// Until when steps of keys pass those about everything.
    passing: Option<Instant>,
    /// How many requests wait, in the queue and in line.
    waiting: Arc<AtomicUsize>,
    batch: usize,
    ready: Arc<AtomicBool>,
    meters: Arc<Meters>,
    /// Dropped last: it tells that all of it has ended.
    _end: Fill<()>,
    /// Whether it is for the time alone that it is not ready.
    untimely: bool,
    confirmed: Confirmed,
}

impl<E: Engine, C: Fn() -> Result<i64, Error>> Run<E, C> {
    fn run(&mut self) {
        loop {
            if self.line.is_empty() {
                match self.next() {
                    Ok(job) => self.line.push(job),
                    Err(RecvTimeoutError::Timeout) => {
                        // What keeps it from recovering is told to whoever asks meanwhile.
                        let _ = self.recover();
                        continue;
                    }
                    Err(RecvTimeoutError::Disconnected) => break,
                }
            }
            self.gather();
            if self.passing.is_some_and(|end| Instant::now() < end) {
                self.line.pass_everything();
            }
            let jobs = self.line.next(self.batch);
            self.waiting.fetch_sub(jobs.len(), Ordering::Relaxed);
            self.process(jobs);
        }
    }

    /// Takes what is queued. Callers that were just answered are about to ask again: as long as
    /// yielding to them brings something, it is cheaper than a commit for the first of them.
    fn gather(&mut self) {
        let mut before = 0;
        while self.line.subjects() > before && self.line.subjects() < self.batch {
            before = self.line.subjects();
            thread::yield_now();
            while self.line.subjects() < self.batch
                && let Ok(job) = self.receiver.try_recv()
            {
                self.line.push(job);
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
                let reason = format!("recovering: {error}");
                answer_all(jobs, &Error::Unavailable { reason }, &self.meters);
                continue;
            }
            self.meters.batch(jobs.len());
            let start = Instant::now();
            let outcome = attempt(&mut self.engine, &self.clock, &self.meters, jobs, &mut later);
            self.meters.took(start.elapsed());
            match outcome {
                Attempt::Done => {}
                Attempt::Failed(jobs, error)
                    if !matches!(error, Error::Unavailable { .. }) && !self.engine.is_lost() =>
                {
                    answer_all(jobs, &error, &self.meters);
                }
                Attempt::Failed(jobs, error) | Attempt::Broken(jobs, error) => {
                    self.ready.store(false, Ordering::Release);
                    answer_all(jobs, &error, &self.meters);
                    // If it fails, it is tried again before the next batch.
                    let _ = self.recover();
                }
                // The other may be a neighbour, who is as fast the next time; or it is in the way
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
        if later.len() == all && !(shut_out && self.line.has_keys()) {
            pause();
        }
        self.put_off(later);
    }

    /// Back to the head of the line, in their order.
    fn put_off(&mut self, later: Jobs) {
        for mut job in later.into_iter().rev() {
            self.meters.deferrals.count();
            let alone = *job.subject() == Subject::Everything;
            if job.put_off() <= if alone { DEFERRAL_ALONE } else { DEFERRAL } {
                self.waiting.fetch_add(1, Ordering::Relaxed);
                self.line.put_back(job);
            } else {
                let reason = "another process is at work on the same subject".into();
                job.fail(Error::Contended { reason });
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
    fn check_time(&mut self) -> Result<(), Error> {
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

/// However the thread ends, nobody takes it for ready any more.
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

fn answer(job: Box<dyn Job>, meters: &Meters) {
    // Before, so that whoever has its answer finds it counted.
    meters.answered.count();
    job.answer();
}
