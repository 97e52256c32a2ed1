//! Does `nebula-cert` ask for passphrases as the reference does, and change them safely?

use std::fs::{self, File, Permissions};
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, tcgetattr};
use serde_json::{Value, json};

use crate::support::command;
use crate::support::command::{Outcome, Scratch, ours};
use crate::support::vector;

/// Argon2 that takes no time.
const QUICK: [&str; 4] = ["-argon-memory", "64", "-argon-parallelism", "1"];

const PASSPHRASE: &str = "NEBULA_CA_PASSPHRASE";
const NEW_PASSPHRASE: &str = "NEBULA_CA_NEW_PASSPHRASE";

/// A directory with an encrypted CA whose passphrase is `old`.
fn with_encrypted_ca() -> Scratch {
    let scratch = Scratch::new();
    let ca = [&["ca", "-name", "test CA", "-encrypt"], &QUICK[..]].concat();
    let outcome = scratch.run_with(&ca, &[(PASSPHRASE, "old")], b"");
    assert_eq!((outcome.exit, &*outcome.stderr), (0, ""));
    scratch
}

/// Whether the CA's key opens with this passphrase.
fn opens(scratch: &Scratch, passphrase: &str) -> bool {
    let sign = ["sign", "-name", "n", "-networks", "10.1.1.1/24", "-out-crt", "-", "-out-key", "k"];
    let outcome = scratch.run_with(&sign, &[(PASSPHRASE, passphrase)], b"");
    let _ = fs::remove_file(scratch.path("k"));
    let refused =
        "Error: error while parsing encrypted ca-key: invalid passphrase or corrupt private key\n";
    match outcome.exit {
        0 => true,
        _ => {
            assert_eq!(outcome.stderr, refused);
            false
        }
    }
}

#[test]
fn from_the_environment() {
    let scratch = with_encrypted_ca();
    assert_eq!(scratch.path("ca.key").metadata().unwrap().permissions().mode() & 0o777, 0o600);
    assert!(scratch.read("ca.key").starts_with("-----BEGIN NEBULA ED25519 ENCRYPTED PRIVATE KEY"));
    assert!(opens(&scratch, "old"));
    // It is used as it is.
    assert!(!opens(&scratch, "old ") && !opens(&scratch, "Old"));
}

#[test]
fn at_a_terminal() {
    for program in programs() {
        let scratch = Scratch::of(program.clone());
        let ca = [&["ca", "-name", "n", "-encrypt"], &QUICK[..]].concat();
        let prompt = "Enter passphrase: \n";
        let outcome = at_terminal(&scratch, &program, &ca, &["", "", "s p\u{e9}"]);
        assert_eq!((outcome.exit, outcome.stderr), (0, prompt.repeat(3)));
        assert_eq!(outcome.stdout, b"");

        let sign = ["sign", "-name", "h", "-networks", "10.1.1.1/24"];
        let outcome = at_terminal(&scratch, &program, &sign, &["wrong"]);
        let refused = "Error: error while parsing encrypted ca-key: invalid passphrase or corrupt \
                       private key\n";
        assert_eq!((outcome.exit, outcome.stderr), (1, format!("{prompt}{refused}")));

        let outcome = at_terminal(&scratch, &program, &sign, &["", "", "", "", ""]);
        let refused = "Error: cannot open encrypted ca-key without passphrase\n";
        assert_eq!((outcome.exit, outcome.stderr), (1, format!("{}{refused}", prompt.repeat(5))));

        let outcome = at_terminal(&scratch, &program, &sign, &["s p\u{e9}"]);
        assert_eq!((outcome.exit, &*outcome.stderr), (0, prompt));

        let other = [&ca[..], &["-out-key", "k", "-out-crt", "c"]].concat();
        let outcome = at_terminal(&scratch, &program, &other, &["", "", "", "", ""]);
        let refused =
            "Error: no passphrase specified, remove -encrypt flag to write out-key in plaintext\n";
        assert_eq!((outcome.exit, outcome.stderr), (1, format!("{}{refused}", prompt.repeat(5))));
        assert!(!scratch.path("k").exists());
    }
}

#[test]
fn rekey_with_the_environment() {
    let scratch = with_encrypted_ca();
    let rekey = [&["rekey"], &QUICK[..]].concat();
    let before = scratch.read("ca.key");
    fs::set_permissions(scratch.path("ca.key"), Permissions::from_mode(0o644)).unwrap();

    let wrong = scratch.run_with(&rekey, &[(PASSPHRASE, "x"), (NEW_PASSPHRASE, "new")], b"");
    assert_eq!(wrong.exit, 1);
    assert_eq!(scratch.read("ca.key"), before, "the old key is still there");

    let changed = scratch.run_with(&rekey, &[(PASSPHRASE, "old"), (NEW_PASSPHRASE, "new")], b"");
    assert_eq!((changed.exit, &*changed.stderr), (0, ""));
    assert!(opens(&scratch, "new") && !opens(&scratch, "old"));
    let files = scratch.files();
    let names: Vec<_> = files.iter().map(|(name, mode)| (name.as_str(), *mode)).collect();
    assert_eq!(names, [("ca.crt", 0o600), ("ca.key", 0o640)], "others may not, the group may");

    let other = [&rekey[..], &["-out-key", "other.key"]].concat();
    let before = scratch.read("ca.key");
    let variables = [(PASSPHRASE, "new"), (NEW_PASSPHRASE, "third")];
    assert_eq!(scratch.run_with(&other, &variables, b"").exit, 0);
    assert_eq!(scratch.read("ca.key"), before);
    let again = scratch.run_with(&other, &variables, b"");
    assert_eq!(again.stderr, "Error: refusing to overwrite existing key: other.key\n");
    fs::rename(scratch.path("other.key"), scratch.path("ca.key")).unwrap();
    assert!(opens(&scratch, "third"));
}

#[test]
fn rekey_a_plain_key() {
    let scratch = Scratch::new();
    for curve in ["25519", "P256"] {
        scratch.succeed(&["ca", "-name", "n", "-curve", curve]);
        let plain = scratch.read("ca.key");
        let rekey = [&["rekey"], &QUICK[..]].concat();
        let none = scratch.run(&rekey);
        let refused = "Enter new passphrase: Error: ca-key must be encrypted interactively\n";
        assert_eq!((none.exit, &*none.stderr), (1, refused));
        assert_eq!(scratch.read("ca.key"), plain);

        let variables = [(NEW_PASSPHRASE, "new")];
        assert_eq!(scratch.run_with(&rekey, &variables, b"").exit, 0);
        assert!(scratch.read("ca.key").contains("ENCRYPTED"));
        assert!(opens(&scratch, "new"));
        fs::remove_file(scratch.path("ca.key")).unwrap();
        fs::remove_file(scratch.path("ca.crt")).unwrap();
    }
}

#[test]
fn rekey_at_a_terminal() {
    let scratch = with_encrypted_ca();
    let rekey = [&["rekey"], &QUICK[..]].concat();
    let prompts = "Enter passphrase: \nEnter new passphrase: \nRepeat new passphrase: \n";
    let before = scratch.read("ca.key");
    let mistyped = at_terminal(&scratch, &ours(), &rekey, &["old", "new", "nwe"]);
    let refused = "Error: the two passphrases are not the same\n";
    assert_eq!((mistyped.exit, mistyped.stderr), (1, format!("{prompts}{refused}")));
    assert_eq!(scratch.read("ca.key"), before);

    let changed = at_terminal(&scratch, &ours(), &rekey, &["old", "new", "new"]);
    assert_eq!((changed.exit, &*changed.stderr), (0, prompts));
    assert!(opens(&scratch, "new"));
}

#[test]
fn rekey_loses_nothing_when_it_cannot_write() {
    let scratch = with_encrypted_ca();
    let rekey = [&["rekey"], &QUICK[..]].concat();
    let before = scratch.read("ca.key");
    // A file of the name that the new one would have until it is complete: nothing can be made
    // beside the key.
    let variables = [(PASSPHRASE, "old"), (NEW_PASSPHRASE, "new")];
    let out = [&rekey[..], &["-out-key", "no/ca.key"]].concat();
    let outcome = scratch.run_with(&out, &variables, b"");
    let refused = "Error: error while writing out-key: open no/ca.key: no such file or directory\n";
    assert_eq!((outcome.exit, &*outcome.stderr), (1, refused));
    assert_eq!(scratch.read("ca.key"), before);

    let broken = [("rekey", "0", "1"), ("rekey", "1", "0")];
    for (mode, memory, parallelism) in broken {
        let arguments = [mode, "-argon-memory", memory, "-argon-parallelism", parallelism];
        assert_eq!(scratch.run_with(&arguments, &variables, b"").exit, 1);
        assert_eq!(scratch.read("ca.key"), before);
    }
}

#[test]
fn inspect_an_encrypted_key() {
    let scratch = with_encrypted_ca();
    let outcome = scratch.run(&["inspect", "-json", "-path", "ca.key"]);
    assert_eq!((outcome.exit, &*outcome.stderr), (0, ""));
    assert_eq!(
        serde_json::from_slice::<Value>(&outcome.stdout).unwrap(),
        json!({
            "kind": "encrypted ca private key", "curve": "CURVE25519", "cipher": "AES-256-GCM",
            "keyDerivation": "Argon2id", "memoryKiB": 64, "iterations": 1, "parallelism": 1,
        })
    );
}

#[test]
fn containers_of_the_vectors() {
    let mut count = 0;
    for case in vector::cases("encrypted/malformed.json") {
        let scratch = Scratch::new();
        let container = vector::base64(vector::text(&case, "container_b64"));
        scratch.write("ca.key", vector::pem(vector::text(&case, "banner"), &container));
        scratch.write("ca.crt", vector::read(vector::text(&case, "ca")));
        let networks = "10.70.9.9/24";
        let passphrase = vector::text(&case, "passphrase");
        let outcome = scratch.run_with(
            &["sign", "-name", "n", "-networks", networks],
            &[(PASSPHRASE, passphrase)],
            b"",
        );
        count += 1;
        let id = vector::text(&case, "id");
        assert_eq!(case["exit"], outcome.exit, "{id}: {}", outcome.stderr);
        let message = case["message"].as_str().unwrap_or_default();
        assert!(outcome.stderr.starts_with(message), "{id}: {}", outcome.stderr);
    }
    assert_eq!(count, 38);
}

/// Ours, and the reference if it is here.
fn programs() -> Vec<PathBuf> {
    [Some(ours()), command::reference()].into_iter().flatten().collect()
}

/// Runs the program with a terminal as standard input, and types a line whenever the terminal is
/// made to hide what is typed.
fn at_terminal(scratch: &Scratch, program: &Path, arguments: &[&str], lines: &[&str]) -> Outcome {
    let (mut keyboard, terminal) = terminal();
    let mut child = Command::new(program)
        .args(arguments)
        .current_dir(scratch.path(""))
        .env_remove(PASSPHRASE)
        .env_remove(NEW_PASSPHRASE)
        .stdin(terminal.try_clone().unwrap())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    for line in lines {
        wait_until_hidden(&terminal);
        keyboard.write_all(format!("{line}\n").as_bytes()).unwrap();
        // Read by the program once it shows again what is typed, or hides it for the next line.
        while pending(&terminal) {
            thread::sleep(Duration::from_millis(1));
        }
    }
    if let [line] = lines {
        let len = rustix::io::ioctl_fionread(&keyboard).unwrap();
        let mut echo = Vec::new();
        keyboard.try_clone().unwrap().take(len).read_to_end(&mut echo).unwrap();
        assert!(!String::from_utf8_lossy(&echo).contains(line), "the passphrase was shown");
    }
    let mut stdout = Vec::new();
    child.stdout.take().unwrap().read_to_end(&mut stdout).unwrap();
    let mut stderr = String::new();
    child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
    let exit = child.wait().unwrap().code().unwrap();
    let shown = tcgetattr(&terminal).unwrap().local_modes.contains(LocalModes::ECHO);
    assert!(shown, "the terminal is left as it was");
    Outcome { exit, stdout, stderr }
}

#[test]
fn an_interrupted_prompt_leaves_the_terminal_as_it_was() {
    let scratch = with_encrypted_ca();
    for (signal, in_shell) in [(Signal::INT, 2), (Signal::TERM, 15), (Signal::HUP, 1)] {
        let (keyboard, terminal) = terminal();
        let mut child = Command::new(ours())
            .args(["rekey"])
            .current_dir(scratch.path(""))
            .env_remove(PASSPHRASE)
            .env_remove(NEW_PASSPHRASE)
            .stdin(terminal.try_clone().unwrap())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        wait_until_hidden(&terminal);
        kill_process(Pid::from_child(&child), signal).unwrap();
        assert_eq!(child.wait().unwrap().signal(), Some(in_shell), "it ends by the signal");
        let modes = tcgetattr(&terminal).unwrap().local_modes;
        assert!(modes.contains(LocalModes::ECHO), "what is typed is shown again");
        drop(keyboard);
    }
}

#[test]
fn a_stopped_prompt_shows_what_is_typed_until_it_goes_on() {
    let scratch = with_encrypted_ca();
    let (mut keyboard, terminal) = terminal();
    let mut child = Command::new(ours())
        .args([&["rekey", "-out-key", "new.key"], &QUICK[..]].concat())
        .current_dir(scratch.path(""))
        .env_remove(PASSPHRASE)
        .env(NEW_PASSPHRASE, "new")
        .stdin(terminal.try_clone().unwrap())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let process = Pid::from_child(&child);
    wait_until_hidden(&terminal);
    kill_process(process, Signal::TSTP).unwrap();
    let patience = Instant::now();
    while !tcgetattr(&terminal).unwrap().local_modes.contains(LocalModes::ECHO) {
        assert!(patience.elapsed() < Duration::from_secs(20), "it stays hidden");
        thread::sleep(Duration::from_millis(1));
    }
    kill_process(process, Signal::CONT).unwrap();
    wait_until_hidden(&terminal);
    keyboard.write_all(b"old\n").unwrap();
    assert!(child.wait().unwrap().success());
}

/// A terminal's two ends: what is typed into, and what a program reads.
fn terminal() -> (File, File) {
    let keyboard = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&keyboard).unwrap();
    unlockpt(&keyboard).unwrap();
    let name = ptsname(&keyboard, Vec::new()).unwrap();
    let terminal = File::options().read(true).write(true).open(name.to_str().unwrap()).unwrap();
    (File::from(keyboard), terminal)
}

fn wait_until_hidden(terminal: &File) {
    let patience = Instant::now();
    while tcgetattr(terminal).unwrap().local_modes.contains(LocalModes::ECHO) {
        assert!(patience.elapsed() < Duration::from_secs(20), "it never asked");
        thread::sleep(Duration::from_millis(1));
    }
}

/// Whether what was typed was not read yet.
fn pending(terminal: &File) -> bool {
    rustix::io::ioctl_fionread(terminal).unwrap() > 0
}
