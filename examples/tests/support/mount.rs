//! A file system that is soon full.

use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

/// A tmpfs; dropping it unmounts it.
pub struct SmallDisk(TempDir);

impl SmallDisk {
    /// Mounts one of this size. Without the right to it the test is to be skipped, which is said,
    /// unless peers are required.
    pub fn mount(size: &str) -> Option<Self> {
        let directory = tempfile::tempdir().expect("a directory");
        let options = format!("size={size},mode=0700");
        let output = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &options, "tmpfs"])
            .arg(directory.path())
            .output();
        let refusal = match output {
            Ok(output) if output.status.success() => return Some(Self(directory)),
            Ok(output) => String::from_utf8_lossy(&output.stderr).trim_end().to_owned(),
            Err(error) => error.to_string(),
        };
        assert!(std::env::var("REQUIRE_PEERS").as_deref() != Ok("1"), "no tmpfs: {refusal}");
        eprintln!("skipped: a small disk needs root, to mount a tmpfs ({refusal})");
        None
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    pub fn resize(&self, size: &str) {
        let options = format!("remount,size={size}");
        let resized = Command::new("mount").args(["-o", &options]).arg(self.path()).status();
        assert!(resized.expect("it mounted before").success());
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily, so that a server that is still ending cannot keep it.
        let unmounted = Command::new("umount").arg("-l").arg(self.path()).status();
        if !unmounted.is_ok_and(|status| status.success()) {
            eprintln!("{} is still mounted", self.path().display());
        }
    }
}
