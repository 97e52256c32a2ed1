//! How nodes are, as operators are told: from their states, certificates and reports.

use nebula_gc_http::{
    Change, Condition, Context, NetworkPatch, NodeChange, NodeReport, ReportDetails,
};

use crate::support::fleet;
use crate::support::fleet::Fleet;
use crate::support::requests::{demo, groups, registration};

on_both_engines! {
    the_condition_follows_states_certificates_and_reports
    whatever_a_node_asks_ends_its_silence_and_is_stored_once_a_minute
    the_time_of_silence_is_the_networks
    a_node_says_that_its_nebula_must_be_restarted
}

const DAY: i64 = 86_400;

async fn condition(fleet: &Fleet, member: &fleet::Member) -> Condition {
    fleet.node(member).await.condition
}

async fn the_condition_follows_states_certificates_and_reports(fleet: Fleet) {
    let (well, never) = (fleet.enroll("well").await, fleet.enroll("never").await);
    let device = registration("device", &fleet::new_key());
    let device = fleet.service.enroll_device(Context::local(), device).await.unwrap();
    assert_eq!(condition(&fleet, &well).await, Condition::Active);
    fleet.report(&well).await;
    let details = fleet.node(&well).await;
    assert_eq!((details.condition, details.behind), (Condition::Active, 0));
    assert_eq!(details.certificate_end, details.certificates.iter().map(|it| it.not_after).max());

    // A change of its own, which it has not applied.
    let change = NodeChange { groups: Change::Set(groups(&["x"])), ..NodeChange::default() };
    fleet.change(&well, change).await.unwrap();
    let details = fleet.node(&well).await;
    assert_eq!((details.condition, details.behind), (Condition::Behind, 1));
    fleet.report(&well).await;
    assert_eq!(condition(&fleet, &well).await, Condition::Active);

    // Changes of the network: each kept out node moves the revision.
    let others = [fleet.enroll("other").await, fleet.enroll("another").await];
    for other in &others {
        fleet.report(other).await;
        fleet.suspend(other, "audit").await.unwrap();
        assert_eq!(condition(&fleet, other).await, Condition::Suspended);
    }
    let details = fleet.node(&well).await;
    assert_eq!((details.condition, details.behind), (Condition::Behind, 2));
    let details = fleet.node(&never).await;
    assert_eq!((details.condition, details.behind), (Condition::Active, 0), "it never reports");
    fleet.revoke(&others[0], "stolen").await.unwrap();
    let details = fleet.node(&others[0]).await;
    assert_eq!((details.condition, details.certificate_end), (Condition::Revoked, None));
    fleet.reinstate(&others[1]).await.unwrap();
    assert_eq!(condition(&fleet, &others[1]).await, Condition::Behind);
    fleet.release(&others[1]).await.unwrap();
    assert_eq!(condition(&fleet, &others[1]).await, Condition::Released);

    fleet.report(&well).await;
    fleet.pass(300);
    assert_eq!(condition(&fleet, &well).await, Condition::Active);
    fleet.pass(1);
    assert_eq!(condition(&fleet, &well).await, Condition::Silent);
    assert_eq!(condition(&fleet, &never).await, Condition::Active, "it never reports");

    // Whether or not it is marked in the ledger.
    fleet.pass(14 * DAY);
    for _ in 0..2 {
        let details = fleet.node(&well).await;
        assert_eq!(details.condition, Condition::Expired);
        assert!(details.certificate_end.unwrap() < fleet.now());
        assert_eq!(condition(&fleet, &never).await, Condition::Expired);
        fleet.upkeep().await;
    }
    assert!(fleet.node(&well).await.certificates.is_empty());
    let list = fleet.service.nodes(Context::local(), demo(), Default::default(), None, 100);
    let list = list.await.unwrap().nodes;
    let of_device = list.iter().find(|node| node.id == device.node).unwrap();
    assert_eq!(of_device.condition, Condition::Active, "its certificate lasts a year");
}

/// How many nodes were heard of at this time.
fn heard(fleet: &Fleet, at: i64) -> i64 {
    fleet.number(&format!("SELECT count(*) FROM gc_node WHERE seen_at = {at}"))
}

async fn whatever_a_node_asks_ends_its_silence_and_is_stored_once_a_minute(fleet: Fleet) {
    let mut members = vec![];
    for number in 0..150 {
        let member = fleet.enroll(&format!("node-{number}")).await;
        fleet.report(&member).await;
        members.push(member);
    }
    let reported = fleet.now();
    fleet.pass(59);
    for member in &members {
        fleet.service.own_node(member.caller()).await.unwrap();
    }
    fleet.upkeep().await;
    assert_eq!(heard(&fleet, reported), 150, "a minute has not passed");
    fleet.pass(242);
    assert_eq!(condition(&fleet, &members[0]).await, Condition::Silent);
    for member in &members {
        fleet.service.own_node(member.caller()).await.unwrap();
    }
    // What one step had no room for is stored with the next request.
    while heard(&fleet, fleet.now()) < 150 {
        fleet.service.own_node(members[0].caller()).await.unwrap();
    }
    for member in &members {
        assert_eq!(condition(&fleet, member).await, Condition::Active);
    }
}

async fn the_time_of_silence_is_the_networks(fleet: Fleet) {
    let member = fleet.enroll("one").await;
    fleet.report(&member).await;
    let patch = |seconds| NetworkPatch { silent_after: Some(seconds), ..NetworkPatch::default() };
    let change = |seconds| {
        let anything = nebula_gc_http::Expected::Anything;
        fleet.service.change_network(Context::local(), demo(), anything, patch(seconds))
    };
    let refused = change(179).await.unwrap_err();
    assert!(refused.to_string().contains("silentAfterSeconds"), "{refused}");
    let changed = change(180).await.unwrap();
    assert_eq!(changed.silent_after, 180);
    fleet.pass(181);
    assert_eq!(condition(&fleet, &member).await, Condition::Silent);
    change(DAY).await.unwrap();
    assert_eq!(condition(&fleet, &member).await, Condition::Active);
}

async fn a_node_says_that_its_nebula_must_be_restarted(fleet: Fleet) {
    let member = fleet.enroll("one").await;
    let desired = fleet.service.own_node(member.caller()).await.unwrap().desired;
    for restart_needed in [true, false] {
        let agent = Some("0.2.0".to_owned());
        let details = ReportDetails { agent, restart_needed, ..ReportDetails::default() };
        let report = NodeReport { receipt: None, details };
        fleet.service.report_with(member.caller(), desired, report).await.unwrap();
        assert_eq!(fleet.node(&member).await.restart_needed, restart_needed);
    }
}
