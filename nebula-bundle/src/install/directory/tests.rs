#![allow(clippy::panic, clippy::unwrap_used, reason = "a failure here is a failed test")]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use tempfile::TempDir;

use super::*;

/// Does so many steps, then none: as if the program had been killed.
struct StopAfter(usize);

impl StopAfter {
    fn step(&mut self, done: impl FnOnce(&mut Real) -> Result<(), Error>) -> Result<(), Error> {
        match self.0.checked_sub(1) {
            Some(left) => {
                self.0 = left;
                done(&mut Real)
            }
            None => Err(stopped()),
        }
    }
}

fn stopped() -> Error {
    let kind = io::ErrorKind::Interrupted;
    Error::Disk { action: DiskAction::Sync, path: PathBuf::new(), kind }
}

impl Disk for StopAfter {
    fn create_directory(&mut self, path: &Path) -> Result<(), Error> {
        self.step(|disk| disk.create_directory(path))
    }

    fn write(&mut self, path: &Path, contents: &str) -> Result<(), Error> {
        // Half a file is the worst that a killed program leaves.
        if self.0 == 0 {
            fs::write(path, contents.split_at(contents.len() / 2).0).unwrap();
        }
        self.step(|disk| disk.write(path, contents))
    }

    fn sync(&mut self, directory: &Path) -> Result<(), Error> {
        self.step(|disk| disk.sync(directory))
    }

    fn rename(&mut self, from: &Path, to: &Path) -> Result<(), Error> {
        self.step(|disk| disk.rename(from, to))
    }

    fn link(&mut self, target: &Path, at: &Path) -> Result<(), Error> {
        self.step(|disk| disk.link(target, at))
    }

    fn remove(&mut self, path: &Path) -> Result<(), Error> {
        self.step(|disk| disk.remove(path))
    }
}

fn files(number: u8) -> InstallFiles {
    let one = |name| archive::File { name, contents: format!("{name} {number}\n") };
    InstallFiles::new(FILES.into_iter().map(one).collect())
}

fn names(installation: &Installation) -> Vec<String> {
    let entries = fs::read_dir(installation.directory.join(BUNDLES)).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

fn current(installation: &Installation) -> InstallFiles {
    installation.current().unwrap().unwrap().files().unwrap()
}

#[test]
fn stopped_after_any_step_the_current_bundle_is_whole_and_the_next_run_ends_it() {
    let mut steps = 0;
    loop {
        let directory = TempDir::new().unwrap();
        let installation = Installation::new(directory.path());
        installation.install(&files(0)).unwrap();
        installation.install(&files(1)).unwrap();

        let outcome = installation.install_on(&mut StopAfter(steps), &files(2));
        let found = current(&installation);
        assert!(found == files(1) || found == files(2), "after {steps} steps");
        // There is always one to go back to.
        installation.previous().unwrap().unwrap().files().unwrap();

        let again = Installation::new(directory.path());
        again.install(&files(2)).unwrap();
        assert_eq!(current(&again), files(2), "after {steps} steps");
        again.install(&files(3)).unwrap();
        assert_eq!(current(&again), files(3));
        assert_eq!(again.previous().unwrap().unwrap().files().unwrap(), files(2));
        assert_eq!(names(&again).len(), 2, "after {steps} steps");
        if outcome == Ok(true) {
            break;
        }
        assert_eq!(outcome, Err(stopped()));
        steps += 1;
    }
    assert!(steps >= 15, "{steps}");
}

#[test]
fn the_first_installation_stopped_after_any_step_leaves_none_or_all() {
    let mut steps = 0;
    loop {
        let directory = TempDir::new().unwrap();
        let installation = Installation::new(directory.path());
        let outcome = installation.install_on(&mut StopAfter(steps), &files(1));
        if installation.current().unwrap().is_some() {
            assert_eq!(current(&installation), files(1));
        }
        installation.install(&files(1)).unwrap();
        assert_eq!(current(&installation), files(1));
        if outcome == Ok(true) {
            break;
        }
        steps += 1;
    }
}

#[test]
fn a_running_program_reads_the_new_files_through_the_same_path() {
    let directory = TempDir::new().unwrap();
    let installation = Installation::new(directory.path());
    for number in [1, 2] {
        assert_eq!(installation.install(&files(number)), Ok(true));
        let path = installation.link().join("nebula.yml");
        assert_eq!(fs::read_to_string(&path).unwrap(), format!("nebula.yml {number}\n"));
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
        let bundle = installation.current().unwrap().unwrap();
        assert_eq!(fs::metadata(bundle.path()).unwrap().permissions().mode() & 0o7777, 0o700);
        assert_eq!(bundle.digest(), files(number).digest().to_string());
    }
    assert_eq!(installation.install(&files(2)), Ok(false));
    assert_eq!(installation.previous().unwrap().unwrap().files().unwrap(), files(1));
}

#[test]
fn what_was_changed_on_the_disk_is_noticed_and_written_anew() {
    let directory = TempDir::new().unwrap();
    let installation = Installation::new(directory.path());
    installation.install(&files(1)).unwrap();
    fs::write(installation.link().join("node.crt"), "").unwrap();
    let damaged = installation.current().unwrap().unwrap().files();
    assert!(
        matches!(damaged, Err(Error::Install { defect: InstallDefect::Damaged, .. })),
        "{damaged:?}"
    );
    assert_eq!(installation.install(&files(1)), Ok(true));
    assert_eq!(current(&installation), files(1));
    assert_eq!(installation.install(&files(2)), Ok(true));
    fs::write(installation.previous().unwrap().unwrap().path().join("ca.crt"), "").unwrap();
    assert!(installation.previous().unwrap().unwrap().files().is_err());
    assert_eq!(current(&installation), files(2));
}

#[test]
fn what_is_no_link_to_a_bundle_is_refused_and_files_of_others_stay() {
    let directory = TempDir::new().unwrap();
    let installation = Installation::new(directory.path());
    installation.install(&files(1)).unwrap();
    fs::write(directory.path().join("bundles/notes"), "mine").unwrap();
    installation.install(&files(2)).unwrap();
    installation.install(&files(3)).unwrap();
    assert!(directory.path().join("bundles/notes").exists());
    for target in ["/etc", "bundles/../../etc", "bundles", "bundles/x"] {
        let link = directory.path().join(CURRENT);
        fs::remove_file(&link).unwrap();
        std::os::unix::fs::symlink(target, &link).unwrap();
        let refused = installation.current();
        assert!(
            matches!(refused, Err(Error::Install { defect: InstallDefect::Damaged, .. })),
            "{target}: {refused:?}"
        );
    }
}

#[test]
fn a_directory_that_cannot_be_written_is_an_error_that_names_it() {
    let directory = TempDir::new().unwrap();
    let missing = directory.path().join("missing");
    let refused = Installation::new(&missing).install(&files(1));
    let Err(Error::Disk { action: DiskAction::CreateDirectory, path, kind }) = refused else {
        panic!("{refused:?}")
    };
    assert_eq!((path, kind), (missing.join(BUNDLES), io::ErrorKind::NotFound));
}
