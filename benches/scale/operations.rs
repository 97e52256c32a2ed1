//! What is asked of a server under mixed load, and by whom.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use base64::Engine as _;
use hyper::Method;

use crate::Outcome;
use crate::client::Client;
use crate::nodes::{Size, key, network_name, node_name, token};

/// What is asked, with how often of 1,000 requests. Nodes ask most; what makes a network's blocklist
/// longer is rare, since all of it falls on the one network of the small server.
const OPERATIONS: [(Operation, usize); 24] = [
    (Operation::ReadOwn, 150),
    (Operation::FetchBundle, 160),
    (Operation::WatchOnce, 110),
    (Operation::Report, 140),
    (Operation::RenewEarly, 40),
    (Operation::Enroll, 70),
    (Operation::Register, 40),
    (Operation::Change, 30),
    (Operation::Suspend, 10),
    (Operation::Reinstate, 10),
    (Operation::RotateToken, 10),
    (Operation::Revoke, 4),
    (Operation::Delete, 4),
    (Operation::Release, 4),
    (Operation::MakeJoinToken, 8),
    (Operation::ReadStatus, 60),
    (Operation::ReadNode, 40),
    (Operation::ReadNetwork, 30),
    (Operation::ListNodes, 20),
    (Operation::FindNodes, 10),
    (Operation::ListCertificates, 10),
    (Operation::ListEvents, 20),
    (Operation::ListBlocked, 10),
    (Operation::ListUnapplied, 10),
];

pub(crate) const REASON: &str = r#"{"reason":"measured"}"#;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Operation {
    ReadOwn,
    FetchBundle,
    WatchOnce,
    Report,
    RenewEarly,
    Enroll,
    Register,
    Change,
    Suspend,
    Reinstate,
    RotateToken,
    Revoke,
    Delete,
    Release,
    MakeJoinToken,
    ReadStatus,
    ReadNode,
    ReadNetwork,
    ListNodes,
    FindNodes,
    ListCertificates,
    ListEvents,
    ListBlocked,
    ListUnapplied,
}

/// A node that a worker enrolled, and may do with as it likes.
struct Enrolled {
    network: usize,
    node: usize,
    id: String,
    is_suspended: bool,
}

impl Enrolled {
    fn path(&self) -> String {
        format!("/api/v1/networks/{}/nodes/{}", network_name(self.network), self.id)
    }
}

/// One connection, over which operator and nodes ask.
pub(crate) struct Worker {
    client: Client,
    size: Size,
    state: u64,
    serial: Arc<AtomicUsize>,
    enrolled: Vec<Enrolled>,
}

impl Worker {
    pub(crate) fn new(client: Client, size: Size, turn: usize, serial: Arc<AtomicUsize>) -> Self {
        // 2⁶⁴ over the golden ratio, which is odd.
        let state = 0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(turn as u64);
        Self { client, size, state, serial, enrolled: vec![] }
    }

    /// Asks one thing after the other, and answers how long each took.
    pub(crate) async fn work(mut self, end: Instant) -> Outcome<Vec<(Operation, Duration)>> {
        let mut latencies = vec![];
        while Instant::now() < end {
            let operation = self.draw_operation();
            let network = self.draw(self.size.networks);
            let node = self.draw(self.size.nodes);
            let start = Instant::now();
            let is_asked = match operation {
                Operation::Enroll => self.enroll(network).await?,
                Operation::Register => self.register(network).await?,
                Operation::Change
                | Operation::Suspend
                | Operation::Reinstate
                | Operation::RotateToken
                | Operation::Revoke
                | Operation::Delete
                | Operation::Release
                | Operation::ReadNode
                | Operation::ListCertificates => self.ask_of_own(operation).await?,
                _ => self.ask(operation, network, node).await?,
            };
            if is_asked {
                latencies.push((operation, start.elapsed()));
            }
        }
        Ok(latencies)
    }

    fn draw(&mut self, below: usize) -> usize {
        // xorshift64 (Marsaglia).
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        usize::try_from(self.state >> 33).unwrap_or_default() % below.max(1)
    }

    fn draw_operation(&mut self) -> Operation {
        let all = OPERATIONS.iter().map(|(_, share)| share).sum();
        let mut drawn = self.draw(all);
        for (operation, share) in OPERATIONS {
            if drawn < share {
                return operation;
            }
            drawn -= share;
        }
        Operation::ReadOwn
    }

    /// Of any node that was there before, and of its network.
    async fn ask(&mut self, operation: Operation, network: usize, node: usize) -> Outcome<bool> {
        let own = token(network, node);
        let (name, device) = (network_name(network), node_name(node));
        let networks = format!("/api/v1/networks/{name}");
        let client = &mut self.client;
        let answer = match operation {
            Operation::FetchBundle => client.get_as(&own, "/api/v1/node/bundle").await?,
            // It has nothing yet, so that it is answered at once.
            Operation::WatchOnce => client.get_as(&own, "/api/v1/node/watch").await?,
            Operation::Report => {
                let body = r#"{"revision":1,"generation":1}"#;
                client.post_as(&own, "/api/v1/node/report", body).await?
            }
            Operation::RenewEarly => client.post_as(&own, "/api/v1/node/renew", "{}").await?,
            Operation::MakeJoinToken => {
                client.post(&format!("{networks}/join-tokens"), r#"{"name":"a token"}"#).await?
            }
            Operation::ReadStatus => {
                client.get(&format!("/api/nebula/status/{device}?projectId={name}")).await?
            }
            Operation::ReadNetwork => client.get(&networks).await?,
            Operation::ListNodes => client.get(&format!("{networks}/nodes?limit=50")).await?,
            Operation::FindNodes => {
                client.get(&format!("{networks}/nodes?limit=50&namePrefix={device}")).await?
            }
            Operation::ListEvents => client.get(&format!("{networks}/events?limit=50")).await?,
            Operation::ListBlocked => client.get(&format!("{networks}/blocklist?limit=50")).await?,
            Operation::ListUnapplied => {
                client.get(&format!("{networks}/revisions/1/unapplied?limit=50")).await?
            }
            _ => client.get_as(&own, "/api/v1/node").await?,
        };
        answered(operation, answer.status, &answer.body)
    }

    async fn enroll(&mut self, network: usize) -> Outcome<bool> {
        let node = self.next_node();
        let (name, device, token) = (network_name(network), node_name(node), token(network, node));
        let key = public_key(network, node);
        let body = format!(
            r#"{{"network":"{name}","name":"{device}","device":"{device}","publicKey":"{key}","nodeToken":"{token}"}}"#
        );
        let answer = self.client.post("/api/v1/enroll", body).await?;
        answered(Operation::Enroll, answer.status, &answer.body)?;
        let id = text_of(&answer.body, "node")?;
        self.enrolled.push(Enrolled { network, node, id, is_suspended: false });
        Ok(true)
    }

    /// In the words of the dialect.
    async fn register(&mut self, network: usize) -> Outcome<bool> {
        let node = self.next_node();
        let (name, device) = (network_name(network), node_name(node));
        let key = public_key(network, node);
        let body = format!(
            r#"{{"projectId":"{name}","deviceId":"{device}","deviceName":"{device}","publicKey":"{key}"}}"#
        );
        let answer = self.client.post("/api/nebula/register", body).await?;
        answered(Operation::Register, answer.status, &answer.body)
    }

    /// Of a node that this worker enrolled. Whether there was one.
    async fn ask_of_own(&mut self, operation: Operation) -> Outcome<bool> {
        let suspended = operation == Operation::Reinstate;
        let Some(index) = self.enrolled.iter().position(|own| own.is_suspended == suspended) else {
            return Ok(false);
        };
        let mut own = self.enrolled.swap_remove(index);
        let path = own.path();
        let (method, path, body) = match operation {
            Operation::Change => (Method::PATCH, path, r#"{"groups":["changed"]}"#),
            Operation::Suspend => (Method::POST, format!("{path}/suspend"), REASON),
            Operation::Reinstate => (Method::POST, format!("{path}/reinstate"), REASON),
            Operation::RotateToken => (Method::POST, format!("{path}/token"), REASON),
            Operation::Revoke => (Method::POST, format!("{path}/revoke"), REASON),
            Operation::Delete => (Method::DELETE, path, ""),
            Operation::Release => {
                let (device, network) = (node_name(own.node), network_name(own.network));
                let path = format!("/api/nebula/release/{device}?projectId={network}");
                (Method::POST, path, "")
            }
            Operation::ListCertificates => (Method::GET, format!("{path}/certificates"), ""),
            _ => (Method::GET, path, ""),
        };
        let answer = self.client.send(method, &path, body).await?;
        answered(operation, answer.status, &answer.body)?;
        own.is_suspended = operation == Operation::Suspend;
        let is_gone =
            matches!(operation, Operation::Revoke | Operation::Delete | Operation::Release);
        if !is_gone {
            self.enrolled.push(own);
        }
        Ok(true)
    }

    fn next_node(&self) -> usize {
        self.size.nodes + self.serial.fetch_add(1, Ordering::Relaxed)
    }
}

fn public_key(network: usize, node: usize) -> String {
    base64::engine::general_purpose::STANDARD.encode(key(network, node))
}

fn answered(operation: Operation, status: u16, body: &[u8]) -> Outcome<bool> {
    if (200..300).contains(&status) {
        return Ok(true);
    }
    Err(format!("{operation:?}: {status} {}", String::from_utf8_lossy(body)).into())
}

/// A text in a JSON object that needs no unescaping.
pub(crate) fn text_of(json: &[u8], name: &str) -> Outcome<String> {
    let text = std::str::from_utf8(json)?;
    let rest = text.split_once(&format!("\"{name}\":\"")).ok_or("not in the answer")?.1;
    Ok(rest.split_once('"').ok_or("not in the answer")?.0.to_owned())
}
