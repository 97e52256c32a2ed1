//! Is what happened written down?

use nebula_alloc::event::{Event, after, append};
use nebula_alloc::{Allocator, Error, NetworkId, WriterOptions, usable};

use crate::support::*;

pub fn an_event_comes_back_as_it_was_written(new: New) {
    let mut store = new();
    let bare = Event::new(NOW, "bare", "somebody");
    let full = Event {
        network: Some(NETWORK),
        source_address: Some("192.0.2.1:5".into()),
        request_id: Some("r-1".into()),
        subject: Some(vec![1, 2, 3]),
        address: Some(ip("fd00::1")),
        detail: Some("ü".into()),
        ..Event::new(NOW + 1, "full", "somebody")
    };
    store.run(|tx| append(tx, &bare).and_then(|()| append(tx, &full))).unwrap();
    let all = store.run(|tx| after(tx, None, 0, 10)).unwrap();
    assert_eq!(all, [(1, bare), (2, full.clone())]);
    assert_eq!(store.run(|tx| after(tx, Some(NETWORK), 0, 10)).unwrap(), [(2, full)]);
    assert_eq!(store.run(|tx| after(tx, Some(NetworkId([9; 16])), 0, 10)).unwrap(), []);
    assert_eq!(store.run(|tx| after(tx, None, 0, 1)).unwrap().len(), 1);
    assert_eq!(store.run(|tx| after(tx, None, 2, 10)).unwrap(), []);
}

pub fn the_allocator_writes_one_for_each_change(new: New) {
    let (writer, _directory) = new().writer(WriterOptions::default());
    let allocator = Allocator::new(writer, "tester");
    allocator.create_pool(pool_of(1, usable("10.0.0.0/24".parse().unwrap()).unwrap())).unwrap();
    allocator.allocate(request(1)).unwrap();
    allocator.allocate(request(1)).unwrap();
    assert_eq!(allocator.release(NETWORK, owner(1), DAY).unwrap().len(), 1);
    assert_eq!(allocator.release(NETWORK, owner(1), DAY).unwrap().len(), 0);
    allocator.allocate(request(1)).unwrap();
    assert!(allocator.allocate(given(2, "10.9.9.9")).is_err());
    let events = allocator
        .writer()
        .transaction(|tx, _| after(tx, Some(NETWORK), 0, 100))
        .unwrap_or_else(|error: Error| panic!("{error}"));
    let kinds: Vec<_> = events.iter().map(|(_, event)| event.kind.as_str()).collect();
    assert_eq!(kinds, ["pool.created", "lease.allocated", "lease.released", "lease.returned"]);
    assert!(events.iter().all(|(_, event)| event.actor == "tester" && event.at == NOW));
}
