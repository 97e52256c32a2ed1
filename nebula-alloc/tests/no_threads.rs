//! Does the writer go on where the system has no threads left for it?
//!
//! The limit is the process's own, so this has a program to itself.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, unreachable_pub, reason = "a failure here is a failed test")]

use nebula_alloc::lease::Lease;
use nebula_alloc::store::{Subject, Transaction};
use nebula_alloc::writer::{Planned, Step};
use nebula_alloc::{Error, Sqlite, Writer, WriterOptions};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::busy::occupy;

#[path = "integration/support/busy.rs"]
mod busy;

struct Compute(u64);

impl Step for Compute {
    type Plan = ();
    type Output = ();
    type Error = Error;

    const COMPUTES: bool = true;

    fn subject(&self) -> Subject {
        Subject::Key(self.0.to_be_bytes().to_vec())
    }

    fn plan(&mut self, _: &mut dyn Transaction, _: i64) -> Result<Planned<()>, Error> {
        Ok(Planned::without_addresses(()))
    }

    fn write(&mut self, _: &mut dyn Transaction, _: i64, (): (), _: &[Lease]) -> Result<(), Error> {
        Ok(())
    }
}

/// As much memory as there is now and 1 MiB: a thread's stack has no room.
fn without_threads<T>(work: impl FnOnce() -> T) -> T {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: u64 = pages.split(' ').next().unwrap().parse().unwrap();
    let page = u64::try_from(rustix::param::page_size()).unwrap();
    let before = getrlimit(Resource::As);
    let current = Some(pages * page + (1 << 20));
    setrlimit(Resource::As, Rlimit { current, ..before }).unwrap();
    std::thread::Builder::new().spawn(|| {}).unwrap_err();
    let output = work();
    setrlimit(Resource::As, before).unwrap();
    output
}

#[test]
fn without_threads_the_writer_computes_by_itself() {
    let directory = tempfile::tempdir().unwrap();
    let store = Sqlite::open(directory.path().join("test.db")).unwrap();
    let writer = Writer::start(store, || 1, WriterOptions::default()).unwrap();
    let gate = occupy(&writer);
    let answers: Vec<_> = (0..64).map(|number| writer.send(Compute(number))).collect();
    let answers: Vec<_> = without_threads(|| {
        drop(gate);
        answers.into_iter().map(nebula_alloc::writer::Answer::wait).collect()
    });
    assert_eq!(answers, vec![Ok(()); 64]);
    assert!(writer.is_ready());
}
