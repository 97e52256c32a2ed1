//! A control plane on either engine, asked through its native API but without a socket.

use std::ops::Deref;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::request::Builder;
use axum::http::{HeaderMap, Request};
use http_body_util::BodyExt;
use nebula_gc_http::{Bearer, ServerSecrets, api};
use serde_json::{Value, json};
use tower::ServiceExt;

pub use super::requests::START;
use super::requests::new_key;
use super::{Engine, Fixture, Place, Server};

pub struct Plane {
    server: Server,
    pub router: Router,
    /// The root operator key.
    pub key: String,
}

impl Deref for Plane {
    type Target = Server;
    fn deref(&self) -> &Server {
        &self.server
    }
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
        let server = Server::over(Place::on(engine)?, secrets, START, move |key| {
            send.send(key.expose().to_owned()).unwrap();
            Ok(())
        });
        Some(Self::of(server, receive.recv().unwrap()))
    }
}

impl Plane {
    /// One over what another program has written, whose root operator has this key.
    pub fn over(place: Place, secrets: ServerSecrets, now: i64, key: &str) -> Self {
        let keep = |_: &Bearer| panic!("it has an operator key already");
        Self::of(Server::over(place, secrets, now, keep), key.to_owned())
    }

    fn of(server: Server, key: String) -> Self {
        Self { router: api::router(Arc::clone(&server.service)), server, key }
    }

    /// What is left of it without its routes, and its key.
    pub fn into_server(self) -> (Server, String) {
        (self.server, self.key)
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

/// Asks one of several servers to do something; null is no body. Its status.
pub async fn post(router: &Router, path: &str, key: &str, body: &Value) -> u16 {
    let request = request("POST", path, key);
    let request = match body {
        Value::Null => request.body(Body::empty()),
        body => {
            request.header("content-type", "application/json").body(Body::from(body.to_string()))
        }
    };
    router.clone().oneshot(request.unwrap()).await.unwrap().status().as_u16()
}

/// As whoever has the secret, in the dialect; an empty one is none.
pub async fn dialect(plane: &Plane, path: &str, secret: &str, body: Option<&Value>) -> Answer {
    let method = match (body, path.starts_with("/release")) {
        (None, false) => "GET",
        _ => "POST",
    };
    let mut request = Request::builder().method(method).uri(format!("/api/nebula{path}"));
    if !secret.is_empty() {
        request = request.header("authorization", format!("Bearer {secret}"));
    }
    let request = request.header("content-type", "application/json");
    let body = body.map(Value::to_string).unwrap_or_default();
    plane.send(request.body(Body::from(body)).unwrap()).await
}

/// A field that is a text.
pub fn text(value: &Value, field: &str) -> String {
    value[field].as_str().unwrap().to_owned()
}
