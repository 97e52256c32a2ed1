//! The sending side of the queue: how much room it has, and what waits for room.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

use super::counters::Meters;
use super::guard::{discard, guard};
use super::job::Job;
use crate::error::{Error, Outage};

/// How many requests wait, in the channel and in the fair queue.
#[derive(Debug)]
pub(super) struct Room {
    taken: AtomicUsize,
    capacity: usize,
    waiting: Mutex<Vec<Waker>>,
}

impl Room {
    pub(super) fn new(capacity: usize) -> Self {
        Self { taken: AtomicUsize::new(0), capacity, waiting: Mutex::default() }
    }

    /// Takes a place, if there is one.
    fn take(&self) -> bool {
        let one_more = |taken| (taken < self.capacity).then_some(taken + 1);
        self.taken.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_more).is_ok()
    }

    /// Takes one for a request that had one before.
    pub(super) fn take_back(&self) {
        self.taken.fetch_add(1, Ordering::SeqCst);
    }

    /// So many places are free again. Wakes all who wait for one: who was woken may be gone by now.
    pub(super) fn give(&self, places: usize) {
        self.taken.fetch_sub(places, Ordering::SeqCst);
        self.wake();
    }

    /// Has everybody look again.
    pub(super) fn wake(&self) {
        let waiting =
            std::mem::take(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner));
        // Wakers are a caller's.
        waiting.into_iter().for_each(|waker| discard(guard(|| waker.wake())));
    }

    fn poll_take(&self, context: &Context<'_>) -> Poll<()> {
        if self.take() {
            return Poll::Ready(());
        }
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).push(context.waker().clone());
        // It may have become free before anybody knew of this one.
        if self.take() { Poll::Ready(()) } else { Poll::Pending }
    }
}

/// What a request is put into.
#[derive(Debug)]
pub(super) struct Queue {
    pub(super) sender: Sender<Box<dyn Job>>,
    pub(super) room: Arc<Room>,
    pub(super) meters: Arc<Meters>,
}

impl Queue {
    /// Queues a request at once, or hands it back when there is no room.
    pub(super) fn put(&self, job: Box<dyn Job>) -> Result<Result<(), Error>, Full> {
        match self.room.take() {
            true => Ok(self.send(job)),
            false => Err(Full { job, capacity: self.room.capacity }),
        }
    }

    fn send(&self, job: Box<dyn Job>) -> Result<(), Error> {
        self.sender.send(job).map_err(|_| stopped())?;
        self.meters.accepted.count();
        Ok(())
    }
}

/// There was no room.
pub(super) struct Full {
    pub(super) job: Box<dyn Job>,
    pub(super) capacity: usize,
}

/// A request that waits for room.
pub(super) struct Unqueued {
    /// `None` once it was queued.
    job: Mutex<Option<Box<dyn Job>>>,
    queue: Weak<Queue>,
    room: Arc<Room>,
}

impl Unqueued {
    pub(super) fn new(job: Box<dyn Job>, queue: &Arc<Queue>) -> Self {
        let (queue, room) = (Arc::downgrade(queue), Arc::clone(&queue.room));
        Self { job: Mutex::new(Some(job)), queue, room }
    }

    /// Queues it as soon as there is room.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] when the writer has stopped before.
    pub(super) fn poll(&mut self, context: &Context<'_>) -> Poll<Result<(), Error>> {
        let job = self.job.get_mut().unwrap_or_else(PoisonError::into_inner);
        if job.is_none() {
            return Poll::Ready(Ok(()));
        }
        // Before looking whether the writer still runs: stopping it wakes those that wait.
        let room = self.room.poll_take(context);
        let Some(queue) = self.queue.upgrade() else {
            return Poll::Ready(Err(stopped()));
        };
        match job.take_if(|_| room.is_ready()) {
            Some(job) => Poll::Ready(queue.send(job)),
            None => Poll::Pending,
        }
    }

    /// The same for a thread, which sleeps until then.
    ///
    /// # Errors
    ///
    /// As [`poll`](Self::poll).
    pub(super) fn wait(&mut self) -> Result<(), Error> {
        let waker = Waker::from(Arc::new(Sleeper(thread::current())));
        loop {
            match self.poll(&Context::from_waker(&waker)) {
                Poll::Ready(result) => return result,
                Poll::Pending => thread::park(),
            }
        }
    }
}

/// A thread that waits.
struct Sleeper(Thread);

impl Wake for Sleeper {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

pub(super) fn stopped() -> Error {
    Error::Unavailable(Outage::WriterStopped)
}
