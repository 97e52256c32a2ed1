use std::sync::Arc;

use ed25519_dalek::Verifier;

use crate::{Curve, Error};

/// Holds a CA's private key and signs with it, in this process.
///
/// Signers that answer later or elsewhere need no implementation of this: take the bytes from
/// [`Issuer::prepare`](crate::Issuer::prepare) and bring the signature to
/// [`Prepared::complete`](crate::Prepared::complete).
pub trait Signer {
    /// The curve of the key.
    fn curve(&self) -> Curve;

    /// The public key as a CA certificate carries it: 32 bytes for [`Curve::Curve25519`].
    fn public_key(&self) -> &[u8];

    /// Signs the message, not its hash: 64 bytes for [`Curve::Curve25519`] (RFC 8032).
    ///
    /// # Errors
    ///
    /// [`Error::Signer`] when it cannot.
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error>;
}

macro_rules! forward {
    ($($pointer:ty),*) => {$(
        impl<S: Signer + ?Sized> Signer for $pointer {
            fn curve(&self) -> Curve {
                (**self).curve()
            }

            fn public_key(&self) -> &[u8] {
                (**self).public_key()
            }

            fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
                (**self).sign(message)
            }
        }
    )*};
}
forward!(&S, Box<S>, Arc<S>);

/// Checks a signature as the reference does.
///
/// For Ed25519 that is the equation without cofactor, comparing the encoding of R, with S below the
/// group order, and without singling out keys of small order: `verify`, not `verify_strict`.
pub(crate) fn verify(
    curve: Curve,
    public_key: &[u8],
    message: &[u8],
    signature: &[u8],
) -> Result<(), Error> {
    match curve {
        Curve::Curve25519 => {
            let key: &[u8; 32] = public_key.try_into().map_err(|_| Error::SignatureMismatch)?;
            let key = ed25519_dalek::VerifyingKey::from_bytes(key)
                .map_err(|_| Error::SignatureMismatch)?;
            let signature = ed25519_dalek::Signature::from_slice(signature)
                .map_err(|_| Error::SignatureMismatch)?;
            key.verify(message, &signature).map_err(|_| Error::SignatureMismatch)
        }
        Curve::P256 => match public_key {
            [4, point @ ..] if point.len() == 64 => Err(Error::UnsupportedCurve { curve }),
            // No other form of point ever verifies.
            _ => Err(Error::SignatureMismatch),
        },
        Curve::Unknown(_) => Err(Error::SignatureMismatch),
    }
}
