//! The control plane's tables, as migrations.

use nebula_alloc::store::migrate::{Component, Migration};

/// The control plane's tables, `gc_…`, beside those of [`nebula_alloc::COMPONENT`].
pub const COMPONENT: Component = Component {
    name: "gc",
    migrations: &[
        Migration { version: 1, oldest: 1, sql: VERSION_1 },
        Migration { version: 2, oldest: 2, sql: VERSION_2 },
        Migration { version: 3, oldest: 3, sql: VERSION_3 },
        Migration { version: 4, oldest: 4, sql: VERSION_4 },
        Migration { version: 5, oldest: 5, sql: VERSION_5 },
        Migration { version: 6, oldest: 6, sql: VERSION_6 },
        Migration { version: 7, oldest: 6, sql: VERSION_7 },
        Migration { version: 8, oldest: 6, sql: VERSION_8 },
        Migration { version: 9, oldest: 6, sql: VERSION_9 },
        Migration { version: 10, oldest: 6, sql: VERSION_10 },
        Migration { version: 11, oldest: 6, sql: VERSION_11 },
        Migration { version: 12, oldest: 6, sql: VERSION_12 },
        Migration { version: 13, oldest: 6, sql: VERSION_13 },
        Migration { version: 14, oldest: 6, sql: VERSION_14 },
        Migration { version: 15, oldest: 6, sql: VERSION_15 },
        Migration { version: 16, oldest: 6, sql: VERSION_16 },
        Migration { version: 17, oldest: 6, sql: VERSION_17 },
        Migration { version: 18, oldest: 18, sql: VERSION_18 },
        Migration { version: 19, oldest: 18, sql: VERSION_19 },
        Migration { version: 20, oldest: 20, sql: VERSION_20 },
        Migration { version: 21, oldest: 21, sql: VERSION_21 },
    ],
};

/// * A node's name, device id and public key are unique among the nodes that are not released.
/// * `gc_network.active_ca` is the one CA that signs; the others may still be trusted.
/// * `gc_blocklist` is what bundles carry: an entry leaves with a later move of the revision, once
///   its certificate has expired.
/// * `hash_key` and `seal_key` are the ids of the server's keys that a value was hashed or sealed
///   with.
const VERSION_1: &str = "
CREATE TABLE gc_tenant (
    id {blob} NOT NULL PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    created_at BIGINT NOT NULL
);

CREATE TABLE gc_network (
    id {blob} NOT NULL PRIMARY KEY,
    tenant {blob} NOT NULL REFERENCES gc_tenant (id),
    name TEXT NOT NULL UNIQUE,
    certificate_version BIGINT NOT NULL CHECK (certificate_version IN (1, 2)),
    prefix_v4 TEXT,
    prefix_v6 TEXT,
    active_ca {blob} NOT NULL,
    hold_seconds BIGINT NOT NULL CHECK (hold_seconds >= 0),
    revision BIGINT NOT NULL,
    rendering BIGINT NOT NULL,
    created_at BIGINT NOT NULL
);

CREATE TABLE gc_ca (
    id {blob} NOT NULL PRIMARY KEY,
    network {blob} NOT NULL REFERENCES gc_network (id),
    state TEXT NOT NULL CHECK (state IN ('active', 'trusted', 'retired')),
    fingerprint {blob} NOT NULL UNIQUE,
    certificate TEXT NOT NULL,
    seal_key BIGINT,
    sealed_key {blob},
    not_before BIGINT NOT NULL,
    not_after BIGINT NOT NULL,
    created_at BIGINT NOT NULL
);
CREATE INDEX gc_ca_by_network ON gc_ca (network, id);

CREATE TABLE gc_node (
    id {blob} NOT NULL PRIMARY KEY,
    network {blob} NOT NULL REFERENCES gc_network (id),
    device TEXT NOT NULL,
    name TEXT NOT NULL,
    public_key {blob} NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('active', 'suspended', 'revoked', 'released')),
    groups TEXT NOT NULL,
    lighthouse TEXT,
    generation BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    released_at BIGINT
);
CREATE UNIQUE INDEX gc_node_device ON gc_node (network, device) WHERE state <> 'released';
CREATE UNIQUE INDEX gc_node_name ON gc_node (network, name) WHERE state <> 'released';
CREATE UNIQUE INDEX gc_node_public_key ON gc_node (network, public_key) WHERE state <> 'released';
CREATE INDEX gc_node_released ON gc_node (network, device, released_at, id) WHERE state = 'released';
CREATE INDEX gc_node_lighthouse ON gc_node (network, id) WHERE lighthouse IS NOT NULL AND state = 'active';

CREATE TABLE gc_certificate (
    id {blob} NOT NULL PRIMARY KEY,
    network {blob} NOT NULL REFERENCES gc_network (id),
    node {blob} NOT NULL REFERENCES gc_node (id),
    issuer {blob} NOT NULL REFERENCES gc_ca (id),
    state TEXT NOT NULL
        CHECK (state IN ('pending', 'issued', 'superseded', 'revoked', 'expired', 'cancelled')),
    version BIGINT NOT NULL,
    fingerprint {blob} UNIQUE,
    not_before BIGINT NOT NULL,
    not_after BIGINT NOT NULL,
    contents {blob},
    created_at BIGINT NOT NULL
) {clustered};
CREATE UNIQUE INDEX gc_certificate_current ON gc_certificate (node) WHERE state = 'issued';
CREATE INDEX gc_certificate_superseded ON gc_certificate (node) WHERE state = 'superseded';

CREATE TABLE gc_blocklist (
    network {blob} NOT NULL REFERENCES gc_network (id),
    fingerprint {blob} NOT NULL,
    not_after BIGINT NOT NULL,
    revision BIGINT NOT NULL,
    PRIMARY KEY (network, fingerprint)
) {clustered};
CREATE INDEX gc_blocklist_expiry ON gc_blocklist (network, not_after);

CREATE TABLE gc_operator_key (
    id {blob} NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    hash_key BIGINT NOT NULL,
    hash {blob} NOT NULL UNIQUE,
    role TEXT NOT NULL CHECK (role IN ('owner', 'operator', 'viewer')),
    tenant {blob} REFERENCES gc_tenant (id),
    network {blob} REFERENCES gc_network (id),
    created_at BIGINT NOT NULL,
    revoked_at BIGINT
);
";

/// * A network of both certificate versions has `certificate_version` 2 and `also_version_1`.
/// * `curve` has Nebula's numbers: 0 is Curve25519, 1 is P256.
/// * `moves` counts the changes of single nodes that those nodes don't make themselves; with
///   `revision` it tells another instance that somebody has to be woken.
/// * `changes` counts the changes of a resource, for its ETag.
/// * `gc_node.token_hash` is absent for devices that registered without one.
/// * `gc_node.seen_at` is when a node last asked anything with its token, give or take a minute.
/// * `gc_duty.since` is from when on some instance was always there to do it.
/// * `gc_certificate.block_after` is when a superseded certificate is to be blocked, unless its
///   node reports the newer one before.
/// * A pending certificate's `contents` are the bytes to be signed.
/// * `gc_certificate.unsound_at` is when a certificate was first found to contradict its node's rows.
/// * `gc_network.initiating_version` is absent where nobody chose one.
/// * `gc_former_key` has the keys that nodes had before: as long as a node is not released, they are
///   no other's.
/// * `gc_ca.signer` names a signer of the server's settings, where the key is not sealed here.
const VERSION_2: &str = "
ALTER TABLE gc_network ADD COLUMN also_version_1 BIGINT NOT NULL DEFAULT 0;
ALTER TABLE gc_network ADD COLUMN curve BIGINT NOT NULL DEFAULT 0;
ALTER TABLE gc_network ADD COLUMN lifetime BIGINT NOT NULL DEFAULT 1209600;
ALTER TABLE gc_network ADD COLUMN silence_seconds BIGINT;
ALTER TABLE gc_network ADD COLUMN hold_alone BIGINT NOT NULL DEFAULT 0;
ALTER TABLE gc_network ADD COLUMN mtu BIGINT NOT NULL DEFAULT 1300;
ALTER TABLE gc_network ADD COLUMN initiating_version BIGINT CHECK (initiating_version IN (1, 2));
ALTER TABLE gc_network ADD COLUMN moves BIGINT NOT NULL DEFAULT 0;
ALTER TABLE gc_network ADD COLUMN changes BIGINT NOT NULL DEFAULT 1;
CREATE INDEX gc_network_by_tenant ON gc_network (tenant, id);

ALTER TABLE gc_tenant ADD COLUMN changes BIGINT NOT NULL DEFAULT 1;

ALTER TABLE gc_ca ADD COLUMN signer TEXT;

ALTER TABLE gc_operator_key ADD COLUMN expires_at BIGINT;

ALTER TABLE gc_node ADD COLUMN token_key BIGINT;
ALTER TABLE gc_node ADD COLUMN token_hash {blob};
ALTER TABLE gc_node ADD COLUMN join_token {blob};
ALTER TABLE gc_node ADD COLUMN pool {blob};
ALTER TABLE gc_node ADD COLUMN relay BIGINT NOT NULL DEFAULT 0;
ALTER TABLE gc_node ADD COLUMN mtu BIGINT;
ALTER TABLE gc_node ADD COLUMN applied_revision BIGINT NOT NULL DEFAULT 0;
ALTER TABLE gc_node ADD COLUMN applied_generation BIGINT NOT NULL DEFAULT 0;
ALTER TABLE gc_node ADD COLUMN reported_at BIGINT;
ALTER TABLE gc_node ADD COLUMN seen_at BIGINT;
ALTER TABLE gc_node ADD COLUMN changes BIGINT NOT NULL DEFAULT 1;
ALTER TABLE gc_node ADD COLUMN state_reason TEXT;
CREATE UNIQUE INDEX gc_node_token ON gc_node (token_hash) WHERE token_hash IS NOT NULL;
CREATE INDEX gc_node_by_network ON gc_node (network, id);
CREATE INDEX gc_node_relay ON gc_node (network, id) WHERE relay = 1 AND state = 'active';
CREATE INDEX gc_node_seen ON gc_node (network, seen_at) WHERE reported_at IS NOT NULL AND state = 'active';

ALTER TABLE gc_certificate ADD COLUMN reason TEXT NOT NULL DEFAULT 'enrolled';
ALTER TABLE gc_certificate ADD COLUMN actor TEXT NOT NULL DEFAULT '';
ALTER TABLE gc_certificate ADD COLUMN block_after BIGINT;
ALTER TABLE gc_certificate ADD COLUMN instance TEXT;
ALTER TABLE gc_certificate ADD COLUMN deadline BIGINT;
ALTER TABLE gc_certificate ADD COLUMN unsound_at BIGINT;
DROP INDEX gc_certificate_current;
CREATE UNIQUE INDEX gc_certificate_current ON gc_certificate (node, version) WHERE state = 'issued';
CREATE INDEX gc_certificate_by_node ON gc_certificate (node, id);
CREATE INDEX gc_certificate_pending ON gc_certificate (deadline) WHERE state = 'pending';
CREATE INDEX gc_certificate_block_after ON gc_certificate (block_after) WHERE block_after IS NOT NULL;
CREATE INDEX gc_certificate_unseen ON gc_certificate (network, not_after) WHERE state IN ('pending', 'cancelled');
CREATE INDEX gc_blocklist_revision ON gc_blocklist (network, revision, fingerprint);
CREATE INDEX gc_certificate_end ON gc_certificate (not_after) WHERE state IN ('issued', 'superseded');

CREATE TABLE gc_former_key (
    network {blob} NOT NULL REFERENCES gc_network (id),
    public_key {blob} NOT NULL,
    node {blob} NOT NULL REFERENCES gc_node (id),
    PRIMARY KEY (network, public_key, node)
) {clustered};

CREATE TABLE gc_join_token (
    id {blob} NOT NULL PRIMARY KEY,
    network {blob} NOT NULL REFERENCES gc_network (id),
    name TEXT NOT NULL,
    hash_key BIGINT NOT NULL,
    hash {blob} NOT NULL UNIQUE,
    uses BIGINT NOT NULL CHECK (uses >= 1),
    used BIGINT NOT NULL DEFAULT 0 CHECK (used BETWEEN 0 AND uses),
    expires_at BIGINT NOT NULL,
    name_pattern TEXT,
    groups TEXT NOT NULL,
    relay BIGINT NOT NULL,
    lighthouse BIGINT NOT NULL,
    pool {blob},
    created_at BIGINT NOT NULL,
    revoked_at BIGINT
);
CREATE INDEX gc_join_token_by_network ON gc_join_token (network, id);

CREATE TABLE gc_idempotency (
    principal TEXT NOT NULL,
    key TEXT NOT NULL,
    request {blob} NOT NULL,
    resource {blob} NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (principal, key)
) {clustered};
CREATE INDEX gc_idempotency_age ON gc_idempotency (created_at);

CREATE TABLE gc_secret_check (
    kind TEXT NOT NULL,
    key_id BIGINT NOT NULL,
    value {blob} NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (kind, key_id)
) {clustered};

CREATE TABLE gc_duty (
    name TEXT NOT NULL PRIMARY KEY,
    instance TEXT NOT NULL,
    until BIGINT NOT NULL,
    since BIGINT NOT NULL DEFAULT 0
);
";

/// A certificate of the ledger is `revoked` from when it is blocked, whoever has another since.
const VERSION_3: &str = "
UPDATE gc_certificate SET state = 'revoked', block_after = NULL
    WHERE state = 'superseded' AND EXISTS (SELECT 1 FROM gc_blocklist
    WHERE gc_blocklist.network = gc_certificate.network
    AND gc_blocklist.fingerprint = gc_certificate.fingerprint);
CREATE INDEX gc_certificate_expired ON gc_certificate (not_after) WHERE state = 'expired';
CREATE INDEX gc_certificate_revoked ON gc_certificate (not_after) WHERE state = 'revoked';
";

/// * `gc_node.key_until` is until when a node may have no other key: it has an address back by its
///   public key alone.
/// * The device comes first in its indexes, so that it is found without its network, too.
const VERSION_4: &str = "
ALTER TABLE gc_node ADD COLUMN key_until BIGINT;
DROP INDEX gc_node_device;
CREATE UNIQUE INDEX gc_node_device ON gc_node (device, network) WHERE state <> 'released';
DROP INDEX gc_node_released;
CREATE INDEX gc_node_released ON gc_node (device, network, released_at, id) WHERE state = 'released';
";

/// `gc_network.renew_before`: a node's certificate that begins before then is due.
const VERSION_5: &str = "
ALTER TABLE gc_network ADD COLUMN renew_before BIGINT;
CREATE INDEX gc_certificate_issuer ON gc_certificate (issuer, node) WHERE state = 'issued';
CREATE INDEX gc_ca_end ON gc_ca (not_after) WHERE state = 'active';
";

/// `name_key` is by what a name is told from others, where that is not the name itself. Of names that are
/// there and would be one, each but the oldest keeps itself.
const VERSION_6: &str = "
ALTER TABLE gc_node ADD COLUMN name_key TEXT;
CREATE INDEX gc_node_folding ON gc_node (network, lower(rtrim(name, '.'))) WHERE state <> 'released';
UPDATE gc_node SET name_key = lower(rtrim(name, '.'))
    WHERE state <> 'released' AND name <> lower(rtrim(name, '.')) AND NOT EXISTS (
        SELECT 1 FROM gc_node AS other
        WHERE other.network = gc_node.network AND other.state <> 'released'
        AND lower(rtrim(other.name, '.')) = lower(rtrim(gc_node.name, '.'))
        AND other.id <> gc_node.id
        AND (other.id < gc_node.id OR other.name = lower(rtrim(gc_node.name, '.'))));
DROP INDEX gc_node_folding;
DROP INDEX gc_node_name;
CREATE UNIQUE INDEX gc_node_name ON gc_node (network, (coalesce(name_key, name))) WHERE state <> 'released';

ALTER TABLE gc_network ADD COLUMN name_key TEXT;
UPDATE gc_network SET name_key = lower(rtrim(name, '.'))
    WHERE name <> lower(rtrim(name, '.')) AND NOT EXISTS (
        SELECT 1 FROM gc_network AS other
        WHERE lower(rtrim(other.name, '.')) = lower(rtrim(gc_network.name, '.'))
        AND other.id <> gc_network.id
        AND (other.id < gc_network.id OR other.name = lower(rtrim(gc_network.name, '.'))));
CREATE UNIQUE INDEX gc_network_name ON gc_network ((coalesce(name_key, name)));

ALTER TABLE gc_tenant ADD COLUMN name_key TEXT;
UPDATE gc_tenant SET name_key = lower(rtrim(name, '.'))
    WHERE name <> lower(rtrim(name, '.')) AND NOT EXISTS (
        SELECT 1 FROM gc_tenant AS other
        WHERE lower(rtrim(other.name, '.')) = lower(rtrim(gc_tenant.name, '.'))
        AND other.id <> gc_tenant.id
        AND (other.id < gc_tenant.id OR other.name = lower(rtrim(gc_tenant.name, '.'))));
CREATE UNIQUE INDEX gc_tenant_name ON gc_tenant ((coalesce(name_key, name)));
";

/// What is forgotten is found by its end, and who has not applied a revision without looking at who has.
const VERSION_7: &str = "
CREATE INDEX gc_certificate_cancelled ON gc_certificate (not_after) WHERE state = 'cancelled';
CREATE INDEX gc_node_gone ON gc_node (released_at, id) WHERE state = 'released';
CREATE INDEX gc_former_key_of_node ON gc_former_key (node);
CREATE INDEX gc_join_token_end ON gc_join_token (expires_at);
CREATE INDEX gc_node_applied ON gc_node (network, applied_revision) WHERE state = 'active';
";

/// * `gc_lent` has the addresses that a node, `holder`, has by a public key alone, which others may
///   know: `node` is whose they were when that was shown last. It counts for as long as the holder
///   may have no other key.
/// * `gc_former_key.replaced` is 1 where an operator replaced the key, which the node may then not
///   have again by itself.
const VERSION_8: &str = "
CREATE TABLE gc_lent (
    network {blob} NOT NULL REFERENCES gc_network (id),
    address TEXT NOT NULL,
    node {blob} NOT NULL,
    holder {blob} NOT NULL,
    PRIMARY KEY (network, address)
) {clustered};
CREATE INDEX gc_lent_of_node ON gc_lent (node);
CREATE INDEX gc_lent_to ON gc_lent (holder);
ALTER TABLE gc_former_key ADD COLUMN replaced BIGINT NOT NULL DEFAULT 0;
";

/// One row: the list of servers that nodes are told, as JSON, and the key that signs it.
const VERSION_9: &str = "
CREATE TABLE gc_server_list (
    name TEXT NOT NULL PRIMARY KEY,
    public_key {blob} NOT NULL,
    seal_key BIGINT NOT NULL,
    sealed_key {blob} NOT NULL,
    list TEXT NOT NULL
);
";

/// * One row of `gc_store`: what tells this store from others.
/// * `gc_report` has the latest report of a node. `receipt_key` is the id of the server's key that proved
///   its receipt, where one did.
const VERSION_10: &str = "
CREATE TABLE gc_store (
    name TEXT NOT NULL PRIMARY KEY,
    id {blob} NOT NULL,
    epoch BIGINT NOT NULL
);
CREATE TABLE gc_report (
    node {blob} NOT NULL PRIMARY KEY REFERENCES gc_node (id),
    at BIGINT NOT NULL,
    receipt TEXT,
    standing TEXT CHECK (standing IN ('believed', 'unknown_key', 'refused')),
    receipt_key BIGINT,
    details TEXT NOT NULL
) {clustered};
";

/// To whom a node belongs, and the nodes of a join token: `user` is a word of SQL. Empty for those from
/// before.
const VERSION_11: &str = "
ALTER TABLE gc_node ADD COLUMN user_name TEXT NOT NULL DEFAULT '';
ALTER TABLE gc_join_token ADD COLUMN user_name TEXT NOT NULL DEFAULT '';
CREATE INDEX gc_node_user ON gc_node (user_name, id);
";

/// `gc_network.silent_after`: after how many seconds without a request a node that has reported before is
/// shown as silent.
const VERSION_12: &str = "
ALTER TABLE gc_network ADD COLUMN silent_after BIGINT NOT NULL DEFAULT 300;
";

/// `gc_node.renew_before`: certificates of the node that begin before this time are due.
const VERSION_13: &str = "
ALTER TABLE gc_node ADD COLUMN renew_before BIGINT;
";

/// `give_back_seconds`: how long after the end of its last certificate a node that never reports is
/// released; never where it is absent.
const VERSION_14: &str = "
ALTER TABLE gc_network ADD COLUMN give_back_seconds BIGINT;
";

/// `gc_join_token.device`: the only device id under which a node may join.
const VERSION_15: &str = "
ALTER TABLE gc_join_token ADD COLUMN device TEXT;
";

/// `ephemeral_seconds`: after how long a silence a node that came with the join token is released; never
/// where it is absent.
const VERSION_16: &str = "
ALTER TABLE gc_join_token ADD COLUMN ephemeral_seconds BIGINT;
ALTER TABLE gc_node ADD COLUMN ephemeral_seconds BIGINT;
CREATE INDEX gc_node_ephemeral ON gc_node (network, id) WHERE ephemeral_seconds IS NOT NULL AND state = 'active';
";

/// Devices that have reserved addresses, by their own ids, and the node that each has, or will have when it
/// enrols.
const VERSION_17: &str = "
CREATE TABLE gc_device_reservation (
    device TEXT NOT NULL,
    network {blob} NOT NULL REFERENCES gc_network (id),
    node {blob} NOT NULL,
    PRIMARY KEY (device, network)
) {clustered};
CREATE UNIQUE INDEX gc_device_reservation_node ON gc_device_reservation (node);
";

/// * `gc_join_token.approval` is 1 where an operator has to approve each device that joins. An older
///   server would let them in without.
/// * `gc_pending_join` has the devices that wait. One with a revoked token, or whose key is a node's, is
///   over. `asks` is JSON.
const VERSION_18: &str = "
ALTER TABLE gc_join_token ADD COLUMN approval BIGINT NOT NULL DEFAULT 0;
CREATE TABLE gc_pending_join (
    id {blob} NOT NULL PRIMARY KEY,
    network {blob} NOT NULL REFERENCES gc_network (id),
    join_token {blob} NOT NULL,
    public_key {blob} NOT NULL,
    token_key BIGINT,
    token_hash {blob},
    state TEXT NOT NULL CHECK (state IN ('pending', 'approved', 'refused')),
    asks TEXT NOT NULL,
    source TEXT,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    decided_by TEXT
);
CREATE UNIQUE INDEX gc_pending_join_key ON gc_pending_join (join_token, public_key);
CREATE INDEX gc_pending_join_by_network ON gc_pending_join (network, id);
CREATE INDEX gc_pending_join_end ON gc_pending_join (expires_at);
";

/// `gc_operator_key.user_name`: to whom nodes belong that the key lets in, where it has another name since
/// it was made.
const VERSION_19: &str = "
ALTER TABLE gc_operator_key ADD COLUMN user_name TEXT;
";

/// * A network with a `deleting_at` is there for nobody; its rows are being removed. An older server would go on
///   with it. Its name is its id, so that another may have the former one.
/// * `gc_deleted_network` has the networks that were deleted, and `gc_deleted_credential` the hashes of their node
///   tokens and join tokens.
/// * `gc_former_certificate` has the fingerprints of their certificates that have not ended, in both forms, and of
///   what else they had blocked, by the fingerprint of each CA that may have signed them.
/// * `gc_former_name` has the names of what was deleted with a network or tenant, for the audit log.
/// * `gc_certificate` is looked up by network and by issuer whenever one of those is deleted.
const VERSION_20: &str = "
ALTER TABLE gc_network ADD COLUMN deleting_at BIGINT;
CREATE INDEX gc_network_deleting ON gc_network (id) WHERE deleting_at IS NOT NULL;

CREATE TABLE gc_deleted_network (
    id {blob} NOT NULL PRIMARY KEY,
    tenant {blob} NOT NULL,
    name TEXT NOT NULL,
    deleted_at BIGINT NOT NULL
);
CREATE INDEX gc_deleted_network_by_tenant ON gc_deleted_network (tenant, id);
CREATE INDEX gc_deleted_network_by_time ON gc_deleted_network (deleted_at);

CREATE TABLE gc_deleted_credential (
    hash {blob} NOT NULL PRIMARY KEY,
    hash_key BIGINT NOT NULL,
    network {blob} NOT NULL REFERENCES gc_deleted_network (id)
) {clustered};
CREATE INDEX gc_deleted_credential_by_network ON gc_deleted_credential (network);

CREATE TABLE gc_former_certificate (
    fingerprint {blob} NOT NULL,
    ca {blob} NOT NULL,
    not_after BIGINT NOT NULL,
    PRIMARY KEY (fingerprint, ca)
) {clustered};
CREATE INDEX gc_former_certificate_by_ca ON gc_former_certificate (ca, not_after);
CREATE INDEX gc_former_certificate_end ON gc_former_certificate (not_after);

CREATE TABLE gc_former_name (
    id {blob} NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    deleted_at BIGINT NOT NULL
) {clustered};
CREATE INDEX gc_former_name_by_time ON gc_former_name (deleted_at);

CREATE INDEX gc_certificate_by_network ON gc_certificate (network, id);
DROP INDEX gc_certificate_issuer;
CREATE INDEX gc_certificate_issuer ON gc_certificate (issuer, state, node);
CREATE INDEX gc_device_reservation_by_network ON gc_device_reservation (network);
";

/// * `gc_join_token.addresses`: the addresses that the one node of a join token gets, with a comma between
///   them. An older server would give it others.
/// * `gc_pending_join.reason`: why a device was refused, which it is told.
const VERSION_21: &str = "
ALTER TABLE gc_join_token ADD COLUMN addresses TEXT;
ALTER TABLE gc_pending_join ADD COLUMN reason TEXT;
";
