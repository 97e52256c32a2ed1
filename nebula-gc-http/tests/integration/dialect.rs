//! What the compatibility dialect promises its clients.

use axum::body::Body;
use axum::http::Request;
use nebula_gc_http::Bearer;
use nebula_gc_http::api::Origins;
use nebula_pki::key::PublicKey;
use nebula_pki::{Blocklist, CaPool, Certificate};
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::support::dialect::{Answer, Plane, START, file, new_key, registration, unzip, zip_of};

const DAY: i64 = 86_400;

on_both_engines! {
    a_device_gets_an_address_a_certificate_and_a_bundle
    every_form_of_a_public_key_is_the_same_key
    asking_again_gives_the_identical_certificate_until_renewal_is_due
    two_registrations_of_one_device_at_once_get_the_same
    another_key_replaces_the_certificate_and_blocks_the_old_one
    changes_of_name_and_groups_issue_anew_and_block_what_was_taken_away
    lighthouses_come_and_go_in_everyones_bundle
    release_blocks_quarantines_and_lets_the_device_come_back
    expired_entries_leave_the_blocklist_with_a_later_move
    pools_make_networks_and_doing_it_again_changes_nothing
    who_makes_a_network_learns_that_devices_are_not_given_back
    every_change_is_in_the_audit_log_with_its_actor
    health_and_version_are_open
    a_network_is_left_out_where_there_is_no_doubt
    pages_of_listed_origins_alone_may_ask
    no_bundle_rendered_after_a_release_lacks_it
    answers_carry_the_request_id_of_the_audit_log
    no_secret_is_stored_or_printed_in_plaintext
}

async fn a_device_gets_an_address_a_certificate_and_a_bundle(plane: Plane) {
    plane.make_network("10.99.1.0/24").await;
    let key = new_key();
    let mut body = registration("laptop 7/ü", &key);
    body["groups"] = json!(["users", "admins"]);
    let data = plane.post("/register", &body).await.expect(200);
    assert_eq!(data["nebulaIp"], json!("10.99.1.1/32"));
    assert_eq!(data["nebulaIps"], json!(["10.99.1.1/32"]));
    assert_eq!(data["network"], json!("10.99.1.0/24"));
    assert_eq!(data["deviceName"], json!("laptop 7/ü"));
    assert_eq!(data["projectId"], json!("demo"));
    assert_eq!(data["deviceId"], json!("laptop 7/ü"));

    let files = unzip(&zip_of(&data));
    assert_eq!(
        files.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(),
        ["ca.crt", "node.crt", "nebula.yml", "README.md"]
    );
    let pool = CaPool::from_pem(file(&files, "ca.crt").as_bytes()).unwrap();
    let certificate = Certificate::from_pem(file(&files, "node.crt").as_bytes()).unwrap();
    let verified = pool.verify(&certificate, START, &Blocklist::default()).unwrap();
    let details = verified.details();
    assert_eq!(details.name(), "laptop 7/ü");
    // With the network's length: with /32 no two nodes could talk.
    assert_eq!(details.networks(), ["10.99.1.1/24".parse().unwrap()]);
    assert_eq!(details.groups().collect::<Vec<_>>(), ["users", "admins"]);
    assert_eq!(certificate.public_key(), key.as_bytes());
    assert_eq!(data["fingerprint"], json!(certificate.fingerprint().to_string()));
    assert_eq!((details.not_before(), details.not_after()), (START - 300, START + 365 * DAY));

    let device = "laptop%207%2F%C3%BC";
    let zip = plane.get(&format!("/bundle/{device}?projectId=demo")).await;
    assert_eq!(zip.header("content-type"), "application/zip");
    assert_eq!(zip.bytes, zip_of(&data));
    let status = plane.get(&format!("/status/{device}?projectId=demo")).await.expect(200);
    assert_eq!(
        status,
        json!({"success": true, "deviceId": "laptop 7/ü", "nebulaIp": "10.99.1.1/32", "allocated": true})
    );
    let ca = plane.send("GET", "/ca?projectId=demo", None, None).await;
    assert_eq!((ca.status, ca.header("content-type")), (200, "application/x-pem-file"));
    assert_eq!(ca.bytes, file(&files, "ca.crt").as_bytes());
    // There is one network, so its name may be left out.
    assert_eq!(plane.get(&format!("/bundle/{device}")).await.bytes, zip.bytes);
}

async fn every_form_of_a_public_key_is_the_same_key(plane: Plane) {
    use base64::Engine as _;
    plane.make_network("10.1.0.0/24").await;
    let key = new_key();
    let hex: String = key.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    let base64 = base64::engine::general_purpose::STANDARD.encode(key.as_bytes());
    let crlf = key.to_pem().replace('\n', "\r\n");
    let first = plane.register("device", &key).await.expect(200);
    for form in [hex.clone(), hex.to_uppercase(), base64, crlf] {
        let mut body = registration("device", &key);
        body["publicKey"] = json!(form);
        assert_eq!(plane.post("/register", &body).await.expect(200), first, "{form}");
    }
}

async fn asking_again_gives_the_identical_certificate_until_renewal_is_due(plane: Plane) {
    plane.make_network("10.1.0.0/24").await;
    let key = new_key();
    let first = plane.register("device", &key).await.expect(200);
    let before = plane.rows();
    plane.pass(240 * DAY);
    assert_eq!(plane.register("device", &key).await.expect(200), first);
    assert_eq!(plane.rows(), before, "asking again writes nothing");

    // In the last third of its lifetime.
    plane.pass(10 * DAY);
    let renewed = plane.register("device", &key).await.expect(200);
    assert_ne!(renewed["fingerprint"], first["fingerprint"]);
    assert_eq!(renewed["nebulaIp"], first["nebulaIp"]);
    assert!(
        !file(&unzip(&zip_of(&renewed)), "nebula.yml")
            .contains(first["fingerprint"].as_str().unwrap())
    );
    assert_eq!(
        plane.number("SELECT count(*) FROM gc_blocklist"),
        0,
        "renewing with the same key blocks nothing"
    );
}

async fn two_registrations_of_one_device_at_once_get_the_same(plane: Plane) {
    plane.make_network("10.1.0.0/16").await;
    for round in 0..20 {
        let key = new_key();
        let device = format!("device-{round}");
        let body = registration(&device, &key);
        let (one, two, three) = tokio::join!(
            plane.post("/register", &body),
            plane.post("/register", &body),
            plane.post("/register", &body)
        );
        let one = one.expect(200);
        assert_eq!(two.expect(200), one);
        assert_eq!(three.expect(200), one);
    }
    assert_eq!(plane.number("SELECT count(*) FROM gc_node"), 20);
    assert_eq!(plane.number("SELECT count(*) FROM gc_certificate"), 20);
}

async fn another_key_replaces_the_certificate_and_blocks_the_old_one(plane: Plane) {
    plane.make_network("10.1.0.0/24").await;
    let first = plane.register("device", &new_key()).await.expect(200);
    let second = plane.register("device", &new_key()).await.expect(200);
    assert_eq!(second["nebulaIp"], first["nebulaIp"]);
    assert_ne!(second["fingerprint"], first["fingerprint"]);
    let yaml = unzip(&plane.get("/bundle/device").await.bytes);
    assert!(file(&yaml, "nebula.yml").contains(first["fingerprint"].as_str().unwrap()));
    assert_eq!(plane.number("SELECT revision FROM gc_network"), 2);
}

async fn changes_of_name_and_groups_issue_anew_and_block_what_was_taken_away(plane: Plane) {
    plane.make_network("10.1.0.0/24").await;
    let mut body = registration("device", &new_key());
    body["groups"] = json!(["a"]);
    let first = plane.post("/register", &body).await.expect(200);

    // A group more takes nothing away.
    body["groups"] = json!(["a", "b"]);
    let second = plane.post("/register", &body).await.expect(200);
    assert_ne!(second["fingerprint"], first["fingerprint"]);
    assert_eq!(plane.number("SELECT count(*) FROM gc_blocklist"), 0);
    // The same groups in another order, and groups left out, change nothing.
    body["groups"] = json!(["b", "a"]);
    assert_eq!(
        plane.post("/register", &body).await.expect(200)["fingerprint"],
        second["fingerprint"]
    );
    body.as_object_mut().unwrap().remove("groups");
    assert_eq!(
        plane.post("/register", &body).await.expect(200)["fingerprint"],
        second["fingerprint"]
    );

    // A group less: whatever said it had that group is blocked, the first certificate too.
    body["groups"] = json!(["b"]);
    let third = plane.post("/register", &body).await.expect(200);
    let yaml = unzip(&zip_of(&third));
    let yaml = file(&yaml, "nebula.yml");
    assert!(yaml.contains(second["fingerprint"].as_str().unwrap()));
    assert!(yaml.contains(first["fingerprint"].as_str().unwrap()));
    assert!(yaml.contains("group: 'b'") && !yaml.contains("group: 'a'"), "{yaml}");

    // And back within the same second: a fingerprint that was blocked never comes again.
    body["groups"] = json!(["a"]);
    let back = plane.post("/register", &body).await.expect(200);
    assert_ne!(back["fingerprint"], first["fingerprint"]);
    body["groups"] = json!([]);
    body["deviceName"] = json!("renamed");
    let renamed = plane.post("/register", &body).await.expect(200);
    assert_eq!(renamed["deviceName"], json!("renamed"));
    assert_eq!(renamed["nebulaIp"], first["nebulaIp"]);
    assert_eq!(plane.number("SELECT count(*) FROM gc_blocklist"), 4);
    assert_eq!(plane.number("SELECT count(DISTINCT fingerprint) FROM gc_certificate"), 5);
    assert_eq!(plane.number("SELECT generation FROM gc_node"), 5);
}

async fn lighthouses_come_and_go_in_everyones_bundle(plane: Plane) {
    plane.make_network("10.1.0.0/24").await;
    let (key, other) = (new_key(), new_key());
    let mut body = registration("lighthouse", &key);
    body["lighthouse"] = json!({"endpoint": "Lighthouse.example.com:4242"});
    let first = plane.post("/register", &body).await.expect(200);
    let own = unzip(&zip_of(&first));
    assert!(file(&own, "nebula.yml").contains("am_lighthouse: true"));
    assert!(file(&own, "nebula.yml").contains("port: 4242"));

    plane.register("device", &other).await.expect(200);
    let yaml = async || {
        let files = unzip(&plane.get("/bundle/device").await.bytes);
        file(&files, "nebula.yml").to_owned()
    };
    let with = yaml().await;
    assert!(
        with.contains("lighthouse.example.com:4242") && with.contains("am_lighthouse: false"),
        "{with}"
    );

    // Left out it stays, another endpoint moves it, null takes it away; the certificate stays.
    body.as_object_mut().unwrap().remove("lighthouse");
    plane.post("/register", &body).await.expect(200);
    assert_eq!(yaml().await, with);
    body["lighthouse"] = json!({"endpoint": "[2001:db8::1]:4242"});
    let moved = plane.post("/register", &body).await.expect(200);
    assert_eq!(moved["fingerprint"], first["fingerprint"]);
    assert!(yaml().await.contains("[2001:db8::1]:4242"));
    body["lighthouse"] = json!(null);
    plane.post("/register", &body).await.expect(200);
    assert!(!yaml().await.contains("2001:db8"));
    assert_eq!(plane.number("SELECT revision FROM gc_network"), 4, "one move for each change");
}

async fn release_blocks_quarantines_and_lets_the_device_come_back(plane: Plane) {
    plane.make_network("10.1.0.0/30").await;
    let (key, other) = (new_key(), new_key());
    let first = plane.register("device", &key).await.expect(200);
    let witness = plane.register("witness", &other).await.expect(200);
    let released = plane.post("/release/device?projectId=demo", &json!({})).await;
    released.expect(200);
    let after = plane.rows();
    plane.post("/release/device?projectId=demo", &json!({})).await.expect(200);
    assert_eq!(plane.rows(), after, "repeating it changes nothing");

    plane.get("/bundle/device").await.refusal(404, "not_found");
    assert_eq!(plane.get("/status/device").await.expect(200)["nebulaIp"], json!(null));
    let again = plane.register("witness", &other).await.expect(200);
    assert_eq!(again["fingerprint"], witness["fingerprint"]);
    assert!(
        file(&unzip(&zip_of(&again)), "nebula.yml")
            .contains(first["fingerprint"].as_str().unwrap())
    );

    // Nobody else gets the address while the certificate that names it could be used.
    plane.pass(364 * DAY);
    plane.register("newcomer", &new_key()).await.refusal(409, "pool_exhausted");
    // The device itself does, with the same key and yet another certificate.
    let back = plane.register("device", &key).await.expect(200);
    assert_eq!(back["nebulaIp"], first["nebulaIp"]);
    assert_ne!(back["fingerprint"], first["fingerprint"]);
    assert_eq!(plane.number("SELECT count(*) FROM gc_node WHERE device = 'device'"), 2);

    // Released for good: after the last certificate's end the address is free for others.
    plane.post("/release/device", &json!({})).await.expect(200);
    plane.pass(365 * DAY - 1);
    plane.register("newcomer", &new_key()).await.refusal(409, "pool_exhausted");
    plane.pass(2);
    assert_eq!(
        plane.register("newcomer", &new_key()).await.expect(200)["nebulaIp"],
        first["nebulaIp"]
    );
}

async fn expired_entries_leave_the_blocklist_with_a_later_move(plane: Plane) {
    plane.make_network("10.1.0.0/24").await;
    plane.register("one", &new_key()).await.expect(200);
    plane.register("two", &new_key()).await.expect(200);
    plane.post("/release/one", &json!({})).await.expect(200);
    plane.pass(366 * DAY);
    assert_eq!(plane.number("SELECT count(*) FROM gc_blocklist"), 1);
    plane.register("three", &new_key()).await.expect(200);
    plane.post("/release/three", &json!({})).await.expect(200);
    assert_eq!(plane.number("SELECT count(*) FROM gc_blocklist"), 1, "only the newer one");
}

async fn who_makes_a_network_learns_that_devices_are_not_given_back(plane: Plane) {
    let body = json!({"projectId": "own's", "cidr": "10.3.0.0/16"});
    for _ in 0..2 {
        let answer = plane.post("/pools", &body).await;
        let said: Value = serde_json::from_slice(&answer.bytes).unwrap();
        let notice = said["notice"].as_str().unwrap();
        assert!(notice.contains("giveBackSeconds, which is off"), "{notice}");
        assert!(notice.contains(r"networks set 'own'\''s' --give-back 30d"), "{notice}");
    }
    plane.sql("UPDATE gc_network SET give_back_seconds = 86400");
    let answer = plane.post("/pools", &body).await;
    let said: Value = serde_json::from_slice(&answer.bytes).unwrap();
    assert_eq!((&said["success"], said.get("notice")), (&json!(true), None));
}

async fn pools_make_networks_and_doing_it_again_changes_nothing(plane: Plane) {
    let v4 = json!({"projectId": "dual", "cidr": "10.2.0.0/16", "certificateVersion": 2});
    let data = plane.post("/pools", &v4).await.expect(200);
    assert_eq!(data, json!({"projectId": "dual", "cidr": "10.2.0.0/16", "capacity": 65_534}));
    let v6 = json!({"cidr": "fd00:2::/64"});
    let data = plane.post("/pools", &v6).await.expect(200);
    assert_eq!(data["capacity"], json!("18446744073709551615"), "above 2^53 a string");
    let before = plane.rows();
    plane.post("/pools", &v4).await.expect(200);
    plane.post("/pools", &v6).await.expect(200);
    assert_eq!(plane.rows(), before);
    assert_eq!(
        plane.number("SELECT count(*) FROM alloc_interval"),
        2,
        "one row each, however large"
    );

    let mut body = registration("device", &new_key());
    body["projectId"] = json!("dual");
    let data = plane.post("/register", &body).await.expect(200);
    assert_eq!(data["nebulaIp"], json!("10.2.0.1/32"));
    assert_eq!(data["nebulaIps"], json!(["10.2.0.1/32", "fd00:2::1/128"]));
    assert_eq!(data["network"], json!("10.2.0.0/16"));
    let certificate =
        Certificate::from_pem(file(&unzip(&zip_of(&data)), "node.crt").as_bytes()).unwrap();
    assert_eq!(
        certificate.unverified_details().networks(),
        ["10.2.0.1/16".parse().unwrap(), "fd00:2::1/64".parse().unwrap()]
    );

    // With a second network the device tells which is meant, as long as only one has it.
    plane
        .post(
            "/pools",
            &json!({"projectId": "other", "cidr": "fd00:3::/64", "certificateVersion": 2}),
        )
        .await
        .expect(200);
    plane.get("/status/device").await.expect(200);
    let mut body = registration("device", &new_key());
    body["projectId"] = json!("other");
    let data = plane.post("/register", &body).await.expect(200);
    plane.get("/status/device").await.refusal(400, "invalid_request");
    plane.get("/status/device?projectId=dual").await.expect(200);
    assert_eq!(
        (&data["nebulaIp"], &data["network"]),
        (&json!("fd00:3::1/128"), &json!("fd00:3::/64"))
    );
}

async fn every_change_is_in_the_audit_log_with_its_actor(plane: Plane) {
    plane.make_network("10.1.0.0/24").await;
    plane.register("device", &new_key()).await.expect(200);
    plane.register("device", &new_key()).await.expect(200);
    plane.post("/release/device", &json!({})).await.expect(200);
    for kind in "operator_key.created network.created pool.created node.enrolled node.changed \
            node.released"
        .split(' ')
    {
        let count = format!(
            "SELECT count(*) FROM alloc_event WHERE kind = '{kind}' AND request_id IS NOT NULL"
        );
        assert_eq!(plane.number(&count), 1, "{kind}");
    }
    assert_eq!(
        plane.number("SELECT count(*) FROM alloc_event WHERE actor LIKE 'operator_key:%'"),
        7
    );
}

async fn pages_of_listed_origins_alone_may_ask(plane: Plane) {
    plane.make_network("10.99.1.0/24").await;
    const PANEL: &str = "https://panel.example.org";
    let path = "/api/nebula/ca?projectId=demo";
    let ask = async |router: &axum::Router, method: &str, origin: &str| {
        let request = Request::builder().method(method).uri(path).header("origin", origin);
        let request = match method {
            "OPTIONS" => request
                .header("access-control-request-method", "POST")
                .header("access-control-request-headers", "authorization"),
            _ => request,
        };
        let response = router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        let of = |name: &str| {
            let value = response.headers().get(name);
            value.map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default()
        };
        let allowed = of("access-control-allow-origin");
        (response.status().as_u16(), allowed, of("access-control-allow-headers"), of("vary"))
    };
    let off = Origins::default().admit(plane.router.clone());
    assert_eq!(ask(&off, "GET", PANEL).await, (200, String::new(), String::new(), String::new()));
    assert_eq!(ask(&off, "OPTIONS", PANEL).await.0, 405);
    let on = format!("http://localhost:3000,{PANEL}").parse::<Origins>().unwrap();
    let on = on.admit(plane.router.clone());
    let (status, allowed, _, vary) = ask(&on, "GET", PANEL).await;
    assert_eq!((status, &*allowed, &*vary), (200, PANEL, "origin"));
    let (status, allowed, headers, _) = ask(&on, "OPTIONS", PANEL).await;
    assert_eq!((status, &*allowed), (204, PANEL));
    assert!(headers.contains("authorization") && headers.contains("content-type"), "{headers}");
    for other in ["https://panel.example.org.evil.example", "http://panel.example.org", "null"] {
        let (status, allowed, ..) = ask(&on, "GET", other).await;
        assert_eq!((status, &*allowed), (200, ""), "{other}");
        assert_eq!(ask(&on, "OPTIONS", other).await.0, 405, "{other}");
    }
}

async fn health_and_version_are_open(plane: Plane) {
    for (path, field, value) in [
        ("/health/live", "status", "live"),
        ("/health/ready", "status", "ready"),
        ("/health", "status", "live"),
        ("/readiness", "status", "ready"),
        ("/version", "version", env!("CARGO_PKG_VERSION")),
    ] {
        let answer = plane.ask(Request::get(path).body(Body::empty()).unwrap()).await;
        assert_eq!((answer.status, &answer.json()[field]), (200, &json!(value)), "{path}");
    }
}

/// With several networks, by the device or the credential.
async fn a_network_is_left_out_where_there_is_no_doubt(plane: Plane) {
    for project in ["one", "two"] {
        let pool = json!({"projectId": project, "cidr": "10.9.0.0/24"});
        plane.post("/pools", &pool).await.expect(200);
    }
    let register = async |project: Option<&str>, device: &str, key: &PublicKey| {
        let mut body = registration(device, key);
        match project {
            Some(project) => body["projectId"] = json!(project),
            None => drop(body.as_object_mut().unwrap().remove("projectId")),
        }
        plane.post("/register", &body).await
    };
    let (own, common) = (new_key(), new_key());
    let first = register(Some("two"), "own", &own).await.expect(200);
    for project in ["one", "two"] {
        register(Some(project), "common", &common).await.expect(200);
    }
    assert_eq!(register(None, "own", &own).await.expect(200), first);
    let doubt = |answer: Answer| {
        assert!(answer.refusal(400, "invalid_request").starts_with("projectId: "));
    };
    doubt(register(None, "new", &new_key()).await);
    doubt(register(None, "common", &common).await);
    for path in ["/status/common", "/bundle/common"] {
        doubt(plane.get(path).await);
    }
    doubt(plane.post("/release/common", &json!({})).await);
    assert_eq!(plane.get("/status/own").await.expect(200)["nebulaIp"], first["nebulaIp"]);
    assert_eq!(plane.get("/bundle/own").await.status, 200);
    for nobody in ["/status/nobody", "/status/nobody?projectId=one"] {
        assert_eq!(plane.get(nobody).await.expect(200)["allocated"], false);
    }
    plane.get("/bundle/nobody").await.refusal(404, "not_found");
    plane.post("/release/nobody", &json!({})).await.refusal(404, "not_found");
    for _ in 0..2 {
        plane.post("/release/own", &json!({})).await.expect(200);
    }
    assert_eq!(plane.get("/status/own").await.expect(200)["nebulaIp"], Value::Null);
    doubt(register(None, "own", &own).await);
    // Of several releases one would be the wrong one.
    register(Some("one"), "own", &own).await.expect(200);
    plane.post("/release/own", &json!({})).await.expect(200);
    doubt(plane.post("/release/own", &json!({})).await);
    assert_eq!(plane.get("/status/own").await.expect(200)["nebulaIp"], Value::Null);

    // The CAs: by name to everyone, else as the credential says.
    let ask = async |path: &str, key: Option<&str>| plane.send("GET", path, key, None).await;
    let ca = ask("/ca?projectId=two", None).await.bytes.clone();
    assert_eq!(ask("/ca?projectId=two", Some("nobody's")).await.bytes, ca);
    doubt(ask("/ca", None).await);
    doubt(ask("/ca", Some(plane.key.as_str())).await);
    ask("/ca", Some("nobody's")).await.refusal(401, "unauthorized");
    let of_two = json!({"name": "t", "role": "viewer", "scope": {"network": "two"}});
    let request = Request::post("/api/v1/operator-keys")
        .header("authorization", format!("Bearer {}", plane.key))
        .header("content-type", "application/json");
    let made = plane.ask(request.body(of_two.to_string().into()).unwrap()).await;
    let secret = made.json()["secret"].as_str().unwrap().to_owned();
    assert_eq!(ask("/ca", Some(&secret)).await.bytes, ca);
    assert_eq!(ask("/status/common", Some(&secret)).await.expect(200)["allocated"], true);
}

/// A device that registers while another is released must not be given a bundle that lacks the
/// block, once the release is answered.
async fn no_bundle_rendered_after_a_release_lacks_it(plane: Plane) {
    plane.make_network("10.1.0.0/16").await;
    for round in 0..20 {
        let (gone, late) = (format!("gone-{round}"), format!("late-{round}"));
        let first = plane.register(&gone, &new_key()).await.expect(200);
        let key = new_key();
        let release = format!("/release/{gone}");
        let nothing = json!({});
        let released = async {
            plane.post(&release, &nothing).await.expect(200);
            plane.get(&format!("/bundle/{late}")).await
        };
        let (bundle, registered) = tokio::join!(released, plane.register(&late, &key));
        registered.expect(200);
        let fetched =
            if bundle.status == 200 { bundle } else { plane.get(&format!("/bundle/{late}")).await };
        let files = unzip(&fetched.bytes);
        assert!(file(&files, "nebula.yml").contains(first["fingerprint"].as_str().unwrap()));
    }
}

async fn answers_carry_the_request_id_of_the_audit_log(plane: Plane) {
    use axum::body::Body;
    use axum::http::Request;
    use tower::ServiceExt;
    plane.make_network("10.1.0.0/24").await;
    let body = registration("device", &new_key()).to_string();
    let request = Request::post("/api/nebula/register")
        .header("authorization", format!("Bearer {}", plane.key))
        .header("content-type", "application/json");
    let response =
        plane.router.clone().oneshot(request.body(Body::from(body)).unwrap()).await.unwrap();
    let id = response.headers()["x-request-id"].to_str().unwrap();
    let count = format!(
        "SELECT count(*) FROM alloc_event WHERE kind = 'node.enrolled' AND request_id = '{id}'"
    );
    assert_eq!(plane.number(&count), 1);
}

async fn no_secret_is_stored_or_printed_in_plaintext(plane: Plane) {
    plane.make_network("10.1.0.0/24").await;
    plane.register("device", &new_key()).await.expect(200);
    let stored = plane.rows().join("\n");
    for secret in [plane.key.as_str(), "PRIVATE KEY"] {
        let bytes = format!("{:?}", secret.as_bytes());
        let bytes = bytes.trim_matches(['[', ']']);
        assert!(!stored.contains(secret) && !stored.contains(bytes), "{secret}");
    }
    assert_eq!(
        plane.number("SELECT count(*) FROM gc_ca WHERE seal_key = 1 AND length(sealed_key) > 60"),
        1
    );
    assert_eq!(
        plane.number(
            "SELECT count(*) FROM gc_operator_key WHERE hash_key = 1 AND length(hash) = 32"
        ),
        1
    );
    let key = Bearer::from_client(&plane.key).unwrap();
    assert!(!format!("{key:?}").contains(&plane.key[16..]));
}
