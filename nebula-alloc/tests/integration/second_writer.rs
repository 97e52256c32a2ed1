//! Can two processes write to one file?
#![cfg(unix)]

use std::process::Command;
use std::thread;

use crate::shared::child::{self, Child};
use crate::support::*;
use nebula_alloc::{Error, Sqlite};

/// Not a test of its own: what the other process does.
#[test]
fn child_holds_the_database() {
    let Some(path) = child::argument() else { return };
    let _store = Sqlite::open(path).unwrap();
    child::say("open");
    child::wait();
}

#[test]
fn a_second_process_is_refused_until_the_first_is_gone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("test.db");
    let mut child = Child::start("second_writer::child_holds_the_database", &path);
    assert_eq!(child.line().as_deref(), Some("open"));
    let refused = Sqlite::open(&path).map(drop);
    assert_eq!(refused, Err(Error::SecondWriter { path: path.canonicalize().unwrap() }));
    child.kill();
    assert!(Sqlite::open(&path).is_ok(), "the lock went with the process");
}

#[test]
fn in_one_process_too() {
    let store = Store::new();
    let refused = Sqlite::open(store.path()).map(drop);
    assert!(matches!(refused, Err(Error::SecondWriter { .. })));
    let path = store.path();
    let (writer, directory) = store.writer(nebula_alloc::WriterOptions::default());
    assert!(Sqlite::open(&path).is_err());
    drop(writer);
    assert!(Sqlite::open(&path).is_ok());
    drop(directory);
}

/// A new program has all files of ours for a moment, until it begins.
#[test]
fn programs_started_meanwhile_do_not_keep_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("test.db");
    thread::scope(|scope| {
        let starting = scope.spawn(|| {
            for _ in 0..200 {
                assert!(Command::new("true").status().unwrap().success());
            }
        });
        while !starting.is_finished() {
            assert_eq!(Sqlite::open(&path).map(drop), Ok(()));
        }
    });
}
