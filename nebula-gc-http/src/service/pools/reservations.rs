//! Reservations: addresses that are not given to whoever comes next.

use std::net::IpAddr;
use std::str::FromStr;

use nebula_alloc::reservation::{self, Purpose, Reservation};
use nebula_alloc::store::Transaction;
use nebula_alloc::{AddressRange, Family, NetworkId};
use serde_json::json;

use super::{Addresses, refusal};
use crate::error::{Fault, Field, Kind};
use crate::names::as_id;
use crate::service::access::authorize;
use crate::service::audit::Entry;
use crate::service::context::Context;
use crate::service::core::Service;
use crate::service::exclusive::{Created, Repeat, Work};
use crate::service::principal::Action;
use crate::store::node::{self, NodeState};
use crate::store::{damaged, device_reservation};
use crate::{DeviceId, Error, Label, NetworkRef, NodeId, NodeName};

/// For whom addresses are to be reserved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReservedTo {
    /// For whoever asks for one of them by name.
    Asking,
    /// For a node, which gets the address when it asks for any.
    Node(NodeId),
    /// For a device, by its own id, whether it has enrolled or not. Its nodes get the address, one after
    /// the other, and under its id joins who has an operator key or a join token that is made for it.
    Device(DeviceId),
    /// For nobody: they exist elsewhere.
    Nobody,
}

/// Reserved addresses, and for whom they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReservationDetails {
    /// As the allocation has it.
    pub reservation: Reservation,
    /// The node that it is for, by name where there is one yet.
    pub node: Option<(NodeId, Option<String>)>,
    /// The device that it is for.
    pub device: Option<String>,
}

/// Which reservations are meant: by their addresses, or all for one holder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReservationRef {
    /// Of exactly these addresses.
    Addresses(Addresses),
    /// For the node with this id, the device with this id of its own, or the node with this name, the
    /// first that has any.
    For(String),
}

impl FromStr for ReservationRef {
    type Err = Fault;

    fn from_str(text: &str) -> Result<Self, Fault> {
        match text.parse() {
            Ok(addresses) => Ok(Self::Addresses(addresses)),
            Err(Fault::NotAddresses)
                if DeviceId::new(text).is_ok() || NodeName::new(text).is_ok() =>
            {
                Ok(Self::For(text.to_owned()))
            }
            Err(fault) => Err(fault),
        }
    }
}

impl Service {
    /// A network's reservations in the order of their addresses, IPv4 first, after the one that
    /// ends with this address, at most `limit`.
    ///
    /// # Errors
    /// [`Error::NotFound`], and those of access.
    pub async fn reservations(
        &self,
        context: Context,
        network: NetworkRef,
        after: Option<IpAddr>,
        limit: i64,
    ) -> Result<Vec<ReservationDetails>, Error> {
        self.read(move |tx, shared| {
            let (secrets, now) = (&shared.secrets, shared.now());
            let (_, network) =
                authorize(tx, secrets, &context, now, Action::ReadNetwork, Some(&network))?;
            let limit = usize::try_from(limit).unwrap_or_default();
            let found = self::after(tx, network.id, after, limit)?;
            details(tx, found)
        })
        .await
    }

    /// Reserves addresses of the network's prefixes.
    ///
    /// # Errors
    /// [`Error::Invalid`], [`Error::NotFound`], [`Error::Conflict`] where some are reserved
    /// already, [`Error::LeasesStand`], [`Error::IdempotencyKeyReused`], and those of access.
    pub async fn reserve(
        &self,
        context: Context,
        network: NetworkRef,
        (range, whom, note): (Addresses, ReservedTo, Option<Label>),
        repeat: Option<Repeat>,
    ) -> Result<Created<ReservationDetails>, Error> {
        self.exclusive(context, move |work| {
            let network = work.network(Action::ChangeNetwork, &network)?;
            let note = note.as_ref().map(Label::to_string);
            let range = range.of(&network)?;
            work.once(
                repeat.as_ref(),
                |work, place| {
                    let covering = reservation::covering(work.tx, network.id, address(place))?;
                    let missing = || Error::NotFound { kind: Kind::Reservation, name: None };
                    detail(work.tx, covering.ok_or_else(missing)?)
                },
                |work| {
                    let purpose = purpose(work, network.id, &whom)?;
                    let request = Reservation { range, purpose, note: note.clone() };
                    let actor = work.author.actor();
                    reservation::make(work.tx, work.now, &actor, network.id, &request)
                        .map_err(refusal)?;
                    Ok((place(range.first()), detail(work.tx, request)?, None))
                },
            )
        })
        .await
    }

    /// Lifts the reservation of exactly these addresses, in the form that it was made in or in that of
    /// its first and last one; or those for a holder.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Invalid`], and those of access.
    pub async fn unreserve(
        &self,
        context: Context,
        network: NetworkRef,
        which: ReservationRef,
    ) -> Result<(), Error> {
        let range = match which {
            ReservationRef::Addresses(range) => range,
            ReservationRef::For(holder) => {
                return self.unreserve_for(context, network, holder).await;
            }
        };
        let mut rest = Some(range);
        // Where much stands in it, each step lifts a part.
        while let Some(range) = rest {
            let network = network.clone();
            let lifted = self.exclusive(context.clone(), move |work| {
                let network = work.network(Action::ChangeNetwork, &network)?;
                let range = match range {
                    Addresses::Range(range) => range,
                    prefix @ Addresses::Prefix(_) => prefix.of(&network)?,
                };
                lift(work, network.id, range)
            });
            rest = lifted.await?.rest.map(Addresses::Range);
        }
        Ok(())
    }

    async fn unreserve_for(
        &self,
        context: Context,
        network: NetworkRef,
        holder: String,
    ) -> Result<(), Error> {
        self.exclusive(context, move |work| {
            let network = work.network(Action::ChangeNetwork, &network)?;
            for node in called(work.tx, network.id, &holder)? {
                let mut lifted = false;
                for family in [Family::V4, Family::V6] {
                    let owner = node.owner();
                    let pinned = reservation::pinned(work.tx, network.id, owner, family)?;
                    let Some(address) = pinned else { continue };
                    // One address is never lifted in parts.
                    let range = AddressRange::new(address, address);
                    let _ = lift(work, network.id, range.map_err(|_| damaged("reservation"))?)?;
                    lifted = true;
                }
                if lifted {
                    return Ok(());
                }
            }
            Err(Error::not_found(Kind::Reservation, &holder))
        })
        .await
    }
}

/// What addresses are reserved for, in the words of the allocation. A device that has not enrolled yet is
/// given the id of the node that it will have.
fn purpose(work: &mut Work<'_>, network: NetworkId, whom: &ReservedTo) -> Result<Purpose, Error> {
    let device = match whom {
        ReservedTo::Asking => return Ok(Purpose::Asking),
        ReservedTo::Nobody => return Ok(Purpose::Nobody),
        ReservedTo::Node(id) => {
            let found = node::by_id(work.tx, *id)?;
            let is_there =
                found.is_some_and(|it| it.network == network && it.state != NodeState::Released);
            return match is_there {
                true => Ok(Purpose::Owner(id.owner())),
                false => Err(Fault::NotInNetwork(Kind::Node).of(Field::Node)),
            };
        }
        ReservedTo::Device(device) => device.as_str(),
    };
    if let Some(node) = device_reservation::of_device(work.tx, network, device)? {
        return Ok(Purpose::Owner(node.owner()));
    }
    let present = node::by_device(work.tx, network, device)?;
    let node = present.map_or_else(NodeId::new, |node| node.id);
    device_reservation::insert(work.tx, network, device, node)?;
    work.record(Entry {
        network: Some(network),
        detail: json!({"device": device}),
        ..Entry::new("device.reserved", node.as_bytes())
    })?;
    Ok(Purpose::Owner(node.owner()))
}

/// The nodes that a holder of reservations may be called by this, the likeliest first.
fn called(
    tx: &mut dyn Transaction,
    network: NetworkId,
    holder: &str,
) -> Result<Vec<NodeId>, Error> {
    let mut nodes = vec![];
    if let Some(id) = as_id(holder) {
        nodes.push(NodeId::from(id));
    }
    nodes.extend(device_reservation::of_device(tx, network, holder)?);
    nodes.extend(node::by_device(tx, network, holder)?.map(|node| node.id));
    nodes.extend(node::by_name(tx, network, holder)?);
    Ok(nodes)
}

/// Lifts a reservation, or a part of it. A device is forgotten with the last of its own.
fn lift(
    work: &mut Work<'_>,
    network: NetworkId,
    range: AddressRange,
) -> Result<reservation::Lifted, Error> {
    let actor = work.author.actor();
    let lifted = reservation::remove(work.tx, work.now, &actor, network, range).map_err(refusal)?;
    if let Purpose::Owner(owner) = lifted.reservation.purpose {
        let v4 = reservation::pinned(work.tx, network, owner, Family::V4)?;
        if v4.or(reservation::pinned(work.tx, network, owner, Family::V6)?).is_none() {
            device_reservation::forget(work.tx, NodeId::from(owner.0))?;
        }
    }
    Ok(lifted)
}

fn detail(tx: &mut dyn Transaction, reservation: Reservation) -> Result<ReservationDetails, Error> {
    details(tx, vec![reservation])?.pop().ok_or_else(|| damaged("reservation"))
}

/// Reservations with those whom they are for.
pub(super) fn details(
    tx: &mut dyn Transaction,
    found: Vec<Reservation>,
) -> Result<Vec<ReservationDetails>, Error> {
    let node = |reservation: &Reservation| match reservation.purpose {
        Purpose::Owner(owner) => Some(NodeId::from(owner.0)),
        _ => None,
    };
    let nodes: Vec<NodeId> = found.iter().filter_map(node).collect();
    let names = node::names(tx, &nodes)?;
    let devices = device_reservation::of_nodes(tx, &nodes)?;
    let details = found.into_iter().map(|reservation| {
        let node = node(&reservation);
        let device = node.and_then(|node| devices.get(&node).cloned());
        let node = node.map(|node| (node, names.get(&node).cloned()));
        // A device that has not enrolled has no node yet.
        let node = node.filter(|(_, name)| device.is_none() || name.is_some());
        ReservationDetails { reservation, node, device }
    });
    Ok(details.collect())
}

/// A network's reservations in the order of their addresses, IPv4 first, after the one that ends with
/// this address, at most `limit`.
pub(super) fn after(
    tx: &mut dyn Transaction,
    network: NetworkId,
    after: Option<IpAddr>,
    limit: usize,
) -> Result<Vec<Reservation>, Error> {
    let mut found = vec![];
    for family in [Family::V4, Family::V6] {
        let first = match family {
            Family::V4 => IpAddr::from([0; 4]),
            Family::V6 => IpAddr::from([0; 16]),
        };
        let from = match after {
            None => first,
            Some(after) if Family::of(after) == family => after,
            Some(after) if Family::of(after) > family => continue,
            Some(_) => first,
        };
        // The one that ends there was answered before.
        let page = reservation::list(tx, network, from, limit + 1)?;
        found.extend(page.into_iter().filter(|kept| Some(kept.range.last()) != after));
    }
    found.truncate(limit);
    Ok(found)
}

/// An address as the 16 bytes by which a repeated request finds it; IPv4 as IPv6 writes it, which
/// no network has.
fn place(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
        IpAddr::V6(v6) => v6.octets(),
    }
}

fn address(place: [u8; 16]) -> IpAddr {
    IpAddr::from(place).to_canonical()
}
