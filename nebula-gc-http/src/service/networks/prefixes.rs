//! Which prefixes a network can have.

use ipnet::IpNet;
use nebula_alloc::{AddressRange, Family, usable};

use crate::Error;
use crate::error::{Fault, Field};
use crate::store::damaged;
use crate::store::network::{Network, Versions};

/// Addresses that no host on an overlay can have: unspecified, loopback, link-local, multicast,
/// reserved (IANA's registries of special-purpose addresses).
const RESERVED: [&str; 8] = [
    "0.0.0.0/8",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "224.0.0.0/3",
    "::/96",
    "::ffff:0:0/96",
    "fe80::/10",
    "ff00::/8",
];

/// The usable addresses of each prefix of a network.
///
/// # Errors
/// [`Error::Invalid`] where a network can't have these prefixes.
pub fn check_prefixes(prefixes: &[IpNet], versions: Versions) -> Result<Vec<AddressRange>, Error> {
    let refuse = |fault: Fault| Err(fault.of(Field::Prefixes));
    let count = |wanted| prefixes.iter().filter(|prefix| family(**prefix) == wanted).count();
    match (count(Family::V4), count(Family::V6)) {
        (0, 0) => return refuse(Fault::PrefixCount),
        (2.., _) | (_, 2..) => return refuse(Fault::PrefixPerFamily),
        (_, 1) if !versions.has_ipv6() => return refuse(Fault::Ipv6NeedsVersion2),
        (0, _) if versions == Versions::Both => return refuse(Fault::Version1NeedsIpv4),
        _ => {}
    }
    prefixes.iter().map(|prefix| check_prefix(*prefix)).collect()
}

/// The addresses of a prefix that nodes may have, if it is one for a network.
pub(in crate::service) fn check_prefix(prefix: IpNet) -> Result<AddressRange, Error> {
    let range = usable(prefix).ok_or_else(|| Fault::MappedIpv4.of(Field::Prefixes))?;
    for reserved in RESERVED {
        let reserved: IpNet = reserved.parse().map_err(|_| damaged("prefix"))?;
        if reserved.contains(&prefix) || prefix.contains(&reserved) {
            return Err(Fault::ReservedPrefix { reserved }.of(Field::Prefixes));
        }
    }
    Ok(range)
}

pub(super) fn family(prefix: IpNet) -> Family {
    Family::of(prefix.addr())
}

pub(super) fn prefixes(network: &Network) -> [Option<IpNet>; 2] {
    [network.prefix_v4, network.prefix_v6]
}
