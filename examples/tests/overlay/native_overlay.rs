//! Does what nodes do through the native API hold on a real overlay: joining, renewing without a
//! lost packet, and being revoked?
//!
//! Needs root, `ip`, `ping`, `/dev/net/tun` and a peer (`support/peers.rs`); says so and passes
//! where one of them is missing, unless `REQUIRE_PEERS=1`.

use std::net::SocketAddr;
use std::time::Duration;

use crate::support::api::Api;
use crate::support::native::{Device, Key};
use crate::support::node::Node;
use crate::support::past::Past;
use crate::support::peers::{self, Peer, skip};
use crate::support::pings::{MEET, PART, Pair, pairs, unanswered, until};
use crate::support::server::Server;
use crate::support::stream::Stream;
use crate::support::underlay::Underlay;
use serde_json::{Value, json};

/// For nodes to show each other their new certificates: Nebula looks at its tunnels every few
/// seconds.
const SHOW: Duration = Duration::from_secs(30);
/// For how many pings nothing else is to happen: 10 seconds, in which Nebula has looked at each
/// tunnel more than once.
const QUIET: u64 = 200;

#[tokio::test]
async fn devices_join_a_network_of_version_2_with_both_address_families() {
    let Some(peer) = version_2() else { return };
    let plan = Plan { name: "v2", versions: "2", prefixes: &["10.51.0.0/24", "fd51::/64"] };
    let Some(mut underlay) = underlay(plan.name) else { return };
    let data = tempfile::tempdir().expect("a directory");
    let server = Server::start(&data.path().join("data"));
    let operator = Operator::new(server.address, &server.operator_key, plan, DAYS).await;
    let mesh = operator.mesh(&mut underlay, [&peer; 3]).await;
    assert!(mesh.iter().all(|device| device.node.addresses.len() == 2));
    meet(&mesh.iter().collect::<Vec<_>>());
}

#[tokio::test]
async fn devices_with_certificates_of_both_versions_talk_to_those_that_read_one() {
    let Some(peer) = version_2() else { return };
    let Some(old) = peers::newest_of("1.9") else { return };
    let plan = Plan { name: "both", versions: "both", prefixes: &["10.52.0.0/24", "fd52::/64"] };
    let Some(mut underlay) = underlay(plan.name) else { return };
    let data = tempfile::tempdir().expect("a directory");
    let server = Server::start(&data.path().join("data"));
    let operator = Operator::new(server.address, &server.operator_key, plan, DAYS).await;
    let mut mesh = operator.mesh(&mut underlay, [&peer, &peer, &old]).await;
    assert!(mesh.iter().all(|device| device.certificates.len() == 2));
    // Nebula reaches IPv6 addresses by handshakes of version 2 only.
    for device in &mut mesh {
        device.node.addresses.retain(|address| !address.contains(':'));
    }
    meet(&mesh.iter().collect::<Vec<_>>());
}

/// Where all read version 2 and begin with it, both families answer.
#[tokio::test]
async fn devices_with_certificates_of_both_versions_begin_in_the_one_that_the_network_says() {
    let Some(peer) = version_2() else { return };
    let plan = Plan { name: "begin", versions: "both", prefixes: &["10.56.0.0/24", "fd56::/64"] };
    let Some(mut underlay) = underlay(plan.name) else { return };
    let data = tempfile::tempdir().expect("a directory");
    let server = Server::start(&data.path().join("data"));
    let operator = Operator::new(server.address, &server.operator_key, plan, DAYS).await;
    operator.begin_in("2").await;
    let mesh = operator.mesh(&mut underlay, [&peer; 3]).await;
    assert!(mesh.iter().all(|device| device.certificates.len() == 2));
    assert!(mesh.iter().all(|device| device.node.addresses.len() == 2));
    meet(&mesh.iter().collect::<Vec<_>>());
}

#[tokio::test]
async fn the_newest_release_renews_without_losing_a_ping() {
    let Some(peer) = version_2() else { return };
    let plan = Plan { name: "renew", versions: "2", prefixes: &["10.53.0.0/24"] };
    renew_without_losing_a_ping(&peer, plan).await;
}

#[tokio::test]
async fn an_older_release_renews_without_losing_a_ping() {
    let Some(peer) = peers::newest_of("1.9") else { return };
    let plan = Plan { name: "renew-old", versions: "1", prefixes: &["10.54.0.0/24"] };
    renew_without_losing_a_ping(&peer, plan).await;
}

async fn renew_without_losing_a_ping(peer: &Peer, plan: Plan) {
    let Some(mut underlay) = underlay(plan.name) else { return };
    let directory = tempfile::tempdir().expect("a directory");
    let data = directory.path().join("data");
    // The certificates were issued five and a half minutes ago: with the five minutes by which they
    // began earlier, two thirds of their lifetime are over, and 270 seconds are left.
    let past = Past::start(&data, 330).await;
    let operator = Operator::new(past.address, &past.operator_key, plan, TEN_MINUTES).await;
    let mut mesh = operator.mesh(&mut underlay, [peer; 3]).await;
    past.end().await;
    let server = Server::start(&data);
    let operator = operator.moved_to(server.address);
    for device in &mut mesh {
        device.api.server = server.address;
        device.report().await;
    }
    let [lighthouse, laptop, phone] = &mut mesh;
    // One after the other, so that no two nodes begin a tunnel to each other at the same time: of
    // two tunnels Nebula renews the one that carries no answers only later.
    for (from, to) in [(&*laptop, &*lighthouse), (phone, lighthouse), (laptop, phone)] {
        let address = to.node.addresses.first().expect("it has one");
        let pair = Pair { from: &from.node, to: &to.node, address };
        until(&format!("an answer: {pair}"), MEET, || unanswered(&[pair]).is_empty());
    }
    let mut streams: Vec<Stream> = [(&*lighthouse, &*laptop), (laptop, lighthouse)]
        .into_iter()
        .chain([(&*phone, &*laptop), (laptop, phone)])
        .map(|(from, to)| Stream::new(&from.node, &to.node))
        .collect();
    go_on(&mut streams, 0);

    laptop.renew(Key::Same, peer).await;
    until("they have seen the certificate for the same key", SHOW, || {
        has_shown(laptop, &[&*lighthouse, &*phone])
    });
    laptop.report().await;
    go_on(&mut streams, QUIET / 4);

    let former = laptop.fingerprints();
    laptop.renew(Key::New, peer).await;
    assert_ne!(laptop.fingerprints(), former);
    until("they have seen the certificate for the new key", SHOW, || {
        has_shown(laptop, &[&*lighthouse, &*phone])
    });
    laptop.report().await;
    // By the report the former certificate is blocked, which its peers are told at once.
    let mut revision = 0;
    for device in [&mut *lighthouse, phone, laptop] {
        revision = device.follow(peer).await.revision;
        let configuration = device.configuration();
        assert!(former.iter().all(|one| configuration.contains(one)), "{configuration}");
    }
    assert_eq!(operator.unapplied(revision).await["count"], 0);
    go_on(&mut streams, QUIET);
    let lost = streams.iter().any(|stream| !stream.lost().is_empty());
    assert!(!lost, "pings were lost");
}

#[tokio::test]
async fn a_revoked_node_is_unreachable_and_stays_out() {
    let Some(peer) = version_2() else { return };
    let plan = Plan { name: "revoke", versions: "2", prefixes: &["10.55.0.0/24", "fd55::/64"] };
    let Some(mut underlay) = underlay(plan.name) else { return };
    let data = tempfile::tempdir().expect("a directory");
    let server = Server::start(&data.path().join("data"));
    let operator = Operator::new(server.address, &server.operator_key, plan, DAYS).await;
    let mut mesh = operator.mesh(&mut underlay, [&peer; 3]).await;
    meet(&mesh.iter().collect::<Vec<_>>());

    let [lighthouse, laptop, phone] = &mut mesh;
    for device in [&mut *lighthouse, laptop, phone] {
        assert_eq!(device.fetch().await, None, "nothing has changed");
        device.report().await;
    }
    let (news, other_news, dismissed, revoked) = tokio::join!(
        lighthouse.watch(),
        laptop.watch(),
        phone.dismissed(),
        operator.revoke(phone),
    );
    assert_eq!(revoked["state"], "revoked", "{revoked}");
    assert_eq!(news.revision, other_news.revision);
    assert_eq!(dismissed, "node_revoked");
    let unapplied = operator.unapplied(news.revision).await;
    assert_eq!(unapplied["count"], 2, "{unapplied}");
    for device in [&mut *lighthouse, laptop] {
        assert_eq!(device.follow(&peer).await, news);
        let configuration = device.configuration();
        let blocks = phone.fingerprints().iter().all(|one| configuration.contains(one));
        assert!(blocks, "{configuration}");
    }
    let unapplied = operator.unapplied(news.revision).await;
    assert_eq!((&unapplied["count"], &unapplied["appliedByAll"]), (&json!(0), &json!(true)));

    let everybody = pairs(&[&lighthouse.node, &laptop.node, &phone.node]);
    let part: Vec<Pair> =
        everybody.iter().filter(|pair| pair.concerns(&phone.node)).copied().collect();
    until("the revoked one answers nobody and is not answered", PART, || {
        unanswered(&part).len() == part.len()
    });
    for _ in 0..5 {
        let unanswered = unanswered(&everybody);
        assert!(part.iter().all(|pair| unanswered.contains(&pair.to_string())), "{unanswered:#?}");
        assert_eq!(unanswered.len(), part.len(), "only these were not answered: {unanswered:#?}");
    }

    let token = operator.join_token(json!({"name": "another", "uses": 5})).await;
    let refused = phone.enroll_again("nobody-knows-me", token.secret()).await.expect(403);
    assert_eq!(refused["code"], "node_revoked", "{refused}");
    assert_eq!(operator.used(&token).await, 0);
}

/// How long certificates are valid.
const DAYS: i64 = 14 * 86_400;
const TEN_MINUTES: i64 = 600;

/// A network to be made.
#[derive(Clone, Copy)]
struct Plan {
    name: &'static str,
    versions: &'static str,
    prefixes: &'static [&'static str],
}

/// Who has made a network.
struct Operator {
    api: Api,
    network: &'static str,
}

/// As its maker was shown it.
struct JoinToken(Value);

impl Operator {
    async fn new(server: SocketAddr, operator_key: &str, plan: Plan, lifetime: i64) -> Self {
        let api = Api::new(server, operator_key);
        let network = json!({
            "name": plan.name,
            "prefixes": plan.prefixes,
            "versions": plan.versions,
            "lifetimeSeconds": lifetime,
        });
        api.post("/networks", &network).await.expect(201);
        Self { api, network: plan.name }
    }

    fn moved_to(mut self, server: SocketAddr) -> Self {
        self.api.server = server;
        self
    }

    async fn begin_in(&self, version: &str) {
        let path = format!("/networks/{}", self.network);
        self.api.patch(&path, &json!({"initiatingVersion": version})).await.expect(200);
    }

    /// A lighthouse and two others that joined with tokens, and run.
    async fn mesh(&self, underlay: &mut Underlay, peers: [&Peer; 3]) -> [Device; 3] {
        let server = self.api.server;
        // First, so that the others' bundles name it.
        let token = self.join_token(json!({"name": "lighthouses", "lighthouse": true})).await;
        let node = Node::new("lighthouse", underlay.host("lighthouse"), peers[0]);
        let endpoint = format!("{}:4242", node.host.address);
        let lighthouse = Device::enroll(node, server, token.secret(), Some(&endpoint)).await;

        let devices = json!({"name": "devices", "uses": 2, "groups": ["devices"]});
        let token = self.join_token(devices).await;
        let node = Node::new("laptop", underlay.host("laptop"), peers[1]);
        let laptop = Device::enroll(node, server, token.secret(), None).await;
        let node = Node::new("phone", underlay.host("phone"), peers[2]);
        let phone = Device::enroll(node, server, token.secret(), None).await;
        assert_eq!(self.used(&token).await, 2);

        let mut mesh = [lighthouse, laptop, phone];
        for (device, peer) in mesh.iter_mut().zip(peers) {
            device.node.run(peer);
        }
        mesh
    }

    async fn join_token(&self, wish: Value) -> JoinToken {
        let path = format!("/networks/{}/join-tokens", self.network);
        JoinToken(self.api.post(&path, &wish).await.expect(201))
    }

    /// How many nodes came with a token.
    async fn used(&self, token: &JoinToken) -> i64 {
        let id = token.0["id"].as_str().expect("text");
        let path = format!("/networks/{}/join-tokens/{id}", self.network);
        self.api.get(&path).await.expect(200)["used"].as_i64().expect("a number")
    }

    async fn revoke(&self, device: &Device) -> Value {
        let path = format!("/networks/{}/nodes/{}/revoke", self.network, device.id);
        self.api.post(&path, &json!({"reason": "stolen"})).await.expect(200)
    }

    /// Who has not yet applied a revision.
    async fn unapplied(&self, revision: i64) -> Value {
        let path = format!("/networks/{}/revisions/{revision}/unapplied", self.network);
        self.api.get(&path).await.expect(200)
    }
}

impl JoinToken {
    fn secret(&self) -> &str {
        self.0["secret"].as_str().expect("shown once")
    }
}

/// The newest release, if it knows certificates of version 2.
fn version_2() -> Option<Peer> {
    let peer = peers::newest()?;
    if !peer.knows_version_2() {
        skip("nebula 1.10 or later, which knows certificates of version 2");
        return None;
    }
    Some(peer)
}

fn underlay(name: &str) -> Option<Underlay> {
    Underlay::new(name).map_err(|missing| skip(&missing)).ok()
}

fn meet(mesh: &[&Device]) {
    let nodes: Vec<&Node> = mesh.iter().map(|device| &device.node).collect();
    let everybody = pairs(&nodes);
    until("they all answer each other", MEET, || unanswered(&everybody).is_empty());
}

/// Whether a device has shown all of these the newest certificate it uses.
fn has_shown(device: &Device, peers: &[&Device]) -> bool {
    let fingerprints = device.fingerprints();
    peers.iter().all(|peer| {
        let log = peer.node.logged();
        fingerprints.iter().any(|one| log.contains(one))
    })
}

#[track_caller]
fn go_on(streams: &mut [Stream], count: u64) {
    let goals: Vec<u64> = streams.iter_mut().map(|stream| stream.goal(count)).collect();
    for (stream, goal) in streams.iter_mut().zip(goals) {
        stream.reach(goal);
        eprintln!("{stream}");
    }
}
