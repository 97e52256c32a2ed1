//! The long poll: a node asks, and is answered as soon as it is to have another bundle.

use std::time::Duration;

use nebula_alloc::store::Transaction;

use super::context::Context;
use super::core::Service;
use super::shared::Shared;
use super::shared::heard;
use super::views::Desired;
use super::waiting::{News, Standing};
use crate::Error;
use crate::error::Unavailable;
use crate::store::network;
use crate::store::node::Node;

impl Standing {
    fn read(tx: &mut dyn Transaction, shared: &Shared, context: &Context) -> Result<Self, Error> {
        let Node { id, network, token, generation, .. } = heard(tx, shared, context)?;
        let marks = network::marks(tx, &[network])?.into_iter().next().flatten();
        let marks = marks.ok_or(Unavailable::Missing { what: "the node's network" })?;
        Ok(Self {
            node: id,
            network,
            token: token.as_ref().map_or([0; 32], |token| token.hash),
            marks,
            desired: Desired { revision: marks.revision.0, generation: generation.0 },
        })
    }
}

impl Service {
    /// Waits until the caller's node is to have another bundle than the one it has `seen`, and
    /// answers of what that is; nothing when that did not happen for so long.
    ///
    /// # Errors
    /// [`Error::NodeKeptOut`] and those of access, also as soon as they begin to apply, and
    /// [`Error::RateLimited`] for a node that polls too often at a time.
    pub async fn watch(
        &self,
        context: Context,
        seen: Desired,
        longest: Duration,
    ) -> Result<Option<Desired>, Error> {
        let standing = self.standing(&context).await?;
        if standing.desired != seen {
            return Ok(Some(standing.desired));
        }
        let mut ticket = self.watch.waiting().enter(&standing, seen)?;
        match tokio::time::timeout(longest, &mut ticket.news).await {
            Err(_) => Ok(None),
            Ok(Ok(News::Moved(now))) => Ok(Some(now)),
            // The sender is gone only when the service is.
            Ok(Ok(News::Doubted) | Err(_)) => {
                let now = self.standing(&context).await?.desired;
                Ok((now != seen).then_some(now))
            }
        }
    }

    /// How many polls wait now.
    #[must_use]
    pub fn waiting_polls(&self) -> usize {
        let state = self.watch.waiting().lock();
        let nodes = state.networks.values().flat_map(|watched| watched.nodes.values());
        nodes.map(Vec::len).sum()
    }

    async fn standing(&self, context: &Context) -> Result<Standing, Error> {
        let context = context.clone();
        self.read(move |tx, shared| Standing::read(tx, shared, &context)).await
    }
}
