//! A decoded certificate without its signature, and its limits.

use super::details::Details;
use super::version::Version;
use crate::Curve;

/// The longest name that a version 2 certificate can hold, in bytes; the limit of domain names.
pub const MAX_NAME_LEN: usize = 253;

/// The largest version 2 certificate that readers accept, in bytes.
pub const MAX_ENCODED_LEN: usize = 65_536;

/// What is known of a certificate in a handshake besides its bytes.
#[derive(Clone, Copy)]
pub(super) struct Peer<'a> {
    pub(super) public_key: &'a [u8],
    pub(super) curve: Curve,
}

/// Everything that a signature covers, decoded.
pub(crate) struct Body {
    pub(crate) version: Version,
    pub(crate) details: Details,
    pub(crate) curve: Curve,
    pub(crate) public_key: Vec<u8>,
}
