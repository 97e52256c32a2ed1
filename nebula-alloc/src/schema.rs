//! The tables of this crate.

use crate::store::migrate::{Component, Migration};

/// The tables of this crate, `alloc_…`. [`Sqlite::open`](crate::Sqlite::open) migrates them; a
/// caller that brings its own database does so with [`migrate`](crate::store::migrate::migrate).
pub const COMPONENT: Component =
    Component { name: "alloc", migrations: &[Migration { version: 1, oldest: 1, sql: VERSION_1 }] };

/// * `alloc_interval` is keyed by `last`, so that taking from below changes the row in place.
/// * The primary key of `alloc_lease` is rule "one holder"; the partial unique index is "one active
///   lease per owner and family". The other indexes hold only the rows that their query is about.
/// * Apart from the primary key no index of `alloc_lease` begins with the network, and no query
///   that needs one of them names the network: a planner could take `network = …` for selective and
///   walk through all leases of the network. The callers compare it themselves.
/// * `hold_until` of a lease in quarantine is the end of the quarantine.
const VERSION_1: &str = "
CREATE TABLE alloc_pool (
    id {blob} NOT NULL PRIMARY KEY,
    network {blob} NOT NULL,
    family BIGINT NOT NULL CHECK (family IN (4, 6)),
    position BIGINT NOT NULL,
    first {blob} NOT NULL,
    last {blob} NOT NULL,
    CHECK (length(first) = length(last) AND first <= last)
) {clustered};
CREATE INDEX alloc_pool_by_position ON alloc_pool (network, family, position, id);

CREATE TABLE alloc_interval (
    pool {blob} NOT NULL REFERENCES alloc_pool (id),
    last {blob} NOT NULL,
    first {blob} NOT NULL,
    PRIMARY KEY (pool, last),
    CHECK (length(first) = length(last) AND first <= last)
) {clustered};

CREATE TABLE alloc_lease (
    network {blob} NOT NULL,
    address {blob} NOT NULL,
    family BIGINT NOT NULL CHECK (family IN (4, 6)),
    pool {blob} NOT NULL REFERENCES alloc_pool (id),
    owner {blob} NOT NULL,
    state BIGINT NOT NULL CHECK (state IN (1, 2)),
    hold_until BIGINT NOT NULL,
    released_at BIGINT,
    until BIGINT,
    PRIMARY KEY (network, address)
) {clustered};
CREATE UNIQUE INDEX alloc_lease_active ON alloc_lease (owner, network, family) WHERE state = 1;
CREATE INDEX alloc_lease_quarantined ON alloc_lease (owner, family) WHERE state = 2;
CREATE INDEX alloc_lease_ending ON alloc_lease (pool, until) WHERE state = 1 AND until IS NOT NULL;
CREATE INDEX alloc_lease_held ON alloc_lease (hold_until) WHERE state = 2;
CREATE INDEX alloc_lease_held_of_pool ON alloc_lease (pool, hold_until) WHERE state = 2;

CREATE TABLE alloc_event (
    id {identity},
    at BIGINT NOT NULL,
    network {blob},
    kind TEXT NOT NULL,
    actor TEXT NOT NULL,
    source_address TEXT,
    request_id TEXT,
    subject {blob},
    address {blob},
    detail TEXT
);
CREATE INDEX alloc_event_by_network ON alloc_event (network, id);
";
