//! Does a block keep its addresses for its group, and its group to its addresses?

use nebula_alloc::block::{self, Block};
use nebula_alloc::lease::{Request, release};
use nebula_alloc::pool::{self, Pool};
use nebula_alloc::reclaim::{expire, reclaim};
use nebula_alloc::reservation::{self, Purpose, Reservation};
use nebula_alloc::{AddressRange, Error, Family, Keeper, NetworkId, PoolId};

use crate::support::*;

const POOL: PoolId = PoolId([1; 16]);
const BLOCK: PoolId = PoolId([50; 16]);

fn block_of(id: u8, name: &str, range: AddressRange) -> Block {
    Block { id: PoolId([id; 16]), network: NETWORK, pool: POOL, name: name.into(), range }
}

fn make(store: &mut Store, block: &Block) -> Result<(), Error> {
    store.run(|tx| block::create(tx, NOW, &ACTOR, block))
}

fn delete(store: &mut Store, id: PoolId) -> Result<Block, Error> {
    store.run(|tx| block::delete(tx, NOW, &ACTOR, id))
}

fn part(first: u8, last: u8) -> AddressRange {
    range(&format!("10.0.0.{first}"), &format!("10.0.0.{last}"))
}

/// The pool 10.0.0.1 to .9, and in it the block .1 to .3.
fn with_block(new: New) -> Store {
    let mut store = new();
    store.ranged(1, part(1, 9));
    make(&mut store, &block_of(50, "printers", part(1, 3))).unwrap();
    store
}

fn from(pool: PoolId, number: u64) -> Request {
    Request { pool: Some(pool), ..request(number) }
}

fn let_go(store: &mut Store, number: u64, hold_seconds: i64) {
    store
        .run(|tx| release(tx, NOW, &ACTOR, NETWORK, owner(number), hold_seconds).map(drop))
        .unwrap();
}

pub fn only_who_names_the_block_gets_one_of_it(new: New) {
    let mut store = with_block(new);
    assert_eq!(store.allocate(1), Ok(ip("10.0.0.4")));
    let lease = store.at(NOW, &from(BLOCK, 2)).unwrap();
    assert_eq!((lease.address, lease.pool), (ip("10.0.0.1"), BLOCK));
    assert_eq!(store.at(NOW, &from(BLOCK, 2)), Ok(lease), "asking again is safe");
    assert_eq!(store.at(NOW, &request(2)), Ok(lease), "without the block, too");
    store.assert_sound();
}

pub fn it_does_not_spill_either_way(new: New) {
    let mut store = with_block(new);
    for number in 1..=3 {
        store.at(NOW, &from(BLOCK, number)).unwrap();
    }
    let exhausted = Error::PoolExhausted { network: NETWORK, family: Family::V4 };
    assert_eq!(store.at(NOW, &from(BLOCK, 4)), Err(exhausted.clone()));
    assert_eq!((store.free(BLOCK), store.free(POOL)), (0, 6));
    let_go(&mut store, 1, 0);
    assert_eq!(store.run(|tx| reclaim(tx, NOW, &ACTOR, 10)), Ok(1));
    assert_eq!((store.free(BLOCK), store.free(POOL)), (1, 6), "back to where it is from");
    for number in 10..16 {
        store.allocate(number).unwrap();
    }
    assert_eq!(store.allocate(16), Err(exhausted));
    assert_eq!((store.free(BLOCK), store.free(POOL)), (1, 0));
    store.assert_sound();
}

pub fn an_address_in_it_is_given_with_the_block_alone(new: New) {
    let mut store = with_block(new);
    let inside = given(1, "10.0.0.2");
    assert_eq!(
        store.at(NOW, &inside),
        Err(Error::AddressReserved {
            network: NETWORK,
            address: ip("10.0.0.2"),
            by: Keeper::Block
        })
    );
    for (request, pool) in [
        (Request { pool: Some(POOL), ..inside }, POOL),
        (Request { pool: Some(BLOCK), ..given(1, "10.0.0.4") }, BLOCK),
    ] {
        let address = request.address.unwrap();
        let refused = Error::AddressInAnotherPool { address, pool };
        assert_eq!(store.at(NOW, &request), Err(refused));
    }
    let lease = store.at(NOW, &Request { pool: Some(BLOCK), ..inside }).unwrap();
    assert_eq!((lease.address, lease.pool), (ip("10.0.0.2"), BLOCK));
    store.assert_sound();
}

pub fn a_returning_owner_gets_its_old_address_where_it_asks_for_it(new: New) {
    let mut store = with_block(new);
    let old = store.at(NOW, &from(BLOCK, 1)).unwrap().address;
    let_go(&mut store, 1, DAY);
    assert_eq!(store.allocate(1), Ok(ip("10.0.0.4")), "it did not ask for the block");
    assert_eq!(
        store.at(NOW, &from(BLOCK, 1)),
        Err(Error::OwnerHoldsElsewhere {
            network: NETWORK,
            owner: owner(1),
            held: ip("10.0.0.4"),
            pool: BLOCK
        })
    );
    let back = store.at(NOW, &from(BLOCK, 3)).unwrap().address;
    assert_ne!(back, old, "it is in quarantine");
    let_go(&mut store, 3, DAY);
    assert_eq!(store.at(NOW, &from(BLOCK, 3)).unwrap().address, back);
    // What it had outside of the block is not what it asks for now.
    store.at(NOW, &given(2, "10.0.0.9")).unwrap();
    let_go(&mut store, 2, DAY);
    assert_eq!(store.at(NOW, &from(BLOCK, 2)).unwrap().address, ip("10.0.0.3"));
    // Each keeps waiting for whoever asks there, whichever was released last.
    let_go(&mut store, 2, DAY);
    assert_eq!(store.allocate(2), Ok(ip("10.0.0.9")));
    let_go(&mut store, 2, DAY);
    assert_eq!(store.at(NOW, &from(BLOCK, 2)).unwrap().address, ip("10.0.0.3"));
    store.assert_sound();
}

pub fn it_lies_inside_its_pool_and_beside_other_blocks(new: New) {
    let mut store = with_block(new);
    for outside in [part(0, 2), part(8, 10), part(20, 30), range("fd00::1", "fd00::2")] {
        let refused = make(&mut store, &block_of(51, "b", outside));
        assert_eq!(refused, Err(Error::OutsidePool { pool: POOL, range: outside }));
    }
    for overlapping in [part(3, 5), part(1, 9), part(2, 2)] {
        let refused = make(&mut store, &block_of(51, "b", overlapping));
        assert_eq!(refused, Err(Error::BlockStands { block: BLOCK, range: part(1, 3) }));
    }
    make(&mut store, &block_of(51, "b", part(4, 9))).unwrap();
    assert_eq!(store.free(POOL), 0);
    assert!(matches!(store.allocate(1), Err(Error::PoolExhausted { .. })));
    store.assert_sound();
}

pub fn it_is_part_of_a_pool_of_its_network(new: New) {
    let mut store = with_block(new);
    let whole = block_of(51, "b", part(4, 4));
    for (wrong, pool) in [
        (Block { pool: PoolId([77; 16]), ..whole.clone() }, PoolId([77; 16])),
        (Block { pool: BLOCK, range: part(1, 1), ..whole.clone() }, BLOCK),
        (Block { network: NetworkId([9; 16]), ..whole }, POOL),
    ] {
        assert_eq!(make(&mut store, &wrong), Err(Error::NoSuchPool { pool }));
    }
}

pub fn leases_stand_in_its_way_those_in_quarantine_too(new: New) {
    let mut store = new();
    store.ranged(1, part(1, 9));
    store.allocate(1).unwrap();
    store.allocate(2).unwrap();
    let_go(&mut store, 2, 50);
    let block = block_of(50, "b", part(1, 4));
    let standing =
        |addresses: Vec<_>| Error::LeasesStand { network: NETWORK, addresses, more: false };
    let both = vec![ip("10.0.0.1"), ip("10.0.0.2")];
    assert_eq!(make(&mut store, &block), Err(standing(both)));
    let_go(&mut store, 1, 0);
    assert_eq!(store.run(|tx| reclaim(tx, NOW, &ACTOR, 10)), Ok(1));
    assert_eq!(make(&mut store, &block), Err(standing(vec![ip("10.0.0.2")])));
    assert_eq!(store.run(|tx| reclaim(tx, NOW + 50, &ACTOR, 10)), Ok(1));
    assert_eq!(make(&mut store, &block), Ok(()));
    store.assert_sound();
}

pub fn name_and_id_are_its_own(new: New) {
    let mut store = with_block(new);
    let named = block_of(51, "printers", part(5, 6));
    assert_eq!(make(&mut store, &named), Err(Error::Unique));
    assert_eq!(make(&mut store, &block_of(50, "b", part(5, 6))), Err(Error::Unique));
    assert_eq!(make(&mut store, &block_of(1, "b", part(5, 6))), Err(Error::Unique));
    // In another family, or network, the name is another.
    store.pool(2, "fd00::/64");
    let six = Block { pool: PoolId([2; 16]), range: range("fd00::8", "fd00::f"), ..named };
    make(&mut store, &six).unwrap();
    let pool = Pool { network: NetworkId([9; 16]), ..pool_of(3, part(1, 9)) };
    store.run(|tx| pool::create(tx, NOW, &ACTOR, &pool)).unwrap();
    let there = block_of(52, "printers", part(1, 3));
    make(&mut store, &Block { network: pool.network, pool: pool.id, ..there }).unwrap();
    let mut found =
        |family| store.run(|tx| block::by_name(tx, NETWORK, family, "printers")).unwrap().unwrap();
    assert_eq!((found(Family::V4).id, found(Family::V6)), (BLOCK, six));
    store.assert_sound();
}

pub fn it_is_found_by_name_id_and_pool_and_is_no_pool(new: New) {
    let mut store = with_block(new);
    let first = block_of(50, "printers", part(1, 3));
    let second = block_of(40, "cameras", part(7, 8));
    make(&mut store, &second).unwrap();
    assert_eq!(store.run(|tx| block::by_id(tx, BLOCK)), Ok(Some(first.clone())));
    assert_eq!(store.run(|tx| block::by_id(tx, POOL)), Ok(None));
    assert_eq!(store.run(|tx| block::by_name(tx, NETWORK, Family::V4, "none")), Ok(None));
    assert_eq!(store.run(|tx| block::by_name(tx, NETWORK, Family::V6, "printers")), Ok(None));
    assert_eq!(store.run(|tx| block::by_pool(tx, POOL, None, 9)), Ok(vec![first, second]));
    assert_eq!(store.run(|tx| pool::by_id(tx, BLOCK)), Ok(None));
    assert_eq!(store.run(|tx| pool::by_network(tx, NETWORK, None, 9)).unwrap().len(), 1);
    let no_pool = Err(Error::NoSuchPool { pool: BLOCK });
    assert_eq!(store.run(|tx| pool::delete(tx, NOW, &ACTOR, BLOCK)), no_pool);
    let resized = store.run(|tx| pool::resize(tx, NOW, &ACTOR, BLOCK, part(1, 4)).map(drop));
    assert_eq!(resized, no_pool);
    assert_eq!(delete(&mut store, POOL), Err(Error::NoSuchPool { pool: POOL }));
}

pub fn deleted_it_gives_its_addresses_back(new: New) {
    let mut store = with_block(new);
    store.at(NOW, &from(BLOCK, 1)).unwrap();
    let standing =
        Error::LeasesStand { network: NETWORK, addresses: vec![ip("10.0.0.1")], more: false };
    assert_eq!(delete(&mut store, BLOCK), Err(standing.clone()));
    let_go(&mut store, 1, 0);
    assert_eq!(delete(&mut store, BLOCK), Err(standing), "in quarantine too");
    assert_eq!(store.run(|tx| reclaim(tx, NOW, &ACTOR, 10)), Ok(1));
    let deleted = delete(&mut store, BLOCK).unwrap();
    assert_eq!(deleted, block_of(50, "printers", part(1, 3)));
    assert_eq!(store.free(POOL), 9);
    assert_eq!(store.count("SELECT count(*) FROM alloc_interval"), 1, "joined to the rest");
    assert_eq!(store.allocate(1), Ok(ip("10.0.0.1")));
    assert_eq!(delete(&mut store, BLOCK), Err(Error::NoSuchPool { pool: BLOCK }));
    let refused = store.at(NOW, &from(BLOCK, 2));
    assert_eq!(refused, Err(Error::NoSuchPool { pool: BLOCK }));
    make(&mut store, &block_of(50, "printers", part(5, 6))).unwrap();
    store.assert_sound();
}

pub fn what_is_reserved_in_it_is_reserved(new: New) {
    let mut store = new();
    store.ranged(1, part(1, 9));
    let reserve = |store: &mut Store, range, purpose| {
        let reservation = Reservation { range, purpose, note: None };
        store.run(|tx| reservation::make(tx, NOW, &ACTOR, NETWORK, &reservation)).unwrap();
    };
    reserve(&mut store, part(1, 1), Purpose::Nobody);
    make(&mut store, &block_of(50, "printers", part(1, 4))).unwrap();
    // Across its end: some of it is the pool's.
    reserve(&mut store, part(4, 5), Purpose::Asking);
    assert_eq!((store.free(BLOCK), store.free(POOL)), (2, 4));
    store.assert_sound();
    assert_eq!(store.at(NOW, &from(BLOCK, 1)).unwrap().address, ip("10.0.0.2"));
    assert_eq!(store.allocate(2), Ok(ip("10.0.0.6")));
    let asked = Request { pool: Some(BLOCK), ..given(3, "10.0.0.4") };
    assert_eq!(store.at(NOW, &asked).unwrap().pool, BLOCK);
    assert_eq!(store.at(NOW, &given(4, "10.0.0.5")).unwrap().pool, POOL);
    store.assert_sound();
    for number in [1, 3] {
        let_go(&mut store, number, 0);
    }
    assert_eq!(store.run(|tx| reclaim(tx, NOW, &ACTOR, 10)), Ok(2));
    delete(&mut store, BLOCK).unwrap();
    store.assert_sound();
    assert_eq!(store.free(POOL), 5);
}

/// The pin says which address, the request from where.
pub fn an_address_pinned_in_it_is_had_with_the_block(new: New) {
    let mut store = with_block(new);
    let pin = Reservation { range: part(3, 3), purpose: Purpose::Owner(owner(1)), note: None };
    store.run(|tx| reservation::make(tx, NOW, &ACTOR, NETWORK, &pin)).unwrap();
    assert_eq!(store.at(NOW, &from(BLOCK, 1)).unwrap().address, ip("10.0.0.3"));
    let_go(&mut store, 1, 0);
    assert_eq!(store.run(|tx| reclaim(tx, NOW, &ACTOR, 10)), Ok(1));
    assert_eq!(store.allocate(1), Ok(ip("10.0.0.4")));
    store.assert_sound();
}

pub fn leases_in_it_end_by_themselves_and_return_to_it(new: New) {
    let mut store = with_block(new);
    let ending = Request { until: Some(NOW + 10), ..from(BLOCK, 1) };
    store.at(NOW, &ending).unwrap();
    let expired = store.run(|tx| expire(tx, NOW + 10, &ACTOR, NETWORK, 20, 10)).unwrap();
    assert_eq!((expired.len(), expired[0].pool), (1, BLOCK));
    assert_eq!(store.run(|tx| reclaim(tx, NOW + 29, &ACTOR, 10)), Ok(0));
    for number in 2..=3 {
        store.at(NOW, &from(BLOCK, number)).unwrap();
    }
    // What has ended in it is taken before a request is refused.
    let lease = store.at(NOW + 30, &from(BLOCK, 4)).unwrap();
    assert_eq!((lease.address, lease.pool), (ip("10.0.0.1"), BLOCK));
    store.assert_sound();
}

pub fn a_request_names_a_pool_of_its_network_and_family(new: New) {
    let mut store = with_block(new);
    let other = NetworkId([9; 16]);
    for request in [
        from(PoolId([77; 16]), 1),
        Request { family: Family::V6, ..from(BLOCK, 1) },
        Request { network: other, ..from(BLOCK, 1) },
    ] {
        let pool = request.pool.unwrap();
        assert_eq!(store.at(NOW, &request), Err(Error::NoSuchPool { pool }));
    }
    assert_eq!(store.at(NOW, &from(POOL, 1)).unwrap().address, ip("10.0.0.4"));
}

pub fn room_is_found_at_the_end_and_is_a_prefix(new: New) {
    let mut store = new();
    store.pool(1, "10.0.0.0/24");
    let room = |store: &mut Store, size| store.run(|tx| block::find_room(tx, POOL, size)).unwrap();
    assert_eq!(room(&mut store, 1), Some(part(254, 254)));
    assert_eq!(room(&mut store, 3), Some(part(252, 254)));
    assert_eq!(room(&mut store, 16), Some(part(224, 239)));
    assert_eq!(room(&mut store, 64), Some(part(128, 191)));
    assert_eq!(room(&mut store, 254), Some(part(1, 254)));
    for none in [0, 128, 255, 256, u128::MAX] {
        assert_eq!(room(&mut store, none), None, "{none}");
    }
    make(&mut store, &block_of(50, "a", part(224, 239))).unwrap();
    assert_eq!(room(&mut store, 16), Some(part(208, 223)));
    assert_eq!(room(&mut store, 8), Some(part(240, 247)));
    store.at(NOW, &given(1, "10.0.0.210")).unwrap();
    assert_eq!(room(&mut store, 16), Some(part(192, 207)));
    let found = room(&mut store, 16).unwrap();
    make(&mut store, &block_of(51, "b", found)).unwrap();
    store.assert_sound();

    let six = store.pool(2, "fd00::/64");
    let found = store.run(|tx| block::find_room(tx, six, 1 << 32)).unwrap();
    let (first, last) = ("fd00::ffff:ffff:0:0", "fd00::ffff:ffff:ffff:ffff");
    assert_eq!(found, Some(range(first, last)));
    let unknown = store.run(|tx| block::find_room(tx, PoolId([77; 16]), 1));
    assert_eq!(unknown, Err(Error::NoSuchPool { pool: PoolId([77; 16]) }));
}

pub fn it_grows_and_shrinks_inside_its_pool(new: New) {
    let mut store = with_block(new);
    let resize = |store: &mut Store, first, last| {
        store.run(|tx| block::resize(tx, NOW, &ACTOR, BLOCK, part(first, last)))
    };
    store.at(NOW, &from(BLOCK, 1)).unwrap();
    store.at(NOW, &given(2, "10.0.0.9")).unwrap();
    assert_eq!(resize(&mut store, 1, 5).unwrap().range, part(1, 5));
    assert_eq!([store.free(BLOCK), store.free(POOL)], [4, 3]);
    store.assert_sound();
    assert_eq!(resize(&mut store, 1, 2).unwrap().range, part(1, 2));
    assert_eq!([store.free(BLOCK), store.free(POOL)], [1, 6]);
    assert_eq!(resize(&mut store, 1, 2).unwrap().range, part(1, 2), "the same again");
    store.assert_sound();

    let before = store.leases();
    let stands = |error: Error| matches!(error, Error::LeasesStand { .. });
    assert!(resize(&mut store, 2, 4).is_err_and(stands), "in what it loses");
    assert!(resize(&mut store, 1, 9).is_err_and(stands), "in what it gains");
    let outside = resize(&mut store, 1, 10);
    assert_eq!(outside, Err(Error::OutsidePool { pool: POOL, range: part(1, 10) }));
    make(&mut store, &block_of(51, "screens", part(5, 6))).unwrap();
    assert!(matches!(resize(&mut store, 1, 5), Err(Error::BlockStands { .. })));
    let other = store.run(|tx| block::resize(tx, NOW, &ACTOR, POOL, part(1, 2)));
    assert_eq!(other, Err(Error::NoSuchPool { pool: POOL }));
    assert_eq!(store.leases(), before);
    store.assert_sound();
}

pub fn it_is_renamed_to_what_no_other_is_called(new: New) {
    let mut store = new();
    let pool = store.pool(1, "10.0.0.0/24");
    let one = block_of(2, "one", range("10.0.0.16", "10.0.0.31"));
    let two = block_of(3, "two", range("10.0.0.32", "10.0.0.47"));
    for block in [&one, &two] {
        store.run(|tx| block::create(tx, NOW, &ACTOR, block)).unwrap();
    }
    let mut rename =
        |id: u8, name: &str| store.run(|tx| block::rename(tx, NOW, &ACTOR, PoolId([id; 16]), name));
    assert_eq!(rename(2, "two"), Err(Error::Unique));
    assert_eq!(rename(9, "x"), Err(Error::NoSuchPool { pool: PoolId([9; 16]) }));
    assert_eq!(rename(1, "x"), Err(Error::NoSuchPool { pool }), "a pool has no name");
    assert!(matches!(rename(2, "a\0"), Err(Error::UnusableText { .. })));
    let renamed = Block { name: "other".to_owned(), ..one };
    assert_eq!(rename(2, "other"), Ok(renamed.clone()));
    assert_eq!(rename(2, "other"), Ok(renamed.clone()), "again it is no change");
    let by_name = |store: &mut Store, name: &str| {
        store.run(|tx| block::by_name(tx, NETWORK, Family::V4, name)).unwrap()
    };
    assert_eq!((by_name(&mut store, "other"), by_name(&mut store, "one")), (Some(renamed), None));
    let events = "SELECT count(*) FROM alloc_event WHERE kind = 'block.renamed'";
    assert_eq!(store.count(events), 1);
    store.assert_sound();
}
