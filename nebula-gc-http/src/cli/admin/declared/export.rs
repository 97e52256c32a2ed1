//! Writes what a server has as a file that declares it.

use serde_json::Value;
use toml::Table;

use super::super::fields::flag;
use super::section::{IN_NETWORK, NETWORKS, Section, TOP};
use super::server::Server;
use super::value;

/// The file.
pub(super) fn table(server: &Server) -> Table {
    let mut file = Table::new();
    for section in TOP {
        insert(&mut file, server, section, None);
    }
    file
}

fn insert(into: &mut Table, server: &Server, section: &'static Section, network: Option<&str>) {
    let mut things = Table::new();
    for thing in server.of(section, network).iter().filter(|thing| can_be_declared(thing)) {
        let key = thing[section.key].as_str().unwrap_or_default();
        let mut table = Table::new();
        for field in section.fields().filter(|field| section.is_shown(field)) {
            if let Some(value) = value::to_file(field, &server.comparable(field, thing)) {
                table.insert(flag(field), value);
            }
        }
        if section.name == NETWORKS.name {
            for inner in IN_NETWORK {
                insert(&mut table, server, inner, Some(key));
            }
        }
        things.insert(key.to_owned(), table.into());
    }
    if !things.is_empty() {
        into.insert(section.name.to_owned(), things.into());
    }
}

/// A reservation for a node that there is belongs to that node.
fn can_be_declared(thing: &Value) -> bool {
    !thing["node"].is_string()
}
