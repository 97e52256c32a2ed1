//! A database of schema version 1 of the control plane, written by the last program that had no
//! later one: an example of `nebula-gc-http` as of commit 3473701. What it makes:
//! `database.sql` (dumped), `secrets.json`, and `told.json`, what its devices asked and were told.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use http_body_util::BodyExt;
use nebula_alloc::Sqlite;
use nebula_gc_http::{ServerSecrets, Service, api};
use nebula_pki::key::AgreementKey;
use nebula_pki::{Curve, SystemRandom};
use serde_json::{Value, json};
use tower::ServiceExt;

const START: i64 = 1_800_000_000;

struct Client {
    router: Router,
    key: String,
}

impl Client {
    async fn post(&self, path: &str, body: &Value) -> Value {
        let request = Request::post(format!("/api/nebula{path}"))
            .header("authorization", format!("Bearer {}", self.key))
            .header("content-type", "application/json")
            .body(Body::from(body.to_string()));
        let response = self.router.clone().oneshot(request.unwrap()).await.unwrap();
        let status = response.status();
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        assert!(status.is_success(), "{path} {body}: {}", String::from_utf8_lossy(&bytes));
        serde_json::from_slice(&bytes).unwrap()
    }

    async fn register(&self, network: &str, device: &str, more: Value) -> Value {
        let key = AgreementKey::generate(Curve::Curve25519, &mut SystemRandom).unwrap();
        let mut asked = json!({
            "projectId": network, "deviceId": device, "deviceName": device,
            "publicKey": key.public_key().to_pem(),
        });
        asked.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        self.again(asked).await
    }

    async fn again(&self, asked: Value) -> Value {
        let told = self.post("/register", &asked).await["data"].clone();
        json!({"asked": asked, "told": told})
    }

    async fn release(&self, network: &str, device: &str) {
        self.post(&format!("/release/{device}?projectId={network}"), &json!({})).await;
    }
}

#[tokio::main]
async fn main() {
    let place = std::env::args().nth(1).unwrap();
    let place = Path::new(&place);
    let now = Arc::new(AtomicI64::new(START));
    let clock = Arc::clone(&now);
    let secrets = ServerSecrets::generate().unwrap();
    std::fs::write(place.join("secrets.json"), secrets.to_json().as_bytes()).unwrap();
    let (send, receive) = std::sync::mpsc::channel();
    let store = Sqlite::open(place.join("version-1.db")).unwrap();
    let keep = move |key: &nebula_gc_http::Bearer| {
        send.send(key.expose().to_owned()).unwrap();
        Ok(())
    };
    let service =
        Service::start(store, secrets, move || clock.load(Ordering::Relaxed), keep).unwrap();
    let client = Client { router: api::router(Arc::new(service)), key: receive.recv().unwrap() };
    for pool in [
        json!({"projectId": "demo", "cidr": "10.1.0.0/28"}),
        json!({"projectId": "dual", "cidr": "10.2.0.0/24", "certificateVersion": 2}),
        json!({"projectId": "dual", "cidr": "fd00:2::/64"}),
    ] {
        client.post("/pools", &pool).await;
    }
    let endpoint = json!({"groups": ["servers"], "lighthouse": {"endpoint": "lh.example.org:4242"}});
    let lighthouse = client.register("demo", "lighthouse", endpoint).await;
    let laptop = client.register("demo", "laptop", json!({"groups": ["users", "admins"]})).await;
    client.register("demo", "gone", json!({})).await;
    let returned = client.register("demo", "returned", json!({})).await;
    client.register("demo", "rekeyed", json!({})).await;
    client.register("demo", "gone too", json!({})).await;
    let server = client.register("dual", "server", json!({"groups": ["servers"]})).await;
    client.register("dual", "gone", json!({})).await;
    now.fetch_add(100, Ordering::Relaxed);
    client.release("demo", "gone").await;
    client.release("demo", "gone%20too").await;
    client.release("demo", "returned").await;
    client.release("dual", "gone").await;
    // In its second life, with the same key and address.
    let returned = client.again(returned["asked"].clone()).await;
    let rekeyed = client.register("demo", "rekeyed", json!({})).await;
    // What had a group more is blocked; what had another endpoint is not.
    let mut laptop = laptop["asked"].clone();
    laptop["groups"] = json!(["users"]);
    let laptop = client.again(laptop).await;
    let mut lighthouse = lighthouse["asked"].clone();
    lighthouse["lighthouse"] = json!({"endpoint": "192.0.2.1:4242"});
    let lighthouse = client.again(lighthouse).await;
    // Renewed, when it was due.
    now.fetch_add(250 * 86_400, Ordering::Relaxed);
    let server = client.again(server["asked"].clone()).await;
    // The others as they are told now, with what their networks have become.
    let mut told = vec![];
    for device in [lighthouse, laptop, returned, rekeyed] {
        let mut asked = device["asked"].clone();
        // Due as well; what is told is what the later program has to tell again.
        if asked["deviceId"] == "laptop" || asked["deviceId"] == "lighthouse" {
            asked.as_object_mut().unwrap().remove("lighthouse");
        }
        told.push(client.again(asked).await);
    }
    told.push(server);
    let late = client.register("demo", "late", json!({"groups": ["users"]})).await;
    told.push(late);
    let all = json!({
        "now": now.load(Ordering::Relaxed), "operatorKey": client.key, "devices": told,
    });
    std::fs::write(place.join("told.json"), serde_json::to_string_pretty(&all).unwrap()).unwrap();
}
