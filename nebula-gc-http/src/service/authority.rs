//! The CAs of networks and their keys.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use nebula_alloc::NetworkId;
use nebula_alloc::store::Transaction;
use nebula_pki::key::SigningKey;
use nebula_pki::{CaParameters, Curve, Issuer, SystemRandom, Validity, Version};

use crate::secret::ServerSecrets;
use crate::store::ca::{self, Ca, CaState};
use crate::store::network::Network;
use crate::{CaId, Error};

/// 10 years of 365 days, in seconds.
const CA_LIFETIME: i64 = 10 * 365 * 86_400;
/// How long before now a CA begins, in seconds, so that a lagging clock can use it at once.
const CA_BACKDATED: i64 = 3600;
/// Nebula takes no longer names, in bytes.
const NAME_LIMIT: usize = 253;

/// The CAs whose keys this process has opened.
#[derive(Default)]
pub(super) struct Authorities {
    open: Mutex<HashMap<CaId, Arc<Issuer<SigningKey>>>>,
}

impl Authorities {
    /// The issuer of a network, opened once and then kept.
    pub(super) fn issuer(
        &self,
        tx: &mut dyn Transaction,
        secrets: &ServerSecrets,
        network: &Network,
    ) -> Result<Arc<Issuer<SigningKey>>, Error> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(issuer) = open.get(&network.active_ca) {
            return Ok(Arc::clone(issuer));
        }
        let issuer = Arc::new(open_issuer(tx, secrets, network)?);
        open.insert(network.active_ca, Arc::clone(&issuer));
        Ok(issuer)
    }
}

fn open_issuer(
    tx: &mut dyn Transaction,
    secrets: &ServerSecrets,
    network: &Network,
) -> Result<Issuer<SigningKey>, Error> {
    let ca = ca::by_id(tx, network.active_ca)?
        .filter(|ca| ca.network == network.id && ca.state == CaState::Active)
        .ok_or_else(|| Error::unavailable("the network's active CA is missing"))?;
    let sealed =
        ca.key.ok_or_else(|| Error::unavailable("the CA's key is not held by this server"))?;
    let key = secrets.open(&sealed, ca.id.as_bytes())?;
    let key = SigningKey::from_pem(&key).map_err(Error::unavailable)?;
    Issuer::new(ca.certificate, key).map_err(Error::unavailable)
}

/// Makes a CA without constraints on networks, so that its network can grow.
pub(super) fn create(
    secrets: &ServerSecrets,
    network: NetworkId,
    project: &str,
    (version, curve): (Version, Curve),
    now: i64,
) -> Result<Ca, Error> {
    let id = CaId::new();
    let key = SigningKey::generate(curve, &mut SystemRandom).map_err(Error::unavailable)?;
    let sealed = secrets.seal(key.to_pem().as_bytes(), id.as_bytes())?;
    let validity = Validity {
        not_before: now.saturating_sub(CA_BACKDATED),
        not_after: now.saturating_add(CA_LIFETIME),
    };
    let issuer = Issuer::self_signed(version, CaParameters::new(ca_name(project), validity), key)
        .map_err(Error::unavailable)?;
    Ok(Ca {
        id,
        network,
        state: CaState::Active,
        certificate: issuer.certificate().clone(),
        key: Some(sealed),
    })
}

/// A project id may be longer, in bytes, than Nebula takes.
fn ca_name(project: &str) -> &str {
    project.get(..project.floor_char_boundary(NAME_LIMIT)).unwrap_or(project)
}
