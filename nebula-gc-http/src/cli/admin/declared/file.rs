//! Reads a file of declared things.

use serde_json::Value;
use toml::Table;

use super::super::fields::flag;
use super::super::operation::Field;
use super::lines::Refusal;
use super::section::{IN_NETWORK, NETWORKS, RESERVATIONS, Section, TOP};
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
    refusals: Vec<Refusal>,
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
/// All that is wrong, and where.
pub(super) fn read(text: &str) -> Result<File, Vec<Refusal>> {
    let unreadable = |error: toml::de::Error| {
        vec![Refusal { path: vec![], text: error.to_string().trim_end().to_owned() }]
    };
    let table: Table = text.parse().map_err(unreadable)?;
    let mut file = File::default();
    let names: Vec<_> = TOP.iter().map(|section| section.name).collect();
    for key in table.keys().filter(|key| !names.contains(&key.as_str())) {
        file.refuse(vec![key.clone()], &format!("no such section; there are {}", names.join(", ")));
    }
    for section in TOP {
        file.read_section(section, None, &table);
    }
    if file.refusals.is_empty() { Ok(file) } else { Err(file.refusals) }
}

impl File {
    /// Whether it has this section of a network.
    pub(super) fn has(&self, section: &Section, network: &str) -> bool {
        self.sections.iter().any(|(it, of)| it.name == section.name && of == network)
    }

    fn refuse(&mut self, path: Vec<String>, what: &str) {
        let text = format!("{}: {what}", path.join("."));
        self.refusals.push(Refusal { path, text });
    }

    /// Reads a section of a table, if it is there.
    fn read_section(&mut self, section: &'static Section, network: Option<&str>, table: &Table) {
        let Some(things) = table.get(section.name) else { return };
        let Some(things) = things.as_table() else {
            let mut path = section.keys(network, "");
            path.pop();
            return self.refuse(path, "must be a table");
        };
        if let Some(network) = network {
            self.sections.push((section, network.to_owned()));
        }
        for (key, thing) in things {
            let Some(thing) = thing.as_table() else {
                self.refuse(section.keys(network, key), "must be a table");
                continue;
            };
            let fields = self.fields(section, &section.keys(network, key), thing);
            let network = network.map(str::to_owned);
            self.declared.push(Declared { section, network, key: key.clone(), fields });
        }
        if section.name == NETWORKS.name {
            for (key, thing) in things {
                let Some(thing) = thing.as_table() else { continue };
                for inner in IN_NETWORK {
                    self.read_section(inner, Some(key), thing);
                }
            }
        }
    }

    /// The fields of a thing at this place.
    fn fields(
        &mut self,
        section: &'static Section,
        place: &[String],
        thing: &Table,
    ) -> Vec<(&'static Field, Value)> {
        let is_inner = |key: &str| {
            section.name == NETWORKS.name && IN_NETWORK.iter().any(|inner| inner.name == key)
        };
        let mut fields = vec![];
        for (key, said) in thing.iter().filter(|(key, _)| !is_inner(key)) {
            let read = match section.field(key) {
                None => Err(unknown(section)),
                Some(field) => value_of(section, field, said).map(|value| (field, value)),
            };
            match read {
                Ok(read) => fields.push(read),
                Err(what) => {
                    let path = place.iter().chain([key]).cloned().collect();
                    self.refuse(path, &what);
                }
            }
        }
        fields
    }
}

fn value_of(section: &Section, field: &Field, said: &toml::Value) -> Result<Value, String> {
    let value = value::of_file(field, said)?;
    if section.name == RESERVATIONS.name && value == "node" {
        return Err(
            "must be asking, device or nobody: a reservation for a node belongs to that node, and \
                    is made with nebula-gc admin reservations create"
                .to_owned(),
        );
    }
    Ok(value)
}

fn unknown(section: &Section) -> String {
    let mut known: Vec<_> = section.fields().map(flag).collect();
    if section.name == NETWORKS.name {
        known.extend(IN_NETWORK.iter().map(|inner| inner.name.to_owned()));
    }
    known.sort();
    let noun = section.noun;
    match known.is_empty() {
        true => format!("a {noun} has no fields beside its name"),
        false => format!("no such field of a {noun}; there are {}", known.join(", ")),
    }
}
