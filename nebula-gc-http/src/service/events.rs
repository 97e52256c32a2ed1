//! The audit log, read.

use nebula_alloc::event::Event;

use super::access::authorize;
use super::context::Context;
use super::core::Service;
use super::principal::{Action, Principal};
use crate::store::event::{self, EventFilter};
use crate::store::event_names::{self, EventNames};
use crate::store::operator_key::Scope;
use crate::{Error, NetworkRef};

/// An event with its number in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NumberedEvent {
    /// Later ones have higher numbers; some are never used.
    pub id: i64,
    /// What happened.
    pub event: Event,
    /// The names of what it is about.
    pub names: EventNames,
}

/// A page of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventPage {
    /// The events.
    pub events: Vec<NumberedEvent>,
    /// After which event to go on, where looking ended before the log did and before there were as many
    /// as were asked for.
    pub go_on: Option<i64>,
}

impl Service {
    /// Events of one network, or of all that the caller sees; those that are of no network are for
    /// root operators. From the one after `after` on, at most `limit`.
    ///
    /// # Errors
    /// [`Error::NotFound`], and those of access.
    pub async fn events(
        &self,
        context: Context,
        network: Option<NetworkRef>,
        filter: EventFilter,
        after: Option<i64>,
        limit: i64,
    ) -> Result<EventPage, Error> {
        let scope = self.read(move |tx, shared| {
            let (secrets, now) = (&shared.secrets, shared.now());
            Ok(match network {
                Some(network) => {
                    let network =
                        authorize(tx, secrets, &context, now, Action::ReadEvents, Some(&network))?
                            .1;
                    Scope::Network(network.id)
                }
                None => {
                    let principal = Principal::authenticate(tx, secrets, &context, now)?;
                    principal.permit(Action::ReadEvents)?;
                    principal.scope()
                }
            })
        });
        let scope = scope.await?;
        // A snapshot of its own, so that it can be asked up to where its events are complete.
        self.read(move |tx, _| {
            let found = event::search(tx, scope, &filter, after, limit)?;
            let (ids, events): (Vec<_>, Vec<_>) = found.events.into_iter().unzip();
            let names = event_names::of(tx, &events)?;
            let events = ids.into_iter().zip(events).zip(names);
            let events = events.map(|((id, event), names)| NumberedEvent { id, event, names });
            Ok(EventPage { events: events.collect(), go_on: found.go_on })
        })
        .await
    }
}
