//! A node reports which revision and generation it has applied.

use std::sync::Arc;

use nebula_alloc::lease::Lease;
use nebula_alloc::store::{Subject, Transaction};
use nebula_alloc::writer::{Planned, Step};
use serde::{Deserialize, Serialize};

use crate::Error;
use crate::error::{Fault, Field, Unit};
use crate::receipt::LONGEST_RECEIPT;
use crate::service::audit::Author;
use crate::service::context::Context;
use crate::service::core::Service;
use crate::service::principal::Principal;
use crate::service::revocation::block_replaced;
use crate::service::shared::Shared;
use crate::service::shared::{active_node, heard};
use crate::service::views::Desired;
use crate::store::damaged;
use crate::store::network::{self, Revision};
use crate::store::node::{self, Generation, Node};
use crate::store::report::{self, StoredReport};

/// What a node tells of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NodeReport {
    /// The receipt of the bundle that it applied.
    pub receipt: Option<String>,
    /// How it is.
    pub details: ReportDetails,
}

/// How a node is, as it says itself; kept in this form.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ReportDetails {
    /// The release of its Nebula.
    pub nebula: Option<String>,
    /// The release of its agent.
    pub agent: Option<String>,
    /// Its system.
    pub platform: Option<String>,
    /// The keys of `nebula.yml` that the machine sets otherwise than the bundle.
    pub overridden: Vec<String>,
    /// How long its Nebula has been running, in seconds.
    pub uptime_seconds: Option<u64>,
    /// How many tunnels are up.
    pub tunnels: Option<u64>,
    /// How many bytes came in over the overlay since Nebula started.
    pub bytes_in: Option<u64>,
    /// How many went out.
    pub bytes_out: Option<u64>,
    /// How many seconds its clock is ahead of the server's.
    pub clock_skew_seconds: Option<i64>,
    /// Whether its Nebula must be restarted for what it was given.
    pub restart_needed: bool,
    /// What is wrong, in a sentence.
    pub problem: Option<String>,
}

/// How long a release or the name of a system may be, in bytes.
const SHORT: usize = 64;
/// How long a problem's sentence may be, in bytes.
const SENTENCE: usize = 512;
/// How many keys may be overridden, each of how many bytes.
const OVERRIDDEN: (usize, usize) = (64, 128);

impl NodeReport {
    fn check(&self) -> Result<(), Error> {
        let ReportDetails { nebula, agent, platform, overridden, problem, .. } = &self.details;
        for (field, text, limit) in [
            (Field::Receipt, &self.receipt, LONGEST_RECEIPT),
            (Field::ReportNebula, nebula, SHORT),
            (Field::ReportAgent, agent, SHORT),
            (Field::ReportPlatform, platform, SHORT),
            (Field::ReportProblem, problem, SENTENCE),
        ] {
            check_text(text.as_deref().unwrap_or_default(), limit)
                .map_err(|fault| fault.of(field))?;
        }
        let (most, limit) = OVERRIDDEN;
        let count = overridden.len();
        if count > most {
            return Err(Fault::Count { count, least: 0, most }.of(Field::ReportOverridden));
        }
        overridden
            .iter()
            .try_for_each(|key| check_text(key, limit))
            .map_err(|fault| fault.of(Field::ReportOverridden))
    }

    /// As it is kept; nothing where the node told nothing.
    fn stored(
        &self,
        shared: &Shared,
        node: &Node,
        now: i64,
    ) -> Result<Option<StoredReport>, Error> {
        if *self == Self::default() {
            return Ok(None);
        }
        let judged = self.receipt.as_ref().map(|text| (text, shared.judge(text, node)));
        Ok(Some(StoredReport {
            at: now,
            receipt: judged.map(|(text, (standing, _))| (text.clone(), standing)),
            receipt_key: judged.and_then(|(_, (_, key))| key),
            details: serde_json::to_string(&self.details).map_err(|_| damaged("report"))?,
        }))
    }
}

/// Refuses what is too long, or would command a terminal.
fn check_text(text: &str, limit: usize) -> Result<(), Fault> {
    if text.len() > limit {
        return Err(Fault::TooLong { length: text.len(), limit, unit: Unit::Bytes });
    }
    match text.chars().find(|character| character.is_control()) {
        Some(character) => Err(Fault::ControlCharacter { character }),
        None => Ok(()),
    }
}

impl Service {
    /// Notes what the caller's node has applied. What it reported once stays reported.
    ///
    /// # Errors
    /// [`Error::Invalid`] for what does not exist yet, [`Error::NodeKeptOut`] and those of
    /// access.
    pub async fn report(&self, context: Context, applied: Desired) -> Result<(), Error> {
        self.report_with(context, applied, NodeReport::default()).await
    }

    /// As [`report`](Self::report), with what the node tells of itself, which takes the place of what it
    /// told before.
    ///
    /// # Errors
    /// As [`report`](Self::report), and [`Error::Invalid`] for texts that are too long.
    pub async fn report_with(
        &self,
        context: Context,
        applied: Desired,
        report: NodeReport,
    ) -> Result<(), Error> {
        let device = self.own_device(&context).await?;
        report.check()?;
        let shared = Arc::clone(&self.shared);
        self.write(Reporting { shared, context, device, applied, report }).await
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
    report: NodeReport,
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
        if let Some(stored) = self.report.stored(&self.shared, &node, now)? {
            report::keep(tx, node.id, &stored)?;
        }
        if node.applied.generation < generation && generation == node.generation.0 {
            // It has its newer certificate; one with a former key is of no use to it any more.
            block_replaced(tx, now, &author, &node)?;
        }
        Ok(())
    }
}
