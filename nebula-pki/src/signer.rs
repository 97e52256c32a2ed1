//! What holds a CA's private key and signs with it.

#[cfg(feature = "pkcs11")]
pub(crate) mod pkcs11;

use std::sync::Arc;

use crate::{Curve, Error};

/// Holds a CA's private key and signs with it, in this process.
///
/// Signers that answer later or elsewhere need no implementation of this: take the bytes from
/// [`Issuer::prepare`](crate::Issuer::prepare) and pass the signature to
/// [`Prepared::complete`](crate::Prepared::complete).
pub trait Signer {
    /// The curve of the key.
    fn curve(&self) -> Curve;

    /// The public key as a CA certificate carries it: 32 bytes for [`Curve::Curve25519`], the 65 of
    /// an uncompressed point for [`Curve::P256`].
    fn public_key(&self) -> &[u8];

    /// Signs the message, not its hash.
    ///
    /// On [`Curve::Curve25519`] the signature has 64 bytes (RFC 8032). On [`Curve::P256`] it is
    /// ECDSA over the message's SHA-256, as the DER sequence of r and s; [`Issuer`](crate::Issuer)
    /// replaces a high s by the low one.
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
