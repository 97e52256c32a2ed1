//! Schema versions: one row per component in a table of ours, because the database file may be the
//! caller's and `user_version` with it.

use crate::error::{Error, SchemaFault};
use crate::store::Transaction;

/// Tables that are versioned together. Their names begin with the component's name and `_`.
#[derive(Debug, Clone, Copy)]
pub struct Component {
    /// The name: lower-case letters.
    pub name: &'static str,
    /// All migrations, by ascending version; the last one's is the version of this program.
    pub migrations: &'static [Migration],
}

/// One step of a schema.
#[derive(Debug, Clone, Copy)]
pub struct Migration {
    /// The version that it leads to, from 1.
    pub version: i64,
    /// The oldest program version that may still run on the result.
    pub oldest: i64,
    /// Its statements; see the [module](crate::store) for the markers they may hold.
    pub sql: &'static str,
}

const TABLE: &str = "nebula_schema";

/// Brings the component's tables to this program's version. Does nothing when they are of this
/// version, or of a newer one that this program may run on.
///
/// # Errors
///
/// [`Error::SchemaTooNew`] when this program is older than the oldest that may run on the schema,
/// [`Error::ForeignSchema`] when the tables are there without a recorded version.
pub fn migrate(tx: &mut dyn Transaction, component: &Component) -> Result<(), Error> {
    if !has_versions(tx)? {
        tx.script(
            "CREATE TABLE nebula_schema (
                component TEXT NOT NULL PRIMARY KEY,
                version BIGINT NOT NULL,
                oldest BIGINT NOT NULL
            )",
        )?;
    }
    let mut version = recorded(tx, component)?;
    for migration in component.migrations {
        if migration.version <= version {
            continue;
        }
        tx.script(migration.sql)?;
        tx.execute(
            "INSERT INTO nebula_schema (component, version, oldest) VALUES ($1, $2, $3)
             ON CONFLICT (component) DO UPDATE SET version = excluded.version, oldest = excluded.oldest",
            &[component.name.into(), migration.version.into(), migration.oldest.into()],
        )?;
        version = migration.version;
    }
    Ok(())
}

/// That the component's tables are of a version that this program may run on: for readers.
///
/// # Errors
///
/// As [`migrate`], and [`Error::SchemaTooOld`] when the tables are not there or have to be migrated
/// first.
pub fn check(tx: &mut dyn Transaction, component: &Component) -> Result<(), Error> {
    let version = if has_versions(tx)? { recorded(tx, component)? } else { 0 };
    let needed = component.newest();
    if version < needed {
        return Err(Error::SchemaTooOld { component: component.name.into(), version, needed });
    }
    Ok(())
}

/// Whether [`migrate`] would change anything.
#[cfg(feature = "postgres")]
pub(crate) fn is_due(tx: &mut dyn Transaction, component: &Component) -> Result<bool, Error> {
    Ok(!has_versions(tx)? || recorded(tx, component)? < component.newest())
}

impl Component {
    /// The version of this program.
    fn newest(&self) -> i64 {
        self.migrations.last().map_or(0, |migration| migration.version)
    }
}

fn has_versions(tx: &mut dyn Transaction) -> Result<bool, Error> {
    Ok(tx.tables(TABLE)?.iter().any(|name| name == TABLE))
}

/// The version of the component's tables; 0 when there are none.
fn recorded(tx: &mut dyn Transaction, component: &Component) -> Result<i64, Error> {
    let foreign = |fault| Error::ForeignSchema { component: component.name.into(), fault };
    let rows = tx
        .query(
            "SELECT version, oldest FROM nebula_schema WHERE component = $1",
            &[component.name.into()],
        )
        .map_err(|error| match error {
            Error::Database(fault) => foreign(SchemaFault::Versions(fault)),
            other => other,
        })?;
    let Some(row) = rows.first() else {
        return match tx.tables(&format!("{}_", component.name))?.first() {
            Some(table) => Err(foreign(SchemaFault::NoVersion { table: table.clone() })),
            None => Ok(0),
        };
    };
    let mut row = row.columns();
    let (version, oldest, supported) = (row.integer()?, row.integer()?, component.newest());
    if oldest > supported {
        return Err(Error::SchemaTooNew { component: component.name.into(), oldest, supported });
    }
    Ok(version)
}
