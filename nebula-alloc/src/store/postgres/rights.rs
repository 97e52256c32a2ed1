//! Whether the role may do what is needed, found out before anything needs it: the server's own
//! words come in the middle of the work, and do not say what to grant.

use crate::Error;
use crate::store::migrate::{Component, is_due};
use crate::store::{Row, Transaction};

const SCHEMA: &str = "SELECT CAST(current_user AS TEXT),
         CASE WHEN has_schema_privilege(current_schema(), 'CREATE') THEN 1 ELSE 0 END,
         CAST(current_schema() AS TEXT)";

/// What is lacking on what there is of a component, in the order in which it is told.
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
    let lacks = |right: &str, object: String| {
        let role = own.text(0)?.to_owned();
        Err(Error::MissingRight { role, right: right.to_owned(), object })
    };
    let prefix = format!("{}_", component.name);
    let relations = tx.query(RELATIONS, &[(&prefix).into()])?;
    for relation in &relations {
        if let Some(right) = missing(relation, need)? {
            let kind = if is_sequence(relation)? { "sequence" } else { "table" };
            return lacks(&right, format!("{kind} {}", relation.text(0)?));
        }
    }
    if need == Need::Write && is_due(tx, component)? {
        if own.integer(1)? == 0 {
            return lacks("CREATE", format!("schema {}", own.text(2)?));
        }
        for relation in &relations {
            if relation.integer(2)? == 0 && relation.text(0)? != "nebula_schema" {
                return lacks("to be the owner", format!("table {}", relation.text(0)?));
            }
        }
    }
    Ok(())
}

fn is_sequence(relation: &Row) -> Result<bool, Error> {
    Ok(relation.integer(1)? != 0)
}

/// The privileges that are lacking on a table or sequence.
fn missing(relation: &Row, need: Need) -> Result<Option<String>, Error> {
    let is_sequence = is_sequence(relation)?;
    if is_sequence && need == Need::Read {
        return Ok(None);
    }
    let names: &[(usize, &str)] = match need {
        _ if is_sequence => &[(3, "USAGE")],
        Need::Read => &[(3, "SELECT")],
        Need::Write => &[(3, "SELECT"), (4, "INSERT"), (5, "UPDATE"), (6, "DELETE")],
    };
    let mut missing = Vec::new();
    for (index, name) in names {
        if relation.integer(*index)? == 0 {
            missing.push(*name);
        }
    }
    Ok((!missing.is_empty()).then(|| missing.join(", ")))
}
