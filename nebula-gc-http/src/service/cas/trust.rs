//! CAs as operators see them, for as long as they are trusted, and how they go.

use nebula_alloc::store::Transaction;
use nebula_pki::{Certificate, Fingerprint};
use serde_json::json;

use crate::error::{Conflict, Kind};
use crate::service::access::authorize;
use crate::service::audit::Entry;
use crate::service::context::Context;
use crate::service::core::Service;
use crate::service::principal::Action;
use crate::service::revision::move_revision;
use crate::service::terms::BACKDATED;
use crate::store::ca::{self, CaState, Kept, Span};
use crate::store::network::{self, Network};
use crate::store::{certificate, node};
use crate::{CaId, Error, NetworkRef};

/// How long before its end a CA is told to end, in seconds: 60 days, and at most a third of its
/// lifetime.
const TOLD_BEFORE: i64 = 60 * 86_400;
/// How many names a refusal gives.
const NAMED: usize = 100;
/// How many CAs are told of at once.
const TOLD: i64 = 100;

/// A CA of a network.
#[derive(Debug, Clone)]
pub struct CaDetails {
    /// Its id.
    pub id: CaId,
    /// What it is used for.
    pub state: CaState,
    /// Its certificate.
    pub certificate: Certificate,
    /// The signer that holds its key, by its name in the server's settings; none where the server
    /// does or did.
    pub signer: Option<String>,
    /// How many current certificates it has signed.
    pub certificates: i64,
    /// Where it is in its time.
    pub standing: CaStanding,
    /// When the network got it, in seconds since the Unix epoch.
    pub created_at: i64,
}

/// The CA that signs for a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NetworkCa {
    /// Its id.
    pub id: CaId,
    /// What names its certificate.
    pub fingerprint: Fingerprint,
    /// Until when it is valid, in seconds since the Unix epoch.
    pub not_after: i64,
    /// Where it is in its time.
    pub standing: CaStanding,
}

/// Where a CA is in its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CaStanding {
    /// It is not valid yet.
    NotYetValid,
    /// It is valid, and for long enough.
    Valid,
    /// It ends within 60 days, or within the last third of its lifetime where that is shorter.
    EndsSoon,
    /// It has ended: nothing is issued any more.
    Expired,
}

impl CaStanding {
    /// In one word.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::NotYetValid => "not_yet_valid",
            Self::Valid => "valid",
            Self::EndsSoon => "ends_soon",
            Self::Expired => "expired",
        }
    }

    fn at(now: i64, (not_before, not_after): (i64, i64)) -> Self {
        let left = not_after.saturating_sub(now);
        let lifetime = not_after.saturating_sub(not_before);
        if now < not_before {
            Self::NotYetValid
        } else if left < 0 {
            Self::Expired
        } else if left < TOLD_BEFORE.min(lifetime / 3) {
            Self::EndsSoon
        } else {
            Self::Valid
        }
    }
}

/// How many networks need another CA.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CaWarnings {
    /// Those whose CA has ended; 100 stands for more, too.
    pub expired: usize,
    /// Those whose CA ends soon; 100 stands for more, too.
    pub ends_soon: usize,
}

impl Service {
    /// A network's CAs, retired ones too, after the one of this id, oldest first, at most `limit`.
    ///
    /// # Errors
    /// [`Error::NotFound`], and those of access.
    pub async fn cas(
        &self,
        context: Context,
        network: NetworkRef,
        after: Option<CaId>,
        limit: i64,
    ) -> Result<Vec<CaDetails>, Error> {
        self.read(move |tx, shared| {
            let (secrets, now) = (&shared.secrets, shared.now());
            let (_, network) =
                authorize(tx, secrets, &context, now, Action::ReadNetwork, Some(&network))?;
            let cas = ca::after(tx, network.id, after.unwrap_or([0; 16].into()), limit)?;
            cas.into_iter().map(|ca| details(tx, ca, now)).collect()
        })
        .await
    }

    /// One CA of a network.
    ///
    /// # Errors
    /// [`Error::NotFound`], and those of access.
    pub async fn ca(
        &self,
        context: Context,
        network: NetworkRef,
        id: CaId,
    ) -> Result<CaDetails, Error> {
        self.read(move |tx, shared| {
            let (secrets, now) = (&shared.secrets, shared.now());
            let (_, network) =
                authorize(tx, secrets, &context, now, Action::ReadNetwork, Some(&network))?;
            let ca = find(tx, &network, id)?;
            details(tx, ca, now)
        })
        .await
    }

    /// Takes a CA out of all bundles, for good: nobody accepts what it has signed once they have
    /// applied the revision that this moves to, and its key is forgotten. Who still has certificates
    /// of it where it is `forced` has none that count, and gets others when it asks. Doing it again
    /// changes nothing.
    ///
    /// # Errors
    /// [`Error::Conflict`] for the one that signs, [`Error::CaNeeded`] where current certificates are
    /// of it and it is not `forced`, [`Error::NotFound`], and those of access.
    pub async fn retire_ca(
        &self,
        context: Context,
        network: NetworkRef,
        id: CaId,
        forced: bool,
    ) -> Result<CaDetails, Error> {
        self.exclusive(context, move |work| {
            let network = work.network(Action::Import, &network)?;
            let kept = find(work.tx, &network, id)?;
            match kept.state {
                CaState::Retired => return details(work.tx, kept, work.now),
                CaState::Active => {
                    return Err(Conflict::CaSigns.into());
                }
                CaState::Trusted => {}
            }
            let certificates = certificate::count_of(work.tx, id)?;
            if certificates > 0 && !forced {
                let limit = i64::try_from(NAMED + 1).unwrap_or(i64::MAX);
                let mut nodes = certificate::named_by(work.tx, id, limit)?;
                let more = nodes.len() > NAMED;
                nodes.truncate(NAMED);
                return Err(Error::CaNeeded { nodes, more });
            }
            ca::retire(work.tx, id)?;
            let revision = move_revision(work.tx, network.id, work.now)?;
            work.record(Entry {
                network: Some(network.id),
                detail: json!({
                    "fingerprint": kept.certificate.fingerprint().to_string(),
                    "certificates": certificates,
                    "revision": revision.0,
                }),
                ..Entry::new("ca.retired", id.as_bytes())
            })?;
            let retired = find(work.tx, &network, id)?;
            details(work.tx, retired, work.now)
        })
        .await
        .inspect(|ca| self.shared.authorities.forget(ca.id))
    }

    /// Makes the certificates due that a network's nodes have now: who asks gets new ones, of the CA
    /// that signs now. The revision moves, so that nodes that wait are told.
    ///
    /// # Errors
    /// [`Error::NotFound`], and those of access.
    pub async fn renew_all(&self, context: Context, network: NetworkRef) -> Result<Network, Error> {
        self.exclusive(context, move |work| {
            let network = work.network(Action::ChangeNetwork, &network)?;
            // What is issued from now on begins then.
            let then = work.now.saturating_sub(BACKDATED);
            network::renew_before(work.tx, network.id, then)?;
            // Times have whole seconds: what was issued in this one before does not begin earlier.
            node::make_due_since(work.tx, network.id, then)?;
            let revision = move_revision(work.tx, network.id, work.now)?;
            work.record(Entry {
                network: Some(network.id),
                detail: json!({"revision": revision.0}),
                ..Entry::new("network.renewal_asked", network.id.as_bytes())
            })?;
            Ok(Network { revision, renew_before: Some(then), ..network })
        })
        .await
    }

    /// The CAs that sign for networks that the caller was permitted to see, in their order.
    #[cfg(feature = "server")]
    pub(crate) async fn active_cas(&self, networks: &[Network]) -> Result<Vec<NetworkCa>, Error> {
        let ids: Vec<_> = networks.iter().map(|network| network.active_ca).collect();
        self.read(move |tx, shared| {
            let now = shared.now();
            Ok(ca::spans(tx, &ids)?.into_iter().map(|span| NetworkCa::at(now, span)).collect())
        })
        .await
    }
}

impl NetworkCa {
    fn at(now: i64, span: Span) -> Self {
        let Span { id, fingerprint, not_before, not_after } = span;
        Self { id, fingerprint, not_after, standing: CaStanding::at(now, (not_before, not_after)) }
    }
}

/// Networks whose CA has ended or ends soon, the first to end first, 100 at most of those that may.
pub(in crate::service) fn ending(
    tx: &mut dyn Transaction,
    now: i64,
) -> Result<Vec<(NetworkCa, String)>, Error> {
    let spans = ca::ending(tx, now.saturating_add(TOLD_BEFORE), TOLD)?;
    let cas = spans.into_iter().map(|(span, network)| (NetworkCa::at(now, span), network));
    let is_told =
        |ca: &NetworkCa| matches!(ca.standing, CaStanding::EndsSoon | CaStanding::Expired);
    Ok(cas.filter(|(ca, _)| is_told(ca)).collect())
}

/// How many networks need another CA.
pub(in crate::service) fn warnings(
    tx: &mut dyn Transaction,
    now: i64,
) -> Result<CaWarnings, Error> {
    let ending = ending(tx, now)?;
    let count = |standing| ending.iter().filter(|(ca, _)| ca.standing == standing).count();
    Ok(CaWarnings { expired: count(CaStanding::Expired), ends_soon: count(CaStanding::EndsSoon) })
}

fn find(tx: &mut dyn Transaction, network: &Network, id: CaId) -> Result<Kept, Error> {
    ca::kept_by_id(tx, network.id, id)?.ok_or_else(|| Error::not_found(Kind::Ca, id))
}

fn details(tx: &mut dyn Transaction, ca: Kept, now: i64) -> Result<CaDetails, Error> {
    let Kept { id, state, certificate, signer, created_at } = ca;
    let details = certificate.unverified_details();
    let standing = CaStanding::at(now, (details.not_before(), details.not_after()));
    let certificates = certificate::count_of(tx, id)?;
    Ok(CaDetails { id, state, certificate, signer, certificates, standing, created_at })
}
