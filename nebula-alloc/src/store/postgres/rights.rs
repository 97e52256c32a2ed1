//! Whether the role may do what is needed, found out before anything needs it: the server's own
//! words come in the middle of the work, and do not say what to grant.

use crate::Error;
use crate::store::migrate::{Component, is_due};
use crate::store::{Row, Transaction};

const SCHEMA: &str = "SELECT CAST(current_user AS TEXT),
         CASE WHEN has_schema_privilege(current_schema(), 'CREATE') THEN 1 ELSE 0 END,
         CAST(current_schema() AS TEXT)";

/// The rights that are missing on a component's tables, in the order in which they are reported.
const RELATIONS: &str = "SELECT CAST(relname AS TEXT), CASE relkind WHEN 'S' THEN 1 ELSE 0 END,
         CASE WHEN pg_has_role(relowner, 'USAGE') THEN 1 ELSE 0 END,
         CASE relkind WHEN 'S' THEN CASE WHEN has_sequence_privilege(oid, 'USAGE') THEN 1 ELSE 0 END
             ELSE CASE WHEN has_table_privilege(oid, 'SELECT') THEN 1 ELSE 0 END END,
         CASE WHEN relkind = 'S' OR has_table_privilege(oid, 'INSERT') THEN 1 ELSE 0 END,
         CASE WHEN relkind = 'S' OR has_table_privilege(oid, 'UPDATE') THEN 1 ELSE 0 END,
         CASE WHEN relkind = 'S' OR has_table_privilege(oid, 'DELETE') THEN 1 ELSE 0 END
     FROM pg_catalog.pg_class
     WHERE relnamespace = (SELECT oid FROM pg_catalog.pg_namespace WHERE nspname = current_schema())
         AND relkind IN ('r', 'p', 'v', 'S')
         AND NOT (relkind = 'S' AND EXISTS ( -- that of an identity column, which asks for no right
             SELECT 1 FROM pg_catalog.pg_depend WHERE objid = pg_class.oid AND deptype = 'i'))
         AND (relname = 'nebula_schema' OR starts_with(CAST(relname AS TEXT), $1))
     ORDER BY relname <> 'nebula_schema', relkind = 'S', relname";

/// What a connection is for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Need {
    /// To read a component's tables.
    Read,
    /// To change their rows, and the tables where they are of an older version.
    Write,
}

/// Refuses what only makes sense for who may do all that is needed.
///
/// # Errors
///
/// [`Error::MissingRight`].
pub(super) fn check(
    tx: &mut dyn Transaction,
    component: &Component,
    need: Need,
) -> Result<(), Error> {
    let rows = tx.query(SCHEMA, &[])?;
    let Some(own) = rows.first() else { return Ok(()) };
    let mut own = own.columns();
    let (role, may_create, schema) = (own.text()?, own.integer()? != 0, own.text()?);
    let lacks = |right: &str, object: String| {
        Err(Error::MissingRight { role: role.to_owned(), right: right.to_owned(), object })
    };
    let prefix = format!("{}_", component.name);
    let rows = tx.query(RELATIONS, &[(&prefix).into()])?;
    let relations =
        rows.iter().map(|row| Relation::read(row, need)).collect::<Result<Vec<_>, _>>()?;
    if let Some(Relation { name, kind, missing, .. }) =
        relations.iter().find(|relation| !relation.missing.is_empty())
    {
        return lacks(&missing.join(", "), format!("{kind} {name}"));
    }
    if need == Need::Write && is_due(tx, component)? {
        if !may_create {
            return lacks("CREATE", format!("schema {schema}"));
        }
        let is_foreign = |one: &&Relation| !one.is_own && one.name != "nebula_schema";
        if let Some(Relation { name, .. }) = relations.iter().find(is_foreign) {
            return lacks("to be the owner", format!("table {name}"));
        }
    }
    Ok(())
}

/// A table or sequence of the component.
struct Relation {
    name: String,
    kind: &'static str,
    is_own: bool,
    /// Those of the needed privileges that the role does not have.
    missing: Vec<&'static str>,
}

impl Relation {
    fn read(row: &Row, need: Need) -> Result<Self, Error> {
        let mut row = row.columns();
        let (name, is_sequence) = (row.text()?.to_owned(), row.integer()? != 0);
        let is_own = row.integer()? != 0;
        let needed: &[_] = match (is_sequence, need) {
            (true, Need::Read) => &[],
            (true, Need::Write) => &["USAGE"],
            (false, Need::Read) => &["SELECT"],
            (false, Need::Write) => &["SELECT", "INSERT", "UPDATE", "DELETE"],
        };
        let mut missing = Vec::new();
        for privilege in needed {
            if row.integer()? == 0 {
                missing.push(*privilege);
            }
        }
        let kind = if is_sequence { "sequence" } else { "table" };
        Ok(Self { name, kind, is_own, missing })
    }
}
