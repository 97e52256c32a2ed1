//! What does the dialect do with nodes that came through the native API?

use nebula_gc_http::{Bearer, Context, DeviceId, Enrollment};
use nebula_pki::Certificate;
use nebula_pki::key::PublicKey;

use crate::support::dialect::{self, Plane, file, new_key, registration, unzip, zip_of};
use crate::support::requests;

const DAY: i64 = 86_400;

on_both_engines! {
    a_join_token_gets_nothing_of_a_native_node
    an_operator_gets_a_native_node_on_its_own_terms
}

/// A native node with the id `device` that came with a join token, and how it came.
async fn enroll(plane: &Plane) -> (PublicKey, Bearer) {
    let token = join_token(plane).await;
    let public_key = new_key();
    let request = Enrollment {
        public_key: public_key.clone(),
        device: Some(DeviceId::new("device").unwrap()),
        ..requests::enrollment("device")
    };
    let caller = Context::bearer(token.clone());
    plane.service.enroll(caller, request).await.unwrap();
    (public_key, token)
}

async fn join_token(plane: &Plane) -> Bearer {
    let request = requests::join_token(1, 15 * DAY);
    let caller = Context::local();
    let made = plane.service.create_join_token(caller, requests::demo(), request, None).await;
    made.unwrap().secret.unwrap()
}

fn end_of(data: &serde_json::Value) -> i64 {
    let files = unzip(&zip_of(data));
    let certificate = Certificate::from_pem(file(&files, "node.crt").as_bytes()).unwrap();
    certificate.unverified_details().not_after()
}

async fn a_join_token_gets_nothing_of_a_native_node(plane: Plane) {
    plane.make_network("10.1.0.0/24").await;
    let (key, own) = enroll(&plane).await;
    let other = join_token(&plane).await;
    // It tells no more of it than the native API does.
    let status = plane.send("GET", "/status/device", Some(other.expose()), None).await.expect(200);
    assert_eq!(status["allocated"], false);
    plane.send("GET", "/bundle/device", Some(other.expose()), None).await.refusal(404, "not_found");
    // With a certificate that still serves, in the last third of its life, and expired.
    for days in [0, 10, 10] {
        plane.pass(days * DAY);
        plane.service.upkeep().await.unwrap();
        let before = plane.rows();
        for token in [&own, &other] {
            for key in [&key, &new_key()] {
                let body = registration("device", key).to_string();
                let asked =
                    plane.send("POST", "/register", Some(token.expose()), Some(&body)).await;
                let detail = asked.refusal(409, "key_mismatch");
                assert!(detail.starts_with("deviceId: "), "{detail}");
            }
        }
        assert_eq!(plane.rows(), before);
    }
}

async fn an_operator_gets_a_native_node_on_its_own_terms(plane: Plane) {
    plane.make_network("10.1.0.0/24").await;
    let (key, _) = enroll(&plane).await;
    let first = plane.register("device", &key).await.expect(200);
    let end = end_of(&first);
    assert_eq!(end, dialect::START + 14 * DAY);
    plane.pass(10 * DAY);
    let renewed = plane.register("device", &key).await.expect(200);
    assert_eq!(end_of(&renewed), end + 10 * DAY, "not the year of a device that can't renew");
    assert_eq!(renewed["nebulaIp"], first["nebulaIp"]);
    let held = plane.number("SELECT max(hold_until) FROM alloc_lease");
    assert_eq!(held, end + 10 * DAY + 1);
}
