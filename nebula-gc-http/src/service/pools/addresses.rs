//! A range of addresses as a request names it: first and last address, a prefix, or one address.

use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;
use nebula_alloc::{AddressRange, usable};

use crate::Error;
use crate::error::{Fault, Field};
use crate::store::network::Network;

/// Addresses as an operator writes them: `10.1.0.0/24`, `10.1.0.10-10.1.0.20` or `10.1.0.7`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Addresses {
    /// Those of a prefix that nodes may have.
    Prefix(IpNet),
    /// Exactly these.
    Range(AddressRange),
}

impl FromStr for Addresses {
    type Err = Fault;

    fn from_str(text: &str) -> Result<Self, Fault> {
        if text.contains('/') {
            let prefix: IpNet = text.parse().map_err(|_| Fault::NotAddresses)?;
            return match prefix.trunc() {
                whole if whole == prefix => Ok(Self::Prefix(prefix)),
                whole => Err(Fault::HostBits { prefix: whole }),
            };
        }
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let parse = |text: &str| text.parse::<IpAddr>().map_err(|_| Fault::NotAddresses);
        AddressRange::new(parse(first)?, parse(last)?).map(Self::Range).map_err(Fault::InvalidRange)
    }
}

impl Addresses {
    /// These of a network's addresses, all of which nodes may have.
    pub(in crate::service) fn of(self, network: &Network) -> Result<AddressRange, Error> {
        self.among([network.prefix_v4, network.prefix_v6].into_iter().flatten())
            .map_err(|fault| fault.of(Field::Range))
    }

    /// These addresses, where one of the prefixes has them.
    ///
    /// # Errors
    /// [`Fault::OutsideNetwork`].
    pub fn among(self, prefixes: impl Iterator<Item = IpNet>) -> Result<AddressRange, Fault> {
        let found = prefixes.filter_map(|prefix| match self {
            Self::Range(range) => {
                usable(prefix).filter(|usable| usable.includes(&range)).map(|_| range)
            }
            Self::Prefix(own) if prefix.contains(&own) => {
                let all = AddressRange::new(own.network(), own.broadcast()).ok()?;
                usable(prefix)?.intersection(&all)
            }
            Self::Prefix(_) => None,
        });
        found.last().ok_or(Fault::OutsideNetwork)
    }
}
