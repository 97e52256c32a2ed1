//! The answer to a request as a future.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use super::slot::Await;
use crate::Error;

/// What will be answered to a request of [`Writer::send`](super::Writer::send).
///
/// It is a future that any runtime can drive, and none is needed to [`wait`](Self::wait) for it.
/// The request is queued already: dropping this does not take it back.
#[must_use = "the request is under way, and its outcome should be looked at"]
pub struct Answer<T, E>(State<T, E>);

enum State<T, E> {
    Refused(Option<E>),
    Awaited(Await<Result<T, E>>),
}

impl<T, E: From<Error>> Answer<T, E> {
    pub(super) fn refused(error: E) -> Self {
        Self(State::Refused(Some(error)))
    }

    pub(super) fn awaited(slot: Await<Result<T, E>>) -> Self {
        Self(State::Awaited(slot))
    }

    /// Blocks until the answer is there.
    ///
    /// # Errors
    ///
    /// The request's.
    pub fn wait(self) -> Result<T, E> {
        match self.0 {
            State::Refused(error) => Err(error.unwrap_or_else(silent)),
            State::Awaited(slot) => slot.wait().unwrap_or_else(|| Err(silent())),
        }
    }
}

/// Nothing in it is ever pinned.
impl<T, E> Unpin for Answer<T, E> {}

impl<T, E: From<Error>> Future for Answer<T, E> {
    type Output = Result<T, E>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<T, E>> {
        match &mut self.0 {
            State::Refused(error) => Poll::Ready(Err(error.take().unwrap_or_else(silent))),
            State::Awaited(slot) => {
                slot.poll(context).map(|answer| answer.unwrap_or_else(|| Err(silent())))
            }
        }
    }
}

impl<T, E> std::fmt::Debug for Answer<T, E> {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Answer")
    }
}

fn silent<E: From<Error>>() -> E {
    Error::OutcomeUnknown { reason: "the writer stopped before it answered".into() }.into()
}
