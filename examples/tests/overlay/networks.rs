//! Networks to be made for a test through the native API.

use std::net::SocketAddr;

use serde_json::json;

use crate::support::api::Api;
use crate::support::native::Device;
use crate::support::node::Node;
use crate::support::peers::Peer;
use crate::support::server::Server;
use crate::support::underlay::Host;

/// A network of version 1, which every release reads, and who makes nodes in it.
pub struct Network {
    name: String,
    server: SocketAddr,
    operator: Api,
}

/// What a node is for others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    Plain,
    Lighthouse,
    Relay,
}

impl Network {
    pub async fn new(server: &Server, name: &str, prefix: &str) -> Self {
        let operator = Api::new(server.address, &server.operator_key);
        let network = json!({"name": name, "prefixes": [prefix], "versions": "1"});
        operator.post("/networks", &network).await.expect(201);
        Self { name: name.to_owned(), server: server.address, operator }
    }

    /// Joins a device at a place, which has the bundle then, and does not run yet.
    pub async fn join(&self, name: &'static str, host: Host, role: Role, peer: &Peer) -> Device {
        let wish = json!({
            "name": name,
            "lighthouse": role == Role::Lighthouse,
            "relay": role == Role::Relay,
        });
        let path = format!("/networks/{}/join-tokens", self.name);
        let made = self.operator.post(&path, &wish).await.expect(201);
        let token = made["secret"].as_str().expect("shown once").to_owned();
        let endpoint = format!("{}:4242", host.address);
        let endpoint = (role == Role::Lighthouse).then_some(endpoint.as_str());
        Device::enroll(Node::new(name, host, peer), self.server, &token, endpoint).await
    }
}
