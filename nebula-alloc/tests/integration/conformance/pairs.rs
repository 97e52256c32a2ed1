//! Does an owner that wants an address of each family get both or none?

use nebula_alloc::lease::Request;
use nebula_alloc::verify::verify;
use nebula_alloc::{Allocator, Error, Family, WriterOptions};

use crate::support::*;

fn pair(number: u64) -> Vec<Request> {
    vec![request(number), Request { family: Family::V6, ..request(number) }]
}

/// Four addresses of IPv4, and two of IPv6.
fn allocator(new: New) -> (Allocator, impl Sized) {
    let mut store = new();
    store.ranged(1, range("10.0.0.1", "10.0.0.4"));
    store.pool(2, "fd00::6/127");
    let (writer, directory) = store.writer(WriterOptions::default());
    (Allocator::new(writer, "test"), directory)
}

fn got(allocator: &Allocator, requests: Vec<Request>) -> Result<Vec<String>, Error> {
    let leases = allocator.allocate_all(requests).wait();
    let violations = allocator.writer().transaction(|tx, _| verify(tx));
    assert_eq!(violations, Ok(vec![]));
    leases.map(|leases| leases.iter().map(|lease| lease.address.to_string()).collect())
}

pub fn both_come_in_the_order_asked_and_again_the_same(new: New) {
    let (allocator, _directory) = allocator(new);
    let both = Ok(vec!["10.0.0.1".to_owned(), "fd00::6".to_owned()]);
    assert_eq!(got(&allocator, pair(1)), both);
    assert_eq!(got(&allocator, pair(1)), both);
    let other_way = pair(2).into_iter().rev().collect();
    assert_eq!(got(&allocator, other_way).unwrap(), ["fd00::7", "10.0.0.2"]);
}

pub fn when_one_is_exhausted_the_other_is_not_taken(new: New) {
    let (allocator, _directory) = allocator(new);
    for number in 1..=2 {
        got(&allocator, pair(number)).unwrap();
    }
    let exhausted = Error::PoolExhausted { network: NETWORK, family: Family::V6 };
    for _ in 0..5 {
        assert_eq!(got(&allocator, pair(3)), Err(exhausted.clone()));
    }
    assert_eq!(got(&allocator, vec![request(3)]).unwrap(), ["10.0.0.3"], "as if never asked");
}

pub fn when_a_given_one_is_taken_the_other_is_not(new: New) {
    let (allocator, _directory) = allocator(new);
    got(&allocator, pair(1)).unwrap();
    let taken = vec![request(2), given(2, "fd00::6")];
    let error = Error::AddressTaken { network: NETWORK, address: ip("fd00::6") };
    assert_eq!(got(&allocator, taken), Err(error));
    assert_eq!(got(&allocator, pair(3)).unwrap(), ["10.0.0.2", "fd00::7"]);
}

pub fn who_has_one_already_gets_the_other_and_keeps_the_one_it_had(new: New) {
    let (allocator, _directory) = allocator(new);
    got(&allocator, vec![given(1, "10.0.0.3")]).unwrap();
    assert_eq!(got(&allocator, pair(1)).unwrap(), ["10.0.0.3", "fd00::6"]);
    got(&allocator, vec![request(2)]).unwrap();
    got(&allocator, pair(3)).unwrap();
    // Nor does it lose that one when the other is refused.
    assert!(got(&allocator, pair(2)).is_err());
    assert_eq!(got(&allocator, vec![request(2)]).unwrap(), ["10.0.0.1"]);
}

pub fn both_are_released_and_come_back_together(new: New) {
    let (allocator, _directory) = allocator(new);
    let before = got(&allocator, pair(1)).unwrap();
    let released = allocator.release(NETWORK, owner(1), DAY).wait().unwrap();
    assert_eq!(released.len(), 2);
    got(&allocator, pair(2)).unwrap();
    assert_eq!(got(&allocator, pair(1)).unwrap(), before);
}
