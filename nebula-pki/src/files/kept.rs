//! What a file keeps when another takes its place.

use std::fs::{File, Metadata, Permissions};
use std::io;
use std::path::Path;

/// Owner, mode and, on Linux, the extended attributes of a file.
#[derive(Debug, PartialEq)]
pub(super) struct Kept {
    owner: Owner,
    permissions: Permissions,
    attributes: Attributes,
}

impl Kept {
    pub(super) fn of(target: &Path, old: &Metadata) -> io::Result<Self> {
        Ok(Self {
            owner: owner(old),
            permissions: old.permissions(),
            attributes: attributes(target)?,
        })
    }

    /// Gives all of it to a new file that its owner only may open; fails if it can't have all.
    ///
    /// Whoever opens the file sees what is written to it later, so that at no time may anybody do more
    /// than in the end: the list that the directory gave it goes first, its own comes when the owner is
    /// right, and only the mode comes after that. `after` sees the file after each step.
    pub(super) fn give(&self, new: &File, mut after: impl FnMut(&File)) -> io::Result<()> {
        remove_inherited(new)?;
        after(new);
        give_owner(new, &self.owner)?;
        after(new);
        give_attributes(new, &self.attributes, &mut after)?;
        // Last: without a list the mode alone says who gets in. With one they share the group's bits.
        new.set_permissions(self.permissions.clone())?;
        after(new);
        Ok(())
    }
}

#[cfg(unix)]
type Owner = (u32, u32);

#[cfg(not(unix))]
type Owner = ();

#[cfg(unix)]
fn owner(of: &Metadata) -> Owner {
    use std::os::unix::fs::MetadataExt as _;
    (of.uid(), of.gid())
}

#[cfg(not(unix))]
fn owner(_: &Metadata) -> Owner {}

#[cfg(unix)]
fn give_owner(new: &File, wanted: &Owner) -> io::Result<()> {
    let has = owner(&new.metadata()?);
    let other = |has: u32, wanted: u32| (has != wanted).then_some(wanted);
    match (other(has.0, wanted.0), other(has.1, wanted.1)) {
        (None, None) => Ok(()),
        (owner, group) => std::os::unix::fs::fchown(new, owner, group),
    }
}

#[cfg(not(unix))]
fn give_owner(_: &File, _: &Owner) -> io::Result<()> {
    Ok(())
}

#[cfg(any(target_os = "linux", target_os = "android"))]
use linux::{Attributes, attributes, give_attributes, remove_inherited};

/// Elsewhere nothing is known of them.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
mod unknown {
    use std::fs::File;
    use std::io;
    use std::path::Path;

    pub(super) type Attributes = ();

    pub(super) fn attributes(_: &Path) -> io::Result<Attributes> {
        Ok(())
    }

    pub(super) fn remove_inherited(_: &File) -> io::Result<()> {
        Ok(())
    }

    pub(super) fn give_attributes(
        _: &File,
        _: &Attributes,
        _: impl FnMut(&File),
    ) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
use unknown::{Attributes, attributes, give_attributes, remove_inherited};

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

    /// Those that belong to the contents, and not to the file. The kernel takes the first from a file
    /// that is written to as well.
    const OF_CONTENTS: [&str; 3] = ["security.capability", "security.evm", "security.ima"];

    /// Extended attributes, by name: access control lists, labels, and what users add.
    pub(super) type Attributes = BTreeMap<CString, Vec<u8>>;

    pub(super) fn attributes(target: &Path) -> io::Result<Attributes> {
        read(|list| listxattr(target, list), |name, value| getxattr(target, name, value))
    }

    /// Whether it says who may do what with the file.
    fn is_list(name: &CString) -> bool {
        name.as_bytes().starts_with(b"system.")
    }

    /// A directory's default list lets in who could not read the old file.
    pub(super) fn remove_inherited(new: &File) -> io::Result<()> {
        for name in of_new(new)?.keys().filter(|name| is_list(name)) {
            fremovexattr(new, name.as_c_str())?;
        }
        Ok(())
    }

    /// The lists last: the label may forbid what they permit.
    pub(super) fn give_attributes(
        new: &File,
        wanted: &Attributes,
        mut after: impl FnMut(&File),
    ) -> io::Result<()> {
        let has = of_new(new)?;
        let (lists, others): (Vec<_>, Vec<_>) = wanted.iter().partition(|(name, _)| is_list(name));
        for (name, value) in others.into_iter().chain(lists) {
            if has.get(name) != Some(value) {
                fsetxattr(new, name.as_c_str(), value, XattrFlags::empty())?;
                after(new);
            }
        }
        Ok(())
    }

    fn of_new(new: &File) -> io::Result<Attributes> {
        read(|list| flistxattr(new, list), |name, value| fgetxattr(new, name, value))
    }

    fn read(
        list: impl FnOnce(&mut [u8]) -> rustix::io::Result<usize>,
        get: impl Fn(&std::ffi::CStr, &mut [u8]) -> rustix::io::Result<usize>,
    ) -> io::Result<Attributes> {
        let mut buffer = vec![0; MAX_LEN];
        let len = match list(&mut buffer) {
            // The file system has none.
            Err(Errno::NOTSUP) => return Ok(Attributes::new()),
            len => len?,
        };
        buffer.truncate(len);
        let mut found = Attributes::new();
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
