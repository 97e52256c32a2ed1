//! Is a database of addresses sound? Reads it beside whoever writes it, and says what is not.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program for people")]

use std::error::Error;
use std::process::ExitCode;

use clap::Parser;
use nebula_alloc::verify::{Violation, verify};
use nebula_alloc::{PostgresReaders, Readers};

/// Prove that a database of addresses is sound, or name each address where it is not
///
/// Leases, free space, reservations and blocks must cover each pool exactly, and the events must
/// explain every lease. The exit code is 0 when all is well, 1 when something is not, and 2 when
/// the database cannot be read. It may be in use meanwhile.
#[derive(Parser)]
struct Arguments {
    /// A database file (nebula-gc-data/nebula-gc.db), or postgresql://user@host/database
    database: String,
}

fn main() -> ExitCode {
    match found(&Arguments::parse().database) {
        Ok(violations) if violations.is_empty() => {
            println!("sound");
            ExitCode::SUCCESS
        }
        Ok(violations) => {
            violations.iter().for_each(|violation| println!("{violation}"));
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("verify-database: {error}");
            ExitCode::from(2)
        }
    }
}

fn found(database: &str) -> Result<Vec<Violation>, Box<dyn Error>> {
    let is_url = ["postgresql://", "postgres://"].iter().any(|scheme| database.starts_with(scheme));
    Ok(if is_url {
        PostgresReaders::open(database, 1)?.read(|tx| verify(tx))?
    } else {
        Readers::open(database, 1)?.read(|tx| verify(tx))?
    })
}
