//! What holds for every input: nothing panics, and what goes out comes back.

use std::net::{Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use nebula_pki::Version::{V1, V2};
use nebula_pki::key::{AgreementKey, PublicKey, SigningKey};
use nebula_pki::{
    Blocklist, CaParameters, CaPool, Certificate, Curve, Error, HostParameters, Issuer, Validity,
    Version,
};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::support::random::Seeded;

proptest! {
    #[test]
    fn what_is_issued_is_verified(host in host(), ca_version in version(), seed: u64) {
        let (version, host) = host;
        let key = SigningKey::generate(Curve::Curve25519, &mut Seeded(seed)).unwrap();
        let validity = Validity { not_before: -1, not_after: i64::from(u32::MAX) };
        let issuer = Issuer::self_signed(ca_version, CaParameters::new("ca", validity), key).unwrap();
        let issued = issuer.issue(version, &host).unwrap().into_certificate();

        let parsed = Certificate::from_pem(issued.to_pem().as_bytes()).unwrap();
        prop_assert_eq!(&parsed, &issued);
        prop_assert_eq!(parsed.to_bytes(), issued.to_bytes());
        prop_assert_eq!(parsed.unverified_details(), issued.unverified_details());
        let mut pool = CaPool::new();
        pool.add(issuer.certificate().clone()).unwrap();
        let at = parsed.unverified_details().not_before();
        let verified = pool.verify(&parsed, at, &Blocklist::new()).unwrap();
        prop_assert_eq!(verified.issuer(), issuer.certificate().fingerprint());
    }

    #[test]
    fn a_changed_byte_is_never_verified_as_the_same(host in host(), at: prop::sample::Index, xor in 1u8..) {
        let (version, host) = host;
        let issuer = issuer();
        let issued = issuer.issue(version, &host).unwrap().into_certificate();
        let mut bytes = issued.to_bytes();
        *at.get_mut(&mut bytes) ^= xor;
        let mut pool = CaPool::new();
        pool.add(issuer.certificate().clone()).unwrap();
        if let Ok(changed) = Certificate::from_bytes(version, &bytes)
            && pool.verify(&changed, issued.unverified_details().not_before(), &Blocklist::new()).is_ok()
        {
            // Version 1 is judged on its canonical form, which may be what it was.
            prop_assert_eq!(changed.to_bytes(), issued.to_bytes());
        }
    }

    #[test]
    fn another_ca_never_verifies(host in host(), seed in 2u64..) {
        let (version, host) = host;
        let issued = issuer().issue(version, &host).unwrap().into_certificate();
        let validity = Validity { not_before: -1, not_after: i64::from(u32::MAX) };
        let key = SigningKey::generate(Curve::Curve25519, &mut Seeded(seed)).unwrap();
        let stranger = Issuer::self_signed(V2, CaParameters::new("ca", validity), key).unwrap();
        let mut pool = CaPool::new();
        pool.add(stranger.certificate().clone()).unwrap();
        let at = issued.unverified_details().not_before();
        let verdict = pool.verify(&issued, at, &Blocklist::new());
        let issuer = issuer().certificate().fingerprint().to_string();
        prop_assert_eq!(verdict.unwrap_err(), Error::UnknownCa { issuer });
    }

    #[test]
    fn parsing_never_panics(bytes in vec(any::<u8>(), 0..300)) {
        let _ = Certificate::from_bytes(V1, &bytes);
        let _ = Certificate::from_bytes(V2, &bytes);
        let _ = Certificate::from_pem_many(&bytes);
        let _ = CaPool::from_pem(&bytes);
        let _ = SigningKey::from_bytes(Curve::Curve25519, &bytes);
        let _ = PublicKey::from_raw(Curve::Curve25519, &bytes);
    }

    #[test]
    fn what_parses_is_written_canonically(host in host(), edits in vec(edit(), 1..4)) {
        let (version, host) = host;
        let mut bytes = issuer().issue(version, &host).unwrap().into_certificate().to_bytes();
        for (at, remove, insert) in edits {
            let at = at.index(bytes.len());
            let end = (at + remove).min(bytes.len());
            bytes.splice(at..end, insert);
            if bytes.is_empty() { return Ok(()) }
        }
        if let Ok(parsed) = Certificate::from_bytes(version, &bytes) {
            let written = parsed.to_bytes();
            let again = Certificate::from_bytes(version, &written).unwrap();
            prop_assert_eq!(again.to_bytes(), written);
            prop_assert_eq!(again.fingerprint(), parsed.fingerprint());
            prop_assert_eq!(again.unverified_details(), parsed.unverified_details());
        }
    }

    #[test]
    fn text_around_pem_changes_nothing(before in "([a-z ]{0,20}\n){0,3}", after in "[ \n]{0,5}") {
        let issuer = issuer();
        let text = format!("{before}{}{after}", issuer.certificate().to_pem());
        prop_assert_eq!(&Certificate::from_pem(text.as_bytes()).unwrap(), issuer.certificate());
        prop_assert_eq!(Certificate::from_pem_many(text.as_bytes()).unwrap().len(), 1);
        prop_assert_eq!(CaPool::from_pem(text.as_bytes()).unwrap().certificates().len(), 1);
    }
}

fn issuer() -> Issuer<SigningKey> {
    let validity = Validity { not_before: -1, not_after: i64::from(u32::MAX) };
    let key = SigningKey::generate(Curve::Curve25519, &mut Seeded(1)).unwrap();
    Issuer::self_signed(V2, CaParameters::new("ca", validity), key).unwrap()
}

fn version() -> impl Strategy<Value = Version> {
    prop_oneof![Just(V1), Just(V2)]
}

/// What to cut out at some place, and what to put there.
fn edit() -> impl Strategy<Value = (prop::sample::Index, usize, Vec<u8>)> {
    (any::<prop::sample::Index>(), 0..4usize, vec(any::<u8>(), 0..4))
}

fn host() -> impl Strategy<Value = (Version, HostParameters)> {
    version().prop_flat_map(|version| {
        let networks = match version {
            V1 => vec(v4(), 1..=1).boxed(),
            _ => (vec(v4(), 1..4), vec(v6(), 1..4))
                .prop_map(|(v4, v6)| distinct([v6, v4].concat()))
                .boxed(),
        };
        let routes = match version {
            V1 => vec(v4(), 0..3).boxed(),
            _ => vec(prop_oneof![v4(), v6()], 0..4).prop_map(distinct).boxed(),
        };
        let times = (0..i64::from(u32::MAX), 0..i64::from(u32::MAX));
        (".{1,60}", vec(".{1,20}", 0..5), networks, routes, times, any::<u64>()).prop_map(
            move |(name, groups, networks, routes, (one, other), seed)| {
                let key = AgreementKey::generate(Curve::Curve25519, &mut Seeded(seed))
                    .unwrap()
                    .public_key();
                let validity = Validity { not_before: one.min(other), not_after: one.max(other) };
                let host = HostParameters::new(name, networks, key, validity);
                (version, host.groups(groups).unsafe_networks(routes))
            },
        )
    })
}

fn v4() -> impl Strategy<Value = IpNet> {
    (1u32.., 0u8..=32)
        .prop_map(|(address, len)| Ipv4Net::new(Ipv4Addr::from_bits(address), len).unwrap().into())
}

fn v6() -> impl Strategy<Value = IpNet> {
    // From 2^64 on, no address is zero or an IPv4 address in disguise.
    (1u128 << 64.., 0u8..=128)
        .prop_map(|(address, len)| Ipv6Net::new(Ipv6Addr::from_bits(address), len).unwrap().into())
}

fn distinct(mut networks: Vec<IpNet>) -> Vec<IpNet> {
    networks.sort();
    networks.dedup();
    networks
}
