//! CAs and running networks as operators bring them over the API.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a failure here is a failed test")]

#[path = "support/native.rs"]
mod native;
#[path = "../../nebula-alloc/tests/support/postgres.rs"]
mod postgres;

use native::{Plane, START, enrollment};
use nebula_pki::key::{AgreementKey, Argon2Parameters, EncryptedKey, SigningKey};
use nebula_pki::{CaParameters, Curve, HostParameters, Issuer, SystemRandom, Validity, Version};
use serde_json::json;

on_both_engines! {
    a_network_with_its_hosts_is_taken_over
    what_is_wrong_is_told_by_field
    nothing_is_opened_or_parsed_for_who_may_not_import
    a_key_may_cost_what_the_reference_demands
}

fn ca() -> Issuer<SigningKey> {
    let key = SigningKey::generate(Curve::Curve25519, &mut SystemRandom).unwrap();
    let validity = Validity { not_before: START - 3_600, not_after: START + 400 * 86_400 };
    Issuer::self_signed(Version::V2, CaParameters::new("old", validity), key).unwrap()
}

fn host(issuer: &Issuer<SigningKey>, number: usize) -> String {
    let key = AgreementKey::generate(Curve::Curve25519, &mut SystemRandom).unwrap().public_key();
    let networks =
        vec![format!("10.1.{}.{}/16", 1 + number / 250, 1 + number % 250).parse().unwrap()];
    let validity = Validity { not_before: START - 60, not_after: START + 365 * 86_400 };
    let host = HostParameters::new(format!("host {number}"), networks, key, validity);
    issuer.issue(Version::V2, &host).unwrap().certificate().to_pem()
}

async fn a_network_with_its_hosts_is_taken_over(plane: Plane) {
    let key = SigningKey::generate(Curve::Curve25519, &mut SystemRandom).unwrap();
    let pem = key.to_pem();
    let validity = Validity { not_before: START - 3_600, not_after: START + 400 * 86_400 };
    let issuer = Issuer::self_signed(Version::V2, CaParameters::new("old", validity), key).unwrap();
    let certificate = issuer.certificate().to_pem();
    let body = json!({
        "name": "demo",
        "prefixes": ["10.1.0.0/16"],
        "ca": {"certificate": certificate, "key": *pem},
    });
    plane.post("/networks", &body).await.expect(201);
    assert_eq!(plane.get("/networks/demo/ca").await.bytes, certificate.as_bytes());

    // More than any other route reads.
    let hosts: String = (0..300).map(|number| host(&issuer, number)).collect();
    assert!(hosts.len() > 64 * 1024);
    let import = |more: serde_json::Value| {
        let mut body = json!({"certificates": hosts});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let plane = &plane;
        async move { plane.post("/networks/demo/import", &body).await.expect(200) }
    };
    let report =
        |present, imported| json!({"present": present, "imported": imported, "conflicts": []});
    assert_eq!(import(json!({"dryRun": true})).await, report(0, 300));
    assert_eq!(import(json!({})).await, report(0, 300));
    assert_eq!(import(json!({})).await, report(300, 0));
    let enrolled = plane.post("/enroll", &enrollment("new")).await.expect(201);
    assert_eq!(enrolled["addresses"], json!(["10.1.0.1/16"]));
    let twice = json!({"certificates": host(&issuer, 0)});
    let conflict = plane.post("/networks/demo/import", &twice).await.expect(200);
    assert_eq!(conflict["conflicts"][0]["name"], "host 0");
    assert_eq!(conflict["conflicts"][0]["reason"], "another node has its name");

    let another = json!({"name": "other", "prefixes": ["10.1.0.0/16"], "ca": {"certificate": certificate, "key": *pem}});
    plane.post("/networks", &another).await.problem(409, "conflict");
}

async fn what_is_wrong_is_told_by_field(plane: Plane) {
    let body = json!({"name": "demo", "prefixes": ["10.1.0.0/16"]});
    plane.post("/networks", &body).await.expect(201);
    let certificate = ca().certificate().to_pem();
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
fn with_encrypted_key() -> serde_json::Value {
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
    let text = |value: &serde_json::Value, field: &str| value[field].as_str().unwrap().to_owned();
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
