#![allow(clippy::unwrap_used, reason = "a failure here is a failed test")]

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, symlink};

use rustix::fs::{XattrFlags, getxattr, setxattr};
use tempfile::TempDir;

use super::*;

const LIST: &str = "system.posix_acl_access";

fn directory_with(name: &str, contents: &str, mode: u32) -> (TempDir, PathBuf) {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join(name);
    fs::write(&path, contents).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    (directory, path)
}

fn names(directory: &TempDir) -> Vec<String> {
    let entries = fs::read_dir(directory.path()).unwrap();
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// An access control list as Linux stores it: version 2, then tag, permissions and id of each entry.
fn list(entries: [(u16, u16, u32); 5]) -> Vec<u8> {
    let mut bytes = 2_u32.to_le_bytes().to_vec();
    for (tag, permissions, id) in entries {
        bytes.extend(tag.to_le_bytes());
        bytes.extend(permissions.to_le_bytes());
        bytes.extend(id.to_le_bytes());
    }
    bytes
}

/// The owner, one user more, the group, the mask, and nobody else.
fn one_user_more() -> Vec<u8> {
    let none = u32::MAX;
    list([(1, 6, none), (2, 4, 65_534), (4, 0, none), (16, 4, none), (32, 0, none)])
}

fn attribute(path: &Path, name: &str) -> Option<Vec<u8>> {
    let mut value = vec![0; 1_000];
    let len = getxattr(path, name, &mut value[..]).ok()?;
    value.truncate(len);
    Some(value)
}

fn owner(path: &Path) -> (u32, u32, u32) {
    let found = path.metadata().unwrap();
    (found.uid(), found.gid(), found.mode() & 0o7777)
}

#[test]
fn who_may_read_a_file_stays_the_same() {
    let (directory, path) = directory_with("n.crt", "old", 0o640);
    let can_give = chown(&path, Some(65_534), Some(65_533)).is_ok();
    let before = owner(&path);
    replace(&path, b"new", 0o600).unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"new");
    assert_eq!(owner(&path), before, "an owner can be given: {can_give}");
    assert_eq!(names(&directory), ["n.crt"]);

    let has_lists = setxattr(&path, LIST, &one_user_more(), XattrFlags::empty()).is_ok();
    let has_users = setxattr(&path, "user.origin", b"here", XattrFlags::empty()).is_ok();
    let before = owner(&path);
    replace(&path, b"newer", 0o600).unwrap();
    assert_eq!(attribute(&path, LIST), has_lists.then(one_user_more));
    assert_eq!(attribute(&path, "user.origin"), has_users.then(|| b"here".to_vec()));
    assert_eq!(owner(&path), before);
}

#[test]
fn a_directorys_default_list_lets_nobody_in() {
    let (directory, path) = directory_with("n.key", "old", 0o660);
    let default = "system.posix_acl_default";
    if setxattr(directory.path(), default, &one_user_more(), XattrFlags::empty()).is_ok() {
        replace(&path, b"new", 0o600).unwrap();
        assert_eq!(attribute(&path, LIST), None);
        assert_eq!(owner(&path).2, 0o660);
    }
}

/// Gives what the old file has to a new one in its directory, and calls everything wider that is not yet
/// as it is in the end.
fn assert_never_wider(directory: &TempDir, path: &Path) {
    let kept = Kept::of(path, &path.metadata().unwrap()).unwrap();
    let new = directory.path().join("new");
    let mut options = OpenOptions::new();
    std::os::unix::fs::OpenOptionsExt::mode(options.write(true).create_new(true), 0o600);
    let file = options.open(&new).unwrap();
    assert_eq!(owner(&new).2 & 0o077, 0);
    kept.give(&file, |_| {
        let is_final =
            attribute(&new, LIST) == attribute(path, LIST) && owner(&new).1 == owner(path).1;
        assert!(is_final || owner(&new).2 & 0o077 == 0, "{:o}", owner(&new).2);
    })
    .unwrap();
    assert_eq!(owner(&new), owner(path));
    assert_eq!(attribute(&new, LIST), attribute(path, LIST));
}

#[test]
fn nobody_may_open_the_new_file_before_the_last_step() {
    let (directory, path) = directory_with("n.key", "old", 0o640);
    let _ = chown(&path, Some(65_534), Some(65_533));
    assert_never_wider(&directory, &path);

    // 0640 is the mode that both have; here the group may do nothing.
    let (directory, path) = directory_with("n.key", "old", 0o640);
    if setxattr(&path, LIST, &one_user_more(), XattrFlags::empty()).is_ok() {
        assert_never_wider(&directory, &path);
    }

    // Here the directory lets in one user more than the file did.
    let (directory, path) = directory_with("n.key", "old", 0o640);
    let default = "system.posix_acl_default";
    if setxattr(directory.path(), default, &one_user_more(), XattrFlags::empty()).is_ok() {
        assert_never_wider(&directory, &path);
    }
}

#[test]
fn what_is_done_to_the_file_meanwhile_is_not_undone() {
    let change = |change: fn(&Path), expected: &str| {
        let (directory, path) = directory_with("n.crt", "old", 0o640);
        let staged = Replacement::stage(&path, b"new", 0o600).unwrap();
        change(&path);
        assert_eq!(staged.commit().unwrap_err().kind(), ErrorKind::WouldBlock, "{expected}");
        assert_eq!(fs::read(&path).unwrap(), expected.as_bytes());
        assert_eq!(names(&directory), ["n.crt"]);
        owner(&path)
    };
    let mode = |path: &Path| fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(change(mode, "old").2, 0o600);
    change(|path| fs::write(path, "another").unwrap(), "another");
    let others = |path: &Path| {
        fs::rename(path.with_file_name("n.crt"), path.with_file_name("o")).unwrap();
        fs::rename(path.with_file_name("o"), path).unwrap();
        replace(path, b"two", 0o600).unwrap();
    };
    change(others, "two");
    let (_directory, path) = directory_with("n.crt", "old", 0o640);
    if chown(&path, Some(65_534), None).is_ok() {
        let give = |path: &Path| chown(path, Some(65_533), None).unwrap();
        assert_eq!(change(give, "old").0, 65_533);
    }
}

#[test]
fn of_two_that_overwrite_one_file_the_second_fails() {
    let (_directory, path) = directory_with("n.crt", "old", 0o600);
    // As in a directory that is read-only.
    let stage = |contents: &[u8]| {
        let mut staged = Replacement::stage(&path, contents, 0o600).unwrap();
        staged.beside = None;
        staged.before = Some(Zeroizing::new(b"old".to_vec()));
        staged
    };
    let (first, second) = (stage(b"1st"), stage(b"2nd"));
    first.commit().unwrap();
    assert_eq!(second.commit().unwrap_err().kind(), ErrorKind::WouldBlock);
    assert_eq!(fs::read(&path).unwrap(), b"1st");
}

#[test]
fn what_is_in_the_way_beside_it_is_left_alone() {
    let (directory, path) = directory_with("n.crt", "old", 0o600);
    let at = |name: &str| directory.path().join(name);
    // Left over, with a lock of somebody who may read it.
    fs::write(at(".n.crt.nebula-new"), "half").unwrap();
    let reader = File::open(at(".n.crt.nebula-new")).unwrap();
    reader.try_lock_shared().unwrap();
    fs::create_dir(at(".n.crt.2.nebula-new")).unwrap();
    replace(&path, b"new", 0o600).unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"new");
    assert_eq!(names(&directory), [".n.crt.2.nebula-new", ".n.crt.nebula-new", "n.crt"]);
    drop(reader);
    replace(&path, b"newer", 0o600).unwrap();
    assert_eq!(names(&directory), [".n.crt.2.nebula-new", "n.crt"]);
}

#[test]
fn a_file_without_a_name_is_written_to() {
    let (directory, path) = directory_with("n.crt", "old", 0o600);
    let mut file = OpenOptions::new().read(true).write(true).open(&path).unwrap();
    fs::remove_file(&path).unwrap();
    // The name that the kernel shows for it.
    let other = directory.path().join("n.crt (deleted)");
    fs::write(&other, "another's").unwrap();
    let descriptor = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&file));
    replace(Path::new(&descriptor), b"newer", 0o600).unwrap();
    let mut found = String::new();
    file.read_to_string(&mut found).unwrap();
    assert_eq!(found, "newer");
    assert_eq!(fs::read(&other).unwrap(), b"another's");
}

#[test]
fn a_new_file_has_the_mode_asked_for() {
    let (directory, path) = directory_with("other", "", 0o600);
    for mode in [0o600, 0o400] {
        let new = directory.path().join(format!("{mode:o}"));
        replace(&new, b"new", mode).unwrap();
        assert_eq!(owner(&new).2, mode);
    }
    let link = directory.path().join("link");
    symlink("behind", &link).unwrap();
    replace(&link, b"new", 0o600).unwrap();
    assert!(link.is_symlink());
    assert_eq!(fs::read(path.with_file_name("behind")).unwrap(), b"new");
}

#[test]
fn what_is_not_committed_changes_nothing() {
    let (directory, path) = directory_with("n.crt", "old", 0o600);
    let staged = Replacement::stage(&path, b"new", 0o600).unwrap();
    let other = Replacement::stage(&directory.path().join("m.crt"), b"new", 0o600).unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"old");
    drop((staged, other));
    assert_eq!(fs::read(&path).unwrap(), b"old");
    assert_eq!(names(&directory), ["n.crt"]);

    let nowhere = directory.path().join("none/n.crt");
    let error = Replacement::stage(&nowhere, b"new", 0o600).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
}

#[test]
fn a_file_left_behind_by_a_crash_goes_and_nobodys_own() {
    let (directory, path) = directory_with("n.crt", "old", 0o600);
    fs::write(directory.path().join(".n.crt.nebula-new"), "half").unwrap();
    // Somebody's own, as people name what they have prepared.
    for name in ["n.crt.new", "n.new", "n.crt~"] {
        fs::write(directory.path().join(name), "another key").unwrap();
    }
    replace(&path, b"new", 0o600).unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"new");
    assert_eq!(names(&directory), ["n.crt", "n.crt.new", "n.crt~", "n.new"]);
}

#[test]
fn two_at_once_do_not_mix() {
    let (directory, path) = directory_with("n.crt", "old", 0o600);
    let first = Replacement::stage(&path, b"first", 0o600).unwrap();
    let second = Replacement::stage(&path, b"second", 0o600).unwrap();
    first.commit().unwrap();
    assert_eq!(second.commit().unwrap_err().kind(), ErrorKind::WouldBlock);
    assert_eq!(fs::read(&path).unwrap(), b"first");
    let new = directory.path().join("m.crt");
    let [first, second] =
        [b"1st", b"2nd"].map(|text| Replacement::stage(&new, text, 0o600).unwrap());
    second.commit().unwrap();
    assert_eq!(first.commit().unwrap_err().kind(), ErrorKind::WouldBlock);
    assert_eq!(fs::read(&new).unwrap(), b"2nd");
    assert_eq!(names(&directory), ["m.crt", "n.crt"]);
}

#[test]
fn a_file_with_the_longest_name_is_replaced() {
    for name in ["n".repeat(255), "é".repeat(127)] {
        let (directory, path) = directory_with(&name, "older and longer", 0o640);
        let before = path.metadata().unwrap();
        let reader = File::open(&path).unwrap();
        replace(&path, b"new", 0o600).unwrap();
        assert_eq!((fs::read(&path).unwrap(), owner(&path).2), (b"new".to_vec(), 0o640));
        assert!(!place::is_same(&before, &path.metadata().unwrap()));
        drop(reader);
        assert_eq!(names(&directory), [name]);
    }
}

#[test]
fn an_overwriting_that_fails_leaves_the_old_contents() {
    let (_directory, path) = directory_with("n.crt", "old", 0o600);
    let staged = Replacement::stage(&path, b"new", 0o600).unwrap();
    fs::rename(&path, path.with_extension("moved")).unwrap();
    fs::write(&path, "somebody else's").unwrap();
    assert!(staged.overwrite().is_err());
    assert_eq!(fs::read(&path).unwrap(), b"somebody else's");
}

#[test]
fn what_is_no_file_is_written_to() {
    replace(Path::new("/dev/null"), b"new", 0o600).unwrap();
    assert!(!Path::new("/dev/null").metadata().unwrap().is_file());
    let directory = TempDir::new().unwrap();
    assert!(replace(directory.path(), b"new", 0o600).is_err());
}

#[test]
fn one_file_is_one_however_it_is_spelled() {
    let (directory, path) = directory_with("k", "", 0o600);
    let at = |name: &str| directory.path().join(name);
    symlink("k", at("link")).unwrap();
    symlink("new", at("link to new")).unwrap();
    fs::hard_link(&path, at("hard")).unwrap();
    fs::create_dir(at("d")).unwrap();
    for (one, other) in [
        ("k", "./k"),
        ("k", "d/../k"),
        ("k", "link"),
        ("k", "hard"),
        ("new", "./new"),
        ("new", "d/../new"),
        ("new", "link to new"),
    ] {
        assert!(is_one_file(&at(one), &at(other)), "{one} {other}");
    }
    for (one, other) in [("k", "new"), ("new", "newer"), ("new", "d/new"), ("none/k", "none/k")] {
        assert!(!is_one_file(&at(one), &at(other)), "{one} {other}");
    }
    assert!(!is_one_file(Path::new("/dev/null"), Path::new("/dev/null")));
    assert!(is_one_file(Path::new("to be made"), Path::new("./to be made")));
}
