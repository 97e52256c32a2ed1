use std::net::{IpAddr, UdpSocket};

use ipnet::IpNet;
use nebula_bundle::config::LEAST_IPV6_MTU;
use rustix::net::{AddressFamily, SocketType, netdevice, socket};

use super::Configuration;

/// What would keep Nebula from starting, or from being supervised, that `nebula -test` doesn't find.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Obstacle {
    /// Its log would not say what is waited for.
    #[error(
        "logging.level: must be info, debug or trace; otherwise nebula doesn't log what it took over"
    )]
    LogLevel,
    /// The UDP port is taken.
    #[error("listen.port: UDP port {port} is in use by another program")]
    Port {
        /// The port.
        port: u16,
    },
    /// There is another device of this name.
    #[error("tun.dev: there is another network device named {device:?}")]
    Device {
        /// Its name.
        device: String,
    },
    /// The MTU is too small for the IPv6 address.
    #[error("tun.mtu: must be at least {LEAST_IPV6_MTU} with an IPv6 address, is {mtu}")]
    Mtu {
        /// The MTU, in bytes.
        mtu: u64,
    },
    /// An unsafe route leads into the overlay.
    #[error("tun.unsafe_routes: {route} is inside the overlay's own network {network}")]
    UnsafeRoute {
        /// Where it leads.
        route: IpNet,
        /// The network of the certificate.
        network: IpNet,
    },
}

/// What stands in the way of the new configuration, of a node that runs with the old one, where it does.
pub(super) fn obstacle(old: Option<&Configuration>, new: &Configuration) -> Option<Obstacle> {
    if new.start.is_quiet {
        return Some(Obstacle::LogLevel);
    }
    let details = new.certificates().iter().map(|one| one.unverified_details());
    let networks: Vec<IpNet> = details.flat_map(|details| details.networks()).copied().collect();
    if let Some(mtu) = new.tun.mtu.filter(|mtu| *mtu < LEAST_IPV6_MTU.into())
        && networks.iter().any(|network| network.addr().is_ipv6())
    {
        return Some(Obstacle::Mtu { mtu });
    }
    for route in &new.tun.unsafe_routes {
        if let Some(network) = networks.iter().find(|network| network.contains(route)) {
            return Some(Obstacle::UnsafeRoute { route: *route, network: network.trunc() });
        }
    }
    let old = old.map(|old| &old.start);
    let port =
        new.start.port.filter(|port| *port != 0 && old.is_none_or(|old| old.port != Some(*port)));
    if let Some(port) = port
        && is_taken(new.start.host, port)
    {
        return Some(Obstacle::Port { port });
    }
    let device =
        new.start.device.as_ref().filter(|_| old.is_none_or(|old| old.device != new.start.device));
    if let Some(device) = device
        && is_device(device)
    {
        return Some(Obstacle::Device { device: device.clone() });
    }
    None
}

/// Whether another program has the port. Other faults of an address are Nebula's to tell.
fn is_taken(host: Option<IpAddr>, port: u16) -> bool {
    let Some(host) = host else { return false };
    UdpSocket::bind((host, port)).is_err_and(|error| error.kind() == std::io::ErrorKind::AddrInUse)
}

fn is_device(name: &str) -> bool {
    let socket = socket(AddressFamily::INET, SocketType::DGRAM, None);
    socket.is_ok_and(|socket| netdevice::name_to_index(socket, name).is_ok())
}
