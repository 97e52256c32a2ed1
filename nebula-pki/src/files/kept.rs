//! What a file keeps when another takes its place.

use std::fs::{File, Metadata};
use std::io;
use std::path::Path;

/// Gives the new file everything that the old one has but its contents; fails if it can't have all.
pub(super) fn keep(new: &File, target: &Path, old: &Metadata) -> io::Result<()> {
    keep_owner(new, old)?;
    // Before the attributes: on Linux the mode and the access control list share the group's bits.
    new.set_permissions(old.permissions())?;
    keep_attributes(new, target)
}

#[cfg(unix)]
fn keep_owner(new: &File, old: &Metadata) -> io::Result<()> {
    use std::os::unix::fs::{MetadataExt as _, fchown};

    let has = new.metadata()?;
    let other = |has: u32, had: u32| (has != had).then_some(had);
    match (other(has.uid(), old.uid()), other(has.gid(), old.gid())) {
        (None, None) => Ok(()),
        (owner, group) => fchown(new, owner, group),
    }
}

#[cfg(not(unix))]
fn keep_owner(_: &File, _: &Metadata) -> io::Result<()> {
    Ok(())
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn keep_attributes(new: &File, target: &Path) -> io::Result<()> {
    linux::keep_attributes(new, target)
}

/// Elsewhere nothing is known of them.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn keep_attributes(_: &File, _: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(any(target_os = "linux", target_os = "android"))]
mod linux {
    use std::collections::BTreeMap;
    use std::ffi::CString;
    use std::fs::File;
    use std::io;
    use std::path::Path;

    use rustix::fs::{
        XattrFlags, fgetxattr, flistxattr, fremovexattr, fsetxattr, getxattr, listxattr,
    };
    use rustix::io::Errno;

    /// The largest value, and the longest list of names, in bytes (xattr(7)).
    const MAX_LEN: usize = 65_536;

    /// Those that belong to the contents, and not to the file.
    const OF_CONTENTS: [&str; 3] = ["security.capability", "security.evm", "security.ima"];

    /// Extended attributes: access control lists, labels, and what users add.
    pub(super) fn keep_attributes(new: &File, target: &Path) -> io::Result<()> {
        let has = read(|list| flistxattr(new, list), |name, value| fgetxattr(new, name, value))?;
        let had =
            read(|list| listxattr(target, list), |name, value| getxattr(target, name, value))?;
        for (name, value) in &had {
            if has.get(name) != Some(value) {
                fsetxattr(new, name.as_c_str(), value, XattrFlags::empty())?;
            }
        }
        // A directory's default list lets in who could not read the old file.
        for name in has.keys().filter(|name| !had.contains_key(*name)) {
            if name.as_bytes().starts_with(b"system.") {
                fremovexattr(new, name.as_c_str())?;
            }
        }
        Ok(())
    }

    fn read(
        list: impl FnOnce(&mut [u8]) -> rustix::io::Result<usize>,
        get: impl Fn(&std::ffi::CStr, &mut [u8]) -> rustix::io::Result<usize>,
    ) -> io::Result<BTreeMap<CString, Vec<u8>>> {
        let mut buffer = vec![0; MAX_LEN];
        let len = match list(&mut buffer) {
            // The file system has none.
            Err(Errno::NOTSUP) => return Ok(BTreeMap::new()),
            len => len?,
        };
        buffer.truncate(len);
        let mut found = BTreeMap::new();
        for name in buffer.split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
            if OF_CONTENTS.iter().any(|skipped| skipped.as_bytes() == name) {
                continue;
            }
            let name = CString::new(name)?;
            let mut value = vec![0; MAX_LEN];
            let len = get(&name, &mut value)?;
            value.truncate(len);
            found.insert(name, value);
        }
        Ok(found)
    }
}
