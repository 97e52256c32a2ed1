//! CAs and running networks as operators bring them over the API.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a failure here is a failed test")]

#[path = "support/native.rs"]
mod native;
#[path = "../../nebula-alloc/tests/support/postgres.rs"]
mod postgres;

use native::{Plane, START, enrollment};
use nebula_pki::key::{AgreementKey, SigningKey};
use nebula_pki::{CaParameters, Curve, HostParameters, Issuer, SystemRandom, Validity, Version};
use serde_json::json;

on_both_engines! {
    a_network_with_its_hosts_is_taken_over
    what_is_wrong_is_told_by_field
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
