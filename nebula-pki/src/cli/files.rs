//! Files and the standard streams that `-` stands for.

use std::ffi::OsStr;
use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::path::Path;

use zeroize::Zeroizing;

use crate::failure::Failure;
use crate::quote::quote;

/// The path that means standard input or standard output.
const STANDARD: &str = "-";

/// A failed operation on a file, said as Go says it.
#[derive(Debug)]
pub(crate) struct FileError {
    operation: &'static str,
    path: String,
    error: io::Error,
}

impl FileError {
    fn new(operation: &'static str, path: &OsStr, error: io::Error) -> Self {
        Self { operation, path: path.to_string_lossy().into_owned(), error }
    }

    /// Whether the file could be opened, but not read.
    pub(crate) fn is_read(&self) -> bool {
        self.operation == "read"
    }

    /// The failure of a command that needed the file; `doing` ends with its own punctuation.
    pub(crate) fn failure(&self, doing: &str) -> Failure {
        if self.error.kind() == ErrorKind::BrokenPipe && self.path == STDOUT {
            return Failure::silent();
        }
        Failure::new("file", format!("{doing}{self}"))
    }
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.error.to_string();
        // Rust appends the error's number and begins with a capital.
        let text = text.split(" (os error ").next().unwrap_or_default();
        let mut rest = text.chars();
        let first = rest.next().map(|c| c.to_ascii_lowercase()).into_iter().collect::<String>();
        write!(f, "{} {}: {first}{}", self.operation, self.path, rest.as_str())
    }
}

/// Whether the path means a standard stream.
pub(crate) fn is_standard(path: &OsStr) -> bool {
    path == STANDARD
}

/// Refuses a second input from standard input, before anything is read. Takes flags and their paths.
pub(crate) fn claim_inputs(flags: &[(&str, &OsStr)]) -> Result<(), Failure> {
    match claimed_twice(flags, STANDARD.as_ref()) {
        Some(both) => Err(Failure::new(
            "usage",
            format!("{both} both set to \"-\", only one input may read from stdin"),
        )),
        None => Ok(()),
    }
}

/// Refuses a second output to standard output, before anything is written; and one file for two
/// outputs, where the reference leaves the last and loses a key.
pub(crate) fn claim_outputs(flags: &[(&str, &OsStr)]) -> Result<(), Failure> {
    if let Some(both) = claimed_twice(flags, STANDARD.as_ref()) {
        return Err(Failure::new(
            "usage",
            format!("{both} both set to \"-\", only one output may write to stdout"),
        ));
    }
    for (_, path) in flags.iter().filter(|(_, path)| !path.is_empty()) {
        if let Some(both) = claimed_twice(flags, path) {
            let path = quote(path.as_encoded_bytes());
            return Err(Failure::new("usage", format!("{both} both set to {path}")));
        }
    }
    Ok(())
}

/// The first two flags with this path.
fn claimed_twice(flags: &[(&str, &OsStr)], path: &OsStr) -> Option<String> {
    let mut claims = flags.iter().filter(|(_, claimed)| *claimed == path);
    let ((first, _), (second, _)) = (claims.next()?, claims.next()?);
    Some(format!("-{first} and -{second}"))
}

/// All of a file, or of standard input. Wiped when dropped, since it may be a key.
pub(crate) fn read(path: &OsStr) -> Result<Zeroizing<Vec<u8>>, FileError> {
    if is_standard(path) {
        let mut bytes = Zeroizing::new(Vec::new());
        io::stdin()
            .read_to_end(&mut bytes)
            .map_err(|error| FileError::new("read", OsStr::new(STDIN), error))?;
        return Ok(bytes);
    }
    let mut file = File::open(path).map_err(|error| FileError::new("open", path, error))?;
    // With enough room from the start no copy of a key is left behind by growing.
    let len = file.metadata().ok().and_then(|metadata| usize::try_from(metadata.len()).ok());
    let mut bytes = Zeroizing::new(Vec::with_capacity(len.unwrap_or(0).min(1 << 20) + 1));
    file.read_to_end(&mut bytes).map_err(|error| FileError::new("read", path, error))?;
    Ok(bytes)
}

const STDIN: &str = "/dev/stdin";
const STDOUT: &str = "/dev/stdout";

/// Whether there is something at the path. Never for a standard stream.
pub(crate) fn exists(path: &OsStr) -> bool {
    !is_standard(path) && Path::new(path).metadata().is_ok()
}

/// Writes a new file that only its owner may read, or to standard output.
///
/// The caller has asked [`exists`]; if a file appeared since then, this fails.
pub(crate) fn write_new(path: &OsStr, bytes: &[u8]) -> Result<(), FileError> {
    if is_standard(path) {
        return print(bytes);
    }
    let file = match options().create_new(true).open(path) {
        // A link to nothing: the file is made where it points, as the reference does.
        Err(error) if error.kind() == ErrorKind::AlreadyExists && !exists(path) => {
            options().create(true).truncate(true).open(path)
        }
        opened => opened,
    };
    write_to(path, file, bytes)
}

/// Writes a file, or to standard output. A new file may be read by its owner only; one that exists is
/// overwritten and keeps its mode.
pub(crate) fn write(path: &OsStr, bytes: &[u8]) -> Result<(), FileError> {
    if is_standard(path) {
        return print(bytes);
    }
    write_to(path, options().create(true).truncate(true).open(path), bytes)
}

/// The mode of a file that replaces another.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// The old one's.
    Kept,
    /// Only for its owner.
    Private,
}

/// Replaces a file as a whole: whatever fails, the old one is still there. Standard output is just
/// written.
pub(crate) fn replace(path: &OsStr, bytes: &[u8], mode: Mode) -> Result<(), FileError> {
    if is_standard(path) {
        return print(bytes);
    }
    // What a link points to is replaced, not the link.
    let target = Path::new(path).canonicalize().unwrap_or_else(|_| path.into());
    let mut beside = target.clone().into_os_string();
    beside.push(format!(".{}.new", std::process::id()));
    let file = options()
        .create_new(true)
        .open(&beside)
        .map_err(|error| FileError::new("open", &beside, error))?;
    let written = write_beside(file, &target, bytes, mode)
        .and_then(|()| fs::rename(&beside, &target))
        .map_err(|error| FileError::new("replace", path, error));
    if written.is_err() {
        let _ = fs::remove_file(&beside);
        return written;
    }
    // The file is whole already; this makes sure that a power failure does not bring the old one back.
    if let Some(directory) = target.parent().and_then(|parent| File::open(parent).ok()) {
        let _ = directory.sync_all();
    }
    Ok(())
}

fn write_beside(mut file: File, target: &Path, bytes: &[u8], mode: Mode) -> io::Result<()> {
    file.write_all(bytes)?;
    if mode == Mode::Kept
        && let Ok(old) = target.metadata()
    {
        file.set_permissions(old.permissions())?;
    }
    file.sync_all()
}

/// Writes to standard output.
pub(crate) fn print(bytes: &[u8]) -> Result<(), FileError> {
    let mut stdout = io::stdout().lock();
    stdout
        .write_all(bytes)
        .and_then(|()| stdout.flush())
        .map_err(|error| FileError::new("write", OsStr::new(STDOUT), error))
}

fn write_to(path: &OsStr, file: io::Result<File>, bytes: &[u8]) -> Result<(), FileError> {
    file.map_err(|error| FileError::new("open", path, error))?
        .write_all(bytes)
        .map_err(|error| FileError::new("write", path, error))
}

/// For writing, with the mode 0600 for new files.
pub(crate) fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}
