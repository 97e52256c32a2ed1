use super::Release;
use Effect::{Reload, Restart};

/// What a change of a key asks for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Effect {
    /// A reload takes it over, or the release doesn't know the key.
    Reload,
    /// A reload ignores or refuses it, or does harm.
    Restart,
}

/// Keys of `nebula.yml` (those below them, too), and what a change of them asks for on releases before
/// 1.9, on 1.9 and 1.10, and later. Measured on 1.6.1, 1.9.3 and 1.11.0. Whatever is not here asks for
/// a restart.
const TABLE: [(&str, [Effect; 3]); 37] = [
    ("dns", [Restart, Restart, Reload]),
    ("firewall", [Reload, Reload, Reload]),
    ("lighthouse.advertise_addrs", [Reload, Reload, Reload]),
    ("lighthouse.calculated_remotes", [Reload, Reload, Reload]),
    ("lighthouse.dns", [Restart, Restart, Reload]),
    ("lighthouse.hosts", [Reload, Reload, Reload]),
    // Before 1.8 the reload hangs for ever.
    ("lighthouse.interval", [Restart, Reload, Reload]),
    ("lighthouse.local_allow_list", [Reload, Reload, Reload]),
    ("lighthouse.remote_allow_list", [Reload, Reload, Reload]),
    ("lighthouse.remote_allow_ranges", [Reload, Reload, Reload]),
    ("lighthouse.serve_dns", [Restart, Restart, Reload]),
    ("listen.read_buffer", [Reload, Reload, Reload]),
    ("listen.write_buffer", [Reload, Reload, Reload]),
    ("logging", [Reload, Reload, Reload]),
    ("pki.blocklist", [Reload, Reload, Reload]),
    ("pki.ca", [Reload, Reload, Reload]),
    ("pki.cert", [Reload, Reload, Reload]),
    ("pki.disconnect_invalid", [Restart, Reload, Reload]),
    ("pki.initiating_version", [Reload, Reload, Reload]),
    ("pki.key", [Reload, Reload, Reload]),
    ("preferred_ranges", [Restart, Reload, Reload]),
    ("punchy.delay", [Reload, Reload, Reload]),
    ("punchy.punch", [Restart, Restart, Reload]),
    ("punchy.respond", [Reload, Reload, Reload]),
    ("punchy.respond_delay", [Reload, Reload, Reload]),
    ("punchy.target_all_remotes", [Reload, Reload, Reload]),
    ("relay.am_relay", [Reload, Reload, Reload]),
    ("relay.relays", [Reload, Reload, Reload]),
    ("relay.use_relays", [Restart, Restart, Reload]),
    ("sshd", [Reload, Reload, Reload]),
    ("static_host_map", [Reload, Reload, Reload]),
    ("static_map", [Reload, Reload, Reload]),
    ("stats", [Restart, Restart, Reload]),
    ("tun.mtu", [Restart, Reload, Reload]),
    ("tun.routes", [Restart, Reload, Reload]),
    ("tun.unsafe_routes", [Restart, Reload, Reload]),
    ("tunnels", [Reload, Reload, Reload]),
];

/// Whether a reload takes a change of this key over.
pub(super) fn is_reloaded(key: &str, release: Release) -> bool {
    let column = match release {
        old if old < Release::new(1, 9, 0) => 0,
        old if old < Release::new(1, 11, 0) => 1,
        _ => 2,
    };
    let is_of = |row: &&(&str, _)| {
        key.strip_prefix(row.0).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    let row = TABLE.iter().find(is_of);
    row.and_then(|(_, effects)| effects.get(column)).is_some_and(|effect| *effect == Reload)
}
