//! In which schema our tables are: where they are found in the search path, not where the path
//! begins. A schema made later, named like the role, say, would hide them, and a second, empty
//! database would begin there.

use super::pipeline::Reply;
use super::session::Session;
use super::value;
use crate::Error;
use crate::store::Row;

/// The path; each schema of it, in its order, and whether it has tables of ours; then those beyond
/// it that have.
const SCHEMAS: &str =
    "SELECT current_setting('search_path'), CAST(coalesce(path.name, ours.name) AS TEXT),
         coalesce(path.place, 0), CASE WHEN ours.name IS NULL THEN 0 ELSE 1 END
     FROM unnest(pg_catalog.current_schemas(false)) WITH ORDINALITY AS path (name, place)
     FULL JOIN (
         SELECT DISTINCT space.nspname AS name FROM pg_catalog.pg_class AS held
         JOIN pg_catalog.pg_namespace AS space ON space.oid = held.relnamespace
         WHERE held.relname IN ('nebula_schema', 'alloc_lease') AND held.relkind IN ('r', 'p')
             AND NOT starts_with(CAST(space.nspname AS TEXT), 'pg_temp')
     ) AS ours ON ours.name = path.name
     ORDER BY path.place";

/// A schema that the path names and that the role may not use, which leaves it out of the path.
const FORBIDDEN: &str = "SELECT CAST(current_user AS TEXT), CAST(nspname AS TEXT)
     FROM pg_catalog.pg_namespace WHERE NOT has_schema_privilege(oid, 'USAGE') AND nspname IN (
         SELECT CASE trim(name, ' \"') WHEN '$user' THEN current_user ELSE trim(name, ' \"') END
         FROM unnest(string_to_array(current_setting('search_path'), ',')) AS name)
     ORDER BY nspname LIMIT 1";

/// The schemas that a connection works with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    /// That of our tables.
    pub(super) schema: String,
    /// The other schemas of the path, in its order.
    others: Vec<String>,
}

struct Schema {
    name: String,
    in_path: bool,
    has_ours: bool,
}

impl Place {
    /// Where our tables are, or are to be made.
    ///
    /// # Errors
    ///
    /// [`Error::Setting`] when two schemas of the path have some, when only one beyond a path that
    /// does not say which is meant has, and when there is no schema to make them in;
    /// [`Error::MissingRight`] when that is because the role may not use one.
    pub(super) fn find(session: &mut Session) -> Result<Self, Error> {
        let Reply::Rows(rows) = session.one(SCHEMAS, &[])? else { return Err(nowhere()) };
        let rows = rows.iter().map(value::row).collect::<Result<Vec<_>, _>>()?;
        let path = rows.first().map(|row| row.columns().text()).transpose()?;
        let path = path.unwrap_or_default();
        let schemas = rows.iter().map(Schema::read).collect::<Result<Vec<_>, _>>()?;
        choose(schemas, path).or_else(|unclear| {
            let Reply::Rows(rows) = session.one(FORBIDDEN, &[])? else { return Err(unclear) };
            let Some(row) = rows.first().map(value::row).transpose()? else { return Err(unclear) };
            let mut row = row.columns();
            Err(Error::MissingRight {
                role: row.text()?.to_owned(),
                right: "USAGE".into(),
                object: format!("schema {}", row.text()?),
            })
        })
    }

    /// Has the session stay with them, whatever becomes of the path: ours first, those of
    /// temporary tables last.
    pub(super) fn pin(&self) -> String {
        let path: Vec<_> =
            std::iter::once(&self.schema).chain(&self.others).map(|name| quoted(name)).collect();
        format!("SET search_path = {}, pg_temp", path.join(", "))
    }
}

impl Schema {
    fn read(row: &Row) -> Result<Self, Error> {
        let mut row = row.columns();
        row.skip(); // the path
        Ok(Self {
            name: row.text()?.to_owned(),
            in_path: row.integer()? > 0,
            has_ours: row.integer()? > 0,
        })
    }
}

fn choose(schemas: Vec<Schema>, path: &str) -> Result<Place, Error> {
    let (within, beyond): (Vec<_>, Vec<_>) = schemas.into_iter().partition(|one| one.in_path);
    let ours: Vec<_> = within.iter().filter(|one| one.has_ours).map(|one| &one.name).collect();
    let schema = match (ours.as_slice(), within.first()) {
        ([found], _) => (*found).clone(),
        ([], Some(first)) if beyond.is_empty() || !path.contains(',') => first.name.clone(),
        ([], None) if beyond.is_empty() => return Err(nowhere()),
        ([], _) => {
            let found: Vec<_> = beyond.into_iter().map(|one| one.name).collect();
            let expected = "the one schema that is meant";
            let found = format!("{path}, while the tables are in {}", found.join(", "));
            return Err(unclear(expected, found));
        }
        (both, _) => {
            let names: Vec<_> = both.iter().map(|name| name.as_str()).collect();
            let expected = "the one schema that is meant";
            return Err(unclear(expected, format!("{path}, with tables in {}", names.join(", "))));
        }
    };
    let others = within.into_iter().map(|one| one.name).filter(|name| *name != schema).collect();
    Ok(Place { schema, others })
}

fn nowhere() -> Error {
    unclear("a schema that exists and that the role may use", "none".into())
}

fn unclear(expected: &'static str, found: String) -> Error {
    Error::Setting { name: "search_path", expected, found }
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schemas(within: &[(&str, bool)], beyond: &[&str]) -> Vec<Schema> {
        let schema =
            |name: &str, in_path, has_ours| Schema { name: name.into(), in_path, has_ours };
        let within = within.iter().map(|(name, has_ours)| schema(name, true, *has_ours));
        within.chain(beyond.iter().map(|name| schema(name, false, true))).collect()
    }

    #[test]
    fn the_tables_are_where_they_were_found() {
        let found = choose(schemas(&[("me", false), ("a\"b", true), ("c", false)], &["d"]), "…,…");
        let found = found.unwrap();
        assert_eq!(found.schema, "a\"b");
        assert_eq!(found.pin(), r#"SET search_path = "a""b", "me", "c", pg_temp"#);
    }

    #[test]
    fn new_ones_go_where_the_path_leaves_no_doubt() {
        let chosen = |within: &[(&str, bool)], beyond: &[&str], path| {
            choose(schemas(within, beyond), path).ok().map(|place| place.schema)
        };
        let (me, public) = (("me", false), ("public", false));
        assert_eq!(chosen(&[me, public], &[], "\"$user\", public").as_deref(), Some("me"));
        assert_eq!(chosen(&[me], &["other"], "me").as_deref(), Some("me"));
        assert_eq!(chosen(&[public], &["other"], "\"$user\", public"), None);
        assert_eq!(chosen(&[("me", true), ("public", true)], &[], "me, public"), None);
        assert_eq!(chosen(&[], &[], "gone"), None);
        assert_eq!(chosen(&[], &["other"], "gone"), None);
    }
}
