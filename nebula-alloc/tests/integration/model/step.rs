//! What can happen, with small numbers that meet each other often.

use std::net::IpAddr;

use nebula_alloc::import::Assignment;
use nebula_alloc::lease::{Hold, Reason, Request};
use nebula_alloc::{AddressRange, Family, NetworkId, OwnerId, PoolId};
use proptest::prelude::*;

/// Addresses of one family in a network that anything is about.
pub const ADDRESSES: u8 = 24;

#[derive(Debug, Clone)]
pub enum Step {
    Do {
        operation: Operation,
        /// Whether the transaction is committed although the operation refused.
        goes_on: bool,
    },
    /// The clock steps, back too.
    Clock(i64),
    /// These, and before they are committed an end.
    Crash(Vec<Operation>, End),
    Reopen,
}

#[derive(Debug, Clone, Copy)]
pub enum End {
    /// Of the connection.
    Connection,
    /// Of the process, whose files another finds; PostgreSQL: of the connection, by the server.
    Process,
    /// Of the server; SQLite, which has none: of the process.
    Server,
}

/// Networks, owners, pools and names are small numbers, addresses offsets.
#[derive(Debug, Clone)]
pub enum Operation {
    CreatePool {
        network: u8,
        id: u8,
        family: Family,
        part: (u8, u8),
        position: i64,
    },
    ResizePool {
        id: u8,
        part: (u8, u8),
        family: Option<Family>,
    },
    DeletePool(u8),
    /// So many steps of removing all that a network has.
    Remove {
        network: u8,
        steps: u8,
    },
    CreateBlock {
        id: u8,
        pool: u8,
        network: Option<u8>,
        part: (u8, u8),
        name: u8,
    },
    DeleteBlock(u8),
    /// Its range begins somewhere in its pool.
    ResizeBlock {
        id: u8,
        part: (u8, u8),
    },
    MovePool {
        id: u8,
        position: i64,
    },
    FindRoom {
        pool: u8,
        size: u8,
    },
    Reserve {
        network: u8,
        family: Family,
        part: (u8, u8),
        purpose: Kept,
    },
    /// The reservation of this place in the model's list, or none of it.
    Unreserve(u8),
    /// Each has its own answer.
    Allocate(Vec<Wish>),
    /// All or none.
    AllocateAll(Vec<Wish>),
    /// An address of each family, both or none.
    AllocatePair(Wish),
    /// It moves to where it wishes.
    Relocate(Wish, i64, u8),
    Release {
        network: u8,
        owner: u8,
        hold: i64,
        reason: u8,
    },
    /// A lease that is or was there, by its place in the model's list of names.
    ReleaseOne {
        lease: u8,
        hold: i64,
        reason: u8,
    },
    RenewOne {
        lease: u8,
        until: Option<i64>,
    },
    TransferOne {
        lease: u8,
        to: u8,
    },
    Renew {
        network: u8,
        owner: u8,
        until: Option<i64>,
    },
    Heartbeat {
        network: u8,
        owner: u8,
        seconds: i64,
    },
    Transfer {
        network: u8,
        from: u8,
        to: u8,
    },
    TakeOver {
        network: u8,
        from: u8,
        to: u8,
    },
    ExtendHold {
        network: u8,
        owner: u8,
        until: i64,
    },
    ShortenHold {
        network: u8,
        owner: u8,
        seconds: i64,
    },
    Expire {
        network: u8,
        hold: i64,
        limit: usize,
    },
    Reclaim(usize),
    /// Only when nothing is in the way, or `anyway`.
    Import {
        network: u8,
        assignments: Vec<(u8, Family, u8)>,
        until: Option<i64>,
        anyway: bool,
    },
}

#[derive(Debug, Clone, Copy)]
pub enum Kept {
    Asking,
    Nobody,
    Owner(u8),
}

/// Times are relative to the present.
#[derive(Debug, Clone)]
pub struct Wish {
    pub network: u8,
    pub owner: u8,
    pub family: Family,
    /// Of this or, rarely, another family.
    pub address: Option<(Family, u8)>,
    pub pool: Option<u8>,
    pub hold: i64,
    pub until: Option<i64>,
}

impl Wish {
    pub fn request(&self, now: i64) -> Request {
        Request {
            network: network(self.network),
            owner: owner(self.owner),
            family: self.family,
            address: self.address.map(|(family, offset)| address(self.network, family, offset)),
            pool: self.pool.map(pool),
            hold_until: now + self.hold,
            until: self.until.map(|until| now + until),
        }
    }

    /// The same for both families.
    pub fn pair(&self, now: i64) -> Vec<Request> {
        let of = |family| Self { family, address: None, ..self.clone() }.request(now);
        vec![of(Family::V4), of(Family::V6)]
    }
}

pub fn network(number: u8) -> NetworkId {
    NetworkId([number; 16])
}

pub fn owner(number: u8) -> OwnerId {
    OwnerId([number; 16])
}

pub fn pool(number: u8) -> PoolId {
    PoolId([number; 16])
}

/// The lowest addresses of a family in network 1, and the highest in network 2.
pub fn address(network: u8, family: Family, offset: u8) -> IpAddr {
    let from_the_end = u32::from(ADDRESSES - 1 - offset.min(ADDRESSES - 1));
    match (family, network) {
        (Family::V4, 1) => IpAddr::from(u32::from(offset).to_be_bytes()),
        (Family::V4, _) => IpAddr::from((u32::MAX - from_the_end).to_be_bytes()),
        (Family::V6, 1) => IpAddr::from(u128::from(offset).to_be_bytes()),
        (Family::V6, _) => IpAddr::from((u128::MAX - u128::from(from_the_end)).to_be_bytes()),
    }
}

/// From an offset, so many more.
pub fn range(network: u8, family: Family, (first, more): (u8, u8)) -> AddressRange {
    let last = (first + more).min(ADDRESSES - 1);
    AddressRange::new(address(network, family, first), address(network, family, last)).unwrap()
}

pub fn hold(seconds: i64, reason: u8) -> Hold {
    let reasons =
        [Reason::Released, Reason::Ended, Reason::Revoked, Reason::Replaced, Reason::Conflict];
    Hold { seconds, reason: reasons[usize::from(reason) % reasons.len()] }
}

pub fn assignments(
    number: u8,
    list: &[(u8, Family, u8)],
    now: i64,
    until: Option<i64>,
) -> Vec<Assignment> {
    list.iter()
        .map(|(of, family, offset)| Assignment {
            pool: None,
            owner: owner(*of),
            address: address(number, *family, *offset),
            hold_until: now,
            until: until.map(|until| now + until),
        })
        .collect()
}

pub fn step() -> impl Strategy<Value = Step> {
    let end = prop_oneof![
        12 => Just(End::Connection),
        12 => Just(End::Process),
        1 => Just(End::Server),
    ];
    prop_oneof![
        60 => (operation(), any::<bool>())
            .prop_map(|(operation, goes_on)| Step::Do { operation, goes_on }),
        3 => (1..12_i64).prop_map(Step::Clock),
        1 => (-8..100_i64).prop_map(Step::Clock),
        1 => (prop::collection::vec(operation(), 1..4), end)
            .prop_map(|(work, end)| Step::Crash(work, end)),
        1 => Just(Step::Reopen),
    ]
}

fn operation() -> impl Strategy<Value = Operation> {
    let spaces = prop_oneof![
        4 => (net(), id(), family(), part(), 0..3_i64).prop_map(
            |(network, id, family, part, position)| Operation::CreatePool {
                network, id, family, part, position
            }),
        3 => (id(), part(), prop::option::weighted(0.1, family())).prop_map(
            |(id, part, family)| Operation::ResizePool { id, part, family }),
        1 => id().prop_map(Operation::DeletePool),
        1 => (net(), 0..9_u8).prop_map(|(network, steps)| Operation::Remove { network, steps }),
        4 => (id(), id(), prop::option::weighted(0.1, net()), (0..12_u8, 0..6_u8), 0..4_u8)
            .prop_map(|(id, pool, network, part, name)| Operation::CreateBlock {
                id, pool, network, part, name
            }),
        1 => id().prop_map(Operation::DeleteBlock),
        2 => (id(), (0..12_u8, 0..6_u8))
            .prop_map(|(id, part)| Operation::ResizeBlock { id, part }),
        1 => (id(), 0..3_i64).prop_map(|(id, position)| Operation::MovePool { id, position }),
        1 => (id(), 0..9_u8).prop_map(|(pool, size)| Operation::FindRoom { pool, size }),
        4 => (net(), family(), (0..ADDRESSES, 0..4_u8), kept()).prop_map(
            |(network, family, part, purpose)| Operation::Reserve {
                network, family, part, purpose
            }),
        1 => (0..12_u8).prop_map(Operation::Unreserve),
    ];
    let wishes = prop_oneof![
        10 => prop::collection::vec(wish(), 1..2).prop_map(Operation::Allocate),
        4 => prop::collection::vec(wish(), 2..6).prop_map(Operation::Allocate),
        2 => prop::collection::vec(wish(), 2..4).prop_map(Operation::AllocateAll),
        2 => wish().prop_map(Operation::AllocatePair),
        4 => (wish(), -1..10_i64, any::<u8>())
            .prop_map(|(wish, hold, reason)| Operation::Relocate(wish, hold, reason)),
        1 => (net(), prop::collection::vec((who(), family(), 0..ADDRESSES), 1..4), end(), any::<bool>())
            .prop_map(|(network, assignments, until, anyway)| Operation::Import {
                network, assignments, until, anyway
            }),
    ];
    let lives = prop_oneof![
        10 => (net(), who(), -1..10_i64, any::<u8>()).prop_map(
            |(network, owner, hold, reason)| Operation::Release { network, owner, hold, reason }),
        4 => (any::<u8>(), -1..10_i64, any::<u8>())
            .prop_map(|(lease, hold, reason)| Operation::ReleaseOne { lease, hold, reason }),
        1 => (any::<u8>(), end())
            .prop_map(|(lease, until)| Operation::RenewOne { lease, until }),
        2 => (any::<u8>(), who()).prop_map(|(lease, to)| Operation::TransferOne { lease, to }),
        2 => (net(), who(), end())
            .prop_map(|(network, owner, until)| Operation::Renew { network, owner, until }),
        2 => (net(), who(), -1..20_i64).prop_map(
            |(network, owner, seconds)| Operation::Heartbeat { network, owner, seconds }),
        1 => (net(), who(), who())
            .prop_map(|(network, from, to)| Operation::Transfer { network, from, to }),
        1 => (net(), who(), who())
            .prop_map(|(network, from, to)| Operation::TakeOver { network, from, to }),
        1 => (net(), who(), -5..20_i64)
            .prop_map(|(network, owner, until)| Operation::ExtendHold { network, owner, until }),
        1 => (net(), who(), -1..10_i64).prop_map(
            |(network, owner, seconds)| Operation::ShortenHold { network, owner, seconds }),
        2 => (net(), -1..6_i64, 0..5_usize)
            .prop_map(|(network, hold, limit)| Operation::Expire { network, hold, limit }),
        2 => (0..5_usize).prop_map(Operation::Reclaim),
    ];
    prop_oneof![2 => spaces, 5 => wishes, 4 => lives]
}

fn wish() -> impl Strategy<Value = Wish> {
    let often = prop_oneof![2 => 2..10_u8, 1 => 0..ADDRESSES];
    let address = (prop::bool::weighted(0.05), often);
    (
        net(),
        who(),
        family(),
        prop::option::weighted(0.3, address),
        prop::option::weighted(0.2, id()),
        -2..8_i64,
        end(),
    )
        .prop_map(|(network, owner, family, address, pool, hold, until)| {
            let other = if family == Family::V4 { Family::V6 } else { Family::V4 };
            let address =
                address.map(|(wrong, offset)| (if wrong { other } else { family }, offset));
            Wish { network, owner, family, address, pool, hold, until }
        })
}

/// Mostly the first, so that it fills.
fn net() -> impl Strategy<Value = u8> {
    prop_oneof![5 => Just(1_u8), 1 => Just(2_u8)]
}

fn family() -> impl Strategy<Value = Family> {
    prop_oneof![4 => Just(Family::V4), 1 => Just(Family::V6)]
}

fn who() -> impl Strategy<Value = u8> {
    1..=12_u8
}

/// Of pools and blocks.
fn id() -> impl Strategy<Value = u8> {
    1..=6_u8
}

fn part() -> impl Strategy<Value = (u8, u8)> {
    (0..ADDRESSES, 0..10_u8)
}

fn kept() -> impl Strategy<Value = Kept> {
    prop_oneof![1 => Just(Kept::Asking), 1 => Just(Kept::Nobody), 2 => who().prop_map(Kept::Owner)]
}

fn end() -> impl Strategy<Value = Option<i64>> {
    prop::option::weighted(0.4, -2..15_i64)
}
