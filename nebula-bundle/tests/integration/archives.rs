//! Do the archives hold the bundle's files, the same bytes each time, for other programs as well?
//!
//! After a change of what is rendered: `UPDATE_SNAPSHOTS=1 cargo test -p nebula-bundle` writes
//! `archives.sha256` (of each bundle its digest, and the hashes of its archives) and `snapshots`.

use std::fmt::Write as _;
use std::fs;
use std::io::{self, Cursor, Read as _};
use std::path::Path;
use std::process::{Command, Stdio};

use flate2::read::GzDecoder;
use nebula_bundle::{Bundle, Network};
use nebula_pki::Fingerprint;
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

use crate::support::cases::cases;
use crate::support::inputs;
use crate::support::peers::skip;

const NAMES: [&str; 4] = ["ca.crt", "node.crt", "nebula.yml", "README.md"];

fn bundle(name: &str) -> Bundle {
    cases().into_iter().find(|case| case.name == name).unwrap().bundle()
}

#[test]
fn the_zip_reads_back_with_its_files_in_order() {
    let bundle = bundle("version-1");
    let mut archive = zip::ZipArchive::new(Cursor::new(bundle.to_zip().unwrap())).unwrap();
    let names: Vec<String> = archive.file_names().map(|name| name.unwrap().into_owned()).collect();
    assert_eq!(names, NAMES);
    for (index, (_, contents)) in bundle.files().enumerate() {
        let mut file = archive.by_index(index).unwrap();
        assert_eq!(file.unix_mode(), Some(0o100_644));
        assert_eq!(file.compression(), zip::CompressionMethod::Stored);
        assert_eq!(io::read_to_string(&mut file).unwrap(), contents);
    }
}

#[test]
fn the_tar_reads_back_with_its_files_in_order() {
    let bundle = bundle("version-1");
    let packed = bundle.to_tar_gz().unwrap();
    // No name, no time, no system.
    assert_eq!(packed[..8], [0x1f, 0x8b, 8, 0, 0, 0, 0, 0]);
    assert_eq!(packed[9], 255);
    let mut archive = tar::Archive::new(GzDecoder::new(packed.as_slice()));
    let mut expected = bundle.files();
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let (name, contents) = expected.next().unwrap();
        let header = entry.header();
        assert_eq!(entry.path().unwrap().to_str(), Some(name));
        assert_eq!(header.mode().unwrap(), 0o644);
        assert_eq!((header.uid().unwrap(), header.gid().unwrap()), (0, 0));
        assert_eq!((header.username().unwrap(), header.groupname().unwrap()), (Some(""), Some("")));
        assert_eq!(header.mtime().unwrap(), 0);
        assert!(header.entry_type().is_file());
        let mut found = String::new();
        entry.read_to_string(&mut found).unwrap();
        assert_eq!(found, contents);
    }
    assert_eq!(expected.next(), None);
}

/// A new version of a library that packs otherwise would make servers side by side differ.
#[test]
fn the_bytes_are_the_committed_ones() {
    let hash = |bytes: Vec<u8>| {
        Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect::<String>()
    };
    let mut text = String::new();
    for (name, bundle) in
        cases().iter().map(|case| (case.name, case.bundle())).chain([("large", large())])
    {
        writeln!(text, "{}  {name}", bundle.digest()).unwrap();
        writeln!(text, "{}  {name}.zip", hash(bundle.to_zip().unwrap())).unwrap();
        writeln!(text, "{}  {name}.tar.gz", hash(bundle.to_tar_gz().unwrap())).unwrap();
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/archives.sha256");
    if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
        fs::write(&path, &text).unwrap();
    }
    assert_eq!(fs::read_to_string(path).unwrap_or_default(), text);
}

/// More than one block of what gzip stores, which has at most 64 KiB.
fn large() -> Bundle {
    let blocklist = (0..2000_u32)
        .map(|number| Fingerprint::from_bytes(*Sha256::digest(number.to_be_bytes()).as_ref()));
    let network = Network { blocklist: blocklist.collect(), ..inputs::network() };
    let node = inputs::node([inputs::certificate(&["10.1.0.9/16"], &[])]);
    inputs::render(&network, &node).unwrap()
}

#[test]
fn other_programs_unpack_them() {
    let bundle = large();
    for (program, arguments, archive) in [
        ("unzip", ["-q", "bundle"], bundle.to_zip().unwrap()),
        ("tar", ["-xzf", "bundle"], bundle.to_tar_gz().unwrap()),
    ] {
        let unpacked = TempDir::new().unwrap();
        fs::write(unpacked.path().join("bundle"), archive).unwrap();
        let mut command = Command::new(program);
        let output =
            command.args(arguments).current_dir(unpacked.path()).stdin(Stdio::null()).output();
        if output.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::NotFound) {
            skip(program);
            continue;
        }
        let output = output.unwrap();
        assert!(output.status.success(), "{program}: {output:?}");
        assert!(output.stderr.is_empty(), "{program}: {output:?}");
        for (name, contents) in bundle.files() {
            assert_eq!(fs::read_to_string(unpacked.path().join(name)).unwrap(), contents);
        }
    }
}
