//! What is told, and what is there, when the database refuses a commit?

use nebula_alloc::lease::Lease;
use nebula_alloc::store::{Subject, Transaction};
use nebula_alloc::writer::{Planned, Step};
use nebula_alloc::{Error, WriterOptions};

use crate::support::busy::occupy;
use crate::support::*;

/// A lease, and perhaps a row that lets the commit fail.
struct Doomed {
    number: u64,
    dooms: bool,
}

impl Step for Doomed {
    type Plan = ();
    type Output = Lease;
    type Error = Error;

    fn subject(&self) -> Subject {
        Subject::Key(self.number.to_be_bytes().to_vec())
    }

    fn plan(&mut self, _: &mut dyn Transaction, _: i64) -> Result<Planned<()>, Error> {
        Ok(Planned::with_addresses((), vec![request(self.number)], |()| ACTOR))
    }

    fn write(
        &mut self,
        tx: &mut dyn Transaction,
        _: i64,
        (): (),
        leases: &[Lease],
    ) -> Result<Lease, Error> {
        if self.dooms {
            tx.queue(DOOM, &[])?;
        }
        Ok(leases[0])
    }
}

const DOOM: &str = "INSERT INTO doomed (number) VALUES (7)";

fn is_unknown<T>(answer: &Result<T, Error>) -> bool {
    matches!(answer, Err(Error::OutcomeUnknown { .. }))
}

pub fn the_outcome_is_unknown_and_nothing_of_it_is_there(new: New) {
    let mut store = new();
    store.pool(1, "10.0.0.0/24");
    store.dooming_table();
    let refused = store.run(|tx| {
        nebula_alloc::lease::allocate(tx, NOW, &ACTOR, &request(1))?;
        tx.execute(DOOM, &[])
    });
    assert!(is_unknown(&refused), "{refused:?}");
    assert_eq!(store.leases(), []);
    assert_eq!(store.allocate(2), Ok(ip("10.0.0.1")));
    store.assert_sound();
}

/// Whoever shared the commit shares its fate; asking again tells.
pub fn the_whole_batch_is_told_and_asking_again_is_safe(new: New) {
    let mut store = new();
    store.pool(1, "10.0.0.0/24");
    store.dooming_table();
    let (writer, _directory) = store.writer(WriterOptions::default());
    let gate = occupy(&writer);
    let answers: Vec<_> =
        (0..20).map(|number| writer.send(Doomed { number, dooms: number == 13 })).collect();
    drop(gate);
    for answer in answers {
        let answer = answer.wait();
        assert!(is_unknown(&answer), "{answer:?}");
    }
    let again: Vec<_> = (0..20)
        .map(|number| writer.run(Doomed { number, dooms: false }).unwrap().address)
        .collect();
    let expected: Vec<_> = (1..=20).map(|last| ip(&format!("10.0.0.{last}"))).collect();
    assert_eq!(again, expected, "nothing was left behind");
    assert!(writer.is_ready());
    let counters = writer.counters();
    assert_eq!((counters.failed_commits, counters.recoveries), (1, 1));
    let violations = writer.transaction(|tx, _| nebula_alloc::verify::verify(tx));
    assert_eq!(violations, Ok(vec![]));
}
