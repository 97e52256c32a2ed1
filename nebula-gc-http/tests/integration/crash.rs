//! Do all rules hold, and is all there that was acknowledged, after SIGKILL or a loss of power at any
//! moment of enrolment, renewal, revocation and remote signing?
//!
//! `GC_CRASHES` kills on each engine, 15 by default; `GC_CRASH_SEED` repeats the same choices, as far
//! as the machine's timing lets it. `POWER_CUTS` losses of power, 150 by default, as in the test
//! `power_loss` of `nebula-alloc`.
#![cfg(unix)]

mod load;
mod plane;
mod power;
mod told;

use std::collections::BTreeSet;
use std::time::Duration;

use crate::shared::child;
use crate::shared::random::{Random, setting};
use crate::support::Engine;
use nebula_gc_http::Rule;
use plane::Plane;
use told::Told;

/// How often one database is crashed; then the next begins empty.
const KILLS_OF_ONE: u64 = 5;
/// The load lasts at most this long before a kill, in microseconds after its first outcome.
const LOAD: usize = 500_000;
/// The latest kill of one that starts, in microseconds.
const START: usize = 100_000;
/// How many devices ask again after a kill.
const ASK_AGAIN: usize = 24;
const CHILD: &str = "crash::child_works_until_it_is_killed";

/// Not a test of its own.
#[test]
fn child_works_until_it_is_killed() {
    let Some(directory) = child::argument() else { return };
    let (plane, name) = Plane::of_child(directory);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let service = plane.service().unwrap();
        say_ready();
        load::work(service, name.clone(), seed_of(&name), u64::MAX).await;
    });
}

fn say_ready() {
    child::say("ready");
}

fn seed_of(name: &str) -> u64 {
    name.bytes().fold(setting("GC_CRASH_SEED", 1), |seed, byte| {
        seed.wrapping_mul(31).wrapping_add(u64::from(byte))
    })
}

#[test]
fn all_rules_hold_after_a_kill_at_any_moment_on_sqlite() {
    crash(Engine::Sqlite);
}

#[test]
fn all_rules_hold_after_a_kill_at_any_moment_on_postgresql() {
    crash(Engine::Postgres);
}

fn crash(engine: Engine) {
    let kills = setting("GC_CRASHES", 15);
    let mut random = Random(setting("GC_CRASH_SEED", 1));
    let mut done = 0;
    let mut total = 0;
    while done < kills {
        let Some(plane) = Plane::on(engine) else { return };
        let mut told = Told::default();
        for _ in 0..KILLS_OF_ONE.min(kills - done) {
            done += 1;
            let mut child = plane.child(&format!("c{done}"));
            let moment = if done % 4 == 0 {
                random.below(START)
            } else {
                told.wait(&mut child);
                random.below(LOAD)
            };
            let moment = Duration::from_micros(moment.try_into().unwrap());
            child.kill_after(moment).iter().for_each(|line| told.note(line));
            if let Err(wrong) = plane.check(&mut told, &mut random, ASK_AGAIN) {
                panic!("kill {done}, after {moment:?}: {wrong}");
            }
        }
        total += told.outcomes;
        println!("{done} kills, {total} outcomes, {} nodes of the last database", told.len());
    }
    assert!(total > done, "only {total} outcomes");
}

/// Two instances: one is killed, the other goes on, and sees to what the dead one left pending.
#[test]
fn an_instance_sees_to_what_a_killed_one_left() {
    let Some(plane) = Plane::on(Engine::Postgres) else { return };
    let mut random = Random(setting("GC_CRASH_SEED", 1));
    let mut told = Told::default();
    for round in 0..setting("GC_CRASHES", 15).div_ceil(20) {
        let mut one = plane.child(&format!("one{round}"));
        let mut other = plane.child(&format!("other{round}"));
        told.wait(&mut one);
        told.wait(&mut other);
        let moment = Duration::from_micros(random.below(LOAD).try_into().unwrap());
        one.kill_after(moment).iter().for_each(|line| told.note(line));
        let left = plane.pending();
        // The other one's outcomes are read meanwhile, so that it never waits for us.
        let mut lines = vec![];
        while plane.still_pending(&left) {
            lines.extend(other.line());
        }
        lines.extend(other.kill_after(Duration::ZERO));
        lines.iter().for_each(|line| told.note(line));
        println!("{} were pending, and {} outcomes followed", left.len(), lines.len());
        if let Err(wrong) = plane.check(&mut told, &mut random, ASK_AGAIN) {
            panic!("two instances, round {round}: {wrong}");
        }
    }
}

/// Each rule, broken on purpose in the rows of a good database, is what the checker reports.
#[test]
fn the_checker_notices_each_rule_that_is_broken() {
    let Some(plane) = Plane::on(Engine::Sqlite) else { return };
    let mut told = Told::default();
    let mut child = plane.child("broken");
    // Enough that each state of a node and of a certificate is there.
    while told.outcomes < 500 {
        told.note(&child.line().unwrap());
    }
    child.kill_after(Duration::ZERO).iter().for_each(|line| told.note(line));
    let now = plane.now();
    assert_eq!(plane.verify(now).unwrap(), []);
    let mut wrong = vec![];
    for (rules, sql) in BROKEN {
        let found = plane.verify_broken(sql, now);
        let broken: BTreeSet<_> = found.iter().map(|violation| violation.rule).collect();
        if broken != rules.iter().copied().collect() {
            // One of each rule.
            let mut seen = BTreeSet::new();
            let first = found.iter().filter(|violation| seen.insert(violation.rule));
            let first: Vec<_> = first.map(ToString::to_string).collect();
            wrong.push(format!("{sql}: {first:#?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The rules that each of these breaks.
const BROKEN: &[(&[Rule], &str)] = &[
    (
        &[Rule::OneHolder],
        "DROP INDEX gc_node_name;
         UPDATE gc_node SET name = (SELECT name FROM gc_node WHERE state = 'revoked' LIMIT 1)
         WHERE id = (SELECT id FROM gc_node WHERE state = 'suspended' AND network =
         (SELECT network FROM gc_node WHERE state = 'revoked' LIMIT 1) LIMIT 1)",
    ),
    (&[Rule::Quarantine], "UPDATE alloc_lease SET hold_until = released_at WHERE state = 2"),
    (
        &[Rule::Quarantine],
        "UPDATE alloc_lease SET hold_until = hold_until - 1000000 WHERE state = 1",
    ),
    (
        &[Rule::AllOrNothing, Rule::OneMove],
        "DELETE FROM alloc_event WHERE kind = 'node.revoked' AND id IN
         (SELECT max(id) FROM alloc_event WHERE kind LIKE 'node.%' GROUP BY subject)",
    ),
    (&[Rule::AllOrNothing], "UPDATE gc_network SET active_ca = randomblob(16)"),
    (&[Rule::AllOrNothing], "UPDATE gc_join_token SET used = used - 1 WHERE used > 0"),
    (&[Rule::AllOrNothing], "UPDATE gc_operator_key SET network = randomblob(16)"),
    (
        &[Rule::AllOrNothing],
        "INSERT INTO gc_blocklist SELECT network, randomblob(32), not_after, revision
         FROM gc_blocklist LIMIT 1",
    ),
    (
        &[Rule::Ledger],
        "UPDATE gc_node SET groups = '[\"admin\"]' WHERE id =
         (SELECT node FROM gc_certificate WHERE state = 'issued' LIMIT 1)",
    ),
    (
        &[Rule::Ledger],
        "UPDATE gc_certificate SET not_after = not_after - 1
         WHERE id = (SELECT id FROM gc_certificate WHERE state = 'superseded' LIMIT 1)",
    ),
    (
        &[Rule::Ledger],
        "UPDATE gc_certificate SET instance = NULL WHERE state IN ('pending', 'cancelled')",
    ),
    (
        &[Rule::Ledger],
        "UPDATE gc_certificate SET contents = CAST(substr(contents, 2) AS BLOB)
         WHERE state IN ('pending', 'cancelled')",
    ),
    (
        &[Rule::Ledger],
        "UPDATE gc_certificate SET instance = 'one' WHERE id IN
         (SELECT id FROM gc_certificate WHERE state = 'issued' LIMIT 1)",
    ),
    (&[Rule::Blocked], "DELETE FROM gc_blocklist"),
    (&[Rule::Blocked], "UPDATE gc_network SET curve = 0 WHERE name = 'p256'"),
    (
        &[Rule::AllOrNothing, Rule::Ledger, Rule::Blocked],
        "UPDATE gc_certificate SET state = 'pending', reason = 'renewed', instance = 'one',
         deadline = 0, fingerprint = NULL WHERE id IN
         (SELECT max(one.id) FROM gc_certificate AS one JOIN gc_node ON gc_node.id = one.node
         WHERE one.state = 'revoked' AND gc_node.state = 'suspended')",
    ),
    (&[Rule::OneMove], "UPDATE gc_network SET revision = revision + 1"),
    (&[Rule::OneMove], "UPDATE gc_node SET generation = generation + 1"),
    (
        &[Rule::OneMove],
        "UPDATE alloc_event SET detail = json_remove(detail, '$.revision')
         WHERE kind = 'node.revoked'",
    ),
    (
        &[Rule::OneMove],
        "UPDATE alloc_event SET detail = json_set(detail, '$.generation', 1)
         WHERE kind = 'node.changed'",
    ),
];
