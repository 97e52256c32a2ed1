//! What becomes of files.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::process::Command;

use crate::command::{Scratch, ours};
use crate::{refuse, with_ca};

#[test]
fn two_outputs_into_one_file_are_refused() {
    let scratch = with_ca(&[]);
    let both = "-out-key and -out-crt both set to \"x\"";
    refuse(&scratch, &["ca", "-name", "n", "-out-key", "x", "-out-crt", "x"], both);
    let sign = ["sign", "-name", "n", "-networks", "10.1.1.1/24", "-out-key", "x", "-out-crt", "x"];
    refuse(&scratch, &sign, both);
    let keygen = ["keygen", "-out-key", "x", "-out-pub", "x"];
    refuse(&scratch, &keygen, "-out-key and -out-pub both set to \"x\"");
    assert!(!scratch.path("x").exists());

    let one_file = "-out-key and -out-pub set to one file: \"k\", ";
    let keygen = |other| {
        scratch.run(&["keygen", "-out-key", "k", "-out-pub", other]).stderr.contains(one_file)
    };
    assert!(keygen("./k") && !scratch.path("k").exists());
    scratch.write("k", "a key");
    symlink("k", scratch.path("link")).unwrap();
    fs::hard_link(scratch.path("k"), scratch.path("hard")).unwrap();
    assert!(keygen("./k") && keygen("link") && keygen("hard"));
    assert_eq!(scratch.read("k"), "a key");
    refuse(
        &scratch,
        &["sign", "-name", "n", "-networks", "10.1.1.1/24", "-out-qr", "./n.key"],
        "-out-key and -out-qr set to one file: \"n.key\", \"./n.key\"",
    );
}

#[test]
fn two_outputs_into_one_pipe_or_device_come_one_after_the_other() {
    let scratch = Scratch::new();
    let keygen = |path| scratch.run(&["keygen", "-out-key", path, "-out-pub", path]);
    let both = keygen("/dev/stdout");
    assert_eq!((both.exit, &*both.stderr), (0, ""));
    let banners: Vec<_> =
        both.stdout().lines().filter(|line| line.contains("BEGIN")).map(str::to_owned).collect();
    let names = ["PRIVATE KEY", "PUBLIC KEY"];
    assert_eq!(banners, names.map(|name| format!("-----BEGIN NEBULA X25519 {name}-----")));
    let neither = keygen("/dev/null");
    assert_eq!((neither.exit, &*neither.stderr), (0, ""));
}

/// A shell as another user, or with mounts of its own; false where this process may not have one.
fn shell(scratch: &Scratch, around: &[&str], script: &str) -> bool {
    let run = |script: &str| {
        Command::new(around[0])
            .args(&around[1..])
            .args(["sh", "-euc", script])
            .env("NEBULA_CERT", ours())
            .current_dir(scratch.path(""))
            .status()
    };
    if !run("true").is_ok_and(|status| status.success()) {
        println!("skipped: {around:?} is not possible here");
        return false;
    }
    assert!(run(script).unwrap().success(), "{script}");
    true
}

fn owner(scratch: &Scratch, name: &str) -> (u32, u32, u32) {
    let found = scratch.path(name).metadata().unwrap();
    (found.uid(), found.gid(), found.mode() & 0o7777)
}

#[test]
fn replaced_files_keep_their_owner() {
    let scratch = with_ca(&[]);
    scratch.succeed(&["sign", "-name", "n", "-networks", "10.1.1.1/24"]);
    for name in ["n.crt", "ca.key"] {
        if chown(scratch.path(name), Some(65_534), Some(65_534)).is_err() {
            println!("skipped: this process can't give files away");
            return;
        }
        fs::set_permissions(scratch.path(name), Permissions::from_mode(0o640)).unwrap();
    }
    scratch.succeed(&["renew", "-in-crt", "n.crt"]);
    assert_eq!(owner(&scratch, "n.crt"), (65_534, 65_534, 0o640));
    let rekey = ["rekey", "-argon-memory", "64", "-argon-parallelism", "1"];
    let done = scratch.run_with(&rekey, &[("NEBULA_CA_NEW_PASSPHRASE", "new")], b"");
    assert_eq!(done.exit, 0, "{}", done.stderr);
    assert_eq!(owner(&scratch, "ca.key"), (65_534, 65_534, 0o640));
}

#[test]
fn a_file_mounted_by_itself_is_renewed() {
    let scratch = with_ca(&[]);
    scratch.succeed(&["sign", "-name", "n", "-networks", "10.1.1.1/24"]);
    scratch.write("m/n.crt", "");
    let (before, files) = (scratch.read("n.crt"), scratch.files());
    let mount = "mount --bind n.crt m/n.crt; $NEBULA_CERT renew -in-crt m/n.crt -duration 1h";
    if shell(&scratch, &["unshare", "-m"], mount) {
        assert_ne!(scratch.read("n.crt"), before);
        assert_eq!(scratch.files(), files);
        scratch.succeed(&["verify", "-ca", "ca.crt", "-crt", "n.crt"]);
    }
}

#[test]
fn a_file_in_a_directory_that_is_read_only_is_renewed() {
    let scratch = with_ca(&[]);
    scratch.succeed(&["sign", "-name", "n", "-networks", "10.1.1.1/24"]);
    let before = scratch.read("n.crt");
    fs::set_permissions(scratch.path(""), Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(scratch.path("ca.key"), Permissions::from_mode(0o644)).unwrap();
    fs::set_permissions(scratch.path("ca.crt"), Permissions::from_mode(0o644)).unwrap();
    let nobody = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"];
    if chown(scratch.path("n.crt"), Some(65_534), Some(65_534)).is_ok()
        && shell(&scratch, &nobody, "$NEBULA_CERT renew -in-crt n.crt -duration 1h")
    {
        assert_ne!(scratch.read("n.crt"), before);
        assert_eq!(owner(&scratch, "n.crt"), (65_534, 65_534, 0o600));
    }
    // Another's file, which this user may write to, but could not give back.
    fs::set_permissions(scratch.path(""), Permissions::from_mode(0o777)).unwrap();
    fs::set_permissions(scratch.path("n.crt"), Permissions::from_mode(0o666)).unwrap();
    let before = scratch.read("n.crt");
    if chown(scratch.path("n.crt"), Some(0), Some(0)).is_ok()
        && shell(&scratch, &nobody, "$NEBULA_CERT renew -in-crt n.crt -duration 2h")
    {
        assert_ne!(scratch.read("n.crt"), before);
        assert_eq!(owner(&scratch, "n.crt"), (0, 0, 0o666));
    }
}

#[test]
fn the_same_file_spelled_otherwise_is_replaced() {
    let scratch = with_ca(&[]);
    scratch.succeed(&["sign", "-name", "n", "-networks", "10.1.1.1/24"]);
    let before = scratch.read("n.crt");
    scratch.succeed(&["renew", "-in-crt", "n.crt", "-out-crt", "./n.crt", "-duration", "1h"]);
    assert_ne!(scratch.read("n.crt"), before);
}
