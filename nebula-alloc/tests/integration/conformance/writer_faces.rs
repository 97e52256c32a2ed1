//! Can a writer be awaited, waited for and watched, without a runtime and without losing an
//! answer?

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

use nebula_alloc::lease::{Lease, by_owner, list};
use nebula_alloc::store::{Subject, Transaction};
use nebula_alloc::writer::{Answer, Planned, Step};
use nebula_alloc::{Allocator, Error, Writer, WriterOptions};

use crate::support::busy::occupy;
use crate::support::*;

struct Allocate(u64);

impl Step for Allocate {
    type Plan = ();
    type Output = Lease;
    type Error = Error;

    fn subject(&self) -> Subject {
        Subject::Key(self.0.to_be_bytes().to_vec())
    }

    fn plan(&mut self, _: &mut dyn Transaction, _: i64) -> Result<Planned<()>, Error> {
        Ok(Planned::with_addresses((), vec![request(self.0)], |()| ACTOR))
    }

    fn write(
        &mut self,
        _: &mut dyn Transaction,
        _: i64,
        (): (),
        leases: &[Lease],
    ) -> Result<Lease, Error> {
        Ok(leases[0])
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// All that a runtime has to do.
pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}

fn writer(new: New, options: WriterOptions) -> (Writer, impl Sized) {
    let mut store = new();
    store.pool(1, "10.0.0.0/16");
    store.writer(options)
}

pub fn an_answer_can_be_awaited_without_a_runtime(new: New) {
    let (writer, _directory) = writer(new, WriterOptions::default());
    let lease = block_on(async {
        let first = writer.send(Allocate(1)).await?;
        assert_eq!(writer.send(Allocate(1)).await?, first);
        writer.send(Allocate(2)).await
    });
    assert_eq!(lease.unwrap().address, ip("10.0.0.2"));
}

pub fn an_allocators_answers_can_be_awaited_and_share_a_commit(new: New) {
    let (writer, _directory) = writer(new, WriterOptions::default());
    let allocator = Allocator::new(writer, "test");
    let gate = occupy(allocator.writer());
    let answers: Vec<_> = (1..=3).map(|number| allocator.allocate(request(number))).collect();
    let released = allocator.release(NETWORK, owner(9), DAY);
    let own = allocator.transaction_about(NETWORK, owner(8), |tx, now, actor| {
        Ok::<_, Error>((by_owner(tx, NETWORK, owner(8))?.len(), now, actor.name.to_owned()))
    });
    drop(gate);
    let addresses = answers.into_iter().map(|answer| block_on(answer).unwrap().address);
    assert_eq!(addresses.collect::<Vec<_>>(), ["10.0.0.1", "10.0.0.2", "10.0.0.3"].map(ip));
    assert_eq!(block_on(released), Ok(vec![]));
    assert_eq!(block_on(own), Ok((0, NOW, "test".to_owned())));
    assert_eq!(allocator.writer().counters().largest_batch, 5);
    assert_eq!(block_on(allocator.reclaim()), Ok(0));
}

pub fn what_nobody_waits_for_any_more_is_done_nevertheless(new: New) {
    let (writer, _directory) = writer(new, WriterOptions::default());
    let gate = occupy(&writer);
    let mut answer = writer.send(Allocate(1));
    let context = &mut Context::from_waker(Waker::noop());
    assert!(pin!(&mut answer).poll(context).is_pending());
    drop(answer);
    drop(gate);
    let count = writer.transaction(|tx, _| Ok::<_, Error>(list(tx, NETWORK, None, 10)?.len()));
    assert_eq!(count, Ok(1));
}

pub fn a_full_queue_is_the_answer_at_once(new: New) {
    let (writer, _directory) = writer(new, WriterOptions::default().with_queue(1));
    let gate = occupy(&writer);
    let queued = writer.send(Allocate(1));
    let mut refused = writer.send(Allocate(2));
    let context = &mut Context::from_waker(Waker::noop());
    let full = Err(Error::QueueFull { capacity: 1 });
    assert_eq!(pin!(&mut refused).poll(context), Poll::Ready(full));
    let counters = writer.counters();
    assert_eq!((counters.accepted, counters.full, counters.queued), (2, 1, 2));
    drop(gate);
    assert!(queued.wait().is_ok());
}

pub fn shutting_down_answers_all_that_was_accepted(new: New) {
    let (writer, _directory) = writer(new, WriterOptions::default().with_batch(7));
    let gate = occupy(&writer);
    let futures: Vec<Answer<_, _>> = (0..50).map(|number| writer.send(Allocate(number))).collect();
    drop(gate);
    writer.shutdown();
    for answer in futures {
        // Nothing is left that could wake anybody.
        let mut answer = pin!(answer);
        let context = &mut Context::from_waker(Waker::noop());
        assert!(matches!(answer.as_mut().poll(context), Poll::Ready(Ok(_))));
    }
}

pub fn closing_is_awaited_and_answers_all_that_was_accepted(new: New) {
    let (writer, _directory) = writer(new, WriterOptions::default().with_batch(7));
    let gate = occupy(&writer);
    let answers: Vec<_> = (0..50).map(|number| writer.send(Allocate(number))).collect();
    let mut closed = pin!(writer.close());
    let context = &mut Context::from_waker(Waker::noop());
    assert!(closed.as_mut().poll(context).is_pending());
    drop(gate);
    assert_eq!(block_on(closed), Ok(()));
    for answer in answers {
        // Nothing is left that could wake anybody.
        assert!(matches!(pin!(answer).poll(context), Poll::Ready(Ok(_))));
    }
}

pub fn counters_tell_what_was_done(new: New) {
    let (writer, _directory) = writer(new, WriterOptions::default());
    let gate = occupy(&writer);
    let answers: Vec<_> = (0..11).map(|number| writer.send(Allocate(number))).collect();
    drop(gate);
    assert!(answers.into_iter().all(|answer| answer.wait().is_ok()));
    let panicked = writer.transaction(|_, _| -> Result<(), Error> { panic!("in a step") });
    assert!(matches!(panicked, Err(Error::Panicked { .. })));
    let counters = writer.counters();
    assert_eq!((counters.accepted, counters.answered, counters.queued), (13, 13, 0));
    assert_eq!((counters.batches, counters.commits, counters.panics), (3, 2, 1));
    assert_eq!(counters.largest_batch, 11);
    assert!(counters.longest_batch > 0);
    assert_eq!((counters.failed_commits, counters.recoveries, counters.splits), (0, 0, 0));
}
