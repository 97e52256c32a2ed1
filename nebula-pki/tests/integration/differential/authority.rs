//! The CAs under which hosts are made: both versions and curves, with and without limits, expired,
//! not yet valid, and with odd times.

use nebula_pki::key::SigningKey;
use nebula_pki::{CaParameters, Certificate, Curve, Issuer, Validity, Version};

use super::draft::{LAST, Y2000};
use crate::support::random::Seeded;

pub(crate) struct Authority {
    pub(crate) certificate: Certificate,
    pub(crate) key: SigningKey,
}

const YEAR: i64 = 31_556_952;

pub(crate) fn all(seed: u64) -> Vec<Authority> {
    let mut random = Seeded(seed);
    let mut authorities = Vec::new();
    for curve in [Curve::Curve25519, Curve::P256] {
        for version in [Version::V1, Version::V2] {
            for parameters in kinds(version) {
                let key = SigningKey::generate(curve, &mut random).unwrap();
                let bytes = key.to_bytes();
                let issuer = Issuer::self_signed(version, parameters, key).unwrap();
                let key = SigningKey::from_bytes(curve, &bytes).unwrap();
                authorities.push(Authority { certificate: issuer.certificate().clone(), key });
            }
        }
    }
    authorities
}

fn kinds(version: Version) -> Vec<CaParameters> {
    let ca = |name: &str, first, last| {
        let years = |years: i64| Y2000 + years * YEAR;
        let validity = Validity { not_before: years(first), not_after: years(last) };
        CaParameters::new(name, validity)
    };
    let families = |v4: &[&str], v6: &str| {
        let mut networks: Vec<_> = v4.iter().map(|network| network.parse().unwrap()).collect();
        if version == Version::V2 {
            networks.push(v6.parse().unwrap());
        }
        networks
    };
    let networks = families(&["10.128.0.0/9", "192.168.3.4/16"], "fd00:1::/32");
    let routes = families(&["172.16.0.0/12"], "fd00:2::7/32");
    // The first and the last time there are, as Go counts.
    let extreme = Validity { not_before: LAST + 1, not_after: LAST };
    vec![
        ca("plain", 0, 100),
        ca("plain too", 1, 90),
        ca("groups", 0, 100).groups(["ops", "staff", "a b"]),
        ca("networks", 0, 100).networks(networks.clone()),
        ca("routes", 0, 100).unsafe_networks(routes.clone()),
        ca("limited", 5, 60).groups(["ops"]).networks(networks).unsafe_networks(routes),
        ca("of all years", -1_999, 7_998),
        ca("expired", -10, 10),
        ca("not yet valid", 80, 100),
        CaParameters::new("extreme", extreme),
    ]
}
