//! A CA key in a PKCS#11 token: a hardware security module, a smart card, or SoftHSM.

mod key;
mod module;
mod uri;

use std::fmt;
use std::mem;
use std::sync::{Mutex, PoisonError};

use cryptoki::error::{Error as Failure, RvError};

pub use uri::Pkcs11Uri;

use self::key::{Key, Unsigned};
use super::Signer;
use crate::error::TokenKeyDefect;
use crate::key::PublicKey;
use crate::signature::VerifyingKey;
use crate::{Curve, Error};

/// Signed when a key is opened; it begins no certificate.
const PROOF: &[u8] = b"nebula-pki: is this the private half of the public key?";

/// A CA key that stays in its token and signs there (PKCS#11, feature `pkcs11`): on P256, or Ed25519
/// where the token has that.
///
/// ```no_run
/// use nebula_pki::{CaParameters, Error, Issuer, Pkcs11Signer, Validity, Version};
///
/// # fn main() -> Result<(), Error> {
/// let uri = "pkcs11:token=ca;object=nebula\
///            ?module-path=/usr/lib/softhsm/libsofthsm2.so&pin-source=/etc/nebula/pin";
/// let signer = Pkcs11Signer::open(uri.parse()?)?; // or `generate`, for a new key
/// # let (now, year) = (1_800_000_000, 365 * 86_400);
/// let validity = Validity { not_before: now, not_after: now + 10 * year };
/// let ca = CaParameters::new("Example CA", validity);
/// let issuer = Issuer::self_signed(Version::V2, ca, signer)?;
/// # Ok(())
/// # }
/// ```
///
/// It may be shared by threads, which sign one after the other. A session that the token has closed
/// is opened again, which is why the PIN is kept (and zeroised when this is dropped). A module is
/// loaded once per process, and never unloaded: others may be using it.
///
/// Every signature is verified before it is given out.
///
/// A token that is logged in to already, by anything in this process, does not check the PIN.
pub struct Pkcs11Signer {
    uri: Pkcs11Uri,
    curve: Curve,
    public_key: Vec<u8>,
    verifying_key: VerifyingKey,
    key: Mutex<Key>,
}

impl Pkcs11Signer {
    /// Opens the one private key that the URI names, and checks that it is on P256 or Ed25519 and
    /// signs for the public key that the token stores beside it.
    ///
    /// # Errors
    ///
    /// [`Error::TokenSelection`] and [`Error::TokenKeySelection`] unless exactly one token and key
    /// match, [`Error::NoPin`] where the URI has none and the token requires one, [`Error::TokenKey`] for
    /// a key that cannot sign certificates, [`Error::PinSource`], [`Error::EmptyPinSource`], and [`Error::Pkcs11`] for what the
    /// module refuses, such as a wrong PIN.
    pub fn open(uri: Pkcs11Uri) -> Result<Self, Error> {
        let key = Key::open(&uri)?;
        Self::prove(uri, key)
    }

    /// Makes a new key in the token: sensitive, not extractable, kept when the session ends. The
    /// URI has to give its label (`object`); its `id` is the label unless the URI gives one.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open); [`Error::Pkcs11Uri`] if there is no label,
    /// [`Error::TokenKeySelection`] if there is such a key already, and [`Error::Pkcs11`] if the token
    /// makes none on this curve.
    pub fn generate(uri: Pkcs11Uri, curve: Curve) -> Result<Self, Error> {
        let key = Key::generate(&uri, curve)?;
        Self::prove(uri, key)
    }

    fn prove(uri: Pkcs11Uri, key: Key) -> Result<Self, Error> {
        let public_key = key.public_key()?;
        let curve = key.curve();
        let verifying_key = VerifyingKey::new(curve, &public_key)
            .ok_or(Error::TokenKey { defect: TokenKeyDefect::PointNotOnCurve })?;
        let signer = Self { uri, curve, public_key, verifying_key, key: Mutex::new(key) };
        match signer.sign(PROOF) {
            Err(Error::SignatureMismatch) => {
                Err(Error::TokenKey { defect: TokenKeyDefect::OtherPublicKey })
            }
            result => result.map(|_| signer),
        }
    }

    /// The key again, after its session was lost.
    fn reopen(&self) -> Result<Key, Error> {
        let key = Key::open(&self.uri)?;
        if key.public_key()? == self.public_key { Ok(key) } else { Err(Error::SignerMismatch) }
    }
}

impl Pkcs11Uri {
    /// The public half of the key pair that it names. The private one need not sign: it may be a
    /// host's, for key agreement, which Nebula itself finds by the same URI. It is on P256: keys on
    /// the other curve that tokens have sign, and agree on nothing.
    ///
    /// # Errors
    ///
    /// Those of [`Pkcs11Signer::open`], [`Error::UnsupportedCurve`], and [`Error::PointNotOnCurve`].
    pub fn public_key(&self) -> Result<PublicKey, Error> {
        let key = Key::open(self)?;
        match key.curve() {
            Curve::P256 => PublicKey::from_raw(Curve::P256, &key.public_key()?),
            curve => Err(Error::UnsupportedCurve { curve }),
        }
    }
}

impl Signer for Pkcs11Signer {
    fn curve(&self) -> Curve {
        self.curve
    }

    fn public_key(&self) -> &[u8] {
        &self.public_key
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        let mut key = self.key.lock().unwrap_or_else(PoisonError::into_inner);
        let signature = match key.sign(message) {
            Err(Unsigned::Refused(failure)) if is_lost(&failure) => {
                // Closing the old session could close a new one: modules count handles from one
                // again when they are initialised again.
                mem::forget(mem::replace(&mut *key, self.reopen()?));
                key.sign(message)
            }
            result => result,
        };
        let signature = signature.map_err(|unsigned| key.refusal(unsigned))?;
        // For the same reason a handle may have come to mean another key.
        self.verifying_key.verify(message, &signature)?;
        Ok(signature)
    }
}

impl fmt::Debug for Pkcs11Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pkcs11Signer").field("uri", &self.uri).finish_non_exhaustive()
    }
}

/// Whether a new session can help.
fn is_lost(failure: &Failure) -> bool {
    use RvError::{
        CryptokiNotInitialized, DeviceRemoved, KeyHandleInvalid, ObjectHandleInvalid,
        SessionClosed, SessionHandleInvalid, TokenNotPresent, UserNotLoggedIn,
    };
    matches!(
        failure,
        Failure::Pkcs11(
            CryptokiNotInitialized
                | DeviceRemoved
                | KeyHandleInvalid
                | ObjectHandleInvalid
                | SessionClosed
                | SessionHandleInvalid
                | TokenNotPresent
                | UserNotLoggedIn,
            _
        )
    )
}
