//! Files, and the standard streams for `-`.

use std::ffi::OsStr;
use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::path::Path;

use nebula_pki::files::{self, Replacement};
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
/// outputs, however it is spelled, where the reference leaves the last and loses a key.
pub(crate) fn claim_outputs(flags: &[(&str, &OsStr)]) -> Result<(), Failure> {
    if let Some(both) = claimed_twice(flags, STANDARD.as_ref()) {
        return Err(Failure::new(
            "usage",
            format!("{both} both set to \"-\", only one output may write to stdout"),
        ));
    }
    let mut others = flags.iter().filter(|(_, path)| !path.is_empty());
    while let Some(one) = others.next() {
        let of_one = |(_, other): &&(&str, &OsStr)| is_one(or(one.1, STDOUT), or(other, STDOUT));
        if let Some(other) = others.clone().find(of_one) {
            return Err(one_file(one, other));
        }
    }
    Ok(())
}

/// Refuses an output that would take the place of an input. Not for those that refuse to overwrite
/// anything.
pub(crate) fn claim_apart(
    outputs: &[(&str, &OsStr)],
    inputs: &[(&str, &OsStr)],
) -> Result<(), Failure> {
    for output in outputs.iter().filter(|(_, path)| !path.is_empty()) {
        let of_one = |(_, input): &&(&str, &OsStr)| {
            !input.is_empty() && is_one(or(output.1, STDOUT), or(input, STDIN))
        };
        if let Some(input) = inputs.iter().find(of_one) {
            return Err(one_file(output, input));
        }
    }
    Ok(())
}

/// The path, or that of the stream that `-` names, which may be redirected to a file.
fn or<'a>(path: &'a OsStr, stream: &'static str) -> &'a OsStr {
    if is_standard(path) { stream.as_ref() } else { path }
}

fn one_file((first, path): &(&str, &OsStr), (second, other): &(&str, &OsStr)) -> Failure {
    let quoted = quote(path.as_encoded_bytes());
    let which = match path == other {
        true => format!("both set to {quoted}"),
        false => format!("set to one file: {quoted}, {}", quote(other.as_encoded_bytes())),
    };
    Failure::new("usage", format!("-{first} and -{second} {which}"))
}

/// Refuses to replace what was read, where no output is named, if it is not a regular file: what is written to a
/// pipe would be lost. Takes the names of both flags.
pub(crate) fn claim_replaceable(input: &str, path: &OsStr, output: &str) -> Result<(), Failure> {
    let is_stream =
        Path::new(path).metadata().is_ok_and(|found| !found.is_file() && !found.is_dir());
    if is_standard(path) || !is_stream {
        return Ok(());
    }
    let path = quote(path.as_encoded_bytes());
    let message = format!(
        "-{output} is required: -{input} is not a regular file, so it can't be replaced: {path}"
    );
    Err(Failure::new("usage", message))
}

/// Whether what is written to one path takes the place of what is at the other.
pub(crate) fn is_one(path: &OsStr, other: &OsStr) -> bool {
    files::is_one_file(path.as_ref(), other.as_ref())
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

/// What is ready to be written.
pub(crate) enum Staged<'a> {
    Standard(&'a [u8]),
    File(&'a OsStr, Box<Replacement>),
}

/// Makes ready a file that takes another's place as a whole: whatever fails, the old one is still
/// there, and who may read it stays as it was. Standard output is just written.
pub(crate) fn stage<'a>(path: &'a OsStr, bytes: &'a [u8]) -> Result<Staged<'a>, FileError> {
    if is_standard(path) {
        return Ok(Staged::Standard(bytes));
    }
    let operation = if exists(path) { "replace" } else { "open" };
    Replacement::stage(path.as_ref(), bytes, 0o600)
        .map(|file| Staged::File(path, Box::new(file)))
        .map_err(|error| FileError::new(operation, path, error))
}

impl Staged<'_> {
    pub(crate) fn commit(self) -> Result<(), FileError> {
        match self {
            Self::Standard(bytes) => print(bytes),
            Self::File(path, file) => {
                file.commit().map_err(|error| FileError::new("replace", path, error))
            }
        }
    }
}

/// Removes everybody's permissions on a key's file; those that its owner gave to others stay.
pub(crate) fn close_to_others(path: &OsStr) {
    #[cfg(unix)]
    if let Ok(found) = Path::new(path).metadata()
        && found.is_file()
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = found.permissions().mode() & !0o007;
        // Who may write to the file, but is not its owner, can't change that.
        let _ = std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode));
    }
    #[cfg(not(unix))]
    let _ = path;
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
