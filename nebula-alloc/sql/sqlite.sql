-- The tables.

CREATE INDEX alloc_block_by_address ON alloc_pool (network, family, last, first)
    WHERE parent IS NOT NULL;

CREATE INDEX alloc_block_by_network ON alloc_pool (network, id) WHERE parent IS NOT NULL;

CREATE INDEX alloc_block_by_pool ON alloc_pool (parent, last) WHERE parent IS NOT NULL;

CREATE TABLE alloc_event (
    id INTEGER PRIMARY KEY,
    at BIGINT NOT NULL,
    network BLOB,
    kind TEXT NOT NULL,
    actor TEXT NOT NULL,
    source_address TEXT,
    request_id TEXT,
    subject BLOB,
    address BLOB,
    detail TEXT
);

CREATE INDEX alloc_event_by_kind ON alloc_event (kind, network, id);

CREATE INDEX alloc_event_by_network ON alloc_event (network, id);

CREATE INDEX alloc_event_by_subject ON alloc_event (subject, id) WHERE subject IS NOT NULL;

CREATE TABLE alloc_instance (
    id INTEGER PRIMARY KEY,
    seen_at BIGINT NOT NULL
);

CREATE TABLE alloc_interval (
    pool BLOB NOT NULL REFERENCES alloc_pool (id),
    last BLOB NOT NULL,
    first BLOB NOT NULL, holder BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (pool, last),
    CHECK (length(first) = length(last) AND first <= last)
) WITHOUT ROWID;

CREATE INDEX alloc_interval_held ON alloc_interval (pool, holder, last) WHERE holder <> 0;

CREATE TABLE "alloc_lease" (
    network BLOB NOT NULL,
    address BLOB NOT NULL,
    family BIGINT NOT NULL CHECK (family IN (4, 6)),
    pool BLOB NOT NULL,
    owner BLOB NOT NULL,
    state BIGINT NOT NULL CHECK (state IN (1, 2)),
    hold_until BIGINT NOT NULL,
    released_at BIGINT,
    until BIGINT,
    reason BIGINT, number BIGINT NOT NULL DEFAULT 0, passed_on_by BLOB,
    PRIMARY KEY (network, address)
) WITHOUT ROWID;

CREATE UNIQUE INDEX alloc_lease_active ON alloc_lease (owner, substr(network, 1), family)
    WHERE state = 1;

CREATE INDEX alloc_lease_ending ON alloc_lease (until)
    WHERE state = 1 AND until IS NOT NULL AND released_at IS NULL;

CREATE INDEX alloc_lease_ending_of_network ON alloc_lease (substr(network, 1), until)
    WHERE state = 1 AND until IS NOT NULL;

CREATE INDEX alloc_lease_held ON alloc_lease (hold_until) WHERE state = 2;

CREATE INDEX alloc_lease_held_of_pool ON alloc_lease (pool, hold_until) WHERE state = 2;

CREATE INDEX alloc_lease_quarantined ON alloc_lease (owner, substr(network, 1), family)
    WHERE state = 2;

CREATE TABLE alloc_pool (
    id BLOB NOT NULL PRIMARY KEY,
    network BLOB NOT NULL,
    family BIGINT NOT NULL CHECK (family IN (4, 6)),
    position BIGINT NOT NULL,
    first BLOB NOT NULL,
    last BLOB NOT NULL, parent BLOB REFERENCES alloc_pool (id), name TEXT, is_full BIGINT NOT NULL DEFAULT 0 CHECK (is_full IN (0, 1)),
    CHECK (length(first) = length(last) AND first <= last)
) WITHOUT ROWID;

CREATE INDEX alloc_pool_by_address ON alloc_pool (network, family, last, first)
    WHERE parent IS NULL;

CREATE UNIQUE INDEX alloc_pool_by_name ON alloc_pool (network, family, name)
    WHERE name IS NOT NULL;

CREATE INDEX alloc_pool_by_network ON alloc_pool (network, id) WHERE parent IS NULL;

CREATE INDEX alloc_pool_open ON alloc_pool (network, family, position, id)
    WHERE parent IS NULL AND is_full = 0;

CREATE TABLE alloc_reservation (
    network BLOB NOT NULL,
    family BIGINT NOT NULL CHECK (family IN (4, 6)),
    last BLOB NOT NULL,
    first BLOB NOT NULL,
    kind BIGINT NOT NULL CHECK (kind IN (1, 2, 3)),
    owner BLOB,
    note TEXT,
    PRIMARY KEY (network, family, last),
    CHECK (length(first) = length(last) AND first <= last),
    CHECK ((kind = 2) = (owner IS NOT NULL) AND (kind <> 2 OR first = last))
) WITHOUT ROWID;

CREATE UNIQUE INDEX alloc_reservation_pinned ON alloc_reservation (owner, network, family)
    WHERE owner IS NOT NULL;

CREATE TABLE nebula_schema (
                component TEXT NOT NULL PRIMARY KEY,
                version BIGINT NOT NULL,
                oldest BIGINT NOT NULL
            );

-- What is run, and how it finds its rows.

-- SEARCH alloc_event USING INTEGER PRIMARY KEY (rowid=?)
DELETE FROM alloc_event WHERE id = $1;

-- SEARCH alloc_interval USING PRIMARY KEY (pool=?)
DELETE FROM alloc_interval WHERE pool = $1;

-- SEARCH alloc_interval USING PRIMARY KEY (pool=? AND last=?)
DELETE FROM alloc_interval WHERE pool = $1 AND last = $2;

-- SEARCH alloc_interval USING PRIMARY KEY (pool=? AND last>? AND last<?)
DELETE FROM alloc_interval WHERE pool = $1 AND last >= $2 AND last <= $3;

-- SEARCH alloc_lease USING PRIMARY KEY (network=? AND address=?)
DELETE FROM alloc_lease WHERE network = $1 AND address = $2;

-- SEARCH alloc_lease USING PRIMARY KEY (network=? AND address=?)
DELETE FROM alloc_lease WHERE network = $1 AND address = $2 AND state = 2;

-- SEARCH alloc_pool USING PRIMARY KEY (id=?)
-- SEARCH alloc_interval USING PRIMARY KEY (pool=?)
-- SEARCH alloc_pool USING INDEX alloc_block_by_pool (parent=?)
DELETE FROM alloc_pool WHERE id = $1;

-- SEARCH alloc_reservation USING PRIMARY KEY (network=? AND family=? AND last=?)
DELETE FROM alloc_reservation
     WHERE network = $1 AND family = $2 AND last = $3 AND first = $4;

INSERT INTO alloc_event
     (at, network, kind, actor, source_address, request_id, subject, address, detail)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9);

INSERT INTO alloc_interval (pool, last, first, holder) VALUES ($1, $2, $3, $4);

INSERT INTO alloc_lease
     (network, address, family, pool, owner, state, hold_until, until, number)
     VALUES ($1, $2, $3, $4, $5, 1, $6, $7, $8);

INSERT INTO alloc_pool
     (id, network, family, position, first, last, parent, name)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8);

INSERT INTO alloc_reservation
     (network, family, last, first, kind, owner, note) VALUES ($1, $2, $3, $4, $5, $6, $7);

-- SEARCH alloc_event USING INDEX alloc_event_by_kind (kind=? AND network=? AND id>?)
SELECT 1 FROM alloc_event
     WHERE subject = $1 AND subject IS NOT NULL AND id > $2 AND kind = 'lease.renewed'
        AND address = $3 AND network = $4 LIMIT 1;

-- COMPOUND QUERY
-- LEFT-MOST SUBQUERY
-- SEARCH alloc_lease USING COVERING INDEX alloc_lease_active (owner=? AND <expr>=?)
-- UNION ALL
-- SEARCH alloc_lease USING COVERING INDEX alloc_lease_quarantined (owner=? AND <expr>=?)
SELECT 1 FROM alloc_lease
     WHERE owner = $1 AND substr(network, 1) = $2 AND state = 1
     UNION ALL SELECT 1 FROM alloc_lease
     WHERE owner = $1 AND substr(network, 1) = $2 AND state = 2 LIMIT 1;

-- SEARCH alloc_lease USING COVERING INDEX alloc_lease_held (hold_until<?)
SELECT 1 FROM alloc_lease WHERE state = 2 AND hold_until <= $1 ORDER BY hold_until LIMIT 1;

-- SEARCH alloc_lease USING PRIMARY KEY (network=? AND address>? AND address<?)
SELECT address FROM alloc_lease
     WHERE network = $1 AND address >= $2 AND address <= $3 AND family = $4
         AND state = 1 AND owner <> $5
     ORDER BY address LIMIT $6;

-- SEARCH alloc_lease USING PRIMARY KEY (network=? AND address>? AND address<?)
SELECT address FROM alloc_lease
     WHERE network = $1 AND address >= $2 AND address <= $3 AND family = $4
     ORDER BY address LIMIT $5;

-- SEARCH alloc_lease USING PRIMARY KEY (network=? AND address>? AND address<?)
SELECT address FROM alloc_lease
     WHERE network = $1 AND address >= $2 AND address <= $3 AND family = $4 AND pool = $5
     ORDER BY address LIMIT $6;

-- SEARCH alloc_lease USING PRIMARY KEY (network=? AND address>? AND address<?)
SELECT address, owner FROM alloc_lease
     WHERE network = $1 AND address >= $2 AND address <= $3 AND family = $4 AND state = 1
     ORDER BY address LIMIT $5;

-- SCAN alloc_event
SELECT at FROM alloc_event ORDER BY id DESC LIMIT 1;

-- SEARCH block USING INDEX alloc_block_by_pool (parent>?)
-- SEARCH pool USING PRIMARY KEY (id=?) LEFT-JOIN
SELECT block.id FROM alloc_pool AS block
     LEFT JOIN alloc_pool AS pool ON pool.id = block.parent
     WHERE block.parent IS NOT NULL AND (pool.id IS NULL OR pool.parent IS NOT NULL
        OR pool.network <> block.network OR pool.family <> block.family
        OR length(pool.first) <> length(block.first)
        OR block.first < pool.first OR block.last > pool.last);

-- SEARCH alloc_event
SELECT coalesce(max(id), 0) + 1 FROM alloc_event;

-- SEARCH alloc_lease USING PRIMARY KEY (network=? AND address>? AND address<?)
SELECT count(*) FROM alloc_lease
     WHERE network = $1 AND address >= $2 AND address <= $3 AND family = $4 AND pool = $5;

-- SEARCH alloc_lease USING COVERING INDEX alloc_lease_held_of_pool (pool=?)
SELECT count(*) FROM alloc_lease WHERE pool = $1 AND state = 2;

-- SEARCH alloc_reservation USING INDEX alloc_reservation_pinned (owner=? AND network=? AND family=?)
SELECT first FROM alloc_reservation
     WHERE owner = $1 AND network = $2 AND family = $3;

-- SEARCH alloc_reservation USING PRIMARY KEY (network=? AND family=? AND last>?)
SELECT first, last, kind, owner, note FROM alloc_reservation
     WHERE network = $1 AND family = $2 AND last >= $3 ORDER BY last LIMIT $4;

-- SCAN free
-- SEARCH pool USING PRIMARY KEY (id=?) LEFT-JOIN
SELECT free.pool, free.first FROM alloc_interval AS free
     LEFT JOIN alloc_pool AS pool ON pool.id = free.pool
     WHERE pool.id IS NULL OR length(free.first) <> length(pool.first)
        OR free.first < pool.first OR free.last > pool.last;

-- SEARCH alloc_event USING COVERING INDEX alloc_event_by_subject (subject=?)
SELECT id FROM alloc_event
     WHERE subject = $1 AND subject IS NOT NULL ORDER BY id LIMIT $2;

-- SCAN alloc_event
SELECT id FROM alloc_event ORDER BY id DESC LIMIT 1;

-- SEARCH alloc_event USING INTEGER PRIMARY KEY (rowid<?)
SELECT id FROM alloc_event WHERE id < $1 ORDER BY id DESC LIMIT $2;

-- SEARCH alloc_event USING INTEGER PRIMARY KEY (rowid>?)
SELECT id FROM alloc_event WHERE id > $1 ORDER BY id ASC LIMIT $2;

-- SEARCH alloc_event USING COVERING INDEX alloc_event_by_kind (kind=? AND network=? AND id<?)
SELECT id FROM alloc_event WHERE kind = $1 AND network = $2 AND id < $3 ORDER BY id DESC LIMIT $4;

-- SEARCH alloc_event USING COVERING INDEX alloc_event_by_kind (kind=? AND network=? AND id>?)
SELECT id FROM alloc_event WHERE kind = $1 AND network = $2 AND id > $3 ORDER BY id ASC LIMIT $4;

-- SEARCH alloc_event USING COVERING INDEX alloc_event_by_kind (kind=? AND network=? AND id<?)
SELECT id FROM alloc_event WHERE kind = $1 AND network IS NULL AND id < $2 ORDER BY id DESC LIMIT $3;

-- SEARCH alloc_event USING COVERING INDEX alloc_event_by_kind (kind=? AND network=? AND id>?)
SELECT id FROM alloc_event WHERE kind = $1 AND network IS NULL AND id > $2 ORDER BY id ASC LIMIT $3;

-- SEARCH alloc_event USING COVERING INDEX alloc_event_by_network (network=? AND id<?)
SELECT id FROM alloc_event WHERE network = $1 AND id < $2 ORDER BY id DESC LIMIT $3;

-- SEARCH alloc_event USING COVERING INDEX alloc_event_by_network (network=? AND id>?)
SELECT id FROM alloc_event WHERE network = $1 AND id > $2 ORDER BY id ASC LIMIT $3;

-- SEARCH alloc_pool USING INDEX alloc_pool_by_address (network=? AND family=?)
SELECT id FROM alloc_pool
     WHERE network = $1 AND family = $2 AND parent IS NULL LIMIT 1;

-- SCAN pool
-- SEARCH alloc_interval EXISTS USING PRIMARY KEY (pool=?)
SELECT id FROM alloc_pool AS pool
     WHERE pool.is_full = 1 AND EXISTS (SELECT 1 FROM alloc_interval WHERE pool = pool.id);

-- SEARCH alloc_event USING INTEGER PRIMARY KEY (rowid>?)
SELECT id, at, kind, network, subject, address, detail FROM alloc_event
     WHERE id > $1 ORDER BY id LIMIT $2;

-- SEARCH alloc_event USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)
-- SCALAR SUBQUERY 1
-- SEARCH alloc_event
SELECT id, at, kind, subject, address, network FROM alloc_event
     WHERE id > $1 AND id < (SELECT max(id) FROM alloc_event) ORDER BY id LIMIT $2;

-- SEARCH alloc_event USING INTEGER PRIMARY KEY (rowid=?)
SELECT id, at, network, kind, actor, source_address, request_id,
     subject, address, detail FROM alloc_event WHERE id = $1;

-- SEARCH alloc_event USING INDEX alloc_event_by_network (network=? AND id>? AND id<?)
SELECT id, at, network, kind, actor, source_address, request_id, subject,
     address, detail FROM alloc_event
     WHERE network = $1 AND id > $2 AND id <= $3 ORDER BY id LIMIT $4;

-- SEARCH alloc_event USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)
SELECT id, at, network, kind, actor, source_address, request_id, subject,
     address, detail FROM alloc_event WHERE id > $1 AND id <= $2 ORDER BY id LIMIT $3;

-- SEARCH alloc_event USING INDEX alloc_event_by_subject (subject=? AND id<?)
SELECT id, at, network, kind, actor, source_address, request_id, subject, address, detail
     FROM alloc_event WHERE subject = $1 AND subject IS NOT NULL AND id < $2 ORDER BY id DESC LIMIT $3;

-- SEARCH alloc_event USING INDEX alloc_event_by_subject (subject=? AND id>?)
SELECT id, at, network, kind, actor, source_address, request_id, subject, address, detail
     FROM alloc_event WHERE subject = $1 AND subject IS NOT NULL AND id > $2 ORDER BY id ASC LIMIT $3;

-- SEARCH alloc_pool USING INDEX alloc_pool_by_address (network=? AND family=? AND last>?)
SELECT id, first FROM alloc_pool
     WHERE network = $1 AND family = $2 AND parent IS NULL AND last >= $3 ORDER BY last LIMIT 2;

-- SEARCH alloc_pool USING INDEX alloc_pool_by_address ((network,family,last,first,id)>(?,?,?,?,?))
SELECT id, network, family, first, last FROM alloc_pool
     WHERE parent IS NULL AND (network, family, last, first, id) > ($1, $2, $3, $4, $5)
     ORDER BY network, family, last, first, id LIMIT $6;

-- COMPOUND QUERY
-- LEFT-MOST SUBQUERY
-- CO-ROUTINE inside
-- SEARCH alloc_pool USING INDEX alloc_pool_by_address (network=? AND family=? AND last>? AND last<?)
-- SCAN inside
-- UNION ALL
-- CO-ROUTINE beyond
-- SEARCH alloc_pool USING INDEX alloc_pool_by_address (network=? AND family=? AND last>?)
-- SCAN beyond
-- UNION ALL
-- CO-ROUTINE inside
-- SEARCH alloc_pool USING INDEX alloc_block_by_address (network=? AND family=? AND last>? AND last<?)
-- SCAN inside
-- UNION ALL
-- CO-ROUTINE beyond
-- SEARCH alloc_pool USING INDEX alloc_block_by_address (network=? AND family=? AND last>?)
-- SCAN beyond
SELECT id, network, parent, first, last FROM (
                 SELECT id, network, parent, first, last FROM alloc_pool
                 WHERE network = $1 AND family = $2 AND parent IS NULL AND last >= $3 AND last < $4 ORDER BY last LIMIT $5) AS inside
             UNION ALL
             SELECT id, network, parent, first, last FROM (
                 SELECT id, network, parent, first, last FROM alloc_pool
                 WHERE network = $1 AND family = $2 AND parent IS NULL AND last >= $4 ORDER BY last LIMIT 1) AS beyond WHERE first <= $4 UNION ALL SELECT id, network, parent, first, last FROM (
                 SELECT id, network, parent, first, last FROM alloc_pool
                 WHERE network = $1 AND family = $2 AND parent IS NOT NULL AND last >= $3 AND last < $4 ORDER BY last LIMIT $5) AS inside
             UNION ALL
             SELECT id, network, parent, first, last FROM (
                 SELECT id, network, parent, first, last FROM alloc_pool
                 WHERE network = $1 AND family = $2 AND parent IS NOT NULL AND last >= $4 ORDER BY last LIMIT 1) AS beyond WHERE first <= $4;

-- SEARCH alloc_pool USING PRIMARY KEY (id>?)
SELECT id, network, parent, first, last FROM alloc_pool
     WHERE id > $1 ORDER BY id LIMIT $2;

-- SEARCH alloc_pool USING INDEX alloc_block_by_pool (parent=? AND last>?)
SELECT id, network, parent, first, last FROM alloc_pool
     WHERE parent = $1 AND parent IS NOT NULL AND last >= $2 ORDER BY last LIMIT $3;

-- SEARCH alloc_pool USING PRIMARY KEY (id=?)
SELECT id, network, parent, first, last FROM alloc_pool WHERE id = $1;

-- SEARCH alloc_pool USING PRIMARY KEY (id=?)
SELECT id, network, parent, name, first, last FROM alloc_pool
     WHERE id = $1 AND parent IS NOT NULL;

-- SEARCH alloc_pool USING INDEX alloc_pool_by_name (network=? AND family=? AND name=?)
SELECT id, network, parent, name, first, last FROM alloc_pool
     WHERE network = $1 AND family = $2 AND name = $3 AND name IS NOT NULL;

-- SEARCH alloc_pool USING INDEX alloc_block_by_pool (parent=? AND last>?)
SELECT id, network, parent, name, first, last FROM alloc_pool
     WHERE parent = $1 AND parent IS NOT NULL AND last > $2 ORDER BY last LIMIT $3;

-- SEARCH alloc_pool USING INDEX alloc_block_by_network ((network,id)>(?,?))
SELECT id, network, parent, name, first, last FROM alloc_pool
     WHERE parent IS NOT NULL AND (network, id) > ($1, $2) ORDER BY network, id LIMIT $3;

-- SEARCH alloc_pool USING PRIMARY KEY (id=?)
SELECT id, network, position, first, last FROM alloc_pool
     WHERE id = $1 AND parent IS NULL;

-- SEARCH alloc_pool USING INDEX alloc_pool_by_network ((network,id)>(?,?))
SELECT id, network, position, first, last FROM alloc_pool
     WHERE parent IS NULL AND (network, id) > ($1, $2) ORDER BY network, id LIMIT $3;

-- SEARCH alloc_interval USING PRIMARY KEY (pool=?)
SELECT last, first FROM alloc_interval WHERE pool = $1 ORDER BY last DESC LIMIT $2;

-- SEARCH alloc_interval USING PRIMARY KEY (pool=?)
SELECT last, first FROM alloc_interval WHERE pool = $1 ORDER BY last LIMIT $2;

-- SEARCH alloc_interval USING PRIMARY KEY (pool=? AND last>?)
SELECT last, first, holder FROM alloc_interval
     WHERE pool = $1 AND last >= $2 ORDER BY last LIMIT $3;

-- SCAN lease
-- SEARCH pool USING PRIMARY KEY (id=?) LEFT-JOIN
SELECT lease.network, lease.address FROM alloc_lease AS lease
     LEFT JOIN alloc_pool AS pool ON pool.id = lease.pool
     WHERE pool.id IS NULL OR pool.network <> lease.network OR pool.family <> lease.family
        OR length(lease.address) <> length(pool.first)
        OR lease.address < pool.first OR lease.address > pool.last;

-- SEARCH alloc_reservation USING PRIMARY KEY ((network,family,last)>(?,?,?))
SELECT network, family, last, first, kind, owner
     FROM alloc_reservation
     WHERE (network, family, last) > ($1, $2, $3) ORDER BY network, family, last LIMIT $4;

-- SEARCH alloc_pool USING INDEX alloc_pool_open (network=? AND family=? AND (position,id)>(?,?))
SELECT position, id FROM alloc_pool
     WHERE network = $1 AND family = $2 AND parent IS NULL AND is_full = 0
         AND (position, id) > ($3, $4)
     ORDER BY position, id LIMIT $5;

-- SEARCH pool USING INDEX alloc_pool_by_address (network=? AND family=?)
-- SEARCH lease EXISTS USING COVERING INDEX alloc_lease_held_of_pool (pool=? AND hold_until<?)
-- USE TEMP B-TREE FOR ORDER BY
SELECT position, id FROM alloc_pool AS pool
     WHERE network = $1 AND family = $2 AND parent IS NULL AND EXISTS (
             SELECT 1 FROM alloc_lease AS lease
             WHERE lease.pool = pool.id AND lease.state = 2 AND lease.hold_until <= $3)
         AND (position, id) > ($4, $5)
     ORDER BY position, id LIMIT $6;

-- SEARCH alloc_lease USING PRIMARY KEY ((network,address)>(?,?))
SELECT state, number, owner, address, pool, network, hold_until, released_at, reason, until,
         passed_on_by FROM alloc_lease
     WHERE (network, address) > ($1, $2) ORDER BY network, address LIMIT $3;

-- SEARCH alloc_lease USING PRIMARY KEY (network=? AND address>?)
SELECT state, number, owner, address, pool, network, hold_until, released_at, reason, until,
         passed_on_by FROM alloc_lease
     WHERE network = $1 AND address > $2 ORDER BY address LIMIT $3;

-- SEARCH alloc_lease USING INDEX alloc_lease_held_of_pool (pool=? AND hold_until<?)
SELECT state, number, owner, address, pool, network, hold_until, released_at, reason, until,
         passed_on_by FROM alloc_lease
     WHERE pool = $1 AND state = 2 AND hold_until <= $2 ORDER BY hold_until LIMIT $3;

-- SEARCH alloc_lease USING INDEX alloc_lease_ending (until>? AND until<?)
SELECT state, number, owner, address, pool, network, hold_until, released_at, reason, until,
         passed_on_by FROM alloc_lease
     WHERE state = 1 AND until IS NOT NULL AND released_at IS NULL AND until <= $1
     ORDER BY until LIMIT $2;

-- SEARCH alloc_lease USING INDEX alloc_lease_held (hold_until<?)
SELECT state, number, owner, address, pool, network, hold_until, released_at, reason, until,
         passed_on_by FROM alloc_lease
     WHERE state = 2 AND hold_until <= $1 ORDER BY hold_until LIMIT $2;

-- COMPOUND QUERY
-- LEFT-MOST SUBQUERY
-- SEARCH alloc_lease USING INDEX alloc_lease_active (owner=? AND <expr>=? AND family=?)
-- UNION ALL
-- SEARCH alloc_lease USING INDEX alloc_lease_quarantined (owner=? AND <expr>=? AND family=?)
-- UNION ALL
-- SEARCH alloc_reservation USING INDEX alloc_reservation_pinned (owner=? AND network=? AND family=?)
-- UNION ALL
-- SCAN CONSTANT ROW
-- SCALAR SUBQUERY 4
-- SEARCH alloc_event
SELECT state, number, owner, address, pool, network, hold_until, released_at, reason, until,
         passed_on_by FROM alloc_lease
     WHERE substr(network, 1) = $1 AND owner = $2 AND family = $3 AND state = 1
     UNION ALL
     SELECT state, number, owner, address, pool, network, hold_until, released_at, reason, until,
         passed_on_by FROM alloc_lease
     WHERE substr(network, 1) = $1 AND owner = $2 AND family = $3 AND state = 2
     UNION ALL
     SELECT 3, 0, owner, first, owner, network, 0, NULL, NULL, NULL, NULL FROM alloc_reservation
     WHERE owner = $2 AND network = $1 AND family = $3
     UNION ALL
     SELECT 0, (SELECT coalesce(max(id), 0) + 1 FROM alloc_event), $2, $2, $2, $1, 0,
         NULL, NULL, NULL, NULL;

-- SEARCH alloc_lease USING INDEX alloc_lease_ending_of_network (<expr>=? AND until>? AND until<?)
SELECT state, number, owner, address, pool, network, hold_until, released_at, reason, until,
         passed_on_by FROM alloc_lease
     WHERE substr(network, 1) = $1 AND state = 1 AND until IS NOT NULL AND until <= $2
     ORDER BY until LIMIT $3;

-- SEARCH alloc_lease USING PRIMARY KEY (network=? AND address=?)
SELECT state, number, owner, address, pool, network, hold_until, released_at, reason, until,
         passed_on_by FROM alloc_lease WHERE network = $1 AND address = $2;

-- COMPOUND QUERY
-- LEFT-MOST SUBQUERY
-- SEARCH alloc_lease USING PRIMARY KEY (network=? AND address=?)
-- UNION ALL
-- CO-ROUTINE pool
-- SEARCH alloc_pool USING INDEX alloc_pool_by_address (network=? AND family=? AND last>?)
-- SCAN pool
-- UNION ALL
-- CO-ROUTINE block
-- SEARCH alloc_pool USING INDEX alloc_block_by_address (network=? AND family=? AND last>?)
-- SCAN block
-- UNION ALL
-- CO-ROUTINE nearest
-- SEARCH alloc_reservation USING PRIMARY KEY (network=? AND family=? AND last>?)
-- SCAN nearest
SELECT state, number, owner, address, pool, network, hold_until, released_at, reason, until,
         passed_on_by FROM alloc_lease WHERE network = $1 AND address = $2
     UNION ALL
     SELECT 3, 0, id, first, id, network, 0, NULL, NULL, NULL, NULL
     FROM (SELECT network, first, id FROM alloc_pool
         WHERE network = $1 AND family = $3 AND parent IS NULL AND last >= $2
         ORDER BY last LIMIT 1) AS pool
     WHERE first <= $2
     UNION ALL
     SELECT 3, 1, id, first, id, network, 0, NULL, NULL, NULL, NULL
     FROM (SELECT network, first, id FROM alloc_pool
         WHERE network = $1 AND family = $3 AND parent IS NOT NULL AND last >= $2
         ORDER BY last LIMIT 1) AS block
     WHERE first <= $2
     UNION ALL
     SELECT 4, kind, owner, first, last, network, 0, NULL, NULL, NULL, NULL
     FROM (SELECT network, first, last, owner, kind FROM alloc_reservation
         WHERE network = $1 AND family = $3 AND last >= $2 ORDER BY last LIMIT 1) AS nearest
     WHERE first <= $2;

-- COMPOUND QUERY
-- LEFT-MOST SUBQUERY
-- SEARCH alloc_lease USING INDEX alloc_lease_active (owner=? AND <expr>=?)
-- UNION ALL
-- SEARCH alloc_lease USING INDEX alloc_lease_quarantined (owner=? AND <expr>=?)
SELECT state, number, owner, address, pool, network, hold_until, released_at, reason, until,
         passed_on_by FROM alloc_lease WHERE substr(network, 1) = $1 AND owner = $2 AND state = 1
     UNION ALL
     SELECT state, number, owner, address, pool, network, hold_until, released_at, reason, until,
         passed_on_by FROM alloc_lease WHERE substr(network, 1) = $1 AND owner = $2 AND state = 2;

-- SCAN alloc_lease USING COVERING INDEX alloc_lease_active
SELECT substr(network, 1), owner FROM alloc_lease WHERE state = 1
     GROUP BY owner, substr(network, 1), family HAVING count(*) > 1;

-- SEARCH alloc_interval USING PRIMARY KEY (pool=? AND last=?)
UPDATE alloc_interval SET first = $1 WHERE pool = $2 AND last = $3;

-- SEARCH alloc_interval USING PRIMARY KEY (pool=? AND last=?)
UPDATE alloc_interval SET last = $1 WHERE pool = $2 AND last = $3;

-- SEARCH alloc_lease USING PRIMARY KEY (network=? AND address=?)
UPDATE alloc_lease
     SET owner = $1, number = $2, passed_on_by = $3
     WHERE network = $4 AND address = $5 AND owner = $3 AND released_at IS NOT DISTINCT FROM $6
         AND number = $7;

-- SEARCH alloc_lease USING PRIMARY KEY (network=? AND address=?)
UPDATE alloc_lease
     SET state = 1, owner = $1, hold_until = $2, released_at = NULL, reason = NULL, until = $3,
         number = $4, passed_on_by = NULL
     WHERE network = $5 AND address = $6 AND state = 2 AND owner = $7 AND hold_until = $8
         AND number = $9;

-- SEARCH alloc_lease USING PRIMARY KEY (network=? AND address=?)
UPDATE alloc_lease
     SET state = 2, hold_until = $1, released_at = $2, reason = $3, until = NULL
     WHERE network = $4 AND address = $5 AND state = 1 AND owner = $6 AND hold_until = $7
         AND number = $8;

-- SEARCH alloc_lease USING PRIMARY KEY (network=? AND address=?)
UPDATE alloc_lease SET hold_until = $1
     WHERE network = $2 AND address = $3 AND owner = $4 AND hold_until = $5
         AND released_at IS NOT DISTINCT FROM $6 AND number = $7;

-- SEARCH alloc_lease USING PRIMARY KEY (network=? AND address=?)
UPDATE alloc_lease SET hold_until = $1, until = $2, number = $3
     WHERE network = $4 AND address = $5 AND state = 1 AND owner = $6 AND hold_until = $7
         AND until IS NOT DISTINCT FROM $8 AND number = $9;

-- SEARCH alloc_pool USING PRIMARY KEY (id=?)
UPDATE alloc_pool SET first = $1, last = $2 WHERE id = $3;

-- SEARCH alloc_pool USING PRIMARY KEY (id=?)
UPDATE alloc_pool SET is_full = 0 WHERE id = $1 AND is_full = 1;

-- SEARCH alloc_pool USING PRIMARY KEY (id=?)
UPDATE alloc_pool SET is_full = 1 WHERE id = $1 AND parent IS NULL;

-- SEARCH alloc_pool USING PRIMARY KEY (id=?)
UPDATE alloc_pool SET position = $1 WHERE id = $2;

-- SEARCH alloc_reservation USING PRIMARY KEY (network=? AND family=? AND last=?)
UPDATE alloc_reservation SET first = $1
     WHERE network = $2 AND family = $3 AND last = $4 AND first = $5;

-- CO-ROUTINE known
-- SETUP
-- SCAN CONSTANT ROW
-- SCALAR SUBQUERY 1
-- SEARCH alloc_event USING COVERING INDEX alloc_event_by_kind (kind=? AND network>?)
-- RECURSIVE STEP
-- SCAN known
-- CORRELATED SCALAR SUBQUERY 3
-- SEARCH alloc_event USING COVERING INDEX alloc_event_by_kind (kind=? AND network>?)
-- SCAN known
WITH RECURSIVE known (network) AS (
         SELECT (SELECT network FROM alloc_event
             WHERE kind = $1 AND network IS NOT NULL ORDER BY network LIMIT 1)
         UNION ALL
         SELECT (SELECT network FROM alloc_event
             WHERE kind = $1 AND network > known.network ORDER BY network LIMIT 1)
         FROM known WHERE known.network IS NOT NULL)
     SELECT network FROM known WHERE network IS NOT NULL;

