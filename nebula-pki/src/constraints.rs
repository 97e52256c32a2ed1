//! What a CA may sign, checked alike when issuing and when verifying.

use ipnet::IpNet;

use crate::Error;
use crate::certificate::{Details, go_time};

/// Applies the CA's limits to a certificate in the reference's order.
pub(crate) fn check(ca: &Details, details: &Details) -> Result<(), Error> {
    if go_time(details.not_after) > go_time(ca.not_after) {
        return Err(Error::ExpiresAfterCa {
            not_after: details.not_after,
            ca_not_after: ca.not_after,
        });
    }
    if go_time(details.not_before) < go_time(ca.not_before) {
        return Err(Error::ValidBeforeCa {
            not_before: details.not_before,
            ca_not_before: ca.not_before,
        });
    }
    if !ca.groups.is_empty()
        && let Some(group) = details.groups.iter().find(|group| !ca.groups.contains(group))
    {
        let group = String::from_utf8_lossy(group).into_owned();
        return Err(Error::GroupNotPermitted { group });
    }
    if let Some(network) = outside(&ca.networks, &details.networks) {
        return Err(Error::NetworkNotPermitted { network });
    }
    if let Some(network) = outside(&ca.unsafe_networks, &details.unsafe_networks) {
        return Err(Error::UnsafeNetworkNotPermitted { network });
    }
    Ok(())
}

/// The first network that is in none of the permitted ranges; none if there are no ranges.
fn outside(permitted: &[IpNet], networks: &[IpNet]) -> Option<IpNet> {
    if permitted.is_empty() {
        return None;
    }
    // `IpNet` compares within one family only, and ignores the host bits of both sides.
    networks.iter().copied().find(|network| !permitted.iter().any(|range| range.contains(network)))
}
