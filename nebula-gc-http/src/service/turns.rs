//! Turns at what there is not enough of for everybody at once: the writer, and connections that read.
//!
//! Whoever finds nothing free waits in a line of its own, and the lines have their turns in order. So
//! somebody who asks a thousand things at once waits for itself, and who asks one thing waits for what
//! has a turn already, and for at most one of each other's.

use std::collections::{HashMap, VecDeque};
#[cfg(feature = "server")]
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use crate::Error;
use crate::error::{Limit, Unavailable};
#[cfg(feature = "server")]
use crate::machine::machine;

/// Who has a line of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Who {
    /// The program itself.
    Local,
    /// Whoever has the credential with this hash, which was found good.
    Credential([u8; 32]),
    /// Whoever asks from there without a credential that was found good.
    #[cfg(feature = "server")]
    Address(IpAddr),
}

#[cfg(feature = "server")]
impl Who {
    /// Whoever asks from there.
    pub(super) fn at(address: IpAddr) -> Self {
        Self::Address(machine(address))
    }
}

/// A fixed number of turns.
pub(super) struct Turns(Arc<Inner>);

struct Inner {
    state: Mutex<State>,
    /// How many may wait, all lines together.
    room: usize,
}

#[derive(Default)]
struct State {
    free: usize,
    waiting: usize,
    lines: HashMap<Who, VecDeque<oneshot::Sender<Turn>>>,
    /// Each of `lines` once.
    order: VecDeque<Who>,
}

/// A turn; it is over when this is dropped.
pub(super) struct Turn(Option<Arc<Inner>>);

impl Turns {
    /// `turns` at a time, while up to `room` wait.
    pub(super) fn new(turns: usize, room: usize) -> Self {
        let state = Mutex::new(State { free: turns, ..State::default() });
        Self(Arc::new(Inner { state, room }))
    }

    /// A turn, as soon as it is this one's.
    ///
    /// # Errors
    /// [`Error::RateLimited`] where one waits for more than its share already, and
    /// [`Error::Unavailable`] where too many wait.
    pub(super) async fn take(&self, who: Who) -> Result<Turn, Error> {
        let waiting = {
            let mut state = self.0.lock();
            // Nobody waits while something is free.
            if let Some(left) = state.free.checked_sub(1) {
                state.free = left;
                return Ok(Turn(Some(Arc::clone(&self.0))));
            }
            state.check(who, self.0.room)?;
            let (tell, turn) = oneshot::channel();
            state.enter(who, tell);
            turn
        };
        waiting.await.map_err(|_| Unavailable::Stopping.into())
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Half of the room is for whoever comes; of the rest nobody has more than an equal part.
    fn check(&self, who: Who, room: usize) -> Result<(), Error> {
        if self.waiting >= room {
            return Err(Unavailable::Crowded.into());
        }
        let own = self.lines.get(&who).map_or(0, VecDeque::len);
        let lines = self.lines.len() + usize::from(own == 0);
        if self.waiting >= room / 2 && own >= room / 2 / lines.max(1) {
            return Err(Error::RateLimited { limit: Limit::Waiting, retry_after: 1 });
        }
        Ok(())
    }

    fn enter(&mut self, who: Who, tell: oneshot::Sender<Turn>) {
        self.waiting += 1;
        let line = self.lines.entry(who).or_default();
        if line.is_empty() {
            self.order.push_back(who);
        }
        line.push_back(tell);
    }

    /// Who is next.
    fn next(&mut self) -> Option<oneshot::Sender<Turn>> {
        let who = self.order.pop_front()?;
        let line = self.lines.get_mut(&who)?;
        let next = line.pop_front()?;
        self.waiting -= 1;
        if line.is_empty() {
            self.lines.remove(&who);
        } else {
            self.order.push_back(who);
        }
        Some(next)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let Some(inner) = self.0.take() else { return };
        let mut state = inner.lock();
        while let Some(next) = state.next() {
            match next.send(Self(Some(Arc::clone(&inner)))) {
                Ok(()) => return,
                // It waits no more; the turn is not over, and must not be given back twice.
                Err(mut turn) => drop(turn.0.take()),
            }
        }
        state.free += 1;
    }
}

#[cfg(test)]
mod tests {
    use std::task::Poll;

    use super::*;

    fn someone(number: u8) -> Who {
        Who::Credential([number; 32])
    }

    /// Whether a wait is over.
    async fn is_over(
        waiting: &mut (impl Future<Output = Result<Turn, Error>> + Unpin),
    ) -> Option<Turn> {
        match futures_now(waiting).await {
            Poll::Ready(turn) => Some(turn.unwrap()),
            Poll::Pending => None,
        }
    }

    async fn futures_now<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
        std::future::poll_fn(|context| Poll::Ready(std::pin::Pin::new(&mut *future).poll(context)))
            .await
    }

    #[tokio::test]
    async fn who_asks_once_waits_for_one_of_each_other() {
        let turns = Turns::new(1, 100);
        let held = turns.take(someone(1)).await.unwrap();
        let mut many: Vec<_> = (0..20).map(|_| Box::pin(turns.take(someone(1)))).collect();
        for waiting in &mut many {
            assert!(is_over(waiting).await.is_none());
        }
        let mut one = Box::pin(turns.take(someone(2)));
        assert!(is_over(&mut one).await.is_none());
        drop(held);
        let first = is_over(&mut many[0]).await.unwrap();
        assert!(is_over(&mut one).await.is_none());
        drop(first);
        assert!(is_over(&mut one).await.is_some());
    }

    #[tokio::test]
    async fn who_waits_no_more_has_no_turn() {
        let turns = Turns::new(1, 100);
        let held = turns.take(someone(1)).await.unwrap();
        let mut gone = Box::pin(turns.take(someone(1)));
        let mut left = Box::pin(turns.take(someone(1)));
        assert!(is_over(&mut gone).await.is_none());
        assert!(is_over(&mut left).await.is_none());
        drop(gone);
        drop(held);
        drop(is_over(&mut left).await.unwrap());
        // All are free again, once.
        let again = turns.take(someone(1)).await.unwrap();
        assert!(is_over(&mut Box::pin(turns.take(someone(1)))).await.is_none());
        drop(again);
    }

    #[tokio::test]
    async fn one_has_half_of_the_room_and_leaves_the_rest_to_others() {
        let turns = Turns::new(1, 16);
        let _held = turns.take(someone(1)).await.unwrap();
        let mut many = vec![];
        let refusal = loop {
            let mut waiting = Box::pin(turns.take(someone(1)));
            match futures_now(&mut waiting).await {
                Poll::Ready(refused) => break refused.err().unwrap(),
                Poll::Pending => many.push(waiting),
            }
        };
        assert_eq!(many.len(), 8);
        assert!(matches!(refusal, Error::RateLimited { retry_after: 1, .. }));
        assert!(is_over(&mut Box::pin(turns.take(someone(2)))).await.is_none());
    }
}
