//! Leaving a network.

use std::fs;
use std::path::Path;

use super::directory::NodeDirectory;
use super::error::AgentError;
use super::membership::Membership;

/// It tells a running agent to stop its Nebula, and to give the directory back.
const FILE: &str = "leaving";

/// Takes a machine out of a network: removes the node's directory, once no agent keeps it any more.
/// Returns what it was.
///
/// # Errors
/// [`AgentError::Locked`] while an agent stops its Nebula: it has been told, so try again.
pub fn leave(path: &Path) -> Result<Membership, AgentError> {
    let directory = NodeDirectory::open(path)?;
    let membership = Membership::require(&directory)?;
    if !is_leaving(&directory) {
        directory.write(FILE, b"")?;
    }
    let _lock = directory.lock()?;
    // Under another name first: what is half removed is no node any more.
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let removed = directory.path().with_file_name(format!(".left-{name}-{}", std::process::id()));
    fs::rename(directory.path(), &removed).map_err(|error| AgentError::file(path, error))?;
    fs::remove_dir_all(&removed).map_err(|error| AgentError::file(&removed, error))?;
    Ok(membership)
}

/// Whether the machine is leaving the network.
pub(super) fn is_leaving(directory: &NodeDirectory) -> bool {
    directory.has(FILE)
}
