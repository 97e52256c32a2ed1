//! What a CA may sign, checked alike when issuing and when verifying.

use ipnet::IpNet;

use crate::Error;
use crate::certificate::Details;
use crate::validity::go_time;

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
    if let Some(group) = foreign(&ca.groups, &details.groups) {
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

/// Up to so many comparisons nothing is sorted first. Beyond them it is: a certificate of version 1 has
/// no limit of size, and whoever sends one must not choose how long the check takes.
const MAX_COMPARISONS: usize = 1_024;

fn are_few(one: usize, other: usize) -> bool {
    one.saturating_mul(other) <= MAX_COMPARISONS
}

/// The first group that is not permitted, if there is one.
fn foreign<'a>(permitted: &[Vec<u8>], groups: &'a [Vec<u8>]) -> Option<&'a Vec<u8>> {
    if permitted.is_empty() {
        return None;
    }
    if are_few(permitted.len(), groups.len()) {
        return groups.iter().find(|group| !permitted.contains(group));
    }
    let mut sorted: Vec<_> = permitted.iter().collect();
    sorted.sort_unstable();
    groups.iter().find(|group| sorted.binary_search(group).is_err())
}

/// The first network outside the permitted ranges, if there is one; no ranges permit all.
fn outside(permitted: &[IpNet], networks: &[IpNet]) -> Option<IpNet> {
    if permitted.is_empty() {
        return None;
    }
    let mut networks = networks.iter().copied();
    // `IpNet` compares within one family only, and ignores the host bits of both sides.
    if are_few(permitted.len(), networks.len()) {
        return networks.find(|network| !permitted.iter().any(|range| range.contains(network)));
    }
    let mut ranges: Vec<_> = permitted.iter().map(IpNet::trunc).collect();
    ranges.sort_unstable();
    // Two ranges are apart, or one is in the other and sorted behind it: those left are apart.
    ranges.dedup_by(|range, before| before.contains(&*range));
    networks.find(|network| {
        let behind = ranges.partition_point(|range| range.network() <= network.network());
        let nearest = behind.checked_sub(1).and_then(|index| ranges.get(index));
        !nearest.is_some_and(|range| range.contains(network))
    })
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use ipnet::{Ipv4Net, Ipv6Net};
    use proptest::prelude::*;

    use super::*;

    fn networks() -> impl Strategy<Value = Vec<IpNet>> {
        // Few addresses, so that many are in each other.
        let v4 = (0_u32..256, 24_u8..=32)
            .prop_map(|(low, len)| Ipv4Net::new((0x0a00_0000 | low).into(), len).map(IpNet::V4));
        let v6 = (0_u128..256, 120_u8..=128)
            .prop_map(|(low, len)| Ipv6Net::new((0x0a00_0000 | low).into(), len).map(IpNet::V6));
        let one = prop_oneof![v4, v6].prop_filter_map("of a valid length", Result::ok);
        proptest::collection::vec(one, 1..80)
    }

    proptest! {
        #[test]
        fn many_networks_have_the_verdict_of_few(permitted in networks(), asked in networks()) {
            let one_by_one = asked.iter().copied().find(|one| outside(&permitted, &[*one]).is_some());
            let enough = MAX_COMPARISONS / permitted.len() / asked.len() + 1;
            prop_assert_eq!(outside(&permitted, &asked.repeat(enough)), one_by_one);
        }

        #[test]
        fn many_groups_have_the_verdict_of_few(
            permitted in proptest::collection::vec("[a-c]{0,2}", 1..40),
            asked in proptest::collection::vec("[a-c]{0,2}", 1..40),
        ) {
            let bytes = |groups: Vec<String>| -> Vec<Vec<u8>> {
                groups.into_iter().map(String::into_bytes).collect()
            };
            let (permitted, asked) = (bytes(permitted), bytes(asked));
            let one_by_one = asked.iter().find(|group| !permitted.contains(group));
            let enough = MAX_COMPARISONS / permitted.len() / asked.len() + 1;
            let repeated: Vec<_> = std::iter::repeat_n(asked.clone(), enough).flatten().collect();
            prop_assert_eq!(foreign(&permitted, &repeated), one_by_one);
        }
    }

    #[test]
    fn what_a_certificate_of_any_size_may_is_known_soon() {
        let many = 80_000_u32;
        let networks: Vec<_> = (0..many)
            .filter_map(|low| Ipv4Net::new((0x0a00_0000 + low).into(), 32).ok().map(IpNet::V4))
            .collect();
        let groups: Vec<_> = (0..many).map(|number| number.to_string().into_bytes()).collect();
        let begun = Instant::now();
        assert_eq!(outside(&networks, &networks), None);
        assert_eq!(foreign(&groups, &groups), None);
        // Compared one by one it takes minutes.
        assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    }
}
