//! The addresses that a node is to have, as a request names them.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use nebula_alloc::Family;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::error::Fault;

/// An IPv4 address, an IPv6 address, or one of each: `10.1.0.7`, `10.1.0.7,fd00::7`. Of a family that is
/// left out a node gets any.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NodeAddresses {
    v4: Option<Ipv4Addr>,
    v6: Option<Ipv6Addr>,
}

impl NodeAddresses {
    /// The one of this family.
    #[must_use]
    pub fn of(&self, family: Family) -> Option<IpAddr> {
        match family {
            Family::V4 => self.v4.map(IpAddr::V4),
            Family::V6 => self.v6.map(IpAddr::V6),
        }
    }

    /// All, IPv4 first.
    pub fn iter(&self) -> impl Iterator<Item = IpAddr> + use<> {
        [self.v4.map(IpAddr::V4), self.v6.map(IpAddr::V6)].into_iter().flatten()
    }
}

impl FromStr for NodeAddresses {
    type Err = Fault;

    fn from_str(text: &str) -> Result<Self, Fault> {
        let mut addresses = Self { v4: None, v6: None };
        for part in text.split(',') {
            let is_second = match part.trim().parse() {
                Ok(IpAddr::V4(address)) => addresses.v4.replace(address).is_some(),
                Ok(IpAddr::V6(address)) if address.to_ipv4_mapped().is_some() => {
                    return Err(Fault::MappedIpv4);
                }
                Ok(IpAddr::V6(address)) => addresses.v6.replace(address).is_some(),
                Err(_) => return Err(Fault::NotNodeAddresses),
            };
            if is_second {
                return Err(Fault::NotNodeAddresses);
            }
        }
        Ok(addresses)
    }
}

impl fmt::Display for NodeAddresses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, address) in self.iter().enumerate() {
            let comma = if number == 0 { "" } else { "," };
            write!(f, "{comma}{address}")?;
        }
        Ok(())
    }
}

impl Serialize for NodeAddresses {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for NodeAddresses {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from)?.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_of_each_family_at_most() {
        for (text, read) in [
            ("10.1.0.7", Some("10.1.0.7")),
            ("fd00::7", Some("fd00::7")),
            ("FD00:0::7, 10.1.0.7", Some("10.1.0.7,fd00::7")),
            ("10.1.0.7,10.1.0.8", None),
            ("fd00::7,fd00::7", None),
            ("10.1.0.7,", None),
            ("", None),
            ("10.1.0.0/24", None),
            ("::ffff:10.1.0.7", None),
        ] {
            let parsed = text.parse::<NodeAddresses>().ok().map(|it| it.to_string());
            assert_eq!(parsed.as_deref(), read, "{text:?}");
        }
    }
}
