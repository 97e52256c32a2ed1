//! What may be asked of enrolment: a node's, a device's, a renewal.

use nebula_pki::key::PublicKey;

use super::device::DeviceEnrollment;
use super::renewal::Renewal;
use super::request::Enrollment;
use crate::{DeviceId, NetworkRef};

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

    /// The device id that a new node would have.
    pub(super) fn new_device(&self) -> Option<&str> {
        match self {
            Self::Device(request) => Some(request.device.as_str()),
            Self::Native(request) => request.device.as_ref().map(DeviceId::as_str),
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
