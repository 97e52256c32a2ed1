//! What was done under a time that proves wrong is undone (rule 12 of the design), as far as safety
//! needs it: a certificate that is still valid and may not be used is in the blocklist.
//!
//! A clock that was ahead lets certificates expire, and takes them from the blocklist. That it was, a
//! duty tells that was taken at a time that is still to come; and once a day it is looked for
//! without that.

use std::collections::BTreeMap;

use nebula_alloc::store::Transaction;
use nebula_pki::Fingerprint;
use serde_json::json;

use super::{NAME, Stop, TERM, Upkeep};
use crate::Error;
use crate::service::audit::{Author, Entry};
#[cfg(feature = "server")]
use crate::service::context::Context;
use crate::service::core::Service;
use crate::service::revision::move_revision;
use crate::service::update::BLOCKED_AFTER;
use crate::store::certificate::{self, Unblocked};
#[cfg(feature = "server")]
use crate::store::event;
use crate::store::{blocklist, duty, node};

/// The look for what is no longer blocked, as a duty.
const UNDOING: &str = "wrong time";
/// How often it is looked for without a reason, in seconds: once a day.
const LOOK_EVERY: i64 = 86_400;
/// How many certificates one step takes on.
const STEP: usize = 64;
/// How many certificates one read finds.
const FOUND: i64 = 10_000;
/// How many events one read looks through.
#[cfg(feature = "server")]
const PAGE: i64 = 1_024;

impl Service {
    pub(super) async fn undo_wrong_time(&self, done: &mut Upkeep) -> Result<(), Stop> {
        let (looks, ended) = self
            .read(|tx, shared| {
                let now = shared.now();
                let looks = duty::is_ahead(tx, NAME, now, TERM)?
                    || duty::is_due(tx, UNDOING, now, LOOK_EVERY)?;
                Ok((looks, !certificate::revived(tx, now, 1)?.is_empty()))
            })
            .await?;
        if looks {
            // The duty that told it is taken anew with the first step: what it told is kept here.
            self.chore(|tx, now, _| {
                certificate::block_no_later(tx, now.saturating_add(BLOCKED_AFTER))?;
                duty::forget(tx, UNDOING)
            })
            .await?;
        }
        if looks || ended {
            let before = done.undone;
            while note(done, self.chore(|tx, now, _| revive(tx, now)).await?) {}
            if done.undone > before {
                let certificates = done.undone.saturating_sub(before);
                tracing::warn!(
                    certificates,
                    "certificates marked as expired are still valid, because a clock was ahead; \
                     marked as issued again"
                );
            }
            self.block_again(done).await?;
        }
        if looks {
            let instance = self.shared.instance.clone();
            self.chore(move |tx, now, _| {
                duty::done(tx, UNDOING, &instance, now.saturating_add(LOOK_EVERY))
            })
            .await?;
        }
        Ok(())
    }

    async fn block_again(&self, done: &mut Upkeep) -> Result<(), Stop> {
        let before = done.undone;
        let blocking = self.block_all(done).await;
        match done.undone.saturating_sub(before) {
            0 => {}
            certificates => tracing::warn!(
                certificates,
                "revoked certificates are still valid and were not blocked, because a clock was \
                 ahead; blocked again"
            ),
        }
        blocking
    }

    async fn block_all(&self, done: &mut Upkeep) -> Result<(), Stop> {
        loop {
            let found = self
                .read(|tx, shared| certificate::revoked_and_not_blocked(tx, shared.now(), FOUND))
                .await?;
            let before = done.undone;
            if found.is_empty() {
                return Ok(());
            }
            for part in found.chunks(STEP) {
                let part = part.to_vec();
                let blocked = self.chore(move |tx, now, author| block(tx, now, author, &part));
                note(done, blocked.await?);
            }
            if done.undone == before {
                // Somebody else has blocked them meanwhile.
                return Ok(());
            }
        }
    }
}

/// Whether there was something to undo.
fn note(done: &mut Upkeep, undone: u64) -> bool {
    done.undone = done.undone.saturating_add(undone);
    undone > 0
}

/// Undoes all in one transaction, for a database that nobody else writes to. Answers how many
/// certificates it found.
#[cfg(feature = "server")]
pub(crate) fn repair(tx: &mut dyn Transaction, now: i64, by: &str) -> Result<u64, Error> {
    let now = event::time(tx, now)?;
    let (author, mut repaired) = (Context::local().author(by), 0_u64);
    certificate::block_no_later(tx, now.saturating_add(BLOCKED_AFTER))?;
    revoke_told(tx)?;
    loop {
        let mut found = revive(tx, now)?;
        let open = certificate::revoked_and_not_blocked(tx, now, FOUND)?;
        for part in open.chunks(STEP) {
            // Each move is a change of its own.
            let author = Context::local().author(author.name());
            found = found.saturating_add(block(tx, now, &author, part)?);
        }
        if found == 0 {
            return Ok(repaired);
        }
        repaired = repaired.saturating_add(found);
    }
}

/// What events tell to have been blocked, and no row of the ledger tells to have been taken away, is
/// taken away: so older versions left it.
#[cfg(feature = "server")]
fn revoke_told(tx: &mut dyn Transaction) -> Result<(), Error> {
    let mut last = 0;
    loop {
        let page = event::stored(tx, last, PAGE)?;
        let Some((end, _)) = page.last() else { return Ok(()) };
        last = *end;
        for (_, event) in page {
            let detail = event.detail.as_deref().map(serde_json::from_str::<EventDetail>);
            let detail = detail.and_then(Result::ok).unwrap_or_default();
            for fingerprint in detail.blocked.iter().filter_map(|text| text.parse().ok()) {
                certificate::revoke_one(tx, &fingerprint)?;
            }
        }
    }
}

/// The detail of an event that blocked certificates.
#[cfg(feature = "server")]
#[derive(Default, serde::Deserialize)]
#[serde(default)]
struct EventDetail {
    blocked: Vec<String>,
}

fn revive(tx: &mut dyn Transaction, now: i64) -> Result<u64, Error> {
    let mut revived = 0_u64;
    let limit = i64::try_from(STEP).unwrap_or(i64::MAX);
    for id in certificate::revived(tx, now, limit)? {
        if let Some(node) = node::by_id(tx, id)? {
            revived = revived.saturating_add(certificate::revive(tx, &node, now)?);
        }
    }
    Ok(revived)
}

/// Blocks those that are not blocked meanwhile.
fn block(
    tx: &mut dyn Transaction,
    now: i64,
    author: &Author,
    found: &[Unblocked],
) -> Result<u64, Error> {
    let mut open: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for one in found {
        if !blocklist::is_blocked(tx, one.network, &one.fingerprint)? {
            open.entry(one.network).or_default().push(one);
        }
    }
    let mut blocked = 0;
    for (id, found) in open {
        let revision = move_revision(tx, id, now)?;
        for one in &found {
            blocklist::insert(tx, id, &one.fingerprint, one.not_after, revision)?;
            blocked += 1;
        }
        let fingerprints =
            found.iter().map(|one| one.fingerprint).map(|it: Fingerprint| it.to_string());
        let entry = Entry {
            network: Some(id),
            detail: json!({"blocked": fingerprints.collect::<Vec<_>>(), "revision": revision.0}),
            ..Entry::new("blocklist.restored", id.as_bytes())
        };
        author.record(tx, now, entry)?;
    }
    Ok(blocked)
}
