-- The tables.

-- Version 1
CREATE TABLE alloc_pool (
    id BYTEA NOT NULL PRIMARY KEY,
    network BYTEA NOT NULL,
    family BIGINT NOT NULL CHECK (family IN (4, 6)),
    position BIGINT NOT NULL,
    first BYTEA NOT NULL,
    last BYTEA NOT NULL,
    CHECK (length(first) = length(last) AND first <= last)
);
CREATE INDEX alloc_pool_by_position ON alloc_pool (network, family, position, id);

CREATE TABLE alloc_interval (
    pool BYTEA NOT NULL REFERENCES alloc_pool (id),
    last BYTEA NOT NULL,
    first BYTEA NOT NULL,
    PRIMARY KEY (pool, last),
    CHECK (length(first) = length(last) AND first <= last)
);

CREATE TABLE alloc_lease (
    network BYTEA NOT NULL,
    address BYTEA NOT NULL,
    family BIGINT NOT NULL CHECK (family IN (4, 6)),
    pool BYTEA NOT NULL REFERENCES alloc_pool (id),
    owner BYTEA NOT NULL,
    state BIGINT NOT NULL CHECK (state IN (1, 2)),
    hold_until BIGINT NOT NULL,
    released_at BIGINT,
    until BIGINT,
    PRIMARY KEY (network, address)
);
CREATE UNIQUE INDEX alloc_lease_active ON alloc_lease (owner, network, family) WHERE state = 1;
CREATE INDEX alloc_lease_quarantined ON alloc_lease (owner, family) WHERE state = 2;
CREATE INDEX alloc_lease_ending ON alloc_lease (pool, until) WHERE state = 1 AND until IS NOT NULL;
CREATE INDEX alloc_lease_held ON alloc_lease (hold_until) WHERE state = 2;
CREATE INDEX alloc_lease_held_of_pool ON alloc_lease (pool, hold_until) WHERE state = 2;

CREATE TABLE alloc_event (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at BIGINT NOT NULL,
    network BYTEA,
    kind TEXT NOT NULL,
    actor TEXT NOT NULL,
    source_address TEXT,
    request_id TEXT,
    subject BYTEA,
    address BYTEA,
    detail TEXT
);
CREATE INDEX alloc_event_by_network ON alloc_event (network, id);


-- Version 2
ALTER TABLE alloc_pool ADD COLUMN parent BYTEA REFERENCES alloc_pool (id);
ALTER TABLE alloc_pool ADD COLUMN name TEXT;
CREATE UNIQUE INDEX alloc_pool_by_name ON alloc_pool (network, family, name)
    WHERE name IS NOT NULL;
CREATE INDEX alloc_pool_by_parent ON alloc_pool (parent) WHERE parent IS NOT NULL;

ALTER TABLE alloc_interval ADD COLUMN holder BIGINT NOT NULL DEFAULT 0;
CREATE INDEX alloc_interval_held ON alloc_interval (pool, holder, last) WHERE holder <> 0;
CREATE TABLE alloc_instance (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    seen_at BIGINT NOT NULL
);

ALTER TABLE alloc_lease ADD COLUMN reason BIGINT;
UPDATE alloc_lease SET reason = 1 WHERE state = 2;

CREATE TABLE alloc_reservation (
    network BYTEA NOT NULL,
    family BIGINT NOT NULL CHECK (family IN (4, 6)),
    last BYTEA NOT NULL,
    first BYTEA NOT NULL,
    kind BIGINT NOT NULL CHECK (kind IN (1, 2, 3)),
    owner BYTEA,
    note TEXT,
    PRIMARY KEY (network, family, last),
    CHECK (length(first) = length(last) AND first <= last),
    CHECK ((kind = 2) = (owner IS NOT NULL) AND (kind <> 2 OR first = last))
);
CREATE UNIQUE INDEX alloc_reservation_pinned ON alloc_reservation (owner, network, family)
    WHERE owner IS NOT NULL;

INSERT INTO alloc_event (at, kind, actor)
    SELECT coalesce(max(at), 0), 'lease.history_begins', 'migration' FROM alloc_event
    HAVING count(*) > 0 OR EXISTS (SELECT 1 FROM alloc_lease);
INSERT INTO alloc_event (at, network, kind, actor, subject, address, detail)
    SELECT coalesce((SELECT max(at) FROM alloc_event), 0), network, 'lease.recorded', 'migration',
        owner, address, CASE state WHEN 1 THEN 'active' ELSE 'quarantined' END
    FROM alloc_lease;


-- Version 3
CREATE TABLE alloc_lease_rebuilt (
    network BYTEA NOT NULL,
    address BYTEA NOT NULL,
    family BIGINT NOT NULL CHECK (family IN (4, 6)),
    pool BYTEA NOT NULL,
    owner BYTEA NOT NULL,
    state BIGINT NOT NULL CHECK (state IN (1, 2)),
    hold_until BIGINT NOT NULL,
    released_at BIGINT,
    until BIGINT,
    reason BIGINT,
    PRIMARY KEY (network, address)
);
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


-- Version 4
ALTER TABLE alloc_lease ADD COLUMN number BIGINT NOT NULL DEFAULT 0;
ALTER TABLE alloc_lease ADD COLUMN passed_on_by BYTEA;


-- Version 5
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


-- What is run.

DELETE FROM alloc_event WHERE id = $1;

DELETE FROM alloc_instance WHERE seen_at < $1 AND id IN (
         SELECT id FROM alloc_instance AS gone
         WHERE seen_at < $1 AND NOT EXISTS (
             SELECT 1 FROM alloc_interval WHERE holder <> 0 AND holder = gone.id)
         ORDER BY id LIMIT $2);

DELETE FROM alloc_interval WHERE pool = $1;

DELETE FROM alloc_interval WHERE pool = $1 AND last = $2;

DELETE FROM alloc_interval WHERE pool = $1 AND last >= $2 AND last <= $3;

DELETE FROM alloc_lease WHERE network = $1 AND address = $2;

DELETE FROM alloc_lease WHERE network = $1 AND address = $2 AND state = 2;

DELETE FROM alloc_pool WHERE id = $1;

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

SELECT 1 FROM alloc_event
     WHERE subject = $1 AND subject IS NOT NULL AND id > $2 AND kind = 'lease.renewed'
        AND address = $3 AND network = $4 LIMIT 1;

SELECT 1 FROM alloc_interval WHERE pool = $1 LIMIT 1;

SELECT 1 FROM alloc_lease
     WHERE owner = $1 AND substr(network, 1) = $2 AND state = 1
     UNION ALL SELECT 1 FROM alloc_lease
     WHERE owner = $1 AND substr(network, 1) = $2 AND state = 2 LIMIT 1;

SELECT 1 FROM alloc_lease WHERE state = 2 AND hold_until <= $1 ORDER BY hold_until LIMIT 1;

SELECT 1 FROM alloc_pool AS pool
     WHERE pool.network = $1 AND pool.family = $2 AND pool.parent IS NULL AND (EXISTS (SELECT 1 FROM alloc_interval AS free WHERE free.pool = pool.id)
             OR EXISTS (SELECT 1 FROM alloc_lease AS lease
                 WHERE lease.pool = pool.id AND lease.state = 2 AND lease.hold_until <= $3)) LIMIT 1;

SELECT address FROM alloc_lease
     WHERE network = $1 AND address >= $2 AND address <= $3 AND family = $4
         AND state = 1 AND owner <> $5
     ORDER BY address LIMIT $6;

SELECT address FROM alloc_lease
     WHERE network = $1 AND address >= $2 AND address <= $3 AND family = $4
     ORDER BY address LIMIT $5;

SELECT address FROM alloc_lease
     WHERE network = $1 AND address >= $2 AND address <= $3 AND family = $4 AND pool = $5
     ORDER BY address LIMIT $6;

SELECT address, owner FROM alloc_lease
     WHERE network = $1 AND address >= $2 AND address <= $3 AND family = $4 AND state = 1
     ORDER BY address LIMIT $5;

SELECT at FROM alloc_event ORDER BY id DESC LIMIT 1;

SELECT block.id FROM alloc_pool AS block
     LEFT JOIN alloc_pool AS pool ON pool.id = block.parent
     WHERE block.parent IS NOT NULL AND (pool.id IS NULL OR pool.parent IS NOT NULL
        OR pool.network <> block.network OR pool.family <> block.family
        OR length(pool.first) <> length(block.first)
        OR block.first < pool.first OR block.last > pool.last);

SELECT coalesce(max(id), 0) + 1 FROM alloc_event;

SELECT count(*) FROM alloc_lease
     WHERE network = $1 AND address >= $2 AND address <= $3 AND family = $4 AND pool = $5;

SELECT count(*) FROM alloc_lease WHERE pool = $1 AND state = 2;

SELECT first FROM alloc_reservation
     WHERE owner = $1 AND network = $2 AND family = $3;

SELECT first, last, kind, owner, note FROM alloc_reservation
     WHERE network = $1 AND family = $2 AND last >= $3 ORDER BY last LIMIT $4;

SELECT free.pool, free.first FROM alloc_interval AS free
     LEFT JOIN alloc_pool AS pool ON pool.id = free.pool
     WHERE pool.id IS NULL OR length(free.first) <> length(pool.first)
        OR free.first < pool.first OR free.last > pool.last;

SELECT id FROM alloc_event
     WHERE subject = $1 AND subject IS NOT NULL ORDER BY id LIMIT $2;

SELECT id FROM alloc_event ORDER BY id DESC LIMIT 1;

SELECT id FROM alloc_event WHERE id < $1 ORDER BY id DESC LIMIT $2;

SELECT id FROM alloc_event WHERE id > $1 ORDER BY id ASC LIMIT $2;

SELECT id FROM alloc_event WHERE kind = $1 AND network = $2 AND id < $3 ORDER BY id DESC LIMIT $4;

SELECT id FROM alloc_event WHERE kind = $1 AND network = $2 AND id > $3 ORDER BY id ASC LIMIT $4;

SELECT id FROM alloc_event WHERE kind = $1 AND network IS NULL AND id < $2 ORDER BY id DESC LIMIT $3;

SELECT id FROM alloc_event WHERE kind = $1 AND network IS NULL AND id > $2 ORDER BY id ASC LIMIT $3;

SELECT id FROM alloc_event WHERE network = $1 AND id < $2 ORDER BY id DESC LIMIT $3;

SELECT id FROM alloc_event WHERE network = $1 AND id > $2 ORDER BY id ASC LIMIT $3;

SELECT id FROM alloc_pool
     WHERE network = $1 AND family = $2 AND parent IS NULL LIMIT 1;

SELECT id FROM alloc_pool AS pool
     WHERE pool.is_full = 1 AND EXISTS (SELECT 1 FROM alloc_interval WHERE pool = pool.id);

SELECT id FROM alloc_pool WHERE id = $1 AND parent IS NULL AND is_full = 0
     FOR UPDATE SKIP LOCKED;

SELECT id, at, kind, network, subject, address, detail FROM alloc_event
     WHERE id > $1 ORDER BY id LIMIT $2;

SELECT id, at, kind, subject, address, network FROM alloc_event
     WHERE id > $1 AND id < (SELECT max(id) FROM alloc_event) ORDER BY id LIMIT $2;

SELECT id, at, network, kind, actor, source_address, request_id,
     subject, address, detail FROM alloc_event WHERE id = $1;

SELECT id, at, network, kind, actor, source_address, request_id, subject,
     address, detail FROM alloc_event
     WHERE network = $1 AND id > $2 AND id <= $3 ORDER BY id LIMIT $4;

SELECT id, at, network, kind, actor, source_address, request_id, subject,
     address, detail FROM alloc_event WHERE id > $1 AND id <= $2 ORDER BY id LIMIT $3;

SELECT id, at, network, kind, actor, source_address, request_id, subject, address, detail
     FROM alloc_event WHERE subject = $1 AND subject IS NOT NULL AND id < $2 ORDER BY id DESC LIMIT $3;

SELECT id, at, network, kind, actor, source_address, request_id, subject, address, detail
     FROM alloc_event WHERE subject = $1 AND subject IS NOT NULL AND id > $2 ORDER BY id ASC LIMIT $3;

SELECT id, first FROM alloc_pool
     WHERE network = $1 AND family = $2 AND parent IS NULL AND last >= $3 ORDER BY last LIMIT 2;

SELECT id, network, family, first, last FROM alloc_pool
     WHERE parent IS NULL AND (network, family, last, first, id) > ($1, $2, $3, $4, $5)
     ORDER BY network, family, last, first, id LIMIT $6;

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

SELECT id, network, parent, first, last FROM alloc_pool
     WHERE id > $1 ORDER BY id LIMIT $2;

SELECT id, network, parent, first, last FROM alloc_pool
     WHERE parent = $1 AND parent IS NOT NULL AND last >= $2 ORDER BY last LIMIT $3;

SELECT id, network, parent, first, last FROM alloc_pool WHERE id = $1;

SELECT id, network, parent, name, first, last FROM alloc_pool
     WHERE id = $1 AND parent IS NOT NULL;

SELECT id, network, parent, name, first, last FROM alloc_pool
     WHERE network = $1 AND family = $2 AND name = $3 AND name IS NOT NULL;

SELECT id, network, parent, name, first, last FROM alloc_pool
     WHERE parent = $1 AND parent IS NOT NULL AND last > $2 ORDER BY last LIMIT $3;

SELECT id, network, parent, name, first, last FROM alloc_pool
     WHERE parent IS NOT NULL AND (network, id) > ($1, $2) ORDER BY network, id LIMIT $3;

SELECT id, network, position, first, last FROM alloc_pool
     WHERE id = $1 AND parent IS NULL;

SELECT id, network, position, first, last FROM alloc_pool
     WHERE parent IS NULL AND (network, id) > ($1, $2) ORDER BY network, id LIMIT $3;

SELECT last, first FROM alloc_interval
     WHERE pool = $1 AND holder = $2 AND holder <> 0 ORDER BY last LIMIT $3
     FOR UPDATE SKIP LOCKED;

SELECT last, first FROM alloc_interval WHERE pool = $1 ORDER BY last DESC LIMIT $2;

SELECT last, first FROM alloc_interval WHERE pool = $1 ORDER BY last LIMIT $2
     FOR UPDATE SKIP LOCKED;

SELECT last, first, holder FROM alloc_interval
     WHERE pool = $1 AND holder = 0 ORDER BY last LIMIT $2
     FOR UPDATE SKIP LOCKED;

SELECT last, first, holder FROM alloc_interval
     WHERE pool = $1 AND last >= $2 ORDER BY last LIMIT $3
     FOR UPDATE SKIP LOCKED;

SELECT lease.network, lease.address FROM alloc_lease AS lease
     LEFT JOIN alloc_pool AS pool ON pool.id = lease.pool
     WHERE pool.id IS NULL OR pool.network <> lease.network OR pool.family <> lease.family
        OR length(lease.address) <> length(pool.first)
        OR lease.address < pool.first OR lease.address > pool.last;

SELECT network, family, last, first, kind, owner
     FROM alloc_reservation
     WHERE (network, family, last) > ($1, $2, $3) ORDER BY network, family, last LIMIT $4;

SELECT pool, last FROM alloc_interval
     WHERE holder <> 0 AND NOT EXISTS (
         SELECT 1 FROM alloc_instance WHERE id = holder AND seen_at >= $1)
     LIMIT $2
     FOR UPDATE SKIP LOCKED;

SELECT position, id FROM alloc_pool
     WHERE network = $1 AND family = $2 AND parent IS NULL AND is_full = 0
         AND (position, id) > ($3, $4)
     ORDER BY position, id LIMIT $5;

SELECT position, id FROM alloc_pool AS pool
     WHERE network = $1 AND family = $2 AND parent IS NULL AND EXISTS (
             SELECT 1 FROM alloc_lease AS lease
             WHERE lease.pool = pool.id AND lease.state = 2 AND lease.hold_until <= $3)
         AND (position, id) > ($4, $5)
     ORDER BY position, id LIMIT $6;

SELECT state, number, owner, address, pool, network, hold_until, released_at, reason, until,
         passed_on_by FROM alloc_lease
     WHERE (network, address) > ($1, $2) ORDER BY network, address LIMIT $3;

SELECT state, number, owner, address, pool, network, hold_until, released_at, reason, until,
         passed_on_by FROM alloc_lease
     WHERE network = $1 AND address > $2 ORDER BY address LIMIT $3;

SELECT state, number, owner, address, pool, network, hold_until, released_at, reason, until,
         passed_on_by FROM alloc_lease
     WHERE pool = $1 AND state = 2 AND hold_until <= $2 ORDER BY hold_until LIMIT $3
     FOR UPDATE SKIP LOCKED;

SELECT state, number, owner, address, pool, network, hold_until, released_at, reason, until,
         passed_on_by FROM alloc_lease
     WHERE state = 1 AND until IS NOT NULL AND released_at IS NULL AND until <= $1
     ORDER BY until LIMIT $2
     FOR UPDATE SKIP LOCKED;

SELECT state, number, owner, address, pool, network, hold_until, released_at, reason, until,
         passed_on_by FROM alloc_lease
     WHERE state = 2 AND hold_until <= $1 ORDER BY hold_until LIMIT $2
     FOR UPDATE SKIP LOCKED;

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

SELECT state, number, owner, address, pool, network, hold_until, released_at, reason, until,
         passed_on_by FROM alloc_lease
     WHERE substr(network, 1) = $1 AND state = 1 AND until IS NOT NULL AND until <= $2
     ORDER BY until LIMIT $3
     FOR UPDATE SKIP LOCKED;

SELECT state, number, owner, address, pool, network, hold_until, released_at, reason, until,
         passed_on_by FROM alloc_lease WHERE network = $1 AND address = $2;

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

SELECT state, number, owner, address, pool, network, hold_until, released_at, reason, until,
         passed_on_by FROM alloc_lease WHERE substr(network, 1) = $1 AND owner = $2 AND state = 1
     UNION ALL
     SELECT state, number, owner, address, pool, network, hold_until, released_at, reason, until,
         passed_on_by FROM alloc_lease WHERE substr(network, 1) = $1 AND owner = $2 AND state = 2;

SELECT substr(network, 1), owner FROM alloc_lease WHERE state = 1
     GROUP BY owner, substr(network, 1), family HAVING count(*) > 1;

UPDATE alloc_interval SET first = $1 WHERE pool = $2 AND last = $3;

UPDATE alloc_interval SET holder = $1 WHERE pool = $2 AND last = $3;

UPDATE alloc_interval SET last = $1 WHERE pool = $2 AND last = $3;

UPDATE alloc_lease
     SET owner = $1, number = $2, passed_on_by = $3
     WHERE network = $4 AND address = $5 AND owner = $3 AND released_at IS NOT DISTINCT FROM $6
         AND number = $7;

UPDATE alloc_lease
     SET state = 1, owner = $1, hold_until = $2, released_at = NULL, reason = NULL, until = $3,
         number = $4, passed_on_by = NULL
     WHERE network = $5 AND address = $6 AND state = 2 AND owner = $7 AND hold_until = $8
         AND number = $9;

UPDATE alloc_lease
     SET state = 2, hold_until = $1, released_at = $2, reason = $3, until = NULL
     WHERE network = $4 AND address = $5 AND state = 1 AND owner = $6 AND hold_until = $7
         AND number = $8;

UPDATE alloc_lease SET hold_until = $1
     WHERE network = $2 AND address = $3 AND owner = $4 AND hold_until = $5
         AND released_at IS NOT DISTINCT FROM $6 AND number = $7;

UPDATE alloc_lease SET hold_until = $1, until = $2, number = $3
     WHERE network = $4 AND address = $5 AND state = 1 AND owner = $6 AND hold_until = $7
         AND until IS NOT DISTINCT FROM $8 AND number = $9;

UPDATE alloc_pool SET first = $1, last = $2 WHERE id = $3;

UPDATE alloc_pool SET is_full = 0 WHERE id = $1 AND is_full = 1;

UPDATE alloc_pool SET is_full = 1 WHERE id = $1 AND parent IS NULL;

UPDATE alloc_pool SET position = $1 WHERE id = $2;

UPDATE alloc_reservation SET first = $1
     WHERE network = $2 AND family = $3 AND last = $4 AND first = $5;

WITH RECURSIVE known (network) AS (
         SELECT (SELECT network FROM alloc_event
             WHERE kind = $1 AND network IS NOT NULL ORDER BY network LIMIT 1)
         UNION ALL
         SELECT (SELECT network FROM alloc_event
             WHERE kind = $1 AND network > known.network ORDER BY network LIMIT 1)
         FROM known WHERE known.network IS NOT NULL)
     SELECT network FROM known WHERE network IS NOT NULL;

