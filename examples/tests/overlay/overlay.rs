//! Do devices that registered reach each other with the real Nebula, and a released one no more?
//!
//! Needs root, `ip`, `ping`, `/dev/net/tun` and a peer (`support/peers.rs`); says so and passes
//! where one of them is missing, unless `REQUIRE_PEERS=1`.

use crate::support::client::{Answer, Client};
use crate::support::node::Node;
use crate::support::peers::{self, Peer, skip};
use crate::support::pings::{MEET, PART, Pair, pairs, unanswered, until};
use crate::support::server::Server;
use crate::support::underlay::Underlay;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

#[tokio::test]
async fn the_oldest_release_over_version_1() {
    if let Some(peer) = peers::newest_of("1.6") {
        meet_and_part(
            &peer,
            Network { name: "oldest-v1", version: 1, prefixes: &["10.41.0.0/24"] },
        )
        .await;
    }
}

#[tokio::test]
async fn the_newest_release_over_version_1() {
    if let Some(peer) = peers::newest() {
        meet_and_part(
            &peer,
            Network { name: "newest-v1", version: 1, prefixes: &["10.42.0.0/24"] },
        )
        .await;
    }
}

#[tokio::test]
async fn the_newest_release_over_version_2_with_both_address_families() {
    let Some(peer) = peers::newest() else { return };
    if !peer.knows_version_2() {
        return skip("nebula 1.10 or later, which knows certificates of version 2");
    }
    let prefixes = &["10.43.0.0/24", "fd43:4343::/64"];
    meet_and_part(&peer, Network { name: "newest-v2", version: 2, prefixes }).await;
}

struct Network {
    name: &'static str,
    version: u8,
    prefixes: &'static [&'static str],
}

async fn meet_and_part(peer: &Peer, network: Network) {
    let mut underlay = match Underlay::new(network.name) {
        Ok(underlay) => underlay,
        Err(missing) => return skip(&missing),
    };
    let mut node = |name| Node::new(name, underlay.host(name), peer);
    let (mut lighthouse, mut laptop, mut phone) =
        (node("lighthouse"), node("laptop"), node("phone"));
    let data = tempfile::tempdir().expect("a directory");
    let data = data.path().join("data");
    let server = Server::start(&data);
    let mut plane = Plane::new(&server, network).await;

    // First, so that the others' bundles name it.
    let endpoint = format!("{}:4242", lighthouse.host.address);
    let given = plane.register(&mut lighthouse, json!({ "endpoint": endpoint })).await;
    lighthouse.start(&zip_bundle(&given), peer);
    let given = plane.register(&mut laptop, Value::Null).await;
    laptop.start(&zip_bundle(&given), peer);
    let given = plane.register(&mut phone, Value::Null).await;
    phone.start(&plane.bundle(&phone).await, peer);

    let everybody = pairs(&[&lighthouse, &laptop, &phone]);
    until("they all answer each other", MEET, || unanswered(&everybody).is_empty());

    plane.release(&phone).await;
    for node in [&lighthouse, &laptop] {
        let before = std::fs::read(node.directory().join("nebula.yml")).expect("it is there");
        node.update(&plane.bundle(node).await, peer);
        let after =
            std::fs::read_to_string(node.directory().join("nebula.yml")).expect("it is there");
        let fingerprint = given["fingerprint"].as_str().expect("text");
        assert!(before != after.as_bytes() && after.contains(fingerprint), "{after}");
    }

    let stay = pairs(&[&lighthouse, &laptop]);
    let part: Vec<Pair> = everybody.iter().filter(|pair| pair.concerns(&phone)).copied().collect();
    until("the released one answers nobody and is not answered", PART, || {
        unanswered(&part).len() == part.len()
    });
    for _ in 0..5 {
        let unanswered = unanswered(&everybody);
        assert_eq!(unanswered.len(), part.len(), "only these were not answered: {unanswered:#?}");
        assert!(stay.iter().all(|pair| !unanswered.contains(&pair.to_string())), "{unanswered:#?}");
    }
}

/// The control plane as one network's devices see it.
struct Plane {
    client: Client,
    network: &'static str,
}

impl Plane {
    async fn new(server: &Server, network: Network) -> Self {
        let mut client =
            Client::connect(server.address, &server.operator_key).await.expect("it serves");
        for prefix in network.prefixes {
            let pool = json!({"projectId": network.name, "cidr": prefix, "certificateVersion": network.version});
            success(client.post("/api/nebula/pools", pool.to_string()).await);
        }
        Self { client, network: network.name }
    }

    /// Registers a node's key, tells the node its addresses, and returns what was answered.
    async fn register(&mut self, node: &mut Node, lighthouse: Value) -> Value {
        let registration = json!({
            "projectId": self.network,
            "deviceId": node.name,
            "deviceName": node.name,
            "publicKey": node.public_key(),
            "lighthouse": lighthouse,
        });
        let answer =
            success(self.client.post("/api/nebula/register", registration.to_string()).await);
        let body: Value = serde_json::from_slice(&answer.body).expect("JSON");
        let data = body["data"].clone();
        let addresses = data["nebulaIps"].as_array().expect("a list").iter();
        node.addresses = addresses
            .map(|text| {
                text.as_str()
                    .and_then(|text| text.split('/').next())
                    .expect("an address")
                    .to_owned()
            })
            .collect();
        data
    }

    async fn bundle(&mut self, node: &Node) -> Vec<u8> {
        let path = format!("/api/nebula/bundle/{}?projectId={}", node.name, self.network);
        success(self.client.get(&path).await).body.to_vec()
    }

    async fn release(&mut self, node: &Node) {
        let path = format!("/api/nebula/release/{}?projectId={}", node.name, self.network);
        success(self.client.post(&path, "").await);
    }
}

#[track_caller]
fn success(answer: hyper::Result<Answer>) -> Answer {
    let answer = answer.expect("an answer");
    assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
    answer
}

fn zip_bundle(data: &Value) -> Vec<u8> {
    STANDARD.decode(data["zipBundle"].as_str().expect("text")).expect("Base64")
}
