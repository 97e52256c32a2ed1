//! The batching writer: one thread, one connection, one commit for whatever is waiting.
//!
//! A request is a [`Step`]: it plans (reads, decides, says which addresses it wants), is given its
//! leases, and writes. The writer drains its queue into a batch, plans all of it, takes all
//! addresses at once, lets all compute (on all processors), lets all write, commits, and answers
//! in order.
//!
//! * A plan that refuses, or whose addresses are refused, is answered with its own error; the rest of
//!   the batch goes on.
//! * A request that fails while writing, or is granted only some of its addresses, has the batch
//!   rolled back and halved, down to a transaction of its own in which it gets its own error. A
//!   panic fails its request with [`Error::Panicked`].
//! * When storage fails (full disk, failed input or output) the whole batch is answered
//!   [`Error::Unavailable`], and nothing of it is stored. When it is the commit that fails, the
//!   answer is [`Error::OutcomeUnknown`].
//! * After either the database is reopened and checked, and on SQLite its disk must have room.
//!   Until that succeeds the writer is not ready, tries again every second, and answers what is
//!   queued with [`Error::Unavailable`].
//! * Contention is retried a few times: once with the whole batch, then in halves, so that a long
//!   conflict delays only the request it concerns.
//! * A step of [`Subject::Everything`](crate::store::Subject::Everything) that finds other processes
//!   at work is put off, for at most 12 seconds; steps about keys pass it meanwhile.
//!
//! Time in a batch is the clock's, but never before the last event's. Where that is more than an hour
//! ahead, one of the two is wrong, and the writer is not ready: see [`Writer::confirm_clock`].

mod answer;
mod batch;
mod counters;
mod guard;
mod guarded_tx;
mod job;
mod prefetch;
mod queue;
mod room;
mod slot;
mod step;
#[cfg(test)]
#[cfg(feature = "sqlite")]
pub(crate) mod tests;
mod thread;

use std::future::{Future, poll_fn};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::task::Poll;
use std::thread::JoinHandle;

pub use self::answer::Answer;
pub use self::counters::Counters;
use self::counters::Meters;
use self::guard::guard;
use self::job::Task;
use self::queue::FairQueue;
use self::room::{Full, Queue, Room, Unqueued, stopped};
use self::slot::{Await, slot};
pub(crate) use self::step::Once;
pub use self::step::{Planned, Step};
use self::thread::{Confirmed, Run};
use crate::error::{EngineFault, Error, Outage};
use crate::store::{Engine, Transaction};

/// The handle of the writing thread; share it by reference or in an `Arc`.
///
/// Dropping it finishes what is queued and blocks until that is done; a task should
/// [`close`](Self::close) it.
#[derive(Debug)]
pub struct Writer {
    /// `None` once it is closed.
    queue: RwLock<Option<Arc<Queue>>>,
    thread: Option<JoinHandle<()>>,
    ended: Mutex<Option<Await<Result<(), Error>>>>,
    ready: Arc<AtomicBool>,
    meters: Arc<Meters>,
    confirmed: Confirmed,
}

impl Writer {
    /// Starts the writer on a database. `clock` returns seconds since the Unix epoch.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] when no thread can be started.
    pub fn start(
        store: impl Engine,
        clock: impl Fn() -> i64 + Send + 'static,
        options: WriterOptions,
    ) -> Result<Self, Error> {
        // Bounded by the room, which counts what waits here and in the fair queue.
        let (sender, receiver) = mpsc::channel();
        let room = Arc::new(Room::new(options.queue.max(1)));
        let ready = Arc::new(AtomicBool::new(true));
        let meters = Arc::<Meters>::default();
        let (end, ended) = slot();
        let clock = move || {
            guard(&clock).map_err(|error| Error::Unavailable(Outage::Clock(Box::new(error))))
        };
        let confirmed = Confirmed::default();
        let mut run = Run {
            engine: store,
            clock,
            receiver,
            queue: FairQueue::default(),
            passing: None,
            room: Arc::clone(&room),
            batch: options.batch.max(1),
            ready: Arc::clone(&ready),
            meters: Arc::clone(&meters),
            untimely: false,
            confirmed: Arc::clone(&confirmed),
        };
        ready.store(run.check_time().is_ok(), Ordering::Release);
        let thread = std::thread::Builder::new()
            .name("nebula-alloc-writer".into())
            .spawn(move || {
                guard::work_for(std::thread::current().id());
                run.run();
                let closed = run.engine.close();
                // Whoever waits for the end finds nothing that still runs.
                drop(run);
                end.fill(closed);
            })
            .map_err(|error| Error::Unavailable(Outage::Engine(EngineFault::uncoded(&error))))?;
        let queue = Queue { sender, room, meters: Arc::clone(&meters) };
        Ok(Self {
            queue: RwLock::new(Some(Arc::new(queue))),
            thread: Some(thread),
            ended: Mutex::new(Some(ended)),
            ready,
            meters,
            confirmed,
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
        match self.queue()?.put(Box::new(Task::new(step, answer))) {
            Ok(queued) => queued,
            Err(Full { capacity, .. }) => {
                self.meters.full.count();
                Err(Error::QueueFull { capacity })
            }
        }
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

    /// As [`send`](Self::send), but where the queue is full the request waits for room instead of being
    /// refused. Until there is some it is kept by its answer: who drops that, or neither awaits it nor
    /// waits for it, takes it back. Those that wait come in no particular order, and after others that
    /// find room at once. Many that are to share commits have to be awaited together: awaited one after
    /// the other, they are queued one after the other.
    pub fn send_when_room<S: Step>(&self, step: S) -> Answer<S::Output, S::Error> {
        let queue = match self.queue() {
            Ok(queue) => queue,
            Err(error) => return Answer::refused(error.into()),
        };
        let (fill, answer) = slot();
        let task = Task::new(step, move |result| fill.fill(result));
        match queue.put(Box::new(task)) {
            Ok(Ok(())) => Answer::awaited(answer),
            Ok(Err(error)) => Answer::refused(error.into()),
            Err(Full { job, .. }) => Answer::unqueued(Unqueued::new(job, &queue), answer),
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
    /// more than an hour ahead of the clock; and once the writer is closed.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Acquire) && self.queue().is_ok()
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

    /// Takes no more requests, finishes what is queued, and ends, also while others still have the
    /// writer. It begins at once, and what is answered is done when all is answered and the database
    /// closed. No particular runtime is needed. A step of its own, or what is called with an answer,
    /// must not wait for it.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] when the database could not be left as it should be: of SQLite's, the
    /// file alone is not the whole database. What was acknowledged is durable all the same. And when
    /// it was closed before.
    pub fn close(&self) -> impl Future<Output = Result<(), Error>> + Send + 'static {
        self.hang_up();
        let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner).take();
        let gone = |cause| Err(Error::Unavailable(cause));
        poll_fn(move |context| match &ended {
            Some(ended) => ended
                .poll(context)
                .map(|closed| closed.unwrap_or_else(|| gone(Outage::WriterPanicked))),
            None => Poll::Ready(gone(Outage::WriterClosed)),
        })
    }

    fn queue(&self) -> Result<Arc<Queue>, Error> {
        self.queue.read().unwrap_or_else(PoisonError::into_inner).clone().ok_or_else(stopped)
    }

    fn hang_up(&self) {
        let queue = self.queue.write().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(queue) = queue {
            let room = Arc::clone(&queue.room);
            drop(queue);
            // Requests that wait for room get an error.
            room.wake();
        }
    }

    /// Finishes what is queued, and ends; blocks until then, unless it is called by code that the
    /// writer itself runs. Dropping does the same.
    pub fn shutdown(self) {
        drop(self);
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.hang_up();
        if let Some(thread) = self.thread.take()
            // The last handle may be dropped by a step or an answer: nothing waits for itself.
            && guard::current_writer() != Some(thread.thread().id())
        {
            // A panic of the writer's own thread was reported where it happened.
            let _ = thread.join();
        }
    }
}

/// How a [`Writer`] works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct WriterOptions {
    /// How many requests share a commit at most. At least 1; 256 by default.
    pub batch: usize,
    /// How many requests wait at most; the next is refused. At least 1; 1,024 by default. Up to
    /// `batch` more are in hand. Of one subject any number may wait: a caller that lets strangers
    /// ask should bound how many requests of one of them are under way.
    pub queue: usize,
}

impl Default for WriterOptions {
    fn default() -> Self {
        Self { batch: 256, queue: 1024 }
    }
}

impl WriterOptions {
    /// These options with another [`batch`](Self::batch).
    #[must_use]
    pub fn with_batch(self, batch: usize) -> Self {
        Self { batch, ..self }
    }

    /// These options with another [`queue`](Self::queue).
    #[must_use]
    pub fn with_queue(self, queue: usize) -> Self {
        Self { queue, ..self }
    }
}
