//! A node replaces its own token.

use std::sync::Arc;

use nebula_alloc::lease::Lease;
use nebula_alloc::store::{Subject, Transaction};
use nebula_alloc::writer::{Planned, Step};

use crate::Error;
use crate::error::Conflict;
use crate::secret::Bearer;
use crate::service::audit::{Author, Entry};
use crate::service::context::Context;
use crate::service::core::Service;
use crate::service::principal::Principal;
use crate::service::shared::{Shared, active_node};
use crate::store::network;
use crate::store::node::{self, Node};

impl Service {
    /// Replaces the caller's own node token: the old one fails from this commit on. Who asks again
    /// does so under the new one, and changes nothing.
    ///
    /// # Errors
    /// [`Error::Conflict`] where another node has it, [`Error::NodeKeptOut`] and those of access.
    pub async fn rotate_own_token(&self, context: Context, token: Bearer) -> Result<(), Error> {
        let device = self.own_device(&context).await?;
        let shared = Arc::clone(&self.shared);
        self.write(Rotating { shared, context, device, token }).await
    }
}

struct Rotating {
    shared: Arc<Shared>,
    context: Context,
    device: String,
    token: Bearer,
}

impl Step for Rotating {
    /// The node as it is; none where it has this token already.
    type Plan = (Author, Option<Node>);
    type Output = ();
    type Error = Error;

    fn subject(&self) -> Subject {
        Subject::Key(self.device.as_str().into())
    }

    fn plan(&mut self, tx: &mut dyn Transaction, now: i64) -> Result<Planned<Self::Plan>, Error> {
        let secrets = &self.shared.secrets;
        let principal = Principal::authenticate(tx, secrets, &self.context, now)?;
        let own = active_node(&principal)?;
        let mut changes = true;
        for hashed in secrets.hashes(&self.token) {
            match node::by_token(tx, &hashed)? {
                Some(node) if node.id == own.id => changes = false,
                Some(_) => {
                    return Err(Conflict::NodeTokenTaken.into());
                }
                None => {}
            }
        }
        let author = self.context.author(principal.actor());
        Ok(Planned::without_addresses((author, changes.then(|| own.clone()))))
    }

    fn write(
        &mut self,
        tx: &mut dyn Transaction,
        now: i64,
        (author, node): Self::Plan,
        _: &[Lease],
    ) -> Result<(), Error> {
        let Some(node) = node else { return Ok(()) };
        node::replace_token(tx, &node, &self.shared.secrets.hash(&self.token)?, now)?;
        // Polls under the old token end on every instance.
        network::note_move(tx, node.network)?;
        let entry = Entry {
            network: Some(node.network),
            ..Entry::new("node.token_rotated", node.id.as_bytes())
        };
        author.record(tx, now, entry)
    }
}
