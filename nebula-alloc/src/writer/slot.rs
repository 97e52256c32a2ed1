//! A place for one answer, to be waited for by a thread or by a task. A channel would do for
//! threads, but its receivers spin before they sleep, and with hundreds of callers waiting for one
//! commit that takes the processor from the writer.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// A slot's two ends.
pub(super) fn slot<T>() -> (Fill<T>, Await<T>) {
    let slot = Arc::new(Slot { state: Mutex::new(State::Open(None)), changed: Condvar::new() });
    (Fill(Arc::clone(&slot)), Await(slot))
}

struct Slot<T> {
    state: Mutex<State<T>>,
    changed: Condvar,
}

enum State<T> {
    /// With the task that waits, if one does.
    Open(Option<Waker>),
    Filled(T),
    Closed,
}

impl<T> Slot<T> {
    fn state(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Leaves the first state, and wakes whoever waits.
    fn settle(&self, settled: State<T>) {
        let mut state = self.state();
        let waker = match &mut *state {
            State::Open(waker) => waker.take(),
            State::Filled(_) | State::Closed => return,
        };
        *state = settled;
        drop(state);
        self.changed.notify_one();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl<T> std::fmt::Debug for Await<T> {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Await")
    }
}

/// The side that answers. Dropping it without an answer wakes whoever waits with none.
pub(super) struct Fill<T>(Arc<Slot<T>>);

impl<T> Fill<T> {
    pub(super) fn fill(self, value: T) {
        self.0.settle(State::Filled(value));
    }
}

impl<T> Drop for Fill<T> {
    fn drop(&mut self) {
        self.0.settle(State::Closed);
    }
}

/// Who waits.
pub(super) struct Await<T>(Arc<Slot<T>>);

impl<T> Await<T> {
    /// The answer, or `None` when there will be none.
    pub(super) fn wait(self) -> Option<T> {
        let mut state = self
            .0
            .changed
            .wait_while(self.0.state(), |state| matches!(state, State::Open(_)))
            .unwrap_or_else(PoisonError::into_inner);
        take(&mut state)
    }

    /// The same for a task; to be asked until it is ready, and not again.
    pub(super) fn poll(&self, context: &Context<'_>) -> Poll<Option<T>> {
        let mut state = self.0.state();
        if let State::Open(waker) = &mut *state {
            *waker = Some(context.waker().clone());
            return Poll::Pending;
        }
        Poll::Ready(take(&mut state))
    }
}

fn take<T>(state: &mut State<T>) -> Option<T> {
    match std::mem::replace(state, State::Closed) {
        State::Filled(value) => Some(value),
        State::Open(_) | State::Closed => None,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    use super::*;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn an_answer_arrives_before_or_after_it_is_awaited() {
        let (fill, wait) = slot();
        fill.fill(1);
        assert_eq!(wait.wait(), Some(1));
        let (fill, wait) = slot();
        let waiting = std::thread::spawn(|| wait.wait());
        fill.fill(2);
        assert_eq!(waiting.join().unwrap(), Some(2));
    }

    #[test]
    fn without_an_answerer_there_is_no_answer() {
        let (fill, wait) = slot::<u8>();
        drop(fill);
        assert_eq!(wait.wait(), None);
    }

    #[test]
    fn a_task_is_woken_once_by_an_answer_or_its_absence() {
        for expected in [Some(3), None] {
            let (fill, wait) = slot();
            let (first, last) = (Arc::new(Count::default()), Arc::new(Count::default()));
            for count in [&first, &last] {
                let waker = Waker::from(Arc::clone(count));
                assert_eq!(wait.poll(&Context::from_waker(&waker)), Poll::Pending);
            }
            match expected {
                Some(value) => fill.fill(value),
                None => drop(fill),
            }
            // The task may have moved: only its last waker counts.
            assert_eq!([&first, &last].map(|count| count.0.load(Ordering::Relaxed)), [0, 1]);
            let context = Context::from_waker(Waker::noop());
            assert_eq!(wait.poll(&context), Poll::Ready(expected));
        }
    }
}
