//! Does everything that has a name get another, and is what it was called free then?

use serde_json::{Value, json};

use crate::support::native::Plane;
use crate::support::shell::Shell;

on_both_engines! {
    a_name_changes_and_the_id_and_the_secret_stay
    things_are_renamed_from_a_shell_by_their_names
}

fn id(thing: &Value) -> &str {
    thing["id"].as_str().unwrap()
}

async fn a_name_changes_and_the_id_and_the_secret_stay(plane: Plane) {
    plane
        .post("/networks", &json!({"name": "demo", "prefixes": ["10.1.0.0/24"]}))
        .await
        .expect(201);
    let pools = plane.get("/networks/demo/pools").await.expect(200);
    let new = |name: &str| json!({"name": name, "pool": pools["items"][0]["id"], "size": 8});
    let block = plane.post("/networks/demo/blocks", &new("printers")).await.expect(201);
    plane.post("/networks/demo/blocks", &new("cameras")).await.expect(201);
    let token = json!({"name": "laptops", "pool": id(&block)});
    let token = plane.post("/networks/demo/join-tokens", &token).await.expect(201);
    let key = json!({"name": "eyes", "role": "viewer", "scope": "root"});
    let key = plane.post("/operator-keys", &key).await.expect(201);
    let places = [
        format!("/networks/demo/blocks/{}", id(&block)),
        format!("/networks/demo/join-tokens/{}", id(&token)),
        format!("/operator-keys/{}", id(&key)),
    ];
    for place in &places {
        let events = async || {
            let all = plane.get("/events?limit=500").await.expect(200);
            all["items"].as_array().unwrap().len()
        };
        let before = plane.get(place).await.expect(200);
        // What has the form of an id and is one is no name; nor is nothing.
        let own = json!({"name": id(&before)});
        plane.patch(place, &own).await.problem(409, "conflict");
        plane.patch(place, &json!({"name": ""})).await.problem(400, "invalid_request");
        plane.patch(place, &json!({})).await.problem(400, "invalid_request");
        assert_eq!(plane.get(place).await.expect(200), before);
        let count = events().await;
        let renamed = plane.patch(place, &json!({"name": "other"})).await.expect(200);
        let mut expected = before.clone();
        expected["name"] = json!("other");
        assert_eq!(renamed, expected);
        assert_eq!(plane.get(place).await.expect(200), expected);
        assert_eq!(events().await, count + 1);
        // Again it is no change.
        assert_eq!(plane.patch(place, &json!({"name": "other"})).await.expect(200), expected);
        assert_eq!(events().await, count + 1);
    }
    let taken = json!({"name": "cameras"});
    plane.patch(&places[0], &taken).await.problem(409, "conflict");
    plane.post("/networks/demo/blocks", &new("printers")).await.expect(201);
    // Both secrets still count.
    let seen = plane.ask("GET", "/networks/demo", key["secret"].as_str().unwrap(), None).await;
    seen.expect(200);
    let mut node = crate::support::native::enrollment("one");
    node["network"] = json!("demo");
    let secret = token["secret"].as_str().unwrap();
    plane.ask("POST", "/enroll", secret, Some(&node)).await.expect(201);
}

async fn things_are_renamed_from_a_shell_by_their_names(shell: Shell) {
    shell.json("networks create --name home --prefixes 10.42.0.0/24", &[]);
    shell.json("blocks create home --name printers --pool 10.42.0.0/24 --size 8", &[]);
    shell.json("join-tokens create home --name laptops", &[]);
    shell.json("operator-keys create --name eyes --role viewer --scope root", &[]);
    for (rename, show) in [
        ("blocks rename home printers --name other", "blocks show home other"),
        ("join-tokens rename home laptops --name other", "join-tokens show home other"),
        ("operator-keys rename eyes --name other", "operator-keys show other"),
    ] {
        assert_eq!(shell.json(rename, &[])["name"], "other");
        assert_eq!(shell.json(show, &[])["name"], "other");
        let gone = shell.fails(1, &format!("admin {rename}"));
        assert!(!gone.is_empty(), "{rename}");
    }
}
