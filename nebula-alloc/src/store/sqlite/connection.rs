//! A connection to the file, and the settings that this crate relies on.

use std::path::Path;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use super::disk::{log_of, refuse_stump, rewrite, unavailable};
use super::owner;
use super::transaction::failure;
use crate::error::{Error, Outage};

/// Enough for every statement of this crate and of a control plane on top.
const STATEMENTS: usize = 256;

/// How long a statement waits for a lock of another connection (a backup, a checkpoint).
pub(super) const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// To be [trusted](trust) before it is written to.
pub(super) fn connect(path: &Path) -> Result<Connection, Error> {
    owner::refuse_anothers_log(path)?;
    let connection = Connection::open_with_flags(
        path,
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )
    .map_err(failure)?;
    // What is refused is left as it is.
    let kept = connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true);
    kept.map_err(failure)?;
    refuse_stump(&connection, path)?;
    // What cannot be opened for writing SQLite opens for reading, and never tries again.
    if connection.is_readonly("main").map_err(failure)? {
        return Err(Error::Unavailable(Outage::ReadOnly));
    }
    prepare(&connection)?;
    set(&connection, "journal_mode", "WAL", "wal")?;
    set(&connection, "synchronous", "FULL", "2")?;
    set(&connection, "foreign_keys", "ON", "1")?;
    rewrite_log(&connection, path)?;
    Ok(connection)
}

/// From here on, closing the database copies the log into it.
pub(super) fn trust(connection: &Connection) -> Result<(), Error> {
    let kept = connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, false);
    kept.map(drop).map_err(failure)
}

/// Writes what the log holds once more. Linux takes pages whose synchronisation failed for written:
/// this process and the next still read them, no later synchronisation brings them to the disk, and
/// after a loss of power what was committed behind them would be gone as well.
fn rewrite_log(connection: &Connection, path: &Path) -> Result<(), Error> {
    // Nobody appends meanwhile.
    connection.execute_batch("BEGIN IMMEDIATE").map_err(failure)?;
    let rewritten = rewrite(&log_of(path)).map_err(unavailable);
    connection.execute_batch("ROLLBACK").map_err(failure)?;
    rewritten
}

/// SQLite counts in KiB, and takes a negative number for that.
pub(super) fn set_cache(connection: &Connection, bytes: u64) -> Result<(), Error> {
    let pragma = format!("PRAGMA cache_size = -{}", (bytes >> 10).clamp(1, 1 << 30));
    connection.execute_batch(&pragma).map_err(failure)
}

/// What writing and reading connections have in common.
pub(super) fn prepare(connection: &Connection) -> Result<(), Error> {
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    connection.busy_timeout(BUSY_TIMEOUT).map_err(failure)?;
    // Pages have no checksums; what contradicts itself in one is found when the page is first read.
    connection.execute_batch("PRAGMA cell_size_check = ON").map_err(failure)?;
    // Without it a cached `column = $n` in an ordered range query is planned anew on every run.
    let stable =
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true).map_err(failure)?;
    if !stable {
        return Err(Error::Setting { name: "qpsg", expected: "1", found: "0".into() });
    }
    Ok(())
}

pub(super) fn set(
    connection: &Connection,
    name: &'static str,
    value: &str,
    expected: &'static str,
) -> Result<(), Error> {
    // `pragma_update` refuses the row that `journal_mode` answers; reading is asked for anyway.
    connection.execute_batch(&format!("PRAGMA {name} = {value}")).map_err(failure)?;
    let found: rusqlite::types::Value =
        connection.query_row(&format!("PRAGMA {name}"), [], |row| row.get(0)).map_err(failure)?;
    let found = match found {
        rusqlite::types::Value::Integer(number) => number.to_string(),
        rusqlite::types::Value::Text(text) => text,
        other => format!("{other:?}"),
    };
    if found == expected { Ok(()) } else { Err(Error::Setting { name, expected, found }) }
}
