//! Networks in requests and answers.

use nebula_pki::Version;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::api::v1::cas::CaBody;
use crate::api::v1::values::{Id, Prefix, Range, Shown, Timestamp, given, not_null};
use crate::service::{NetworkCa, NetworkPatch, NetworkSettings, NewNetwork};
use crate::{CaId, Network, NetworkRef, TenantId};

/// Which versions of certificates nodes have.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
pub(super) enum Versions {
    /// Version 1, which every release of Nebula reads; IPv4 only.
    #[serde(rename = "1")]
    One,
    /// Version 2, for Nebula 1.10 and later.
    #[serde(rename = "2")]
    Two,
    /// One of each.
    #[serde(rename = "both")]
    Both,
}

/// The version with which nodes that have certificates of both versions start handshakes.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
pub(super) enum InitiatingVersion {
    /// Version 1, which nodes of every release understand; IPv6 addresses don't answer.
    #[serde(rename = "1")]
    One,
    /// Version 2, once every node has a certificate of it.
    #[serde(rename = "2")]
    Two,
}

/// The curve of the network's keys.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
pub(super) enum Curve {
    /// X25519 and Ed25519.
    #[serde(rename = "25519")]
    Curve25519,
    /// NIST P-256.
    P256,
}

/// One overlay.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Network)]
pub(super) struct NetworkView {
    #[schema(value_type = Id)]
    id: String,
    /// Unique over all tenants; the dialect's `projectId`.
    name: String,
    #[schema(value_type = Id)]
    tenant: TenantId,
    /// At most one of each address family.
    prefixes: Vec<String>,
    versions: Versions,
    curve: Curve,
    /// How long nodes' certificates are valid.
    lifetime_seconds: i64,
    /// How long a released address stays in quarantine at least.
    hold_seconds: i64,
    /// Whether the hold time alone counts, regardless of certificates.
    hold_alone: bool,
    /// A node that has reported before is released after this time without a request; null: never.
    #[schema(required)]
    silence_seconds: Option<i64>,
    /// The MTU of nodes' devices, unless they have their own.
    mtu: u32,
    /// Null if nodes have certificates of one version only.
    #[schema(required)]
    initiating_version: Option<InitiatingVersion>,
    /// The CA that signs.
    ca: SigningCaView,
    /// Counts the changes of what other nodes' bundles hold.
    revision: i64,
    created_at: Timestamp,
}

/// The CA that signs for a network.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = SigningCa)]
struct SigningCaView {
    #[schema(value_type = Id)]
    id: CaId,
    /// SHA-256, in hexadecimal.
    fingerprint: String,
    not_after: Timestamp,
    /// `valid`, `not_yet_valid`, `ends_soon` (within 60 days, or in the last third of its lifetime
    /// if that is shorter) or `expired`: then nothing is issued until another CA is added.
    standing: &'static str,
}

impl From<NetworkCa> for SigningCaView {
    fn from(ca: NetworkCa) -> Self {
        Self {
            id: ca.id,
            fingerprint: ca.fingerprint.to_string(),
            not_after: Timestamp(ca.not_after),
            standing: ca.standing.word(),
        }
    }
}

impl From<(Network, NetworkCa)> for NetworkView {
    fn from((network, ca): (Network, NetworkCa)) -> Self {
        let begins_with =
            (network.versions == crate::Versions::Both).then(|| network.begins_with());
        let prefixes = [network.prefix_v4, network.prefix_v6].into_iter().flatten();
        Self {
            id: network.id.to_string(),
            name: network.name,
            tenant: network.tenant,
            prefixes: prefixes.map(|prefix| prefix.to_string()).collect(),
            versions: match network.versions {
                crate::Versions::V1 => Versions::One,
                crate::Versions::V2 => Versions::Two,
                crate::Versions::Both => Versions::Both,
            },
            curve: match network.curve {
                nebula_pki::Curve::P256 => Curve::P256,
                _ => Curve::Curve25519,
            },
            lifetime_seconds: network.lifetime,
            hold_seconds: network.hold_seconds,
            hold_alone: network.hold_alone,
            silence_seconds: network.silence_seconds,
            mtu: network.mtu,
            initiating_version: begins_with.map(|version| match version {
                Version::V1 => InitiatingVersion::One,
                _ => InitiatingVersion::Two,
            }),
            ca: ca.into(),
            revision: network.revision.0,
            created_at: Timestamp(network.created_at),
        }
    }
}

impl From<Versions> for crate::Versions {
    fn from(versions: Versions) -> Self {
        match versions {
            Versions::One => Self::V1,
            Versions::Two => Self::V2,
            Versions::Both => Self::Both,
        }
    }
}

impl From<InitiatingVersion> for Version {
    fn from(version: InitiatingVersion) -> Self {
        match version {
            InitiatingVersion::One => Self::V1,
            InitiatingVersion::Two => Self::V2,
        }
    }
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct NewNetworkBody {
    /// 1 to 128 characters, none of them a control character; unique over all tenants.
    #[schema(value_type = String, min_length = 1, max_length = 128)]
    pub(super) name: NetworkRef,
    /// The tenant that owns it. Default: the credential's own, or the default tenant.
    #[serde(default, deserialize_with = "not_null")]
    #[schema(value_type = Id, required = false)]
    tenant: Option<TenantId>,
    /// At most one of each address family.
    #[schema(value_type = Vec<String>, min_items = 1, max_items = 2)]
    prefixes: Vec<Prefix>,
    /// Versions of certificates. Default: 2; but 1 with an imported CA of version 1 and without an
    /// IPv6 prefix, so that its hosts can be imported.
    #[serde(default, deserialize_with = "not_null")]
    #[schema(value_type = Versions, required = false)]
    pub(super) versions: Option<Versions>,
    /// The curve of keys. Default: 25519.
    #[serde(default, deserialize_with = "not_null")]
    #[schema(value_type = Curve, required = false)]
    curve: Option<Curve>,
    /// Lifetime of nodes' certificates: 10 minutes to 10 years. Default: 14 days.
    #[serde(default, deserialize_with = "not_null")]
    #[schema(value_type = i64, required = false, minimum = 600, maximum = 315_360_000)]
    lifetime_seconds: Option<i64>,
    /// How long a released address stays in quarantine at least: up to 10 years. Default: a day.
    #[serde(default, deserialize_with = "not_null")]
    #[schema(value_type = i64, required = false, minimum = 0, maximum = 315_360_000)]
    hold_seconds: Option<i64>,
    /// Whether released addresses stay in quarantine for the hold time alone, regardless of
    /// certificates. Default: false.
    #[serde(default, deserialize_with = "not_null")]
    #[schema(value_type = bool, required = false)]
    hold_alone: Option<bool>,
    /// Release nodes after this time without a request: an hour to 10 years. Default: null, never.
    #[serde(default)]
    #[schema(minimum = 3600, maximum = 315_360_000)]
    silence_seconds: Option<i64>,
    /// The MTU of nodes' devices, in bytes. Default: 1300.
    #[serde(default, deserialize_with = "not_null")]
    #[schema(value_type = u32, required = false, minimum = 500, maximum = 65535)]
    mtu: Option<u32>,
    /// Only if `versions` is `both`. Default: 1.
    #[serde(default, deserialize_with = "not_null")]
    #[schema(value_type = InitiatingVersion, required = false)]
    initiating_version: Option<InitiatingVersion>,
    /// Where addresses come from, in the order of use: prefixes, ranges (`10.1.0.10-10.1.0.20`) or
    /// single addresses. Default: all of the prefixes.
    #[serde(default, deserialize_with = "not_null")]
    #[schema(value_type = Vec<String>, required = false, max_items = 64)]
    pools: Option<Vec<Range>>,
    /// Its CA. An imported CA or a signer determines the curve. Default: a new one with the
    /// network's name.
    #[serde(default, deserialize_with = "not_null")]
    #[schema(value_type = CaBody, required = false)]
    pub(super) ca: Option<CaBody>,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct NetworkPatchBody {
    /// 1 to 128 characters, none of them a control character; unique over all tenants.
    #[serde(default, deserialize_with = "not_null")]
    #[schema(value_type = String, required = false, min_length = 1, max_length = 128)]
    name: Option<NetworkRef>,
    /// The existing prefixes, or larger ones that contain them, which moves the revision and makes
    /// the nodes' certificates due for renewal; and one of a new address family, which gets a pool
    /// of all its addresses.
    #[serde(default, deserialize_with = "not_null")]
    #[schema(value_type = Vec<String>, required = false, min_items = 1, max_items = 2)]
    prefixes: Option<Vec<Prefix>>,
    /// From 1 to both or 2, or from both to 2; applies to nodes' next certificates.
    #[serde(default, deserialize_with = "not_null")]
    #[schema(value_type = Versions, required = false)]
    versions: Option<Versions>,
    /// Lifetime of nodes' certificates: 10 minutes to 10 years.
    #[serde(default, deserialize_with = "not_null")]
    #[schema(value_type = i64, required = false, minimum = 600, maximum = 315_360_000)]
    lifetime_seconds: Option<i64>,
    /// How long a released address stays in quarantine at least: up to 10 years.
    #[serde(default, deserialize_with = "not_null")]
    #[schema(value_type = i64, required = false, minimum = 0, maximum = 315_360_000)]
    hold_seconds: Option<i64>,
    /// Whether released addresses stay in quarantine for the hold time alone, regardless of
    /// certificates.
    #[serde(default, deserialize_with = "not_null")]
    #[schema(value_type = bool, required = false)]
    hold_alone: Option<bool>,
    /// Release nodes after this time without a request: an hour to 10 years; null: never.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<i64>, minimum = 3600, maximum = 315_360_000)]
    silence_seconds: Option<Option<i64>>,
    /// The MTU of nodes' devices, in bytes. Changing it moves the revision.
    #[serde(default, deserialize_with = "not_null")]
    #[schema(value_type = u32, required = false, minimum = 500, maximum = 65535)]
    mtu: Option<u32>,
    /// Only if `versions` is `both`; null: the default. Changing it moves the revision.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<InitiatingVersion>, required = false)]
    initiating_version: Option<Option<InitiatingVersion>>,
    // Read-only fields.
    #[serde(default)]
    #[schema(ignore)]
    id: Option<Value>,
    #[serde(default)]
    #[schema(ignore)]
    tenant: Option<Value>,
    #[serde(default)]
    #[schema(ignore)]
    curve: Option<Value>,
    #[serde(default)]
    #[schema(ignore)]
    ca: Option<Value>,
    #[serde(default)]
    #[schema(ignore)]
    revision: Option<Value>,
    #[serde(default)]
    #[schema(ignore)]
    created_at: Option<Value>,
}

impl NetworkPatchBody {
    pub(super) fn shown(&mut self) -> Shown {
        // The counter may have moved since.
        self.revision = None;
        Shown::new([
            ("id", self.id.take()),
            ("tenant", self.tenant.take()),
            ("curve", self.curve.take()),
            ("ca", self.ca.take()),
            ("createdAt", self.created_at.take()),
        ])
    }
}

impl NewNetworkBody {
    pub(super) fn has_ipv6(&self) -> bool {
        self.prefixes.iter().any(|Prefix(prefix)| prefix.addr().is_ipv6())
    }
}

impl From<NewNetworkBody> for NewNetwork {
    fn from(body: NewNetworkBody) -> Self {
        let usual = NetworkSettings::default();
        Self {
            name: body.name,
            tenant: body.tenant,
            prefixes: body.prefixes.into_iter().map(|Prefix(prefix)| prefix).collect(),
            versions: body.versions.unwrap_or(Versions::Two).into(),
            curve: match body.curve {
                Some(Curve::P256) => nebula_pki::Curve::P256,
                Some(Curve::Curve25519) | None => nebula_pki::Curve::Curve25519,
            },
            settings: NetworkSettings {
                lifetime: body.lifetime_seconds.unwrap_or(usual.lifetime),
                hold_seconds: body.hold_seconds.unwrap_or(usual.hold_seconds),
                hold_alone: body.hold_alone.unwrap_or(usual.hold_alone),
                silence_seconds: body.silence_seconds,
                mtu: body.mtu.unwrap_or(usual.mtu),
                initiating_version: body.initiating_version.map(Into::into),
            },
            pools: body.pools.map(|pools| pools.into_iter().map(|Range(range)| range).collect()),
        }
    }
}

impl From<NetworkPatchBody> for NetworkPatch {
    fn from(body: NetworkPatchBody) -> Self {
        let prefixes = |prefixes: Vec<Prefix>| prefixes.into_iter().map(|Prefix(prefix)| prefix);
        Self {
            name: body.name,
            prefixes: body.prefixes.map(|given| prefixes(given).collect()),
            versions: body.versions.map(Into::into),
            lifetime: body.lifetime_seconds,
            hold_seconds: body.hold_seconds,
            hold_alone: body.hold_alone,
            silence_seconds: body.silence_seconds,
            mtu: body.mtu,
            initiating_version: body.initiating_version.map(|version| version.map(Into::into)),
        }
    }
}
