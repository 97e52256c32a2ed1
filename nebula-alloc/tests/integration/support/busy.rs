//! A writer that has something else to do, so that requests gather in its queue.

use std::sync::mpsc::{Receiver, Sender, channel};

use nebula_alloc::lease::{Lease, Request};
use nebula_alloc::store::Transaction;
use nebula_alloc::store::writer::{Step, Subject};
use nebula_alloc::{Actor, Error, Writer};

/// Keeps the writer busy until the sender is dropped.
pub fn occupy(writer: &Writer) -> Sender<()> {
    let (release, wait) = channel::<()>();
    let (entered, inside) = channel();
    struct Busy(Sender<()>, Receiver<()>);
    impl Step for Busy {
        type Output = ();
        type Error = Error;
        fn subject(&self) -> Subject {
            Subject::Everything
        }
        fn actor(&self) -> Actor<'_> {
            Actor::named("test")
        }

        fn plan(&mut self, _: &mut dyn Transaction, _: i64) -> Result<Vec<Request>, Error> {
            Ok(Vec::new())
        }
        fn write(&mut self, _: &mut dyn Transaction, _: i64, _: &[Lease]) -> Result<(), Error> {
            let _ = self.0.send(());
            let _ = self.1.recv();
            Ok(())
        }
    }
    writer.submit(Busy(entered, wait), |_| {}).unwrap();
    inside.recv().unwrap();
    release
}
