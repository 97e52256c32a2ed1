//! What is left of deleted networks.

use super::{STEP, Stop, Upkeep};
use crate::service::core::Service;
use crate::service::networks::delete::remove_some;
use crate::store::{ca, deleted_network, network};

/// For how long who comes with a credential of a deleted network is told so, in seconds: a year.
const REMEMBERED: i64 = 365 * 86_400;
/// How long after its end a certificate's fingerprint is remembered, in seconds: two days, longer than any
/// blocklist has it.
const KEPT: i64 = 2 * 86_400;

impl Service {
    /// Removes the rows of deleted networks, whoever began with it.
    pub(super) async fn remove_deleted(&self, done: &mut Upkeep) -> Result<(), Stop> {
        while let Some(network) = self.read(|tx, _| deleted_network::next(tx)).await? {
            let remove = move |tx: &mut dyn nebula_alloc::store::Transaction, now, author: &_| {
                remove_some(tx, now, author, network)
            };
            while self.chore(remove).await? {}
            tracing::info!(%network, "removed a deleted network's rows");
            done.removed += 1;
        }
        loop {
            let more = self
                .chore(|tx, now, _| {
                    let before = (now.saturating_sub(KEPT), now.saturating_sub(REMEMBERED));
                    deleted_network::forget(tx, before, i64::from(STEP))
                })
                .await?;
            if !more {
                return Ok(());
            }
        }
    }

    /// Drops what this process has in memory of CAs and networks that are gone, whichever server did it: keys and
    /// what bundles share.
    pub(super) async fn drop_what_is_gone(&self) -> Result<(), Stop> {
        let (cas, networks) = (self.shared.authorities.ids(), self.views.networks());
        let (cas, networks) = self
            .read(move |tx, _| {
                let mut gone = (vec![], vec![]);
                for id in cas {
                    if !ca::is_usable(tx, id)? {
                        gone.0.push(id);
                    }
                }
                for (id, marks) in networks.iter().zip(network::marks(tx, &networks)?) {
                    if marks.is_none() {
                        gone.1.push(*id);
                    }
                }
                Ok(gone)
            })
            .await?;
        cas.into_iter().for_each(|id| self.shared.authorities.forget(id));
        networks.into_iter().for_each(|id| self.views.forget(id));
        Ok(())
    }
}
