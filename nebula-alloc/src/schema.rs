//! The tables of this crate.

use crate::store::migrate::{Component, Migration};

/// The tables of this crate, `alloc_…`. [`Sqlite::open`](crate::Sqlite::open) migrates them; a
/// caller that brings its own database does so with [`migrate`](crate::store::migrate::migrate).
pub const COMPONENT: Component = Component {
    name: "alloc",
    migrations: &[
        Migration { version: 1, oldest: 1, sql: VERSION_1 },
        // An older program would give out what is reserved.
        Migration { version: 2, oldest: 2, sql: VERSION_2 },
        Migration { version: 3, oldest: 2, sql: VERSION_3 },
        // An older program would give a lease the number of the one before it.
        Migration { version: 4, oldest: 4, sql: VERSION_4 },
        // An older program would take a pool that it made room in for one that is full.
        Migration { version: 5, oldest: 5, sql: VERSION_5 },
    ],
};

/// * `alloc_interval` is keyed by `last`, so that taking from below changes the row in place.
/// * The primary key of `alloc_lease` is rule "one holder"; the partial unique index is "one active
///   lease per owner and family". The other indexes hold only the rows that their query is about.
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

/// * A block is a pool inside a pool, its `parent`, with a name: what is free in it is not free in
///   the parent.
/// * What a reservation covers is in no interval, whether it is leased or not. Reservations are of a
///   network, not of a pool, so that they outlast its pools. Keyed by `last`, as intervals are.
/// * `holder` is 0 for an interval that anyone takes from, else the number of the instance that
///   holds it. An instance that was not seen for a while holds nothing any more.
/// * Leases that were there before events had to explain them are recorded as they are.
const VERSION_2: &str = "
ALTER TABLE alloc_pool ADD COLUMN parent {blob} REFERENCES alloc_pool (id);
ALTER TABLE alloc_pool ADD COLUMN name TEXT;
CREATE UNIQUE INDEX alloc_pool_by_name ON alloc_pool (network, family, name)
    WHERE name IS NOT NULL;
CREATE INDEX alloc_pool_by_parent ON alloc_pool (parent) WHERE parent IS NOT NULL;

ALTER TABLE alloc_interval ADD COLUMN holder BIGINT NOT NULL DEFAULT 0;
CREATE INDEX alloc_interval_held ON alloc_interval (pool, holder, last) WHERE holder <> 0;
CREATE TABLE alloc_instance (
    id {identity},
    seen_at BIGINT NOT NULL
);

ALTER TABLE alloc_lease ADD COLUMN reason BIGINT;
UPDATE alloc_lease SET reason = 1 WHERE state = 2;

CREATE TABLE alloc_reservation (
    network {blob} NOT NULL,
    family BIGINT NOT NULL CHECK (family IN (4, 6)),
    last {blob} NOT NULL,
    first {blob} NOT NULL,
    kind BIGINT NOT NULL CHECK (kind IN (1, 2, 3)),
    owner {blob},
    note TEXT,
    PRIMARY KEY (network, family, last),
    CHECK (length(first) = length(last) AND first <= last),
    CHECK ((kind = 2) = (owner IS NOT NULL) AND (kind <> 2 OR first = last))
) {clustered};
CREATE UNIQUE INDEX alloc_reservation_pinned ON alloc_reservation (owner, network, family)
    WHERE owner IS NOT NULL;

INSERT INTO alloc_event (at, kind, actor)
    SELECT coalesce(max(at), 0), 'lease.history_begins', 'migration' FROM alloc_event
    HAVING count(*) > 0 OR EXISTS (SELECT 1 FROM alloc_lease);
INSERT INTO alloc_event (at, network, kind, actor, subject, address, detail)
    SELECT coalesce((SELECT max(at) FROM alloc_event), 0), network, 'lease.recorded', 'migration',
        owner, address, CASE state WHEN 1 THEN 'active' ELSE 'quarantined' END
    FROM alloc_lease;
";

/// A lease refers to its pool without a foreign key: with one, PostgreSQL would read and lock the pool
/// again for each lease, a third of the cost of a batch, and deleting a pool would read all leases of
/// all networks, on either engine. A step that deletes a pool runs exclusively, and counts its leases.
const VERSION_3: &str = "
CREATE TABLE alloc_lease_rebuilt (
    network {blob} NOT NULL,
    address {blob} NOT NULL,
    family BIGINT NOT NULL CHECK (family IN (4, 6)),
    pool {blob} NOT NULL,
    owner {blob} NOT NULL,
    state BIGINT NOT NULL CHECK (state IN (1, 2)),
    hold_until BIGINT NOT NULL,
    released_at BIGINT,
    until BIGINT,
    reason BIGINT,
    PRIMARY KEY (network, address)
) {clustered};
INSERT INTO alloc_lease_rebuilt
        (network, address, family, pool, owner, state, hold_until, released_at, until, reason)
    SELECT network, address, family, pool, owner, state, hold_until, released_at, until, reason
    FROM alloc_lease ORDER BY network, address;
DROP TABLE alloc_lease;
ALTER TABLE alloc_lease_rebuilt RENAME TO alloc_lease;
CREATE UNIQUE INDEX alloc_lease_active ON alloc_lease (owner, network, family) WHERE state = 1;
CREATE INDEX alloc_lease_quarantined ON alloc_lease (owner, family) WHERE state = 2;
CREATE INDEX alloc_lease_ending ON alloc_lease (pool, until) WHERE state = 1 AND until IS NOT NULL;
CREATE INDEX alloc_lease_held ON alloc_lease (hold_until) WHERE state = 2;
CREATE INDEX alloc_lease_held_of_pool ON alloc_lease (pool, hold_until) WHERE state = 2;
";

/// The number distinguishes a lease from earlier ones of the same owner and address.
const VERSION_4: &str = "
ALTER TABLE alloc_lease ADD COLUMN number BIGINT NOT NULL DEFAULT 0;
ALTER TABLE alloc_lease ADD COLUMN passed_on_by {blob};
";

/// * Pools of a network do not overlap, nor do blocks: the first that ends at an address or above is
///   the only one that can have it. Pools and blocks share a table, so each has indexes of its own.
/// * `is_full` is a promise that nothing is free in a pool, so that those in front are passed over.
///   It is made by who finds nothing there, and withdrawn by who frees something.
/// * Indexes of `alloc_lease` that are asked for one network have it as `substr(network, 1)`, which
///   is the network: a planner whose statistics are of one lease in each network would take
///   `network = …` for selective, and walk by the primary key through all leases of the network.
///   For the same reason only who asks for all networks' ends says `released_at IS NULL`, which is so
///   of every active lease.
const VERSION_5: &str = "
ALTER TABLE alloc_pool ADD COLUMN is_full BIGINT NOT NULL DEFAULT 0 CHECK (is_full IN (0, 1));
DROP INDEX alloc_pool_by_position;
DROP INDEX alloc_pool_by_parent;
CREATE INDEX alloc_pool_open ON alloc_pool (network, family, position, id)
    WHERE parent IS NULL AND is_full = 0;
CREATE INDEX alloc_pool_by_address ON alloc_pool (network, family, last, first)
    WHERE parent IS NULL;
CREATE INDEX alloc_pool_by_network ON alloc_pool (network, id) WHERE parent IS NULL;
CREATE INDEX alloc_block_by_address ON alloc_pool (network, family, last, first)
    WHERE parent IS NOT NULL;
CREATE INDEX alloc_block_by_network ON alloc_pool (network, id) WHERE parent IS NOT NULL;
CREATE INDEX alloc_block_by_pool ON alloc_pool (parent, last) WHERE parent IS NOT NULL;

DROP INDEX alloc_lease_active;
DROP INDEX alloc_lease_quarantined;
DROP INDEX alloc_lease_ending;
CREATE UNIQUE INDEX alloc_lease_active ON alloc_lease (owner, substr(network, 1), family)
    WHERE state = 1;
CREATE INDEX alloc_lease_quarantined ON alloc_lease (owner, substr(network, 1), family)
    WHERE state = 2;
CREATE INDEX alloc_lease_ending ON alloc_lease (until)
    WHERE state = 1 AND until IS NOT NULL AND released_at IS NULL;
CREATE INDEX alloc_lease_ending_of_network ON alloc_lease (substr(network, 1), until)
    WHERE state = 1 AND until IS NOT NULL;

CREATE INDEX alloc_event_by_kind ON alloc_event (kind, network, id);
CREATE INDEX alloc_event_by_subject ON alloc_event (subject, id) WHERE subject IS NOT NULL;
";
