//! Runs a step that may issue certificates: once where the CA's key is here, twice where a signer
//! elsewhere has to sign (rule 5 of the design).
//!
//! With a signer elsewhere the step runs twice. The first time it enters the bytes to be signed as pending,
//! beside the leases that they name, and commits. Then they are signed, outside of any transaction.
//! The second time the step decides everything anew, finds what is pending to be what it wants, and
//! completes it in the transaction in which it writes all that follows. Who crashes in between
//! leaves pending rows: past their deadline whoever asks again takes them over, or
//! [`Service::settle_pending`] does.

mod expired;

use std::time::{Duration, Instant};

use nebula_alloc::writer::Step;

pub use self::expired::PendingOutcome;
use super::core::Service;
use super::issuance::{Ahead, Pending, SignedElsewhere};
use crate::Error;
use crate::error::{SignerFault, Unavailable};
use crate::store::{node, pending};

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
        let held = self.read(move |tx, _| node::addresses(tx, network, node)).await;
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
