//! A P256 CA key in a PKCS#11 token: a hardware security module, a smart card, or SoftHSM.

mod uri;

use std::collections::BTreeMap;
use std::fmt;
use std::mem;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::error::{Error as Failure, RvError};
use cryptoki::mechanism::{Mechanism, MechanismType};
use cryptoki::object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle};
use cryptoki::session::{Session, UserType};
use cryptoki::slot::Slot;
use cryptoki::types::RawAuthPin;
use sha2::{Digest, Sha256};

pub use uri::Pkcs11Uri;

use super::Signer;
use crate::der::Reader;
use crate::key::PublicKey;
use crate::signature::{VerifyingKey, ecdsa};
use crate::{Curve, Error};

/// `CKA_EC_PARAMS` of P-256: the DER of its object identifier, 1.2.840.10045.3.1.7 (RFC 5480).
const P256: [u8; 10] = [0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
/// What comes before the point in the DER of a P-256 public key (RFC 5480).
const PUBLIC_KEY_INFO: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a,
    0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];
/// Signed when a key is opened; it begins no certificate.
const PROOF: &[u8] = b"nebula-pki: is this the private half of the public key?";

const OCTET_STRING: u8 = 0x04;

/// A CA key that stays in its token and signs there (PKCS#11, feature `pkcs11`).
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
    public_key: Vec<u8>,
    verifying_key: VerifyingKey,
    key: Mutex<Key>,
}

impl Pkcs11Signer {
    /// Opens the one private key that the URI names, and checks that it is on P256 and signs for
    /// the public key that the token stores beside it.
    ///
    /// # Errors
    ///
    /// [`Error::TokenSelection`] and [`Error::TokenKeySelection`] unless exactly one token and key
    /// match, [`Error::TokenKey`] for a key that cannot sign certificates, [`Error::PinSource`], and
    /// [`Error::Pkcs11`] for what the module refuses, such as a wrong PIN.
    pub fn open(uri: Pkcs11Uri) -> Result<Self, Error> {
        let key = Key::open(&uri)?;
        Self::prove(uri, key)
    }

    /// Makes a new key in the token: sensitive, not extractable, kept when the session ends. The
    /// URI has to give its label (`object`); its `id` is the label unless the URI gives one.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open); [`Error::Pkcs11Uri`] if there is no label, and
    /// [`Error::TokenKeySelection`] if there is such a key already.
    pub fn generate(uri: Pkcs11Uri) -> Result<Self, Error> {
        let key = Key::generate(&uri)?;
        Self::prove(uri, key)
    }

    fn prove(uri: Pkcs11Uri, key: Key) -> Result<Self, Error> {
        let public_key = key.public_key()?;
        let verifying_key = VerifyingKey::new(Curve::P256, &public_key)
            .ok_or(Error::TokenKey { reason: "its public key is not a point of P256" })?;
        let signer = Self { uri, public_key, verifying_key, key: Mutex::new(key) };
        match signer.sign(PROOF) {
            Err(Error::SignatureMismatch) => {
                Err(Error::TokenKey { reason: "its public key belongs to another one" })
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
    /// host's, for key agreement, which Nebula itself finds by the same URI.
    ///
    /// # Errors
    ///
    /// Those of [`Pkcs11Signer::open`], and [`Error::PointNotOnCurve`].
    pub fn public_key(&self) -> Result<PublicKey, Error> {
        PublicKey::from_raw(Curve::P256, &Key::open(self)?.public_key()?)
    }
}

impl Signer for Pkcs11Signer {
    fn curve(&self) -> Curve {
        Curve::P256
    }

    fn public_key(&self) -> &[u8] {
        &self.public_key
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        let mut key = self.key.lock().unwrap_or_else(PoisonError::into_inner);
        let signature = match key.sign(message) {
            Err(failure) if is_lost(&failure) => {
                // Closing the old session could close a new one: modules count handles from one
                // again when they are initialised again.
                mem::forget(mem::replace(&mut *key, self.reopen()?));
                key.sign(message)
            }
            result => result,
        };
        let signature = to_der(&signature.map_err(failed("sign"))?)?;
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

/// A private key, in a session that may use it.
struct Key {
    session: Session,
    private: ObjectHandle,
    /// Whether the token hashes what it signs.
    hashes: bool,
}

impl Key {
    fn open(uri: &Pkcs11Uri) -> Result<Self, Error> {
        let (module, slot) = token(uri)?;
        let session = module.open_ro_session(slot).map_err(failed("open a session"))?;
        log_in(&session, uri)?;
        let found = find(&session, ObjectClass::PRIVATE_KEY, uri.object(), uri.id())?;
        let [private] = *found else {
            return Err(Error::TokenKeySelection { found: found.len() });
        };
        Self::new(&module, slot, session, private)
    }

    fn generate(uri: &Pkcs11Uri) -> Result<Self, Error> {
        let label = uri.object().ok_or_else(|| Error::Pkcs11Uri {
            attribute: "object".to_owned(),
            reason: "a new key needs it",
        })?;
        let (module, slot) = token(uri)?;
        let session = module.open_rw_session(slot).map_err(failed("open a session"))?;
        log_in(&session, uri)?;
        let found = find(&session, ObjectClass::PRIVATE_KEY, Some(label), None)?.len();
        if found != 0 {
            return Err(Error::TokenKeySelection { found });
        }
        let both = [
            Attribute::Token(true),
            Attribute::Label(label.to_vec()),
            Attribute::Id(uri.id().unwrap_or(label).to_vec()),
        ];
        let public = [
            Attribute::Private(false),
            Attribute::Verify(true),
            Attribute::EcParams(P256.to_vec()),
        ];
        let private = [
            Attribute::Private(true),
            Attribute::Sensitive(true),
            Attribute::Extractable(false),
            Attribute::Sign(true),
        ];
        let (_, private) = session
            .generate_key_pair(
                &Mechanism::EccKeyPairGen,
                &[&both[..], &public].concat(),
                &[&both[..], &private].concat(),
            )
            .map_err(failed("generate a key"))?;
        Self::new(&module, slot, session, private)
    }

    fn new(
        module: &Pkcs11,
        slot: Slot,
        session: Session,
        private: ObjectHandle,
    ) -> Result<Self, Error> {
        let asked = [AttributeType::KeyType, AttributeType::EcParams];
        let attributes = attributes(&session, private, &asked)?;
        if !attributes.contains(&Attribute::KeyType(KeyType::EC)) {
            return Err(Error::TokenKey { reason: "it is not for elliptic curves" });
        }
        if !attributes.contains(&Attribute::EcParams(P256.to_vec())) {
            return Err(Error::TokenKey { reason: "it is on another curve than P256" });
        }
        let mechanisms =
            module.get_mechanism_list(slot).map_err(failed("list what the token can do"))?;
        let hashes = !mechanisms.contains(&MechanismType::ECDSA);
        if hashes && !mechanisms.contains(&MechanismType::ECDSA_SHA256) {
            return Err(Error::TokenKey { reason: "its token does not sign with ECDSA" });
        }
        Ok(Self { session, private, hashes })
    }

    /// The point, from the private key where the token tells it, else from the public key beside.
    fn public_key(&self) -> Result<Vec<u8>, Error> {
        let asked = [AttributeType::PublicKeyInfo, AttributeType::Id, AttributeType::Label];
        let (mut id, mut label) = (None, None);
        for attribute in attributes(&self.session, self.private, &asked)? {
            match attribute {
                Attribute::PublicKeyInfo(info) => {
                    if let Some(point) = info.strip_prefix(&PUBLIC_KEY_INFO) {
                        return Ok(point.to_vec());
                    }
                }
                Attribute::Id(value) if !value.is_empty() => id = Some(value),
                Attribute::Label(value) if !value.is_empty() => label = Some(value),
                _ => {}
            }
        }
        let (id, label) = (id.as_deref(), label.as_deref());
        // Of two keys with one id the label tells which.
        let mut found = find(&self.session, ObjectClass::PUBLIC_KEY, None, id)?;
        if found.len() != 1 {
            found = find(&self.session, ObjectClass::PUBLIC_KEY, label, id)?;
        }
        let [public] = *found else {
            return Err(Error::TokenKey { reason: "it has no public key beside it" });
        };
        match &*attributes(&self.session, public, &[AttributeType::EcPoint])? {
            // A DER octet string by the standard, the bare point by some modules.
            [Attribute::EcPoint(point)] if point.len() == 65 => Ok(point.clone()),
            [Attribute::EcPoint(point)] => Reader::new(point)
                .read(OCTET_STRING)
                .map(<[u8]>::to_vec)
                .ok_or(Error::TokenKey { reason: "its public key is not a point of P256" }),
            _ => Err(Error::TokenKey { reason: "the token does not tell its public key" }),
        }
    }

    /// Signs a message; the result is r ‖ s.
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Failure> {
        match self.hashes {
            true => self.session.sign(&Mechanism::EcdsaSha256, self.private, message),
            false => {
                let hash = Sha256::digest(message);
                self.session.sign(&Mechanism::Ecdsa, self.private, &hash)
            }
        }
    }
}

/// The module, initialised.
fn module(path: &Path) -> Result<Pkcs11, Error> {
    static LOADED: Mutex<BTreeMap<PathBuf, Pkcs11>> = Mutex::new(BTreeMap::new());
    let mut loaded: MutexGuard<'_, _> = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
    let module = match loaded.get(path) {
        Some(module) => module.clone(),
        None => Pkcs11::new(path).map_err(failed("load the module"))?,
    };
    match module.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)) {
        Ok(()) | Err(Failure::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => {}
        Err(failure) => return Err(failed("initialise the module")(failure)),
    }
    loaded.insert(path.to_owned(), module.clone());
    Ok(module)
}

/// The one token that the URI names.
fn token(uri: &Pkcs11Uri) -> Result<(Pkcs11, Slot), Error> {
    let module = module(uri.module())?;
    let slots = module.get_slots_with_initialized_token().map_err(failed("list the tokens"))?;
    let mut found = Vec::new();
    for slot in slots {
        let token = module.get_token_info(slot).map_err(failed("ask for the token's name"))?;
        if uri.is_token(slot.id(), &token) {
            found.push(slot);
        }
    }
    match *found {
        [slot] => Ok((module, slot)),
        _ => Err(Error::TokenSelection { found: found.len() }),
    }
}

fn log_in(session: &Session, uri: &Pkcs11Uri) -> Result<(), Error> {
    let Some(pin) = uri.pin()? else { return Ok(()) };
    let pin = RawAuthPin::new(Box::new(pin.to_vec()));
    match session.login_with_raw(UserType::User, &pin) {
        Ok(()) | Err(Failure::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => Ok(()),
        Err(failure) => Err(failed("log in")(failure)),
    }
}

fn find(
    session: &Session,
    class: ObjectClass,
    label: Option<&[u8]>,
    id: Option<&[u8]>,
) -> Result<Vec<ObjectHandle>, Error> {
    let mut template = vec![Attribute::Class(class)];
    template.extend(label.map(|label| Attribute::Label(label.to_vec())));
    template.extend(id.map(|id| Attribute::Id(id.to_vec())));
    session.find_objects(&template).map_err(failed("look for the key"))
}

fn attributes(
    session: &Session,
    object: ObjectHandle,
    asked: &[AttributeType],
) -> Result<Vec<Attribute>, Error> {
    session.get_attributes(object, asked).map_err(failed("read the key's attributes"))
}

fn to_der(signature: &[u8]) -> Result<Vec<u8>, Error> {
    let fixed = signature.try_into().ok().and_then(ecdsa::Signature::from_fixed);
    fixed.map(|signature| signature.to_der()).ok_or(Error::SignatureMismatch)
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

fn failed(action: &'static str) -> impl Fn(Failure) -> Error {
    move |failure| {
        let reason = match failure {
            // The name of the code; its description is a paragraph of the standard.
            Failure::Pkcs11(code, _) => format!("{code:?}"),
            other => other.to_string(),
        };
        Error::Pkcs11 { action, reason }
    }
}
