//! Which archives from elsewhere are read, and which are refused before anything is written.

use std::io::{Cursor, Write as _};

use flate2::write::GzEncoder;
use flate2::{Compression, GzBuilder};
use nebula_bundle::{ARCHIVE_LIMIT, ArchiveDefect, Error, FileDefect, Files, unpack};
use proptest::prelude::*;
use tar::{EntryType, Header};
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use crate::support::cases::cases;

#[test]
fn what_is_packed_here_is_read_back() {
    for case in cases() {
        let bundle = case.bundle();
        for archive in [bundle.to_zip().unwrap(), bundle.to_tar_gz().unwrap()] {
            let files = unpack(&archive).unwrap();
            assert!(files.iter().eq(bundle.files()), "{}", case.name);
            assert_eq!(files.receipt(), None);
            assert!(files.has_digest(&bundle.digest().to_string()));
            assert!(!files.has_digest(""));
        }
        // An answer's members have no order.
        let mut shuffled: Vec<_> = bundle.files().collect();
        shuffled.reverse();
        let files = Files::new(shuffled).unwrap();
        assert!(files.has_digest(&bundle.digest().to_string()));
        let changed = bundle.files().map(|(name, text)| (name, text.trim_end()));
        assert!(!Files::new(changed).unwrap().has_digest(&bundle.digest().to_string()));
    }
}

fn stored() -> SimpleFileOptions {
    SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored)
}

fn zip_of(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, contents) in entries {
        archive.start_file(*name, stored()).unwrap();
        archive.write_all(contents).unwrap();
    }
    archive.finish().unwrap().into_inner()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Written by hand, because the library refuses to write what is refused here.
fn tar_entry(name: &[u8], kind: EntryType, declared: u64, contents: &[u8]) -> Vec<u8> {
    let mut header = Header::new_ustar();
    header.as_old_mut().name[..name.len()].copy_from_slice(name);
    header.set_entry_type(kind);
    header.set_mode(0o644);
    header.set_size(declared);
    if kind == EntryType::Symlink {
        header.set_link_name("/etc/passwd").unwrap();
    }
    header.set_cksum();
    let mut entry = [header.as_bytes().as_slice(), contents].concat();
    entry.resize(entry.len().next_multiple_of(512), 0);
    entry
}

fn tar_gz(entries: &[Vec<u8>]) -> Vec<u8> {
    gzip(&[entries.concat(), vec![0; 1024]].concat())
}

fn file(name: &str, contents: &[u8]) -> Vec<u8> {
    tar_entry(name.as_bytes(), EntryType::Regular, contents.len() as u64, contents)
}

#[test]
fn a_receipt_is_read_beside_the_files() {
    for archive in [
        zip_of(&[("ca.crt", b"a"), ("receipt", b"r")]),
        tar_gz(&[file("ca.crt", b"a"), file("receipt", b"r")]),
    ] {
        let files = unpack(&archive).unwrap();
        assert_eq!(files.iter().collect::<Vec<_>>(), [("ca.crt", "a")]);
        assert_eq!(files.receipt(), Some("r"));
    }
    let long = unpack(&zip_of(&[("receipt", &[b'r'; 513])]));
    assert!(matches!(long, Err(Error::File { file: "receipt", .. })), "{long:?}");
}

#[test]
fn a_file_has_the_name_of_one_of_a_bundle() {
    for name in
        ["/ca.crt", "../ca.crt", "a/ca.crt", "./ca.crt", "node.key", "CA.CRT", "ca.crt\u{1}", "x"]
    {
        let found = unpack(&zip_of(&[(name, b"")]));
        assert!(matches!(found, Err(Error::UnknownFile { .. })), "{name}: {found:?}");
        let found = unpack(&tar_gz(&[file(name, b"")]));
        assert!(matches!(found, Err(Error::UnknownFile { .. })), "{name}: {found:?}");
    }
}

#[test]
fn no_file_is_there_twice() {
    let twice = [file("ca.crt", b"a"), file("ca.crt", b"b")];
    let found = unpack(&tar_gz(&twice));
    assert_eq!(found, Err(Error::File { file: "ca.crt", defect: FileDefect::Repeated }));
    // The library does not write one, so another name becomes the same.
    let mut archive = zip_of(&[("ca.crt", b"a"), ("ca.crs", b"b")]);
    let places: Vec<usize> =
        archive.windows(6).enumerate().filter(|found| found.1 == b"ca.crs").map(|f| f.0).collect();
    assert_eq!(places.len(), 2);
    for place in places {
        archive[place..place + 6].copy_from_slice(b"ca.crt");
    }
    let found = unpack(&archive);
    assert_eq!(found, Err(Error::Unpack { defect: ArchiveDefect::Unreadable }));
}

#[test]
fn links_directories_and_devices_are_refused() {
    let not_a_file = |found: Result<_, Error>| {
        matches!(found, Err(Error::Unpack { defect: ArchiveDefect::NotAFile { .. } }))
    };
    let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
    archive.add_symlink("ca.crt", "/etc/passwd", stored()).unwrap();
    assert!(not_a_file(unpack(&archive.finish().unwrap().into_inner())));
    let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
    archive.add_directory("ca.crt", stored()).unwrap();
    assert!(not_a_file(unpack(&archive.finish().unwrap().into_inner())));
    for kind in [
        EntryType::Symlink,
        EntryType::Link,
        EntryType::Directory,
        EntryType::Char,
        EntryType::Fifo,
        EntryType::GNUSparse,
        EntryType::GNULongName,
        EntryType::XHeader,
        EntryType::XGlobalHeader,
    ] {
        let found = unpack(&tar_gz(&[tar_entry(b"ca.crt", kind, 0, b"")]));
        assert!(not_a_file(found), "{kind:?}");
    }
}

#[test]
fn a_file_is_as_long_as_it_says_and_no_longer_than_it_may_be() {
    let long = vec![b'a'; (64 << 10) + 1];
    for archive in [zip_of(&[("node.crt", &long)]), tar_gz(&[file("node.crt", &long)])] {
        let found = unpack(&archive);
        assert!(
            matches!(
                found,
                Err(Error::File { file: "node.crt", defect: FileDefect::TooLong { .. } })
            ),
            "{found:?}"
        );
    }
    let cut = gzip(&tar_entry(b"ca.crt", EntryType::Regular, 1000, b"abc"));
    assert!(unpack(&cut).is_err());
    for cut in [zip_of(&[("ca.crt", b"abc")]), tar_gz(&[file("ca.crt", b"abc")])] {
        for length in 0..cut.len() {
            assert!(unpack(&cut[..length]).is_err(), "{length}");
        }
    }
}

#[test]
fn what_unpacks_without_end_is_refused() {
    // 100 MB of zeros after the end of the archive.
    let zeros = gzip(&[file("ca.crt", b"a"), vec![0; 100 << 20]].concat());
    assert!(zeros.len() < 1 << 20);
    let found = unpack(&zeros);
    assert!(
        matches!(found, Err(Error::Unpack { defect: ArchiveDefect::TooLong { .. } })),
        "{found:?}"
    );
    // A member of 100 MB.
    let found = unpack(&gzip(&tar_entry(b"README.md", EntryType::Regular, 100 << 20, b"")));
    assert!(matches!(found, Err(Error::File { file: "README.md", .. })), "{found:?}");
    let found = unpack(&vec![0x1f; ARCHIVE_LIMIT + 1]);
    assert!(matches!(found, Err(Error::Unpack { defect: ArchiveDefect::TooLong { .. } })));
}

#[test]
fn what_is_compressed_or_damaged_or_followed_by_more_is_refused() {
    let good = zip_of(&[("ca.crt", b"the contents")]);
    let place = good.windows(8).position(|found| found == b"contents").unwrap();
    let mut changed = good.clone();
    changed[place] ^= 1;
    assert!(unpack(&changed).is_err());
    let mut followed = tar_gz(&[file("ca.crt", b"a")]);
    followed.push(0);
    assert_eq!(unpack(&followed), Err(Error::Unpack { defect: ArchiveDefect::Unreadable }));
    for archive in [&b""[..], b"PK", b"PK\x03\x04", b"\x1f\x8b", b"#!/bin/sh"] {
        assert!(matches!(unpack(archive), Err(Error::Unpack { .. })), "{archive:?}");
    }
    let named = GzBuilder::new().filename("x").write(Vec::new(), Compression::none());
    assert_eq!(unpack(&named.finish().unwrap()).map(|files| files.iter().count()), Ok(0));
    let binary = zip_of(&[("ca.crt", &[0xff, 0xfe])]);
    let found = unpack(&binary);
    assert_eq!(found, Err(Error::File { file: "ca.crt", defect: FileDefect::NotUtf8 }));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// Whatever is done to an archive, it is refused, or what is read has known names.
    #[test]
    fn a_changed_archive_is_never_more_than_refused(
        is_zip: bool,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in any::<prop::sample::Index>(),
        does_cut: bool,
    ) {
        let entries = [("ca.crt", &b"a"[..]), ("nebula.yml", b"tun: {}"), ("receipt", b"r")];
        let mut archive = match is_zip {
            true => zip_of(&entries),
            false => {
                let entries: Vec<_> = entries.iter().map(|(name, text)| file(name, text)).collect();
                // Stored, so that a change reaches what is inside; its checksum is not that of the rest.
                let tar = [entries.concat(), vec![0; 1024]].concat();
                let mut encoder = GzEncoder::new(Vec::new(), Compression::none());
                encoder.write_all(&tar).unwrap();
                encoder.finish().unwrap()
            }
        };
        for (place, byte) in changes {
            let place = place.index(archive.len());
            archive[place] = byte;
        }
        if does_cut {
            archive.truncate(cut.index(archive.len()));
        }
        if let Ok(files) = unpack(&archive) {
            prop_assert!(files.iter().all(|(name, _)| ["ca.crt", "node.crt", "nebula.yml", "README.md"].contains(&name)));
        }
    }
}
