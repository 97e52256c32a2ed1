//! A control plane on either engine, asked through its native API but without a socket.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use axum::Router;
use axum::body::Body;
use axum::http::request::Builder;
use axum::http::{HeaderMap, Request};
use http_body_util::BodyExt;
use nebula_gc_http::{Bearer, Error, ServerSecrets, Service, api};
use serde_json::{Value, json};
use tower::ServiceExt;

pub use super::requests::START;
use super::requests::new_key;
use super::{Engine, Fixture, Place};

pub struct Plane {
    pub router: Router,
    pub service: Arc<Service>,
    /// The root operator key.
    pub key: String,
    now: Arc<AtomicI64>,
    pub place: Place,
}

pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub bytes: Vec<u8>,
}

impl Fixture for Plane {
    /// An empty one; nothing where the engine is missing.
    async fn on(engine: Engine) -> Option<Self> {
        let (send, receive) = std::sync::mpsc::channel();
        let secrets = ServerSecrets::generate().unwrap();
        let keep = move |key: &Bearer| {
            send.send(key.expose().to_owned()).unwrap();
            Ok(())
        };
        let mut plane = Self::start(Place::on(engine)?, secrets, START, keep);
        plane.key = receive.recv().unwrap();
        Some(plane)
    }
}

impl Plane {
    /// One over what another program has written, whose root operator has this key.
    pub fn over(place: Place, secrets: ServerSecrets, now: i64, key: &str) -> Self {
        let keep = |_: &Bearer| panic!("it has an operator key already");
        Self { key: key.to_owned(), ..Self::start(place, secrets, now, keep) }
    }

    fn start(
        place: Place,
        secrets: ServerSecrets,
        now: i64,
        keep: impl FnOnce(&Bearer) -> Result<(), Error> + Send + 'static,
    ) -> Self {
        let now = Arc::new(AtomicI64::new(now));
        let clock = Arc::clone(&now);
        let clock = move || clock.load(Ordering::Relaxed);
        let service = Arc::new(Service::start(place.open(), secrets, clock, keep).unwrap());
        let router = api::router(Arc::clone(&service));
        Self { router, service, key: String::new(), now, place }
    }

    pub fn now(&self) -> i64 {
        self.now.load(Ordering::Relaxed)
    }

    pub fn pass(&self, seconds: i64) {
        self.now.fetch_add(seconds, Ordering::Relaxed);
    }

    /// As the root operator.
    pub async fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, &self.key, None).await
    }

    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.ask("POST", path, &self.key, Some(body)).await
    }

    pub async fn patch(&self, path: &str, body: &Value) -> Answer {
        self.ask("PATCH", path, &self.key, Some(body)).await
    }

    pub async fn delete(&self, path: &str) -> Answer {
        self.ask("DELETE", path, &self.key, None).await
    }

    /// As whoever has this secret; an empty one is none.
    pub async fn ask(&self, method: &str, path: &str, key: &str, body: Option<&Value>) -> Answer {
        self.ask_with(method, path, key, &[], body).await
    }

    pub async fn ask_with(
        &self,
        method: &str,
        path: &str,
        key: &str,
        headers: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Answer {
        let mut request = request(method, path, key);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let body = match body {
            Some(body) => {
                request = request.header("content-type", "application/json");
                Body::from(body.to_string())
            }
            None => Body::empty(),
        };
        self.send(request.body(body).unwrap()).await
    }

    pub async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let bytes = response.into_body().collect().await.unwrap().to_bytes().to_vec();
        Answer { status, headers, bytes }
    }
}

/// What a new node sends.
pub fn enrollment(name: &str) -> Value {
    let (key, token) = (new_key(), Bearer::new_node_token().unwrap());
    json!({"name": name, "publicKey": key.to_pem(), "nodeToken": token.expose()})
}

/// A request to a path below `/api/v1`.
pub fn request(method: &str, path: &str, key: &str) -> Builder {
    let request = Request::builder().method(method).uri(format!("/api/v1{path}"));
    match key {
        "" => request,
        key => request.header("authorization", format!("Bearer {key}")),
    }
}

impl Answer {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map(|value| value.to_str().unwrap()).unwrap_or_default()
    }

    #[track_caller]
    pub fn expect(&self, status: u16) -> Value {
        let text = String::from_utf8_lossy(&self.bytes);
        assert_eq!(self.status, status, "{text}");
        if self.bytes.is_empty() {
            Value::Null
        } else {
            serde_json::from_slice(&self.bytes).unwrap()
        }
    }

    /// A problem with this code, whose document is as it has to be.
    #[track_caller]
    pub fn problem(&self, status: u16, code: &str) -> Value {
        let problem = self.expect(status);
        assert_eq!(self.header("content-type"), "application/problem+json", "{problem}");
        assert_eq!(problem["code"], code, "{problem}");
        assert_eq!(problem["status"], status, "{problem}");
        assert_eq!(problem["type"], "about:blank", "{problem}");
        assert_eq!(problem["requestId"], self.header("x-request-id"), "{problem}");
        assert!(problem["title"].is_string() && problem["detail"].is_string(), "{problem}");
        problem
    }
}
