//! A node reports which revision and generation it has applied.

use std::sync::Arc;

use nebula_alloc::lease::Lease;
use nebula_alloc::store::{Subject, Transaction};
use nebula_alloc::writer::{Planned, Step};

use crate::Error;
use crate::error::{Fault, Field};
use crate::service::audit::Author;
use crate::service::context::Context;
use crate::service::core::Service;
use crate::service::principal::Principal;
use crate::service::revocation::block_replaced;
use crate::service::shared::Shared;
use crate::service::shared::{active_node, heard};
use crate::service::views::Desired;
use crate::store::network::{self, Revision};
use crate::store::node::{self, Generation, Node};

impl Service {
    /// Notes what the caller's node has applied. What it reported once stays reported.
    ///
    /// # Errors
    /// [`Error::Invalid`] for what does not exist yet, [`Error::NodeKeptOut`] and those of
    /// access.
    pub async fn report(&self, context: Context, applied: Desired) -> Result<(), Error> {
        let device = self.own_device(&context).await?;
        let shared = Arc::clone(&self.shared);
        self.write(Reporting { shared, context, device, applied }).await
    }

    /// What a change of the caller's node is about.
    pub(in crate::service) async fn own_device(&self, context: &Context) -> Result<String, Error> {
        let context = context.clone();
        self.read(move |tx, shared| heard(tx, shared, &context).map(|node| node.device)).await
    }
}

struct Reporting {
    shared: Arc<Shared>,
    context: Context,
    device: String,
    applied: Desired,
}

impl Step for Reporting {
    type Plan = (Author, Node);
    type Output = ();
    type Error = Error;

    fn subject(&self) -> Subject {
        Subject::Key(self.device.as_str().into())
    }

    fn plan(
        &mut self,
        tx: &mut dyn Transaction,
        now: i64,
    ) -> Result<Planned<(Author, Node)>, Error> {
        let principal = Principal::authenticate(tx, &self.shared.secrets, &self.context, now)?;
        let node = active_node(&principal)?;
        let marks = network::marks(tx, &[node.network])?.into_iter().next().flatten();
        let revision = marks.map_or(0, |marks| marks.revision.0);
        for (field, said, current) in [
            (Field::Revision, self.applied.revision, revision),
            (Field::Generation, self.applied.generation, node.generation.0),
        ] {
            if !(0..=current).contains(&said) {
                return Err(Fault::NotYet { last: current }.of(field));
            }
        }
        let author = self.context.author(principal.actor());
        Ok(Planned::without_addresses((author, node.clone())))
    }

    fn write(
        &mut self,
        tx: &mut dyn Transaction,
        now: i64,
        (author, node): (Author, Node),
        _: &[Lease],
    ) -> Result<(), Error> {
        let Desired { revision, generation } = self.applied;
        node::report(tx, node.id, Revision(revision), Generation(generation), now)?;
        if node.applied.generation < generation && generation == node.generation.0 {
            // It has its newer certificate; one with a former key is of no use to it any more.
            block_replaced(tx, now, &author, &node)?;
        }
        Ok(())
    }
}
