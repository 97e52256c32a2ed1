//! Networks in requests and answers.

use nebula_pki::Version;

use crate::Network;
use crate::api::v1::problem::Problem;
use crate::api::v1::values::{Prefix, Range, ReadOnly, read, read_each, read_some};
use crate::service::{NetworkCa, NetworkPatch, NetworkSettings, NewNetwork};
use crate::wire::{
    Curve, InitiatingVersion, Network as NetworkView, NetworkPatchBody, NewNetworkBody,
    SigningCa as SigningCaView, Timestamp, Versions,
};

impl From<NetworkCa> for SigningCaView {
    fn from(ca: NetworkCa) -> Self {
        Self {
            id: ca.id.to_string(),
            fingerprint: ca.fingerprint.to_string(),
            not_after: Timestamp(ca.not_after),
            standing: ca.standing.word().to_owned(),
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
            tenant: network.tenant.to_string(),
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
            give_back_seconds: network.give_back_seconds,
            silent_after_seconds: network.silent_after,
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

impl ReadOnly for NetworkPatchBody {
    const SHOWN: &'static [&'static str] = &["id", "tenant", "curve", "ca", "createdAt"];
    const MOVING: &'static [&'static str] = &["revision"];
}

fn prefixes(texts: Vec<String>) -> Result<Vec<ipnet::IpNet>, Problem> {
    let prefixes = read_each::<Prefix>("prefixes", texts)?;
    Ok(prefixes.into_iter().map(|Prefix(prefix)| prefix).collect())
}

pub(super) fn new_network(body: NewNetworkBody) -> Result<NewNetwork, Problem> {
    let usual = NetworkSettings::default();
    let pools = body.pools.map(|pools| read_each::<Range>("pools", pools)).transpose()?;
    Ok(NewNetwork {
        name: read("name", body.name)?,
        tenant: read_some("tenant", body.tenant)?,
        prefixes: prefixes(body.prefixes)?,
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
            give_back_seconds: body.give_back_seconds,
            silent_after: body.silent_after_seconds.unwrap_or(usual.silent_after),
            mtu: body.mtu.unwrap_or(usual.mtu),
            initiating_version: body.initiating_version.map(Into::into),
        },
        pools: pools.map(|pools| pools.into_iter().map(|Range(range)| range).collect()),
    })
}

pub(super) fn network_patch(body: NetworkPatchBody) -> Result<NetworkPatch, Problem> {
    Ok(NetworkPatch {
        name: read_some("name", body.name)?,
        prefixes: body.prefixes.map(prefixes).transpose()?,
        versions: body.versions.map(Into::into),
        lifetime: body.lifetime_seconds,
        hold_seconds: body.hold_seconds,
        hold_alone: body.hold_alone,
        silence_seconds: body.silence_seconds,
        give_back_seconds: body.give_back_seconds,
        silent_after: body.silent_after_seconds,
        mtu: body.mtu,
        initiating_version: body.initiating_version.map(|version| version.map(Into::into)),
    })
}
