//! The answer to a request as a future.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use super::guard;
use super::room::Unqueued;
use super::slot::Await;
use crate::error::{Doubt, Error};

/// What will be answered to a request of [`Writer::send`](super::Writer::send).
///
/// It is a future that any runtime can drive, and none is needed to [`wait`](Self::wait) for it.
/// The request is queued already: dropping this does not take it back, unless it waits for
/// [room](super::Writer::send_when_room).
#[must_use = "the request is under way, and its outcome should be looked at"]
pub struct Answer<T, E>(State<T, E>);

enum State<T, E> {
    Refused(Option<E>),
    Awaited(Await<Result<T, E>>),
    /// First it has to be queued.
    Unqueued(Unqueued, Await<Result<T, E>>),
}

impl<T, E: From<Error>> Answer<T, E> {
    pub(super) fn refused(error: E) -> Self {
        Self(State::Refused(Some(error)))
    }

    pub(super) fn awaited(slot: Await<Result<T, E>>) -> Self {
        Self(State::Awaited(slot))
    }

    pub(super) fn unqueued(request: Unqueued, slot: Await<Result<T, E>>) -> Self {
        Self(State::Unqueued(request, slot))
    }

    /// Blocks until the answer is there.
    ///
    /// # Errors
    ///
    /// The request's; [`Error::WaitsInside`] where a [`Step`](super::Step), or what is called with an
    /// answer, waits for a request that was queued, of whatever writer.
    pub fn wait(self) -> Result<T, E> {
        match self.0 {
            State::Refused(error) => Err(error.unwrap_or_else(silent)),
            _ if guard::current_writer().is_some() => Err(Error::WaitsInside.into()),
            State::Unqueued(mut request, slot) => {
                request.wait()?;
                slot.wait().unwrap_or_else(|| Err(silent()))
            }
            State::Awaited(slot) => slot.wait().unwrap_or_else(|| Err(silent())),
        }
    }
}

/// Nothing in it is ever pinned.
impl<T, E> Unpin for Answer<T, E> {}

impl<T, E: From<Error>> Future for Answer<T, E> {
    type Output = Result<T, E>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<T, E>> {
        let answer = match &mut self.0 {
            State::Refused(error) => Poll::Ready(Err(error.take().unwrap_or_else(silent))),
            State::Awaited(slot) => awaited(slot, context),
            State::Unqueued(request, slot) => match request.poll(context) {
                Poll::Ready(Ok(())) => awaited(slot, context),
                Poll::Ready(Err(error)) => Poll::Ready(Err(error.into())),
                Poll::Pending => Poll::Pending,
            },
        };
        match answer {
            // Whoever polls it in a step would go on doing so.
            Poll::Pending if guard::in_step() => Poll::Ready(Err(Error::WaitsInside.into())),
            answer => answer,
        }
    }
}

fn awaited<T, E: From<Error>>(
    slot: &Await<Result<T, E>>,
    context: &Context<'_>,
) -> Poll<Result<T, E>> {
    slot.poll(context).map(|answer| answer.unwrap_or_else(|| Err(silent())))
}

impl<T, E> std::fmt::Debug for Answer<T, E> {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Answer")
    }
}

fn silent<E: From<Error>>() -> E {
    Error::OutcomeUnknown(Doubt::WriterStopped).into()
}
