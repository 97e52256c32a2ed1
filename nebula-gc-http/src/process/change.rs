//! Whether Nebula takes a change over by a reload: what was measured on 1.6.1, 1.9.3 and 1.11.0.

mod certificates;
mod table;

use std::fmt;

use nebula_bundle::config::LEAST_IPV6_MTU;

use super::{Configuration, Release};

/// What has to be done so that a running Nebula has a new configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Nothing: they are alike.
    Nothing,
    /// A reload (SIGHUP).
    Reload {
        /// Whether something under `firewall` differs, so that the reload ends with Nebula's line
        /// `New firewall has been installed`.
        is_marked: bool,
    },
    /// A restart: a reload would ignore or refuse it, or do harm.
    Restart(RestartReason),
}

/// What needs a restart.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum RestartReason {
    /// A key of `nebula.yml` that this release reads only at its start.
    Key(String),
    /// The MTU, beside unsafe routes, which a reload would drop, or with an IPv6 address, which a small
    /// MTU has removed.
    Mtu,
    /// The addresses in the certificates.
    Addresses,
    /// The curve of the certificates.
    Curve,
    /// Name, groups or unsafe networks of the certificate, which this release tells its peers only in
    /// a new tunnel.
    Peers,
    /// Unsafe networks of the certificate, which this release takes over only with a changed firewall.
    UnsafeNetworks,
}

/// What has to be done so that a Nebula of this release, which runs with the old configuration, has the
/// new one.
#[must_use]
pub fn change_between(old: &Configuration, new: &Configuration, release: Release) -> Change {
    let differing = || old.differing(new);
    let is_marked = differing().any(|key| key == "firewall" || key.starts_with("firewall."));
    let of_keys = differing().find(|key| !table::is_reloaded(key, release));
    if let Some(key) = of_keys {
        return Change::Restart(RestartReason::Key(key.to_owned()));
    }
    if old.tun.mtu != new.tun.mtu && needs_restart_for_mtu(old, new) {
        return Change::Restart(RestartReason::Mtu);
    }
    if let Some(reason) =
        certificates::reason(old.certificates(), new.certificates(), release, is_marked)
    {
        return Change::Restart(reason);
    }
    let is_same = differing().next().is_none()
        && old.has_same_cas(new)
        && old.certificates() == new.certificates();
    if is_same { Change::Nothing } else { Change::Reload { is_marked } }
}

/// A reload with another MTU drops all unsafe routes inside Nebula; and one below 1280 bytes makes the
/// kernel remove the IPv6 address, which a larger one then doesn't bring back.
fn needs_restart_for_mtu(old: &Configuration, new: &Configuration) -> bool {
    let is_small = |one: &Configuration| one.tun.mtu.is_some_and(|mtu| mtu < LEAST_IPV6_MTU.into());
    let mut networks =
        new.certificates().iter().flat_map(|one| one.unverified_details().networks());
    old.tun.has_unsafe_routes
        || new.tun.has_unsafe_routes
        || (is_small(old) || is_small(new)) && networks.any(|network| network.addr().is_ipv6())
}

impl fmt::Display for RestartReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(key) => f.write_str(key),
            Self::Mtu => f.write_str("tun.mtu"),
            Self::Addresses => f.write_str("addresses of the certificate"),
            Self::Curve => f.write_str("curve of the certificate"),
            Self::Peers => f.write_str("name, groups or unsafe networks of the certificate"),
            Self::UnsafeNetworks => f.write_str("unsafe networks of the certificate"),
        }
    }
}

#[cfg(test)]
mod tests {
    use nebula_pki::key::{AgreementKey, SigningKey};
    use nebula_pki::{
        CaParameters, Curve, HostParameters, Issuer, SystemRandom, Validity, Version,
    };

    use super::*;

    const RELEASES: [Release; 3] =
        [Release::new(1, 6, 1), Release::new(1, 9, 3), Release::new(1, 11, 0)];
    const NETWORKS: [&str; 1] = ["10.42.0.1/16"];

    /// A host's certificate of this version, with these networks, groups and unsafe networks.
    fn host(version: Version, networks: &[&str], groups: &[&str], routes: &[&str]) -> String {
        host_of(Curve::Curve25519, version, networks, groups, routes)
    }

    fn host_of(
        curve: Curve,
        version: Version,
        networks: &[&str],
        groups: &[&str],
        routes: &[&str],
    ) -> String {
        let validity = Validity { not_before: 1_800_000_000, not_after: 1_900_000_000 };
        let random = &mut SystemRandom;
        let key = SigningKey::generate(curve, random).unwrap();
        let issuer = Issuer::self_signed(version, CaParameters::new("ca", validity), key).unwrap();
        let networks = networks.iter().map(|net| net.parse().unwrap()).collect();
        let key = AgreementKey::generate(curve, random).unwrap().public_key();
        let host = HostParameters::new("host", networks, key, validity)
            .groups(groups.iter().copied())
            .unsafe_networks(routes.iter().map(|net| net.parse().unwrap()));
        issuer.issue(version, &host).unwrap().into_certificate().to_pem()
    }

    fn configuration(yaml: &str, certificates: &str) -> Configuration {
        Configuration::read(yaml, certificates, "ca").unwrap()
    }

    /// What the change asks for, by release: `-` nothing, `r` a reload, `m` one with a mark, `R` a restart.
    fn asked(old: &Configuration, new: &Configuration) -> String {
        let asked = RELEASES.map(|release| match change_between(old, new, release) {
            Change::Nothing => '-',
            Change::Reload { is_marked: false } => 'r',
            Change::Reload { is_marked: true } => 'm',
            Change::Restart(_) => 'R',
        });
        asked.iter().collect()
    }

    #[test]
    fn a_key_is_judged_by_release() {
        let host = host(Version::V1, &NETWORKS, &[], &[]);
        for (old, new, expected) in [
            ("{a: {b: 1}}", "a:\n  b: 1", "---"),
            ("{firewall: {x_generation: 1}}", "{firewall: {x_generation: 2}}", "mmm"),
            ("{pki: {blocklist: [a]}}", "{pki: {blocklist: [a, b]}}", "rrr"),
            ("{pki: {blocklist: [a]}}", "{pki: {}}", "rrr"),
            ("{lighthouse: {interval: 10}}", "{lighthouse: {interval: 60}}", "Rrr"),
            ("{lighthouse: {}}", "{lighthouse: {interval: 60}}", "Rrr"),
            ("{lighthouse: {am_lighthouse: true}}", "{lighthouse: {}}", "RRR"),
            ("{listen: {port: 4242}}", "{listen: {port: 4243}}", "RRR"),
            ("{punchy: {punch: true}}", "{punchy: {punch: false}}", "RRr"),
            ("{stats: {type: none}}", "{}", "RRr"),
            ("{static_host_map: {'10.42.0.1': ['a:1']}}", "{static_host_map: {}}", "rrr"),
            ("{tun: {mtu: 1300}}", "{tun: {mtu: 1400}}", "Rrr"),
            (
                "{tun: {mtu: 1300, unsafe_routes: [{route: 1, via: 2}]}}",
                "{tun: {mtu: 1400, unsafe_routes: [{route: 1, via: 2}]}}",
                "RRR",
            ),
            ("{cipher: aes}", "{cipher: chachapoly}", "RRR"),
            ("{firewalls: 1}", "{firewalls: 2}", "RRR"),
            ("{new_in_1_20: 1}", "{new_in_1_20: 2}", "RRR"),
        ] {
            let found = asked(&configuration(old, &host), &configuration(new, &host));
            assert_eq!(found, expected, "{old} -> {new}");
        }
    }

    #[test]
    fn a_certificate_is_judged_by_release() {
        let v1 = |networks: &[&str]| host(Version::V1, networks, &[], &[]);
        let v2 = |networks: &[&str]| host(Version::V2, networks, &[], &[]);
        let dual = ["10.42.0.1/16", "fd42::1/64"];
        for (case, old, new, expected) in [
            ("renewed", v1(&NETWORKS), v1(&NETWORKS), "rrr"),
            ("another address", v1(&NETWORKS), v1(&["10.42.0.2/16"]), "RRR"),
            ("another prefix", v1(&NETWORKS), v1(&["10.42.0.1/24"]), "RRR"),
            ("more addresses", v2(&NETWORKS), v2(&dual), "RRR"),
            ("version 2 beside", v1(&NETWORKS), v1(&NETWORKS) + &v2(&NETWORKS), "rrr"),
            ("IPv6 beside", v1(&NETWORKS), v1(&NETWORKS) + &v2(&dual), "rrR"),
            ("IPv6 away", v1(&NETWORKS) + &v2(&dual), v1(&NETWORKS), "rrR"),
            ("to version 2", v1(&NETWORKS), v2(&["10.42.0.2/16"]), "RRR"),
            ("group", v1(&NETWORKS), host(Version::V1, &NETWORKS, &["a"], &[]), "Rrr"),
            ("route", v1(&NETWORKS), host(Version::V1, &NETWORKS, &[], &["10.9.0.0/16"]), "RRr"),
            ("curve", v1(&NETWORKS), host_of(Curve::P256, Version::V1, &NETWORKS, &[], &[]), "RRR"),
        ] {
            let found = asked(&configuration("{}", &old), &configuration("{}", &new));
            assert_eq!(found, expected, "{case}");
        }
    }

    #[test]
    fn new_cas_are_reloaded() {
        let host = host(Version::V1, &NETWORKS, &[], &[]);
        let other = Configuration::read("{}", &host, "other").unwrap();
        assert_eq!(asked(&configuration("{}", &host), &other), "rrr");
    }

    #[test]
    fn a_small_mtu_and_an_ipv6_address_need_a_restart() {
        let host = host(Version::V2, &["fd42::1/64"], &[], &[]);
        let mtu = |mtu| configuration(&format!("{{tun: {{mtu: {mtu}}}}}"), &host);
        let release = Release::new(1, 11, 0);
        assert_eq!(
            change_between(&mtu(1300), &mtu(1400), release),
            Change::Reload { is_marked: false }
        );
        for (old, new) in [(1300, 1200), (1200, 1300)] {
            let change = change_between(&mtu(old), &mtu(new), release);
            assert_eq!(change, Change::Restart(RestartReason::Mtu), "{old} {new}");
        }
    }

    #[test]
    fn a_changed_firewall_takes_unsafe_networks_along() {
        let old = host(Version::V1, &NETWORKS, &[], &[]);
        let new = host(Version::V1, &NETWORKS, &[], &["10.9.0.0/16"]);
        let old = configuration("{firewall: {x_generation: 1}}", &old);
        let new = configuration("{firewall: {x_generation: 2}}", &new);
        assert_eq!(asked(&old, &new), "Rmm");
    }
}
