//! Copies the log into the database beside the writer, which would stand still meanwhile.
//!
//! While the writer goes on the log never ends, and SQLite begins it anew only when all of it is
//! copied: so what came during the last pass the writer copies itself, between two transactions.

use std::mem::take;
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use super::disk::unavailable;
use super::log::checkpoint;
use super::transaction::failure;
use crate::Error;

/// Each pass has what came during the one before, which is a small part of that.
const PASSES: usize = 3;

/// A thread that copies the log when told.
///
/// What it fails to do the writer does, meets the same failure, and tells it.
#[derive(Debug)]
pub(super) struct Copier {
    wake: SyncSender<()>,
    work: Arc<Mutex<Work>>,
    thread: Option<JoinHandle<()>>,
}

/// Locked during a pass.
#[derive(Debug)]
pub(super) struct Work {
    /// `None` once the thread is to end.
    connection: Option<Connection>,
    /// Whether most of the log is copied since the writer last asked.
    is_done: bool,
}

impl Copier {
    /// Over a connection of its own to the file at `path`, which the caller has found sound.
    pub(super) fn start(path: &Path) -> Result<Self, Error> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags).map_err(failure)?;
        let kept = connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true);
        kept.map_err(failure)?;
        // Opens the log that is there now, not the one that may lie there later.
        connection.query_row("PRAGMA schema_version", [], |_| Ok(())).map_err(failure)?;

        let work = Arc::new(Mutex::new(Work { connection: Some(connection), is_done: false }));
        let (wake, due) = sync_channel(1);
        let copy = {
            let work = Arc::clone(&work);
            move || copy_when(&due, &work)
        };
        let thread = thread::Builder::new().name("nebula-alloc-cp".into()).spawn(copy);
        Ok(Self { wake, work, thread: Some(thread.map_err(unavailable)?) })
    }

    /// Wakes it, where there is room; else it is awake already.
    pub(super) fn waker(&self) -> SyncSender<()> {
        self.wake.clone()
    }

    /// Nothing is copied as long as the answer lives. SQLite refuses two who copy at once.
    pub(super) fn pause(&self) -> MutexGuard<'_, Work> {
        lock(&self.work)
    }

    /// Copies over the writing connection what is left, where that is little by now.
    pub(super) fn finish(&self, writer: &Connection) {
        if let Ok(mut work) = self.work.try_lock()
            && take(&mut work.is_done)
        {
            // Else it is tried again after the next pass.
            let _ = checkpoint(writer, "PASSIVE", Duration::ZERO);
        }
    }

    /// Ends it, after the pass that it is at, and closes its connection.
    pub(super) fn stop(&mut self) {
        lock(&self.work).connection = None;
        let _ = self.wake.try_send(());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for Copier {
    fn drop(&mut self) {
        self.stop();
    }
}

fn copy_when(due: &Receiver<()>, work: &Mutex<Work>) {
    while due.recv().is_ok() {
        let mut work = lock(work);
        let Some(connection) = &work.connection else { return };
        let pass = || checkpoint(connection, "PASSIVE", Duration::ZERO) == Ok(true);
        work.is_done = (0..PASSES).all(|_| pass());
    }
}

fn lock(work: &Mutex<Work>) -> MutexGuard<'_, Work> {
    work.lock().unwrap_or_else(PoisonError::into_inner)
}
