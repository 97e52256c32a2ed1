//! What becomes of files.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::process::Command;

use super::{refuse, with_ca};
use crate::support::command::{Scratch, ours};

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

/// A line of bash, with the program in `$NEBULA_CERT`: its exit status and standard error.
fn bash(scratch: &Scratch, line: &str) -> (Option<i32>, String) {
    let output = Command::new("bash")
        .args(["-c", line])
        .env("NEBULA_CERT", ours())
        .env("NEBULA_CA_NEW_PASSPHRASE", "new")
        .current_dir(scratch.path(""))
        .output()
        .unwrap();
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn rekey_loses_nothing_that_is_beside_the_key() {
    let scratch = with_ca(&[]);
    let (key, crt) = (scratch.read("ca.key"), scratch.read("ca.crt"));
    for (text, found) in [
        (format!("{key}{crt}"), "a certificate"),
        (format!("{key}{key}"), "another ca private key"),
        (format!("# of 2024\n{key}"), "text"),
        (format!("{key}\nof 2024\n"), "text"),
    ] {
        scratch.write("combo.key", &text);
        let arguments = ["rekey", "-ca-key", "combo.key", "-argon-memory", "64"];
        let outcome = scratch.run_with(&arguments, &[("NEBULA_CA_NEW_PASSPHRASE", "new")], b"");
        let expected = format!(
            "Error: refusing to overwrite combo.key: beside the key it holds {found}, which would be \
             lost: set -out-key, or take it out\n"
        );
        assert_eq!((outcome.exit, outcome.stderr), (1, expected));
        assert_eq!(scratch.read("combo.key"), text);
    }
    scratch.write("lines.key", format!("\n{}\n\n", key.replace('\n', "\r\n")));
    for line in [
        "rekey -ca-key lines.key -argon-memory 64",
        "rekey -ca-key combo.key -out-key new.key -argon-memory 64",
    ] {
        assert_eq!(bash(&scratch, &format!("$NEBULA_CERT {line}")), (Some(0), String::new()));
    }
}

#[test]
fn no_output_takes_an_inputs_place() {
    let scratch = with_ca(&[]);
    scratch.succeed(&["keygen", "-out-key", "m.key", "-out-pub", "m.pub"]);
    scratch.succeed(&["sign", "-name", "m", "-networks", "10.1.1.1/24", "-in-pub", "m.pub"]);
    let names = ["ca.key", "ca.crt", "m.crt", "m.pub"];
    let before = names.map(|name| scratch.read(name));
    symlink("ca.key", scratch.path("link")).unwrap();
    let sign = ["sign", "-name", "n", "-networks", "10.1.1.2/24", "-in-pub", "m.pub", "-out-qr"];
    let renew = ["renew", "-in-crt", "m.crt", "-out-crt", "n.crt", "-out-qr"];
    for (arguments, path, input) in [
        (&sign[..], "ca.key", "ca-key"),
        (&sign, "./ca.crt", "ca-crt"),
        (&sign, "m.pub", "in-pub"),
        (&renew, "link", "ca-key"),
        (&renew, "ca.crt", "ca-crt"),
        (&renew, "m.crt", "in-crt"),
        (&["print", "-path", "m.crt", "-out-qr"], "./m.crt", "path"),
    ] {
        let outcome = scratch.run(&[arguments, &[path]].concat());
        assert_eq!(outcome.exit, 1, "{arguments:?} {path}");
        let expected = format!("Error: -out-qr and -{input} ");
        assert!(outcome.stderr.starts_with(&expected), "{}", outcome.stderr);
    }
    let (exit, error) = bash(&scratch, "$NEBULA_CERT print -path - -out-qr m.crt < m.crt");
    assert!(exit == Some(1) && error.contains("-out-qr and -path set to one file"), "{error}");
    assert_eq!(names.map(|name| scratch.read(name)), before);
    assert!(!scratch.path("n.crt").exists());
}

#[test]
fn what_comes_out_of_a_pipe_is_not_written_back_into_it() {
    let scratch = with_ca(&[]);
    scratch.succeed(&["sign", "-name", "n", "-networks", "10.1.1.1/24"]);
    for (line, names) in [
        ("renew -in-crt <(cat n.crt)", "-out-crt is required: -in-crt is not a regular file"),
        (
            "rekey -argon-memory 64 -ca-key <(cat ca.key)",
            "-out-key is required: -ca-key is not a regular file",
        ),
    ] {
        let (exit, error) = bash(&scratch, &format!("$NEBULA_CERT {line}"));
        assert!(exit == Some(1) && error.contains(names), "{exit:?} {error}");
    }
    let renew = "$NEBULA_CERT renew -in-crt <(cat n.crt) -out-crt m.crt";
    assert_eq!(bash(&scratch, renew), (Some(0), String::new()));
    scratch.succeed(&["verify", "-ca", "ca.crt", "-crt", "m.crt"]);
}

#[test]
fn a_renewal_writes_all_its_outputs_or_none() {
    let scratch = with_ca(&[]);
    scratch.succeed(&["sign", "-name", "n", "-networks", "10.1.1.1/24"]);
    let (before, files) = (scratch.read("n.crt"), scratch.files());
    let message = "error while writing out-qr: open none/x: no such file or directory";
    refuse(&scratch, &["renew", "-in-crt", "n.crt", "-out-qr", "none/x"], message);
    refuse(
        &scratch,
        &["renew", "-in-crt", "n.crt", "-out-crt", "m.crt", "-out-qr", "none/x"],
        message,
    );
    assert_eq!(scratch.read("n.crt"), before);
    assert_eq!(scratch.files(), files);
}

#[test]
fn standard_output_may_be_a_file_too() {
    let scratch = Scratch::new();
    for line in ["-out-key - -out-pub out > out", "-out-key - -out-pub /dev/stdout > out"] {
        let (exit, error) = bash(&scratch, &format!("$NEBULA_CERT keygen {line}"));
        assert_eq!(exit, Some(1), "{line}");
        assert!(error.contains("-out-key and -out-pub set to one file: \"-\", "), "{error}");
        assert_eq!(scratch.read("out"), "");
    }
    let (exit, error) = bash(&scratch, "$NEBULA_CERT keygen -out-key - -out-pub n.pub > n.key");
    assert_eq!((exit, &*error), (Some(0), ""));
    let piped = "$NEBULA_CERT keygen -out-key - -out-pub /dev/stdout | grep -c BEGIN > count";
    assert_eq!(bash(&scratch, piped), (Some(0), String::new()));
    assert_eq!(scratch.read("count"), "2\n");
}
