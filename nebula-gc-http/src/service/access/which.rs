//! Which network a request is about.

use nebula_alloc::NetworkId;
use nebula_alloc::store::Transaction;

use crate::error::{Ambiguity, Fault, Field, Kind};
use crate::service::principal::Principal;
use crate::store::network::{self, Network};
use crate::store::node;
use crate::store::operator_key::Scope;
use crate::{DeviceId, Error, NetworkRef, TenantId};

/// The network named, by its name or its id, or the only one the principal sees; nothing where
/// there is none to see.
pub(crate) fn find_network(
    tx: &mut dyn Transaction,
    principal: &Principal,
    named: Option<&NetworkRef>,
) -> Result<Option<Network>, Error> {
    match named {
        Some(named) => called(tx, named, |network| principal.sees(network)),
        None => match only_seen(tx, principal)? {
            Seen::Nothing => Ok(None),
            Seen::One(network) => Ok(Some(*network)),
            Seen::Several => Err(Fault::Missing(Ambiguity::SeveralNetworks).of(Field::Network)),
        },
    }
}

/// The only network that a principal sees and that has a device.
pub(super) fn network_of_device(
    tx: &mut dyn Transaction,
    principal: &Principal,
    device: &DeviceId,
) -> Result<Option<Network>, Error> {
    let has = node::networks_with_device(tx, device.as_str(), tenant_of(principal))?;
    only_one(tx, &has)
}

/// As [`network_of_device`], that had the device and released it.
pub(crate) fn network_that_released(
    tx: &mut dyn Transaction,
    principal: &Principal,
    device: &DeviceId,
) -> Result<Option<Network>, Error> {
    let had = node::networks_that_released(tx, device.as_str(), tenant_of(principal))?;
    only_one(tx, &had)
}

fn tenant_of(principal: &Principal) -> Option<TenantId> {
    match principal.scope() {
        Scope::Tenant(tenant) => Some(tenant),
        Scope::Root | Scope::Network(_) => None,
    }
}

fn only_one(tx: &mut dyn Transaction, found: &[NetworkId]) -> Result<Option<Network>, Error> {
    match found {
        [] => Ok(None),
        [one] => network::by_id(tx, *one),
        _ => Err(Fault::Missing(Ambiguity::SeveralWithDevice).of(Field::Network)),
    }
}

/// The networks that a principal sees.
pub(super) enum Seen {
    Nothing,
    One(Box<Network>),
    Several,
}

pub(super) fn only_seen(tx: &mut dyn Transaction, principal: &Principal) -> Result<Seen, Error> {
    // Two are enough to know that it is ambiguous.
    let first = NetworkId::from([0; 16]);
    let mut seen = match principal.scope() {
        Scope::Root => network::after(tx, first, 2)?,
        Scope::Tenant(tenant) => network::after_of_tenant(tx, tenant, first, 2)?,
        Scope::Network(id) => network::by_id(tx, id)?.into_iter().collect(),
    };
    Ok(match (seen.pop(), seen.is_empty()) {
        (None, _) => Seen::Nothing,
        (Some(network), true) => Seen::One(Box::new(network)),
        (Some(_), false) => Seen::Several,
    })
}

/// The network of this id or name that is one of those. Ids come first: no name may hide what has
/// that id.
pub(crate) fn called(
    tx: &mut dyn Transaction,
    named: &NetworkRef,
    sees: impl Fn(&Network) -> bool,
) -> Result<Option<Network>, Error> {
    if let Some(id) = named.as_network_id()
        && let Some(network) = network::by_id(tx, id)?.filter(&sees)
    {
        return Ok(Some(network));
    }
    Ok(network::by_name(tx, named.as_str())?.filter(sees))
}

pub(crate) fn not_found(named: Option<&NetworkRef>) -> Error {
    let name = named.map(|named| named.as_str().to_owned());
    Error::NotFound { kind: Kind::Network, name }
}
