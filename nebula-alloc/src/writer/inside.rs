//! What a thread works for: code of a step that waits for an answer waits for itself.

use std::cell::Cell;
use std::thread::ThreadId;

thread_local! {
    static WRITER: Cell<Option<ThreadId>> = const { Cell::new(None) };
    static STEP: Cell<bool> = const { Cell::new(false) };
}

/// From now on this thread works for the writer whose thread this is.
pub(super) fn work_for(writer: ThreadId) {
    WRITER.set(Some(writer));
}

/// The thread of the writer that this one works for.
pub(super) fn writer() -> Option<ThreadId> {
    WRITER.get()
}

/// Runs code of a step.
pub(super) fn step<T>(work: impl FnOnce() -> T) -> T {
    struct Leave(bool);

    impl Drop for Leave {
        fn drop(&mut self) {
            STEP.set(self.0);
        }
    }

    let _leave = Leave(STEP.replace(true));
    work()
}

/// Whether code of a step runs on this thread.
pub(super) fn in_step() -> bool {
    STEP.get()
}
