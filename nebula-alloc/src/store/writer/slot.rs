//! A place for one answer. A channel would do, but its receivers spin before they sleep, and with
//! hundreds of callers waiting for one commit that takes the processor from the writer.

use std::sync::{Arc, Condvar, Mutex, PoisonError};

/// A slot's two ends.
pub(super) fn slot<T>() -> (Fill<T>, Await<T>) {
    let slot = Arc::new(Slot { state: Mutex::new(State::Open), changed: Condvar::new() });
    (Fill(Arc::clone(&slot)), Await(slot))
}

struct Slot<T> {
    state: Mutex<State<T>>,
    changed: Condvar,
}

enum State<T> {
    Open,
    Filled(T),
    Closed,
}

/// Who answers. Dropping it without an answer tells whoever waits that there will be none.
pub(super) struct Fill<T>(Arc<Slot<T>>);

impl<T> Fill<T> {
    pub(super) fn fill(self, value: T) {
        *self.0.state.lock().unwrap_or_else(PoisonError::into_inner) = State::Filled(value);
        // Dropping wakes the waiter.
    }
}

impl<T> Drop for Fill<T> {
    fn drop(&mut self) {
        let mut state = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
        if matches!(*state, State::Open) {
            *state = State::Closed;
        }
        drop(state);
        self.0.changed.notify_one();
    }
}

/// Who waits.
pub(super) struct Await<T>(Arc<Slot<T>>);

impl<T> Await<T> {
    /// The answer, or `None` when there will be none.
    pub(super) fn wait(self) -> Option<T> {
        let state = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
        let mut state = self
            .0
            .changed
            .wait_while(state, |state| matches!(state, State::Open))
            .unwrap_or_else(PoisonError::into_inner);
        match std::mem::replace(&mut *state, State::Closed) {
            State::Filled(value) => Some(value),
            State::Open | State::Closed => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
