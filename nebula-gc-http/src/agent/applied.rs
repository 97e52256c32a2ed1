//! Which bundle is installed, by the counters that tell old from new: `applied.json`, which survives a
//! loss of power.

use serde::{Deserialize, Serialize};

use super::directory::NodeDirectory;
use super::error::AgentError;

const FILE: &str = "applied.json";
const LIMIT: u64 = 4096;

/// What is installed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Applied {
    /// The store's epoch, raised by each recovery.
    #[serde(default)]
    pub epoch: i64,
    /// The network's counter.
    pub revision: i64,
    /// The node's own.
    pub generation: i64,
    /// The server's receipt for it, to be sent back with reports.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receipt: Option<String>,
}

impl Applied {
    /// Reads `applied.json`; nothing where nothing is installed yet.
    ///
    /// # Errors
    /// [`AgentError::Damaged`] and those of the file.
    pub fn read(directory: &NodeDirectory) -> Result<Option<Self>, AgentError> {
        directory.read_json(FILE, LIMIT)
    }

    /// Writes `applied.json`.
    ///
    /// # Errors
    /// [`AgentError::File`].
    pub fn write(&self, directory: &NodeDirectory) -> Result<(), AgentError> {
        let text = serde_json::to_string(self).unwrap_or_default() + "\n";
        directory.write(FILE, text.as_bytes())
    }

    /// Refuses what is older than what is installed: by epoch, then revision, then generation. A higher
    /// epoch is a recovered store, whose other counters begin anew.
    ///
    /// # Errors
    /// [`AgentError::Older`].
    pub fn check_newer(&self, offered: &Self) -> Result<(), AgentError> {
        if offered.epoch > self.epoch {
            return Ok(());
        }
        for (counter, given, has) in [
            ("epoch", offered.epoch, self.epoch),
            ("revision", offered.revision, self.revision),
            ("generation", offered.generation, self.generation),
        ] {
            if given < has {
                return Err(AgentError::Older { counter, given, has });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_older_by_any_counter_is_refused_unless_the_epoch_is_higher() {
        let at =
            |epoch, revision, generation| Applied { epoch, revision, generation, receipt: None };
        let has = at(1, 5, 3);
        for newer in [at(1, 5, 3), at(1, 6, 3), at(1, 5, 4), at(2, 0, 0)] {
            has.check_newer(&newer).unwrap();
        }
        for (older, counter) in [
            (at(0, 9, 9), "epoch"),
            (at(1, 4, 9), "revision"),
            (at(1, 5, 2), "generation"),
            (at(1, 6, 2), "generation"),
        ] {
            match has.check_newer(&older) {
                Err(AgentError::Older { counter: found, .. }) => assert_eq!(found, counter),
                other => panic!("{other:?}"),
            }
        }
    }
}
