//! Joining a network by a link.

use std::fs;
use std::path::{Path, PathBuf};

use nebula_bundle::Files;
use nebula_pki::Curve;
use zeroize::Zeroizing;

use super::applied::Applied;
use super::directory::{Exposed, NodeDirectory};
use super::error::AgentError;
use super::exchange::secret;
use super::identity::Identity;
use super::membership::{KnownServer, LocalChoices, Membership, directory_name, link_mark};
use super::node::{Node, check};
use super::round::RoundOutcome;
use super::servers::adopt;
use crate::KeyFingerprint;
use crate::client::{Client, ClientError, EnrollmentAnswer, JoinLink};
use crate::server_list::Pin;
use crate::wire::{Enrolled, EnrollmentBody, Lighthouse, Secret};

/// By what link a directory is being joined, until it is.
const JOINING: &str = "joining";
/// How the name of a directory begins whose network is not known yet.
const UNNAMED: &str = ".joining-";

/// Where a node's directory is to be.
#[derive(Debug, Clone)]
pub enum Place {
    /// This very directory.
    Exactly(PathBuf),
    /// Below this one, by the name of the network.
    Below(PathBuf),
}

/// A device that joins.
#[derive(Debug)]
pub struct Joining<'a> {
    /// The join link.
    pub link: &'a JoinLink,
    /// Its name in the network.
    pub name: &'a str,
    /// Where its directory is to be.
    pub place: Place,
    /// The curve of a new key.
    pub curve: Curve,
    /// The endpoint of a lighthouse: `HOST:PORT`.
    pub endpoint: Option<&'a str>,
    /// The device's own id, by which an operator can recognise it after a release.
    pub device: Option<&'a str>,
    /// Whether it is to be a relay. The join token must allow it.
    pub relay: bool,
    /// The address that it is to have, or an IPv4 and an IPv6 one with a comma between them. Default: as the
    /// join token says, else any.
    pub address: Option<&'a str>,
    /// The MTU of the tun device, in bytes. Default: the network's.
    pub mtu: Option<u32>,
    /// Whether secrets may be sent over plain HTTP to other machines.
    pub allow_plain_http: bool,
    /// The tun device's name. Default: as chosen before, else that of the network.
    pub tun_device: Option<String>,
    /// Whether the user's own files may set up Nebula's `sshd`. Default: as chosen before, else not.
    pub sshd: Option<bool>,
    /// The program `nebula`. Default: as chosen before, else the one in the search path.
    pub nebula: Option<PathBuf>,
}

/// A device that has joined.
pub struct Joined {
    /// Its node.
    pub node: Node,
    /// Whether it is a lighthouse.
    pub is_lighthouse: bool,
    /// What changed for Nebula.
    pub outcome: RoundOutcome,
    /// Secrets that others could read until now.
    pub exposed: Vec<Exposed>,
}

/// Joins a network, or asks again for what this device has in it: with the same key and token it is the
/// same node. A node that was released becomes a new one, with its former address if that is free.
///
/// Key and token are on the disk before anything is asked, so that a lost answer costs nothing.
///
/// # Errors
/// [`AgentError`]; nothing is installed then. After [`AgentError::AwaitsApproval`] it is to be called again.
pub async fn join(joining: &Joining<'_>, now: i64) -> Result<Joined, AgentError> {
    let mark = link_mark(&joining.link.token);
    let directory = NodeDirectory::create(&find(joining, &mark).await?)?;
    let lock = directory.lock()?;
    let known = Membership::read(&directory)?;
    if known.is_none() && !directory.has(JOINING) {
        directory.write(JOINING, mark.as_bytes())?;
    }
    let (mut identity, exposed) = Identity::load_or_make(&directory, joining.curve)?;
    let (enrolled, succeeding) = enroll(joining, &identity).await?;
    let mut membership = settled(joining, &enrolled, mark, known.as_ref());
    if let Some(list) = &enrolled.servers {
        adopt(&mut membership, list.clone())?;
    }

    let is_same = known.is_some_and(|known| known.node == membership.node);
    let has = if is_same { Applied::read(&directory)? } else { None };
    let bundle = &enrolled.bundle;
    let applied = Applied::of(enrolled.revision, enrolled.generation, given(&bundle.receipt))?;
    let files = bundle.files.iter().map(|(name, text)| (name.as_str(), text.as_str()));
    let files = Files::new(files)?;
    if !files.has_digest(&bundle.digest) {
        return Err(AgentError::Digest);
    }
    let files: Vec<_> = files.iter().collect();
    let offer = check(files.iter().copied(), &identity, has.as_ref(), applied, now)?;

    let directory = named(directory, &joining.place, &enrolled.network)?;
    identity.moved_to(&directory);
    if let Some(token) = succeeding {
        identity.replace_token(token)?;
    }
    let mut node = Node::with(directory, lock, membership, identity)?;
    let is_lighthouse = offer.bundle.config().lighthouse.am_lighthouse;
    let outcome = node.install_tested(&offer, None, now).await?;
    node.membership.write(&node.directory)?;
    node.directory.remove(JOINING)?;
    let server = node.first_server();
    node.note_contact(&server, now);
    if outcome == RoundOutcome::Nothing {
        let client = node.client(&node.identity.token)?;
        node.report_softly(&client, now).await;
    }
    node.state.written_at = now;
    node.state.write(&node.directory)?;
    Ok(Joined { node, is_lighthouse, outcome, exposed })
}

/// The directory that this link was, or is being, joined in, or that is of its network by another link;
/// else the one to join it in.
async fn find(joining: &Joining<'_>, mark: &str) -> Result<PathBuf, AgentError> {
    let below = match &joining.place {
        Place::Exactly(path) => return Ok(path.clone()),
        Place::Below(below) => below,
    };
    let entries = fs::read_dir(below).into_iter().flatten().flatten().map(|entry| entry.path());
    let there: Vec<_> = entries.filter(|path| path.is_dir()).collect();
    if let Some(path) = there.iter().find(|path| is_of_link(path, mark)) {
        return Ok(path.clone());
    }
    for path in there {
        if is_of_network(joining, &path).await {
            return Ok(path);
        }
    }
    Ok(below.join([UNNAMED, mark].concat()))
}

/// Whether a node that this machine has is one of the link's network, which only the server knows: asked
/// for that node once more, it gives it, or refuses the token as that of another network's node.
async fn is_of_network(joining: &Joining<'_>, path: &Path) -> bool {
    let read = || {
        let directory = NodeDirectory::open(path)?;
        let known = Membership::read(&directory)?;
        let url = joining.link.server.trim_end_matches('/');
        let has_server = known.is_some_and(|known| {
            known.servers.iter().any(|server| server.url.trim_end_matches('/') == url)
        });
        Ok::<_, AgentError>(if has_server { Some(Identity::load(&directory)?.0) } else { None })
    };
    match read() {
        Ok(Some(identity)) => {
            let client = client(joining);
            // Whatever address it has.
            let body =
                EnrollmentBody { address: None, ..body(joining, &identity, &identity.token, None) };
            match client {
                Ok(client) => {
                    matches!(client.enroll_node(&body).await, Ok(EnrollmentAnswer::Enrolled(_)))
                }
                Err(_) => false,
            }
        }
        _ => false,
    }
}

fn is_of_link(path: &Path, mark: &str) -> bool {
    let read = || {
        let directory = NodeDirectory::open(path)?;
        if let Some(membership) = Membership::read(&directory)? {
            return Ok(membership.link.as_deref() == Some(mark));
        }
        let joining = directory.read(JOINING, 64)?;
        Ok::<_, AgentError>(joining.is_some_and(|text| text.as_slice() == mark.as_bytes()))
    };
    read().unwrap_or(false)
}

/// Gives the directory the name of its network, which is known now; with a number behind it where
/// another node has that.
fn named(
    directory: NodeDirectory,
    place: &Place,
    network: &str,
) -> Result<NodeDirectory, AgentError> {
    let Place::Below(below) = place else { return Ok(directory) };
    let is_unnamed = directory.path().file_name().and_then(|name| name.to_str());
    if !is_unnamed.is_some_and(|name| name.starts_with(UNNAMED)) {
        return Ok(directory);
    }
    let name = directory_name(network);
    let mut path = below.join(&name);
    let mut number = 1;
    while fs::symlink_metadata(&path).is_ok() {
        number += 1;
        path = below.join(format!("{name}-{number}"));
    }
    fs::rename(directory.path(), &path).map_err(|error| AgentError::file(&path, error))?;
    NodeDirectory::open(&path)
}

/// What joining settles. What this machine's user chose stays.
fn settled(
    joining: &Joining<'_>,
    enrolled: &Enrolled,
    mark: String,
    known: Option<&Membership>,
) -> Membership {
    let server = KnownServer {
        url: joining.link.server.clone(),
        pins: joining.link.pin.into_iter().map(Pin).collect(),
        pinned_here: false,
        former: false,
    };
    Membership {
        network: enrolled.network.clone(),
        node: enrolled.node.clone(),
        name: enrolled.name.clone(),
        servers: vec![server],
        // The list that it gets with its first contact is newer than none.
        serial: 0,
        servers_key: enrolled.servers_key,
        link: Some(mark),
        allow_plain_http: joining.allow_plain_http,
        local: chosen(joining, known.map(|known| known.local.clone()).unwrap_or_default()),
    }
}

/// What is chosen now comes before what was chosen before.
fn chosen(joining: &Joining<'_>, before: LocalChoices) -> LocalChoices {
    LocalChoices {
        tun_device: joining.tun_device.clone().or(before.tun_device),
        sshd: joining.sshd.unwrap_or(before.sshd),
        nebula: joining.nebula.clone().or(before.nebula),
    }
}

/// Asks for the node; where the one of this token was released, for another one with the token that
/// follows, by which it proves that it is the former holder of its address. Returns that token.
async fn enroll(
    joining: &Joining<'_>,
    identity: &Identity,
) -> Result<(Enrolled, Option<Zeroizing<String>>), AgentError> {
    let client = client(joining)?;
    match client.enroll_node(&body(joining, identity, &identity.token, None)).await {
        Err(refused) if is_released(&refused) => {
            let next = identity.succeeding_token()?;
            let former = secret(&identity.token);
            let body = body(joining, identity, &next, Some(former));
            Ok((approved(identity, client.enroll_node(&body).await?)?, Some(next)))
        }
        answered => Ok((approved(identity, answered?)?, None)),
    }
}

/// What the device has, unless an operator has to approve it. The fingerprint is that of its own key, and
/// the server has the same one.
fn approved(identity: &Identity, answer: EnrollmentAnswer) -> Result<Enrolled, AgentError> {
    let (pending, retry_after) = match answer {
        EnrollmentAnswer::Enrolled(enrolled) => return Ok(*enrolled),
        EnrollmentAnswer::Pending { pending, retry_after } => (pending, retry_after),
    };
    let fingerprint = KeyFingerprint::of(identity.key.public_key().as_bytes());
    if pending.key_fingerprint != fingerprint.to_string() {
        return Err(AgentError::Answer { header: "keyFingerprint" });
    }
    let (pending, expires_at) = (pending.pending, pending.expires_at.0);
    Err(AgentError::AwaitsApproval { pending, fingerprint, expires_at, retry_after })
}

/// A client of the link's server, with its token.
fn client(joining: &Joining<'_>) -> Result<Client, ClientError> {
    let mut client = Client::new(&joining.link.server)?.with_key(&joining.link.token);
    if let Some(pin) = joining.link.pin {
        client = client.with_pin(pin)?;
    }
    Ok(if joining.allow_plain_http { client.allow_plain_http() } else { client })
}

fn body(
    joining: &Joining<'_>,
    identity: &Identity,
    token: &Zeroizing<String>,
    former_node_token: Option<Secret>,
) -> EnrollmentBody {
    EnrollmentBody {
        name: joining.name.to_owned(),
        public_key: identity.key.public_key().to_pem(),
        node_token: secret(token),
        former_node_token,
        device: joining.device.map(str::to_owned),
        // Left out it is what the join token presets.
        relay: joining.relay.then_some(true),
        address: joining.address.map(str::to_owned),
        mtu: joining.mtu,
        lighthouse: joining.endpoint.map(|at| Lighthouse { endpoint: at.to_owned() }),
        ..EnrollmentBody::default()
    }
}

/// Older servers give none.
fn given(receipt: &str) -> Option<String> {
    Some(receipt).filter(|receipt| !receipt.is_empty()).map(str::to_owned)
}

fn is_released(error: &ClientError) -> bool {
    error.problem().is_some_and(|problem| problem.code == "node_released")
}
