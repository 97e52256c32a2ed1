//! Does `verify` judge what happened by what held then, and still see what is wrong?

use crate::support::fleet::{Fleet, demo};
use nebula_gc_http::{Context, Expected, NetworkPatch, Rule};
use nebula_pki::Fingerprint;

const DAY: i64 = 86_400;

on_both_engines! {
    quarantines_are_as_long_as_the_hold_time_was
    a_network_that_held_alone_is_believed_so_later
    what_was_blocked_before_the_log_begins_is_no_contradiction
}

async fn change(fleet: &Fleet, patch: NetworkPatch) {
    let local = Context::local();
    fleet.service.change_network(local, demo(), Expected::Anything, patch).await.unwrap();
}

async fn hold(fleet: &Fleet, seconds: i64) {
    change(fleet, NetworkPatch { hold_seconds: Some(seconds), ..NetworkPatch::default() }).await;
}

async fn quarantines_are_as_long_as_the_hold_time_was(fleet: Fleet) {
    let (one, two) = (fleet.enroll("one").await, fleet.enroll("two").await);
    let stays = fleet.enroll("stays").await;
    hold(&fleet, 600).await;
    fleet.pass(1);
    fleet.release(&one).await.unwrap();
    fleet.report(&stays).await;
    fleet.report(&two).await;
    assert_eq!(fleet.upkeep().await.shortened, 1);
    fleet.pass(1);
    hold(&fleet, 30 * DAY).await;
    fleet.verify();
    fleet.pass(1);
    fleet.release(&two).await.unwrap();
    fleet.pass(1);
    // Shorter again, which a quarantine that is to end early follows.
    hold(&fleet, 900).await;
    fleet.report(&stays).await;
    assert_eq!(fleet.upkeep().await.shortened, 1);
    fleet.verify();
    fleet.sql("UPDATE alloc_lease SET hold_until = released_at + 599 WHERE state = 2");
    let short = fleet.violations();
    let short = short.iter().filter(|it| it.rule == Rule::Quarantine);
    assert_eq!(short.filter(|it| it.what.contains("too short")).count(), 2);
}

async fn what_was_blocked_before_the_log_begins_is_no_contradiction(fleet: Fleet) {
    let fleet = fleet.forgetting(60 * DAY);
    let foreign = Fingerprint::from_bytes([7; 32]);
    let local = Context::local();
    fleet.service.block_certificates(local, demo(), vec![foreign]).await.unwrap();
    fleet.pass(100 * DAY);
    fleet.upkeep().await;
    fleet.sql("UPDATE gc_duty SET since = since - 86400 WHERE name = 'upkeep'");
    assert!(fleet.upkeep().await.forgotten_events > 0);
    assert_eq!(fleet.number("SELECT count(*) FROM alloc_event WHERE kind = 'blocklist.added'"), 0);
    fleet.verify();
    // What is still valid was issued here, and is in the ledger for longer than the log.
    fleet.sql("UPDATE gc_blocklist SET not_after = 4000000000");
    let found = fleet.violations();
    assert!(found.iter().any(|it| it.what.contains("was never issued")), "{found:?}");
}

async fn a_network_that_held_alone_is_believed_so_later(fleet: Fleet) {
    let alone = async |hold_alone| {
        let hold_alone = Some(hold_alone);
        change(&fleet, NetworkPatch { hold_alone, ..NetworkPatch::default() }).await;
    };
    let (gone, _stays) = (fleet.enroll("gone").await, fleet.enroll("stays").await);
    fleet.pass(1);
    alone(true).await;
    fleet.release(&gone).await.unwrap();
    // As if the blocking had been lost: its certificate is accepted.
    fleet.sql("DELETE FROM gc_blocklist");
    fleet.pass(DAY);
    assert_eq!(fleet.upkeep().await.freed, 1);
    alone(false).await;
    fleet.pass(1);
    let is_quarantine = |found: &nebula_gc_http::Violation| found.rule == Rule::Quarantine;
    assert!(!fleet.violations().iter().any(is_quarantine));
    // What came later is judged by what holds since.
    let late = fleet.enroll("late").await;
    fleet.release(&late).await.unwrap();
    fleet.sql("DELETE FROM gc_blocklist");
    fleet.sql("UPDATE alloc_lease SET hold_until = released_at + 86400 WHERE state = 2");
    assert!(fleet.violations().iter().any(is_quarantine));
}
