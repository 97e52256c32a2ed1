//! Whether what a node's directory is on can be written to. A state that can't be written can't say so.

use std::path::Path;

use rustix::fs::{StatVfsMountFlags, statvfs};
use rustix::process::geteuid;

/// With less than this, in bytes, there is no room for a bundle and the state.
const LEAST: u64 = 128 << 10;

/// What keeps anything from being written there, for people.
pub(super) fn obstacle(directory: &Path) -> Option<&'static str> {
    let disk = statvfs(directory).ok()?;
    if disk.f_flag.contains(StatVfsMountFlags::RDONLY) {
        return Some("the disk is read-only");
    }
    // Some of it may be kept for root.
    let free = if geteuid().is_root() { disk.f_bfree } else { disk.f_bavail };
    // A file system without a limit has no blocks.
    let is_full = disk.f_blocks > 0 && free.saturating_mul(disk.f_frsize) < LEAST;
    is_full.then_some("the disk is full")
}
