//! Forgetting what has been over for long, where an operator says for how long to keep it.

use nebula_alloc::event;
use nebula_alloc::store::Transaction;
use serde_json::json;

use super::{NAME, STEP, Stop, Upkeep};
use crate::service::audit::{Author, Entry};
use crate::service::{Service, Shared};
use crate::store::{duty, history};
use crate::{Error, NodeId};

/// Forgetting, as a duty.
const HISTORY: &str = "history";
/// How often it is looked for, in seconds: once a day.
const EVERY: i64 = 86_400;
/// How long, in seconds, some instance must have been there by this clock: what is forgotten does not
/// come back, and a clock that is ahead by weeks is noticed within a day.
const LIVED: i64 = 86_400;
/// How many events one step looks at.
const EVENTS: usize = 128;
/// How many released nodes one read looks for.
const PAGE: i64 = 200;

impl Service {
    /// Does it once a day. The log tells first that it is going to be shorter: it is judged by that.
    pub(super) async fn forget(&self, done: &mut Upkeep) -> Result<(), Stop> {
        let Some(kept) = self.options.keep_history else { return Ok(()) };
        let (is_due, before) = self
            .read(move |tx, shared| {
                let now = shared.now();
                let lived =
                    duty::since(tx, NAME)?.is_some_and(|up| up <= now.saturating_sub(LIVED));
                let is_due = lived && duty::is_due(tx, HISTORY, now, EVERY)?;
                Ok((is_due, now.saturating_sub(kept)))
            })
            .await?;
        if !is_due {
            return Ok(());
        }
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
        let mut behind = 0;
        loop {
            let step =
                self.chore(move |tx, _, _| Ok(event::forget(tx, before, behind, EVENTS)?)).await?;
            done.forgotten_events += step.events;
            let Some(go_on) = step.go_on else { break };
            behind = go_on;
        }
        let instance = self.shared.instance.clone();
        self.chore(move |tx, now, _| duty::done(tx, HISTORY, &instance, now.saturating_add(EVERY)))
            .await
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
                        tracing::warn!(%node, %error, "a released node stays");
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
