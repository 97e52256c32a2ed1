//! Does nobody wait for itself, and does whoever waits for room get it?

use std::future::Future;
use std::pin::pin;
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, OnceLock, Weak};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::Duration;

use nebula_alloc::lease::Lease;
use nebula_alloc::store::{Subject, Transaction};
use nebula_alloc::writer::{Planned, Step};
use nebula_alloc::{Allocator, Error, Writer, WriterOptions};

use super::writer_faces::block_on;
use crate::support::busy::occupy;
use crate::support::*;

/// Longer than anything here takes, unless something waits for itself.
const PATIENCE: Duration = Duration::from_secs(60);

fn allocator(new: New, options: WriterOptions) -> (Allocator, impl Sized) {
    let mut store = new();
    store.pool(1, "10.0.0.0/16");
    let (writer, directory) = store.writer(options);
    (Allocator::new(writer, "test"), directory)
}

/// Where in a step to wait.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Place {
    Plan,
    Compute,
    Write,
}

/// Waits for an address of its own in each of the ways there are.
struct Waits {
    place: Place,
    number: u64,
    allocator: Weak<Allocator>,
    told: Vec<Result<Lease, Error>>,
}

impl Waits {
    fn wait(&mut self, place: Place) {
        let Some(allocator) = self.allocator.upgrade().filter(|_| place == self.place) else {
            return;
        };
        let number = 1_000 + self.number;
        self.told = vec![
            allocator.allocate(request(number)).wait(),
            block_on(allocator.allocate(request(number))),
            allocator.writer().transaction(|_, _| Err(Error::Unique)),
        ];
    }
}

impl Step for Waits {
    type Plan = ();
    type Output = Vec<Result<Lease, Error>>;
    type Error = Error;

    fn subject(&self) -> Subject {
        Subject::Key(self.number.to_be_bytes().to_vec())
    }

    fn plan(&mut self, _: &mut dyn Transaction, _: i64) -> Result<Planned<()>, Error> {
        self.wait(Place::Plan);
        Ok(Planned::with_addresses((), vec![request(self.number)], |()| ACTOR))
    }

    const COMPUTES: bool = true;

    fn compute(&mut self, _: i64, (): &mut (), _: &[Lease]) -> Result<(), Error> {
        self.wait(Place::Compute);
        Ok(())
    }

    fn write(
        &mut self,
        _: &mut dyn Transaction,
        _: i64,
        (): (),
        _: &[Lease],
    ) -> Result<Vec<Result<Lease, Error>>, Error> {
        self.wait(Place::Write);
        Ok(std::mem::take(&mut self.told))
    }
}

pub fn waiting_for_an_answer_in_a_step_is_refused_at_once(new: New) {
    let (allocator, _directory) = allocator(new, WriterOptions::default());
    let allocator = Arc::new(allocator);
    let (done, finished) = mpsc::channel();
    for place in [Place::Plan, Place::Compute, Place::Write] {
        // So many that several threads compute.
        let gate = occupy(allocator.writer());
        for number in 0..16 {
            let (allocator, done) = (Arc::clone(&allocator), done.clone());
            let told = Vec::new();
            let step = Waits { place, number, allocator: Arc::downgrade(&allocator), told };
            let answer = move |answer| drop(Sender::send(&done, answer));
            allocator.writer().submit(step, answer).unwrap();
        }
        drop(gate);
        for _ in 0..16 {
            let told = finished.recv_timeout(PATIENCE).unwrap().unwrap();
            assert_eq!(told, vec![Err(Error::WaitsInside); 3], "{place:?}");
        }
    }
    // What was asked there is under way all the same.
    assert_eq!(allocator.allocate(request(1_000)).wait().unwrap().owner, owner(1_000));
}

pub fn so_it_is_where_an_answer_is_handed_on(new: New) {
    let (allocator, _directory) = allocator(new, WriterOptions::default());
    let allocator = Arc::new(allocator);
    let (done, finished) = mpsc::channel();
    let again = Arc::downgrade(&allocator);
    let step = Waits { place: Place::Plan, number: 1, allocator: Weak::new(), told: Vec::new() };
    allocator
        .writer()
        .submit(step, move |_| {
            let answer = again.upgrade().map(|again| again.allocate(request(2)).wait());
            done.send(answer).unwrap();
        })
        .unwrap();
    let told = finished.recv_timeout(PATIENCE).unwrap();
    assert_eq!(told, Some(Err(Error::WaitsInside)));
}

pub fn a_writer_that_is_dropped_in_its_own_step_ends_behind_it(new: New) {
    for place in [Place::Compute, Place::Write] {
        let (allocator, _directory) = allocator(new, WriterOptions::default());
        let (done, finished) = mpsc::channel();
        let held = Arc::new(OnceLock::<Writer>::new());
        let gate = occupy(allocator.writer());
        for number in 0..16 {
            let (last, done) = (Arc::clone(&held), done.clone());
            let answer = move |answer| drop(Sender::send(&done, answer));
            allocator.writer().submit(Drops { place, number, last: Some(last) }, answer).unwrap();
        }
        held.set(allocator.into_writer()).unwrap();
        drop(held);
        drop(gate);
        for _ in 0..16 {
            finished.recv_timeout(PATIENCE).unwrap().unwrap();
        }
    }
}

/// Lets a handle go that may be the last.
struct Drops {
    place: Place,
    number: u8,
    last: Option<Arc<OnceLock<Writer>>>,
}

impl Step for Drops {
    type Plan = ();
    type Output = ();
    type Error = Error;

    fn subject(&self) -> Subject {
        Subject::Key(vec![self.number])
    }

    fn plan(&mut self, _: &mut dyn Transaction, _: i64) -> Result<Planned<()>, Error> {
        Ok(Planned::without_addresses(()))
    }

    const COMPUTES: bool = true;

    fn compute(&mut self, _: i64, (): &mut (), _: &[Lease]) -> Result<(), Error> {
        drop(self.last.take_if(|_| self.place == Place::Compute));
        Ok(())
    }

    fn write(&mut self, _: &mut dyn Transaction, _: i64, (): (), _: &[Lease]) -> Result<(), Error> {
        self.last = None;
        Ok(())
    }
}

pub fn where_the_queue_is_full_a_request_waits_for_room(new: New) {
    let (allocator, _directory) = allocator(new, WriterOptions::default().with_queue(2));
    let allocator = allocator.waiting_for_room();
    let gate = occupy(allocator.writer());
    let answers: Vec<_> = (0..40).map(|number| allocator.allocate(request(number))).collect();
    let polled = thread::scope(|scope| {
        // Half of them by threads, half of them by tasks.
        let waiting: Vec<_> = answers
            .into_iter()
            .enumerate()
            .map(|(index, answer)| {
                scope.spawn(move || if index % 2 == 0 { answer.wait() } else { block_on(answer) })
            })
            .collect();
        drop(gate);
        waiting.into_iter().map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
    });
    assert!(polled.iter().all(Result::is_ok), "{polled:?}");
    assert_eq!(allocator.writer().counters().full, 0);
}

pub fn who_drops_its_answer_waits_no_longer(new: New) {
    let (allocator, _directory) = allocator(new, WriterOptions::default().with_queue(1));
    let allocator = allocator.waiting_for_room();
    let gate = occupy(allocator.writer());
    let first = allocator.allocate(request(1));
    let context = &mut Context::from_waker(Waker::noop());
    let mut dropped = allocator.allocate(request(2));
    assert!(pin!(&mut dropped).poll(context).is_pending());
    let last = allocator.allocate(request(3));
    drop(dropped);
    let waiting = thread::spawn(move || last.wait());
    drop(gate);
    assert_eq!(first.wait().unwrap().address, ip("10.0.0.1"));
    assert_eq!(waiting.join().unwrap().unwrap().address, ip("10.0.0.2"), "nobody had it");
}

pub fn when_the_writer_ends_whoever_waits_for_room_is_told_so(new: New) {
    let (allocator, _directory) = allocator(new, WriterOptions::default().with_queue(1));
    let allocator = allocator.waiting_for_room();
    let gate = occupy(allocator.writer());
    let queued = allocator.allocate(request(1));
    let mut waiting = allocator.allocate(request(2));
    let context = &mut Context::from_waker(Waker::noop());
    assert!(pin!(&mut waiting).poll(context).is_pending());
    let also = allocator.allocate(request(3));
    let also = thread::spawn(move || also.wait());
    let closed = allocator.close();
    assert!(matches!(pin!(waiting).poll(context), Poll::Ready(Err(Error::Unavailable { .. }))));
    assert!(matches!(also.join().unwrap(), Err(Error::Unavailable { .. })));
    drop(gate);
    block_on(closed).unwrap();
    assert!(queued.wait().is_ok());
}

pub fn an_allocator_waits_for_room_where_it_shall(new: New) {
    let (allocator, _directory) = allocator(new, WriterOptions::default().with_queue(1));
    let gate = occupy(allocator.writer());
    let queued = allocator.allocate(request(1));
    assert_eq!(allocator.allocate(request(2)).wait(), Err(Error::QueueFull { capacity: 1 }));
    drop(gate);
    assert!(queued.wait().is_ok());
}

pub fn an_allocator_is_closed_and_waited_for(new: New) {
    let (allocator, _directory) = allocator(new, WriterOptions::default());
    let gate = occupy(allocator.writer());
    let answers: Vec<_> = (0..5).map(|number| allocator.allocate(request(number))).collect();
    let closed = allocator.close();
    assert!(!allocator.writer().is_ready(), "it takes nothing more");
    drop(gate);
    block_on(closed).unwrap();
    for answer in answers {
        let context = &mut Context::from_waker(Waker::noop());
        assert!(matches!(pin!(answer).poll(context), Poll::Ready(Ok(_))), "answered before");
    }
}
