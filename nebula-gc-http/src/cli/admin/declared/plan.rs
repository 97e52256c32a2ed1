//! What has to be done so that a server has what a file declares.

use nebula_gc_http::client::printable;
use serde_json::{Value, json};

use super::super::fields::{duration, flag};
use super::super::operation::{Field, Kind};
use super::file::{Declared, File};
use super::section::{NETWORKS, POOLS, Section};
use super::server::{Server, is_of_a_node};
use super::value;

/// Something to do.
#[derive(Debug)]
pub(super) struct Step {
    pub(super) act: Act,
    pub(super) section: &'static Section,
    pub(super) network: Option<String>,
    pub(super) key: String,
    /// What it says then, in comparable form, and what it said.
    pub(super) fields: Vec<(&'static Field, Value, Value)>,
    /// Whether a new network gets no pool by itself, because the file has its pools.
    pub(super) without_pools: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Act {
    Create,
    /// Of what has this id, as the following.
    Change(String),
    Delete(String),
}

/// The steps, in their order.
///
/// # Errors
/// All that can't be made as the file says.
pub(super) fn steps(file: &File, server: &Server, prunes: bool) -> Result<Vec<Step>, Vec<String>> {
    let (mut steps, mut reasons) = (vec![], vec![]);
    for declared in &file.declared {
        match step(declared, file, server) {
            Ok(step) => steps.extend(step),
            Err(reason) => reasons.push(reason),
        }
    }
    if !reasons.is_empty() {
        return Err(reasons);
    }
    if prunes {
        // Tokens name blocks, which are parts of pools.
        let sections = file.sections.iter().rev();
        steps.extend(
            sections.flat_map(|(section, network)| deletions(file, server, section, network)),
        );
    }
    Ok(steps)
}

fn step(declared: &Declared, file: &File, server: &Server) -> Result<Option<Step>, String> {
    let Declared { section, network, key, fields } = declared;
    let network = network.clone();
    let Some(present) = server.find(section, network.as_deref(), key) else {
        let fields = fields.iter().map(|(field, value)| (*field, value.clone(), Value::Null));
        let fields = fields.collect();
        let without_pools = section.name == NETWORKS.name && file.has(POOLS, key);
        let act = Act::Create;
        return Ok(Some(Step { act, section, network, key: key.clone(), fields, without_pools }));
    };
    let mut changes = vec![];
    for (field, value) in fields.iter().filter(|(field, _)| section.is_shown(field)) {
        let before = server.comparable(field, present);
        if value::is_same(field, value, &before) {
            continue;
        }
        if !section.can_change(field) {
            return Err(format!(
                "{}: {} can't be changed: it is {}, and would be {}; {}",
                what(section, network.as_deref(), key),
                flag(field),
                shown(field, &before),
                shown(field, value),
                if section.has_secret { "revoke the present one first" } else { "delete it first" }
            ));
        }
        changes.push((*field, value.clone(), before));
    }
    let id = id(section, present);
    let (act, key) = (Act::Change(id), key.clone());
    let step = Step { act, section, network, key, fields: changes, without_pools: false };
    Ok((!step.fields.is_empty()).then_some(step))
}

fn deletions<'a>(
    file: &'a File,
    server: &'a Server,
    section: &'static Section,
    network: &'a str,
) -> impl Iterator<Item = Step> + 'a {
    let is_declared = move |present: &Value| {
        let mut declared = file.declared.iter();
        declared.any(|it| {
            it.section.name == section.name
                && it.network.as_deref() == Some(network)
                && server.find(section, Some(network), &it.key) == Some(present)
        })
    };
    let present = server.of(section, Some(network)).iter();
    let is_spare = move |present: &&Value| !is_of_a_node(present) && !is_declared(present);
    present.filter(is_spare).map(move |present| Step {
        act: Act::Delete(id(section, present)),
        section,
        network: Some(network.to_owned()),
        key: present[section.key].as_str().unwrap_or_default().to_owned(),
        fields: vec![],
        without_pools: false,
    })
}

/// What the API's path takes.
fn id(section: &Section, present: &Value) -> String {
    let id = present.get("id").unwrap_or(&present[section.key]);
    id.as_str().unwrap_or_default().to_owned()
}

pub(super) fn what(section: &Section, network: Option<&str>, key: &str) -> String {
    let of = network.map(|network| format!(" of {network}")).unwrap_or_default();
    printable(&format!("{} {key}{of}", section.noun))
}

/// A comparable value for people.
fn shown(field: &Field, value: &Value) -> String {
    match value {
        Value::Null => "not set".to_owned(),
        Value::String(text) => printable(text),
        Value::Array(items) if items.is_empty() => "none".to_owned(),
        Value::Array(items) => {
            items.iter().map(|item| shown(field, item)).collect::<Vec<_>>().join(",")
        }
        Value::Number(number) if field.kind == Kind::Seconds => {
            number.as_i64().map_or_else(|| number.to_string(), duration)
        }
        other => other.to_string(),
    }
}

impl Step {
    /// What it is about.
    pub(super) fn what(&self) -> String {
        what(self.section, self.network.as_deref(), &self.key)
    }

    /// Whether it makes a secret that is shown once.
    pub(super) fn makes_secret(&self) -> bool {
        self.section.has_secret && self.act == Act::Create
    }

    fn words(&self) -> [&'static str; 2] {
        match self.act {
            Act::Create => ["create", "created"],
            Act::Change(_) => ["change", "changed"],
            Act::Delete(_) if self.section.has_secret => ["revoke", "revoked"],
            Act::Delete(_) => ["delete", "deleted"],
        }
    }

    /// A line for what is to be done.
    pub(super) fn to_do(&self) -> String {
        let [word, _] = self.words();
        self.line(word)
    }

    /// A line for what was done.
    pub(super) fn done(&self) -> String {
        let [_, word] = self.words();
        self.line(word)
    }

    fn line(&self, word: &str) -> String {
        let fields = self.fields.iter().map(|(field, value, before)| {
            let value = shown(field, value);
            match self.act {
                Act::Change(_) => format!("{} {} -> {value}", flag(field), shown(field, before)),
                _ => format!("{} {value}", flag(field)),
            }
        });
        let fields: Vec<_> = fields.collect();
        let colon = if fields.is_empty() { "" } else { ": " };
        format!("{word} {}{colon}{}\n", self.what(), fields.join(", "))
    }

    /// For scripts.
    pub(super) fn to_json(&self) -> Value {
        let [word, _] = self.words();
        let fields = self.fields.iter().map(|(field, value, before)| {
            (flag(field), json!({ "before": before, "after": value }))
        });
        json!({
            "action": word,
            "section": self.section.name,
            "network": self.network,
            "name": self.key,
            "fields": serde_json::Map::from_iter(fields),
        })
    }
}
