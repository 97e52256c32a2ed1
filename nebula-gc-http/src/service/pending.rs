//! Certificates that a signer elsewhere has to sign (rule 5 of the design).
//!
//! A step that needs one runs twice. The first time it enters the bytes to be signed as pending,
//! beside the leases that they name, and commits. Then they are signed, outside of any transaction.
//! The second time the step decides everything anew, finds what is pending to be what it wants, and
//! completes it in the transaction in which it writes all that follows. Who crashes in between
//! leaves pending rows: past their deadline whoever asks again takes them over, or
//! [`Service::settle_pending`] does.

mod overdue;

use std::sync::Arc;
use std::time::{Duration, Instant};

use nebula_alloc::store::Transaction;
use nebula_alloc::writer::Step;
use nebula_pki::{Validity, VerifiedCertificate};

pub use self::overdue::Settlement;
use super::authority::Authority;
use super::bundles::addresses;
use super::terms::{Ahead, Issue, Readiness, Ready, TRIES, Terms, any_is_known, refused};
use super::{Service, Shared};
use crate::error::{SignerFault, Unavailable};
use crate::store::pending;
use crate::{CertificateId, Error};

/// How long a step waits before it looks again whether another instance is done.
const LOOK_AGAIN: Duration = Duration::from_millis(100);
/// How long a signer that failed is left alone, at first and at most.
const PAUSES: [Duration; 2] = [Duration::from_millis(100), Duration::from_secs(2)];

/// What a step that may issue certificates came to.
pub(super) enum Issuing<T> {
    /// All is written.
    Done(T),
    /// Certificates are pending; the step is to run again once they are signed.
    Pending(Pending),
    /// Nothing is written: it is to run again as about this device.
    About(String),
}

impl<T> Issuing<T> {
    /// What was written; else how the step that asked for it ends.
    pub(super) fn done<U>(self) -> Result<T, Issuing<U>> {
        match self {
            Self::Done(done) => Ok(done),
            Self::Pending(pending) => Err(Issuing::Pending(pending)),
            Self::About(device) => Err(Issuing::About(device)),
        }
    }
}

/// Certificates of one node that are pending.
pub(super) struct Pending {
    authority: Arc<Authority>,
    rows: Vec<pending::Pending>,
    /// Whether this very request sees them signed; else another does, and it waits for that.
    is_own: bool,
}

/// A certificate that was signed while its row was pending.
#[derive(Clone)]
pub(super) struct SignedElsewhere {
    row: CertificateId,
    to_be_signed: Vec<u8>,
    verified: VerifiedCertificate,
}

/// Who sees to what is pending, and until when.
pub(super) struct Waiting {
    instance: String,
    deadline: i64,
}

impl Waiting {
    pub(super) fn new(shared: &Shared, now: i64) -> Self {
        let patience = i64::try_from(shared.signers.patience().as_secs()).unwrap_or(i64::MAX);
        Self { instance: shared.instance.clone(), deadline: now.saturating_add(patience) }
    }
}

impl Terms {
    /// As [`Terms::ready`], where the CA's key is elsewhere.
    pub(super) fn ready_elsewhere<'a>(
        &self,
        tx: &mut dyn Transaction,
        issue: Issue<'a>,
    ) -> Result<Readiness<'a>, Error> {
        let rows = pending::of_node(tx, issue.node.id)?;
        let mut known = vec![];
        if self.are_wanted(&rows, &issue)? {
            match signed(&rows, issue.signed.as_ref()) {
                Some(verified) if !any_is_known(tx, &verified)? => {
                    let pending = rows.iter().map(|row| row.id).collect();
                    return Ok(Readiness::Ready(Ready { issue, verified, pending }));
                }
                // The same bytes were signed before: they have to say something else.
                Some(_) => known = rows.iter().map(|row| row.to_be_signed.clone()).collect(),
                None => return self.wait_or_take_over(tx, rows),
            }
        } else if self.has_lost_its_place(&rows, issue.signed.as_ref()) {
            let authority = Arc::clone(&self.authority);
            return Ok(Readiness::Pending(Pending { authority, rows, is_own: false }));
        }
        for row in &rows {
            pending::cancel(tx, row.id)?;
        }
        self.enter_pending(tx, &issue, &known)
    }

    /// Whether a step that runs again finds pending what another wish needs, which still has time
    /// for it. The first time it took the place of whatever was pending; if it did so again, two
    /// wishes would cancel each other's for ever.
    fn has_lost_its_place(&self, rows: &[pending::Pending], signed: Option<&Ahead>) -> bool {
        let Some(Ahead::Elsewhere(signed)) = signed else { return false };
        let is_own = |row: &pending::Pending| signed.iter().any(|signed| signed.row == row.id);
        rows.iter().any(|row| row.deadline > self.now && !is_own(row))
    }

    /// Whether what is pending is what would be entered now, but for its validity.
    pub(super) fn are_wanted(
        &self,
        rows: &[pending::Pending],
        issue: &Issue<'_>,
    ) -> Result<bool, Error> {
        let versions = self.network.versions.as_slice();
        if rows.len() != versions.len() {
            return Ok(false);
        }
        for (row, version) in rows.iter().zip(versions) {
            if row.version != *version || row.issuer != self.authority.id {
                return Ok(false);
            }
            let (not_before, not_after) = row.validity;
            let host =
                self.host(*version, issue.node, issue.leases, Validity { not_before, not_after })?;
            let prepared = self.authority.issuer.prepare(*version, &host);
            // What the CA does not permit is nothing to wait for.
            if !prepared.is_ok_and(|prepared| prepared.to_be_signed() == row.to_be_signed) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Leaves to another what it has time for.
    fn wait_or_take_over<'a>(
        &self,
        tx: &mut dyn Transaction,
        rows: Vec<pending::Pending>,
    ) -> Result<Readiness<'a>, Error> {
        let is_own = rows.iter().all(|row| row.deadline <= self.now);
        let rows = if is_own {
            let Waiting { instance, deadline } = &self.waiting;
            rows.iter()
                .map(|row| pending::adopt(tx, row, instance, *deadline))
                .collect::<Result<_, _>>()?
        } else {
            rows
        };
        Ok(Readiness::Pending(Pending { authority: Arc::clone(&self.authority), rows, is_own }))
    }

    fn enter_pending<'a>(
        &self,
        tx: &mut dyn Transaction,
        issue: &Issue<'_>,
        known: &[Vec<u8>],
    ) -> Result<Readiness<'a>, Error> {
        for earlier in 0..TRIES {
            let mut rows = vec![];
            let validity = self.ends(earlier);
            for version in self.network.versions.as_slice().iter().copied() {
                let host = self.host(version, issue.node, issue.leases, validity)?;
                let prepared = self.authority.issuer.prepare(version, &host).map_err(refused)?;
                rows.push(pending::Pending {
                    id: CertificateId::new(),
                    network: self.network.id,
                    node: issue.node.id,
                    issuer: self.authority.id,
                    version,
                    validity: (validity.not_before, validity.not_after),
                    to_be_signed: prepared.to_be_signed().to_vec(),
                    reason: issue.reason,
                    instance: self.waiting.instance.clone(),
                    deadline: self.waiting.deadline,
                    created_at: self.now,
                });
            }
            if rows.iter().any(|row| known.contains(&row.to_be_signed)) {
                continue;
            }
            for row in &rows {
                pending::insert(tx, row, issue.actor)?;
            }
            let authority = Arc::clone(&self.authority);
            return Ok(Readiness::Pending(Pending { authority, rows, is_own: true }));
        }
        Err(Unavailable::SameCertificate.into())
    }
}

/// The certificates of these rows, where they are what was signed.
fn signed(rows: &[pending::Pending], signed: Option<&Ahead>) -> Option<Vec<VerifiedCertificate>> {
    let Some(Ahead::Elsewhere(signed)) = signed else { return None };
    let of = |row: &pending::Pending| {
        let is_it = |signed: &&SignedElsewhere| {
            signed.row == row.id && signed.to_be_signed == row.to_be_signed
        };
        signed.iter().find(is_it).map(|signed| signed.verified.clone())
    };
    rows.iter().map(of).collect()
}

impl Service {
    /// Runs a step that may issue certificates, as often as their signatures need. `make` makes it
    /// anew, with what was signed and the device that it turned out to be about. One that another
    /// instance overtakes runs once more: what the other has written tells what this one has to
    /// answer.
    pub(super) async fn issue<S, T>(
        &self,
        make: impl Fn(Option<Ahead>, Option<&str>) -> S,
    ) -> Result<T, Error>
    where
        S: Step<Output = Issuing<T>, Error = Error>,
        T: Send + 'static,
    {
        let (mut ahead, mut about, mut overtaken) = (None, None::<String>, false);
        // One patience for what another is at work on, one for its own.
        let end = Instant::now() + self.shared.signers.patience() * 2;
        loop {
            match self.write(make(ahead.clone(), about.as_deref())).await {
                Ok(Issuing::Done(done)) => return Ok(done),
                Ok(Issuing::About(device)) => about = Some(device),
                Ok(Issuing::Pending(pending)) => {
                    let signed = match pending.is_own {
                        true => self.sign(&pending, end).await,
                        false => {
                            let waited = self.wait_for(&pending, end).await;
                            waited.map(|()| Ahead::Elsewhere(vec![]))
                        }
                    };
                    ahead = match signed {
                        Ok(signed) => Some(signed),
                        Err(failure) => return Err(self.away(&pending, failure).await),
                    };
                }
                Err(Error::Overtaken) if !overtaken => overtaken = true,
                Err(error) => return Err(error),
            }
        }
    }

    /// Says of a signature that did not come what waits for it.
    async fn away(&self, pending: &Pending, failure: Error) -> Error {
        let (Error::Unavailable(cause), Some(row)) = (&failure, pending.rows.first()) else {
            return failure;
        };
        let cause = Box::new(cause.clone());
        let (network, node) = (row.network, row.node);
        let held = self.read(move |tx, _| addresses(tx, network, node)).await;
        Error::SignerAway {
            addresses: held.unwrap_or_default(),
            until: pending.rows.iter().map(|row| row.validity.1).max().unwrap_or_default(),
            cause,
        }
    }

    /// Has pending certificates signed, trying as long as its patience lasts, and not after `end`.
    async fn sign(&self, pending: &Pending, end: Instant) -> Result<Ahead, Error> {
        if Instant::now() >= end {
            return Err(Unavailable::Displaced.into());
        }
        let end = end.min(Instant::now() + self.shared.signers.patience());
        let [mut pause, longest] = PAUSES;
        loop {
            let failure = match self.sign_once(pending).await {
                Ok(signed) => return Ok(signed),
                Err(failure) => failure,
            };
            if Instant::now() + pause >= end {
                return Err(failure);
            }
            let cause = failure.cause();
            tracing::warn!(%failure, cause = cause.map(tracing::field::display), "signer failed; retrying");
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(longest);
        }
    }

    async fn sign_once(&self, pending: &Pending) -> Result<Ahead, Error> {
        let Pending { authority, rows, .. } = pending;
        let signer = authority.signer().ok_or(Unavailable::Missing { what: "the CA's signer" })?;
        let mut signed = Vec::with_capacity(rows.len());
        for row in rows {
            let signature = self.shared.signers.sign(signer, row.to_be_signed.clone()).await?;
            let verified = authority
                .issuer
                .resume(row.version, &row.to_be_signed)
                .and_then(|prepared| prepared.complete(&signature))
                .map_err(|error| SignerFault::Failed(error).of(signer))?;
            let to_be_signed = row.to_be_signed.clone();
            signed.push(SignedElsewhere { row: row.id, to_be_signed, verified });
        }
        Ok(Ahead::Elsewhere(signed))
    }

    /// Waits until others have changed what is pending, or had their time for it.
    async fn wait_for(&self, pending: &Pending, end: Instant) -> Result<(), Error> {
        let Some(node) = pending.rows.first().map(|row| row.node) else { return Ok(()) };
        loop {
            let (now, rows) = self
                .read(move |tx, shared| Ok((shared.now(), pending::of_node(tx, node)?)))
                .await?;
            if rows != pending.rows || rows.iter().all(|row| row.deadline <= now) {
                return Ok(());
            }
            if Instant::now() >= end {
                return Err(Unavailable::SignerBusy.into());
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }
}
