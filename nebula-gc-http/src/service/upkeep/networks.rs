//! What is done for each network.

use nebula_alloc::lease::LeaseState;
use nebula_alloc::reclaim;
use nebula_alloc::store::Transaction;
use nebula_alloc::{NetworkId, lease};
use serde_json::json;

use super::{NAME, STEP, Stop, Upkeep};
use crate::error::time;
use crate::service::audit::Entry;
use crate::service::cas;
use crate::service::consistency::{self, Inconsistency};
use crate::service::core::Service;
use crate::service::nodes::named;
use crate::service::revision::move_revision;
use crate::store::blocklist::{self, Contained};
use crate::store::network::{self, Network};
use crate::store::{certificate, duty, node};
use crate::{CaStanding, Error, NetworkCa, NodeId};

/// How long expired entries of a blocklist may stay, in seconds: a day.
const PRUNE_AFTER: i64 = 86_400;
/// The check of all current certificates, as a duty.
const CONSISTENCY: &str = "soundness";
/// How often the current certificates are checked, in seconds: once a day.
const CHECK_EVERY: i64 = 86_400;
/// Telling which networks need another CA, as a duty.
const ENDING_CAS: &str = "ending CAs";
/// How often the log tells which networks need another CA, in seconds: once a day.
const EVERY_DAY: i64 = 86_400;
/// How many nodes one read checks.
const CHECKED: i64 = 100;
/// How many networks one read looks at.
const PAGE: i64 = 50;

/// What is to be done for a network.
struct Due {
    network: Network,
    /// Whether it has leases that have ended.
    ends: bool,
    prunes: bool,
    silent: Vec<NodeId>,
    /// Nodes that never report, and have had no certificate for long.
    ended: Vec<NodeId>,
    /// What every active node has applied.
    applied: i64,
}

impl Service {
    /// What fails for one network is told, and keeps nobody from the others. Fails with the last.
    pub(super) async fn keep_up_networks(&self, done: &mut Upkeep) -> Result<(), Stop> {
        let checks = self
            .read(|tx, shared| duty::is_due(tx, CONSISTENCY, shared.now(), CHECK_EVERY))
            .await?;
        let mut failed = None;
        let mut last = NetworkId::from([0; 16]);
        loop {
            let page = self
                .read(move |tx, shared| {
                    let now = shared.now();
                    let networks = network::after(tx, last, PAGE)?;
                    networks
                        .into_iter()
                        .map(|network| due(tx, network, now))
                        .collect::<Result<Vec<_>, _>>()
                })
                .await?;
            let Some(end) = page.last() else { break };
            last = end.network.id;
            for due in page {
                let network = due.network.id;
                match self.keep_up_network(due, checks, done).await {
                    Err(Stop::Failed(error)) => {
                        tracing::error!(%network, ?error, "maintenance of a network failed; retrying at the next pass");
                        failed = Some(Stop::Failed(error));
                    }
                    other => other?,
                }
            }
        }
        if checks {
            let instance = self.shared.instance.clone();
            self.chore(move |tx, now, _| {
                duty::done(tx, CONSISTENCY, &instance, now.saturating_add(CHECK_EVERY))
            })
            .await?;
        }
        failed.map_or(Ok(()), Err)
    }

    async fn keep_up_network(&self, due: Due, checks: bool, done: &mut Upkeep) -> Result<(), Stop> {
        if due.ends {
            self.end_leases(&due.network, done).await?;
        }
        if due.prunes {
            self.prune(due.network.id, done).await?;
        }
        self.release_those_silent(&due, done).await?;
        self.give_back_ended(&due, done).await?;
        self.end_ephemeral_nodes(due.network.id, done).await?;
        self.shorten_quarantines(&due, done).await?;
        if checks {
            self.check_certificates(due.network, done).await?;
        }
        Ok(())
    }

    /// Leases that end by themselves; the control plane gives out none, but may hold some.
    async fn end_leases(&self, network: &Network, done: &mut Upkeep) -> Result<(), Stop> {
        let (id, hold) = (network.id, network.hold_seconds);
        let ended = self
            .chore(move |tx, now, author| {
                Ok(reclaim::expire(tx, now, &author.actor(), id, hold, usize::from(STEP))?.len())
            })
            .await?;
        done.ended += u64::try_from(ended).unwrap_or(u64::MAX);
        Ok(())
    }

    async fn prune(&self, id: NetworkId, done: &mut Upkeep) -> Result<(), Stop> {
        let pruned = self
            .chore(move |tx, now, author| {
                if !blocklist::any_expired(tx, id, now.saturating_sub(PRUNE_AFTER))? {
                    return Ok(false);
                }
                // Whatever moves the revision takes them along.
                let revision = move_revision(tx, id, now)?;
                author.record(
                    tx,
                    now,
                    Entry {
                        network: Some(id),
                        detail: json!({"revision": revision.0}),
                        ..Entry::new("blocklist.pruned", id.as_bytes())
                    },
                )?;
                Ok(true)
            })
            .await?;
        done.pruned += u64::from(pruned);
        Ok(())
    }

    async fn release_those_silent(&self, due: &Due, done: &mut Upkeep) -> Result<(), Stop> {
        let Some(seconds) = due.network.silence_seconds else { return Ok(()) };
        for &node in &due.silent {
            let Some(since) = self.heard_for(seconds).await? else { return Ok(()) };
            done.silent += u64::from(self.release_silent(node, since).await?);
        }
        Ok(())
    }

    /// Releases nodes that never report, some time after their last certificate has ended.
    async fn give_back_ended(&self, due: &Due, done: &mut Upkeep) -> Result<(), Stop> {
        let Some(seconds) = due.network.give_back_seconds else { return Ok(()) };
        for &node in &due.ended {
            let Some(since) = self.heard_for(seconds).await? else { return Ok(()) };
            done.given_back += u64::from(self.give_back(node, since).await?);
        }
        Ok(())
    }

    /// Releases nodes that were silent for as long as the join token said that they came with.
    async fn end_ephemeral_nodes(&self, network: NetworkId, done: &mut Upkeep) -> Result<(), Stop> {
        let mut last = NodeId::from([0; 16]);
        loop {
            let page = self
                .read(move |tx, shared| {
                    let now = shared.now();
                    let Some(up) = duty::since(tx, NAME)? else { return Ok(vec![]) };
                    let times = (now, now.saturating_sub(up));
                    node::overdue(tx, network, last, times, i64::from(STEP))
                })
                .await?;
            for &node in &page {
                let Some(up) = self.chore(|tx, _, _| duty::since(tx, NAME)).await? else {
                    continue;
                };
                done.ephemeral += u64::from(self.end_ephemeral(node, up).await?);
            }
            match page.last() {
                Some(end) if page.len() >= usize::from(STEP) => last = *end,
                _ => return Ok(()),
            }
        }
    }

    /// When so many seconds began, where some instance was there all the while: who could not be heard
    /// was not silent. The duty is renewed with it.
    async fn heard_for(&self, seconds: i64) -> Result<Option<i64>, Stop> {
        self.chore(move |tx, now, _| {
            let since = now.saturating_sub(seconds);
            let heard = duty::since(tx, NAME)?.is_some_and(|up| up <= since);
            Ok(heard.then_some(since))
        })
        .await
    }

    /// Ends quarantines of released nodes, and of addresses that nodes have left, earlier once every
    /// active node has applied that their certificates are blocked.
    async fn shorten_quarantines(&self, due: &Due, done: &mut Upkeep) -> Result<(), Stop> {
        let (id, applied) = (due.network.id, due.applied);
        let from = self.progress.shortened(id);
        if due.network.hold_alone || applied <= from {
            return Ok(());
        }
        let mut reached = applied.min(due.network.revision.0);
        // After all entries of that revision: no fingerprint is longer.
        let mut last = (from, vec![u8::MAX; 33]);
        loop {
            let page = self
                .read(move |tx, shared| {
                    let (now, (revision, fingerprint)) = (shared.now(), &last);
                    let last = (*revision, fingerprint.as_slice());
                    blocklist::contained(tx, id, last, applied, now, i64::from(STEP))
                })
                .await?;
            let Some(Contained { entry: (revision, fingerprint), .. }) = page.last() else { break };
            last = (*revision, fingerprint.as_bytes().to_vec());
            let hold = due.network.hold_seconds;
            let (shortened, applied) = self
                .chore(move |tx, now, author| {
                    // A node may have come since that has applied nothing yet.
                    let applied = node::applied_by_all(tx, id)?.unwrap_or(i64::MAX);
                    let mut shortened = 0;
                    for Contained { node, .. } in page.iter().filter(|it| it.since <= applied) {
                        if names_what_it_left(tx, id, *node, now)? {
                            continue;
                        }
                        let moved =
                            lease::shorten_hold(tx, now, &author.actor(), id, node.owner(), hold)?;
                        shortened += u64::from(moved > 0);
                    }
                    Ok((shortened, applied))
                })
                .await?;
            done.shortened += shortened;
            reached = reached.min(applied);
        }
        self.progress.note_shortened(id, reached.max(from));
        Ok(())
    }

    async fn check_certificates(&self, network: Network, done: &mut Upkeep) -> Result<(), Stop> {
        let id = network.id;
        let mut last = NodeId::from([0; 16]);
        loop {
            let (unsound, end) = self
                .read(move |tx, _| {
                    // As it is in this snapshot.
                    match network::by_id(tx, id)? {
                        Some(network) => consistency::check(tx, &network, last, CHECKED),
                        None => Ok((vec![], None)),
                    }
                })
                .await?;
            for found in unsound {
                let is_new = self.note_inconsistency(id, found).await?;
                done.unsound += u64::from(is_new);
            }
            match end {
                Some(end) => last = end,
                None => return Ok(()),
            }
        }
    }

    async fn note_inconsistency(
        &self,
        network: NetworkId,
        found: Inconsistency,
    ) -> Result<bool, Stop> {
        let Inconsistency { certificate, node, reason } = found;
        tracing::error!(%network, %node, %certificate, reason, "an issued certificate contradicts what is stored");
        self.chore(move |tx, now, author| {
            let is_new = certificate::mark_unsound(tx, certificate, now)?;
            if is_new {
                author.record(
                    tx,
                    now,
                    Entry {
                        network: Some(network),
                        detail: json!({"certificate": certificate.to_string(), "reason": reason}),
                        ..Entry::new("certificate.unsound", node.as_bytes())
                    },
                )?;
            }
            Ok(is_new)
        })
        .await
    }

    /// Logs which networks need another CA.
    pub(super) async fn tell_of_cas(&self) -> Result<(), Stop> {
        let ending = self
            .read(|tx, shared| {
                let now = shared.now();
                if !duty::is_due(tx, ENDING_CAS, now, EVERY_DAY)? {
                    return Ok(None);
                }
                cas::ending(tx, now).map(Some)
            })
            .await?;
        let Some(ending) = ending else { return Ok(()) };
        let instance = self.shared.instance.clone();
        self.chore(move |tx, now, _| {
            duty::done(tx, ENDING_CAS, &instance, now.saturating_add(EVERY_DAY))
        })
        .await?;
        for (NetworkCa { fingerprint, not_after, standing, .. }, network) in ending {
            if standing == CaStanding::Expired {
                let expired = Error::CaExpired { network, at: not_after };
                tracing::error!(%fingerprint, "{expired}");
                continue;
            }
            tracing::warn!(
                network,
                %fingerprint,
                not_after = time(not_after),
                "this network's CA ends soon, and with it every certificate; add another: \
                 nebula-gc admin networks add-ca"
            );
        }
        Ok(())
    }
}

/// Whether an address that an active node has left is named by a certificate of it that is neither
/// blocked nor ended.
fn names_what_it_left(
    tx: &mut dyn Transaction,
    network: NetworkId,
    id: NodeId,
    now: i64,
) -> Result<bool, Error> {
    let mut leases = lease::by_owner(tx, network, id.owner())?;
    leases.retain(|lease| lease.state == LeaseState::Quarantined);
    if leases.is_empty() {
        return Ok(false);
    }
    let named = named(&certificate::accepted(tx, id, now)?);
    Ok(leases.iter().any(|lease| named.contains(&lease.address)))
}

fn due(tx: &mut dyn Transaction, network: Network, now: i64) -> Result<Due, Error> {
    let silent = match network.silence_seconds {
        Some(seconds) => {
            node::silent(tx, network.id, now.saturating_sub(seconds), i64::from(STEP))?
        }
        None => vec![],
    };
    let ended = match network.give_back_seconds {
        Some(seconds) => node::ended(tx, network.id, now.saturating_sub(seconds), i64::from(STEP))?,
        None => vec![],
    };
    Ok(Due {
        ends: reclaim::any_ended(tx, now, network.id)?,
        prunes: blocklist::any_expired(tx, network.id, now.saturating_sub(PRUNE_AFTER))?,
        ended: ended.into_iter().map(|node| node.id).collect(),
        silent: silent.into_iter().map(|node| node.id).collect(),
        applied: node::applied_by_all(tx, network.id)?.unwrap_or(i64::MAX),
        network,
    })
}
