//! A step of the writer that changes what other steps may have read: in a batch of its own.

use nebula_alloc::lease::Lease;
use nebula_alloc::store::{Subject, Transaction};
use nebula_alloc::writer::{Planned, Step};

use crate::Error;

/// A step in a batch of its own, which takes no addresses: nobody's plan has read what it is about to change.
pub(super) struct Exclusive<F>(F);

impl<F, T> Exclusive<F>
where
    F: FnMut(&mut dyn Transaction, i64) -> Result<T, Error> + Send + 'static,
{
    /// The step that does this, at a time in seconds since the Unix epoch.
    pub(super) fn new(work: F) -> Self {
        Self(work)
    }
}

impl<F, T> Step for Exclusive<F>
where
    F: FnMut(&mut dyn Transaction, i64) -> Result<T, Error> + Send + 'static,
    T: Send + 'static,
{
    type Plan = ();
    type Output = T;
    type Error = Error;

    fn subject(&self) -> Subject {
        Subject::Everything
    }

    fn plan(&mut self, _: &mut dyn Transaction, _: i64) -> Result<Planned<()>, Error> {
        Ok(Planned::without_addresses(()))
    }

    fn write(
        &mut self,
        tx: &mut dyn Transaction,
        now: i64,
        (): (),
        _: &[Lease],
    ) -> Result<T, Error> {
        (self.0)(tx, now)
    }
}
