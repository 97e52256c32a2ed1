//! Deleting a network: at once for everybody, and its rows in steps.
//!
//! The step that [deletes](Service::delete_network) it takes its name, its CAs' keys and all that its credentials
//! permit. What is left are rows, which are removed by whoever comes to it: this request for a few seconds, then
//! the maintenance of any server.

use std::sync::Arc;
use std::time::Duration;

use nebula_alloc::store::Transaction;
use nebula_alloc::{NetworkId, removal};
use serde_json::json;
use tokio::time::Instant;

use crate::error::Conflict;
use crate::service::audit::{Author, Entry};
use crate::service::context::Context;
use crate::service::core::Service;
use crate::service::exclusive_step::Exclusive;
use crate::service::precondition::Expected;
use crate::service::principal::Action;
use crate::store::{deleted_network, node};
use crate::{Error, NetworkRef};

/// How many names a refusal gives.
const NAMED: usize = 100;
/// For how long the request itself removes rows.
const PATIENCE: Duration = Duration::from_secs(5);
/// How many rows one step removes of what has certificates or leases, and of what has not: some milliseconds.
const ROWS: u8 = 32;
const LEAVES: u8 = 100;

/// How a network is to be deleted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Deletion {
    /// Although nodes are active in it.
    pub is_forced: bool,
    /// Only tell what would happen.
    pub is_dry_run: bool,
}

/// A network that was deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deleted {
    /// Its id.
    pub id: NetworkId,
    /// What it was called.
    pub name: String,
    /// How many nodes were active in it.
    pub nodes: u64,
    /// Whether nothing is left to remove; else servers go on with that.
    pub is_removed: bool,
}

impl Service {
    /// Deletes a network with all that it has, for good. From the answer on it is there for nobody: its nodes and
    /// join tokens are refused with [`Error::NetworkDeleted`], its operator keys are revoked, its CAs' keys are
    /// gone, and another network may have its name. Its events stay.
    ///
    /// # Errors
    /// [`Error::NodesActive`] where nodes are active and it is not forced, [`Error::Precondition`],
    /// [`Error::NotFound`], also when it is repeated, and those of access.
    pub async fn delete_network(
        &self,
        context: Context,
        name: NetworkRef,
        expected: Expected,
        deletion: Deletion,
    ) -> Result<Deleted, Error> {
        let author_of = context.clone();
        let (deleted, cas, author) = self
            .exclusive(context, move |work| {
                let network = work.network(Action::DeleteNetwork, &name)?;
                expected.check(&network.tag())?;
                let nodes = node::count_active(work.tx, network.id)?;
                if nodes > 0 && !deletion.is_forced {
                    let limit = i64::try_from(NAMED).unwrap_or(i64::MAX);
                    let names = node::active_names(work.tx, network.id, limit)?;
                    return Err(Error::NodesActive { nodes: names, count: nodes });
                }
                let author = author_of.author(work.author.name());
                let (id, name) = (network.id, network.name.clone());
                let deleted = Deleted { id, name, nodes, is_removed: false };
                if deletion.is_dry_run {
                    return Ok((deleted, vec![], author));
                }
                let cas = deleted_network::mark(work.tx, &network, work.now)?;
                let cas = cas.ok_or(Conflict::ChangedMeanwhile)?;
                work.record(Entry {
                    network: Some(id),
                    detail: json!({"name": network.name, "nodes": nodes}),
                    ..Entry::new("network.deleted", id.as_bytes())
                })?;
                Ok((deleted, cas, author))
            })
            .await?;
        if deletion.is_dry_run {
            return Ok(deleted);
        }
        cas.into_iter().for_each(|ca| self.shared.authorities.forget(ca));
        self.views.forget(deleted.id);
        let is_removed = self.remove_rows(deleted.id, Arc::new(author)).await;
        Ok(Deleted { is_removed, ..deleted })
    }

    /// Removes rows of a deleted network for a while. Answers whether none is left.
    async fn remove_rows(&self, network: NetworkId, author: Arc<Author>) -> bool {
        let end = Instant::now() + PATIENCE;
        while Instant::now() < end {
            let author = Arc::clone(&author);
            let remove =
                move |tx: &mut dyn Transaction, now| remove_some(tx, now, &author, network);
            match self.write(Exclusive::new(remove)).await {
                Ok(true) => {}
                Ok(false) => return true,
                Err(error) => {
                    tracing::warn!(%network, %error, "removing a deleted network's rows failed; maintenance goes on with it");
                    return false;
                }
            }
        }
        false
    }
}

/// Removes some rows of a deleted network, those first that others refer to last. Answers whether there may be
/// more; of a network of which nothing is left, there is not.
pub(in crate::service) fn remove_some(
    tx: &mut dyn Transaction,
    now: i64,
    author: &Author,
    network: NetworkId,
) -> Result<bool, Error> {
    if !deleted_network::is_left(tx, network)? {
        return Ok(false);
    }
    let (rows, leaves) = (i64::from(ROWS), i64::from(LEAVES));
    let more = deleted_network::remove_leaves(tx, network, now, leaves)?
        || deleted_network::remove_certificates(tx, network, now, rows)?
        || removal::remove(tx, now, &author.actor(), network, usize::from(ROWS))?
        || deleted_network::remove_nodes(tx, network, now, rows)?;
    if !more {
        deleted_network::remove_last(tx, network, now)?;
    }
    Ok(more)
}
