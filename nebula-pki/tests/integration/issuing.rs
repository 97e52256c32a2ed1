//! Is nothing issued that must not be, and can the signature come from elsewhere?

use std::time::Duration;

use ipnet::IpNet;
use nebula_pki::Version::{V1, V2};
use nebula_pki::key::{AgreementKey, PublicKey, SigningKey};
use nebula_pki::{
    Blocklist, CaParameters, CaPool, Certificate, Curve, Error, HostParameters, Issuer,
    MAX_ENCODED_LEN, NetworkList, PairDefect, Signer, Validity, Version,
};

use crate::support::random::Seeded;

const NOW: i64 = 1_800_000_000;
const CA_VALIDITY: Validity = Validity { not_before: NOW, not_after: NOW + 1_000 };
const VALIDITY: Validity = Validity { not_before: NOW + 10, not_after: NOW + 100 };

#[test]
fn times_outside_of_the_ca_are_refused() {
    let late = Validity { not_after: NOW + 1_001, ..VALIDITY };
    let early = Validity { not_before: NOW - 1, ..VALIDITY };
    let backwards = Validity { not_before: NOW + 10, not_after: NOW + 9 };
    for version in [V1, V2] {
        let issue = |validity| issuer(version).issue(version, &host_at(validity));
        assert_eq!(
            issue(late),
            Err(Error::ExpiresAfterCa { not_after: NOW + 1_001, ca_not_after: NOW + 1_000 })
        );
        assert_eq!(
            issue(early),
            Err(Error::ValidBeforeCa { not_before: NOW - 1, ca_not_before: NOW })
        );
        assert_eq!(
            issue(backwards),
            Err(Error::InvalidValidity { not_before: NOW + 10, not_after: NOW + 9 })
        );
        issue(CA_VALIDITY).unwrap();
        issue(Validity { not_before: NOW, not_after: NOW }).unwrap();
    }
}

#[test]
fn groups_outside_of_the_ca_are_refused() {
    let issuer = limited(CaParameters::new("ca", CA_VALIDITY).groups(["a", "b"]));
    issuer.issue(V2, &host()).unwrap();
    issuer.issue(V2, &host().groups(["b", "a"])).unwrap();
    for group in ["c", "A", "a "] {
        let refused = issuer.issue(V2, &host().groups(["a", group]));
        assert_eq!(refused, Err(Error::GroupNotPermitted { group: group.to_owned() }));
    }
}

#[test]
fn networks_outside_of_the_ca_are_refused() {
    let limits = nets(&["10.1.9.9/16", "fd00::/16"]);
    let issuer = limited(CaParameters::new("ca", CA_VALIDITY).networks(limits));
    for inside in ["10.1.0.1/16", "10.1.255.255/32", "fd00::1/64"] {
        issuer.issue(V2, &host_in(&[inside])).unwrap();
    }
    for outside in ["10.2.0.1/16", "10.1.0.1/15", "fd01::1/64", "fd00::1/15"] {
        let refused = issuer.issue(V2, &host_in(&["10.1.0.1/16", outside]));
        assert_eq!(refused, Err(Error::NetworkNotPermitted { network: net(outside) }));
    }
}

#[test]
fn unsafe_networks_outside_of_the_ca_are_refused() {
    let limits = nets(&["192.168.0.0/16"]);
    let issuer = limited(CaParameters::new("ca", CA_VALIDITY).unsafe_networks(limits));
    issuer.issue(V2, &host().unsafe_networks(nets(&["192.168.7.0/24"]))).unwrap();
    for outside in ["192.168.0.0/15", "0.0.0.0/0", "172.16.0.0/12"] {
        let refused = issuer.issue(V2, &host().unsafe_networks(nets(&[outside])));
        assert_eq!(refused, Err(Error::UnsafeNetworkNotPermitted { network: net(outside) }));
    }
}

#[test]
fn limits_are_checked_in_the_reference_s_order() {
    let limits = CaParameters::new("ca", CA_VALIDITY)
        .groups(["a"])
        .networks(nets(&["10.0.0.0/8"]))
        .unsafe_networks(nets(&["192.168.0.0/16"]));
    let issuer = limited(limits);
    let all = |validity: Validity, groups: &[&str], networks: &[&str]| {
        let host = HostParameters::new("host", nets(networks), public_key(), validity);
        let host = host.groups(groups.iter().copied()).unsafe_networks(nets(&["8.0.0.0/8"]));
        issuer.issue(V2, &host).unwrap_err()
    };
    let outside = Validity { not_before: NOW - 1, not_after: NOW + 2_000 };
    let early = Validity { not_before: NOW - 1, ..VALIDITY };
    let elsewhere: &[&str] = &["172.16.0.1/16"];
    assert!(matches!(all(outside, &["z"], elsewhere), Error::ExpiresAfterCa { .. }));
    assert!(matches!(all(early, &["z"], elsewhere), Error::ValidBeforeCa { .. }));
    assert!(matches!(all(VALIDITY, &["z"], elsewhere), Error::GroupNotPermitted { .. }));
    assert!(matches!(all(VALIDITY, &["a"], elsewhere), Error::NetworkNotPermitted { .. }));
    let last = all(VALIDITY, &["a"], &["10.0.0.1/8"]);
    assert!(matches!(last, Error::UnsafeNetworkNotPermitted { .. }));
}

#[test]
fn names_have_1_to_253_bytes() {
    for version in [V1, V2] {
        let issue = |name: &str| {
            let networks = nets(&["10.0.0.1/8"]);
            let host = HostParameters::new(name, networks, public_key(), VALIDITY);
            issuer(version).issue(version, &host)
        };
        assert_eq!(issue(""), Err(Error::NameLength { found: 0 }));
        assert_eq!(issue(&"n".repeat(254)), Err(Error::NameLength { found: 254 }));
        // 127 characters of two bytes.
        assert_eq!(issue(&"ü".repeat(127)), Err(Error::NameLength { found: 254 }));
        issue(&"n".repeat(253)).unwrap();
    }
}

#[test]
fn empty_groups_are_refused() {
    for version in [V1, V2] {
        let refused = issuer(version).issue(version, &host().groups(["a", ""]));
        assert_eq!(refused, Err(Error::EmptyGroup { index: 1 }));
    }
}

#[test]
fn networks_that_no_node_can_use_are_refused() {
    let v1 = |networks: &[&str]| issuer(V1).issue(V1, &host_in(networks)).unwrap_err();
    assert_eq!(v1(&[]), Error::NoNetworks);
    assert_eq!(v1(&["10.0.0.1/8", "10.0.0.2/8"]), Error::TooManyNetworks { found: 2 });
    let (field, network) = (NetworkList::Networks, net("fd00::1/64"));
    assert_eq!(v1(&["fd00::1/64"]), Error::Ipv6InV1 { field, network });
    assert_eq!(v1(&["0.0.0.0/8"]), Error::ZeroAddress { network: net("0.0.0.0/8") });

    let v2 = |networks: &[&str]| issuer(V2).issue(V2, &host_in(networks)).unwrap_err();
    assert_eq!(v2(&[]), Error::NoNetworks);
    assert_eq!(v2(&["10.0.0.1/8", "0.0.0.0/0"]), Error::ZeroAddress { network: net("0.0.0.0/0") });
    assert_eq!(v2(&["::/64"]), Error::ZeroAddress { network: net("::/64") });
    let mapped = "::ffff:10.0.0.1/104";
    assert_eq!(v2(&[mapped]), Error::MappedNetwork { network: net(mapped) });
    let twice = ["10.0.0.1/8", "fd00::1/64", "10.0.0.1/8"];
    let network = net("10.0.0.1/8");
    assert_eq!(v2(&twice), Error::DuplicateNetwork { field: NetworkList::Networks, network });
}

#[test]
fn unsafe_networks_that_no_node_can_route_are_refused() {
    let refused = |version, networks: &[&str]| {
        issuer(version).issue(version, &host().unsafe_networks(nets(networks))).unwrap_err()
    };
    let (field, network) = (NetworkList::UnsafeNetworks, net("::/0"));
    assert_eq!(refused(V1, &["::/0"]), Error::Ipv6InV1 { field, network });
    assert_eq!(refused(V2, &["::/0"]), Error::UnsafeNetworkFamily { network });
    let network = net("0.0.0.0/0");
    assert_eq!(
        refused(V2, &["0.0.0.0/0", "0.0.0.0/0"]),
        Error::DuplicateNetwork { field, network }
    );
}

#[test]
fn the_largest_certificate_that_readers_accept_is_issued() {
    for version in [V1, V2] {
        let issuer = issuer(version);
        let with_group = |len: usize| issuer.issue(version, &host().groups(["g".repeat(len)]));
        let overhead =
            MAX_ENCODED_LEN - with_group(60_000).unwrap().certificate().to_bytes().len() + 60_000;
        let largest = with_group(overhead).unwrap().certificate().to_bytes();
        assert_eq!(largest.len(), MAX_ENCODED_LEN);
        Certificate::from_bytes(version, &largest).unwrap();
        let size = MAX_ENCODED_LEN + 1;
        let refused = with_group(overhead + 1);
        assert_eq!(refused, Err(Error::TooLarge { size, limit: MAX_ENCODED_LEN }));
    }
}

#[test]
fn networks_are_sorted_in_version_2() {
    let shuffled = ["fd00::2/64", "10.2.0.1/16", "fd00::1/64", "10.1.0.1/24", "10.1.0.1/16"];
    let sorted = ["10.1.0.1/16", "10.1.0.1/24", "10.2.0.1/16", "fd00::1/64", "fd00::2/64"];
    let certificate = issuer(V2).issue(V2, &host_in(&shuffled)).unwrap().into_certificate();
    assert_eq!(certificate.unverified_details().networks(), nets(&sorted));
}

#[test]
fn a_signature_from_elsewhere_makes_the_same_certificate() {
    for version in [V1, V2] {
        let issuer = issuer(version);
        let issued = issuer.issue(version, &host()).unwrap().into_certificate();
        let prepared = issuer.prepare(version, &host()).unwrap();
        let signature = signing_key().sign(prepared.to_be_signed()).unwrap();
        let completed = prepared.complete(&signature).unwrap().into_certificate();
        assert_eq!(completed.to_bytes(), issued.to_bytes());
        assert_eq!(completed.fingerprint(), issued.fingerprint());
    }
}

#[test]
fn a_wrong_signature_makes_none() {
    let issuer = issuer(V2);
    let message = issuer.prepare(V2, &host()).unwrap().to_be_signed().to_vec();
    let good = signing_key().sign(&message).unwrap();
    let stranger =
        SigningKey::generate(Curve::Curve25519, &mut Seeded(5)).unwrap().sign(&message).unwrap();
    let mut flipped = good.clone();
    flipped[40] ^= 1;
    for wrong in [&stranger[..], &flipped, &good[..63], &[]] {
        let prepared = issuer.prepare(V2, &host()).unwrap();
        assert_eq!(prepared.complete(wrong), Err(Error::SignatureMismatch));
    }
}

#[test]
fn a_signer_s_failure_is_passed_on() {
    let failure = Error::Signer { reason: "locked".to_owned() };
    let answers = [
        (Err(failure.clone()), failure),
        (Ok(Vec::new()), Error::SignatureMismatch),
        (Ok(vec![1; 65]), Error::SignatureMismatch),
    ];
    for (answer, error) in answers {
        let signer = Answering { key: signing_key(), answer };
        let boxed: Box<dyn Signer + Send + Sync> = Box::new(signer);
        let issuer = Issuer::new(issuer(V1).certificate().clone(), boxed).unwrap();
        assert_eq!(issuer.issue(V2, &host()), Err(error));
    }
}

/// A signer that always gives the same answer.
struct Answering {
    key: SigningKey,
    answer: Result<Vec<u8>, Error>,
}

impl Signer for Answering {
    fn curve(&self) -> Curve {
        self.key.curve()
    }

    fn public_key(&self) -> &[u8] {
        self.key.public_key()
    }

    fn sign(&self, _: &[u8]) -> Result<Vec<u8>, Error> {
        self.answer.clone()
    }
}

#[test]
fn a_high_s_from_a_signer_becomes_low() {
    for version in [V1, V2] {
        let parameters = CaParameters::new("ca", CA_VALIDITY);
        let issuer = Issuer::self_signed(version, parameters, HighS(p256_key())).unwrap();
        let host = p256_host();
        let issued = issuer.issue(version, &host).unwrap().into_certificate();
        let prepared = issuer.prepare(version, &host).unwrap();
        let high = HighS(p256_key()).sign(prepared.to_be_signed()).unwrap();
        let completed = prepared.complete(&high).unwrap().into_certificate();

        let pool = CaPool::from_pem(issuer.certificate().to_pem().as_bytes()).unwrap();
        for certificate in [&issued, &completed] {
            assert_ne!(certificate.signature(), high);
            assert!(is_low(certificate.signature()));
            pool.verify_strict(certificate, NOW + 50, &Blocklist::new()).unwrap();
        }
        assert!(is_low(issuer.certificate().signature()));
    }
}

#[test]
fn a_low_s_is_left_as_it_is() {
    let issuer = Issuer::self_signed(V2, CaParameters::new("ca", CA_VALIDITY), p256_key()).unwrap();
    let prepared = issuer.prepare(V2, &p256_host()).unwrap();
    let high = HighS(p256_key()).sign(prepared.to_be_signed()).unwrap();
    let low = negated(&high);
    let completed = prepared.complete(&low).unwrap();
    assert_eq!(completed.certificate().signature(), low);
}

#[test]
fn a_p256_signature_of_any_other_form_is_refused() {
    let message = b"what it is made over does not matter here";
    let good = p256_key().sign(message).unwrap();
    let raw = p256::ecdsa::Signature::from_der(&good).unwrap().to_bytes().to_vec();
    let long_form = [&[0x30, 0x81], &good[1..]].concat();
    for wrong in [raw, [&good, &[0][..]].concat(), long_form, vec![1; 64], vec![0x30, 0], vec![]] {
        let answering = || Answering { key: p256_key(), answer: Ok(wrong.clone()) };
        let parameters = || CaParameters::new("ca", CA_VALIDITY);
        let made = Issuer::self_signed(V2, parameters(), answering());
        assert_eq!(made.map(drop), Err(Error::SignatureMismatch), "{wrong:02x?}");

        let ca = Issuer::self_signed(V2, parameters(), p256_key()).unwrap().certificate().clone();
        let issuer = Issuer::new(ca, answering()).unwrap();
        let issued = issuer.issue(V2, &p256_host());
        assert_eq!(issued, Err(Error::SignatureMismatch), "{wrong:02x?}");
        let prepared = issuer.prepare(V2, &p256_host()).unwrap();
        assert_eq!(prepared.complete(&wrong), Err(Error::SignatureMismatch), "{wrong:02x?}");
    }
}

#[test]
fn a_p256_signature_over_something_else_makes_no_certificate() {
    let other = p256_key().sign(b"something else").unwrap();
    let ca = || CaParameters::new("ca", CA_VALIDITY);
    let answering = Answering { key: p256_key(), answer: Ok(other.clone()) };
    let made = Issuer::self_signed(V2, ca(), answering);
    assert_eq!(made.map(drop), Err(Error::SignatureMismatch));
    let issuer = Issuer::self_signed(V2, ca(), p256_key()).unwrap();
    let prepared = issuer.prepare(V2, &p256_host()).unwrap();
    assert_eq!(prepared.complete(&other), Err(Error::SignatureMismatch));
}

#[test]
fn the_largest_p256_certificate_is_read_again() {
    let issuer = Issuer::self_signed(V2, CaParameters::new("ca", CA_VALIDITY), p256_key()).unwrap();
    let with_group = |len: usize| issuer.issue(V2, &p256_host().groups(["g".repeat(len)]));
    let len = (65_000..MAX_ENCODED_LEN).rfind(|len| prepares(&issuer, *len)).unwrap();
    let largest = with_group(len).unwrap().certificate().to_bytes();
    // A signature has at most 72 bytes, but mostly fewer.
    assert!((MAX_ENCODED_LEN - 10..=MAX_ENCODED_LEN).contains(&largest.len()));
    Certificate::from_bytes(V2, &largest).unwrap();
    let refused = with_group(len + 1);
    assert!(matches!(refused, Err(Error::TooLarge { .. })), "{refused:?}");
}

fn prepares(issuer: &Issuer<SigningKey>, group: usize) -> bool {
    issuer.prepare(V2, &p256_host().groups(["g".repeat(group)])).is_ok()
}

/// Signs with the larger of the two values of s.
struct HighS(SigningKey);

impl Signer for HighS {
    fn curve(&self) -> Curve {
        self.0.curve()
    }

    fn public_key(&self) -> &[u8] {
        self.0.public_key()
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        let signature = self.0.sign(message)?;
        Ok(if is_low(&signature) { negated(&signature) } else { signature })
    }
}

fn is_low(signature: &[u8]) -> bool {
    let signature = p256::ecdsa::Signature::from_der(signature).unwrap();
    signature.normalize_s() == signature
}

fn negated(signature: &[u8]) -> Vec<u8> {
    let (r, s) = p256::ecdsa::Signature::from_der(signature).unwrap().split_scalars();
    p256::ecdsa::Signature::from_scalars(r, -s).unwrap().to_der().as_bytes().to_vec()
}

fn p256_key() -> SigningKey {
    SigningKey::generate(Curve::P256, &mut Seeded(1)).unwrap()
}

fn p256_host() -> HostParameters {
    let key = AgreementKey::generate(Curve::P256, &mut Seeded(2)).unwrap().public_key();
    HostParameters::new("host", nets(&["10.0.0.1/8"]), key, VALIDITY)
}

#[test]
fn an_issuer_is_a_ca_with_its_own_key() {
    let issuer = issuer(V2);
    let ca = issuer.certificate().clone();
    Issuer::new(ca.clone(), signing_key()).unwrap();
    let other = SigningKey::generate(Curve::Curve25519, &mut Seeded(5)).unwrap();
    assert_eq!(Issuer::new(ca.clone(), other).unwrap_err(), Error::SignerMismatch);

    let leaf = issuer.issue(V2, &host()).unwrap().into_certificate();
    let name = "host".to_owned();
    assert_eq!(Issuer::new(leaf, signing_key()).unwrap_err(), Error::NotCa { name });

    let mut tampered = ca.to_bytes();
    *tampered.last_mut().unwrap() ^= 1;
    let tampered = Certificate::from_bytes(V2, &tampered).unwrap();
    let name = "ca".to_owned();
    assert_eq!(Issuer::new(tampered, signing_key()).unwrap_err(), Error::NotSelfSigned { name });
}

#[test]
fn a_host_s_key_must_be_on_the_ca_s_curve() {
    let key = AgreementKey::generate(Curve::P256, &mut Seeded(2)).unwrap().public_key();
    let host = HostParameters::new("host", nets(&["10.0.0.1/8"]), key, VALIDITY);
    assert_eq!(
        issuer(V2).issue(V2, &host),
        Err(Error::CurveMismatch { expected: Curve::Curve25519, found: Curve::P256 })
    );
}

#[test]
fn cas_that_nobody_can_use_are_not_made() {
    let make =
        |version, parameters| Issuer::self_signed(version, parameters, signing_key()).map(drop);
    let ends = |not_after| CaParameters::new("ca", Validity { not_before: NOW, not_after });
    for not_after in [NOW, NOW - 1] {
        let refused = make(V2, ends(not_after));
        assert_eq!(refused, Err(Error::InvalidValidity { not_before: NOW, not_after }));
    }
    make(V2, ends(NOW + 1)).unwrap();

    let ca = || CaParameters::new("ca", CA_VALIDITY);
    let nameless = CaParameters::new("", CA_VALIDITY);
    assert_eq!(make(V1, nameless), Err(Error::NameLength { found: 0 }));
    assert_eq!(make(V1, ca().groups([""])), Err(Error::EmptyGroup { index: 0 }));
    for version in [V1, V2] {
        let network = net("0.0.0.0/0");
        let refused = make(version, ca().networks([network]));
        assert_eq!(refused, Err(Error::ZeroAddress { network }));
    }
    let network = net("fd00::/8");
    let field = NetworkList::Networks;
    assert_eq!(make(V1, ca().networks([network])), Err(Error::Ipv6InV1 { field, network }));
}

#[test]
fn a_ca_is_no_larger_than_a_pool_reads() {
    // As DER these fit, but no pool reads more than 64 KiB of PEM.
    let ca = |version, len| {
        let parameters = CaParameters::new("ca", CA_VALIDITY).groups(["g".repeat(len)]);
        Issuer::self_signed(version, parameters, signing_key())
    };
    for (version, largest) in [(V1, 65_536), (V2, 65_534)] {
        let len = (48_000..49_000).rfind(|len| ca(version, *len).is_ok()).unwrap();
        let pem = ca(version, len).unwrap().certificate().to_pem();
        assert_eq!(pem.len(), largest, "{version:?}");
        assert_eq!(CaPool::from_pem(pem.as_bytes()).unwrap().certificates().len(), 1);
        let refused = ca(version, len + 1).unwrap_err();
        assert!(matches!(refused, Error::TooLarge { limit: 65_536, .. }), "{refused:?}");
    }
}

#[test]
fn a_validity_that_reads_as_expired_is_refused() {
    // Nodes add the seconds from the year 1 to 1970, and the sum wraps.
    let not_after = i64::MAX;
    let validity = Validity { not_before: NOW, not_after };
    let refused = Err(Error::InvalidValidity { not_before: NOW, not_after });
    let parameters = CaParameters::new("ca", validity);
    assert_eq!(Issuer::self_signed(V2, parameters, signing_key()).map(drop), refused);
    assert_eq!(issuer(V2).issue(V2, &host_at(validity)).map(drop), refused);
}

#[test]
fn a_validity_lasts_no_longer_than_the_ca() {
    let issuer = issuer(V2);
    let ca = issuer.certificate();
    let starting =
        |at, seconds| Validity::starting(at, Duration::from_millis(seconds * 1_000 + 9), ca);
    let from = |not_before, not_after| Ok(Validity { not_before, not_after });
    let Validity { not_before, not_after } = CA_VALIDITY;
    assert_eq!(starting(NOW + 10, 20), from(NOW + 10, NOW + 30));
    assert_eq!(starting(NOW + 10, 5_000), from(NOW + 10, not_after));
    assert_eq!(starting(NOW - 300, 400), from(NOW, NOW + 100), "the length counts from the time");
    assert_eq!(starting(not_after, 0), from(not_after, not_after));
    // Nothing wraps: the longest lifetime ends with the CA, and the last second is after it.
    let longest = |at| Validity::starting(at, Duration::MAX, ca);
    assert_eq!(longest(NOW + 10), from(NOW + 10, not_after));
    assert!(matches!(longest(i64::MAX), Err(Error::CaExpired { .. })));
    assert!(matches!(longest(not_after + 1), Err(Error::CaExpired { .. })));
    assert!(matches!(starting(i64::MIN, 5), Err(Error::CaNotYetValid { .. })));
    assert_eq!(starting(0, u64::MAX / 2_000), from(NOW, not_after));
    let issuer_is = ca.fingerprint();
    let expired = Error::CaExpired { issuer: issuer_is, not_before, not_after };
    assert_eq!(starting(not_after + 1, 5), Err(expired));
    let early = Error::CaNotYetValid { issuer: issuer_is, not_before, not_after };
    assert_eq!(starting(NOW - 10, 9), Err(early));
    for validity in [starting(NOW - 300, 5_000), starting(NOW + 999, 5_000)] {
        issuer.issue(V2, &host_at(validity.unwrap())).unwrap();
    }
}

#[test]
fn a_certificate_is_due_when_two_thirds_are_over_and_something_is_gained() {
    let current = Validity { not_before: NOW, not_after: NOW + 300 };
    let next = |now| Validity { not_before: now, not_after: now + 300 };
    assert_eq!(current.renew_at(), NOW + 200);
    for (now, due) in [(NOW, false), (NOW + 199, false), (NOW + 200, true), (NOW + 999, true)] {
        assert_eq!(current.is_due(now, next(now)), due, "{now}");
        // Both end with the CA.
        assert!(!current.is_due(now, Validity { not_before: now, ..current }));
    }
    // A clock that was ahead when it was issued.
    let early = Validity { not_before: NOW + 500, not_after: NOW + 800 };
    assert!(early.is_due(NOW, Validity { not_before: NOW, not_after: NOW + 900 }));
    let extreme = Validity { not_before: i64::MIN, not_after: i64::MAX };
    assert!(!extreme.is_due(0, next(0)));
}

#[test]
fn a_pair_that_nodes_refuse_is_found() {
    let issuer = issuer(V2);
    let issue = |version, networks: &[&str], seed| {
        let key = AgreementKey::generate(Curve::Curve25519, &mut Seeded(seed)).unwrap();
        let host = HostParameters::new("host", nets(networks), key.public_key(), VALIDITY);
        issuer.issue(version, &host).unwrap().into_certificate()
    };
    let first = issue(V1, &["10.0.0.2/8"], 1);
    let beside = |other: &Certificate| first.check_beside(other);
    let refused = |field| Err(Error::NotBeside { field });
    let second = issue(V2, &["10.0.0.9/8", "fd00::1/64", "10.0.0.2/8"], 1);
    assert_eq!(beside(&second), Ok(()));
    assert_eq!(second.check_beside(&first), Ok(()));
    assert_eq!(beside(&first), refused(PairDefect::Version));
    assert_eq!(beside(&issue(V2, &["10.0.0.2/8"], 3)), refused(PairDefect::PublicKey));
    assert_eq!(
        beside(&issue(V2, &["10.0.0.2/8", "10.0.0.1/8"], 1)),
        refused(PairDefect::FirstNetwork)
    );
    assert_eq!(beside(&issue(V2, &["10.0.0.2/9"], 1)), refused(PairDefect::FirstNetwork));
}

fn issuer(version: Version) -> Issuer<SigningKey> {
    let parameters = CaParameters::new("ca", CA_VALIDITY);
    Issuer::self_signed(version, parameters, signing_key()).unwrap()
}

fn limited(parameters: CaParameters) -> Issuer<SigningKey> {
    Issuer::self_signed(V2, parameters, signing_key()).unwrap()
}

fn host() -> HostParameters {
    host_at(VALIDITY)
}

fn host_at(validity: Validity) -> HostParameters {
    HostParameters::new("host", nets(&["10.0.0.1/8"]), public_key(), validity)
}

fn host_in(networks: &[&str]) -> HostParameters {
    HostParameters::new("host", nets(networks), public_key(), VALIDITY)
}

fn signing_key() -> SigningKey {
    SigningKey::generate(Curve::Curve25519, &mut Seeded(1)).unwrap()
}

fn public_key() -> PublicKey {
    AgreementKey::generate(Curve::Curve25519, &mut Seeded(2)).unwrap().public_key()
}

fn net(network: &str) -> IpNet {
    network.parse().unwrap()
}

fn nets(networks: &[&str]) -> Vec<IpNet> {
    networks.iter().map(|network| net(network)).collect()
}
