//! Registering a device: it enrols by its own id, without a node token.

use nebula_bundle::Endpoint;
use nebula_pki::key::PublicKey;

use crate::service::context::Context;
use crate::service::core::Service;
use crate::service::enroll::Enrolled;
use crate::service::enroll::device::DeviceEnrollment;
use crate::service::node_change::Change;
use crate::{DeviceId, Error, Groups, NetworkRef, NodeName};

/// What a device registers with.
#[derive(Debug, Clone)]
pub struct Registration {
    /// The network; may be left out where there is only one.
    pub project: Option<NetworkRef>,
    /// The device's own id.
    pub device: DeviceId,
    /// Its name in the network.
    pub name: NodeName,
    /// Its public key, on the network's curve.
    pub public_key: PublicKey,
    /// Its groups; none for a new device that leaves them out.
    pub groups: Change<Groups>,
    /// Where it is reached as a lighthouse, or `None` for one that is no lighthouse (any more).
    pub lighthouse: Change<Option<Endpoint>>,
}

impl Service {
    /// Registers a device, or answers what it has: asking again is safe.
    ///
    /// # Errors
    /// [`Error::Invalid`], [`Error::PoolExhausted`], [`Error::NameTaken`], [`Error::KeyTaken`],
    /// [`Error::KeyMismatch`], [`Error::NodeKeptOut`] for a suspended or revoked
    /// node, and those of access.
    pub async fn register(
        &self,
        context: Context,
        request: Registration,
    ) -> Result<Enrolled, Error> {
        let Registration { project: network, device, name, public_key, groups, lighthouse } =
            request;
        let request = DeviceEnrollment { network, device, name, public_key, groups, lighthouse };
        self.enroll_device(context, request).await
    }
}
