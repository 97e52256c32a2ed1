//! A network whose prefix grows: do its nodes learn of it, and does nobody call them unsound?

use std::time::Duration;

use crate::support::fleet::{self, Fleet, START, demo};
use crate::support::requests::registration;
use nebula_gc_http::error::Conflict;
use nebula_gc_http::{
    CaFiles, CaSource, Context, Enrolled, Error, Expected, Network, NetworkPatch,
};
use nebula_pki::key::{PublicKey, SigningKey};
use nebula_pki::{CaParameters, Curve, Issuer, SystemRandom, Validity, Version};

const DAY: i64 = 86_400;

on_both_engines! {
    certificates_are_due_once_a_prefix_has_grown
    it_grows_only_as_far_as_its_ca_permits
}

async fn grow(fleet: &Fleet, prefix: &str) -> Result<Network, Error> {
    let prefixes = Some(vec![prefix.parse().unwrap()]);
    let patch = NetworkPatch { prefixes, ..NetworkPatch::default() };
    let local = Context::local();
    fleet.service.change_network(local, demo(), Expected::Anything, patch).await
}

async fn register(fleet: &Fleet, key: &PublicKey) -> Enrolled {
    let device = registration("device", key);
    fleet.service.enroll_device(Context::local(), device).await.unwrap()
}

async fn certificates_are_due_once_a_prefix_has_grown(fleet: Fleet) {
    let (member, key) = (fleet.enroll("one").await, fleet::new_key());
    let device = register(&fleet, &key).await;
    let before = fleet.service.own_node(member.caller()).await.unwrap();
    assert!(before.renew_at.unwrap() > fleet.now());
    let (service, caller) = (fleet.service.clone(), member.caller());
    let poll = tokio::spawn(async move {
        service.watch(caller, before.desired, Duration::from_secs(60)).await
    });
    while fleet.service.waiting_polls() == 0 {
        tokio::task::yield_now().await;
    }
    let grown = grow(&fleet, "10.1.0.0/16").await.unwrap();
    let told = poll.await.unwrap().unwrap().unwrap();
    assert_eq!(told.revision, before.desired.revision + 1);
    assert_eq!(grown.revision.0, told.revision);
    let due = fleet.service.own_node(member.caller()).await.unwrap();
    assert!(due.renew_at.unwrap() <= fleet.now());
    // What they have is no worse than it was.
    fleet.verify();
    fleet.pass(DAY);
    assert_eq!(fleet.upkeep().await.unsound, 0);

    let renew = async || fleet.service.renew(member.caller(), None).await.unwrap();
    let renewed = renew().await;
    assert!(renewed.renewed);
    let networks = renewed.certificates[0].unverified_details().networks().to_vec();
    assert_eq!(
        networks,
        [member.enrolled.networks[0].addr()]
            .map(|address| { format!("{address}/16").parse::<ipnet::IpNet>().unwrap() })
    );
    assert!(!renew().await.renewed);
    let own = fleet.service.own_node(member.caller()).await.unwrap();
    assert_eq!(own.renew_at, renewed.renew_at);
    assert!(own.renew_at.unwrap() > fleet.now());
    let again = register(&fleet, &key).await;
    assert_eq!(again.networks[0].prefix_len(), 16);
    assert_ne!(again.certificates, device.certificates);
    assert_eq!(register(&fleet, &key).await.certificates, again.certificates);
    assert_eq!(fleet.blocked().await, [""; 0]);
    fleet.pass(DAY);
    assert_eq!(fleet.upkeep().await.unsound, 0);
    fleet.verify();
}

async fn it_grows_only_as_far_as_its_ca_permits(fleet: Fleet) {
    let key = SigningKey::generate(Curve::Curve25519, &mut SystemRandom).unwrap();
    let pem = key.to_pem();
    let validity = Validity { not_before: START - 3_600, not_after: START + 400 * DAY };
    let ca = CaParameters::new("narrow", validity).networks(vec!["10.1.0.0/20".parse().unwrap()]);
    let issuer = Issuer::self_signed(Version::V1, ca, key).unwrap();
    let certificate = issuer.certificate().to_pem();
    let source = CaSource::Imported(CaFiles { certificate, key: pem, passphrase: None });
    fleet.service.add_ca(Context::local(), Some(demo()), source).await.unwrap();
    let member = fleet.enroll("one").await;
    let revision = fleet.revision().await;
    let refused = grow(&fleet, "10.1.0.0/16").await;
    assert!(
        matches!(&refused, Err(Error::Conflict(Conflict::PrefixNotPermitted { .. }))),
        "{refused:?}"
    );
    assert_eq!(fleet.revision().await, revision);
    grow(&fleet, "10.1.0.0/20").await.unwrap();
    let renewed = fleet.service.renew(member.caller(), None).await.unwrap();
    assert!(renewed.renewed);
    fleet.verify();
}
