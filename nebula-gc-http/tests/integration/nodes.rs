//! What operators do to nodes: each state, each change, and what moves with it.

use crate::support::fleet::{self, Fleet, Member, demo, enrollment, groups};
use crate::support::requests::registration;
use nebula_gc_http::{
    Bearer, CaSource, CertificateState, Change, Context, DeviceId, Enrollment, Error, Expected,
    Label, NodeChange, NodeDetails, NodeFilter, NodeName, NodeRole, NodeState, Reason, Rule,
};
use nebula_pki::key::PublicKey;

on_both_engines! {
    every_transition_from_every_state
    who_is_kept_out_again_is_told_the_new_reason
    each_change_moves_once
    two_changes_of_one_state_are_one_change
    a_revoked_key_stays_out_under_any_name
    a_former_key_is_no_others
    a_rotated_token_is_the_only_one
    lists_are_filtered_and_come_in_pages
    who_has_not_applied_a_revision
    names_stay_unique
    operators_see_when_a_node_renews_as_it_is_told
    a_renewal_asked_for_in_the_second_of_an_issue_is_carried_out_once
    a_renewal_of_a_network_in_the_second_of_an_issue_is_carried_out_once
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operation {
    Suspend,
    Revoke,
    Reinstate,
    Release,
    Rename,
}

async fn operate(
    fleet: &Fleet,
    member: &Member,
    operation: Operation,
) -> Result<NodeDetails, Error> {
    match operation {
        Operation::Suspend => fleet.suspend(member, "lost").await,
        Operation::Revoke => fleet.revoke(member, "stolen").await,
        Operation::Reinstate => fleet.reinstate(member).await,
        Operation::Release => fleet.release(member).await,
        Operation::Rename => {
            let name = NodeName::new(format!("{}-renamed", member.enrolled.name)).unwrap();
            let change = NodeChange { name: Change::Set(name), ..NodeChange::default() };
            fleet.change(member, change).await
        }
    }
}

/// What an operation does: the new state, by how much revision and generation move, and how many
/// certificates are blocked. `None` where it is refused.
type Effect = Option<(NodeState, i64, i64, usize)>;

async fn every_transition_from_every_state(fleet: Fleet) {
    use NodeState::{Active, Released, Revoked, Suspended};
    use Operation::{Reinstate, Release, Rename, Revoke, Suspend};
    let table: [(NodeState, Operation, Effect); 20] = [
        (Active, Suspend, Some((Suspended, 1, 0, 1))),
        (Active, Revoke, Some((Revoked, 1, 0, 1))),
        (Active, Reinstate, Some((Active, 0, 0, 0))),
        (Active, Release, Some((Released, 1, 0, 1))),
        (Active, Rename, Some((Active, 1, 1, 1))),
        (Suspended, Suspend, Some((Suspended, 0, 0, 0))),
        (Suspended, Revoke, Some((Revoked, 0, 0, 0))),
        (Suspended, Reinstate, Some((Active, 0, 1, 0))),
        (Suspended, Release, None),
        (Suspended, Rename, Some((Suspended, 0, 1, 0))),
        (Revoked, Suspend, None),
        (Revoked, Revoke, Some((Revoked, 0, 0, 0))),
        (Revoked, Reinstate, Some((Active, 0, 1, 0))),
        (Revoked, Release, None),
        (Revoked, Rename, None),
        (Released, Suspend, None),
        (Released, Revoke, None),
        (Released, Reinstate, None),
        (Released, Release, Some((Released, 0, 0, 0))),
        (Released, Rename, None),
    ];
    for (index, (from, operation, effect)) in table.into_iter().enumerate() {
        let member = fleet.enroll(&format!("node-{index}")).await;
        let address = fleet.node(&member).await.addresses;
        let way = match from {
            Active => None,
            Suspended => Some(Suspend),
            Revoked => Some(Revoke),
            Released => Some(Release),
        };
        if let Some(way) = way {
            operate(&fleet, &member, way).await.unwrap();
        }
        let before = fleet.node(&member).await;
        let (revision, blocked) = (fleet.revision().await, fleet.blocked().await.len());
        let rows = fleet.number("SELECT count(*) FROM alloc_event");
        let outcome = operate(&fleet, &member, operation).await;
        let after = fleet.node(&member).await;
        let moved = (
            fleet.revision().await - revision,
            after.generation - before.generation,
            fleet.blocked().await.len() - blocked,
        );
        let what = format!("{from:?} {operation:?}");
        let Some((state, by_revision, by_generation, by_blocked)) = effect else {
            assert!(matches!(outcome, Err(Error::Conflict { .. })), "{what}: {outcome:?}");
            assert_eq!(after, before, "{what}");
            assert_eq!(moved, (0, 0, 0), "{what}");
            continue;
        };
        assert_eq!(outcome.unwrap(), after, "{what}: it answers what is there then");
        assert_eq!(after.state, state, "{what}");
        assert_eq!(moved, (by_revision, by_generation, by_blocked), "{what}");
        let is_same = state == from && operation != Rename;
        assert_eq!(after.tag() == before.tag(), is_same, "{what}");
        assert_eq!(fleet.number("SELECT count(*) FROM alloc_event") == rows, is_same, "{what}");
        assert_eq!(after.certificates.len(), usize::from(state == Active), "{what}");
        let kept = if state == Released { vec![] } else { address };
        assert_eq!(after.addresses, kept, "{what}: leases stay with the node");
        let reason = match (state, from, operation) {
            (Suspended, ..) => Some("lost"),
            (Revoked, ..) => Some("stolen"),
            _ => None,
        };
        assert_eq!(after.state_reason.as_deref(), reason, "{what}");
        if operation == Reinstate && from != Active {
            let current = &after.certificates[0];
            assert_eq!(current.reason, Reason::Reinstated);
            let new = current.fingerprint.unwrap().to_string();
            assert!(!fleet.blocked().await.contains(&new), "no fingerprint is ever unblocked");
            assert_eq!(after.public_key, before.public_key);
        }
    }
    fleet.verify();
}

async fn who_is_kept_out_again_is_told_the_new_reason(fleet: Fleet) {
    let member = fleet.enroll("one").await;
    for (keep_out, kind) in [("suspended", Operation::Suspend), ("revoked", Operation::Revoke)] {
        operate(&fleet, &member, kind).await.unwrap();
        let before = fleet.node(&member).await;
        let (revision, blocked) = (fleet.revision().await, fleet.blocked().await.len());
        let after = match kind {
            Operation::Suspend => fleet.suspend(&member, "found to be broken").await,
            _ => fleet.revoke(&member, "found to be broken").await,
        };
        let after = after.unwrap();
        assert_eq!(after.state_reason.as_deref(), Some("found to be broken"));
        assert_eq!((after.state.word(), after.generation), (keep_out, before.generation));
        assert_ne!(after.tag(), before.tag());
        assert_eq!((fleet.revision().await, fleet.blocked().await.len()), (revision, blocked));
    }
    fleet.verify();
}

async fn each_change_moves_once(fleet: Fleet) {
    let endpoint = "192.0.2.1:4242".parse().unwrap();
    let none = NodeChange::default;
    let name = |name: &str| Change::Set(NodeName::new(name).unwrap());
    // In this order; by how much revision and generation move, whether there is a new certificate,
    // and whether the former one is blocked.
    let changes = [
        ("nothing", none(), (0, 0, false, false)),
        ("its name", NodeChange { name: name("second"), ..none() }, (1, 1, true, true)),
        ("the same name", NodeChange { name: name("second"), ..none() }, (0, 0, false, false)),
        (
            "a group more",
            NodeChange { groups: Change::Set(groups(&["a", "b", "c"])), ..none() },
            (0, 1, true, false),
        ),
        (
            "the same in another order",
            NodeChange { groups: Change::Set(groups(&["c", "b", "a"])), ..none() },
            (0, 0, false, false),
        ),
        (
            "a group less",
            NodeChange { groups: Change::Set(groups(&["a", "b"])), ..none() },
            (1, 1, true, true),
        ),
        ("MTU", NodeChange { mtu: Change::Set(Some(1400)), ..none() }, (0, 1, false, false)),
        ("no MTU", NodeChange { mtu: Change::Set(None), ..none() }, (0, 1, false, false)),
        (
            "a lighthouse",
            NodeChange { lighthouse: Change::Set(Some(endpoint)), ..none() },
            (1, 1, false, false),
        ),
        ("a relay", NodeChange { relay: Change::Set(true), ..none() }, (1, 1, false, false)),
        (
            "everything at once",
            NodeChange {
                name: name("third"),
                groups: Change::Set(groups(&[])),
                lighthouse: Change::Set(None),
                relay: Change::Set(false),
                mtu: Change::Set(Some(1280)),
                ..none()
            },
            (1, 1, true, true),
        ),
    ];
    let member = fleet.enroll("first").await;
    let other = fleet.enroll("other").await;
    for (what, change, (by_revision, by_generation, issues, blocks)) in changes {
        let (before, aside) = (fleet.node(&member).await, fleet.node(&other).await);
        let revision = fleet.revision().await;
        let after = fleet.change(&member, change).await.unwrap();
        assert_eq!(fleet.revision().await - revision, by_revision, "{what}");
        assert_eq!(after.generation - before.generation, by_generation, "{what}");
        assert_eq!(after.certificates != before.certificates, issues, "{what}");
        let former = before.certificates[0].fingerprint.unwrap().to_string();
        assert_eq!(fleet.blocked().await.contains(&former), blocks, "{what}");
        assert_eq!(fleet.node(&other).await, aside, "{what}: nobody else changes");
    }
    // The ledger has each, oldest first.
    let ledger = fleet
        .service
        .node_certificates(Context::local(), demo(), member.id, None, 100)
        .await
        .unwrap();
    let states: Vec<_> = ledger.iter().map(|entry| entry.state).collect();
    assert_eq!(states.len(), 5);
    assert_eq!(states.last(), Some(&CertificateState::Issued));
    assert_eq!(ledger[0].reason, Reason::Enrolled);
    let second = fleet
        .service
        .node_certificates(Context::local(), demo(), member.id, Some(ledger[1].id), 2)
        .await
        .unwrap();
    assert_eq!(second, ledger[2..4]);
    fleet.verify();
}

async fn two_changes_of_one_state_are_one_change(fleet: Fleet) {
    let member = fleet.enroll("one").await;
    let tag = fleet.node(&member).await.tag().as_str().to_owned();
    let change = |mtu| {
        let change = NodeChange { mtu: Change::Set(Some(mtu)), ..NodeChange::default() };
        let (about, expected) = ((demo(), member.id), Expected::OneOf(vec![tag.clone()]));
        fleet.service.change_node(Context::local(), about, expected, change)
    };
    let outcomes: [_; 2] = tokio::join!(change(1400), change(1500)).into();
    let done: Vec<_> = outcomes.iter().filter_map(|outcome| outcome.as_ref().ok()).collect();
    let refused =
        outcomes.iter().filter(|outcome| matches!(outcome, Err(Error::Precondition { .. })));
    assert_eq!((done.len(), refused.count()), (1, 1));
    assert_eq!(&fleet.node(&member).await, done[0]);
    // What the node reports is not what a change builds on.
    let tag = fleet.node(&member).await.tag().as_str().to_owned();
    fleet.report(&member).await;
    assert_ne!(fleet.node(&member).await.tag().as_str(), tag, "a reader sees the report");
    let change = NodeChange { mtu: Change::Set(None), ..NodeChange::default() };
    let (about, expected) = ((demo(), member.id), Expected::OneOf(vec![tag]));
    fleet.service.change_node(Context::local(), about, expected, change).await.unwrap();
}

async fn a_revoked_key_stays_out_under_any_name(fleet: Fleet) {
    let member = fleet.enroll("thief").await;
    operate(&fleet, &member, Operation::Revoke).await.unwrap();
    let again = fleet.enroll_as(member.request.clone()).await;
    let told = Some("stolen".to_owned());
    assert_eq!(again.err(), Some(Error::NodeKeptOut { state: NodeState::Revoked, reason: told }));
    let (own, another) = (member.request.token.clone(), Bearer::new_node_token().unwrap());
    for (name, device, token, told) in [
        ("other", Some("thief"), own.clone(), Some("stolen")),
        ("other", Some("other"), own, Some("stolen")),
        // Why, it tells only the node itself.
        ("other", None, another.clone(), None),
        ("thief", Some("other"), another, None),
    ] {
        let request = Enrollment {
            name: NodeName::new(name).unwrap(),
            device: device.map(|device| DeviceId::new(device).unwrap()),
            token,
            ..member.request.clone()
        };
        let refused = fleet.enroll_as(request).await.err();
        let reason = told.map(str::to_owned);
        let expected = Error::NodeKeptOut { state: NodeState::Revoked, reason };
        assert_eq!(refused, Some(expected), "{name} {device:?}");
    }
    // The dialect refuses the key as well, and the device with another key.
    for (device, public_key) in
        [("other", member.request.public_key.clone()), ("thief", fleet::new_key())]
    {
        let request = registration(device, &public_key);
        let refused = fleet.service.enroll_device(Context::local(), request).await;
        assert!(matches!(refused, Err(Error::NodeKeptOut { .. } | Error::KeyTaken)), "{device}");
    }
    // Its token opens nothing but the answer why.
    let own = fleet.service.own_node(member.caller()).await;
    let Err(Error::NodeKeptOut { state: NodeState::Revoked, reason }) = own else {
        panic!("{own:?}");
    };
    assert_eq!(reason.as_deref(), Some("stolen"));
    let node = fleet.service.node(member.caller(), demo(), member.id).await;
    assert!(matches!(node, Err(Error::Forbidden { .. })));
    fleet.verify();
    operate(&fleet, &member, Operation::Reinstate).await.unwrap();
    let back = fleet.enroll_as(member.request.clone()).await.unwrap();
    assert_eq!((back.id, back.enrolled.networks), (member.id, member.enrolled.networks.clone()));
    fleet.verify();
}

async fn a_former_key_is_no_others(fleet: Fleet) {
    let member = fleet.enroll("thief").await;
    let (first, second) = (member.request.public_key.clone(), fleet::new_key());
    let renew = async |key: &PublicKey| {
        fleet.pass(60);
        fleet.service.renew(member.caller(), Some(key.clone())).await
    };
    let come = async |name: &str| {
        let request = Enrollment { public_key: first.clone(), ..enrollment(name) };
        fleet.enroll_as(request).await
    };
    assert!(renew(&second).await.unwrap().renewed);
    assert_eq!(come("other").await.err(), Some(Error::KeyTaken));
    // It may have it again itself, and leave it again.
    assert!(renew(&first).await.unwrap().renewed);
    assert!(renew(&second).await.unwrap().renewed);
    operate(&fleet, &member, Operation::Revoke).await.unwrap();
    assert_eq!(come("other").await.err(), Some(Error::KeyTaken));
    let request = registration("other", &first);
    let refused = fleet.service.enroll_device(Context::local(), request).await;
    assert_eq!(refused.err(), Some(Error::KeyTaken));
    let other = fleet.enroll("other").await;
    let wish = Some(first.clone());
    let refused = fleet.service.renew(other.caller(), wish).await;
    assert_eq!(refused.err(), Some(Error::KeyTaken));
    operate(&fleet, &member, Operation::Reinstate).await.unwrap();
    fleet.verify();
    // Were it forgotten, another would get it, and that would be noticed.
    fleet.sql("DELETE FROM gc_former_key");
    let another = come("another").await.unwrap();
    let found = fleet.violations();
    assert!(found.iter().any(|found| found.rule == Rule::OneHolder), "{found:?}");
    // Who is gone holds no key.
    fleet.release(&another).await.unwrap();
    fleet.release(&member).await.unwrap();
    come("at last").await.unwrap();
    fleet.verify();
}

async fn a_rotated_token_is_the_only_one(fleet: Fleet) {
    let member = fleet.enroll("one").await;
    let rotate = || {
        let about = (demo(), member.id);
        fleet.service.rotate_node_token(Context::local(), about, Expected::Anything)
    };
    let before = fleet.node(&member).await;
    let rotated = rotate().await.unwrap();
    assert_eq!(rotated.node.generation, before.generation);
    let old = fleet.service.own_node(member.caller()).await;
    assert!(matches!(old, Err(Error::Unauthorized { .. })));
    let own = fleet.service.own_node(Context::bearer(rotated.token.clone())).await.unwrap();
    assert_eq!(own.id, member.id);
    rotate().await.unwrap();
    let old = fleet.service.own_node(Context::bearer(rotated.token)).await;
    assert!(matches!(old, Err(Error::Unauthorized { .. })));
    operate(&fleet, &member, Operation::Release).await.unwrap();
    assert!(matches!(rotate().await, Err(Error::Conflict { .. })));
    // A device of the dialect gets its first, and is as those that enrolled.
    let request = registration("device", &fleet::new_key());
    let device = fleet.service.enroll_device(Context::local(), request).await.unwrap();
    let about = (demo(), device.node);
    let given =
        fleet.service.rotate_node_token(Context::local(), about, Expected::Anything).await.unwrap();
    let own = fleet.service.own_node(Context::bearer(given.token)).await.unwrap();
    assert_eq!((own.id, given.node.is_native), (device.node, true));
    fleet.verify();
}

/// When a node renews, as an operator sees it in each place; the node is told the same.
async fn renews(fleet: &Fleet, member: &Member) -> i64 {
    let told = fleet.service.own_node(member.caller()).await.unwrap().renew_at;
    assert_eq!(fleet.node(member).await.renew_at, told);
    let filter = NodeFilter::default();
    let list = fleet.service.nodes(Context::local(), demo(), filter, None, 10).await.unwrap();
    let listed = list.nodes.iter().find(|node| node.id == member.id).unwrap();
    assert_eq!(listed.renew_at, told);
    told.unwrap()
}

/// Times have whole seconds.
async fn a_renewal_asked_for_in_the_second_of_an_issue_is_carried_out_once(fleet: Fleet) {
    let member = fleet.enroll("one").await;
    let about = || (demo(), member.id);
    for _ in 0..3 {
        let asked = fleet
            .service
            .make_node_due(Context::local(), about(), Expected::Anything)
            .await
            .unwrap();
        assert!(asked.renew_at.unwrap() <= fleet.now());
        let generation = asked.generation;
        let again = fleet
            .service
            .make_node_due(Context::local(), about(), Expected::Anything)
            .await
            .unwrap();
        assert_eq!(again.generation, generation, "it is due already");
        assert!(fleet.service.renew(member.caller(), None).await.unwrap().renewed);
        assert!(renews(&fleet, &member).await > fleet.now());
        assert!(!fleet.service.renew(member.caller(), None).await.unwrap().renewed, "once");
    }
    fleet.verify();
}

async fn a_renewal_of_a_network_in_the_second_of_an_issue_is_carried_out_once(fleet: Fleet) {
    let before = fleet.enroll("before").await;
    fleet.pass(1);
    let member = fleet.enroll("one").await;
    for _ in 0..2 {
        for _ in 0..2 {
            fleet.service.renew_all(Context::local(), demo()).await.unwrap();
        }
        for member in [&before, &member] {
            assert!(renews(&fleet, member).await <= fleet.now());
            assert!(fleet.service.renew(member.caller(), None).await.unwrap().renewed);
            assert!(renews(&fleet, member).await > fleet.now());
            assert!(!fleet.service.renew(member.caller(), None).await.unwrap().renewed, "once");
        }
    }
    // Who comes later is not meant.
    let later = fleet.enroll("later").await;
    assert!(!fleet.service.renew(later.caller(), None).await.unwrap().renewed);
    fleet.verify();
}

async fn operators_see_when_a_node_renews_as_it_is_told(fleet: Fleet) {
    let member = fleet.enroll("one").await;
    let local = Context::local;
    assert!(renews(&fleet, &member).await > fleet.now());
    fleet.pass(1);
    fleet.service.renew_all(local(), demo()).await.unwrap();
    assert!(renews(&fleet, &member).await <= fleet.now());
    assert!(fleet.service.renew(member.caller(), None).await.unwrap().renewed);
    assert!(renews(&fleet, &member).await > fleet.now());
    let name = Label::new("next").unwrap();
    let source = CaSource::New { name, lifetime: None };
    fleet.service.add_ca(local(), Some(demo()), source).await.unwrap();
    let cas = fleet.service.cas(local(), demo(), None, 10).await.unwrap();
    fleet.service.retire_ca(local(), demo(), cas[0].id, true).await.unwrap();
    assert_eq!(renews(&fleet, &member).await, fleet.now());
    operate(&fleet, &member, Operation::Suspend).await.unwrap();
    assert_eq!(fleet.node(&member).await.renew_at, None);
}

async fn lists_are_filtered_and_come_in_pages(fleet: Fleet) {
    for (name, in_groups, lighthouse, relay) in [
        ("web-1", vec!["web"], None, false),
        ("web-2", vec!["web", "\"quoted\", x"], None, true),
        ("db-1", vec!["db", "we"], Some("192.0.2.1:4242"), false),
        ("wéb-3", vec![", "], None, false),
        ("gone", vec!["web"], None, false),
    ] {
        let request = Enrollment {
            groups: Some(groups(&in_groups)),
            lighthouse: lighthouse.map(|endpoint| endpoint.parse().unwrap()),
            relay: Some(relay),
            ..enrollment(name)
        };
        let member = fleet.enroll_as(request).await.unwrap();
        if name == "gone" {
            operate(&fleet, &member, Operation::Release).await.unwrap();
        }
        if name == "web-1" {
            operate(&fleet, &member, Operation::Suspend).await.unwrap();
        }
    }
    let list = async |filter: NodeFilter| {
        let nodes = fleet.service.nodes(Context::local(), demo(), filter, None, 100).await.unwrap();
        nodes.nodes.into_iter().map(|node| node.name).collect::<Vec<_>>()
    };
    let any = NodeFilter::default;
    let prefix = |prefix: &str| NodeFilter { name_prefix: Some(prefix.to_owned()), ..any() };
    let group = |group: &str| NodeFilter { group: Some(group.to_owned()), ..any() };
    let state = |state| NodeFilter { state: Some(state), ..any() };
    let role = |role| NodeFilter { role: Some(role), ..any() };
    assert_eq!(list(any()).await, ["web-1", "web-2", "db-1", "wéb-3"]);
    assert_eq!(list(state(NodeState::Released)).await, ["gone"]);
    assert_eq!(list(state(NodeState::Suspended)).await, ["web-1"]);
    assert_eq!(list(prefix("web")).await, ["web-1", "web-2"]);
    assert_eq!(list(prefix("Web")).await, [""; 0]);
    assert_eq!(list(prefix("wé")).await, ["wéb-3"]);
    assert_eq!(list(prefix("%")).await, [""; 0]);
    assert_eq!(list(group("web")).await, ["web-1", "web-2"]);
    assert_eq!(list(group("we")).await, ["db-1"]);
    assert_eq!(list(group("\"quoted\", x")).await, ["web-2"]);
    // Between two groups stands what looks like this one.
    assert_eq!(list(group(",")).await, [""; 0]);
    assert_eq!(list(group(", ")).await, ["wéb-3"]);
    assert_eq!(list(role(NodeRole::Lighthouse)).await, ["db-1"]);
    assert_eq!(list(role(NodeRole::Relay)).await, ["web-2"]);
    let filter = NodeFilter { group: Some("web".to_owned()), ..prefix("web-2") };
    assert_eq!(list(filter).await, ["web-2"]);
    let (mut paged, mut after) = (vec![], None);
    loop {
        let page = fleet.service.nodes(Context::local(), demo(), any(), after, 3).await.unwrap();
        let Some(last) = page.nodes.last() else { break };
        after = Some(last.id);
        paged.extend(page.nodes.into_iter().map(|node| node.name));
    }
    assert_eq!(paged, ["web-1", "web-2", "db-1", "wéb-3"]);
}

async fn who_has_not_applied_a_revision(fleet: Fleet) {
    let (one, two) = (fleet.enroll("one").await, fleet.enroll("two").await);
    let gone = fleet.enroll("gone").await;
    fleet.report(&one).await;
    fleet.report(&two).await;
    fleet.report(&gone).await;
    operate(&fleet, &gone, Operation::Release).await.unwrap();
    let revision = fleet.revision().await;
    let names = async || {
        let unapplied = fleet.unapplied(revision).await;
        assert_eq!(unapplied.count, i64::try_from(unapplied.nodes.nodes.len()).unwrap());
        unapplied.nodes.nodes.into_iter().map(|node| node.name).collect::<Vec<_>>()
    };
    assert_eq!(names().await, ["one", "two"]);
    assert_eq!(fleet.unapplied(revision - 1).await.count, 0);
    fleet.report(&two).await;
    assert_eq!(names().await, ["one"]);
    // Who is kept out need not apply anything.
    operate(&fleet, &one, Operation::Suspend).await.unwrap();
    assert_eq!(names().await, [""; 0]);
    // Who has just come has applied nothing.
    fleet.enroll("three").await;
    assert_eq!(names().await, ["three"]);
    let beyond = fleet.revision().await + 1;
    for revision in [0, -1, beyond, i64::MAX] {
        let asked = fleet.service.unapplied(Context::local(), demo(), revision, None, 10).await;
        assert!(matches!(asked, Err(Error::NotFound { .. })), "{revision}");
    }
}

async fn names_stay_unique(fleet: Fleet) {
    let (one, two) = (fleet.enroll("one").await, fleet.enroll("two").await);
    let rename = async |member: &Member, name: &str| {
        let name = Change::Set(NodeName::new(name).unwrap());
        fleet.change(member, NodeChange { name, ..NodeChange::default() }).await
    };
    assert!(matches!(rename(&one, "two").await, Err(Error::NameTaken { .. })));
    let outcomes: [_; 2] = tokio::join!(rename(&one, "three"), rename(&two, "three")).into();
    let refused = outcomes.iter().filter(|outcome| matches!(outcome, Err(Error::NameTaken { .. })));
    assert_eq!(
        (outcomes.iter().filter(|outcome| outcome.is_ok()).count(), refused.count()),
        (1, 1)
    );
    fleet.verify();
}
