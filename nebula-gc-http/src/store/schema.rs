use nebula_alloc::store::migrate::{Component, Migration};

/// The control plane's tables, `gc_…`, beside those of [`nebula_alloc::COMPONENT`].
pub const COMPONENT: Component =
    Component { name: "gc", migrations: &[Migration { version: 1, oldest: 1, sql: VERSION_1 }] };

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
