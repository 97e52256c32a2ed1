//! The native API as somebody with one secret asks it.

use std::net::SocketAddr;

use hyper::Method;
use serde_json::Value;

use super::client::{Answer, Client};

/// Whom to ask, and with which secret. Each request has a connection of its own, so that it does
/// not matter how long nobody asked, or that the server was started anew.
#[derive(Clone)]
pub struct Api {
    pub server: SocketAddr,
    secret: String,
}

impl Api {
    pub fn new(server: SocketAddr, secret: &str) -> Self {
        Self { server, secret: secret.to_owned() }
    }

    pub fn secret(&self) -> &str {
        &self.secret
    }

    /// Asks for a path below `/api/v1`.
    pub async fn get(&self, path: &str) -> Answer {
        self.client().await.get(&below(path)).await.expect("an answer")
    }

    /// Asks for what may have changed since it had this ETag.
    pub async fn get_unless(&self, path: &str, tag: &str) -> Answer {
        self.client().await.get_unless(&below(path), tag).await.expect("an answer")
    }

    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.client().await.post(&below(path), body.to_string()).await.expect("an answer")
    }

    pub async fn patch(&self, path: &str, body: &Value) -> Answer {
        let mut client = self.client().await;
        client.send(Method::PATCH, &below(path), body.to_string()).await.expect("an answer")
    }

    pub async fn put(&self, path: &str, body: &Value) -> Answer {
        let mut client = self.client().await;
        client.send(Method::PUT, &below(path), body.to_string()).await.expect("an answer")
    }

    async fn client(&self) -> Client {
        Client::connect(self.server, &self.secret).await.expect("it listens")
    }
}

fn below(path: &str) -> String {
    format!("/api/v1{path}")
}

impl Answer {
    /// The body of an answer that has to have this status.
    #[track_caller]
    pub fn expect(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", String::from_utf8_lossy(&self.body));
        if self.body.is_empty() {
            return Value::Null;
        }
        serde_json::from_slice(&self.body).expect("JSON")
    }

    #[track_caller]
    pub fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name).unwrap_or_else(|| panic!("no header {name}"));
        value.to_str().expect("text")
    }
}
