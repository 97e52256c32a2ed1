//! `record.c`, compiled and put under a child process.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

const SOURCE: &str = include_str!("record.c");

/// A directory of its own, in memory where there is such a place.
pub fn directory() -> TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.unwrap()
}

/// The database in a recorded directory.
pub fn database(directory: &Path) -> PathBuf {
    directory.join("test.db")
}

/// The recorder, and where it puts what it records.
pub struct Recorder {
    place: TempDir,
}

impl Recorder {
    /// `None`, and said so, where there is no C compiler or no `LD_PRELOAD`.
    pub fn new() -> Option<Self> {
        let place = directory();
        let library = place.path().join("record.so");
        let source = place.path().join("record.c");
        std::fs::write(&source, SOURCE).unwrap();
        let compiled = Command::new("cc")
            .args(["-shared", "-fPIC", "-O1", "-U_FORTIFY_SOURCE", "-Wall", "-Werror", "-o"])
            .args([&library, &source])
            .args(["-ldl", "-lpthread"])
            .status();
        match compiled {
            Ok(status) if cfg!(target_os = "linux") => {
                assert!(status.success(), "record.c does not compile");
                std::fs::create_dir(place.path().join("data")).unwrap();
                Some(Self { place })
            }
            _ => {
                assert!(std::env::var_os("REQUIRE_PEERS").is_none(), "needs Linux and cc");
                eprintln!("skipped: needs Linux and cc");
                None
            }
        }
    }

    /// For the environment of the child.
    pub fn environment(&self) -> Vec<(&'static str, PathBuf)> {
        vec![
            ("LD_PRELOAD", self.place.path().join("record.so")),
            ("RECORD_DIRECTORY", self.data()),
            ("RECORD_LOG", self.log()),
        ]
    }

    /// The directory that is recorded.
    pub fn data(&self) -> PathBuf {
        self.place.path().join("data")
    }

    /// The recorded directory's database.
    pub fn database(&self) -> PathBuf {
        database(&self.data())
    }

    pub fn log(&self) -> PathBuf {
        self.place.path().join("log")
    }
}

/// What the recorder can make fail.
#[derive(Debug, Clone, Copy)]
pub enum Fault {
    None = 0,
    SyncFails = 1,
    DiskFull = 2,
    WriteFails = 3,
    ReadOnly = 4,
}

/// In the child: of the calls that it concerns `after` more succeed (bytes, for a full disk), then
/// `times` fail; -1 is all.
pub fn arm(fault: Fault, after: u64, times: i64) {
    let number = fault as u8;
    let opened = File::open(format!("/!fault/{number}/{after}/{times}"));
    assert!(opened.is_err(), "the recorder takes this name");
}
