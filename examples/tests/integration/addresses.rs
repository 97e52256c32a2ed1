//! Does `verify-database` say what is wrong with a database, and that nothing is?

use std::path::Path;
use std::process::Command;

use crate::support::server::program;
use nebula_alloc::lease::Request;
use nebula_alloc::pool::Pool;
use nebula_alloc::{
    Allocator, Family, NetworkId, OwnerId, PoolId, Sqlite, Writer, WriterOptions, usable,
};

#[test]
fn a_database_in_use_is_read_and_each_broken_address_is_named() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("addresses.db");
    let store = Sqlite::open(&path).expect("a new database");
    let writer = Writer::start(store, || 1_800_000_000, WriterOptions::default()).expect("runs");
    let allocator = Allocator::new(writer, "test");
    let network = NetworkId([1; 16]);
    let range = usable("10.0.0.0/24".parse().expect("a prefix")).expect("usable");
    let pool = Pool { id: PoolId([2; 16]), network, range, position: 0 };
    allocator.create_pool(pool).wait().expect("made");
    for owner in 1..=3 {
        let request = Request {
            network,
            owner: OwnerId([owner; 16]),
            family: Family::V4,
            address: None,
            pool: None,
            hold_until: 0,
            until: None,
        };
        allocator.allocate(request).wait().expect("given");
    }
    assert_eq!(verify(&path), (Some(0), "sound\n".to_owned()), "while it is being written");
    drop(allocator);

    let database = rusqlite::Connection::open(&path).expect("opens");
    database
        .execute("DELETE FROM alloc_lease WHERE address = x'0a000002'", [])
        .expect("there is one");
    let (code, said) = verify(&path);
    assert_eq!(code, Some(1));
    assert!(said.contains("10.0.0.2 of pool 02020202-"), "{said}");
    assert!(said.contains("events do not explain the state of 10.0.0.2"), "{said}");
    assert!(!said.contains("10.0.0.1 ") && !said.contains("10.0.0.3"), "{said}");
}

#[test]
fn what_is_no_database_of_addresses_is_not_called_sound() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("other.db");
    assert_eq!(verify(&path).0, Some(2), "there is none");
    assert!(!path.exists());
    rusqlite::Connection::open(&path)
        .and_then(|database| database.execute_batch("CREATE TABLE note (text TEXT)"))
        .expect("made");
    assert_eq!(verify(&path).0, Some(2), "somebody else's");
}

fn verify(database: &Path) -> (Option<i32>, String) {
    let output = Command::new(program("verify-database")).arg(database).output().expect("starts");
    (output.status.code(), String::from_utf8(output.stdout).expect("UTF-8"))
}
