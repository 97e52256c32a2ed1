//! Reads a file of declared things.

use serde_json::Value;
use toml::Table;

use super::super::fields::flag;
use super::super::operation::Field;
use super::section::{IN_NETWORK, NETWORKS, Section, TOP};
use super::value;

/// A thing that a file declares.
#[derive(Debug)]
pub(super) struct Declared {
    pub(super) section: &'static Section,
    pub(super) network: Option<String>,
    pub(super) key: String,
    /// What it says, in comparable form.
    pub(super) fields: Vec<(&'static Field, Value)>,
}

/// A file.
#[derive(Debug, Default)]
pub(super) struct File {
    /// In the order in which they are made.
    pub(super) declared: Vec<Declared>,
    /// The sections of networks that it has, also those without a thing.
    pub(super) sections: Vec<(&'static Section, String)>,
}

impl File {
    /// The names of the networks.
    pub(super) fn networks(&self) -> Vec<String> {
        let networks = self.declared.iter().filter(|it| it.section.name == NETWORKS.name);
        networks.map(|it| it.key.clone()).collect()
    }
}

/// Reads a file.
///
/// # Errors
/// The place, and what is wrong there.
pub(super) fn read(text: &str) -> Result<File, String> {
    let table: Table = text.parse().map_err(|error: toml::de::Error| error.to_string())?;
    let mut file = File::default();
    let names: Vec<_> = TOP.iter().map(|section| section.name).collect();
    if let Some(key) = table.keys().find(|key| !names.contains(&key.as_str())) {
        return Err(format!("{key}: no such section; there are {}", names.join(", ")));
    }
    for section in TOP {
        file.read_section(section, None, &table)?;
    }
    Ok(file)
}

impl File {
    /// Whether it has this section of a network.
    pub(super) fn has(&self, section: &Section, network: &str) -> bool {
        self.sections.iter().any(|(it, of)| it.name == section.name && of == network)
    }

    /// Reads a section of a table, if it is there.
    fn read_section(
        &mut self,
        section: &'static Section,
        network: Option<&str>,
        table: &Table,
    ) -> Result<(), String> {
        let Some(things) = table.get(section.name) else { return Ok(()) };
        let place = match network {
            Some(network) => format!("networks.{network}.{}", section.name),
            None => section.name.to_owned(),
        };
        let things = things.as_table().ok_or_else(|| format!("{place}: must be a table"))?;
        if let Some(network) = network {
            self.sections.push((section, network.to_owned()));
        }
        for (key, thing) in things {
            let place = format!("{place}.{key}");
            let thing = thing.as_table().ok_or_else(|| format!("{place}: must be a table"))?;
            let fields = fields(section, &place, thing)?;
            let network = network.map(str::to_owned);
            self.declared.push(Declared { section, network, key: key.clone(), fields });
        }
        if section.name == NETWORKS.name {
            for (key, thing) in things {
                for inner in IN_NETWORK {
                    let thing =
                        thing.as_table().ok_or_else(|| format!("{place}: must be a table"))?;
                    self.read_section(inner, Some(key), thing)?;
                }
            }
        }
        Ok(())
    }
}

fn fields(
    section: &'static Section,
    place: &str,
    thing: &Table,
) -> Result<Vec<(&'static Field, Value)>, String> {
    let is_inner = |key: &str| {
        section.name == NETWORKS.name && IN_NETWORK.iter().any(|inner| inner.name == key)
    };
    let said = thing.iter().filter(|(key, _)| !is_inner(key));
    said.map(|(key, said)| {
        let field = section.field(key).ok_or_else(|| unknown(section, place, key))?;
        let value = value::of_file(field, said).map_err(|reason| format!("{place}.{reason}"))?;
        Ok((field, value))
    })
    .collect()
}

fn unknown(section: &Section, place: &str, key: &str) -> String {
    let mut known: Vec<_> = section.fields().map(flag).collect();
    if section.name == NETWORKS.name {
        known.extend(IN_NETWORK.iter().map(|inner| inner.name.to_owned()));
    }
    known.sort();
    let noun = section.noun;
    match known.is_empty() {
        true => format!("{place}.{key}: a {noun} has no fields beside its name"),
        false => {
            format!("{place}.{key}: no such field of a {noun}; there are {}", known.join(", "))
        }
    }
}
