//! What a control plane is killed under: tens of clients that enrol, renew, change, keep out, let in
//! and release nodes, and tell each outcome as soon as they have it.

use std::sync::Arc;
use std::time::Duration;

use nebula_gc_http::{
    Bearer, Change, Context, Desired, DeviceEnrollment, DeviceId, Enrolled, Enrollment, Error,
    Expected, Groups, LedgerEntry, NetworkRef, NewJoinToken, NodeChange, NodeId, NodeName, Service,
    StateReason,
};
use nebula_pki::key::PublicKey;
use nebula_pki::{Certificate, Curve, Fingerprint};
use tokio::task::JoinSet;

use crate::shared::child::say;
use crate::shared::random::Random;
use crate::support::requests::{self, groups, join_token, new_key_on as new_key, registration};

/// The networks, and the curve of each. The key of the last one's CA is with a program.
pub const NETWORKS: [(&str, Curve); 3] =
    [("both", Curve::Curve25519), ("p256", Curve::P256), ("remote", Curve::Curve25519)];
const CLIENTS: u64 = 24;
/// How many nodes a client keeps changing.
const NODES: usize = 6;

/// Each client does so much.
pub async fn work(service: Arc<Service>, name: String, seed: u64, operations: u64) {
    let mut clients = JoinSet::new();
    for client in 0..CLIENTS {
        let client = Client {
            service: Arc::clone(&service),
            name: format!("{name}-{client}"),
            random: Random(seed ^ (client + 1).wrapping_mul(0x9e37_79b9)),
            nodes: vec![],
            made: 0,
            tokens: NETWORKS.map(|_| None),
        };
        clients.spawn(client.work(operations));
    }
    let upkeep = async {
        loop {
            // Another instance may be at it.
            let _ = service.upkeep().await;
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::select! {
        _ = clients.join_all() => {}
        () = upkeep => {}
    }
}

struct Client {
    service: Arc<Service>,
    name: String,
    random: Random,
    nodes: Vec<Node>,
    made: usize,
    tokens: [Option<Bearer>; 3],
}

#[derive(Clone)]
struct Node {
    network: usize,
    id: NodeId,
    device: String,
    name: String,
    key: PublicKey,
    /// None of a device of the dialect.
    token: Option<Bearer>,
    state: &'static str,
    fingerprints: String,
}

impl Node {
    fn project(&self) -> NetworkRef {
        NetworkRef::new(NETWORKS[self.network].0).unwrap()
    }

    fn caller(&self) -> Context {
        self.token.clone().map_or_else(Context::local, Context::bearer)
    }

    fn enrollment(&self) -> Enrollment {
        Enrollment {
            network: Some(self.project()),
            public_key: self.key.clone(),
            token: self.token.clone().unwrap(),
            device: Some(DeviceId::new(&*self.device).unwrap()),
            ..requests::enrollment(&self.name)
        }
    }

    fn tell(&self) {
        let key: String = self.key.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        let token = self.token.as_ref().map_or("-", Bearer::expose);
        let Self { network, device, name, state, fingerprints, .. } = self;
        say(&format!("done {device} {network} {state} {name} {key} {token} {fingerprints}"));
    }
}

pub fn fingerprints(certificates: &[Certificate]) -> String {
    joined(certificates.iter().map(Certificate::fingerprint))
}

fn of_ledger(entries: &[LedgerEntry]) -> String {
    joined(entries.iter().filter_map(|entry| entry.fingerprint))
}

fn joined(fingerprints: impl Iterator<Item = Fingerprint>) -> String {
    let each: Vec<_> = fingerprints.map(|one| one.to_string()).collect();
    if each.is_empty() { "-".to_owned() } else { each.join(",") }
}

/// Whether nobody knows what came of it.
fn is_in_doubt(error: &Error) -> bool {
    matches!(error, Error::Unavailable { .. })
}

impl Client {
    async fn work(mut self, operations: u64) {
        for _ in 0..operations {
            if self.nodes.len() < NODES && self.random.once_in(2) {
                self.come().await;
            } else if !self.nodes.is_empty() {
                let index = self.random.below(self.nodes.len());
                let node = self.nodes.swap_remove(index);
                if let Some(node) = self.change(node).await {
                    self.nodes.push(node);
                }
            }
        }
    }

    /// A new node. What is in doubt is left to the checker.
    async fn come(&mut self) {
        let network = self.random.below(NETWORKS.len());
        self.made += 1;
        let device = format!("{}-{}", self.name, self.made);
        let key = new_key(NETWORKS[network].1);
        let native = !self.random.once_in(4);
        let mut node = Node {
            network,
            id: NodeId::from([0; 16]),
            name: device.clone(),
            device,
            key,
            token: native.then(|| Bearer::new_node_token().unwrap()),
            state: "active",
            fingerprints: String::new(),
        };
        let caller = if native && self.random.once_in(2) {
            self.join_token(network).await
        } else {
            Some(Context::local())
        };
        let Some(caller) = caller else { return };
        say(&format!("begin {}", node.device));
        match self.register(caller, &node).await {
            Ok(enrolled) => {
                node.id = enrolled.node;
                node.fingerprints = fingerprints(&enrolled.certificates);
                node.tell();
                self.nodes.push(node);
            }
            // Its answer was lost, or others had used the token up.
            Err(Error::JoinTokenRefused { .. }) => self.tokens[network] = None,
            Err(_) => {}
        }
    }

    async fn register(&self, caller: Context, node: &Node) -> Result<Enrolled, Error> {
        if node.token.is_some() {
            return self.service.enroll(caller, node.enrollment()).await;
        }
        let request = DeviceEnrollment {
            network: Some(node.project()),
            name: NodeName::new(&*node.name).unwrap(),
            ..registration(&node.device, &node.key)
        };
        self.service.enroll_device(caller, request).await
    }

    /// One with a few uses, which runs out.
    async fn join_token(&mut self, network: usize) -> Option<Context> {
        if self.tokens[network].is_none() {
            let request = NewJoinToken { groups: groups(&["joined"]), ..join_token(2, 3_600) };
            let project = NetworkRef::new(NETWORKS[network].0).unwrap();
            let caller = Context::local();
            let made = self.service.create_join_token(caller, project, request, None).await;
            self.tokens[network] = made.ok()?.secret;
        }
        self.tokens[network].clone().map(Context::bearer)
    }

    /// Does something to a node, and answers it unless it is gone or in doubt.
    async fn change(&mut self, mut node: Node) -> Option<Node> {
        let service = Arc::clone(&self.service);
        let (local, about) = (Context::local(), (node.project(), node.id));
        let (any, reason) = (Expected::Anything, StateReason::new("crash").unwrap());
        say(&format!("begin {}", node.device));
        let outcome = match (node.state, self.random.below(10)) {
            ("active", 0 | 1) if node.token.is_some() => {
                let key = self.random.once_in(2).then(|| new_key(node.key.curve()));
                let renewed = service.renew(node.caller(), key.clone()).await;
                renewed.map(|renewed| {
                    node.key = key.unwrap_or(node.key.clone());
                    node.fingerprints = fingerprints(&renewed.certificates);
                })
            }
            ("active", 2) if node.token.is_some() => match service.own_node(node.caller()).await {
                Ok(own) => service.report(node.caller(), own.desired).await,
                Err(error) => Err(error),
            },
            ("active", 3) if node.token.is_some() => {
                let token = Bearer::new_node_token().unwrap();
                let rotated = service.rotate_own_token(node.caller(), token.clone()).await;
                rotated.map(|()| node.token = Some(token))
            }
            ("active", 4 | 5) => {
                let mut change = NodeChange::default();
                let mut name = node.name.clone();
                match self.random.below(3) {
                    0 => {
                        name = format!("{}-{}", node.device, self.random.below(1_000));
                        change.name = Change::Set(NodeName::new(&*name).unwrap());
                    }
                    1 => {
                        let group = format!("group-{}", self.random.below(3));
                        change.groups = Change::Set(Groups::new(vec![group]).unwrap());
                    }
                    _ => change.relay = Change::Set(self.random.once_in(2)),
                }
                service.change_node(local, about, any, change).await.map(|changed| {
                    node.name = name;
                    node.fingerprints = of_ledger(&changed.certificates);
                })
            }
            ("active", 6) => {
                let suspended = service.suspend_node(local, about, any, reason).await;
                suspended.map(|_| node.state = "suspended")
            }
            ("active", 7) => {
                let revoked = service.revoke_node(local, about, any, reason).await;
                revoked.map(|_| node.state = "revoked")
            }
            ("active", 8) => {
                let released = service.release_node(local, about, any).await;
                released.map(|_| node.state = "released")
            }
            ("active", _) => {
                let enrolled = self.register(Context::local(), &node).await;
                enrolled.map(|enrolled| node.fingerprints = fingerprints(&enrolled.certificates))
            }
            (_, 0..5) => {
                let reinstated = service.reinstate_node(local, about, any).await;
                reinstated.map(|reinstated| {
                    node.state = "active";
                    node.fingerprints = of_ledger(&reinstated.certificates);
                })
            }
            (_, 5) if node.token.is_some() => {
                let renewed = service.renew(node.caller(), None).await;
                if renewed.is_ok() {
                    say(&format!("wrong {} renewed although {}", node.device, node.state));
                }
                renewed.map(drop)
            }
            (_, 6) if node.token.is_some() => {
                let applied = Desired { revision: 1, generation: 1 };
                let told = service.report(node.caller(), applied).await;
                if told.is_ok() {
                    say(&format!("wrong {} reported although {}", node.device, node.state));
                }
                told
            }
            _ => {
                // The same key under another name.
                let token = Some(Bearer::new_node_token().unwrap());
                let device = format!("{}-again", node.device);
                let other = Node { name: device.clone(), device, token, ..node.clone() };
                let joined = self.register(Context::local(), &other).await;
                if joined.is_ok() {
                    say(&format!("wrong {} joined although {}", node.device, node.state));
                }
                joined.map(drop)
            }
        };
        match outcome {
            Err(error) if is_in_doubt(&error) => None,
            // Refused, it is as it was.
            _ => {
                node.tell();
                (node.state != "released").then_some(node)
            }
        }
    }
}
