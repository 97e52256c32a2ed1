//! Root works on a node's directory as the user that it belongs to.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use rustix::process::geteuid;
use rustix::process::{Gid, Uid};
use rustix::thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid};

use super::error::AgentError;

/// If this thread is root's, and a directory (or the nearest one above it that exists) belongs to another
/// user, the thread becomes that user's, for good: what it writes is then the agent's, which runs as that
/// user. Threads that it starts are like it.
///
/// # Errors
/// [`AgentError::File`].
pub fn become_owner_of(directory: &Path) -> Result<(), AgentError> {
    if !geteuid().is_root() {
        return Ok(());
    }
    let directory = std::path::absolute(directory).map_err(|e| AgentError::file(directory, e))?;
    let Some(found) = directory.ancestors().find_map(|path| fs::symlink_metadata(path).ok()) else {
        return Ok(());
    };
    if found.uid() == 0 {
        return Ok(());
    }
    let (user, group) = (Uid::from_raw(found.uid()), Gid::from_raw(found.gid()));
    let become_it = || {
        set_thread_groups(&[group])?;
        set_thread_res_gid(group, group, group)?;
        set_thread_res_uid(user, user, user)
    };
    become_it().map_err(|error| AgentError::file(&directory, error.into()))
}
