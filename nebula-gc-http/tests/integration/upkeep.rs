//! What time brings about, by one instance, once.

use std::sync::Arc;
use std::time::Duration;

use crate::support::fleet::{self, Fleet, Member, demo, enrollment, groups};
use crate::support::requests::{join_token, registration};
use nebula_gc_http::server::{keep_up, serve};
use nebula_gc_http::{
    CertificateState, Change, Context, Enrollment, Error, NewJoinToken, NodeChange, NodeState,
    Upkeep,
};

use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::DefaultGuard;
use tracing::{Event, Level, Metadata, Subscriber};

const HOUR: i64 = 3_600;
const DAY: i64 = 24 * HOUR;

on_both_engines! {
    quarantines_end_early_only_once_everyone_has_applied
    who_comes_back_learns_first_what_is_blocked
    the_hold_time_alone_where_an_operator_chose_it
    the_ledger_follows_time
    replaced_certificates_are_blocked_once_reported_or_after_an_hour
    blocklists_are_pruned_once_a_day
    what_ended_under_a_clock_that_was_ahead_is_undone
    a_clock_that_was_ahead_and_told_nothing_is_noticed
    a_clock_that_is_ahead_forgets_nothing_that_is_valid
    what_is_not_valid_yet_is_answered_to_nobody
    who_is_released_after_the_clock_was_put_right_is_blocked
    what_is_due_once_in_a_while_is_due_again_when_time_goes_back
    silent_nodes_are_released
    who_never_reports_gives_back_some_time_after_its_last_certificate
    who_came_with_an_ephemeral_token_is_released_when_it_is_silent
    who_could_not_be_heard_was_not_silent
    who_is_let_in_again_was_not_silent
    unsound_certificates_are_told_once
    doing_it_again_does_nothing_more
    one_instance_does_it
    passes_go_on_whatever_becomes_of_one
    they_end_with_the_server
    what_has_been_over_for_long_is_forgotten_and_nothing_else
}

/// When the last quarantine ends.
async fn quarantine_ends(fleet: &Fleet) -> i64 {
    fleet.number("SELECT max(hold_until) FROM alloc_lease WHERE state = 2")
}

async fn quarantines_end_early_only_once_everyone_has_applied(fleet: Fleet) {
    let gone = fleet.enroll("gone").await;
    let (one, two) = (fleet.enroll("one").await, fleet.enroll("two").await);
    let address = fleet.node(&gone).await.addresses[0];
    fleet.report(&one).await;
    fleet.report(&two).await;
    let released = fleet.now();
    fleet.release(&gone).await.unwrap();
    let valid = quarantine_ends(&fleet).await;
    assert!(valid > released + 13 * DAY, "as long as its certificate is valid");
    fleet.report(&one).await;
    assert_eq!(fleet.upkeep().await.shortened, 0);
    // Who has just come has applied nothing.
    let three = fleet.enroll("three").await;
    fleet.report(&two).await;
    assert_eq!(fleet.upkeep().await.shortened, 0);
    assert_eq!(quarantine_ends(&fleet).await, valid);
    fleet.pass(DAY);
    assert_eq!(fleet.upkeep().await.freed, 0);
    fleet.report(&three).await;
    let done = fleet.upkeep().await;
    assert_eq!(done.shortened, 1);
    assert_eq!(quarantine_ends(&fleet).await, released + DAY);
    fleet.verify();
    assert_eq!(fleet.upkeep().await.freed, 1);
    let next = fleet.enroll("next").await;
    assert_eq!(fleet.node(&next).await.addresses, [address]);
    fleet.verify();
}

/// A node that is kept out has not applied what ended a quarantine, and counts for nothing there:
/// nobody accepts the certificate that it has, and with the next it learns what is blocked.
async fn who_comes_back_learns_first_what_is_blocked(fleet: Fleet) {
    let [gone, out, stays] =
        [fleet.enroll("gone").await, fleet.enroll("out").await, fleet.enroll("stays").await];
    let address = fleet.node(&gone).await.addresses[0];
    let fingerprint = |member: &Member| member.enrolled.certificates[0].fingerprint().to_string();
    for member in [&gone, &out, &stays] {
        fleet.report(member).await;
    }
    fleet.suspend(&out, "lent").await.unwrap();
    fleet.release(&gone).await.unwrap();
    fleet.report(&stays).await;
    fleet.pass(DAY);
    assert_eq!(fleet.upkeep().await.shortened, 1);
    assert_eq!(fleet.upkeep().await.freed, 1);
    let next = fleet.enroll("next").await;
    assert_eq!(fleet.node(&next).await.addresses, [address]);

    fleet.reinstate(&out).await.unwrap();
    let revision = fleet.revision().await;
    assert!(fleet.unapplied(revision).await.nodes.nodes.iter().any(|node| node.id == out.id));
    let blocked = fleet.blocked().await;
    assert!(blocked.contains(&fingerprint(&gone)) && blocked.contains(&fingerprint(&out)));
    let bundle = fleet.service.own_bundle(out.caller()).await.unwrap();
    assert_eq!(bundle.desired().revision, revision);
    let (_, zip) = bundle.render(nebula_bundle::Bundle::to_zip).await.unwrap();
    // Its files are stored as they are.
    let carries = |text: &str| zip.windows(text.len()).any(|part| part == text.as_bytes());
    assert!(carries(&fingerprint(&gone)));
    assert!(!carries(&out.enrolled.certificates[0].to_pem()), "another certificate");
    fleet.verify();
}

async fn the_hold_time_alone_where_an_operator_chose_it(fleet: Fleet) {
    let (gone, _other) = (fleet.enroll("gone").await, fleet.enroll("other").await);
    fleet.sql("UPDATE gc_network SET hold_alone = 1, hold_seconds = 600");
    fleet.release(&gone).await.unwrap();
    assert_eq!(quarantine_ends(&fleet).await, fleet.now() + 600);
    fleet.pass(599);
    assert_eq!(fleet.upkeep().await.freed, 0);
    fleet.pass(1);
    assert_eq!(fleet.upkeep().await.freed, 1);
    fleet.verify();
}

async fn the_ledger_follows_time(fleet: Fleet) {
    let member = fleet.enroll("one").await;
    let before = fleet.node(&member).await;
    let end = before.certificates[0].not_after;
    let change =
        NodeChange { groups: Change::Set(groups(&["a", "b", "c"])), ..NodeChange::default() };
    fleet.change(&member, change).await.unwrap();
    fleet.pass(end - fleet.now());
    assert_eq!(fleet.upkeep().await.expired, 0, "valid in its last second");
    fleet.pass(1);
    // The newer one ends a second earlier: its contents would have been another's else.
    let done = fleet.upkeep().await;
    assert_eq!(done.expired, 2);
    let ledger = fleet
        .service
        .node_certificates(Context::local(), demo(), member.id, None, 10)
        .await
        .unwrap();
    assert!(ledger.iter().all(|entry| entry.state == CertificateState::Expired));
    let node = fleet.node(&member).await;
    assert_eq!((node.state, node.certificates.len()), (NodeState::Active, 0));
    assert_eq!(node.addresses, before.addresses);
    fleet.verify();
    // Asking again with its token renews.
    let again = fleet.enroll_as(member.request.clone()).await.unwrap();
    assert!(!again.enrolled.is_new);
    let renewed = fleet.node(&member).await;
    assert_eq!(renewed.generation, node.generation + 1);
    assert_eq!(renewed.addresses, before.addresses);
    assert!(renewed.certificates[0].not_after > fleet.now());
    fleet.verify();
}

async fn replaced_certificates_are_blocked_once_reported_or_after_an_hour(fleet: Fleet) {
    let (silent, talks) = (fleet.enroll("silent").await, fleet.enroll("talks").await);
    let fingerprint =
        async |member| fleet.node(member).await.certificates[0].fingerprint.unwrap().to_string();
    let (of_silent, of_talks) = (fingerprint(&silent).await, fingerprint(&talks).await);
    let revision = fleet.revision().await;
    for member in [&silent, &talks] {
        let key = Some(fleet::new_key());
        fleet.service.renew(member.caller(), key).await.unwrap();
    }
    assert_eq!((fleet.revision().await, fleet.blocked().await.len()), (revision, 0));
    fleet.report(&talks).await;
    assert_eq!(fleet.revision().await, revision + 1);
    assert_eq!(fleet.blocked().await, std::slice::from_ref(&of_talks));
    fleet.report(&talks).await;
    fleet.pass(HOUR - 1);
    assert_eq!(fleet.upkeep().await.blocked, 0);
    assert_eq!(fleet.revision().await, revision + 1);
    fleet.pass(1);
    assert_eq!(fleet.upkeep().await.blocked, 1);
    assert_eq!(fleet.revision().await, revision + 2);
    let blocked = fleet.blocked().await;
    assert!(blocked.len() == 2 && blocked.contains(&of_silent) && blocked.contains(&of_talks));
    fleet.verify();
    // What is blocked already moves nothing.
    fleet.report(&silent).await;
    fleet.sql("UPDATE gc_certificate SET block_after = 1 WHERE state = 'revoked'");
    assert_eq!(fleet.upkeep().await.blocked, 0);
    assert_eq!(fleet.revision().await, revision + 2);
    fleet.verify();
}

async fn blocklists_are_pruned_once_a_day(fleet: Fleet) {
    let (one, two) = (fleet.enroll("one").await, fleet.enroll("two").await);
    let end = fleet.node(&one).await.certificates[0].not_after;
    fleet.release(&one).await.unwrap();
    fleet.pass(HOUR);
    fleet.release(&two).await.unwrap();
    assert_eq!(fleet.blocked().await.len(), 2);
    let revision = fleet.revision().await;
    fleet.pass(end - fleet.now() + DAY);
    assert_eq!(fleet.upkeep().await.pruned, 0, "not a day ago yet");
    fleet.pass(1);
    assert_eq!(fleet.upkeep().await.pruned, 1);
    assert_eq!((fleet.revision().await, fleet.blocked().await.len()), (revision + 1, 0));
    fleet.pass(DAY);
    assert_eq!(fleet.upkeep().await.pruned, 0);
    assert_eq!(fleet.revision().await, revision + 1);
    fleet.verify();
}

/// As a server sees it that was started with a clock ahead: everything has expired.
async fn live_ahead(fleet: &Fleet, seconds: i64) {
    fleet.pass(seconds);
    fleet.upkeep().await;
    assert_eq!(fleet.blocked().await.len(), 0);
}

async fn what_ended_under_a_clock_that_was_ahead_is_undone(fleet: Fleet) {
    let members = [fleet.enroll("gone").await, fleet.enroll("suspended").await];
    let (other_key, less) = (fleet.enroll("rekeyed").await, fleet.enroll("less").await);
    let stays = fleet.enroll("stays").await;
    let mut wrong = vec![];
    for member in members.iter().chain([&other_key, &less]) {
        let fingerprint = fleet.node(member).await.certificates[0].fingerprint.unwrap();
        wrong.push(fingerprint.to_string());
    }
    let current = fleet.node(&stays).await.certificates;
    fleet.pass(1);
    let [gone, suspended] = &members;
    fleet.release(gone).await.unwrap();
    fleet.suspend(suspended, "lost").await.unwrap();
    fleet.service.renew(other_key.caller(), Some(fleet::new_key())).await.unwrap();
    for names in [&["a"][..], &["a", "b"]] {
        fleet.pass(1);
        let change = NodeChange { groups: Change::Set(groups(names)), ..NodeChange::default() };
        fleet.change(&less, change).await.unwrap();
    }
    fleet.verify();

    live_ahead(&fleet, 400 * DAY).await;
    let fleet = fleet.put_back(400 * DAY);
    let found = fleet.violations();
    for fingerprint in &wrong {
        assert!(found.iter().any(|it| it.what.contains(fingerprint)), "{found:?}");
    }
    fleet.upkeep().await;
    let blocked = fleet.blocked().await;
    assert!(wrong.iter().all(|fingerprint| blocked.contains(fingerprint)), "{blocked:?}");
    assert_eq!(blocked.len(), wrong.len());
    assert_eq!(fleet.node(&stays).await.certificates, current);
    fleet.verify();
    let revision = fleet.revision().await;
    fleet.upkeep().await;
    assert_eq!(fleet.revision().await, revision);
}

async fn a_clock_that_was_ahead_and_told_nothing_is_noticed(fleet: Fleet) {
    let (gone, stays) = (fleet.enroll("gone").await, fleet.enroll("stays").await);
    fleet.release(&gone).await.unwrap();
    fleet.upkeep().await;
    let current = fleet.node(&stays).await.certificates;
    live_ahead(&fleet, 400 * DAY).await;
    // As if each event had been told before.
    fleet.sql(&format!("UPDATE alloc_event SET at = {0} WHERE at > {0}", fleet::START));
    let fleet = fleet.put_back(400 * DAY);
    fleet.upkeep().await;
    assert_eq!(fleet.blocked().await.len(), 1);
    assert_eq!(fleet.node(&stays).await.certificates, current);
}

async fn a_clock_that_is_ahead_forgets_nothing_that_is_valid(fleet: Fleet) {
    let fleet = fleet.forgetting(60 * DAY);
    let gone = fleet.enroll("gone").await;
    let fingerprint = fleet.node(&gone).await.certificates[0].fingerprint.unwrap();
    fleet.upkeep().await;
    fleet.release(&gone).await.unwrap();
    // From now on it is known how much time servers have lived through.
    fleet.sql("UPDATE gc_duty SET since = since - 86400 WHERE name = 'upkeep'");
    fleet.upkeep().await;
    live_ahead(&fleet, 400 * DAY).await;
    for _ in 0..3 {
        // As if a server had been there all day.
        fleet.pass(DAY);
        fleet.sql("UPDATE gc_duty SET until = until + 86400 WHERE name = 'upkeep'");
        let done = fleet.upkeep().await;
        assert_eq!((done.forgotten_events, done.forgotten_rows), (0, 0));
    }
    let fleet = fleet.put_back(400 * DAY);
    fleet.upkeep().await;
    assert_eq!(fleet.blocked().await, [fingerprint.to_string()]);
    fleet.verify();
}

/// Natively and in the dialect.
async fn what_is_not_valid_yet_is_answered_to_nobody(fleet: Fleet) {
    let native = fleet.enroll("native").await;
    let device = registration("device", &fleet::new_key());
    let register = async |fleet: &Fleet| {
        fleet.service.enroll_device(Context::local(), device.clone()).await.unwrap()
    };
    register(&fleet).await;
    live_ahead(&fleet, 400 * DAY).await;
    let early = [
        fleet.enroll_as(native.request.clone()).await.unwrap().enrolled.certificates,
        register(&fleet).await.certificates,
    ];
    let fleet = fleet.put_back(400 * DAY);
    let mut answered = [vec![], vec![]];
    for _ in 0..2 {
        let again = [
            fleet.enroll_as(native.request.clone()).await.unwrap().enrolled.certificates,
            register(&fleet).await.certificates,
        ];
        for (certificates, early) in again.iter().zip(&early) {
            assert_ne!(certificates, early);
            let begin = certificates[0].unverified_details().not_before();
            assert!(begin <= fleet.now(), "{begin}");
        }
        // The second time it is the same.
        let former = std::mem::replace(&mut answered, again.clone());
        assert!(former[0].is_empty() || former == again);
    }
    fleet.upkeep().await;
    fleet.verify();
}

async fn who_is_released_after_the_clock_was_put_right_is_blocked(fleet: Fleet) {
    let late = fleet.enroll("late").await;
    let fingerprint = fleet.node(&late).await.certificates[0].fingerprint.unwrap();
    live_ahead(&fleet, 400 * DAY).await;
    let fleet = fleet.put_back(400 * DAY);
    fleet.release(&late).await.unwrap();
    assert_eq!(fleet.blocked().await, [fingerprint.to_string()]);
    fleet.upkeep().await;
    fleet.verify();
}

async fn what_is_due_once_in_a_while_is_due_again_when_time_goes_back(fleet: Fleet) {
    let stays = fleet.enroll("stays").await;
    live_ahead(&fleet, 400 * DAY).await;
    let renewed = fleet.enroll_as(stays.request.clone()).await.unwrap();
    ask(&fleet, "stays", stays.caller()).await;
    let fleet = fleet.put_back(400 * DAY);
    // It was heard of at a time that is still to come, and is heard of now.
    ask(&fleet, "stays", stays.caller()).await;
    // Another instance has the duty, until a time that is far off now.
    assert!(fleet.service.upkeep().await.unwrap().is_some());
    // What it was given is not valid yet: it gets another.
    let own = fleet.service.own_node(stays.caller()).await.unwrap();
    assert!(own.renew_at.unwrap() <= fleet.now());
    let answer = fleet.service.renew(stays.caller(), None).await.unwrap();
    assert!(answer.renewed);
    assert!(answer.certificates[0].unverified_details().not_before() <= fleet.now());
    assert_ne!(answer.certificates[0].to_pem(), renewed.enrolled.certificates[0].to_pem());
    for _ in 0..2 {
        fleet.service.renew(stays.caller(), Some(fleet::new_key())).await.unwrap();
        fleet.pass(61);
    }
    fleet.verify();
}

/// Lets time pass while the server runs; how many nodes it released meanwhile.
async fn stay_up(fleet: &Fleet, seconds: i64) -> u64 {
    let (mut left, mut silent) = (seconds, 0);
    while left > 0 {
        fleet.pass(left.min(600));
        silent += fleet.upkeep().await.silent;
        left -= 600;
    }
    silent
}

/// A node asks something, which is stored behind the answer.
async fn ask(fleet: &Fleet, name: &str, caller: Context) {
    fleet.service.own_node(caller).await.unwrap();
    let now = fleet.now();
    let stored = format!("SELECT count(*) FROM gc_node WHERE name = '{name}' AND seen_at = {now}");
    while fleet.number(&stored) == 0 {
        tokio::task::yield_now().await;
    }
}

async fn silent_nodes_are_released(fleet: Fleet) {
    let (talks, silent) = (fleet.enroll("talks").await, fleet.enroll("silent").await);
    let (never, asks) = (fleet.enroll("never").await, fleet.enroll("asks").await);
    let device = registration("device", &fleet::new_key());
    let device = fleet.service.enroll_device(Context::local(), device).await.unwrap();
    for member in [&talks, &silent, &asks] {
        fleet.report(member).await;
    }
    fleet.upkeep().await;
    assert_eq!(stay_up(&fleet, HOUR).await, 0);
    fleet.report(&talks).await;
    // Whatever it asks; it has nothing to report.
    ask(&fleet, "asks", asks.caller()).await;
    assert_eq!(stay_up(&fleet, HOUR + 1).await, 0, "off unless it is set");
    fleet.sql(&format!("UPDATE gc_network SET silence_seconds = {}", 2 * HOUR));
    let revision = fleet.revision().await;
    assert_eq!(fleet.upkeep().await.silent, 1);
    assert_eq!(fleet.revision().await, revision + 1);
    let gone = fleet.node(&silent).await;
    assert_eq!((gone.state, gone.state_reason.as_deref()), (NodeState::Released, Some("silent")));
    for member in [&talks, &never, &asks] {
        assert_eq!(fleet.node(member).await.state, NodeState::Active);
    }
    let stays = fleet.service.node(Context::local(), demo(), device.node).await.unwrap();
    assert_eq!(stays.state, NodeState::Active);
    assert_eq!(fleet.upkeep().await.silent, 0);
    fleet.verify();
}

async fn who_never_reports_gives_back_some_time_after_its_last_certificate(fleet: Fleet) {
    let (talks, never) = (fleet.enroll("talks").await, fleet.enroll("never").await);
    let (suspended, asks) = (fleet.enroll("suspended").await, fleet.enroll("asks").await);
    let device = registration("device", &fleet::new_key());
    let device = fleet.service.enroll_device(Context::local(), device).await.unwrap().node;
    fleet.report(&talks).await;
    fleet.suspend(&suspended, "away").await.unwrap();
    let end_of = async |node| {
        let node = fleet.service.node(Context::local(), demo(), node).await.unwrap();
        (node.certificates.first().map(|one| one.not_after), node.state)
    };
    let (end, last) = (end_of(never.id).await.0.unwrap(), end_of(device).await.0.unwrap());
    fleet.pass(end - fleet.now());
    stay_up(&fleet, 2 * HOUR).await;
    let off = fleet.upkeep().await.given_back;
    assert_eq!((off, end_of(never.id).await.1), (0, NodeState::Active), "off unless it is set");
    fleet.sql(&format!("UPDATE gc_network SET give_back_seconds = {}", 3 * HOUR));
    ask(&fleet, "asks", asks.caller()).await;
    assert_eq!(fleet.upkeep().await.given_back, 0, "not so long ago yet");
    stay_up(&fleet, HOUR - 600).await;
    assert_eq!(end_of(never.id).await.1, NodeState::Active);
    let revision = fleet.revision().await;
    stay_up(&fleet, 1300).await;
    let gone = fleet.node(&never).await;
    let released = (NodeState::Released, Some("certificate_ended"));
    assert_eq!((gone.state, gone.state_reason.as_deref()), released);
    assert_eq!(fleet.revision().await, revision + 1);
    for stays in [talks.id, asks.id, device] {
        assert_eq!(end_of(stays).await.1, NodeState::Active);
    }
    assert_eq!(fleet.node(&suspended).await.state, NodeState::Suspended);
    assert_eq!(fleet.upkeep().await.given_back, 0, "it is done");
    // Devices of the dialect have longer certificates. No server was there: that does not count.
    fleet.pass(last + 4 * HOUR - fleet.now());
    assert_eq!(fleet.upkeep().await.given_back, 0);
    assert_eq!(end_of(device).await.1, NodeState::Active);
    stay_up(&fleet, 3 * HOUR + 600).await;
    assert_eq!(end_of(device).await.1, NodeState::Released);
    assert_eq!(end_of(talks.id).await.1, NodeState::Active);
    fleet.verify();
}

async fn who_came_with_an_ephemeral_token_is_released_when_it_is_silent(fleet: Fleet) {
    let token = |seconds| NewJoinToken { ephemeral_seconds: Some(seconds), ..join_token(5, DAY) };
    let made = async |token| {
        let made = fleet.service.create_join_token(Context::local(), demo(), token, None).await;
        made.map(|made| Context::bearer(made.secret.unwrap()))
    };
    for out_of_range in [899, 10 * 365 * DAY + 1] {
        let refused = made(token(out_of_range)).await.unwrap_err().to_string();
        assert!(refused.contains("ephemeralSeconds: must be from 900 to 315360000"), "{refused}");
    }
    let short = made(token(HOUR)).await.unwrap();
    let long = made(token(3 * HOUR)).await.unwrap();
    let joined = async |name, by: &Context| {
        let request = enrollment(name);
        let request = Enrollment { groups: None, ..request };
        let enrolled = fleet.service.enroll(by.clone(), request.clone()).await.unwrap();
        Member { id: enrolled.node, request, enrolled }
    };
    let [never, asks, suspended] =
        [joined("never", &short).await, joined("asks", &short).await, joined("out", &short).await];
    let (later, stays) = (joined("later", &long).await, fleet.enroll("stays").await);
    let device = registration("device", &fleet::new_key());
    let device = fleet.service.enroll_device(short.clone(), device).await.unwrap().node;
    fleet.suspend(&suspended, "away").await.unwrap();
    assert_eq!(fleet.node(&never).await.ephemeral_seconds, Some(HOUR));
    assert_eq!(fleet.node(&stays).await.ephemeral_seconds, None);
    // No server was there for most of this: that does not count.
    fleet.upkeep().await;
    fleet.pass(2 * HOUR);
    assert_eq!(fleet.upkeep().await.ephemeral, 0);
    ask(&fleet, "asks", asks.caller()).await;
    let mut released = 0;
    for _ in 0..6 {
        assert_eq!(released, 0);
        fleet.pass(600);
        released += fleet.upkeep().await.ephemeral;
    }
    assert_eq!(released, 2, "an hour after it was there again");
    let revision = fleet.revision().await;
    let gone = fleet.node(&never).await;
    let silent = (NodeState::Released, Some("ephemeral"));
    assert_eq!((gone.state, gone.state_reason.as_deref()), silent);
    let state =
        async |node| fleet.service.node(Context::local(), demo(), node).await.unwrap().state;
    assert_eq!(state(device).await, NodeState::Released, "it never asks");
    for member in [&asks, &later, &stays] {
        assert_eq!(fleet.node(member).await.state, NodeState::Active);
    }
    assert_eq!(fleet.node(&suspended).await.state, NodeState::Suspended);
    assert_eq!(fleet.upkeep().await.ephemeral, 0, "it is done");
    assert_eq!(fleet.revision().await, revision);
    // Its address is in quarantine as others', and who is let in again was not silent.
    assert_eq!(fleet.number("SELECT count(*) FROM alloc_lease WHERE state = 2"), 2);
    fleet.reinstate(&suspended).await.unwrap();
    stay_up(&fleet, 600).await;
    assert_eq!(fleet.node(&asks).await.state, NodeState::Released);
    assert_eq!(fleet.node(&suspended).await.state, NodeState::Active);
    stay_up(&fleet, 2 * HOUR).await;
    assert_eq!(fleet.node(&later).await.state, NodeState::Released);
    assert_eq!(fleet.node(&stays).await.state, NodeState::Active);
    let told = "SELECT count(*) FROM alloc_event WHERE kind = 'node.released' \
                AND actor = 'upkeep' AND detail LIKE '%ephemeral%'";
    assert_eq!(fleet.number(told), 5);
    fleet.verify();
}

async fn who_could_not_be_heard_was_not_silent(fleet: Fleet) {
    fleet.sql(&format!("UPDATE gc_network SET silence_seconds = {HOUR}"));
    let member = fleet.enroll("one").await;
    fleet.report(&member).await;
    assert_eq!(fleet.upkeep().await.silent, 0);
    // There was no server, or none that had its database.
    fleet.pass(DAY);
    assert_eq!(fleet.upkeep().await.silent, 0);
    assert_eq!(stay_up(&fleet, HOUR - 600).await, 0);
    if fleet.is_shared() {
        // Another instance goes on: that is no interruption.
        let other = fleet.another();
        fleet.pass(300);
        assert_eq!(other.upkeep().await.unwrap().unwrap().silent, 0);
        fleet.pass(300);
        assert_eq!(other.upkeep().await.unwrap().unwrap().silent, 1);
    } else {
        assert_eq!(stay_up(&fleet, 600).await, 1);
    }
    assert_eq!(fleet.node(&member).await.state, NodeState::Released);
    fleet.verify();
}

async fn who_is_let_in_again_was_not_silent(fleet: Fleet) {
    fleet.sql(&format!("UPDATE gc_network SET silence_seconds = {HOUR}"));
    let member = fleet.enroll("one").await;
    fleet.report(&member).await;
    fleet.suspend(&member, "lost").await.unwrap();
    assert_eq!(fleet.upkeep().await.silent, 0);
    assert_eq!(stay_up(&fleet, 2 * HOUR).await, 0);
    fleet.reinstate(&member).await.unwrap();
    assert_eq!(stay_up(&fleet, HOUR).await, 0);
    assert_eq!(stay_up(&fleet, 1).await, 1);
    fleet.verify();
}

async fn unsound_certificates_are_told_once(fleet: Fleet) {
    let names = ["name", "groups", "key", "lease", "row", "whole"];
    for name in names {
        fleet.enroll(name).await;
    }
    assert_eq!(fleet.upkeep().await.unsound, 0);
    let one = |name: &str| format!("(SELECT id FROM gc_node WHERE name = '{name}')");
    // What each certificate says is not what its node's rows say any more.
    fleet.sql(&format!(
        "UPDATE gc_certificate SET not_after = not_after + 1 WHERE node = {}",
        one("row")
    ));
    fleet.sql("UPDATE gc_node SET groups = '[\"a\"]' WHERE name = 'groups'");
    fleet.sql("UPDATE gc_node SET public_key = (SELECT fingerprint FROM gc_ca) WHERE name = 'key'");
    fleet.sql(&format!("DELETE FROM alloc_lease WHERE owner = {}", one("lease")));
    fleet.sql("UPDATE gc_node SET name = 'other' WHERE name = 'name'");
    assert_eq!(fleet.upkeep().await.unsound, 0, "once a day");
    fleet.pass(DAY);
    assert_eq!(fleet.upkeep().await.unsound, 5);
    let events = "SELECT count(*) FROM alloc_event WHERE kind = 'certificate.unsound'";
    assert_eq!(fleet.number(events), 5);
    fleet.pass(DAY);
    assert_eq!(fleet.upkeep().await.unsound, 0);
    assert_eq!(fleet.number(events), 5);
}

async fn doing_it_again_does_nothing_more(fleet: Fleet) {
    fleet.sql("UPDATE gc_network SET silence_seconds = 1900");
    for index in 0..40 {
        let request =
            Enrollment { relay: Some(index % 3 == 0), ..enrollment(&format!("n{index}")) };
        let member = fleet.enroll_as(request).await.unwrap();
        match index % 4 {
            0 => fleet.report(&member).await,
            1 => drop(fleet.release(&member).await.unwrap()),
            _ => {}
        }
    }
    fleet.sql(
        "INSERT INTO gc_idempotency (principal, key, request, resource, created_at) \
         SELECT 'local', name, id, id, 1 FROM gc_node",
    );
    for passed in [0, 2000, DAY, 15 * DAY, 20 * DAY] {
        if passed == 2000 {
            assert_eq!(stay_up(&fleet, 1800).await, 0);
            fleet.pass(200);
        } else {
            fleet.pass(passed);
        }
        let done = fleet.upkeep().await;
        fleet.verify();
        if passed == 0 {
            assert_eq!(done.forgotten, 40);
        }
        if passed == 2000 {
            assert_eq!(done.silent, 10);
        }
        // What was silent has been let go, and certificates ended, each once.
        let (revision, events) =
            (fleet.revision().await, fleet.number("SELECT count(*) FROM alloc_event"));
        assert_eq!(fleet.upkeep().await, Upkeep::default(), "after {passed} s");
        assert_eq!(fleet.revision().await, revision);
        assert_eq!(fleet.number("SELECT count(*) FROM alloc_event"), events);
    }
    assert_eq!(fleet.number("SELECT count(*) FROM gc_certificate WHERE state = 'issued'"), 0);
    assert_eq!(fleet.number("SELECT count(*) FROM alloc_lease WHERE state = 2"), 0);
}

async fn one_instance_does_it(fleet: Fleet) {
    if !fleet.is_shared() {
        return;
    }
    let other = fleet.another();
    let gone = fleet.enroll("gone").await;
    fleet.release(&gone).await.unwrap();
    fleet.pass(15 * DAY);
    assert_eq!(fleet.upkeep().await.freed, 1);
    assert_eq!(other.upkeep().await.unwrap(), None);
    fleet.pass(59);
    assert_eq!(other.upkeep().await.unwrap(), None);
    assert!(fleet.service.upkeep().await.unwrap().is_some(), "whoever has it keeps it");
    // Its holder is gone for a minute.
    fleet.pass(60);
    assert!(other.upkeep().await.unwrap().is_some());
    assert_eq!(fleet.service.upkeep().await.unwrap(), None);
    // Both at once: one of them.
    fleet.pass(61);
    let (one, another) = tokio::join!(fleet.service.upkeep(), other.upkeep());
    assert_eq!(usize::from(one.unwrap().is_some()) + usize::from(another.unwrap().is_some()), 1);
}

/// Hears how each pass of this thread ended, as the log tells it.
struct Passes(mpsc::UnboundedSender<Level>);

struct Heard {
    passes: mpsc::UnboundedReceiver<Level>,
    late: oneshot::Receiver<()>,
    _guard: DefaultGuard,
}

impl Passes {
    fn heard() -> Heard {
        let (tell, passes) = mpsc::unbounded_channel();
        let (give_up, late) = oneshot::channel();
        // The runtime's own time is not what passes outside.
        std::thread::spawn(move || {
            std::thread::sleep(Duration::from_secs(240));
            give_up.send(())
        });
        Heard { passes, late, _guard: tracing::subscriber::set_default(Self(tell)) }
    }
}

impl Heard {
    async fn next(&mut self) -> Level {
        tokio::select! {
            level = self.passes.recv() => level.unwrap(),
            _ = &mut self.late => panic!("no pass in four minutes"),
        }
    }

    async fn until(&mut self, level: Level) {
        while self.next().await != level {}
    }
}

impl Subscriber for Passes {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "nebula_gc_http::server::serve"
    }
    fn event(&self, event: &Event<'_>) {
        self.0.send(*event.metadata().level()).unwrap();
    }
    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

/// Time passes between two passes as soon as nothing else is to be done.
async fn passes_go_on_whatever_becomes_of_one(fleet: Fleet) {
    tokio::time::pause();
    let mut passes = Passes::heard();
    let keeping = tokio::spawn(keep_up(Arc::clone(&fleet.service)));
    let held = || fleet.number("SELECT count(*) FROM alloc_lease WHERE state = 2");
    assert_eq!(passes.next().await, Level::DEBUG);
    for name in ["one", "two"] {
        let gone = fleet.enroll(name).await;
        fleet.release(&gone).await.unwrap();
        assert_eq!(held(), 1);
        fleet.sql("ALTER TABLE gc_idempotency RENAME TO gc_away");
        passes.until(Level::ERROR).await;
        assert_eq!(passes.next().await, Level::ERROR, "and again");
        fleet.sql("ALTER TABLE gc_away RENAME TO gc_idempotency");
        fleet.pass(15 * DAY);
        passes.until(Level::DEBUG).await;
        assert_eq!(held(), 0);
    }
    fleet.verify();
    keeping.abort();
}

async fn they_end_with_the_server(fleet: Fleet) {
    let mut passes = Passes::heard();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let stopped = async { drop(stopped.await) };
    let serving = tokio::spawn(serve(listener, Arc::clone(&fleet.service), stopped));
    assert_eq!(passes.next().await, Level::DEBUG);
    stop.send(()).unwrap();
    serving.await.unwrap().unwrap();
    assert_eq!(Arc::strong_count(&fleet.service), 1, "nobody else has it");
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(60)).await;
    tokio::task::yield_now().await;
    assert!(passes.passes.try_recv().is_err());
}

async fn what_has_been_over_for_long_is_forgotten_and_nothing_else(fleet: Fleet) {
    let fleet = fleet.forgetting(60 * DAY);
    let (stays, gone) = (fleet.enroll("stays").await, fleet.enroll("gone").await);
    let (back, bad) = (fleet.enroll("back").await, fleet.enroll("bad").await);
    fleet.release(&gone).await.unwrap();
    fleet.release(&back).await.unwrap();
    let again = fleet.enroll("back").await;
    assert_eq!(again.enrolled.networks, back.enrolled.networks);
    fleet.revoke(&bad, "stolen").await.unwrap();
    let former = stays.request.public_key.clone();
    let renew = async |key| {
        let renewed = fleet.service.renew(stays.caller(), key).await.unwrap();
        assert!(renewed.renewed);
    };
    renew(Some(fleet::new_key())).await;
    let token = join_token(1, DAY);
    let making = fleet.service.create_join_token(Context::local(), demo(), token, None);
    let token = making.await.unwrap().resource;
    for _ in 0..12 {
        fleet.pass(10 * DAY);
        renew(None).await;
        fleet.verify();
        if fleet.now() < fleet::START + 55 * DAY {
            let done = fleet.upkeep().await;
            assert_eq!((done.forgotten_events, done.forgotten_rows), (0, 0), "{done:?}");
        }
    }
    let count = |what: &str| fleet.number(&format!("SELECT count(*) FROM {what}"));
    let certificates = count("gc_certificate");
    // Quarantines end first, and the clock has to be lived by for a day.
    let mut done = fleet.upkeep().await;
    assert_eq!(done.forgotten_events, 0);
    fleet.sql("UPDATE gc_duty SET since = since - 86400 WHERE name = 'upkeep'");
    done = fleet.upkeep().await;
    fleet.verify();
    fleet.pass(DAY);
    fleet.upkeep().await;
    fleet.sql("UPDATE gc_duty SET since = since - 86400 WHERE name = 'upkeep'");
    done.forgotten_events += fleet.upkeep().await.forgotten_events;
    assert!(done.forgotten_events > 20, "{done:?}");
    fleet.verify();
    assert!(count("gc_certificate") < certificates - 5);
    let renewals = count("alloc_event WHERE kind = 'lease.renewed'");
    assert!((6..=7).contains(&renewals), "those of 60 days: {renewals}");
    let node = async |id| fleet.service.node(Context::local(), demo(), id).await;
    assert!(matches!(node(gone.id).await, Err(Error::NotFound { .. })));
    let tokens = fleet.service.join_tokens(Context::local(), demo(), None, 10).await.unwrap();
    assert!(tokens.iter().all(|left| left.id != token.id));
    // Whose address went on to the next stays, and so do those who are kept out, and former keys.
    assert_eq!(node(back.id).await.unwrap().state, NodeState::Released);
    assert_eq!(node(bad.id).await.unwrap().state, NodeState::Revoked);
    for key in [former, bad.request.public_key.clone()] {
        let taken = Enrollment { public_key: key, ..enrollment("thief") };
        assert!(fleet.enroll_as(taken).await.is_err());
    }
    renew_soon(&fleet, &stays).await;
    // Once a day is enough.
    fleet.upkeep().await;
    let done = fleet.upkeep().await;
    assert_eq!((done.forgotten_events, done.forgotten_rows), (0, 0));
    fleet.verify();
}

/// It has what it needs to go on.
async fn renew_soon(fleet: &Fleet, member: &Member) {
    fleet.pass(10 * DAY);
    assert!(fleet.service.renew(member.caller(), None).await.unwrap().renewed);
}
