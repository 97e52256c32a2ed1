//! Takes an address in the program's own SQLite transaction: the machine's row and its lease are
//! committed together, or neither is.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program for people")]

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::Parser;
use nebula_alloc::rusqlite::config::DbConfig;
use nebula_alloc::rusqlite::{Connection, TransactionBehavior};
use nebula_alloc::store::migrate::migrate;
use nebula_alloc::store::sqlite::SqliteTransaction;
use nebula_alloc::{Actor, COMPONENT, Family, NetworkId, OwnerId, PoolId, lease, pool, usable};

const NETWORK: NetworkId = NetworkId([1; 16]);
const POOL: PoolId = PoolId([2; 16]);
const ACTOR: Actor<'_> = Actor::named("inventory");

/// Add machines to an inventory, each with an address of 10.42.0.0/29; exits with 1 if one is refused
#[derive(Parser)]
struct Arguments {
    /// The inventory's database, made if it does not exist
    #[arg(value_name = "FILE")]
    database: PathBuf,
    /// The machines' names
    #[arg(value_name = "NAME", required = true)]
    names: Vec<String>,
}

fn main() -> ExitCode {
    match run(Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("allocate-in-your-transaction: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(Arguments { database, names }: Arguments) -> Result<(), Box<dyn Error>> {
    let mut connection = open(&database)?;
    for name in names {
        let address = add_machine(&mut connection, &name)?;
        println!("{name} {address}");
    }
    Ok(())
}

/// Tables of ours, and those of the leases, in one file.
fn open(path: &Path) -> Result<Connection, Box<dyn Error>> {
    let mut connection = Connection::open(path)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    // Without it SQLite plans some of the cached statements anew each time.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;

    let now = now()?;
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    transaction.execute_batch(
        "CREATE TABLE IF NOT EXISTS machine (id INTEGER PRIMARY KEY, name TEXT UNIQUE, address TEXT)",
    )?;
    let mut tx = SqliteTransaction::new(&transaction);
    migrate(&mut tx, &COMPONENT)?;
    let range = usable("10.42.0.0/29".parse()?).ok_or("not a Nebula prefix")?;
    pool::create(
        &mut tx,
        now,
        &ACTOR,
        &pool::Pool { id: POOL, network: NETWORK, range, position: 0 },
    )?;
    transaction.commit()?;
    Ok(connection)
}

fn add_machine(connection: &mut Connection, name: &str) -> Result<String, Box<dyn Error>> {
    let now = now()?;
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    transaction.execute("INSERT INTO machine (name) VALUES (?1)", [name])?;
    let id = transaction.last_insert_rowid();

    // The lease's owner is our row: any 16 bytes that are its own.
    let mut owner = [0; 16];
    owner[8..].copy_from_slice(&id.to_be_bytes());
    let request = lease::Request {
        network: NETWORK,
        owner: OwnerId(owner),
        family: Family::V4,
        address: None, // the lowest that is free
        pool: None,
        hold_until: now,
        until: None,
    };
    let mut tx = SqliteTransaction::new(&transaction);
    let lease = lease::allocate(&mut tx, now, &ACTOR, &request)?;

    let address = lease.address.to_string();
    transaction.execute("UPDATE machine SET address = ?1 WHERE id = ?2", (&address, id))?;
    // Dropped on every error before this: no machine without an address, no address without a machine.
    transaction.commit()?;
    Ok(address)
}

fn now() -> Result<i64, Box<dyn Error>> {
    Ok(i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs())?)
}
