//! What may be asked of enrolment: a node's, a device's, a renewal.

use nebula_pki::key::PublicKey;

use super::device::DeviceEnrollment;
use super::renewal::Renewal;
use super::request::Enrollment;
use crate::NetworkRef;

/// What is asked for.
#[derive(Clone)]
pub(in crate::service) enum Command {
    Device(DeviceEnrollment),
    Native(Enrollment),
    Renewal(Renewal),
}

impl Command {
    /// The network it names.
    pub(super) fn network(&self) -> Option<&NetworkRef> {
        match self {
            Self::Device(request) => request.network.as_ref(),
            Self::Native(request) => request.network.as_ref(),
            Self::Renewal(_) => None,
        }
    }

    /// The key it brings.
    pub(super) fn public_key(&self) -> Option<&PublicKey> {
        match self {
            Self::Device(request) => Some(&request.public_key),
            Self::Native(request) => Some(&request.public_key),
            Self::Renewal(request) => request.public_key.as_ref(),
        }
    }
}
