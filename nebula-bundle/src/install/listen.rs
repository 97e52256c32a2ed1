//! Which sockets a machine has.

use std::net::{Ipv6Addr, UdpSocket};

/// The address to listen on that this machine asks for as
/// [`InstallOptions::listen_host`](crate::InstallOptions): none, which is every address of both
/// families, or every one of IPv4 where the system has no IPv6 sockets and Nebula would not start. Nebula
/// 1.6 opens an IPv6 socket whatever the address, and does not start there at all.
#[must_use]
pub fn listen_host() -> Option<&'static str> {
    match UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0)) {
        Ok(_) => None,
        Err(_) => Some("0.0.0.0"),
    }
}
