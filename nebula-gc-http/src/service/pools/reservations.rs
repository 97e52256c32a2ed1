//! Reservations: addresses that are not given to whoever comes next.

use std::net::IpAddr;

use nebula_alloc::reservation::{self, Purpose, Reservation};
use nebula_alloc::store::Transaction;
use nebula_alloc::{Family, NetworkId};

use super::{Addresses, refusal};
use crate::error::{Fault, Field, Kind};
use crate::service::access::authorize;
use crate::service::context::Context;
use crate::service::core::Service;
use crate::service::exclusive::{Created, Repeat};
use crate::service::principal::Action;
use crate::store::node::{self, NodeState};
use crate::{Error, Label, NetworkRef, NodeId};

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
    ) -> Result<Vec<Reservation>, Error> {
        self.read(move |tx, shared| {
            let (secrets, now) = (&shared.secrets, shared.now());
            let (_, network) =
                authorize(tx, secrets, &context, now, Action::ReadNetwork, Some(&network))?;
            let limit = usize::try_from(limit).unwrap_or_default();
            self::after(tx, network.id, after, limit)
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
        (range, purpose, note): (Addresses, Purpose, Option<Label>),
        repeat: Option<Repeat>,
    ) -> Result<Created<Reservation>, Error> {
        self.exclusive(context, move |work| {
            let network = work.network(Action::ChangeNetwork, &network)?;
            let note = note.as_ref().map(Label::to_string);
            let request = Reservation { range: range.of(&network)?, purpose, note };
            work.once(
                repeat.as_ref(),
                |work, place| {
                    let covering = reservation::covering(work.tx, network.id, address(place))?;
                    covering.ok_or(Error::NotFound { kind: Kind::Reservation, name: None })
                },
                |work| {
                    if let Purpose::Owner(owner) = request.purpose {
                        let found = node::by_id(work.tx, NodeId::from(owner.0))?;
                        let of_network = found.filter(|node| {
                            node.network == network.id && node.state != NodeState::Released
                        });
                        if of_network.is_none() {
                            return Err(Fault::NotInNetwork(Kind::Node).of(Field::Node));
                        }
                    }
                    let actor = work.author.actor();
                    reservation::make(work.tx, work.now, &actor, network.id, &request)
                        .map_err(refusal)?;
                    Ok((place(request.range.first()), request.clone(), None))
                },
            )
        })
        .await
    }

    /// Lifts the reservation of exactly these addresses, in the form that it was made in or in that of
    /// its first and last one.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Invalid`], and those of access.
    pub async fn unreserve(
        &self,
        context: Context,
        network: NetworkRef,
        range: Addresses,
    ) -> Result<(), Error> {
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
                reservation::remove(work.tx, work.now, &work.author.actor(), network.id, range)
                    .map_err(refusal)
            });
            rest = lifted.await?.rest.map(Addresses::Range);
        }
        Ok(())
    }
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
