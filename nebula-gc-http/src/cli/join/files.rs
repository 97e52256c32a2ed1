use std::error::Error;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// Writes one file so that after a crash there is either all of it or the former one.
pub(super) fn write(path: &Path, contents: &[u8], mode: u32) -> Result<(), Box<dyn Error>> {
    let directory = path.parent().unwrap_or(Path::new(""));
    let name = path.file_name().map(Path::new).ok_or("a file needs a name")?;
    write_all(directory, [(name, contents)], mode)
}

/// Writes files of one directory: all of them beside the former ones first, so that a full disk
/// leaves those as they were; then they take their places.
pub(super) fn write_all<'a>(
    directory: &Path,
    files: impl IntoIterator<Item = (&'a Path, &'a [u8])>,
    mode: u32,
) -> Result<(), Box<dyn Error>> {
    let mut staged = Staged(vec![]);
    for (name, contents) in files {
        let path = directory.join(name);
        staged
            .add(&path, contents, mode)
            .map_err(|error| format!("{}: {error}", path.display()))?;
    }
    let opened = if directory.as_os_str().is_empty() { Path::new(".") } else { directory };
    staged
        .place()
        .and_then(|()| File::open(opened)?.sync_all())
        .map_err(|error| format!("{}: {error}", opened.display()).into())
}

/// New files beside those that they replace; removed where they don't.
struct Staged(Vec<(PathBuf, PathBuf)>);

impl Staged {
    fn add(&mut self, path: &Path, contents: &[u8], mode: u32) -> io::Result<()> {
        let mut name = path.as_os_str().to_owned();
        name.push(".new");
        let new = PathBuf::from(name);
        // Left behind by a crash.
        if let Err(error) = fs::remove_file(&new)
            && error.kind() != io::ErrorKind::NotFound
        {
            return Err(error);
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&new)?;
        self.0.push((new, path.to_owned()));
        file.write_all(contents)?;
        file.sync_all()
    }

    fn place(&mut self) -> io::Result<()> {
        while let Some((new, path)) = self.0.first() {
            fs::rename(new, path)?;
            self.0.remove(0);
        }
        Ok(())
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        for (new, _) in &self.0 {
            // Nothing more can be done about it than the next run does.
            let _ = fs::remove_file(new);
        }
    }
}
