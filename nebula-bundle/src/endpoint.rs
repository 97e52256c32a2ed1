//! Underlay addresses of lighthouses: host and port.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::num::NonZeroU16;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::Error;
use crate::error::EndpointDefect;

/// Where a lighthouse is reached on the underlay: `192.0.2.1:4242`, `[2001:db8::1]:4242` or
/// `lighthouse.example.com:4242`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Endpoint {
    /// The host part.
    pub host: Host,
    /// The UDP port; Nebula's usual one is 4242.
    pub port: NonZeroU16,
}

/// The host part of an [`Endpoint`].
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Host {
    /// An IPv4 address.
    V4(Ipv4Addr),
    /// An IPv6 address, written in brackets.
    V6(Ipv6Addr),
    /// A DNS name, which each node resolves for itself. Only [`Endpoint::from_str`] makes one, so
    /// it is a well-formed name of at most 253 bytes (RFC 1123).
    Name(HostName),
}

/// A DNS name as RFC 1123 allows it, in lower case.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostName(String);

impl FromStr for Endpoint {
    type Err = Error;

    fn from_str(value: &str) -> Result<Self, Error> {
        let refuse = |defect| Error::Endpoint { value: value.chars().take(300).collect(), defect };
        let (host, port) = value.rsplit_once(':').ok_or(refuse(EndpointDefect::NoPort))?;
        // `u16::from_str` takes a leading '+'.
        if !port.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(refuse(EndpointDefect::Port));
        }
        let port = port.parse().map_err(|_| refuse(EndpointDefect::Port))?;
        let host = if let Some(inner) = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')) {
            Host::V6(inner.parse().map_err(|_| refuse(EndpointDefect::NotIpv6))?)
        } else if host.contains(':') {
            return Err(refuse(EndpointDefect::NoBrackets));
        } else if let Ok(address) = host.parse() {
            Host::V4(address)
        } else {
            Host::Name(HostName::new(host).map_err(refuse)?)
        };
        let unusable = match &host {
            Host::V4(address) => is_unusable(*address),
            Host::V6(address) => {
                address.is_unspecified()
                    || address.is_multicast()
                    || address.is_loopback()
                    || address.is_unicast_link_local()
                    || address.to_ipv4_mapped().is_some_and(is_unusable)
            }
            // RFC 6761, section 6.3.
            Host::Name(name) => {
                name.as_str() == "localhost" || name.as_str().ends_with(".localhost")
            }
        };
        if unusable {
            return Err(refuse(EndpointDefect::Unreachable));
        }
        Ok(Self { host, port })
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Host::V4(address) => write!(f, "{address}:{}", self.port),
            Host::V6(address) => write!(f, "[{address}]:{}", self.port),
            Host::Name(name) => write!(f, "{}:{}", name.as_str(), self.port),
        }
    }
}

/// Whether no other machine can send to it, or all would send to themselves.
fn is_unusable(address: Ipv4Addr) -> bool {
    address.is_unspecified()
        || address.is_multicast()
        || address.is_broadcast()
        || address.is_loopback()
        || address.is_link_local()
}

impl Serialize for Endpoint {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Endpoint {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from)?.parse().map_err(de::Error::custom)
    }
}

impl HostName {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn new(name: &str) -> Result<Self, EndpointDefect> {
        if name.is_empty() || name.len() > 253 {
            return Err(EndpointDefect::NameLength);
        }
        if !name.split('.').all(is_label) {
            return Err(EndpointDefect::Name);
        }
        // A name whose last label is a number would be read as an IPv4 address by some resolvers.
        if name
            .rsplit('.')
            .next()
            .is_some_and(|last| last.bytes().all(|byte| byte.is_ascii_digit()))
        {
            return Err(EndpointDefect::NumericName);
        }
        Ok(Self(name.to_ascii_lowercase()))
    }
}

/// Whether RFC 1123 allows this between two dots.
fn is_label(label: &str) -> bool {
    (1..=63).contains(&label.len())
        && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        && !label.starts_with('-')
        && !label.ends_with('-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_is_written_back() {
        for text in ["192.0.2.1:4242", "[2001:db8::1]:1", "lighthouse.example.com:65535", "a:7"] {
            assert_eq!(text.parse::<Endpoint>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_no_node_could_send_to_is_refused() {
        for text in [
            "",
            ":",
            "192.0.2.1",
            "192.0.2.1:",
            "192.0.2.1:0",
            "192.0.2.1:65536",
            "192.0.2.1:+1",
            ":4242",
            "2001:db8::1:4242",
            "[2001:db8::1]",
            "[::]:1",
            "0.0.0.0:1",
            "255.255.255.255:1",
            "224.0.0.1:1",
            "ff02::1:1",
            "192.0.2.300:1",
            "a b:1",
            "-a:1",
            "a..b:1",
            "a\n:1",
            "1.2.3:4",
            "[::1%eth0]:4",
            "127.0.0.1:4242",
            "127.9.9.9:4242",
            "[::1]:4242",
            "[::ffff:127.0.0.1]:4242",
            "169.254.1.1:4242",
            "[fe80::1]:4242",
            "localhost:4242",
            "a.LOCALHOST:4242",
        ] {
            assert!(matches!(text.parse::<Endpoint>(), Err(Error::Endpoint { .. })), "{text:?}");
        }
    }
}
