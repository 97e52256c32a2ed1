//! A writer that has something else to do, so that requests gather in its queue.

use std::sync::mpsc::{Receiver, Sender, channel};

use nebula_alloc::lease::Lease;
use nebula_alloc::store::{Subject, Transaction};
use nebula_alloc::writer::{Planned, Step};
use nebula_alloc::{Error, Writer};

/// Keeps the writer busy until the sender is dropped.
pub fn occupy(writer: &Writer) -> Sender<()> {
    let (release, wait) = channel::<()>();
    let (entered, inside) = channel();
    struct Busy(Sender<()>, Receiver<()>);
    impl Step for Busy {
        type Plan = ();
        type Output = ();
        type Error = Error;
        fn subject(&self) -> Subject {
            Subject::Everything
        }
        fn plan(&mut self, _: &mut dyn Transaction, _: i64) -> Result<Planned<()>, Error> {
            Ok(Planned::without_addresses(()))
        }
        fn write(
            &mut self,
            _: &mut dyn Transaction,
            _: i64,
            (): (),
            _: &[Lease],
        ) -> Result<(), Error> {
            let _ = self.0.send(());
            let _ = self.1.recv();
            Ok(())
        }
    }
    writer.submit(Busy(entered, wait), |_| {}).unwrap();
    inside.recv().unwrap();
    release
}
