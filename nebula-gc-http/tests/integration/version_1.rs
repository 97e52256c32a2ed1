//! Does a database go on that was made before nodes had tokens, and all that came with them?
//!
//! It is SQLite's alone: the program that wrote it knew no other engine.

use crate::support::Place;
use crate::support::native::{Plane, dialect, enrollment};
use nebula_gc_http::ServerSecrets;
use serde_json::{Value, json};

const WRITTEN: &str = include_str!("../version-1/database.sql");
const SECRETS: &str = include_str!("../version-1/secrets.json");
/// What its devices asked and were told.
const TOLD: &str = include_str!("../version-1/told.json");

const DAY: i64 = 86_400;

fn told() -> Value {
    serde_json::from_str(TOLD).unwrap()
}

fn devices() -> Vec<Value> {
    told()["devices"].as_array().unwrap().clone()
}

/// A server over it, when it was written.
fn opened() -> Plane {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("test.db");
    rusqlite::Connection::open(&path).unwrap().execute_batch(WRITTEN).unwrap();
    let (told, secrets) = (told(), ServerSecrets::from_json(SECRETS).unwrap());
    let key = told["operatorKey"].as_str().unwrap();
    let plane =
        Plane::over(Place::File(path, directory), secrets, told["now"].as_i64().unwrap(), key);
    plane.verify();
    plane
}

async fn register(plane: &Plane, asked: &Value) -> Value {
    dialect(plane, "/register", &plane.key, Some(asked)).await.expect(200)["data"].clone()
}

/// The path of a device's node in the native API.
async fn node(plane: &Plane, network: &str, name: &str) -> String {
    let path = format!("/networks/{network}/nodes");
    let found = plane.get(&format!("{path}?namePrefix={name}")).await.expect(200);
    format!("{path}/{}", found["items"][0]["id"].as_str().unwrap())
}

#[tokio::test]
async fn it_is_migrated_and_sound() {
    let plane = opened();
    let versions = "SELECT version FROM nebula_schema WHERE component = 'gc'";
    let newest = nebula_gc_http::COMPONENT.migrations.last().unwrap().version;
    assert_eq!(plane.number(versions), newest);
    let rows = plane.rows();
    let (server, key) = plane.into_server();
    drop(server.service);
    let secrets = ServerSecrets::from_json(SECRETS).unwrap();
    let again = Plane::over(server.place, secrets, told()["now"].as_i64().unwrap(), &key);
    assert_eq!(again.rows(), rows, "once");
}

#[tokio::test]
async fn its_devices_are_told_the_same() {
    let plane = opened();
    for device in devices() {
        let (asked, told) = (&device["asked"], &device["told"]);
        let mut again = register(&plane, asked).await;
        let mut before = told.clone();
        // The bundle is what it has become since; the certificate in it is the same.
        for answer in [&mut again, &mut before] {
            let zip = answer["zipBundle"].take();
            answer["zipSize"].take();
            answer["certificate"] = certificate(zip.as_str().unwrap()).into();
        }
        assert_eq!(again, before);
        let (network, id) = (&told["projectId"], &told["deviceId"]);
        let path = |what: &str| {
            format!("/{what}/{}?projectId={}", id.as_str().unwrap(), network.as_str().unwrap())
        };
        let status = dialect(&plane, &path("status"), &plane.key, None).await.expect(200);
        assert_eq!((&status["nebulaIp"], &status["allocated"]), (&told["nebulaIp"], &true.into()));
        let bundle = dialect(&plane, &path("bundle"), &plane.key, None).await;
        assert_eq!(bundle.status, 200);
    }
    plane.verify();
}

/// `node.crt` of a bundle, whose entries are stored as they are.
fn certificate(zip: &str) -> String {
    use base64::Engine as _;
    let zip = base64::engine::general_purpose::STANDARD.decode(zip).unwrap();
    let text = String::from_utf8_lossy(&zip);
    let begins = text.split("node.crt-----BEGIN").nth(1).unwrap();
    begins.split("-----END").next().unwrap().to_owned()
}

#[tokio::test]
async fn what_was_given_back_is_kept() {
    let plane = opened();
    let blocked = async |network: &str| {
        let list = plane.get(&format!("/networks/{network}/blocklist")).await.expect(200);
        list["items"].as_array().unwrap().len()
    };
    // Two gone, one back, one with another key, one with a group less.
    assert_eq!((blocked("demo").await, blocked("dual").await), (5, 1));
    let mut asked = devices()[1]["asked"].clone();
    for (device, address) in [
        ("new", "10.1.0.8/32"),
        // Those that were let go find theirs again.
        ("gone too", "10.1.0.6/32"),
        ("gone", "10.1.0.3/32"),
        ("newer", "10.1.0.9/32"),
    ] {
        asked["deviceId"] = device.into();
        asked["deviceName"] = device.into();
        asked["publicKey"] = enrollment(device)["publicKey"].clone();
        assert_eq!(register(&plane, &asked).await["nebulaIp"], address);
        plane.verify();
    }
    dialect(&plane, "/release/gone?projectId=demo", &plane.key, Some(&json!({}))).await.expect(200);
    plane.verify();
    plane.pass(2 * 365 * DAY);
    let done = plane.service.upkeep().await.unwrap().unwrap();
    // Here and in the other network, whose device had an address of each family.
    assert_eq!(done.freed, 3);
    plane.verify();
    asked["deviceId"] = "newest".into();
    asked["deviceName"] = "newest".into();
    asked["publicKey"] = enrollment("newest")["publicKey"].clone();
    assert_eq!(register(&plane, &asked).await["nebulaIp"], "10.1.0.3/32");
    plane.verify();
}

#[tokio::test]
async fn operators_have_all_of_the_later_api() {
    let plane = opened();
    let list = plane.get("/networks").await.expect(200);
    let networks: Vec<_> = list["items"].as_array().unwrap().iter().map(|it| &it["name"]).collect();
    assert_eq!(networks, ["demo", "dual"]);
    let tenant = plane.get("/tenants").await.expect(200)["items"][0].clone();
    assert_eq!((&tenant["name"], &tenant["id"]), (&"default".into(), &list["items"][0]["tenant"]));

    let laptop = node(&plane, "demo", "laptop").await;
    let groups = json!({"groups": ["users", "printers"]});
    assert_eq!(plane.patch(&laptop, &groups).await.expect(200)["groups"], groups["groups"]);
    plane.verify();
    for (verb, state) in [("suspend", "suspended"), ("revoke", "revoked"), ("reinstate", "active")]
    {
        let body = if verb == "reinstate" { json!({}) } else { json!({"reason": "lost"}) };
        let answer = plane.post(&format!("{laptop}/{verb}"), &body).await.expect(200);
        assert_eq!(answer["state"], state);
        plane.verify();
    }
    let ledger = plane.get(&format!("{laptop}/certificates")).await.expect(200);
    assert_eq!(ledger["items"].as_array().unwrap().len(), 5);
    // It came without a node token, and is given one.
    let given = plane.post(&format!("{laptop}/token"), &json!({})).await.expect(200);
    assert_eq!(given["node"]["native"], true);
    plane.verify();

    let both = json!({"versions": "both", "mtu": 1200});
    plane.patch("/networks/demo", &both).await.expect(200);
    let token = plane.post("/networks/demo/join-tokens", &json!({"name": "t"})).await.expect(201);
    let native = enrollment("native");
    let secret = token["secret"].as_str().unwrap();
    let enrolled = plane.ask("POST", "/enroll", secret, Some(&native)).await.expect(201);
    assert_eq!(enrolled["addresses"], json!(["10.1.0.8/28"]));
    assert_eq!(enrolled["certificates"].as_array().unwrap().len(), 2);
    plane.verify();
    let has = json!({"revision": enrolled["revision"], "generation": enrolled["generation"]});
    let own = native["nodeToken"].as_str().unwrap();
    plane.ask("POST", "/node/report", own, Some(&has)).await.expect(204);
    plane.ask("POST", "/node/renew", own, Some(&json!({}))).await.expect(200);
    plane.delete(&node(&plane, "demo", "lighthouse").await).await.expect(204);
    plane.verify();
    let events = plane.get("/networks/demo/events?limit=500").await.expect(200);
    let kinds: Vec<_> = events["items"].as_array().unwrap().iter().map(|it| &it["kind"]).collect();
    assert_eq!(
        (kinds[0], kinds[kinds.len() - 1]),
        (&json!("network.created"), &json!("node.released"))
    );

    // All certificates end; nodes renew, devices ask again.
    plane.pass(400 * DAY);
    assert!(plane.service.upkeep().await.unwrap().unwrap().expired > 5);
    plane.verify();
    let server = &devices()[4];
    let again = register(&plane, &server["asked"]).await;
    assert_eq!(again["nebulaIps"], server["told"]["nebulaIps"]);
    assert_ne!(again["fingerprint"], server["told"]["fingerprint"]);
    plane.verify();
}

/// Of names that would be one today each stays; a new one is told from the first of them.
#[tokio::test]
async fn names_that_are_one_today_stay() {
    for (first, second, new, status) in [
        ("Laptop", "laptop", "lapTop", 409),
        ("LAPTOP.", "Laptop", "lapTop", 409),
        ("a", "B", "lapTop", 201),
        // Which SQLite does not fold.
        ("WÉB", "b", "WÉB", 409),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("test.db");
        let file = rusqlite::Connection::open(&path).unwrap();
        file.execute_batch(WRITTEN).unwrap();
        for (former, name) in [("lighthouse", first), ("laptop", second)] {
            file.execute("UPDATE gc_node SET name = ?1 WHERE name = ?2", [name, former]).unwrap();
        }
        drop(file);
        let secrets = ServerSecrets::from_json(SECRETS).unwrap();
        let (now, key) = (told()["now"].as_i64().unwrap(), told()["operatorKey"].clone());
        let place = Place::File(path, directory);
        let plane = Plane::over(place, secrets, now, key.as_str().unwrap());
        let networks = plane.get("/networks").await.expect(200);
        let network = networks["items"][0]["name"].as_str().unwrap();
        for name in [first, second] {
            let path = node(&plane, network, name).await;
            assert_eq!(plane.get(&path).await.expect(200)["name"], name);
            plane.patch(&path, &json!({"mtu": 1400})).await.expect(200);
        }
        let mut asked = enrollment(new);
        asked["network"] = json!(network);
        assert_eq!(plane.post("/enroll", &asked).await.status, status, "{first} {new}");
    }
}
