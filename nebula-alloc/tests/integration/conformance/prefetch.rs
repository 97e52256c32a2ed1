//! Does a step that declares its reads see what it must?

use nebula_alloc::lease::{Lease, Request, by_owner, owner_query, release};
use nebula_alloc::store::{Query, Subject, Transaction};
use nebula_alloc::writer::{Answer, Planned, Step};
use nebula_alloc::{Error, OwnerId, Writer, WriterOptions};

use crate::support::busy::occupy;
use crate::support::*;

/// Looks at an owner's leases before and after it releases them.
struct Look {
    owner: OwnerId,
    wishes: Vec<Request>,
    prefetched: fn(OwnerId) -> Vec<Query>,
}

impl Step for Look {
    type Plan = ();
    type Output = [Vec<Lease>; 3];
    type Error = Error;

    fn subject(&self) -> Subject {
        Subject::Key(self.owner.0.to_vec())
    }

    fn prefetch(&self) -> Vec<Query> {
        (self.prefetched)(self.owner)
    }

    fn plan(&mut self, _: &mut dyn Transaction, _: i64) -> Result<Planned<()>, Error> {
        Ok(Planned::with_addresses((), self.wishes.clone(), |()| ACTOR))
    }

    fn write(
        &mut self,
        tx: &mut dyn Transaction,
        now: i64,
        (): (),
        _: &[Lease],
    ) -> Result<[Vec<Lease>; 3], Error> {
        let before = by_owner(tx, NETWORK, self.owner)?;
        let released = release(tx, now, &ACTOR, NETWORK, self.owner, 60)?;
        Ok([before, released, by_owner(tx, NETWORK, self.owner)?])
    }
}

fn start(new: New) -> (Writer, impl Sized) {
    let mut store = new();
    store.pool(1, "10.0.0.0/24");
    store.writer(WriterOptions::default())
}

pub fn a_step_sees_what_it_was_granted_and_what_it_wrote(new: New) {
    let (writer, _keep) = start(new);
    let twice = |owner| {
        vec![owner_query(NETWORK, owner), owner_query(NETWORK, owner), owner_query(NETWORK, owner)]
    };
    let look = |number: u64| Look {
        owner: request(number).owner,
        wishes: vec![request(number)],
        prefetched: twice,
    };
    let busy = occupy(&writer);
    let answers: Vec<_> = (1..5).map(|number| writer.send(look(number))).collect();
    drop(busy);
    for [before, released, after] in answers.into_iter().map(|answer| answer.wait().unwrap()) {
        assert_eq!((before.len(), before[0].released_at), (1, None));
        assert_eq!((after[0].released_at, &after), (Some(NOW), &released));
    }
    let look = Look { wishes: Vec::new(), ..look(1) };
    let [before, released, after] = writer.run(look).unwrap();
    assert_eq!((before.len(), released, after), (1, before.clone(), before));
}

pub fn prefetching_nonsense_fails_the_step_alone(new: New) {
    let (writer, _keep) = start(new);
    let nonsense = |_| vec![Query::new("SELECT nonsense", &[])];
    let panics = |_| panic!("in prefetch");
    let fates: [fn(OwnerId) -> Vec<Query>; 4] =
        [|_| Vec::new(), nonsense, panics, |owner| vec![owner_query(NETWORK, owner)]];
    let busy = occupy(&writer);
    let answers: Vec<_> = (1..)
        .zip(fates)
        .map(|(number, prefetched)| Look {
            owner: request(number).owner,
            wishes: vec![request(number)],
            prefetched,
        })
        .map(|look| writer.send(look))
        .collect();
    drop(busy);
    let answers: Vec<_> = answers.into_iter().map(Answer::wait).collect();
    assert!(answers[0].is_ok() && answers[3].is_ok(), "{answers:?}");
    assert!(matches!(answers[2], Err(Error::Panicked { .. })), "{answers:?}");
    // Where a read costs no trip, what one step alone declares is not prefetched.
    if writer.counters().round_trips > 0 {
        assert!(matches!(answers[1], Err(Error::Database { .. })), "{answers:?}");
    }
}
