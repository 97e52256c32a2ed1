//! The nodes that a server has.

use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::sync::Arc;

use nebula_gc_http::server::DataDirectory;
use nebula_gc_http::{
    AddPool, Bearer, Context, DeviceId, Enrollment, NetworkRef, NodeName, Service,
};
use nebula_pki::Curve;
use nebula_pki::key::PublicKey;

use crate::Outcome;

/// How many networks there are, and how many nodes in each.
#[derive(Clone, Copy)]
pub(crate) struct Size {
    pub(crate) networks: usize,
    pub(crate) nodes: usize,
}

/// How many enrol at once.
const AT_ONCE: usize = 256;

/// Makes a data directory with all networks and nodes. Answers how many bytes its database has.
pub(crate) async fn enroll_all(data: &Path, size: Size) -> Outcome<u64> {
    let service = Arc::new(DataDirectory::open(data)?.start()?);
    for number in 0..size.networks {
        let pool = AddPool {
            network: Some(NetworkRef::new(network_name(number))?),
            prefix: format!("10.{number}.0.0/16").parse()?,
            version: None,
        };
        service.add_pool(Context::local(), pool).await?;
    }
    let mut tasks = vec![];
    for first in 0..AT_ONCE {
        let service = Arc::clone(&service);
        tasks.push(tokio::spawn(async move {
            for number in (first..size.networks * size.nodes).step_by(AT_ONCE) {
                let (network, node) = (number % size.networks, number / size.networks);
                enroll(&service, network, node).await?;
            }
            Outcome::Ok(())
        }));
    }
    for task in tasks {
        task.await??;
    }
    let service = Arc::into_inner(service).ok_or("a task still has the service")?;
    tokio::task::spawn_blocking(move || drop(service)).await?;
    // Beside the database stands its log.
    let mut bytes = 0;
    for entry in std::fs::read_dir(data)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with("nebula-gc.db") {
            bytes += entry.metadata()?.len();
        }
    }
    Ok(bytes)
}

/// Copies a data directory that no server uses.
pub(crate) fn copy(from: &Path, to: &Path) -> Outcome<()> {
    std::fs::DirBuilder::new().mode(0o700).create(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        std::fs::copy(entry.path(), to.join(entry.file_name()))?;
    }
    Ok(())
}

pub(crate) async fn enroll(service: &Service, network: usize, node: usize) -> Outcome<()> {
    let request = Enrollment {
        former_token: None,
        network: Some(NetworkRef::new(network_name(network))?),
        name: NodeName::new(node_name(node))?,
        public_key: PublicKey::from_raw(Curve::Curve25519, &key(network, node))?,
        token: Bearer::from_device(&token(network, node))?,
        device: Some(DeviceId::new(node_name(node))?),
        user: None,
        groups: None,
        lighthouse: None,
        relay: None,
        addresses: None,
        mtu: None,
    };
    service.enroll(Context::local(), request).await?;
    Ok(())
}

pub(crate) fn network_name(network: usize) -> String {
    format!("network-{network}")
}

/// Also the device's id.
pub(crate) fn node_name(node: usize) -> String {
    format!("node-{node}")
}

/// The node token, which a device would draw at random.
pub(crate) fn token(network: usize, node: usize) -> String {
    format!("token-of-a-node-for-measurements-{network}-{node}")
}

/// Almost any 32 bytes are an X25519 public key.
pub(crate) fn key(network: usize, node: usize) -> [u8; 32] {
    let mut key = [0x5a; 32];
    for (place, byte) in
        key.iter_mut().zip(network.to_be_bytes().into_iter().chain(node.to_be_bytes()))
    {
        *place = byte;
    }
    key
}
