//! Running code of a caller: a panic there is an error and nothing more, and a step that waits for an
//! answer of its own writer is noticed.
//!
//! | code of a caller | a panic there |
//! |---|---|
//! | `Step::subject` | is the caller's own, on its thread, before anything is queued |
//! | `Step::prefetch`, `plan`, `compute`, `write`, and who asks for addresses | fails the request |
//! | `Step::COMPUTES` | a constant: does not compile |
//! | `From<Error>` of a step's error | leaves the request unanswered: its caller gets an error |
//! | the answer, and whom it wakes; whom room in the queue wakes | is the end of it |
//! | the drop of a step, its output, its error | is ignored |
//! | the clock | makes the store unavailable until it works again |

use std::any::Any;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread::ThreadId;

use crate::Error;

thread_local! {
    /// The thread of the writer that this one works for.
    static WRITER: Cell<Option<ThreadId>> = const { Cell::new(None) };
    /// Whether code of a step runs on this thread.
    static STEP: Cell<bool> = const { Cell::new(false) };
}

/// Runs code of a caller. After a panic nothing that it used is looked at again, except the
/// transaction, which is rolled back.
///
/// # Errors
///
/// [`Error::Panicked`].
pub(super) fn guard<T>(work: impl FnOnce() -> T) -> Result<T, Error> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|panic| {
        let message = message(&*panic);
        // What was thrown is a caller's, too.
        if let Err(again) = catch_unwind(AssertUnwindSafe(|| drop(panic))) {
            std::mem::forget(again);
        }
        Error::Panicked { message }
    })
}

/// Drops what is a caller's.
pub(super) fn discard<T>(value: T) {
    // A panic was reported where it happened.
    let _ = guard(|| drop(value));
}

/// From now on this thread works for the writer whose thread this is.
pub(super) fn work_for(writer: ThreadId) {
    WRITER.set(Some(writer));
}

/// The thread of the writer that this one works for.
pub(super) fn current_writer() -> Option<ThreadId> {
    WRITER.get()
}

/// Runs code of a step.
pub(super) fn run_step<T>(work: impl FnOnce() -> T) -> T {
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

fn message(panic: &(dyn Any + Send)) -> String {
    if let Some(text) = panic.downcast_ref::<&str>() {
        (*text).to_owned()
    } else if let Some(text) = panic.downcast_ref::<String>() {
        text.clone()
    } else {
        "no message".to_owned()
    }
}
