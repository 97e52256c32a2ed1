//! Where databases go.

use std::fs;
use std::path::Path;

use crate::Outcome;

/// A commit to memory would be no commit.
pub(crate) fn refuse_tmpfs(directory: &Path) -> Outcome<()> {
    let directory = fs::canonicalize(directory)?;
    let mounts = fs::read_to_string("/proc/mounts")?;
    let kind = mounts
        .lines()
        .filter_map(|line| {
            let mut fields = line.split(' ').skip(1);
            Some((fields.next()?, fields.next()?))
        })
        .filter(|(point, _)| directory.starts_with(point))
        .max_by_key(|(point, _)| point.len());
    match kind {
        Some((_, kind @ ("tmpfs" | "ramfs"))) => {
            Err(format!("{} is a {kind}: choose a --directory on a disk", directory.display())
                .into())
        }
        _ => Ok(()),
    }
}
