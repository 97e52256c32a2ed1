//! The settings of a network that an operator decides and may change, with their defaults and limits.

use nebula_bundle::Tun;
use nebula_bundle::config::LEAST_IPV6_MTU;
use nebula_pki::Version;

use crate::Error;
use crate::error::{Fault, Field};
use crate::service::pace::Pace;
use crate::store::network::{Network, Versions};

/// What a network's operator decides, and may change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetworkSettings {
    /// How long the certificates of native nodes are valid, in seconds: 10 minutes to 10 years.
    pub lifetime: i64,
    /// How long a released address is kept, at least, in seconds: up to 10 years.
    pub hold_seconds: i64,
    /// Whether it is kept for that time alone, whatever its certificates. Then another node can get
    /// the address while the former one's certificate is still valid.
    pub hold_alone: bool,
    /// After how long without any request a node that has reported before is released, in seconds: an
    /// hour to 10 years. Never where it is left out.
    pub silence_seconds: Option<i64>,
    /// How long after the end of its last certificate a node that has no token of its own, or never
    /// reports, is released, in seconds: an hour to 10 years. Never where it is left out.
    pub give_back_seconds: Option<i64>,
    /// After how long without any request a node that has reported before is shown as silent, in
    /// seconds: 3 minutes to 10 years. Nodes ask at least once a minute, which is stored once a minute.
    pub silent_after: i64,
    /// The MTU of nodes' devices, in bytes, where they have none of their own.
    pub mtu: u32,
    /// The version in which nodes with certificates of both versions begin handshakes; 1 where left
    /// out. IPv6 addresses answer with 2 only, which nodes that read version 1 alone don't understand.
    /// Only for a network of both versions.
    pub initiating_version: Option<Version>,
}

/// How long a released address is kept from others, at least, in seconds: a day.
const HOLD_SECONDS: i64 = 86_400;
/// How long a native node's certificate is valid, in seconds: 14 days.
const NODE_LIFETIME: i64 = 14 * 86_400;
/// The MTU of nodes' devices, in bytes: Nebula's own default.
const MTU: u32 = 1300;
const TEN_YEARS: i64 = 10 * 365 * 86_400;
const HOUR: i64 = 3600;
/// After how long without a request a node is shown as silent, in seconds: 5 minutes.
const SILENT_AFTER: i64 = 300;
/// The shortest such time, in seconds. A poll lasts a minute at most, and what is stored of a node may
/// be a minute older.
const LEAST_SILENT_AFTER: i64 = 180;

impl Default for NetworkSettings {
    fn default() -> Self {
        Self {
            lifetime: NODE_LIFETIME,
            hold_seconds: HOLD_SECONDS,
            hold_alone: false,
            silence_seconds: None,
            give_back_seconds: None,
            silent_after: SILENT_AFTER,
            mtu: MTU,
            initiating_version: None,
        }
    }
}

impl NetworkSettings {
    pub(super) fn of(network: &Network) -> Self {
        Self {
            lifetime: network.lifetime,
            hold_seconds: network.hold_seconds,
            hold_alone: network.hold_alone,
            silence_seconds: network.silence_seconds,
            give_back_seconds: network.give_back_seconds,
            silent_after: network.silent_after,
            mtu: network.mtu,
            initiating_version: network.initiating_version,
        }
    }

    pub(super) fn apply(self, network: Network) -> Network {
        let Self {
            lifetime,
            hold_seconds,
            hold_alone,
            silence_seconds,
            give_back_seconds,
            silent_after,
            mtu,
            initiating_version,
        } = self;
        Network {
            lifetime,
            hold_seconds,
            hold_alone,
            silence_seconds,
            give_back_seconds,
            silent_after,
            mtu,
            initiating_version,
            ..network
        }
    }

    /// Refuses what is out of its range.
    pub(super) fn check(&self, pace: Pace) -> Result<(), Error> {
        within(Field::LifetimeSeconds, self.lifetime, pace.least_lifetime)?;
        within(Field::HoldSeconds, self.hold_seconds, 0)?;
        if let Some(silence) = self.silence_seconds {
            within(Field::SilenceSeconds, silence, HOUR)?;
        }
        if let Some(give_back) = self.give_back_seconds {
            within(Field::GiveBackSeconds, give_back, HOUR)?;
        }
        within(Field::SilentAfterSeconds, self.silent_after, LEAST_SILENT_AFTER)?;
        let tun = Tun { mtu: self.mtu, ..Tun::default() };
        tun.check().map_err(|error| Fault::from(error).of(Field::Mtu))
    }
}

/// Refuses an initiating version where nodes have nothing to choose from.
pub(super) fn check_initiating(asked: Option<Version>, versions: Versions) -> Result<(), Error> {
    if asked.is_none() || versions == Versions::Both {
        return Ok(());
    }
    Err(Fault::OnlyForBothVersions.of(Field::InitiatingVersion))
}

/// Refuses an MTU with which no device could be made where there is IPv6.
pub(in crate::service) fn check_mtu(mtu: u32, has_ipv6: bool) -> Result<(), Error> {
    if has_ipv6 && mtu < LEAST_IPV6_MTU {
        return Err(Fault::MtuBelowIpv6 { least: LEAST_IPV6_MTU }.of(Field::Mtu));
    }
    Ok(())
}

/// Refuses a time that is shorter than this many seconds, or longer than ten years.
pub(in crate::service) fn within(field: Field, seconds: i64, least: i64) -> Result<(), Error> {
    if (least..=TEN_YEARS).contains(&seconds) {
        return Ok(());
    }
    Err(Fault::Seconds { least, most: TEN_YEARS }.of(field))
}
