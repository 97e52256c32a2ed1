//! Making a network with its CA and pools.

use ipnet::IpNet;
use nebula_alloc::pool::{self, Pool};
use nebula_alloc::store::Transaction;
use nebula_alloc::{AddressRange, Family, NetworkId};
use nebula_pki::Curve;
use serde_json::json;

use super::prefixes::{check_prefixes, family};
use super::settings::{NetworkSettings, check_initiating, check_mtu};
use crate::error::{Conflict, Fault, Field, Kind};
use crate::names::{check_seen, hidden_id};
use crate::service::audit::Entry;
use crate::service::authority;
use crate::service::cas::{NewCa, add_blocked};
use crate::service::exclusive::Work;
use crate::service::pace::Pace;
use crate::service::pools::{Addresses, refusal};
use crate::service::principal::Principal;
use crate::store::ca::CaState;
use crate::store::network::{self, Network, Revision, Versions};
use crate::store::operator_key::Scope;
use crate::store::{ca, tenant};
use crate::{Error, NetworkRef, TenantId, id};

/// A network to be made.
#[derive(Debug, Clone)]
pub struct NewNetwork {
    /// Its name, unique over all tenants.
    pub name: NetworkRef,
    /// Who owns it: where left out, the caller's tenant, or the default one.
    pub tenant: Option<TenantId>,
    /// Its prefixes, one or two, of different families.
    pub prefixes: Vec<IpNet>,
    /// Which certificates its nodes have.
    pub versions: Versions,
    /// The curve of its keys.
    pub curve: Curve,
    /// What may be changed later.
    pub settings: NetworkSettings,
    /// Where its addresses come from, in the order of use: all of its prefixes where left out.
    pub pools: Option<Vec<Addresses>>,
}

impl NewNetwork {
    /// The ranges of its pools.
    pub(super) fn check(&self, pace: Pace) -> Result<Vec<AddressRange>, Error> {
        self.settings.check(pace)?;
        check_initiating(self.settings.initiating_version, self.versions)?;
        let usable = check_prefixes(&self.prefixes, self.versions)?;
        check_mtu(self.settings.mtu, self.prefixes.iter().any(|prefix| prefix.addr().is_ipv6()))?;
        let Some(pools) = &self.pools else { return Ok(usable) };
        let resolve = |range: &Addresses| range.among(self.prefixes.iter().copied());
        let ranges: Result<_, Fault> = pools.iter().map(resolve).collect();
        ranges.map_err(|fault| fault.of(Field::Pools))
    }
}

/// Makes a network with its CA and pools.
pub(in crate::service) fn create(
    work: &mut Work<'_>,
    request: &NewNetwork,
    tenant: TenantId,
    made: Option<&NewCa>,
) -> Result<Network, Error> {
    let ranges = request.check(work.shared.pace())?;
    check_unused(work, request.name.as_str(), None)?;
    let id = id::new_network();
    let (versions, curve, now) = (request.versions, request.curve, work.now);
    let secrets = &work.shared.secrets;
    let ca = match made {
        Some(made) => made.row(work.shared, id, CaState::Active)?,
        None => {
            authority::create(secrets, id, request.name.as_str(), (versions.oldest(), curve), now)?
        }
    };
    let of = |wanted| request.prefixes.iter().copied().find(|prefix| family(*prefix) == wanted);
    let network = request.settings.clone().apply(Network {
        id,
        tenant,
        name: request.name.to_string(),
        versions,
        curve,
        prefix_v4: of(Family::V4),
        prefix_v6: of(Family::V6),
        active_ca: ca.id,
        hold_seconds: 0,
        hold_alone: false,
        lifetime: 0,
        silence_seconds: None,
        give_back_seconds: None,
        silent_after: 0,
        mtu: 0,
        initiating_version: None,
        renew_before: None,
        revision: Revision::FIRST,
        wake_counter: 0,
        rendering: nebula_bundle::RENDERING,
        changes: 1,
        created_at: now,
    });
    if let Some(made) = made {
        made.check(now, &network)?;
        made.check_unused(work)?;
    }
    network::insert(work.tx, &network)?;
    ca::insert(work.tx, &ca, now)?;
    let blocked = match made {
        Some(made) => made.block_former(work, id, network.revision)?,
        None => vec![],
    };
    let mut detail = json!({
        "name": network.name,
        "revision": network.revision.0,
        "ca": ca.certificate.fingerprint().to_string(),
    });
    add_blocked(&mut detail, blocked);
    work.record(Entry {
        network: Some(id),
        detail,
        ..Entry::new("network.created", id.as_bytes())
    })?;
    for (position, range) in (0_i64..).zip(ranges) {
        create_pool(work, id, range, position)?;
    }
    Ok(network)
}

pub(super) fn create_pool(
    work: &mut Work<'_>,
    network: NetworkId,
    range: AddressRange,
    position: i64,
) -> Result<(), Error> {
    let pool = Pool { id: id::new_pool(), network, range, position };
    let actor = work.author.actor();
    pool::create(work.tx, work.now, &actor, &pool).map_err(refusal)
}

/// That a name can be a network's: this one's, where it has another now.
pub(super) fn check_unused(
    work: &mut Work<'_>,
    name: &str,
    former: Option<NetworkId>,
) -> Result<(), Error> {
    check_seen(Field::Name, name)?;
    let tx: &mut dyn Transaction = work.tx;
    if let Some(id) = hidden_id(name)
        && network::by_id(tx, NetworkId(id))?.is_some()
    {
        return Err(Error::NameIsId { name: name.to_owned(), kind: Kind::Network });
    }
    match network::by_key(tx, name)?.filter(|other| Some(other.id) != former) {
        None => Ok(()),
        Some(other) if work.principal.sees(&other) => {
            Err(Error::NameTaken { kind: Kind::Network, name: other.name })
        }
        // What other tenants have is not told.
        Some(_) => Err(Conflict::NameUnavailable.into()),
    }
}

/// The tenant that is to own a new network.
pub(super) fn owner(
    tx: &mut dyn Transaction,
    principal: &Principal,
    asked: Option<TenantId>,
) -> Result<TenantId, Error> {
    let home = principal.home(tx)?;
    let Some(asked) = asked.filter(|asked| *asked != home) else { return Ok(home) };
    let sees = principal.scope() == Scope::Root;
    if sees && tenant::by_id(tx, asked)?.is_some() {
        return Ok(asked);
    }
    Err(Error::not_found(Kind::Tenant, asked))
}
