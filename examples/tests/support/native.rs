//! A device that enrols natively, and does step by step what an agent does for it.

use std::fs;
use std::net::SocketAddr;

use nebula_gc_http::Bearer;
use nebula_pki::Certificate;
use serde_json::{Value, json};

use super::api::Api;
use super::client::Answer;
use super::node::Node;
use super::peers::Peer;
use super::unpack::unpack;

/// A device with its node, and what it knows of it.
pub struct Device {
    pub node: Node,
    /// The node's id.
    pub id: String,
    /// With the node token.
    pub api: Api,
    /// The certificates it has, the older version first.
    pub certificates: Vec<Certificate>,
    /// Of what the bundle is that it has.
    has: Desired,
    /// That bundle's ETag, once it has fetched it.
    tag: Option<String>,
}

/// The network's counter, and the node's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Desired {
    pub revision: i64,
    pub generation: i64,
}

/// Which key a node renews its certificate for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Key {
    Same,
    New,
}

impl Device {
    /// Enrols with a join token, and puts the bundle beside the key.
    pub async fn enroll(
        mut node: Node,
        server: SocketAddr,
        join_token: &str,
        lighthouse: Option<&str>,
    ) -> Self {
        let token = node_token();
        let mut wish = enrollment(&node, node.name, &token);
        if let Some(endpoint) = lighthouse {
            wish["lighthouse"] = json!({ "endpoint": endpoint });
        }
        let given = Api::new(server, join_token).post("/enroll", &wish).await.expect(201);
        for (file, text) in given["bundle"]["files"].as_object().expect("an object") {
            node.write(file, text.as_str().expect("text"));
        }
        let addresses = texts(&given["addresses"]);
        let without_length = addresses.iter().filter_map(|text| text.split('/').next());
        node.addresses = without_length.map(str::to_owned).collect();
        let mut device = Self {
            node,
            id: given["node"].as_str().expect("text").to_owned(),
            api: Api::new(server, &token),
            certificates: certificates(&given),
            has: Desired::of(&given),
            tag: None,
        };
        // What it was given is what it would fetch.
        let bundle = device.fetch().await.expect("it has fetched none yet");
        assert_eq!(device.tag, Some(given["bundle"]["digest"].to_string()));
        unpack(&bundle, device.node.directory());
        device
    }

    /// Waits until there is another bundle than the one it has.
    pub async fn watch(&self) -> Desired {
        Desired::of(&self.poll().await.expect(200))
    }

    /// Waits until its token opens nothing more, and returns the code of the refusal.
    pub async fn dismissed(&self) -> String {
        let refusal = self.poll().await.expect(403);
        refusal["code"].as_str().expect("text").to_owned()
    }

    /// Fetches the bundle; nothing where it is the one it has.
    pub async fn fetch(&mut self) -> Option<Vec<u8>> {
        let answer = match &self.tag {
            Some(tag) => self.api.get_unless("/node/bundle", tag).await,
            None => self.api.get("/node/bundle").await,
        };
        let is_known = self.tag.is_some() && answer.status == 304;
        assert!(is_known || answer.status == 200, "{}", String::from_utf8_lossy(&answer.body));
        let counter = |name| answer.header(name).parse().expect("a number");
        let (revision, generation) = (counter("nebula-revision"), counter("nebula-generation"));
        self.has = Desired { revision, generation };
        self.tag = Some(answer.header("etag").to_owned());
        (!is_known).then(|| answer.body.to_vec())
    }

    /// Reports that it has applied what it has.
    pub async fn report(&self) {
        let Desired { revision, generation } = self.has;
        let report = json!({"revision": revision, "generation": generation});
        self.api.post("/node/report", &report).await.expect(204);
    }

    /// Waits for another bundle, and has Nebula take it over before it says so.
    pub async fn follow(&mut self, peer: &Peer) -> Desired {
        let news = self.watch().await;
        let bundle = self.fetch().await.expect("another one than it had");
        assert_eq!(self.has, news);
        self.node.update(&bundle, peer);
        self.report().await;
        news
    }

    /// Renews its certificates and has Nebula take them over.
    ///
    /// It is not reported yet: by a report for another key the former certificate is blocked, but
    /// Nebula shows peers a new one only when it next looks at its tunnels, within 5 seconds. A
    /// peer that blocks the former one before tears its tunnel down, and may lose a packet.
    pub async fn renew(&mut self, key: Key, peer: &Peer) {
        let wish = match key {
            Key::Same => json!({}),
            Key::New => json!({"publicKey": self.node.next_key(peer)}),
        };
        let renewed = self.api.post("/node/renew", &wish).await.expect(200);
        assert_eq!(renewed["renewed"], true, "{renewed}");
        self.certificates = certificates(&renewed);
        let bundle = self.fetch().await.expect("it holds the new certificates");
        assert_eq!(self.has, Desired::of(&renewed));
        unpack(&bundle, self.node.directory());
        if key == Key::New {
            self.node.take_next_key();
        }
        self.node.reload(peer);
    }

    /// What its peers log when it shows them its certificate.
    pub fn fingerprints(&self) -> Vec<String> {
        self.certificates.iter().map(|one| one.fingerprint().to_string()).collect()
    }

    /// Enrols its key once more, as another node.
    pub async fn enroll_again(&self, name: &str, join_token: &str) -> Answer {
        let wish = enrollment(&self.node, name, &node_token());
        Api::new(self.api.server, join_token).post("/enroll", &wish).await
    }

    async fn poll(&self) -> Answer {
        let Desired { revision, generation } = self.has;
        let query = format!("revision={revision}&generation={generation}&waitSeconds=20");
        self.api.get(&format!("/node/watch?{query}")).await
    }

    /// What is in its `nebula.yml`.
    pub fn configuration(&self) -> String {
        fs::read_to_string(self.node.directory().join("nebula.yml")).expect("it was unpacked")
    }
}

impl Desired {
    fn of(answer: &Value) -> Self {
        let counter = |name: &str| answer[name].as_i64().expect("a number");
        Self { revision: counter("revision"), generation: counter("generation") }
    }
}

fn enrollment(node: &Node, name: &str, token: &str) -> Value {
    json!({"name": name, "publicKey": node.public_key(), "nodeToken": token})
}

fn node_token() -> String {
    Bearer::new_node_token().expect("the system has randomness").expose().to_owned()
}

fn certificates(answer: &Value) -> Vec<Certificate> {
    let parse = |pem: String| Certificate::from_pem(pem.as_bytes()).expect("a certificate");
    texts(&answer["certificates"]).into_iter().map(parse).collect()
}

fn texts(list: &Value) -> Vec<String> {
    let list = list.as_array().expect("a list").iter();
    list.map(|text| text.as_str().expect("text").to_owned()).collect()
}
