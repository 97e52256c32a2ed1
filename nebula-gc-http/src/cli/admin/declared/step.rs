//! A step towards what a file declares, and how it is told.

use nebula_gc_http::client::printable;
use serde_json::{Value, json};

use super::super::fields::{duration, flag};
use super::super::operation::{Field, Kind};
use super::section::Section;

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

impl Step {
    /// What it is about.
    pub(super) fn what(&self) -> String {
        what(self.section, self.network.as_deref(), &self.key)
    }

    /// The id of what there is.
    pub(super) fn id(&self) -> &str {
        match &self.act {
            Act::Create => "",
            Act::Change(id) | Act::Delete(id) => id,
        }
    }

    /// The field with this name, where the step sets it.
    pub(super) fn field(&self, name: &str) -> Option<&Value> {
        self.fields.iter().find(|(field, ..)| field.name == name).map(|(_, value, _)| value)
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

pub(super) fn what(section: &Section, network: Option<&str>, key: &str) -> String {
    let of = network.map(|network| format!(" of {network}")).unwrap_or_default();
    printable(&format!("{} {key}{of}", section.noun))
}

/// A comparable value for people.
pub(super) fn shown(field: &Field, value: &Value) -> String {
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
