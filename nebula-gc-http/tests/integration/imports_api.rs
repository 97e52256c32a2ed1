//! CAs and running networks as operators bring them over the API.

use crate::support::native::{self, Plane, START, enrollment, text};
use crate::support::requests;
use nebula_pki::key::{AgreementKey, Argon2Parameters, EncryptedKey, SigningKey};
use nebula_pki::{CaParameters, Curve, HostParameters, Issuer, SystemRandom, Validity, Version};
use serde_json::{Value, json};

on_both_engines! {
    a_network_with_its_hosts_is_taken_over
    a_network_of_a_version_1_ca_has_version_1
    what_a_host_had_before_is_its_nodes_and_blocked_with_it
    a_blocklist_comes_along
    what_was_issued_elsewhere_can_be_blocked
    an_imported_host_with_a_node_token_is_native
    what_is_wrong_is_told_by_field
    nothing_is_opened_or_parsed_for_who_may_not_import
    a_key_may_cost_what_the_reference_demands
    cas_are_listed_with_what_hangs_on_them
    a_ca_goes_once_nobody_needs_it
    who_has_certificates_of_a_retired_ca_gets_others
    an_expired_ca_is_named_and_is_no_outage
}

fn host(issuer: &Issuer<SigningKey>, number: usize) -> String {
    let key = requests::new_key();
    let networks =
        vec![format!("10.1.{}.{}/16", 1 + number / 250, 1 + number % 250).parse().unwrap()];
    let validity = Validity { not_before: START - 60, not_after: START + 365 * 86_400 };
    let host = HostParameters::new(format!("host {number}"), networks, key, validity);
    issuer.issue(Version::V2, &host).unwrap().certificate().to_pem()
}

async fn a_network_of_a_version_1_ca_has_version_1(plane: Plane) {
    let (issuer, pem) = requests::ca(Version::V1, START - 3_600);
    let ca = json!({"certificate": issuer.certificate().to_pem(), "key": pem});
    let mut body = json!({"name": "demo", "prefixes": ["10.1.0.0/16"], "ca": ca});
    assert_eq!(plane.post("/networks", &body).await.expect(201)["versions"], "1");
    // Where something else is said, that counts.
    for (name, prefixes, versions) in [
        ("b", json!(["10.1.0.0/16"]), Some("both")),
        ("c", json!(["10.1.0.0/16", "fd00::/64"]), None),
    ] {
        let (issuer, pem) = requests::ca(Version::V1, START - 3_600);
        body["name"] = json!(name);
        body["prefixes"] = prefixes;
        body["ca"] = json!({"certificate": issuer.certificate().to_pem(), "key": pem});
        if let Some(versions) = versions {
            body["versions"] = json!(versions);
        }
        let made = plane.post("/networks", &body).await.expect(201);
        assert_eq!(made["versions"], versions.unwrap_or("2"), "{name}");
        body.as_object_mut().unwrap().remove("versions");
    }
}

async fn a_network_with_its_hosts_is_taken_over(plane: Plane) {
    let (issuer, pem) = requests::ca(Version::V2, START - 3_600);
    let certificate = issuer.certificate().to_pem();
    let body = json!({
        "name": "demo",
        "prefixes": ["10.1.0.0/16"],
        "ca": {"certificate": certificate, "key": pem},
    });
    plane.post("/networks", &body).await.expect(201);
    assert_eq!(plane.get("/networks/demo/ca").await.bytes, certificate.as_bytes());

    // More than any other route reads.
    let hosts: String = (0..300).map(|number| host(&issuer, number)).collect();
    assert!(hosts.len() > 64 * 1024);
    let import = |more: Value| {
        let mut body = json!({"certificates": hosts});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let plane = &plane;
        async move { plane.post("/networks/demo/import", &body).await.expect(200) }
    };
    let report = |present, imported| json!({"present": present, "imported": imported, "conflicts": [], "blocked": 0});
    assert_eq!(import(json!({"dryRun": true})).await, report(0, 300));
    assert_eq!(import(json!({})).await, report(0, 300));
    assert_eq!(import(json!({})).await, report(300, 0));
    let enrolled = plane.post("/enroll", &enrollment("new")).await.expect(201);
    assert_eq!(enrolled["addresses"], json!(["10.1.0.1/16"]));
    let twice = json!({"certificates": host(&issuer, 0)});
    let conflict = plane.post("/networks/demo/import", &twice).await.expect(200);
    assert_eq!(conflict["conflicts"][0]["name"], "host 0");
    assert_eq!(conflict["conflicts"][0]["reason"], "another node has its name");

    let another = json!({"name": "other", "prefixes": ["10.1.0.0/16"], "ca": {"certificate": certificate, "key": pem}});
    plane.post("/networks", &another).await.problem(409, "conflict");
}

/// A running network `demo` with a CA from elsewhere.
struct Elsewhere {
    issuer: Issuer<SigningKey>,
}

impl Elsewhere {
    async fn brought_to(plane: &Plane) -> Self {
        let (issuer, pem) = requests::ca(Version::V2, START - 90_000);
        let ca = json!({"certificate": issuer.certificate().to_pem(), "key": pem});
        let body = json!({"name": "demo", "prefixes": ["10.1.0.0/16"], "ca": ca});
        plane.post("/networks", &body).await.expect(201);
        Self { issuer }
    }

    /// A host's certificate that begins so many seconds ago.
    fn host(&self, name: &str, net: &str, ago: i64, key: &AgreementKey) -> nebula_pki::Certificate {
        let validity = Validity { not_before: START - ago, not_after: START + 365 * 86_400 - ago };
        let networks = vec![net.parse().unwrap()];
        let host = HostParameters::new(name, networks, key.public_key(), validity);
        self.issuer.issue(Version::V2, &host).unwrap().certificate().clone()
    }
}

fn new_key() -> AgreementKey {
    AgreementKey::generate(Curve::Curve25519, &mut SystemRandom).unwrap()
}

async fn import(plane: &Plane, body: Value) -> Value {
    plane.post("/networks/demo/import", &body).await.expect(200)
}

async fn blocked(plane: &Plane) -> Vec<String> {
    let list = plane.get("/networks/demo/blocklist").await.expect(200);
    let fingerprint = |entry: &Value| entry["fingerprint"].as_str().unwrap().to_owned();
    list["items"].as_array().unwrap().iter().map(fingerprint).collect()
}

async fn what_a_host_had_before_is_its_nodes_and_blocked_with_it(plane: Plane) {
    let elsewhere = Elsewhere::brought_to(&plane).await;
    let (key, former) = (new_key(), new_key());
    let all = [
        elsewhere.host("h", "10.1.0.1/16", 300, &key),
        elsewhere.host("h", "10.1.0.1/16", 50_000, &former),
        elsewhere.host("other", "10.1.0.2/16", 100, &new_key()),
        elsewhere.host("h", "10.1.0.1/16", 200, &key),
    ];
    let pem: String = all.iter().map(nebula_pki::Certificate::to_pem).collect();
    let report = import(&plane, json!({"certificates": pem})).await;
    assert_eq!(report, json!({"present": 0, "imported": 2, "conflicts": [], "blocked": 0}));
    let again = import(&plane, json!({"certificates": pem})).await;
    assert_eq!(again, json!({"present": 2, "imported": 0, "conflicts": [], "blocked": 0}));
    plane.verify();
    let nodes = plane.get("/networks/demo/nodes?namePrefix=h").await.expect(200);
    let node = &nodes["items"][0];
    assert_eq!(node["certificates"][0]["fingerprint"], all[3].fingerprint().to_string());
    // Its former key is nobody else's.
    let mut taken = enrollment("x");
    taken["publicKey"] = json!(former.public_key().to_pem());
    plane.post("/enroll", &taken).await.problem(409, "conflict");
    let path = format!("/networks/demo/nodes/{}/revoke", node["id"].as_str().unwrap());
    plane.post(&path, &json!({"reason": "stolen"})).await.expect(200);
    let mut expected: Vec<_> =
        [0, 1, 3].map(|at: usize| all[at].fingerprint().to_string()).to_vec();
    expected.sort();
    assert_eq!(blocked(&plane).await, expected);
    plane.verify();

    // What contradicts the others is no host's.
    let split = [
        elsewhere.host("two", "10.1.0.5/16", 10, &key),
        elsewhere.host("three", "10.1.0.6/16", 20, &former),
    ];
    let key = new_key();
    let moved = [
        elsewhere.host("moved", "10.1.0.8/16", 30, &key),
        elsewhere.host("moved", "10.1.0.8/16", 20, &key),
        elsewhere.host("moved", "10.1.0.7/16", 10, &key),
    ];
    let pem: String = split.iter().chain(&moved).map(nebula_pki::Certificate::to_pem).collect();
    let report = import(&plane, json!({"certificates": pem})).await;
    let reasons: Vec<_> = report["conflicts"].as_array().unwrap().iter().collect();
    assert_eq!(reasons.len(), 3, "{report}");
    let told = reasons[2]["reason"].as_str().unwrap();
    assert!(told.contains(&format!("{}, names 10.1.0.7,", moved[2].fingerprint())), "{report}");
    let former = [&moved[1], &moved[0]].map(|one| format!("{} (10.1.0.8)", one.fingerprint()));
    assert!(told.ends_with(&format!("block {}", former.join(" and "))), "{report}");
}

async fn a_blocklist_comes_along(plane: Plane) {
    let elsewhere = Elsewhere::brought_to(&plane).await;
    let key = new_key();
    let stays = elsewhere.host("stays", "10.1.0.1/16", 10, &key);
    let before = elsewhere.host("stays", "10.1.0.1/16", 20, &new_key());
    let stolen = elsewhere.host("stolen", "10.1.0.2/16", 10, &new_key());
    let unknown = "ab".repeat(32);
    let list = format!(
        "pki-blocklist:\n  - {} # stolen\n  - \"{}\"\n- {unknown}\n",
        stolen.fingerprint(),
        before.fingerprint().to_string().to_uppercase()
    );
    let pem: String = [&stays, &before, &stolen].iter().map(|one| one.to_pem()).collect();
    let wrong = json!({"certificates": pem, "blocklist": list});
    let problem = plane.post("/networks/demo/import", &wrong).await.problem(400, "invalid_request");
    assert_eq!(problem["field"], "blocklist");
    assert!(problem["detail"].as_str().unwrap().starts_with("line 1: "), "{problem}");
    let list = list.split_once('\n').unwrap().1;
    let body = |more: Value| {
        let mut body = json!({"certificates": pem, "blocklist": list});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body
    };
    let before_it = revision(&plane).await;
    let dry = import(&plane, body(json!({"dryRun": true}))).await;
    assert_eq!((&dry["imported"], &dry["blocked"]), (&json!(1), &json!(3)));
    let reason = format!("its certificate {} is blocked", stolen.fingerprint());
    assert_eq!(dry["conflicts"][0]["reason"], reason);
    let refused = import(&plane, body(json!({}))).await;
    assert_eq!((&refused["imported"], &refused["blocked"]), (&json!(0), &json!(0)));
    assert_eq!((revision(&plane).await, blocked(&plane).await.len()), (before_it, 0));
    let done = import(&plane, body(json!({"skipConflicts": true}))).await;
    assert_eq!((&done["imported"], &done["blocked"]), (&json!(1), &json!(3)));
    assert_eq!(revision(&plane).await, before_it + 1);
    let mut expected =
        vec![stolen.fingerprint().to_string(), before.fingerprint().to_string(), unknown];
    expected.sort();
    assert_eq!(blocked(&plane).await, expected);
    // They stay, whatever time passes, as nobody knows when they end.
    plane.verify();
    plane.pass(500 * 86_400);
    plane.service.upkeep().await.unwrap();
    assert_eq!(blocked(&plane).await, expected);
    let alone = import(&plane, json!({"blocklist": "cd".repeat(32)})).await;
    assert_eq!(alone, json!({"present": 0, "imported": 0, "conflicts": [], "blocked": 1}));
    plane.post("/networks/demo/import", &json!({})).await.problem(400, "invalid_request");
}

async fn what_was_issued_elsewhere_can_be_blocked(plane: Plane) {
    let (ca, node) = demo(&plane).await;
    let ca = plane.get(&format!("/networks/demo/cas/{ca}")).await.expect(200);
    let path = "/networks/demo/blocklist";
    let add =
        async |fingerprint: &Value| plane.post(path, &json!({"fingerprints": [fingerprint]})).await;
    let before = revision(&plane).await;
    let useless = add(&ca["fingerprint"]).await.problem(400, "invalid_request");
    assert_eq!(useless["field"], "fingerprints");
    assert!(useless["detail"].as_str().unwrap().contains("it would do nothing"), "{useless}");
    let current = own(&plane, &node, "GET", "").await.expect(200)["certificates"][0].clone();
    let current = add(&current["fingerprint"]).await.problem(409, "conflict");
    assert!(current["detail"].as_str().unwrap().contains("the node \"a\""), "{current}");
    assert_eq!(revision(&plane).await, before);
    let other = json!("ef".repeat(32));
    let report = add(&other).await.expect(200);
    assert_eq!(report, json!({"blocked": 1, "present": 0, "revision": before + 1}));
    let report = add(&other).await.expect(200);
    assert_eq!(report, json!({"blocked": 0, "present": 1, "revision": before + 1}));
    assert_eq!(blocked(&plane).await, ["ef".repeat(32)]);
    let bundle = plane.post("/enroll", &node).await.expect(200);
    assert!(bundle["bundle"]["files"]["nebula.yml"].as_str().unwrap().contains(&"ef".repeat(32)));
    // What a node had before is taken away with it.
    plane.pass(10_000);
    plane.post("/networks/demo/renew", &json!({})).await.expect(200);
    let former = own(&plane, &node, "GET", "").await.expect(200)["certificates"][0].clone();
    own(&plane, &node, "POST", "/renew").await.expect(200);
    assert_eq!(add(&former["fingerprint"]).await.expect(200)["blocked"], 1);
    plane.verify();
}

async fn an_imported_host_with_a_node_token_is_native(plane: Plane) {
    let elsewhere = Elsewhere::brought_to(&plane).await;
    let key = new_key();
    let host = elsewhere.host("h", "10.1.0.1/16", 10, &key);
    import(&plane, json!({"certificates": host.to_pem()})).await;
    let nodes = plane.get("/networks/demo/nodes").await.expect(200);
    assert_eq!(
        (&nodes["items"][0]["native"], nodes["items"].as_array().unwrap().len()),
        (&json!(false), 1)
    );
    let path = format!("/networks/demo/nodes/{}/token", nodes["items"][0]["id"].as_str().unwrap());
    let given = plane.post(&path, &json!({})).await.expect(200);
    let mut node = enrollment("h");
    node["nodeToken"] = given["nodeToken"].clone();
    node["publicKey"] = json!(key.public_key().to_pem());
    let own_node = own(&plane, &node, "GET", "").await.expect(200);
    assert_eq!(own_node["addresses"], json!(["10.1.0.1"]));
    // As `nebula-gc join` asks, beside the key that is there; no use is spent.
    let token = json!({"name": "token", "uses": 1});
    let join = plane.post("/networks/demo/join-tokens", &token).await.expect(201);
    let join = join["secret"].as_str().unwrap();
    let answer = plane.ask("POST", "/enroll", join, Some(&node)).await.expect(200);
    assert_eq!(answer["addresses"], json!(["10.1.0.1/16"]));
    assert_eq!(answer["bundle"]["files"]["node.crt"], host.to_pem());
    let tokens = plane.get("/networks/demo/join-tokens").await.expect(200);
    assert_eq!(tokens["items"][0]["used"], 0);
    let mut other_key = node.clone();
    other_key["publicKey"] = enrollment("x")["publicKey"].clone();
    plane.ask("POST", "/enroll", join, Some(&other_key)).await.problem(409, "conflict");
    plane.verify();
    // Once a new one would end later.
    plane.pass(360 * 86_400);
    assert_eq!(own(&plane, &node, "POST", "/renew").await.expect(200)["renewed"], true);
    plane.verify();
}

async fn what_is_wrong_is_told_by_field(plane: Plane) {
    let body = json!({"name": "demo", "prefixes": ["10.1.0.0/16"]});
    plane.post("/networks", &body).await.expect(201);
    let certificate = requests::ca(Version::V2, START - 3_600).0.certificate().to_pem();
    let key = SigningKey::generate(Curve::Curve25519, &mut SystemRandom).unwrap().to_pem();
    for (body, field) in [
        (json!({}), "certificate"),
        (json!({"signer": "hsm"}), "signer"),
        (json!({"signer": "hsm", "certificate": certificate, "key": *key}), "certificate"),
        (json!({"certificate": certificate}), "key"),
        (json!({"certificate": certificate, "key": *key}), "key"),
        (json!({"certificate": certificate, "key": "none"}), "key"),
        (json!({"certificate": "none", "key": *key}), "certificate"),
        (json!({"certificate": certificate, "key": *key, "passphrase": "x"}), "key"),
    ] {
        let problem = plane.post("/networks/demo/cas", &body).await.problem(400, "invalid_request");
        assert_eq!(problem["field"], field, "{body}");
        assert!(!problem.to_string().contains(&key[40..80]), "the key is told to nobody");
    }
    for certificates in ["", "none", &key] {
        let body = json!({"certificates": certificates});
        let answer = plane.post("/networks/demo/import", &body).await;
        assert_eq!(answer.problem(400, "invalid_request")["field"], "certificates");
    }
    let large = json!({"certificates": "x".repeat(4 * 1024 * 1024)});
    plane.post("/networks/demo/import", &large).await.problem(413, "too_large");
    plane.ask("POST", "/networks/demo/import", "", Some(&large)).await.problem(401, "unauthorized");
    let nobody =
        plane.ask("POST", "/networks/demo/import", "nebula-operator-x", Some(&large)).await;
    nobody.problem(401, "unauthorized");
}

/// A CA whose encrypted key costs next to nothing to open.
fn with_encrypted_key() -> Value {
    let key = SigningKey::generate(Curve::Curve25519, &mut SystemRandom).unwrap();
    let parameters = Argon2Parameters { memory_kib: 64, iterations: 1, parallelism: 1 };
    let sealed = EncryptedKey::seal(&key, b"horse", parameters, &mut SystemRandom).unwrap();
    let validity = Validity { not_before: START - 3_600, not_after: START + 400 * 86_400 };
    let ca = Issuer::self_signed(Version::V2, CaParameters::new("old", validity), key).unwrap();
    json!({
        "certificate": ca.certificate().to_pem(), "key": sealed.to_pem(), "passphrase": "horse",
    })
}

async fn nothing_is_opened_or_parsed_for_who_may_not_import(plane: Plane) {
    let make = async |path: &str, body| plane.post(path, &body).await.expect(201);
    let tenant = text(&make("/tenants", json!({"name": "own"})).await, "id");
    let other = text(&make("/tenants", json!({"name": "other"})).await, "id");
    let demo = json!({"name": "demo", "tenant": tenant, "prefixes": ["10.1.0.0/16"]});
    make("/networks", demo).await;
    let join = make("/networks/demo/join-tokens", json!({"name": "token", "uses": 9})).await;
    let mut nodes = vec![];
    for name in ["one", "two"] {
        let mut node = enrollment(name);
        node["network"] = json!("demo");
        let id = text(&make("/enroll", node.clone()).await, "node");
        nodes.push((id, text(&node, "nodeToken")));
    }
    let revoked = format!("/networks/demo/nodes/{}/revoke", nodes[1].0);
    plane.post(&revoked, &json!({"reason": "lost"})).await.expect(200);
    let keys = [
        ("viewer", json!("root"), 403, 403),
        ("viewer", json!({"network": "demo"}), 403, 403),
        ("operator", json!({"tenant": other}), 404, 400),
        ("operator", json!({"network": "demo"}), 400, 403),
        ("operator", json!({"tenant": tenant}), 400, 400),
        ("owner", json!("root"), 400, 400),
    ];
    let mut callers = vec![
        ("nobody".to_owned(), String::new(), 401, 401),
        ("a join token".to_owned(), text(&join, "secret"), 403, 403),
        ("a node".to_owned(), nodes[0].1.clone(), 403, 403),
        ("a revoked node".to_owned(), nodes[1].1.clone(), 403, 403),
    ];
    for (role, scope, adding, making) in keys {
        let key = json!({"name": "key", "role": role, "scope": scope});
        let key = make("/operator-keys", key).await;
        callers.push((format!("{role} of {scope}"), text(&key, "secret"), adding, making));
    }
    // That the passphrase is wrong only those are told for whom the key is opened.
    let mut ca = with_encrypted_key();
    ca["passphrase"] = json!("cow");
    let new = json!({"name": "new", "prefixes": ["10.2.0.0/16"], "ca": ca});
    let hosts = json!({"certificates": "none"});
    for (who, secret, adding, making) in callers {
        for (path, body, status, field) in [
            ("/networks/demo/cas", &ca, adding, "passphrase"),
            ("/networks/demo/import", &hosts, adding, "certificates"),
            ("/networks", &new, making, "passphrase"),
        ] {
            let problem = plane.ask("POST", path, &secret, Some(body)).await.expect(status);
            if status == 400 {
                assert_eq!(problem["field"], field, "{path} by {who}: {problem}");
            }
        }
    }
}

async fn a_key_may_cost_what_the_reference_demands(plane: Plane) {
    let body = json!({"name": "demo", "prefixes": ["10.1.0.0/16"]});
    plane.post("/networks", &body).await.expect(201);
    let ca = with_encrypted_key();
    let costing = |memory_kib: u32, iterations: u32| {
        let mut ca = ca.clone();
        let parameters = Argon2Parameters { memory_kib, iterations, parallelism: 1 };
        ca["key"] = json!(key_that_demands(parameters));
        ca
    };
    for (memory, iterations) in [((2 << 20) + 1, 1), (64 << 10, 129)] {
        let asked = plane.post("/networks/demo/cas", &costing(memory, iterations)).await;
        let problem = asked.problem(400, "invalid_request");
        assert_eq!(problem["field"], "key");
        assert!(problem["detail"].as_str().unwrap().contains("2097152 KiB"), "{problem}");
    }
    plane.post("/networks/demo/cas", &ca).await.expect(200);
}

/// An encrypted key as a stranger may write one, which nothing opens (`RawNebulaEncryptedData`).
fn key_that_demands(parameters: Argon2Parameters) -> String {
    use base64::Engine as _;
    fn number(field: u8, mut value: u32, to: &mut Vec<u8>) {
        to.push(field << 3);
        while value > 0x7f {
            to.push(value.to_le_bytes()[0] | 0x80);
            value >>= 7;
        }
        to.push(value.to_le_bytes()[0]);
    }
    fn bytes(field: u8, value: &[u8], to: &mut Vec<u8>) {
        to.extend([field << 3 | 2, value.len().try_into().unwrap()]);
        to.extend(value);
    }
    let (mut argon2, mut metadata, mut data) = (vec![], vec![], vec![]);
    let Argon2Parameters { memory_kib, iterations, parallelism } = parameters;
    for (field, value) in (1..).zip([0x13, memory_kib, iterations, parallelism]) {
        number(field, value, &mut argon2);
    }
    bytes(5, &[7; 32], &mut argon2);
    bytes(1, b"AES-256-GCM", &mut metadata);
    bytes(2, &argon2, &mut metadata);
    bytes(1, &metadata, &mut data);
    bytes(2, &[7; 92], &mut data);
    let text = base64::engine::general_purpose::STANDARD.encode(data);
    let lines: Vec<_> = text.as_bytes().chunks(64).map(String::from_utf8_lossy).collect();
    let banner = "NEBULA ED25519 ENCRYPTED PRIVATE KEY";
    format!("-----BEGIN {banner}-----\n{}\n-----END {banner}-----\n", lines.join("\n"))
}

/// A network `demo` of one node `a`, and the id of its CA.
async fn demo(plane: &Plane) -> (String, Value) {
    let network = json!({"name": "demo", "prefixes": ["10.1.0.0/16"]});
    plane.post("/networks", &network).await.expect(201);
    let node = enrollment("a");
    plane.post("/enroll", &node).await.expect(201);
    let cas = plane.get("/networks/demo/cas").await.expect(200);
    (cas["items"][0]["id"].as_str().unwrap().to_owned(), node)
}

async fn revision(plane: &Plane) -> i64 {
    plane.get("/networks/demo").await.expect(200)["revision"].as_i64().unwrap()
}

/// What the node with this token is answered.
async fn own(plane: &Plane, node: &Value, method: &str, path: &str) -> native::Answer {
    let body = json!({});
    let body = (method == "POST").then_some(&body);
    plane.ask(method, &format!("/node{path}"), node["nodeToken"].as_str().unwrap(), body).await
}

async fn cas_are_listed_with_what_hangs_on_them(plane: Plane) {
    let (first, _) = demo(&plane).await;
    let added = plane.post("/networks/demo/cas", &json!({"name": "next"})).await.expect(200);
    plane.post("/enroll", &enrollment("b")).await.expect(201);
    plane.post("/enroll", &enrollment("c")).await.expect(201);
    let cas = plane.get("/networks/demo/cas").await.expect(200);
    let shown = |ca: &Value| json!([ca["name"], ca["state"], ca["standing"], ca["certificates"]]);
    let shown: Vec<_> = cas["items"].as_array().unwrap().iter().map(shown).collect();
    assert_eq!(
        shown,
        [json!(["demo", "trusted", "valid", 1]), json!(["next", "active", "valid", 2])]
    );
    let one = plane.get(&format!("/networks/demo/cas/{first}")).await.expect(200);
    assert_eq!(one, cas["items"][0]);
    assert_eq!(one["signer"], Value::Null);
    let pem = one["certificate"].as_str().unwrap();
    let certificate = nebula_pki::Certificate::from_pem(pem.as_bytes()).unwrap();
    assert_eq!(one["fingerprint"], certificate.fingerprint().to_string());
    assert_eq!(cas["items"][1]["id"], added["id"]);
    let network = plane.get("/networks/demo").await.expect(200);
    assert_eq!(network["ca"]["fingerprint"], added["fingerprint"]);
    let nodes = plane.get(&format!("/networks/demo/nodes?ca={first}")).await.expect(200);
    assert_eq!(nodes["items"].as_array().unwrap().len(), 1);
    assert_eq!(nodes["items"][0]["name"], "a");
    let page = plane.get("/networks/demo/cas?limit=1").await.expect(200);
    let next = page["next"].as_str().unwrap();
    let page = plane.get(&format!("/networks/demo/cas?limit=1&cursor={next}")).await.expect(200);
    assert_eq!(page["items"][0]["id"], added["id"]);
    let nobody = plane.get("/networks/demo/cas/01890a5d-ac96-774b-bcce-b302099a8057").await;
    nobody.problem(404, "not_found");
    // One network's CA is not there in another.
    let beside = json!({"name": "beside", "prefixes": ["10.1.0.0/16"]});
    plane.post("/networks", &beside).await.expect(201);
    plane.get(&format!("/networks/beside/cas/{first}")).await.problem(404, "not_found");
    let force = json!({"force": true});
    let foreign = plane.post(&format!("/networks/beside/cas/{first}/retire"), &force).await;
    foreign.problem(404, "not_found");
}

async fn a_ca_goes_once_nobody_needs_it(plane: Plane) {
    let (first, a) = demo(&plane).await;
    let retire = format!("/networks/demo/cas/{first}/retire");
    let retire = async |body: Value| plane.post(&retire, &body).await;
    let signs = retire(json!({"force": true})).await.problem(409, "conflict");
    assert!(signs["detail"].as_str().unwrap().contains("add another first"), "{signs}");
    plane.post("/networks/demo/cas", &json!({"name": "next"})).await.expect(200);
    let before = revision(&plane).await;
    let needed = retire(json!({})).await.problem(409, "ca_needed");
    assert_eq!((&needed["nodes"], &needed["moreNodes"]), (&json!(["a"]), &json!(false)));
    assert_eq!(revision(&plane).await, before);
    // Not due by itself, but when it is asked.
    plane.pass(60);
    assert_eq!(own(&plane, &a, "POST", "/renew").await.expect(200)["renewed"], false);
    plane.post("/networks/demo/renew", &json!({})).await.expect(200);
    assert_eq!(revision(&plane).await, before + 1);
    let told = own(&plane, &a, "GET", "").await.expect(200);
    assert!(
        told["renewAt"].as_str().unwrap() <= told["certificates"][0]["notBefore"].as_str().unwrap()
    );
    assert_eq!(own(&plane, &a, "POST", "/renew").await.expect(200)["renewed"], true);
    assert_eq!(own(&plane, &a, "POST", "/renew").await.expect(200)["renewed"], false);
    let retired = retire(json!({})).await.expect(200);
    assert_eq!((&retired["state"], &retired["certificates"]), (&json!("retired"), &json!(0)));
    assert_eq!(revision(&plane).await, before + 2);
    assert_eq!(retire(json!({})).await.expect(200), retired);
    assert_eq!(revision(&plane).await, before + 2);
    let pem = String::from_utf8(plane.get("/networks/demo/ca").await.bytes).unwrap();
    assert_eq!(pem.matches("BEGIN").count(), 1);
    let bundle = plane.post("/enroll", &a).await.expect(200);
    assert_eq!(bundle["bundle"]["files"]["ca.crt"], pem);
    assert_eq!(plane.number("SELECT count(*) FROM gc_ca WHERE sealed_key IS NOT NULL"), 1);
    plane.verify();
}

async fn who_has_certificates_of_a_retired_ca_gets_others(plane: Plane) {
    let (first, asks) = demo(&plane).await;
    let (repeats, key) = (enrollment("b"), enrollment("")["publicKey"].clone());
    plane.post("/enroll", &repeats).await.expect(201);
    let dialect = async |path: &str, body: Option<&Value>| {
        native::dialect(&plane, path, &plane.key, body).await
    };
    let device = json!({"projectId": "demo", "deviceId": "d", "deviceName": "d", "publicKey": key});
    let registered = dialect("/register", Some(&device)).await.expect(200);
    plane.post("/networks/demo/cas", &json!({"name": "next"})).await.expect(200);
    let force = json!({"force": true});
    plane.post(&format!("/networks/demo/cas/{first}/retire"), &force).await.expect(200);
    plane.service.upkeep().await.unwrap();
    plane.verify();

    let own_node = own(&plane, &asks, "GET", "").await.expect(200);
    assert_eq!(own_node["certificates"], json!([]));
    assert!(own_node["renewAt"].is_string());
    own(&plane, &asks, "GET", "/bundle").await.problem(404, "not_found");
    assert_eq!(own(&plane, &asks, "POST", "/renew").await.expect(200)["renewed"], true);
    assert_eq!(own(&plane, &asks, "GET", "/bundle").await.status, 200);
    let again = plane.post("/enroll", &repeats).await.expect(200);
    let pem = again["bundle"]["files"]["ca.crt"].as_str().unwrap();
    assert_eq!(pem.matches("BEGIN").count(), 1);
    assert_eq!(dialect("/bundle/d?projectId=demo", None).await.status, 404);
    let anew = dialect("/register", Some(&device)).await.expect(200);
    assert_eq!(anew["data"]["nebulaIp"], registered["data"]["nebulaIp"]);
    assert_ne!(anew["data"]["fingerprint"], registered["data"]["fingerprint"]);
    assert_eq!(dialect("/bundle/d?projectId=demo", None).await.status, 200);
    // What the retired one signed is still blocked when its node goes.
    plane.post("/networks/demo/cas", &json!({"name": "third"})).await.expect(200);
    let nodes = plane.get("/networks/demo/nodes?namePrefix=a").await.expect(200);
    let node = nodes["items"][0]["id"].as_str().unwrap();
    assert_eq!(plane.delete(&format!("/networks/demo/nodes/{node}")).await.status, 204);
    let blocked = plane.get("/networks/demo/blocklist").await.expect(200);
    assert_eq!(blocked["items"].as_array().unwrap().len(), 2);
    plane.verify();
}

async fn an_expired_ca_is_named_and_is_no_outage(plane: Plane) {
    let ca = json!({"name": "short", "lifetimeSeconds": 86_400});
    let body = json!({"name": "demo", "prefixes": ["10.1.0.0/16"], "ca": ca});
    assert_eq!(plane.post("/networks", &body).await.expect(201)["ca"]["standing"], "valid");
    let node = enrollment("a");
    plane.post("/enroll", &node).await.expect(201);
    let ready = async || {
        let request = axum::http::Request::builder().uri("/health/ready");
        plane.send(request.body(axum::body::Body::empty()).unwrap()).await.expect(200)
    };
    assert_eq!(ready().await, json!({"status": "ready"}));
    plane.pass(80_000);
    let warning = |code| json!({"status": "ready", "warnings": [{"code": code, "networks": 1}]});
    assert_eq!(ready().await, warning("ca_ends_soon"));
    let shown = plane.get("/networks/demo").await;
    assert_eq!(shown.expect(200)["ca"]["standing"], "ends_soon");
    plane.pass(7_000);
    assert_eq!(ready().await, warning("ca_expired"));
    let known = [("if-none-match", shown.header("etag"))];
    let later = plane.ask_with("GET", "/networks/demo", &plane.key, &known, None).await;
    assert_eq!(later.expect(200)["ca"]["standing"], "expired");
    let refused = plane.post("/enroll", &enrollment("b")).await.problem(409, "ca_expired");
    let detail = refused["detail"].as_str().unwrap();
    assert!(
        detail.contains("\"demo\" expired at 2027-01-16") && detail.contains("add-ca"),
        "{detail}"
    );
    own(&plane, &node, "POST", "/renew").await.problem(409, "ca_expired");
    let nodes = plane.get("/networks/demo/nodes").await.expect(200);
    let path = format!("/networks/demo/nodes/{}", nodes["items"][0]["id"].as_str().unwrap());
    plane.patch(&path, &json!({"groups": ["x"]})).await.problem(409, "ca_expired");
    plane.service.upkeep().await.unwrap();
    plane.verify();
    plane.post("/networks/demo/cas", &json!({"name": "next"})).await.expect(200);
    assert_eq!(ready().await, json!({"status": "ready"}));
    assert_eq!(own(&plane, &node, "POST", "/renew").await.expect(200)["renewed"], true);
    plane.post("/enroll", &enrollment("b")).await.expect(201);
    plane.verify();
}
