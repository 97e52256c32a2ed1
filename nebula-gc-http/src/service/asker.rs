//! Who asks what is being done now, as far as it is known before the transaction that decides.
//!
//! It stands beside a request's task rather than in its calls, because every read and write needs it
//! and none decides by it: it only says in whose line they wait.

use std::cell::Cell;
#[cfg(feature = "server")]
use std::future::Future;

#[cfg(feature = "server")]
use super::context::Origin;
use super::turns::Who;
use crate::secret::{BearerKind, Hashed};

tokio::task_local! {
    static ASKER: Cell<Asker>;
}

/// What is known of who asks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asker {
    pub(super) who: Who,
    /// The kind of credential that it shows.
    pub(super) kind: Option<BearerKind>,
    /// Its credential was found good.
    pub(super) is_judged: bool,
    /// What it asked before was refused: a read may tell that this is, too.
    pub(super) is_suspect: bool,
}

const LOCAL: Asker = Asker { who: Who::Local, kind: None, is_judged: false, is_suspect: false };

/// Does what is asked from somewhere.
#[cfg(feature = "server")]
pub(crate) async fn asked<T>(origin: Origin, work: impl Future<Output = T>) -> T {
    let who = origin.address().map_or(Who::Local, Who::at);
    ASKER.scope(Cell::new(Asker { who, ..LOCAL }), work).await
}

impl Asker {
    /// Who asks now; the program itself where nobody does.
    pub(super) fn now() -> Self {
        ASKER.try_with(Cell::get).unwrap_or(LOCAL)
    }

    /// It shows a credential of this kind.
    pub(super) fn shows(kind: BearerKind) {
        change(|asker| Self { kind: Some(kind), ..asker });
    }

    /// The credential that it shows is good.
    pub(super) fn has(hashed: &Hashed, is_suspect: bool) {
        let who = Who::Credential(hashed.hash);
        change(|asker| Self { who, is_judged: true, is_suspect, ..asker });
    }
}

fn change(change: impl FnOnce(Asker) -> Asker) {
    // Outside of a request there is nothing to note.
    let _ = ASKER.try_with(|asker| asker.set(change(asker.get())));
}
