//! Writes what a server has as a file that declares it.

use toml::Table;

use super::super::fields::flag;
use super::section::{IN_NETWORK, NETWORKS, Section, TOP};
use super::server::{Server, is_of_a_node};
use super::step::what;
use super::value;

/// The file.
///
/// # Errors
/// Two things of one kind have one name.
pub(super) fn table(server: &Server) -> Result<Table, String> {
    let mut file = Table::new();
    for section in TOP {
        insert(&mut file, server, section, None)?;
    }
    Ok(file)
}

fn insert(
    into: &mut Table,
    server: &Server,
    section: &'static Section,
    network: Option<&str>,
) -> Result<(), String> {
    let mut things = Table::new();
    // A reservation for a node belongs to that node.
    for thing in server.of(section, network).iter().filter(|thing| !is_of_a_node(thing)) {
        let key = thing[section.key].as_str().unwrap_or_default();
        let mut table = Table::new();
        for field in section.fields().filter(|field| section.is_shown(field)) {
            if let Some(value) = value::to_file(field, &server.comparable(field, thing)) {
                table.insert(flag(field), value);
            }
        }
        if section.name == NETWORKS.name {
            for inner in IN_NETWORK {
                insert(&mut table, server, inner, Some(key))?;
            }
        }
        if things.insert(key.to_owned(), table.into()).is_some() {
            let what = what(section, network, key);
            return Err(format!("{what}: more than one has this name; rename one of them first"));
        }
    }
    if !things.is_empty() {
        into.insert(section.name.to_owned(), things.into());
    }
    Ok(())
}
