//! Is the file that is written to the one at its path, and all of the database? As a program from
//! outside finds it, by the public interface alone.
#![cfg(unix)]

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use std::{fs, thread};

use crate::shared::child::{self, Child, say, told};
use crate::support::{NETWORK, NOW, pool_of, request};
use nebula_alloc::lease::list;
use nebula_alloc::verify::verify;
use nebula_alloc::{Allocator, Error, Outage, Readers, Sqlite, Writer, WriterOptions, usable};
use rusqlite::{Connection, OpenFlags};
use tempfile::TempDir;

/// A directory, and where the database in it is.
fn place() -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("live.db");
    (directory, path)
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

fn make_pool(allocator: &Allocator) {
    let range = usable("10.0.0.0/12".parse().unwrap()).unwrap();
    allocator.create_pool(pool_of(1, range)).wait().unwrap();
}

/// The addresses that a database says are given out; it is sound.
fn held(path: &Path) -> HashSet<String> {
    let mut store = Sqlite::open(path).unwrap();
    assert_eq!(store.transaction(|tx| verify(tx)).unwrap(), []);
    let leases = store.transaction(|tx| list(tx, NETWORK, None, usize::MAX)).unwrap();
    leases.iter().map(|lease| lease.address.to_string()).collect()
}

/// A program that opens a file, looks into it and closes it, without this crate.
fn look_in(path: &Path) {
    let connection = Connection::open(path).unwrap();
    let query = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
    assert!(query("SELECT count(*) FROM alloc_lease") > 0);
    drop(connection);
}

/// Whether SQLite has its lock on a file, which keeps other programs from removing the log when they
/// close it. SQLite from 3.51 on looks for other signs, too; those programs may be older.
#[cfg(target_os = "linux")]
fn is_locked(path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    let file = format!(":{} ", path.metadata().unwrap().ino());
    let locks = fs::read_to_string("/proc/locks").unwrap();
    locks.lines().any(|lock| lock.contains("POSIX") && lock.contains(&file))
}

/// Not a test of its own: a writer that does what it is told.
#[test]
fn child_serves() {
    let Some(path) = child::argument() else { return };
    let store = match Sqlite::open(&path) {
        Ok(store) => store,
        Err(error) => return say(&format!("refused {error:?}")),
    };
    let writer = Writer::start(store, || NOW, WriterOptions::default()).unwrap();
    let allocator = Allocator::new(writer, "child");
    let pools =
        allocator.transaction(|tx, _, _| nebula_alloc::pool::by_network(tx, NETWORK, None, 1));
    if pools.wait().unwrap().is_empty() {
        make_pool(&allocator);
    }
    say("open");
    for line in told() {
        match line.parse() {
            Ok(number) => match allocator.allocate(request(number)).wait() {
                Ok(lease) => say(&format!("{}", lease.address)),
                Err(error @ (Error::Unavailable(_) | Error::OutcomeUnknown(_))) => {
                    assert!(!allocator.writer().is_ready());
                    say(&format!("unavailable: {error}"));
                }
                Err(error) => panic!("{error:?}"),
            },
            // As callers may do it beside the writer.
            Err(_) => {
                assert!(matches!(Sqlite::open(&path), Err(Error::SecondWriter { .. })));
                let readers = Readers::open(&path, 1).unwrap();
                assert_eq!(readers.read(|tx| verify(tx)), Ok(vec![]));
                drop(readers);
                look_in(&path);
                say("opened again");
            }
        }
    }
}

/// Not a test of its own: the other program.
#[test]
fn child_looks() {
    let Some(path) = child::argument() else { return };
    look_in(&path);
}

fn serve(path: &Path) -> Child {
    let mut child = Child::start("one_file::child_serves", path);
    assert_eq!(child.line().as_deref(), Some("open"));
    child
}

/// The addresses it says it gave to these owners.
fn given(child: &mut Child, owners: std::ops::Range<u64>) -> HashSet<String> {
    let mut given = HashSet::new();
    for owner in owners {
        let answer = child.ask(&owner.to_string());
        assert!(answer.starts_with("10."), "{answer}");
        given.insert(answer);
    }
    given
}

fn assert_refused(child: &mut Child, owner: u64) {
    let answer = child.ask(&owner.to_string());
    assert!(answer.starts_with("unavailable: "), "{answer}");
}

#[test]
fn what_is_acknowledged_after_a_second_open_outlasts_other_programs_and_a_kill() {
    let (_directory, path) = place();
    let mut child = serve(&path);
    let mut acknowledged = given(&mut child, 0..20);
    assert_eq!(child.ask("open it again"), "opened again");
    #[cfg(target_os = "linux")]
    assert!(is_locked(&path), "SQLite's locks are gone");
    Child::start("one_file::child_looks", &path).finish();
    assert!(beside(&path, "-wal").exists(), "the other program removed the log");
    acknowledged.extend(given(&mut child, 20..70));
    child.kill();
    assert_eq!(held(&path), acknowledged);
}

#[test]
fn a_hard_link_opens_no_second_writer_and_ends_writing() {
    let (directory, path) = place();
    let mut child = serve(&path);
    let acknowledged = given(&mut child, 0..5);
    let second = directory.path().join("second.db");
    fs::hard_link(&path, &second).unwrap();
    for name in [&second, &path] {
        let refused = Sqlite::open(name).map(drop);
        assert!(matches!(refused, Err(Error::Unavailable { .. })), "{refused:?}");
    }
    assert_refused(&mut child, 5);
    assert_refused(&mut child, 6);
    fs::remove_file(&second).unwrap();
    let more = given(&mut child, 5..7);
    child.kill();
    assert_eq!(held(&path), &acknowledged | &more);
}

#[test]
fn a_renamed_file_has_no_second_writer_and_is_written_to_where_it_was() {
    let (directory, path) = place();
    let mut child = serve(&path);
    let acknowledged = given(&mut child, 0..5);
    let other = directory.path().join("other.db");
    fs::rename(&path, &other).unwrap();
    if cfg!(target_os = "linux") {
        let refused = Sqlite::open(&other).map(drop);
        assert!(matches!(refused, Err(Error::SecondWriter { .. })), "{refused:?}");
    }
    assert_refused(&mut child, 5);
    fs::rename(&other, &path).unwrap();
    let more = given(&mut child, 5..7);
    child.kill();
    assert_eq!(held(&path), &acknowledged | &more);
}

/// What runs a test of this program with a file mounted at another place, too, where it may.
#[cfg(target_os = "linux")]
fn mounted(path: &Path, at: &Path) -> Command {
    let mut program = Command::new("unshare");
    let script = "mount --bind \"$0\" \"$1\" && shift && exec \"$@\" || echo 'child: no mount'";
    program.args(["-rm", "sh", "-c", script]).arg(path).arg(at);
    program.arg(std::env::current_exe().unwrap());
    program
}

/// Not a test of its own: a program that only reads.
#[test]
fn child_reads() {
    let Some(path) = child::argument() else { return };
    match Readers::open(&path, 1) {
        Ok(_) => say("open"),
        Err(error) => say(&format!("refused {error:?}")),
    }
}

/// Where this process may make a namespace of its own. A log that a killed program left is not beside it.
#[test]
#[cfg(target_os = "linux")]
fn a_file_that_is_mounted_by_itself_is_refused() {
    let (directory, path) = place();
    let mut child = serve(&path);
    let acknowledged = given(&mut child, 0..5);
    child.kill();
    let elsewhere = directory.path().join("else where\\");
    fs::create_dir(&elsewhere).unwrap();
    let second = elsewhere.join("live.db");
    fs::write(&second, "").unwrap();
    for child in ["one_file::child_serves", "one_file::child_reads"] {
        match Child::start_by(mounted(&path, &second), child, &second).line() {
            Some(line) if line != "no mount" => {
                assert!(line.starts_with("refused Unavailable"), "{line}");
                assert!(line.contains("MountDirectory"), "{line}");
            }
            _ => println!("skipped: needs namespaces"),
        }
    }
    assert_eq!(held(&path), acknowledged);
}

/// Where this process may make a namespace of its own.
#[test]
#[cfg(target_os = "linux")]
fn a_bind_mount_of_the_file_opens_no_second_writer() {
    let (directory, path) = place();
    let mut child = serve(&path);
    let acknowledged = given(&mut child, 0..5);
    let elsewhere = directory.path().join("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    let second = elsewhere.join("live.db");
    fs::write(&second, "").unwrap();
    let mut other = Child::start_by(mounted(&path, &second), "one_file::child_serves", &second);
    match other.line() {
        Some(line) if line != "no mount" => {
            assert!(line.starts_with("refused SecondWriter"), "{line}");
        }
        _ => println!("skipped: needs namespaces"),
    }
    let more = given(&mut child, 5..7);
    child.kill();
    assert_eq!(held(&path), &acknowledged | &more);
}

#[test]
fn a_file_that_another_takes_the_place_of_is_not_written_to() {
    let (directory, path) = place();
    let backup = directory.path().join("backup.db");
    let mut child = serve(&path);
    given(&mut child, 0..5);
    let saved = format!("VACUUM INTO '{}'", backup.display());
    Connection::open(&path).unwrap().execute_batch(&saved).unwrap();
    given(&mut child, 5..10);
    fs::rename(&backup, &path).unwrap();
    for owner in 10..13 {
        assert_refused(&mut child, owner);
    }
    // And what it leaves is not mixed with the other.
    child.kill();
    let log = fs::read(beside(&path, "-wal")).unwrap();
    assert!(!log.is_empty());
    let refused = [Sqlite::open(&path).map(drop), Readers::open(&path, 1).map(drop)];
    for refused in refused {
        assert!(matches!(refused, Err(Error::Unavailable { .. })), "{refused:?}");
    }
    assert_eq!(fs::read(beside(&path, "-wal")).unwrap(), log);
    fs::remove_file(beside(&path, "-wal")).unwrap();
    assert_eq!(held(&path).len(), 5);
}

#[test]
fn a_log_is_not_mixed_with_an_older_copy_of_its_database() {
    let (_directory, path) = place();
    let mut child = serve(&path);
    given(&mut child, 0..5);
    child.kill();
    assert_eq!(held(&path).len(), 5);
    let old = fs::read(&path).unwrap();
    let mut child = serve(&path);
    given(&mut child, 5..600);
    child.kill();
    fs::write(&path, old).unwrap();
    let refused = Sqlite::open(&path).map(drop);
    assert!(matches!(refused, Err(Error::Unavailable { .. })), "{refused:?}");
}

#[test]
fn all_files_of_a_killed_program_can_be_copied() {
    let (directory, path) = place();
    let mut child = serve(&path);
    let acknowledged = given(&mut child, 0..5);
    child.kill();
    let copy = directory.path().join("copy.db");
    for suffix in ["", "-wal", ".writer"] {
        fs::copy(beside(&path, suffix), beside(&copy, suffix)).unwrap();
    }
    assert_eq!(held(&copy), acknowledged);
}

#[test]
fn a_file_that_was_removed_is_not_written_to() {
    let (_directory, path) = place();
    let mut child = serve(&path);
    given(&mut child, 0..5);
    fs::remove_file(&path).unwrap();
    for owner in 5..8 {
        assert_refused(&mut child, owner);
    }
    assert!(!path.exists(), "another was made");
}

#[test]
fn a_log_whose_database_is_gone_is_refused_and_nothing_is_made() {
    let (directory, path) = place();
    let mut child = serve(&path);
    let acknowledged = given(&mut child, 0..5);
    child.kill();
    let elsewhere = directory.path().join("elsewhere.db");
    fs::rename(&path, &elsewhere).unwrap();
    for _ in 0..2 {
        assert_eq!(
            Sqlite::open(&path).map(drop),
            Err(Error::Unavailable(Outage::LogAlone { path: path.clone() }))
        );
        assert!(!path.exists(), "it left a file");
    }
    fs::rename(&elsewhere, &path).unwrap();
    assert_eq!(held(&path), acknowledged);
}

#[test]
fn what_was_acknowledged_outlasts_the_removal_of_the_log() {
    let (_directory, path) = place();
    let mut child = serve(&path);
    let acknowledged = given(&mut child, 0..5);
    for suffix in ["-wal", "-shm"] {
        fs::remove_file(beside(&path, suffix)).unwrap();
    }
    assert_refused(&mut child, 5);
    child.kill();
    assert_eq!(held(&path), acknowledged);
}

#[test]
fn after_the_log_was_cut_off_nothing_is_acknowledged() {
    let (_directory, path) = place();
    let mut child = serve(&path);
    given(&mut child, 0..5);
    // Another program may do so, once it has copied what was in it.
    let other = Connection::open(&path).unwrap();
    let emptied = other.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0));
    assert_eq!(emptied, Ok(0));
    let acknowledged = given(&mut child, 5..7).len();
    drop(other);
    fs::OpenOptions::new().write(true).open(beside(&path, "-wal")).unwrap().set_len(0).unwrap();
    for owner in 7..10 {
        assert_refused(&mut child, owner);
    }
    child.kill();
    assert_eq!((acknowledged, held(&path).len()), (2, 5), "what had been copied before");
}

#[test]
fn a_clean_stop_leaves_one_file_that_is_the_whole_database() {
    // Readers that are closed after the writer, before it, and none.
    for order in ["after", "before", "none"] {
        let (directory, path) = place();
        let store = Sqlite::open(&path).unwrap();
        let mut readers = (order != "none").then(|| store.readers(2).unwrap());
        let writer = Writer::start(store, || NOW, WriterOptions::default()).unwrap();
        let allocator = Allocator::new(writer, "test");
        make_pool(&allocator);
        for owner in 0..50 {
            allocator.allocate(request(owner)).wait().unwrap();
        }
        if let Some(readers) = &readers {
            assert_eq!(readers.read(|tx| verify(tx)), Ok(vec![]));
        }
        if order == "before" {
            readers = None;
        }
        drop(allocator);
        let copy = directory.path().join("copy.db");
        fs::copy(&path, &copy).unwrap();
        assert_eq!(held(&copy).len(), 50, "{order}");
        drop(readers);
        for suffix in [
            "-wal",
            "-shm",
            #[cfg(target_os = "linux")]
            ".writer",
        ] {
            assert!(!beside(&path, suffix).exists(), "{order}: {suffix} is left");
        }
    }
}

/// Nothing of a new database is in its log alone: a copy of the file is never taken for none.
#[test]
fn a_new_database_is_one_from_the_start() {
    let (directory, path) = place();
    let _store = Sqlite::open(&path).unwrap();
    let copy = directory.path().join("copy.db");
    fs::copy(&path, &copy).unwrap();
    let readers = Readers::open(&copy, 1).unwrap();
    assert_eq!(readers.read(|tx| verify(tx)), Ok(vec![]));
}

#[test]
fn closing_tells_when_another_program_still_needs_the_log() {
    let (_directory, path) = place();
    let mut store = Sqlite::open(&path).unwrap();
    let other = Connection::open_with_flags(&path, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    other.execute_batch("BEGIN").unwrap();
    let count = |sql: &str| other.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
    assert_eq!(count("SELECT count(*) FROM alloc_lease"), 0);
    store.transaction(|tx| tx.script("CREATE TABLE theirs (number BIGINT)")).unwrap();
    let closed = store.close();
    assert!(matches!(closed, Err(Error::Unavailable { .. })), "{closed:?}");
    // And nothing is wrong with what is left.
    drop(other);
    assert_eq!(Sqlite::open(&path).unwrap().close(), Ok(()));
    assert!(!beside(&path, "-wal").exists());
}

/// Not a test of its own: reads one snapshot after the other until it is killed.
#[test]
fn child_reads_on() {
    let Some(path) = child::argument() else { return };
    say("open");
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let connection = Connection::open(&path).unwrap();
                let begun = Instant::now();
                while begun.elapsed() < Duration::from_secs(60) {
                    read(&connection);
                }
            });
        }
    });
}

/// One snapshot, for a few milliseconds.
fn read(connection: &Connection) {
    connection.execute_batch("BEGIN").unwrap();
    let sql = "SELECT count(*) FROM alloc_lease";
    connection.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
    thread::sleep(Duration::from_millis(3));
    connection.execute_batch("COMMIT").unwrap();
}

#[test]
fn the_log_stays_below_four_times_the_database_while_readers_overlap() {
    let (_directory, path) = place();
    let store = Sqlite::open(&path).unwrap();
    let readers = store.readers(4).unwrap();
    let writer = Writer::start(store, || NOW, WriterOptions::default()).unwrap();
    let allocator = Allocator::new(writer, "test");
    make_pool(&allocator);
    let mut other = Child::start("one_file::child_reads_on", &path);
    assert_eq!(other.line().as_deref(), Some("open"));
    let done = AtomicBool::new(false);
    let (mut longest, mut slowest) = (0.0_f64, Duration::ZERO);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    let read = readers.read(|tx| {
                        tx.query("SELECT count(*) FROM alloc_lease", &[])?;
                        thread::sleep(Duration::from_millis(3));
                        Ok::<_, Error>(())
                    });
                    read.unwrap();
                }
            });
        }
        for round in 0..400 {
            let begun = Instant::now();
            let answers: Vec<_> =
                (0..25).map(|owner| allocator.allocate(request(round * 25 + owner))).collect();
            assert!(answers.into_iter().all(|answer| answer.wait().is_ok()));
            slowest = slowest.max(begun.elapsed());
            let log = beside(&path, "-wal").metadata().unwrap().len();
            let pages = allocator
                .transaction(|tx, _, _| tx.query("PRAGMA page_count", &[])?[0].columns().integer());
            let ratio = log as f64 / (4096 * pages.wait().unwrap()) as f64;
            longest = longest.max(ratio);
        }
        done.store(true, Ordering::Relaxed);
    });
    println!("at most {longest:.1} times the database; the slowest batch took {slowest:?}");
    other.kill();
    assert!(longest < 4.0, "the log was {longest:.1} times as long as the database");
}
