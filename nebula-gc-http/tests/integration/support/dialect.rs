//! A service over a database of its own, asked as over HTTP but without a socket.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode};
use http_body_util::BodyExt;
use nebula_gc_http::{Bearer, ServerSecrets, Service, api};
use nebula_pki::key::PublicKey;
use serde_json::{Value, json};
use tower::ServiceExt;

pub use super::requests::{START, new_key};
use super::{Engine, Fixture, Place};

pub struct Plane {
    pub router: Router,
    pub service: Arc<Service>,
    pub key: Bearer,
    now: Arc<AtomicI64>,
    place: Place,
}

pub struct Answer {
    pub status: StatusCode,
    pub content_type: String,
    pub bytes: Vec<u8>,
}

impl Fixture for Plane {
    /// A control plane without a network; nothing where the engine is missing.
    async fn on(engine: Engine) -> Option<Self> {
        let place = Place::on(engine)?;
        let now = Arc::new(AtomicI64::new(START));
        let clock = Arc::clone(&now);
        let (send, receive) = std::sync::mpsc::channel();
        let service = Service::start(
            place.open(),
            ServerSecrets::generate().unwrap(),
            move || clock.load(Ordering::Relaxed),
            move |key| {
                send.send(key.clone()).unwrap();
                Ok(())
            },
        );
        let service = Arc::new(service.unwrap());
        let router = api::router(Arc::clone(&service));
        Some(Self { router, service, key: receive.recv().unwrap(), now, place })
    }
}

impl Plane {
    /// Makes the network `demo` on this prefix.
    pub async fn make_network(&self, cidr: &str) {
        let version = if cidr.contains(':') { 2 } else { 1 };
        let body = json!({"projectId": "demo", "cidr": cidr, "certificateVersion": version});
        self.post("/pools", &body).await.expect(200);
    }

    pub fn pass(&self, seconds: i64) {
        self.now.fetch_add(seconds, Ordering::Relaxed);
    }

    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.send("POST", path, Some(self.key.expose()), Some(&body.to_string())).await
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, Some(self.key.expose()), None).await
    }

    pub async fn send(
        &self,
        method: &str,
        path: &str,
        key: Option<&str>,
        body: Option<&str>,
    ) -> Answer {
        let mut request = Request::builder().method(method).uri(format!("/api/nebula{path}"));
        if let Some(key) = key {
            request = request.header("authorization", format!("Bearer {key}"));
        }
        if body.is_some() {
            request = request.header("content-type", "application/json");
        }
        self.ask(request.body(Body::from(body.unwrap_or_default().to_owned())).unwrap()).await
    }

    pub async fn ask(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let content_type =
            response.headers().get("content-type").map(|value| value.to_str().unwrap().to_owned());
        let status = response.status();
        let bytes = response.into_body().collect().await.unwrap().to_bytes().to_vec();
        Answer { status, content_type: content_type.unwrap_or_default(), bytes }
    }

    /// Registers a device under its own id as its name.
    pub async fn register(&self, device: &str, key: &PublicKey) -> Answer {
        self.post("/register", &registration(device, key)).await
    }

    /// Every row of every table, to compare.
    pub fn rows(&self) -> Vec<String> {
        self.place.rows()
    }

    /// What one SQL query answers, as numbers.
    #[track_caller]
    pub fn number(&self, sql: &str) -> i64 {
        self.place.number(sql)
    }

    /// Changes rows behind the service's back.
    pub fn sql(&self, text: &str) {
        self.place.sql(text);
    }
}

impl Answer {
    pub fn json(&self) -> Value {
        assert_eq!(self.content_type, "application/json");
        serde_json::from_slice(&self.bytes).unwrap()
    }

    /// The `data` of a success, or the whole of an answer without any.
    #[track_caller]
    pub fn expect(&self, status: u16) -> Value {
        let text = String::from_utf8_lossy(&self.bytes);
        assert_eq!(self.status.as_u16(), status, "{text}");
        let body = self.json();
        assert_eq!(body["success"], json!(status == 200));
        body.get("data").cloned().unwrap_or(body)
    }

    /// A refusal's detail, after its status and code are as they should be.
    #[track_caller]
    pub fn refusal(&self, status: u16, code: &str) -> String {
        let body = self.expect(status);
        assert_eq!(body["error"], json!(code), "{body}");
        body["detail"].as_str().unwrap().to_owned()
    }
}

pub fn registration(device: &str, key: &PublicKey) -> Value {
    json!({"projectId": "demo", "deviceId": device, "deviceName": device, "publicKey": key.to_pem()})
}

/// The files of a ZIP by name; all of ours are stored as they are.
pub fn unzip(zip: &[u8]) -> Vec<(String, String)> {
    let mut files = vec![];
    let mut rest = zip;
    let number = |bytes: &[u8]| bytes.iter().rev().fold(0, |n, byte| n << 8 | usize::from(*byte));
    while rest.starts_with(b"PK\x03\x04") {
        let (size, name, extra) =
            (number(&rest[18..22]), number(&rest[26..28]), number(&rest[28..30]));
        assert_eq!(number(&rest[8..10]), 0, "stored");
        let contents = 30 + name + extra;
        files.push((
            String::from_utf8(rest[30..30 + name].to_vec()).unwrap(),
            String::from_utf8(rest[contents..contents + size].to_vec()).unwrap(),
        ));
        rest = &rest[contents + size..];
    }
    files
}

pub fn file<'a>(files: &'a [(String, String)], name: &str) -> &'a str {
    &files.iter().find(|(found, _)| found == name).unwrap_or_else(|| panic!("no {name}")).1
}

pub fn zip_of(data: &Value) -> Vec<u8> {
    use base64::Engine as _;
    let zip = base64::engine::general_purpose::STANDARD
        .decode(data["zipBundle"].as_str().unwrap())
        .unwrap();
    assert_eq!(data["zipSize"], json!(zip.len()));
    zip
}
