//! The CAs of networks and their keys.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use nebula_alloc::NetworkId;
use nebula_alloc::store::Transaction;
use nebula_pki::key::SigningKey;
use nebula_pki::{CaParameters, Curve, Issuer, Signer, SystemRandom, Validity, Version};

use crate::error::Unavailable;
use crate::secret::ServerSecrets;
use crate::store::ca::{self, Ca, CaState};
use crate::store::network::Network;
use crate::{CaId, Error};

/// 10 years of 365 days, in seconds.
pub(super) const CA_LIFETIME: i64 = 10 * 365 * 86_400;
/// How long before now a CA begins, in seconds, so that a lagging clock can use it at once.
const CA_BACKDATED: i64 = 3600;
/// Nebula takes no longer names, in bytes.
pub(super) const NAME_LIMIT: usize = 253;

/// The CAs that this process has looked up, with the keys it has opened.
#[derive(Default)]
pub(super) struct Authorities {
    open: Mutex<HashMap<CaId, Arc<Authority>>>,
}

/// A CA that issues.
pub(super) struct Authority {
    pub(super) id: CaId,
    pub(super) issuer: Issuer<Key>,
    signer: Option<String>,
}

/// Where a CA's private key is.
pub(super) enum Key {
    /// Here, unsealed.
    Here(Box<SigningKey>),
    /// With a signer: it signs what was prepared, outside of any transaction. It may be away, so its
    /// public key is taken from the certificate, and each of its signatures is verified.
    Elsewhere { curve: Curve, public_key: Vec<u8> },
}

impl Authority {
    /// The name of the signer that holds its key, where that is not this process.
    pub(super) fn signer(&self) -> Option<&str> {
        self.signer.as_deref()
    }
}

impl Signer for Key {
    fn curve(&self) -> Curve {
        match self {
            Self::Here(key) => key.curve(),
            Self::Elsewhere { curve, .. } => *curve,
        }
    }

    fn public_key(&self) -> &[u8] {
        match self {
            Self::Here(key) => key.public_key(),
            Self::Elsewhere { public_key, .. } => public_key,
        }
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, nebula_pki::Error> {
        match self {
            Self::Here(key) => key.sign(message),
            Self::Elsewhere { .. } => Err(nebula_pki::Error::Signer {
                reason: "is not asked inside a transaction".to_owned(),
            }),
        }
    }
}

impl Authorities {
    /// The CA that signs for a network, opened once and then kept.
    pub(super) fn active(
        &self,
        tx: &mut dyn Transaction,
        secrets: &ServerSecrets,
        network: &Network,
    ) -> Result<Arc<Authority>, Error> {
        self.by_id(tx, secrets, network.id, network.active_ca)
    }

    /// A CA of a network that nodes trust.
    pub(super) fn by_id(
        &self,
        tx: &mut dyn Transaction,
        secrets: &ServerSecrets,
        network: NetworkId,
        id: CaId,
    ) -> Result<Arc<Authority>, Error> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(authority) = open.get(&id) {
            return Ok(Arc::clone(authority));
        }
        let ca = ca::by_id(tx, id)?
            .filter(|ca| ca.network == network && ca.state != CaState::Retired)
            .ok_or(Unavailable::Missing { what: "the network's CA" })?;
        let authority = Arc::new(open_authority(secrets, ca)?);
        open.insert(id, Arc::clone(&authority));
        Ok(authority)
    }

    /// The CAs that are open.
    pub(super) fn ids(&self) -> Vec<CaId> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).keys().copied().collect()
    }

    /// Forgets the key of a CA that is retired or gone.
    pub(super) fn forget(&self, id: CaId) {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
    }
}

fn open_authority(secrets: &ServerSecrets, ca: Ca) -> Result<Authority, Error> {
    let key = match (ca.key, &ca.signer) {
        (Some(sealed), _) => {
            let pem = secrets.open(&sealed, ca.id.as_bytes())?;
            Key::Here(Box::new(SigningKey::from_pem(&pem).map_err(Unavailable::from)?))
        }
        (None, Some(_)) => Key::Elsewhere {
            curve: ca.certificate.curve(),
            public_key: ca.certificate.public_key().to_vec(),
        },
        (None, None) => {
            return Err(Unavailable::Missing { what: "the key of the network's CA" }.into());
        }
    };
    let signer = ca.signer.filter(|_| matches!(key, Key::Elsewhere { .. }));
    let issuer = Issuer::new(ca.certificate, key).map_err(Unavailable::from)?;
    Ok(Authority { id: ca.id, issuer, signer })
}

/// Makes a CA without constraints on networks, so that its network can grow.
pub(super) fn create(
    secrets: &ServerSecrets,
    network: NetworkId,
    name: &str,
    (version, curve): (Version, Curve),
    now: i64,
) -> Result<Ca, Error> {
    let id = CaId::new();
    let key = SigningKey::generate(curve, &mut SystemRandom).map_err(Unavailable::from)?;
    let sealed = secrets.seal(key.to_pem().as_bytes(), id.as_bytes())?;
    let parameters = CaParameters::new(ca_name(name), lifetime(now, CA_LIFETIME));
    let issuer = Issuer::self_signed(version, parameters, key).map_err(Unavailable::from)?;
    Ok(Ca {
        id,
        network,
        state: CaState::Active,
        certificate: issuer.certificate().clone(),
        key: Some(sealed),
        signer: None,
    })
}

/// When a CA made now is valid, for so many seconds.
pub(super) fn lifetime(now: i64, seconds: i64) -> Validity {
    Validity {
        not_before: now.saturating_sub(CA_BACKDATED),
        not_after: now.saturating_add(seconds),
    }
}

/// A network's name may be longer, in bytes, than Nebula takes.
pub(super) fn ca_name(name: &str) -> &str {
    name.get(..name.floor_char_boundary(NAME_LIMIT)).unwrap_or(name)
}
