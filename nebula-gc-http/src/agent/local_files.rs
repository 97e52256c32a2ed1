//! The user's own files, `local.d/*.yml` and `*.yaml`, which are merged behind the bundle.

use std::fs;
use std::io::ErrorKind;

use super::directory::{NodeDirectory, check_directory, open_regular, read_whole};
use super::error::{AgentError, FileFault};

/// Their directory.
pub(super) const DIRECTORY: &str = "local.d";
/// The largest accepted one, in bytes.
const LIMIT: u64 = 256 << 10;
/// How many there may be.
const MOST: usize = 64;

/// The names and contents of the user's own files, in the order of their names.
///
/// # Errors
/// [`AgentError::Unfit`] for a directory or file that is a link, belongs to neither root nor this user,
/// or can be written by others; [`AgentError::File`].
pub(super) fn read(directory: &NodeDirectory) -> Result<Vec<(String, String)>, AgentError> {
    let path = directory.file(DIRECTORY);
    match fs::symlink_metadata(&path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(vec![]),
        _ => check_directory(&path)?,
    }
    let mut names = vec![];
    for entry in fs::read_dir(&path).map_err(|error| AgentError::file(&path, error))? {
        let name = entry.map_err(|error| AgentError::file(&path, error))?.file_name();
        // Hidden ones are an editor's.
        let name = name.to_string_lossy().into_owned();
        if [".yml", ".yaml"].iter().any(|end| name.ends_with(end)) && !name.starts_with('.') {
            names.push(name);
        }
    }
    names.sort_unstable();
    names.truncate(MOST);
    let mut files = vec![];
    for name in names {
        let path = path.join(&name);
        let Some((file, found)) = open_regular(&path)? else { continue };
        let contents = read_whole(&path, file, &found, LIMIT)?;
        let text = str::from_utf8(&contents);
        let text = text.map_err(|_| AgentError::unfit(&path, FileFault::NotText))?;
        files.push((name, text.to_owned()));
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    #[test]
    fn only_files_that_nobody_else_can_write_are_read_in_the_order_of_their_names() {
        let place = tempfile::tempdir().unwrap();
        let directory = NodeDirectory::create(&place.path().join("node")).unwrap();
        assert_eq!(read(&directory).unwrap(), []);
        let own = NodeDirectory::create(&directory.file(DIRECTORY)).unwrap();
        for name in ["20.yml", "10.yaml", ".10.yml.swp", ".hidden.yml", "note.txt"] {
            own.write(name, name.as_bytes()).unwrap();
        }
        let names: Vec<_> = read(&directory).unwrap().into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["10.yaml", "20.yml"]);

        fs::set_permissions(own.file("20.yml"), fs::Permissions::from_mode(0o620)).unwrap();
        let refused = |expected: FileFault| match read(&directory) {
            Err(AgentError::Unfit { fault, .. }) => assert_eq!(fault, expected),
            other => panic!("{other:?}"),
        };
        refused(FileFault::Writable { mode: 0o620 });
        own.remove("20.yml").unwrap();
        symlink("/etc/hostname", own.file("20.yml")).unwrap();
        refused(FileFault::Link);
    }
}
