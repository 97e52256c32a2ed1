//! Forgetting what has been over for long, where an operator says for how long to keep it.

use nebula_alloc::event;
use nebula_alloc::store::Transaction;
use serde_json::json;

use super::{NAME, STEP, Stop, Upkeep};
use crate::error::time;
use crate::service::audit::{Author, Entry};
use crate::service::core::Service;
use crate::service::shared::Shared;
use crate::store::{duty, former_name, history};
use crate::{Error, NodeId};

/// Forgetting, as a duty.
const HISTORY: &str = "history";
/// How often it is looked for, in seconds: once a day.
const EVERY: i64 = 86_400;
/// How long, in seconds, some instance must have been there by a clock that is believed the first time.
const LIVED: i64 = 86_400;
/// How many events one step looks at.
const EVENTS: usize = 128;
/// How many released nodes one read looks for.
const PAGE: i64 = 200;

/// Up to when time has certainly passed: what is forgotten does not come back, so that neither time
/// counts in which no server was there, nor what a clock was ahead by when one was started with it. From
/// the first time on, it goes on by no more than what servers have lived through.
fn lived(tx: &mut dyn Transaction, now: i64) -> Result<Option<i64>, Error> {
    let Some(up) = duty::since(tx, NAME)? else { return Ok(None) };
    Ok(match (lived_before(tx)?, duty::until(tx, HISTORY)?) {
        (Some(former), Some(until)) => {
            let last = until.saturating_sub(EVERY);
            let more = now.saturating_sub(last.max(up)).max(0);
            Some(former.saturating_add(more).min(now))
        }
        _ => (up <= now.saturating_sub(LIVED)).then_some(now),
    })
}

/// The same as it was noted with the last look.
fn lived_before(tx: &mut dyn Transaction) -> Result<Option<i64>, Error> {
    Ok(duty::since(tx, HISTORY)?.filter(|former| *former > 0))
}

impl Service {
    /// Does it once a day. The log tells first that it is going to be shorter: it is judged by that.
    pub(super) async fn forget(&self, done: &mut Upkeep) -> Result<(), Stop> {
        let Some(kept) = self.options.keep_history else { return Ok(()) };
        let (now, is_due, former, lived) = self
            .read(|tx, shared| {
                let now = shared.now();
                let is_due = duty::is_due(tx, HISTORY, now, EVERY)?;
                Ok((now, is_due, lived_before(tx)?, lived(tx, now)?))
            })
            .await?;
        let Some(lived) = lived.filter(|_| is_due) else { return Ok(()) };
        if former.is_none_or(|former| former < lived) {
            self.forget_before(lived.saturating_sub(kept), done).await?;
        }
        let instance = self.shared.instance.clone();
        let noted = (now.saturating_add(EVERY), lived);
        self.chore(move |tx, _, _| duty::done_since(tx, HISTORY, &instance, noted)).await
    }

    async fn forget_before(&self, before: i64, done: &mut Upkeep) -> Result<(), Stop> {
        self.chore(move |tx, now, author| {
            let detail = json!({"before": before});
            author.record(tx, now, Entry { detail, ..Entry::new(history::FORGETS, &[0; 16]) })
        })
        .await?;
        self.forget_nodes(before, done).await?;
        let limit = i64::from(STEP);
        self.until_done(&mut done.forgotten_rows, move |tx| {
            history::forget_certificates(tx, before, limit)
        })
        .await?;
        self.until_done(&mut done.forgotten_rows, move |tx| {
            history::forget_join_tokens(tx, before, limit)
        })
        .await?;
        self.until_done(&mut done.forgotten_rows, move |tx| former_name::forget(tx, before, limit))
            .await?;
        let mut behind = 0;
        loop {
            let step =
                self.chore(move |tx, _, _| Ok(event::forget(tx, before, behind, EVENTS)?)).await?;
            done.forgotten_events += step.events;
            let Some(go_on) = step.go_on else { break };
            behind = go_on;
        }
        let Upkeep { forgotten_events: events, forgotten_rows: rows, .. } = *done;
        tracing::info!(events, rows, before = time(before), "deleted old history");
        Ok(())
    }

    async fn forget_nodes(&self, before: i64, done: &mut Upkeep) -> Result<(), Stop> {
        let mut last = (i64::MIN, NodeId::from([0; 16]));
        loop {
            let page = self.read(move |tx, _| history::released(tx, before, last, PAGE)).await?;
            let Some(end) = page.last() else { return Ok(()) };
            last = *end;
            for (_, node) in page {
                // Most of those that stay a while stay for another reason than their age.
                let may = move |tx: &mut dyn Transaction, _: &Shared| {
                    Ok(!history::forgettable(tx, node, before)?.is_empty())
                };
                if !self.read(may).await? {
                    continue;
                }
                let forget = move |tx: &mut dyn Transaction, _, _: &Author| {
                    history::forget_nodes(tx, node, before)
                };
                match self.chore(forget).await {
                    Ok(gone) => done.forgotten_rows += gone,
                    Err(Stop::Failed(error @ Error::Conflict { .. })) => {
                        tracing::warn!(%node, %error, "deleting a released node failed; retrying at the next pass");
                    }
                    Err(stop) => return Err(stop),
                }
            }
        }
    }

    async fn until_done(
        &self,
        sum: &mut u64,
        step: impl Fn(&mut dyn Transaction) -> Result<u64, Error> + Send + Clone + 'static,
    ) -> Result<(), Stop> {
        loop {
            let step = step.clone();
            let gone = self.chore(move |tx, _, _| step(tx)).await?;
            *sum += gone;
            if gone < u64::from(STEP) {
                return Ok(());
            }
        }
    }
}
