//! On what state of a resource a change builds.

use std::fmt;

use crate::Error;

/// What tells one state of a resource from its others: of letters, digits, `-`, `.` and `+`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tag {
    text: String,
    /// How much of it is about what clients change.
    settings: usize,
}

impl Tag {
    /// Of what has this id and counts its changes.
    pub(crate) fn new(id: impl fmt::Display, changes: impl fmt::Display) -> Self {
        let text = format!("{id}.{changes}");
        Self { settings: text.len(), text }
    }

    /// Of what is told apart by this text.
    pub(crate) fn exactly(text: impl fmt::Display) -> Self {
        let text = text.to_string();
        Self { settings: text.len(), text }
    }

    /// Tells apart also what the server itself changes. A client's change does not build on it.
    pub(crate) fn and(mut self, what: impl fmt::Display) -> Self {
        self.text.push_str(&format!("+{what}"));
        self
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    fn settings(&self) -> &str {
        self.text.get(..self.settings).unwrap_or(&self.text)
    }
}

/// What a client expects of a resource that it changes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Expected {
    /// That it is there.
    #[default]
    Anything,
    /// That it has one of these [tags](Tag) still.
    OneOf(Vec<String>),
}

impl Expected {
    /// Refuses what builds on another state.
    pub(crate) fn check(&self, tag: &Tag) -> Result<(), Error> {
        let same = |text: &String| text.split('+').next() == Some(tag.settings());
        match self {
            Self::OneOf(tags) if !tags.iter().any(same) => {
                Err(Error::Precondition { etag: tag.as_str().to_owned() })
            }
            _ => Ok(()),
        }
    }
}
