//! A control plane asked by clients of the dialect.

use std::ops::Deref;

use axum::body::Body;
use axum::http::Request;
use nebula_pki::key::PublicKey;
use serde_json::{Value, json};

use super::native;
pub use super::requests::{START, new_key};
use super::{Engine, Fixture};

pub struct Plane(native::Plane);

pub struct Answer(native::Answer);

impl Fixture for Plane {
    async fn on(engine: Engine) -> Option<Self> {
        native::Plane::on(engine).await.map(Self)
    }
}

impl Deref for Plane {
    type Target = native::Plane;
    fn deref(&self) -> &native::Plane {
        &self.0
    }
}

impl Deref for Answer {
    type Target = native::Answer;
    fn deref(&self) -> &native::Answer {
        &self.0
    }
}

impl Plane {
    /// Makes the network `demo` on this prefix.
    pub async fn make_network(&self, cidr: &str) {
        let version = if cidr.contains(':') { 2 } else { 1 };
        let body = json!({"projectId": "demo", "cidr": cidr, "certificateVersion": version});
        self.post("/pools", &body).await.expect(200);
    }

    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.send("POST", path, Some(&self.key), Some(&body.to_string())).await
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, Some(&self.key), None).await
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
        Answer(self.0.send(request).await)
    }

    /// Registers a device under its own id as its name.
    pub async fn register(&self, device: &str, key: &PublicKey) -> Answer {
        self.post("/register", &registration(device, key)).await
    }
}

impl Answer {
    pub fn json(&self) -> Value {
        assert_eq!(self.header("content-type"), "application/json");
        serde_json::from_slice(&self.bytes).unwrap()
    }

    /// The `data` of a success, or the whole of an answer without any.
    #[track_caller]
    pub fn expect(&self, status: u16) -> Value {
        let text = String::from_utf8_lossy(&self.bytes);
        assert_eq!(self.status, status, "{text}");
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
