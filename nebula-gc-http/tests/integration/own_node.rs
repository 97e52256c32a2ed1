//! A node's own view: what it is told, what it reports, and waiting for changes.

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use crate::support::fleet::{Fleet, Member, demo};
use crate::support::requests::{self, new_key};
use crate::support::{Engine, Fixture};
use nebula_gc_http::error::Field;
use nebula_gc_http::{
    Bearer, Change, Context, Desired, DeviceId, Error, Expected, NetworkPatch, NodeChange,
    NodeState, Pace, Service,
};
use nebula_pki::Curve;
use nebula_pki::key::PublicKey;

/// Longer than any of this takes: a poll that is not woken fails its test.
const LONG: Duration = Duration::from_secs(60);

/// A fleet, perhaps of two instances over one database.
struct Plane {
    fleet: Fleet,
    other: Option<Arc<Service>>,
}

impl Deref for Plane {
    type Target = Fleet;
    fn deref(&self) -> &Fleet {
        &self.fleet
    }
}

impl Fixture for Plane {
    async fn on(engine: Engine) -> Option<Self> {
        Some(Self { fleet: Fleet::on(engine).await?, other: None })
    }
}

fn two_instances(plane: Plane) -> Plane {
    Plane { other: Some(plane.another()), ..plane }
}

impl Plane {
    fn service(&self) -> &Arc<Service> {
        &self.service
    }

    fn last(&self) -> &Arc<Service> {
        self.other.as_ref().unwrap_or(self.service())
    }

    /// One after the other.
    fn instance(&self, number: usize) -> &Arc<Service> {
        if number.is_multiple_of(2) { self.service() } else { self.last() }
    }

    async fn release(&self, name: &str) {
        let (service, device) = (self.service(), DeviceId::new(name).unwrap());
        service.release(Context::local(), None, device).await.unwrap();
    }

    /// A poll that waits at the last instance before this returns.
    async fn poll(&self, member: &Member) -> Polling {
        let (service, caller) = (Arc::clone(self.last()), member.caller());
        let seen = service.own_node(caller.clone()).await.unwrap().desired;
        let waiting = service.waiting_polls();
        let asking = Arc::clone(&service);
        let poll = tokio::spawn(async move { asking.watch(caller, seen, LONG).await });
        until(|| service.waiting_polls() > waiting).await;
        Polling { poll, seen }
    }
}

struct Polling {
    poll: tokio::task::JoinHandle<Result<Option<Desired>, Error>>,
    seen: Desired,
}

impl Polling {
    async fn answer(self) -> Result<Option<Desired>, Error> {
        self.poll.await.unwrap()
    }
}

async fn until(is_so: impl Fn() -> bool) {
    while !is_so() {
        tokio::task::yield_now().await;
    }
}

async fn a_node_is_told_what_it_is(plane: Plane) {
    let node = plane.enroll("one").await;
    let service = plane.service();
    let own = service.own_node(node.caller()).await.unwrap();
    assert_eq!(
        (own.id, own.network.as_str(), own.name.as_str()),
        (node.enrolled.node, "demo", "one")
    );
    assert_eq!((own.state, own.applied), (NodeState::Active, None));
    assert_eq!(own.addresses, [node.enrolled.networks.first().unwrap().addr()]);
    let certificate = own.certificates.first().unwrap();
    assert_eq!(certificate.fingerprint, node.enrolled.certificates.first().unwrap().fingerprint());
    let lifetime = certificate.not_after - certificate.not_before;
    let renew_at = own.renew_at.unwrap() - certificate.not_before;
    assert!((lifetime * 2 / 3..=lifetime * 2 / 3 + lifetime / 10 + 1).contains(&renew_at));
    // Operators are no nodes.
    let operator = service.own_node(Context::local()).await;
    assert!(matches!(operator, Err(Error::Forbidden { .. })));
}

async fn reports_never_go_back_or_ahead(plane: Plane) {
    let node = plane.enroll("one").await;
    let service = plane.service();
    plane.enroll("two").await;
    plane.release("two").await;
    let report = async |revision, generation| {
        service.report(node.caller(), Desired { revision, generation }).await
    };
    let applied = async || service.own_node(node.caller()).await.unwrap().applied;
    let at = |revision, generation| Some(Desired { revision, generation });
    report(0, 0).await.unwrap();
    assert_eq!(applied().await, at(0, 0));
    report(2, 1).await.unwrap();
    report(1, 1).await.unwrap();
    assert_eq!(applied().await, at(2, 1));
    for (revision, generation, field) in
        [(3, 1, Field::Revision), (2, 2, Field::Generation), (-1, 1, Field::Revision)]
    {
        let refused = report(revision, generation).await;
        assert!(matches!(refused, Err(Error::Invalid { field: named, .. }) if named == field));
    }
    assert_eq!(applied().await, at(2, 1));
}

async fn a_token_is_replaced_once_and_for_all(plane: Plane) {
    let (node, other) = (plane.enroll("one").await, plane.enroll("two").await);
    let service = plane.service();
    let token = Bearer::new_node_token().unwrap();
    let under = async |caller: &Context, token: &Bearer| {
        service.rotate_own_token(caller.clone(), token.clone()).await
    };
    assert!(matches!(
        under(&node.caller(), &other.request.token).await,
        Err(Error::Conflict { .. })
    ));
    let polling = plane.poll(&node).await;
    under(&node.caller(), &token).await.unwrap();
    // The poll under the old token ends with it.
    assert!(matches!(polling.answer().await, Err(Error::Unauthorized { .. })));
    let former = service.own_node(node.caller()).await;
    assert!(matches!(former, Err(Error::Unauthorized { .. })));
    assert!(matches!(under(&node.caller(), &token).await, Err(Error::Unauthorized { .. })));
    // Its answer may have been lost: under the new one the same is nothing new.
    under(&Context::bearer(token.clone()), &token).await.unwrap();
    let own = service.own_node(Context::bearer(token)).await.unwrap();
    assert_eq!(own.id, node.enrolled.node);
}

async fn bundles_are_rendered_once(plane: Plane) {
    let node = plane.enroll("one").await;
    let service = plane.service();
    let bundle = async || service.own_bundle(node.caller()).await.unwrap();
    let first = bundle().await;
    assert_eq!(
        (first.known_digest(), first.desired()),
        (None, Desired { revision: 1, generation: 1 })
    );
    let (digest, zip) = first.render(|bundle| bundle.to_zip()).await.unwrap();
    assert_eq!(digest, node.enrolled.bundle.digest());
    assert_eq!(zip, node.enrolled.bundle.to_zip().unwrap());
    assert_eq!(bundle().await.known_digest(), Some(digest));
    // An operator is given the same.
    let by_operator =
        service.node_bundle(Context::local(), None, node.enrolled.node).await.unwrap();
    assert_eq!(by_operator.known_digest(), Some(digest));
    plane.enroll("two").await;
    assert_eq!(bundle().await.known_digest(), Some(digest), "nobody is told of a plain node");
    plane.release("two").await;
    let blocking = bundle().await;
    assert_eq!((blocking.known_digest(), blocking.desired().revision), (None, 2));
    let (_, yaml) = blocking
        .render(|bundle| Ok(bundle.file("nebula.yml").unwrap_or_default().to_owned()))
        .await
        .unwrap();
    assert!(yaml.contains("blocklist"));
}

async fn a_poll_is_answered_when_something_changed(plane: Plane) {
    let (node, other) = (plane.enroll("one").await, plane.enroll("two").await);
    // It has something else: it is told at once.
    let told = plane.service().watch(node.caller(), Desired { revision: 0, generation: 1 }, LONG);
    assert_eq!(told.await.unwrap(), Some(Desired { revision: 1, generation: 1 }));
    // Nothing changes.
    let seen = Desired { revision: 1, generation: 1 };
    let told = plane.service().watch(node.caller(), seen, Duration::from_millis(1)).await;
    assert_eq!(told.unwrap(), None);
    assert_eq!(plane.service().waiting_polls(), 0);
    // Another is released: one is told of the revision, the other that it is gone.
    let (staying, leaving) = (plane.poll(&node).await, plane.poll(&other).await);
    assert_eq!(staying.seen, seen);
    plane.release("two").await;
    assert_eq!(staying.answer().await.unwrap(), Some(Desired { revision: 2, generation: 1 }));
    assert!(matches!(leaving.answer().await, Err(Error::Unauthorized { .. })));
    assert_eq!(plane.last().waiting_polls(), 0);
}

async fn a_poll_that_nobody_waits_for_any_more_leaves_nothing(plane: Plane) {
    let node = plane.enroll("one").await;
    let mut polls = vec![];
    for _ in 0..4 {
        polls.push(plane.poll(&node).await);
    }
    let seen = polls.first().unwrap().seen;
    let fifth = plane.last().watch(node.caller(), seen, LONG).await;
    assert!(matches!(fifth, Err(Error::RateLimited { .. })), "{fifth:?}");
    for polling in polls {
        polling.poll.abort();
    }
    until(|| plane.last().waiting_polls() == 0).await;
}

/// Every node polls again and again, while others leave as fast as they can: each has to learn of
/// the last revision without any poll running out.
async fn no_change_is_missed(plane: Plane) {
    const NODES: usize = 12;
    const CHANGES: i64 = 25;
    let plane = Arc::new(plane);
    for number in 0..CHANGES {
        plane.enroll(&format!("leaving-{number}")).await;
    }
    let mut nodes = vec![];
    for number in 0..NODES {
        let member = plane.enroll(&format!("staying-{number}")).await;
        let service = Arc::clone(plane.instance(number));
        nodes.push(tokio::spawn(async move {
            let mut seen = Desired { revision: 1, generation: 1 };
            let mut answers = 0;
            while seen.revision <= CHANGES {
                let told = service.watch(member.caller(), seen, LONG).await.unwrap();
                let told = told.unwrap_or_else(|| panic!("a poll ran out at {seen:?}"));
                assert!(told.revision > seen.revision, "{told:?} after {seen:?}");
                (seen, answers) = (told, answers + 1);
            }
            answers
        }));
    }
    for number in 0..CHANGES {
        plane.release(&format!("leaving-{number}")).await;
    }
    for node in nodes {
        assert!((1..=CHANGES).contains(&node.await.unwrap()));
    }
}

async fn certificates_are_renewed_when_they_are_due(plane: Plane) {
    let node = plane.enroll("one").await;
    let renew = async || plane.last().renew(node.caller(), None).await.unwrap();
    let early = renew().await;
    assert!(!early.renewed);
    assert_eq!(early.certificates, node.enrolled.certificates);
    plane.pass(10 * 86_400);
    let polling = plane.poll(&node).await;
    let due = renew().await;
    assert!(due.renewed);
    assert_eq!(due.desired, Desired { revision: 1, generation: 2 }, "other nodes need not know");
    assert_eq!(polling.answer().await.unwrap(), Some(due.desired));
    let ends = |renewed: &nebula_gc_http::Renewed| {
        renewed.certificates.first().unwrap().unverified_details().not_after()
    };
    assert_eq!(ends(&due) - ends(&early), 10 * 86_400);
    let again = renew().await;
    assert_eq!((again.renewed, &again.certificates), (false, &due.certificates));
    assert_eq!((again.desired, again.renew_at), (due.desired, due.renew_at));
    let bundle = plane.last().own_bundle(node.caller()).await.unwrap();
    let (_, file) = bundle
        .render(|bundle| Ok(bundle.file("node.crt").unwrap_or_default().to_owned()))
        .await
        .unwrap();
    assert_eq!(file, due.certificates.first().unwrap().to_pem());
    // Long after its end.
    plane.pass(60 * 86_400);
    let late = renew().await;
    assert!(late.renewed && late.desired.generation == 3);
    assert_eq!(
        late.certificates.first().unwrap().public_key(),
        early.certificates.first().unwrap().public_key()
    );
}

async fn a_node_may_have_another_key_once_a_minute(plane: Plane) {
    let (node, other) = (plane.enroll("one").await, plane.enroll("two").await);
    let renew =
        async |key: &PublicKey| plane.service().renew(node.caller(), Some(key.clone())).await;
    let (second, third) = (new_key(), new_key());
    let renewed = renew(&second).await.unwrap();
    assert!(renewed.renewed);
    assert_eq!(renewed.desired, Desired { revision: 1, generation: 2 });
    assert_eq!(renewed.certificates.first().unwrap().public_key(), second.as_bytes());
    let again = renew(&second).await.unwrap();
    assert_eq!((again.renewed, again.certificates), (false, renewed.certificates));
    let soon = renew(&third).await;
    assert!(matches!(soon, Err(Error::RateLimited { retry_after: 60, .. })), "{soon:?}");
    plane.pass(59);
    let soon = renew(&third).await;
    assert!(matches!(soon, Err(Error::RateLimited { retry_after: 1, .. })), "{soon:?}");
    plane.pass(1);
    assert!(renew(&third).await.unwrap().renewed);
    let others = other.enrolled.certificates.first().unwrap().public_key();
    let others = PublicKey::from_raw(Curve::Curve25519, others).unwrap();
    assert!(matches!(renew(&others).await, Err(Error::KeyTaken)));
    let p256 = requests::new_key_on(Curve::P256);
    assert!(matches!(renew(&p256).await, Err(Error::Invalid { field: Field::PublicKey, .. })));
}

async fn a_node_may_have_ten_other_keys_a_day(plane: Plane) {
    let (node, other) = (plane.enroll("one").await, plane.enroll("two").await);
    let renew = async |member: &Member, key: &PublicKey| {
        plane.service().renew(member.caller(), Some(key.clone())).await
    };
    for _ in 0..10 {
        assert!(renew(&node, &new_key()).await.unwrap().renewed);
        plane.pass(3600);
    }
    let next = new_key();
    let refused = renew(&node, &next).await;
    let left = 14 * 3600;
    assert!(
        matches!(refused, Err(Error::RateLimited { retry_after, .. }) if retry_after == left),
        "{refused:?}"
    );
    // The others' keys, and its own next certificate, are as before.
    assert!(renew(&other, &new_key()).await.unwrap().renewed);
    let due = plane.service().renew(node.caller(), None).await.unwrap();
    assert!(!due.renewed);
    plane.pass(left - 1);
    assert!(matches!(renew(&node, &next).await, Err(Error::RateLimited { retry_after: 1, .. })));
    plane.pass(1);
    assert!(renew(&node, &next).await.unwrap().renewed);
}

/// All at once: one certificate is issued, and everybody is answered that one.
async fn a_faster_pace_is_an_argument_of_the_service(plane: Plane) {
    let shorter = || NetworkPatch { lifetime: Some(90), ..NetworkPatch::default() };
    let change = async |plane: &Plane| {
        let (network, local) = (demo(), Context::local());
        plane.service().change_network(local, network, Expected::Anything, shorter()).await
    };
    let refused = change(&plane).await;
    assert!(matches!(refused, Err(Error::Invalid { field: Field::LifetimeSeconds, .. })));
    let Plane { fleet, .. } = plane;
    let fleet = fleet.with_options(|options| {
        options.pace = Pace { least_lifetime: 90, rekey_seconds: 5, rekeys_per_day: 1_000 };
    });
    let plane = Plane { fleet, other: None };
    change(&plane).await.unwrap();
    let node = plane.enroll("one").await;
    let renew = async || plane.service().renew(node.caller(), None).await.unwrap().renewed;
    assert!(!renew().await, "it is not due yet");
    plane.pass(44);
    assert!(!renew().await, "the last third has not begun");
    plane.pass(2);
    assert!(renew().await);
    for _ in 0..20 {
        let key = Some(new_key());
        assert!(plane.service().renew(node.caller(), key).await.unwrap().renewed);
        plane.pass(5);
    }
}

async fn renewing_at_the_same_time_issues_one_certificate(plane: Plane) {
    let node = plane.enroll("one").await;
    plane.pass(10 * 86_400);
    let mut asked = vec![];
    for number in 0..8 {
        let service = plane.instance(number);
        let (service, caller) = (Arc::clone(service), node.caller());
        asked.push(tokio::spawn(async move { service.renew(caller, None).await }));
    }
    let mut issued = 0;
    let mut certificates = vec![];
    for asked in asked {
        let answer = asked.await.unwrap().unwrap();
        assert_eq!(answer.desired.generation, 2);
        issued += usize::from(answer.renewed);
        certificates.push(answer.certificates);
    }
    certificates.dedup();
    assert_eq!((issued, certificates.len()), (1, 1));
}

async fn who_is_kept_out_is_told_so_at_once(plane: Plane) {
    let (node, other) = (plane.enroll("one").await, plane.enroll("two").await);
    let service = plane.service();
    let is_kept_out = |error: &Error, expected| match error {
        Error::NodeKeptOut { state, reason } => {
            *state == expected && reason.as_deref() == Some("lost")
        }
        _ => false,
    };
    let (polling, others) = (plane.poll(&node).await, plane.poll(&other).await);
    let seen = others.seen;
    plane.suspend(&node, "lost").await.unwrap();
    let told = polling.answer().await.unwrap_err();
    assert!(is_kept_out(&told, NodeState::Suspended), "{told:?}");
    let revision = others.answer().await.unwrap().unwrap().revision;
    assert_eq!(revision, seen.revision + 1);
    let caller = || node.caller();
    let nothing = Desired { revision: 0, generation: 0 };
    for refused in [
        service.own_node(caller()).await.map(drop),
        service.own_bundle(caller()).await.map(drop),
        service.watch(caller(), nothing, LONG).await.map(drop),
        service.renew(caller(), Some(new_key())).await.map(drop),
        service.report(caller(), nothing).await,
        service.rotate_own_token(caller(), Bearer::new_node_token().unwrap()).await,
    ] {
        let refused = refused.unwrap_err();
        assert!(is_kept_out(&refused, NodeState::Suspended), "{refused:?}");
    }
    plane.reinstate(&node).await.unwrap();
    let polling = plane.poll(&node).await;
    plane.revoke(&node, "lost").await.unwrap();
    let told = polling.answer().await.unwrap_err();
    assert!(is_kept_out(&told, NodeState::Revoked), "{told:?}");
}

async fn what_an_operator_changes_of_a_node_wakes_it(plane: Plane) {
    let node = plane.enroll("one").await;
    let other = plane.enroll("two").await;
    let (polling, others) = (plane.poll(&node).await, plane.poll(&other).await);
    let change = NodeChange { mtu: Change::Set(Some(1400)), ..NodeChange::default() };
    plane.change(&node, change).await.unwrap();
    let told = polling.answer().await.unwrap().unwrap();
    assert_eq!(told, Desired { revision: 1, generation: 2 });
    assert!(!others.poll.is_finished(), "it is told of nothing that is not its own");
    let polling = plane.poll(&node).await;
    let about = (demo(), node.id);
    let rotating = plane.service().rotate_node_token(Context::local(), about, Expected::Anything);
    rotating.await.unwrap();
    assert!(matches!(polling.answer().await, Err(Error::Unauthorized { .. })));
    others.poll.abort();
}

on_both_engines! {
    a_node_is_told_what_it_is
    reports_never_go_back_or_ahead
    a_token_is_replaced_once_and_for_all
    bundles_are_rendered_once
    a_poll_is_answered_when_something_changed
    a_poll_that_nobody_waits_for_any_more_leaves_nothing
    no_change_is_missed
    certificates_are_renewed_when_they_are_due
    a_node_may_have_another_key_once_a_minute
    a_node_may_have_ten_other_keys_a_day
    a_faster_pace_is_an_argument_of_the_service
    renewing_at_the_same_time_issues_one_certificate
    who_is_kept_out_is_told_so_at_once
    what_an_operator_changes_of_a_node_wakes_it
    ; with_two_instances: two_instances
}
