//! Where code of a caller runs, a panic is an error and nothing more.
//!
//! | code of a caller | a panic there |
//! |---|---|
//! | `Step::subject` | is the caller's own, on its thread, before anything is queued |
//! | `Step::prefetch`, `plan`, `compute`, `write`, and who asks for addresses | fails the request |
//! | `Step::COMPUTES` | a constant: does not compile |
//! | `From<Error>` of a step's error | leaves the request without an answer: whoever waits is told so |
//! | the answer, and whom it wakes; whom room in the queue wakes | is the end of it |
//! | the drop of a step, its output, its error | is ignored |
//! | the clock | has the store unavailable until it tells the time again |

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::Error;

/// Runs code of a caller. What it had in hand is not looked at again after a panic, but for the
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

fn message(panic: &(dyn Any + Send)) -> String {
    if let Some(text) = panic.downcast_ref::<&str>() {
        (*text).to_owned()
    } else if let Some(text) = panic.downcast_ref::<String>() {
        text.clone()
    } else {
        "no message".to_owned()
    }
}
