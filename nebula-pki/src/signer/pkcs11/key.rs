//! A private key in a token.

use cryptoki::context::Pkcs11;
use cryptoki::error::{Error as Failure, RvError};
use cryptoki::mechanism::eddsa::{EddsaParams, EddsaSignatureScheme};
use cryptoki::mechanism::{Mechanism, MechanismType};
use cryptoki::object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle};
use cryptoki::session::{Session, SessionState};
use cryptoki::slot::Slot;
use sha2::{Digest, Sha256};

use super::module::{failed, log_in, token};
use super::uri::Pkcs11Uri;
use crate::der::Reader;
use crate::error::{TokenKeyDefect, UriDefect};
use crate::signature::ecdsa;
use crate::{Curve, Error};

/// `CKA_EC_PARAMS` of P-256: the DER of its object identifier, 1.2.840.10045.3.1.7 (RFC 5480).
const P256: &[u8] = &[0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
/// Those of Ed25519: its object identifier, 1.3.101.112 (RFC 8410), or its name as a printable
/// string. PKCS#11 3.0 has both.
const ED25519: [&[u8]; 2] = [&[0x06, 0x03, 0x2b, 0x65, 0x70], b"\x13\x0cedwards25519"];
/// What comes before the point in the DER of a P-256 public key (RFC 5480).
const P256_INFO: &[u8] = &[
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a,
    0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];
/// And before the key in that of an Ed25519 one (RFC 8410).
const ED25519_INFO: &[u8] =
    &[0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

const OCTET_STRING: u8 = 0x04;

/// A private key, in a session that may use it.
pub(super) struct Key {
    session: Session,
    private: ObjectHandle,
    algorithm: Algorithm,
    /// Whether the URI's PIN was used to log in.
    has_pin: bool,
}

#[derive(Clone, Copy)]
enum Algorithm {
    Ed25519,
    /// Whether the token hashes what it signs.
    P256 {
        hashes: bool,
    },
}

impl Key {
    pub(super) fn open(uri: &Pkcs11Uri) -> Result<Self, Error> {
        let (module, slot) = token(uri)?;
        let session = module.open_ro_session(slot).map_err(failed("open a session"))?;
        let has_pin = log_in(&session, uri)?;
        let found = find(&session, ObjectClass::PRIVATE_KEY, uri.object(), uri.id())?;
        let [private] = *found else {
            // Private keys are seen after logging in only.
            if found.is_empty() && !has_pin && asks_for_pin(&module, slot, &session)? {
                return Err(Error::NoPin);
            }
            return Err(Error::TokenKeySelection { found: found.len() });
        };
        let algorithm = Algorithm::of(&module, slot, &session, private)?;
        Ok(Self { session, private, algorithm, has_pin })
    }

    pub(super) fn generate(uri: &Pkcs11Uri, curve: Curve) -> Result<Self, Error> {
        let label = uri.object().ok_or_else(|| Error::Pkcs11Uri {
            attribute: "object".to_owned(),
            defect: UriDefect::Missing,
        })?;
        let (mechanism, parameters) = match curve {
            Curve::Curve25519 => (Mechanism::EccEdwardsKeyPairGen, ED25519),
            Curve::P256 => (Mechanism::EccKeyPairGen, [P256; 2]),
            curve @ Curve::Unknown(_) => return Err(Error::UnsupportedCurve { curve }),
        };
        let (module, slot) = token(uri)?;
        let session = module.open_rw_session(slot).map_err(failed("open a session"))?;
        let has_pin = log_in(&session, uri)?;
        if !has_pin && asks_for_pin(&module, slot, &session)? {
            return Err(Error::NoPin);
        }
        let found = find(&session, ObjectClass::PRIVATE_KEY, Some(label), None)?.len();
        if found != 0 {
            return Err(Error::TokenKeySelection { found });
        }
        let both = [
            Attribute::Token(true),
            Attribute::Label(label.to_vec()),
            Attribute::Id(uri.id().unwrap_or(label).to_vec()),
        ];
        let private = [
            Attribute::Private(true),
            Attribute::Sensitive(true),
            Attribute::Extractable(false),
            Attribute::Sign(true),
        ];
        let make = |parameters: &[u8]| {
            let public = [
                Attribute::Private(false),
                Attribute::Verify(true),
                Attribute::EcParams(parameters.to_vec()),
            ];
            session.generate_key_pair(
                &mechanism,
                &[&both[..], &public].concat(),
                &[&both[..], &private].concat(),
            )
        };
        let [first, second] = parameters;
        let (_, private) =
            make(first).or_else(|_| make(second)).map_err(failed("generate a key"))?;
        let algorithm = Algorithm::of(&module, slot, &session, private)?;
        Ok(Self { session, private, algorithm, has_pin })
    }

    pub(super) fn curve(&self) -> Curve {
        match self.algorithm {
            Algorithm::Ed25519 => Curve::Curve25519,
            Algorithm::P256 { .. } => Curve::P256,
        }
    }

    /// The point, from the private key where the token reveals it there, else from the public key object.
    pub(super) fn public_key(&self) -> Result<Vec<u8>, Error> {
        let (prefix, len) = match self.algorithm {
            Algorithm::Ed25519 => (ED25519_INFO, 32),
            Algorithm::P256 { .. } => (P256_INFO, 65),
        };
        let asked = [AttributeType::PublicKeyInfo, AttributeType::Id, AttributeType::Label];
        let (mut id, mut label) = (None, None);
        for attribute in attributes(&self.session, self.private, &asked)? {
            match attribute {
                Attribute::PublicKeyInfo(info) => {
                    if let Some(point) = info.strip_prefix(prefix) {
                        return Ok(point.to_vec());
                    }
                }
                Attribute::Id(value) if !value.is_empty() => id = Some(value),
                Attribute::Label(value) if !value.is_empty() => label = Some(value),
                _ => {}
            }
        }
        let (id, label) = (id.as_deref(), label.as_deref());
        // The label distinguishes two keys with the same id.
        let mut found = find(&self.session, ObjectClass::PUBLIC_KEY, None, id)?;
        if found.len() != 1 {
            found = find(&self.session, ObjectClass::PUBLIC_KEY, label, id)?;
        }
        let [public] = *found else {
            return Err(Error::TokenKey { defect: TokenKeyDefect::NoPublicKey });
        };
        match &*attributes(&self.session, public, &[AttributeType::EcPoint])? {
            // A DER octet string by the standard, the bare point by some modules.
            [Attribute::EcPoint(point)] if point.len() == len => Ok(point.clone()),
            [Attribute::EcPoint(point)] => Reader::new(point)
                .read(OCTET_STRING)
                .map(<[u8]>::to_vec)
                .ok_or(Error::TokenKey { defect: TokenKeyDefect::PointNotOnCurve }),
            _ => Err(Error::TokenKey { defect: TokenKeyDefect::HiddenPublicKey }),
        }
    }

    /// Signs a message, in the form that [`Signer::sign`](crate::Signer::sign) has.
    pub(super) fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Unsigned> {
        let sign = |mechanism, data| self.session.sign(mechanism, self.private, data);
        let ed25519 = || Mechanism::Eddsa(EddsaParams::new(EddsaSignatureScheme::Ed25519));
        match self.algorithm {
            Algorithm::Ed25519 => Ok(sign(&ed25519(), message)?),
            Algorithm::P256 { hashes: true } => to_der(&sign(&Mechanism::EcdsaSha256, message)?),
            Algorithm::P256 { hashes: false } => {
                to_der(&sign(&Mechanism::Ecdsa, &Sha256::digest(message))?)
            }
        }
    }

    /// Why it did not sign.
    pub(super) fn refusal(&self, unsigned: Unsigned) -> Error {
        match unsigned {
            Unsigned::Refused(Failure::Pkcs11(RvError::UserNotLoggedIn, _)) if !self.has_pin => {
                Error::NoPin
            }
            Unsigned::Refused(failure) => failed("sign")(failure),
            Unsigned::Malformed => Error::SignatureMismatch,
        }
    }
}

/// Why there is no signature.
pub(super) enum Unsigned {
    Refused(Failure),
    /// What the token returned is not a signature.
    Malformed,
}

impl From<Failure> for Unsigned {
    fn from(failure: Failure) -> Self {
        Self::Refused(failure)
    }
}

impl Algorithm {
    /// That of a key, if it can sign certificates.
    fn of(
        module: &Pkcs11,
        slot: Slot,
        session: &Session,
        private: ObjectHandle,
    ) -> Result<Self, Error> {
        let unsuitable = |defect| Err(Error::TokenKey { defect });
        let (mut is_elliptic, mut parameters) = (false, Vec::new());
        let asked = [AttributeType::KeyType, AttributeType::EcParams];
        for attribute in attributes(session, private, &asked)? {
            match attribute {
                // Older modules have no type of its own for Edwards curves.
                Attribute::KeyType(KeyType::EC | KeyType::EC_EDWARDS) => is_elliptic = true,
                Attribute::EcParams(found) => parameters = found,
                _ => {}
            }
        }
        if !is_elliptic {
            return unsuitable(TokenKeyDefect::NotElliptic);
        }
        let mechanisms =
            module.get_mechanism_list(slot).map_err(failed("list what the token can do"))?;
        let can = |mechanism| mechanisms.contains(&mechanism);
        if ED25519.contains(&&*parameters) {
            return match can(MechanismType::EDDSA) {
                true => Ok(Self::Ed25519),
                false => unsuitable(TokenKeyDefect::NoEddsa),
            };
        }
        if parameters != P256 {
            return unsuitable(TokenKeyDefect::OtherCurve);
        }
        match (can(MechanismType::ECDSA), can(MechanismType::ECDSA_SHA256)) {
            (true, _) => Ok(Self::P256 { hashes: false }),
            (false, true) => Ok(Self::P256 { hashes: true }),
            (false, false) => unsuitable(TokenKeyDefect::NoEcdsa),
        }
    }
}

/// Whether the token requires a login, and there was none.
fn asks_for_pin(module: &Pkcs11, slot: Slot, session: &Session) -> Result<bool, Error> {
    let token = module.get_token_info(slot).map_err(failed("ask what the token needs"))?;
    let session = session.get_session_info().map_err(failed("ask who is logged in"))?;
    let nobody = matches!(session.session_state(), SessionState::RoPublic | SessionState::RwPublic);
    Ok(token.login_required() && nobody)
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

fn to_der(signature: &[u8]) -> Result<Vec<u8>, Unsigned> {
    let fixed = signature.try_into().ok().and_then(ecdsa::Signature::from_fixed);
    fixed.map(|signature| signature.to_der()).ok_or(Unsigned::Malformed)
}
