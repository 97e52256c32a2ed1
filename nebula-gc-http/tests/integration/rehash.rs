//! Do join tokens and node tokens go over to a new secret of the server as they are used?

use crate::support::fleet::{Fleet, demo, enrollment};
use crate::support::requests;
use nebula_gc_http::{Bearer, Context, Error, Expected, ServerSecrets};
use serde_json::Value;

on_both_engines! {
    tokens_go_over_as_they_are_used
    a_token_is_replaced_while_it_goes_over
}

fn rotated(mut secrets: ServerSecrets) -> ServerSecrets {
    secrets.rotate().unwrap();
    secrets
}

/// Without what was hashed with before.
fn pruned(secrets: ServerSecrets) -> ServerSecrets {
    let mut json: Value = serde_json::from_str(&secrets.to_json()).unwrap();
    json["hashing"].as_array_mut().unwrap().truncate(1);
    ServerSecrets::from_json(&json.to_string()).unwrap()
}

/// How many tokens of a kind are hashed with each key.
fn hashed(fleet: &Fleet, table: &str, column: &str) -> [i64; 2] {
    [1, 2].map(|key| fleet.number(&format!("SELECT count(*) FROM {table} WHERE {column} = {key}")))
}

async fn join_token(fleet: &Fleet) -> Context {
    let request = requests::join_token(10, 86_400);
    let made = fleet.service.create_join_token(Context::local(), demo(), request, None);
    Context::bearer(made.await.unwrap().secret.unwrap())
}

async fn join(fleet: &Fleet, token: &Context, name: &str) -> Context {
    let request = nebula_gc_http::Enrollment { groups: None, ..enrollment(name) };
    let node = Context::bearer(request.token.clone());
    fleet.service.enroll(token.clone(), request).await.unwrap();
    node
}

async fn tokens_go_over_as_they_are_used(fleet: Fleet) {
    let (token, unused) = (join_token(&fleet).await, join_token(&fleet).await);
    let (node, silent) = (join(&fleet, &token, "one").await, join(&fleet, &token, "two").await);
    let fleet = fleet.restarted(rotated);
    assert_eq!(hashed(&fleet, "gc_node", "token_key"), [2, 0]);
    assert_eq!(hashed(&fleet, "gc_join_token", "hash_key"), [2, 0]);
    fleet.service.own_node(node.clone()).await.unwrap();
    // What a read found is written behind it, and before the next change.
    let third = join(&fleet, &token, "three").await;
    join(&fleet, &token, "four").await;
    assert_eq!(hashed(&fleet, "gc_node", "token_key"), [1, 3]);
    assert_eq!(hashed(&fleet, "gc_join_token", "hash_key"), [1, 1]);
    for caller in [&node, &silent, &third] {
        fleet.service.own_node(caller.clone()).await.unwrap();
    }
    join(&fleet, &unused, "five").await;
    join(&fleet, &unused, "six").await;
    assert_eq!(hashed(&fleet, "gc_node", "token_key"), [0, 6]);
    assert_eq!(hashed(&fleet, "gc_join_token", "hash_key"), [0, 2]);
    fleet.verify();
    // Nobody has used the root operator's key.
    fleet.sql("UPDATE gc_operator_key SET revoked_at = 1");
    // All of them are known without the former secret.
    let fleet = fleet.restarted(pruned);
    for caller in [&node, &silent, &third] {
        fleet.service.own_node(caller.clone()).await.unwrap();
    }
    join(&fleet, &token, "seven").await;
    join(&fleet, &unused, "eight").await;
    fleet.verify();
}

async fn a_token_is_replaced_while_it_goes_over(fleet: Fleet) {
    let mut members = vec![];
    for index in 0..24 {
        members.push(fleet.enroll(&format!("n{index}")).await);
    }
    let fleet = fleet.restarted(rotated);
    // Another instance, where there can be one.
    let other = if fleet.is_shared() { fleet.another() } else { fleet.service.clone() };
    let mut replaced = vec![];
    for (index, member) in members.iter().enumerate() {
        let new = Bearer::new_node_token().unwrap();
        let own = || fleet.service.own_node(member.caller());
        let there = || other.own_node(member.caller());
        let new = if index % 2 == 0 {
            let replace = fleet.service.rotate_own_token(member.caller(), new.clone());
            // Whoever reads with the token has its hash changed; one is before, one is beside it.
            let (rotated, ..) = tokio::join!(replace, own(), there());
            rotated.unwrap();
            new
        } else {
            let about = (demo(), member.id);
            let (caller, any) = (Context::local(), Expected::Anything);
            let replace = fleet.service.rotate_node_token(caller, about, any);
            let (_, rotated, _) = tokio::join!(own(), replace, there());
            rotated.unwrap().token
        };
        replaced.push(Context::bearer(new));
    }
    for (member, new) in members.iter().zip(&replaced) {
        let node = fleet.service.own_node(new.clone()).await.unwrap();
        assert_eq!(node.id, member.id);
        for instance in [&fleet.service, &other] {
            let former = instance.own_node(member.caller()).await;
            assert!(matches!(former, Err(Error::Unauthorized { .. })), "{former:?}");
        }
    }
    // A write behind all that was noted.
    fleet.enroll("last").await;
    fleet.verify();
    assert_eq!(hashed(&fleet, "gc_node", "token_key"), [0, 25]);
}
