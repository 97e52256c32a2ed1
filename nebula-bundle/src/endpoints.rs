//! All underlay addresses of one lighthouse.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;

use crate::error::EndpointDefect;
use crate::{Endpoint, Error, Host};

/// Where one lighthouse is reached on the underlay: 1 to [`MOST`](Self::MOST) different endpoints, which
/// nodes try all at once. As text they are separated by commas.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoints {
    first: Endpoint,
    rest: Vec<Endpoint>,
}

impl Endpoints {
    /// How many a lighthouse may have.
    pub const MOST: usize = 8;

    /// These, in this order.
    ///
    /// # Errors
    /// [`Error::EndpointCount`] for none or too many, [`Error::Endpoint`] for one that is given twice.
    pub fn new(endpoints: impl IntoIterator<Item = Endpoint>) -> Result<Self, Error> {
        let mut endpoints = endpoints.into_iter();
        let mut rest: Vec<Endpoint> = endpoints.by_ref().take(Self::MOST + 1).collect();
        if rest.is_empty() || rest.len() > Self::MOST {
            return Err(Error::EndpointCount { most: Self::MOST });
        }
        let first = rest.remove(0);
        let mut before = vec![&first];
        for endpoint in &rest {
            if before.contains(&endpoint) {
                let value = endpoint.to_string();
                return Err(Error::Endpoint { value, defect: EndpointDefect::Repeated });
            }
            before.push(endpoint);
        }
        Ok(Self { first, rest })
    }

    /// The first one, whose port the lighthouse itself listens on.
    #[must_use]
    pub fn first(&self) -> &Endpoint {
        &self.first
    }

    /// All, in their order.
    pub fn iter(&self) -> impl Iterator<Item = &Endpoint> {
        std::iter::once(&self.first).chain(&self.rest)
    }

    /// Refuses an address inside of networks of the overlay: packets to it would go through the tunnel
    /// that they are to make.
    ///
    /// # Errors
    /// [`Error::Endpoint`].
    pub fn check_outside(&self, overlay: &[IpNet]) -> Result<(), Error> {
        let is_inside = |endpoint: &Endpoint| {
            let address = match &endpoint.host {
                Host::V4(address) => IpAddr::from(*address),
                Host::V6(address) => IpAddr::from(*address).to_canonical(),
                Host::Name(_) => return false,
            };
            overlay.iter().any(|net| net.contains(&address))
        };
        match self.iter().find(|endpoint| is_inside(endpoint)) {
            Some(inside) => {
                let value = inside.to_string();
                Err(Error::Endpoint { value, defect: EndpointDefect::Overlay })
            }
            None => Ok(()),
        }
    }
}

impl From<Endpoint> for Endpoints {
    fn from(first: Endpoint) -> Self {
        Self { first, rest: vec![] }
    }
}

impl FromStr for Endpoints {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let endpoints: Result<Vec<Endpoint>, Error> =
            text.split(',').take(Self::MOST + 1).map(str::parse).collect();
        Self::new(endpoints?)
    }
}

impl fmt::Display for Endpoints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.first)?;
        self.rest.iter().try_for_each(|endpoint| write!(f, ",{endpoint}"))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failure here is a failed test")]

    use super::*;

    #[test]
    fn what_is_read_is_written_back() {
        for text in ["192.0.2.1:4242", "192.0.2.1:4242,[2001:db8::1]:4242,a.example:1"] {
            let endpoints: Endpoints = text.parse().unwrap();
            assert_eq!(endpoints.to_string(), text);
            assert_eq!(endpoints.iter().count(), text.split(',').count());
        }
    }

    #[test]
    fn none_too_many_and_the_same_twice_are_refused() {
        let many = |count| (0..count).map(|one| format!("192.0.2.1:{}", one + 1));
        let eight: Vec<String> = many(8).collect();
        assert!(eight.join(",").parse::<Endpoints>().is_ok());
        let nine: Vec<String> = many(9).collect();
        let refused = nine.join(",").parse::<Endpoints>();
        assert_eq!(refused, Err(Error::EndpointCount { most: 8 }));
        assert_eq!(Endpoints::new([]), Err(Error::EndpointCount { most: 8 }));
        for text in ["", ",", "a:1,", "a:1,A:1", "a:1, b:1"] {
            assert!(matches!(text.parse::<Endpoints>(), Err(Error::Endpoint { .. })), "{text}");
        }
    }

    #[test]
    fn none_is_inside_of_the_overlay() {
        let overlay = ["10.1.0.0/16".parse().unwrap(), "fd00::/64".parse().unwrap()];
        for text in ["10.2.0.1:1", "[fd00:0:0:1::1]:1", "a.example:1"] {
            assert_eq!(text.parse::<Endpoints>().unwrap().check_outside(&overlay), Ok(()));
        }
        for text in ["192.0.2.1:1,10.1.255.255:1", "[fd00::9]:1", "[::ffff:10.1.0.1]:1"] {
            let refused = text.parse::<Endpoints>().unwrap().check_outside(&overlay);
            assert!(matches!(refused, Err(Error::Endpoint { .. })), "{text}");
        }
    }
}
