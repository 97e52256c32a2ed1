//! Which public keys a network takes.

use nebula_pki::Curve;
use nebula_pki::key::PublicKey;

use crate::Error;
use crate::error::{Fault, Field};

/// X25519 takes other bytes for the same key (RFC 7748, section 5), but Nebula does not, and a key
/// must not count as two.
pub(in crate::service) fn check_canonical(key: &PublicKey) -> Result<(), Fault> {
    if key.curve() != Curve::Curve25519 {
        return Ok(());
    }
    // Little-endian, below 2²⁵⁵ − 19.
    if let [lowest, middle @ .., highest] = key.as_bytes() {
        let too_large = *highest > 0x7f
            || *highest == 0x7f && middle.iter().all(|byte| *byte == 0xff) && *lowest >= 0xed;
        if !too_large {
            return Ok(());
        }
    }
    Err(Fault::NotCanonical)
}

/// Refuses a key on another curve than the network's CA.
pub(in crate::service) fn check_curve(key: &PublicKey, curve: Curve) -> Result<(), Error> {
    if key.curve() == curve {
        return Ok(());
    }
    Err(Fault::WrongCurve { expected: curve }.of(Field::PublicKey))
}
