//! Address families, ranges, and the stored form of an address: 4 or 16 bytes, big-endian, so that
//! a database compares them in address order.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

/// An address family.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// The family of an address.
    #[must_use]
    pub fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => Self::V4,
            IpAddr::V6(_) => Self::V6,
        }
    }

    /// The stored form: 4 or 6.
    pub(crate) fn number(self) -> i64 {
        match self {
            Self::V4 => 4,
            Self::V6 => 6,
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        })
    }
}

/// Two addresses that are no range: of different families, or in the wrong order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{first} to {last} is not a range of addresses")]
pub struct InvalidRange {
    /// The first address.
    pub first: IpAddr,
    /// The last address.
    pub last: IpAddr,
}

/// Consecutive addresses of one family, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct AddressRange {
    first: IpAddr,
    last: IpAddr,
}

impl AddressRange {
    /// The range from `first` to `last`.
    ///
    /// # Errors
    ///
    /// [`InvalidRange`] when they are of different families or in the wrong order.
    pub fn new(first: IpAddr, last: IpAddr) -> Result<Self, InvalidRange> {
        if Family::of(first) == Family::of(last) && first <= last {
            Ok(Self { first, last })
        } else {
            Err(InvalidRange { first, last })
        }
    }

    /// The lowest address.
    #[must_use]
    pub fn first(&self) -> IpAddr {
        self.first
    }

    /// The highest address.
    #[must_use]
    pub fn last(&self) -> IpAddr {
        self.last
    }

    /// The family of all its addresses.
    #[must_use]
    pub fn family(&self) -> Family {
        Family::of(self.first)
    }

    /// How many addresses it has. The one range with 2¹²⁸, all of IPv6, counts one less.
    #[must_use]
    pub fn capacity(&self) -> u128 {
        (number(self.last) - number(self.first)).saturating_add(1)
    }

    /// The same modulo 2¹²⁸: 0 of all of IPv6.
    pub(crate) fn addresses(&self) -> u128 {
        number(self.last).wrapping_sub(number(self.first)).wrapping_add(1)
    }

    /// The addresses that both ranges have.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Option<Self> {
        Self::new(self.first.max(other.first), self.last.min(other.last))
            .ok()
            .filter(|_| self.family() == other.family())
    }

    /// Whether all addresses of `other` are among them.
    #[must_use]
    pub fn includes(&self, other: &Self) -> bool {
        self.intersection(other) == Some(*other)
    }

    /// What is left of the range without these, in order.
    pub(crate) fn without(&self, mut taken: Vec<Self>) -> Vec<Self> {
        taken.sort_unstable_by_key(|range| range.first);
        let mut left = Vec::new();
        let mut from = Some(self.first);
        for range in taken.iter().filter_map(|range| self.intersection(range)) {
            let Some(first) = from else { break };
            if let Some(last) = previous(range.first).filter(|last| *last >= first) {
                left.push(Self { first, last });
            }
            from = next(range.last).map(|after| after.max(first));
        }
        if let Some(first) = from.filter(|first| *first <= self.last) {
            left.push(Self { first, last: self.last });
        }
        left
    }

    /// One address.
    pub(crate) fn single(address: IpAddr) -> Self {
        Self { first: address, last: address }
    }

    /// Whether `address` is one of them.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        Family::of(address) == self.family() && self.first <= address && address <= self.last
    }
}

impl fmt::Display for AddressRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.first, self.last)
    }
}

/// How many addresses several ranges have together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Sum {
    /// No more than 2¹²⁸ − 1.
    pub(crate) most: u128,
    /// Modulo 2¹²⁸: differences of such sums are exact.
    pub(crate) wrapped: u128,
}

impl Sum {
    pub(crate) fn of(ranges: &[AddressRange]) -> Self {
        let mut sum = Self::default();
        ranges.iter().for_each(|range| sum.add(range));
        sum
    }

    pub(crate) fn add(&mut self, range: &AddressRange) {
        self.most = self.most.saturating_add(range.capacity());
        self.wrapped = self.wrapped.wrapping_add(range.addresses());
    }
}

/// What is left of each of these ranges without those of others; both are in order.
pub(crate) fn difference(ranges: &[AddressRange], mut taken: &[AddressRange]) -> Vec<AddressRange> {
    let mut left = Vec::new();
    for range in ranges {
        while let Some((first, rest)) = taken.split_first()
            && first.last < range.first
        {
            taken = rest;
        }
        let met = taken.iter().take_while(|taken| taken.first <= range.last).copied().collect();
        left.extend(range.without(met));
    }
    left
}

/// The addresses of a prefix that nodes may have: all but the first and the last of an IPv4 prefix
/// shorter than /31, all but the first of an IPv6 prefix shorter than /127, all of the others. Host
/// bits are ignored.
///
/// Nebula refuses `0.0.0.0`, `::` and IPv4-mapped addresses (`::ffff:0:0/96`): they are left out. Of an
/// IPv6 prefix that has mapped ones in its middle, the larger part beside them is usable. `None` where
/// nothing else is in the prefix.
///
/// ```
/// let range = nebula_alloc::usable("10.1.2.3/24".parse()?).ok_or("mapped")?;
/// assert_eq!(range.to_string(), "10.1.2.1-10.1.2.254");
/// assert_eq!(range.capacity(), 254);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use]
pub fn usable(prefix: IpNet) -> Option<AddressRange> {
    let (mut first, mut last) = (prefix.network(), prefix.broadcast());
    match prefix {
        IpNet::V4(v4) if v4.prefix_len() < 31 => {
            first = next(first)?;
            last = previous(last)?;
        }
        IpNet::V6(v6) if v6.prefix_len() < 127 => first = next(first)?,
        IpNet::V4(_) | IpNet::V6(_) => {}
    }
    let refused = refused().into_iter().collect();
    let parts = AddressRange::new(first, last).ok()?.without(refused);
    parts.into_iter().max_by_key(AddressRange::capacity)
}

/// What Nebula refuses as an address of a node.
fn refused() -> [AddressRange; 3] {
    let [zero, mapped, last] = [0, 0xffff_0000_0000, 0xffff_ffff_ffff].map(Ipv6Addr::from_bits);
    [
        AddressRange::single(Ipv4Addr::UNSPECIFIED.into()),
        AddressRange::single(zero.into()),
        AddressRange { first: mapped.into(), last: last.into() },
    ]
}

/// The stored form of an address.
#[derive(Clone, Copy)]
pub(crate) enum Octets {
    V4([u8; 4]),
    V6([u8; 16]),
}

impl Octets {
    pub(crate) fn as_slice(&self) -> &[u8] {
        match self {
            Self::V4(octets) => octets,
            Self::V6(octets) => octets,
        }
    }
}

pub(crate) fn octets(address: IpAddr) -> Octets {
    match address {
        IpAddr::V4(v4) => Octets::V4(v4.octets()),
        IpAddr::V6(v6) => Octets::V6(v6.octets()),
    }
}

/// The address of a stored form; `None` for a length that is neither 4 nor 16.
pub(crate) fn from_octets(bytes: &[u8]) -> Option<IpAddr> {
    if let Ok(v4) = <[u8; 4]>::try_from(bytes) {
        Some(IpAddr::V4(Ipv4Addr::from(v4)))
    } else {
        <[u8; 16]>::try_from(bytes).ok().map(|v6| IpAddr::V6(Ipv6Addr::from(v6)))
    }
}

/// The address as a number; comparable within one family only.
pub(crate) fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => u128::from(v4.to_bits()),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

/// The address `count` after this one, `None` past the family's end.
pub(crate) fn advance(address: IpAddr, count: u128) -> Option<IpAddr> {
    let sum = number(address).checked_add(count)?;
    match address {
        IpAddr::V4(_) => u32::try_from(sum).ok().map(|bits| IpAddr::V4(Ipv4Addr::from_bits(bits))),
        IpAddr::V6(_) => Some(IpAddr::V6(Ipv6Addr::from_bits(sum))),
    }
}

pub(crate) fn next(address: IpAddr) -> Option<IpAddr> {
    advance(address, 1)
}

pub(crate) fn previous(address: IpAddr) -> Option<IpAddr> {
    match address {
        IpAddr::V4(v4) => {
            v4.to_bits().checked_sub(1).map(|bits| IpAddr::V4(Ipv4Addr::from_bits(bits)))
        }
        IpAddr::V6(v6) => {
            v6.to_bits().checked_sub(1).map(|bits| IpAddr::V6(Ipv6Addr::from_bits(bits)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(prefix: &str) -> Option<String> {
        usable(prefix.parse().unwrap()).map(|range| range.to_string())
    }

    #[test]
    fn short_prefixes_lose_their_ends() {
        assert_eq!(shown("10.0.0.77/30").unwrap(), "10.0.0.77-10.0.0.78");
        assert_eq!(shown("10.0.0.0/31").unwrap(), "10.0.0.0-10.0.0.1");
        assert_eq!(shown("10.0.0.9/32").unwrap(), "10.0.0.9-10.0.0.9");
        assert_eq!(shown("0.0.0.0/0").unwrap(), "0.0.0.1-255.255.255.254");
        assert_eq!(shown("fd00::9/126").unwrap(), "fd00::9-fd00::b");
        assert_eq!(shown("fd00::8/127").unwrap(), "fd00::8-fd00::9");
        assert_eq!(shown("fd00::8/128").unwrap(), "fd00::8-fd00::8");
    }

    #[test]
    fn what_nebula_refuses_is_left_out() {
        for none in ["::ffff:10.0.0.0/120", "::ffff:0:0/96", "0.0.0.0/32", "::/128"] {
            assert_eq!(shown(none), None, "{none}");
        }
        assert_eq!(shown("0.0.0.0/31").unwrap(), "0.0.0.1-0.0.0.1");
        assert_eq!(shown("::/127").unwrap(), "::1-::1");
        // The mapped ones are its end, or in its middle.
        assert_eq!(shown("::/80").unwrap(), "::1-::fffe:ffff:ffff");
        assert_eq!(shown("::/79").unwrap(), "::1:0:0:0-::1:ffff:ffff:ffff");
        let most = "::1:0:0:0-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff";
        assert_eq!(shown("::/0").unwrap(), most);
    }

    #[test]
    fn capacity_does_not_overflow() {
        let all = usable("::/0".parse().unwrap()).unwrap();
        assert_eq!(all.capacity(), u128::MAX - 0xffff_ffff_ffff);
        let every = AddressRange::new("::".parse().unwrap(), all.last()).unwrap();
        assert_eq!(every.capacity(), u128::MAX);
        assert_eq!(usable("10.0.0.0/8".parse().unwrap()).unwrap().capacity(), (1 << 24) - 2);
    }

    #[test]
    fn a_range_has_one_family_and_one_direction() {
        let (v4, v6) = ("10.0.0.1".parse().unwrap(), "fd00::1".parse().unwrap());
        assert!(AddressRange::new(v4, v6).is_err());
        assert!(AddressRange::new(v6, v4).is_err());
        assert!(AddressRange::new(v4, "10.0.0.0".parse().unwrap()).is_err());
    }

    #[test]
    fn what_is_left_of_a_range() {
        let range = |first: u8, last: u8| {
            AddressRange::new(IpAddr::from([10, 0, 0, first]), IpAddr::from([10, 0, 0, last]))
                .unwrap()
        };
        let whole = range(10, 20);
        assert_eq!(whole.without(vec![]), [whole]);
        assert_eq!(whole.without(vec![range(20, 30), range(0, 10)]), [range(11, 19)]);
        let overlapping = vec![range(15, 17), range(12, 16), range(12, 12)];
        assert_eq!(whole.without(overlapping), [range(10, 11), range(18, 20)]);
        assert_eq!(whole.without(vec![range(0, 255)]), []);
        let all = AddressRange::new("::".parse().unwrap(), Ipv6Addr::from_bits(u128::MAX).into());
        assert_eq!(all.unwrap().without(vec![all.unwrap(), whole]), []);
    }

    #[test]
    fn what_is_left_of_several_ranges() {
        let range = |first: u8, last: u8| {
            AddressRange::new(IpAddr::from([10, 0, 0, first]), IpAddr::from([10, 0, 0, last]))
                .unwrap()
        };
        let ranges = [range(1, 5), range(7, 7), range(10, 20), range(22, 30)];
        let taken = [range(3, 11), range(13, 13), range(18, 24)];
        let left = [range(1, 2), range(12, 12), range(14, 17), range(25, 30)];
        assert_eq!(difference(&ranges, &taken), left);
        assert_eq!(difference(&ranges, &[]), ranges);
        assert_eq!(difference(&[], &taken), []);
    }

    #[test]
    fn stepping_stops_at_the_ends() {
        assert_eq!(next("255.255.255.255".parse().unwrap()), None);
        assert_eq!(previous("0.0.0.0".parse().unwrap()), None);
        assert_eq!(next("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff".parse().unwrap()), None);
        assert_eq!(previous("::".parse().unwrap()), None);
        assert_eq!(from_octets(&[1, 2, 3]), None);
    }
}
