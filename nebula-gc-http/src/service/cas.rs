//! CAs that operators name: made here, for the key of a signer, or by `nebula-cert`.

mod files;
mod trust;

use ipnet::IpNet;
use nebula_alloc::NetworkId;
use nebula_alloc::store::Transaction;
use nebula_pki::key::SigningKey;
use nebula_pki::{CaParameters, Certificate, Curve, Fingerprint, Issuer, SystemRandom, Version};
use serde_json::{Value, json};
use zeroize::Zeroizing;

pub use self::files::CaFiles;
pub use self::trust::{CaDetails, CaStanding, CaWarnings, NetworkCa};
pub(super) use self::trust::{ending, warnings};
use super::access::{authorize, find_network, not_found};
use super::audit::Entry;
use super::authority::{CA_LIFETIME, NAME_LIMIT, ca_name, lifetime};
use super::context::Context;
use super::core::Service;
use super::exclusive::Work;
use super::principal::{Action, Principal};
use super::shared::Shared;
use crate::error::{Conflict, Fault, Field, Kind, Unavailable, Unit};
use crate::service::revision::move_revision;
use crate::signers::SignerUser;
use crate::store::ca::{self, Ca, CaState};
use crate::store::deleted_network::{self, FormerCertificate};
use crate::store::network::{self, Network, Revision};
use crate::store::operator_key::Scope;
use crate::store::{blocklist, node, tenant};
use crate::{CaId, Error, Label, NetworkRef, NodeId, TenantId};

/// The shortest and the longest lifetime of a CA made here, in seconds: a day, and 30 years.
const LIFETIMES: std::ops::RangeInclusive<i64> = 86_400..=30 * 365 * 86_400;

/// How many certificates are blocked at once, because a deleted network had them.
const MOST: usize = 1_000;

/// Where a network's CA comes from, if it is not made here as usual.
#[derive(Debug)]
pub enum CaSource {
    /// It is new, and its key is made and kept here.
    New {
        /// What it is called; no other CA that the network trusts is.
        name: Label,
        /// How long it is valid, in seconds: a day to 30 years, 10 years where left out.
        lifetime: Option<i64>,
    },
    /// It is new, for the key that the signer of this name holds.
    Signer(String),
    /// It was made elsewhere, with its key.
    Imported(CaFiles),
}

/// A CA that signs for a network now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActiveCa {
    /// Its id.
    pub id: CaId,
    /// Its network, by name.
    pub network: String,
    /// What names its certificate.
    pub fingerprint: Fingerprint,
}

impl Service {
    /// Whether it can do its work: the writer is up and the database answers.
    pub async fn is_ready(&self) -> bool {
        self.readiness().await.is_some()
    }

    /// How many networks need another CA, which keeps it from no other work; nothing where it can't do
    /// its work.
    pub async fn readiness(&self) -> Option<CaWarnings> {
        if !self.writer.is_ready() {
            return None;
        }
        let warn = |tx: &mut dyn Transaction, shared: &Shared| warnings(tx, shared.now());
        self.read_in(&self.turns.read_health, warn).await.ok()
    }
}

impl Service {
    /// Makes a CA the one that signs for a network; the one before is still trusted. Nodes accept
    /// what it signs as soon as they have applied the revision that this moves to. A network without
    /// nodes takes over the CA's curve. Doing it again with the same CA changes nothing.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a signer that the caller can't use for the network or a CA that is
    /// not valid now, [`Error::Conflict`] for one that does not go with the network, those of access,
    /// [`Error::RateLimited`] while many encrypted keys are brought in, and [`Error::Unavailable`]
    /// while the signer is away.
    pub async fn add_ca(
        &self,
        context: Context,
        network: Option<NetworkRef>,
        source: CaSource,
    ) -> Result<ActiveCa, Error> {
        let asked = (context.clone(), network.clone());
        let (found, user) = self
            .read(move |tx, shared| {
                let (context, network) = asked;
                let (action, now) = (Action::Import, shared.now());
                let (principal, network) =
                    authorize(tx, &shared.secrets, &context, now, action, network.as_ref())?;
                let user = signer_user(tx, &principal, network.tenant)?;
                Ok((network, user))
            })
            .await?;
        // A signer is asked outside of the transaction, as it may take its time.
        let kind = (found.versions.oldest(), found.curve);
        let made = self.make_ca(&found.name, kind, user, source).await?;
        self.exclusive(context, move |work| {
            let principal = work.principal;
            let network = find_network(work.tx, principal, network.as_ref())?
                .ok_or_else(|| not_found(network.as_ref()))?;
            principal.permit(Action::Import)?;
            made.activate(work, &network)
        })
        .await
    }

    /// A CA that is not stored yet, from wherever it comes, for who was found to be permitted it:
    /// signing and opening keys cost something. Version and curve are those of a new one.
    pub(super) async fn make_ca(
        &self,
        network: &str,
        (version, curve): (Version, Curve),
        user: SignerUser,
        source: CaSource,
    ) -> Result<NewCa, Error> {
        let signer = match source {
            CaSource::Imported(files) => {
                let (certificate, key) = files.read(self.options.key_memory).await?;
                return Ok(NewCa { certificate, holder: Holder::Here(key.to_pem()) });
            }
            CaSource::New { name, lifetime } => {
                return NewCa::make(&name, lifetime, (version, curve), self.shared.now());
            }
            CaSource::Signer(signer) => signer,
        };
        if !self.shared.signers.may_use(&signer, user) {
            // The same for one that others may use.
            return Err(Fault::NoSuchSigner { name: signer }.of(Field::Signer));
        }
        let validity = lifetime(self.shared.now(), CA_LIFETIME);
        let parameters = CaParameters::new(ca_name(network), validity);
        let certificate = self.shared.signers.self_signed(&signer, version, parameters).await?;
        Ok(NewCa { certificate, holder: Holder::Signer(signer) })
    }
}

/// Who would use a signer for a network of this tenant.
pub(super) fn signer_user(
    tx: &mut dyn Transaction,
    principal: &Principal,
    tenant: TenantId,
) -> Result<SignerUser, Error> {
    Ok(SignerUser {
        is_root: principal.scope() == Scope::Root,
        tenant,
        is_default: tenant::by_name(tx, tenant::DEFAULT)? == Some(tenant),
    })
}

/// A CA that is not stored yet.
pub(super) struct NewCa {
    pub(super) certificate: Certificate,
    holder: Holder,
}

/// Who holds its key.
enum Holder {
    /// This server, which has made it; in PEM.
    New(Zeroizing<String>),
    /// This server; in PEM.
    Here(Zeroizing<String>),
    Signer(String),
}

impl NewCa {
    fn make(
        name: &Label,
        asked: Option<i64>,
        (version, curve): (Version, Curve),
        now: i64,
    ) -> Result<Self, Error> {
        if name.as_str().len() > NAME_LIMIT {
            let length = name.as_str().len();
            let fault = Fault::TooLong { length, limit: NAME_LIMIT, unit: Unit::Bytes };
            return Err(fault.of(Field::Name));
        }
        let seconds = asked.unwrap_or(CA_LIFETIME);
        if !LIFETIMES.contains(&seconds) {
            let (least, most) = (*LIFETIMES.start(), *LIFETIMES.end());
            return Err(Fault::Seconds { least, most }.of(Field::LifetimeSeconds));
        }
        let key = SigningKey::generate(curve, &mut SystemRandom).map_err(Unavailable::from)?;
        let pem = key.to_pem();
        let parameters = CaParameters::new(name.as_str(), lifetime(now, seconds));
        let issuer = Issuer::self_signed(version, parameters, key).map_err(Unavailable::from)?;
        Ok(Self { certificate: issuer.certificate().clone(), holder: Holder::New(pem) })
    }

    /// The row of it, sealed.
    pub(super) fn row(
        &self,
        shared: &Shared,
        network: NetworkId,
        state: CaState,
    ) -> Result<Ca, Error> {
        let id = CaId::new();
        let (key, signer) = match &self.holder {
            Holder::New(pem) | Holder::Here(pem) => {
                (Some(shared.secrets.seal(pem.as_bytes(), id.as_bytes())?), None)
            }
            Holder::Signer(signer) => (None, Some(signer.clone())),
        };
        let certificate = self.certificate.clone();
        Ok(Ca { id, network, state, certificate, key, signer })
    }

    /// One CA is of one network.
    pub(super) fn check_unused(&self, work: &mut Work<'_>) -> Result<(), Error> {
        match ca::by_fingerprint(work.tx, &self.certificate.fingerprint())? {
            None => Ok(()),
            Some(known) => Err(of_other(work.tx, known.network)?),
        }
    }

    /// Blocks what the CA signed for networks that were deleted, whose nodes are nobody's any more, and what they
    /// had blocked. Returns the fingerprints.
    pub(super) fn block_former(
        &self,
        work: &mut Work<'_>,
        network: NetworkId,
        revision: Revision,
    ) -> Result<Vec<String>, Error> {
        let limit = i64::try_from(MOST + 1).unwrap_or(i64::MAX);
        let ca = self.certificate.fingerprint();
        let former = deleted_network::certificates_of(work.tx, &ca, work.now, limit)?;
        if former.len() > MOST {
            return Err(Conflict::CaLeftMany { most: MOST }.into());
        }
        for FormerCertificate { fingerprint, not_after } in &former {
            blocklist::insert(work.tx, network, fingerprint, *not_after, revision)?;
        }
        Ok(former.iter().map(|former| former.fingerprint.to_string()).collect())
    }

    fn activate(&self, work: &mut Work<'_>, network: &Network) -> Result<ActiveCa, Error> {
        let fingerprint = self.certificate.fingerprint();
        let active = |id| ActiveCa { id, network: network.name.clone(), fingerprint };
        if let Some(known) = ca::by_fingerprint(work.tx, &fingerprint)? {
            if known.network != network.id {
                return Err(of_other(work.tx, known.network)?);
            }
            if known.state == CaState::Active {
                return Ok(active(known.id));
            }
            return Err(match known.state {
                CaState::Retired => Conflict::CaRetired.into(),
                _ => Conflict::CaKnown.into(),
            });
        }
        self.check_name(work, network)?;
        let network = self.adapt(work, network)?;
        self.check(work.now, &network)?;
        let ca = self.row(work.shared, network.id, CaState::Trusted)?;
        ca::insert(work.tx, &ca, work.now)?;
        ca::activate(work.tx, network.id, ca.id)?;
        let revision = move_revision(work.tx, network.id, work.now)?;
        let blocked = self.block_former(work, network.id, revision)?;
        let mut detail = json!({
            "fingerprint": fingerprint.to_string(),
            "signer": ca.signer,
            "revision": revision.0,
        });
        add_blocked(&mut detail, blocked);
        let entry = Entry {
            network: Some(network.id),
            detail,
            ..Entry::new("ca.activated", ca.id.as_bytes())
        };
        work.record(entry)?;
        Ok(active(ca.id))
    }

    /// Whoever asks again after a lost answer must not get one more CA.
    fn check_name(&self, work: &mut Work<'_>, network: &Network) -> Result<(), Error> {
        let name = self.certificate.unverified_details().name_bytes();
        let is_new = matches!(self.holder, Holder::New(_));
        let trusted = ca::trusted(work.tx, network.id)?;
        let mut names = trusted.iter().map(|ca| ca.unverified_details().name_bytes());
        if is_new && names.any(|other| other == name) {
            let name = String::from_utf8_lossy(name).into_owned();
            return Err(Error::NameTaken { kind: Kind::Ca, name });
        }
        Ok(())
    }

    /// A network that nobody is in yet can have any curve.
    fn adapt(&self, work: &mut Work<'_>, network: &Network) -> Result<Network, Error> {
        let curve = self.certificate.curve();
        if curve == network.curve {
            return Ok(network.clone());
        }
        if !node::after(work.tx, network.id, NodeId::from([0; 16]), 1)?.is_empty() {
            return Err(Conflict::CaCurve { ca: curve, nodes: network.curve }.into());
        }
        network::set_curve(work.tx, network.id, curve)?;
        Ok(Network { curve, ..network.clone() })
    }

    /// Whether it can sign for a network now.
    pub(super) fn check(&self, now: i64, network: &Network) -> Result<(), Error> {
        if self.certificate.is_expired(now) {
            return Err(Fault::NotValidNow.of(Field::Certificate));
        }
        if self.certificate.version() > network.versions.oldest() {
            return Err(Conflict::CaVersion.into());
        }
        check_permits(&self.certificate, network).map_err(|prefix| {
            Conflict::PrefixNotPermitted { field: Field::Certificate, prefix }.into()
        })
    }
}

/// Says which certificates a CA brings into the blocklist, if any.
pub(super) fn add_blocked(detail: &mut Value, blocked: Vec<String>) {
    if let Some(detail) = detail.as_object_mut().filter(|_| !blocked.is_empty()) {
        detail.insert("blocked".to_owned(), blocked.into());
    }
}

/// Whose CA it is, as far as that may be told.
fn of_other(tx: &mut dyn Transaction, network: NetworkId) -> Result<Error, Error> {
    Ok(match deleted_network::is_left(tx, network)? {
        true => Conflict::CaBeingRemoved.into(),
        false => Conflict::CaOfOther.into(),
    })
}

/// Whether a CA may sign for all of a network: the prefix for which it may not, else.
pub(super) fn check_permits(ca: &Certificate, network: &Network) -> Result<(), IpNet> {
    let permitted = ca.unverified_details().networks();
    let permits = |prefix: &IpNet| {
        permitted.is_empty() || permitted.iter().any(|range| range.contains(prefix))
    };
    let mut prefixes = [network.prefix_v4, network.prefix_v6].into_iter().flatten();
    prefixes.find(|prefix| !permits(prefix)).map_or(Ok(()), Err)
}
