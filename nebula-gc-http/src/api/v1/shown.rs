//! What an answer shows and a change does not change: a change may bring it back as it was shown.

use serde::Serialize;
use serde_json::Value;

use super::problem::Problem;

/// Such fields of a change that never change, as far as they are given.
pub(super) struct Shown(Vec<(&'static str, Value)>);

impl Shown {
    pub(super) fn new<const N: usize>(fields: [(&'static str, Option<Value>); N]) -> Self {
        let given = |(name, value): (&'static str, Option<Value>)| Some((name, value?));
        Self(fields.into_iter().filter_map(given).collect())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Refuses what is not as this shows it.
    pub(super) fn check(&self, view: &impl Serialize) -> Result<(), Problem> {
        let view = serde_json::to_value(view).unwrap_or_default();
        match self.0.iter().find(|(name, value)| view.get(*name) != Some(value)) {
            None => Ok(()),
            Some((name, _)) => {
                let reason = "can't be changed here; leave it out, or send it as it is";
                Err(Problem::invalid(*name, reason))
            }
        }
    }
}
