//! Does the real `nebula-cert` open what we seal, and the reverse?

use std::fs;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use nebula_pki::key::{Argon2Parameters, EncryptedKey, SigningKey};
use nebula_pki::{CaParameters, Certificate, Curve, Issuer, Signer, Validity, Version};
use tempfile::TempDir;

use crate::support::peer;
use crate::support::random::Seeded;
use crate::support::vector;

const PASSPHRASE: &str = "correct horse: größer";
const CURVES: [(Curve, &str); 2] = [(Curve::Curve25519, "25519"), (Curve::P256, "P256")];

#[test]
fn what_we_seal_is_opened() {
    for tool in tools() {
        for (curve, _) in CURVES {
            for (memory_kib, iterations, parallelism) in
                [(64, 1, 1), (1, 1, 1), (3, 2, 4), (101, 3, 3), (2_040, 1, 255), (65_536, 3, 4)]
            {
                let parameters = Argon2Parameters { memory_kib, iterations, parallelism };
                let mut random = Seeded(memory_kib.into());
                let key = SigningKey::generate(curve, &mut random).unwrap();
                let sealed =
                    EncryptedKey::seal(&key, PASSPHRASE.as_bytes(), parameters, &mut random);
                tool.write("ca.key", sealed.unwrap().to_pem().as_bytes());
                tool.write("ca.crt", authority(key).to_pem().as_bytes());

                let what = format!("{} {curve} {parameters:?}", tool.release);
                let signed = tool.sign(PASSPHRASE);
                assert!(signed.status.success(), "{what}: {signed:?}");
                let refused = tool.sign("correct horse");
                assert!(!refused.status.success(), "{what}: {refused:?}");
                let reason = [refused.stdout, refused.stderr].concat();
                let reason = String::from_utf8_lossy(&reason).into_owned();
                assert!(reason.contains("invalid passphrase"), "{what}: {reason}");
            }
        }
    }
}

#[test]
fn what_the_tool_seals_we_open() {
    for tool in tools() {
        for (curve, flag) in CURVES {
            for (memory_kib, iterations, parallelism) in [(64, 1, 1), (5, 2, 3), (333, 3, 5)] {
                let numbers = [memory_kib, iterations, parallelism].map(|n: u32| n.to_string());
                tool.remove(&["ca.key", "ca.crt"]);
                let made = tool.run(
                    &[
                        "ca",
                        "-name",
                        "theirs",
                        "-curve",
                        flag,
                        "-encrypt", //
                        "-argon-memory",
                        &numbers[0],
                        "-argon-iterations",
                        &numbers[1],
                        "-argon-parallelism",
                        &numbers[2],
                    ],
                    PASSPHRASE,
                );
                let what = format!("{} {curve} {numbers:?}", tool.release);
                assert!(made.status.success(), "{what}: {made:?}");

                let file = tool.read("ca.key");
                let encrypted = EncryptedKey::from_pem(&file).unwrap();
                let parameters = Argon2Parameters { memory_kib, iterations, parallelism };
                assert_eq!(encrypted.curve(), curve, "{what}");
                assert_eq!(encrypted.parameters(), parameters, "{what}");
                assert_eq!(encrypted.to_pem().as_bytes(), file, "{what}");
                let key = encrypted.open(PASSPHRASE.as_bytes()).unwrap();
                let certificate = Certificate::from_pem(&tool.read("ca.crt")).unwrap();
                Issuer::new(certificate, key).unwrap();
            }
        }
    }
}

/// Protocol buffers can say the same in many ways, which the reference reads as Go's decoder does.
#[test]
fn unusual_encodings_get_the_same_verdict() {
    let Some(tool) = Tool::new("1.11.0") else { return };
    let parameters = Argon2Parameters { memory_kib: 8, iterations: 1, parallelism: 1 };
    let mut random = Seeded(3);
    let key = SigningKey::generate(Curve::Curve25519, &mut random).unwrap();
    let public = key.public_key().to_vec();
    let sealed = EncryptedKey::seal(&key, PASSPHRASE.as_bytes(), parameters, &mut random).unwrap();
    tool.write("ca.crt", authority(key).to_pem().as_bytes());

    let text = sealed.to_pem();
    let container =
        vector::base64(&text.lines().filter(|line| !line.starts_with('-')).collect::<String>());
    let metadata = &container[2..2 + usize::from(container[1])];
    let ciphertext = &container[2 + metadata.len()..];
    let algorithm = &metadata[..13];
    let argon2 = &metadata[15..];
    let (numbers, salt) = argon2.split_at(8);
    assert_eq!(numbers, [8, 19, 16, 8, 24, 1, 32, 1]);

    let tagged = |tag: u8, parts: &[&[u8]]| {
        let contents = parts.concat();
        [&[tag, u8::try_from(contents.len()).unwrap()], contents.as_slice()].concat()
    };
    let whole = |argon2: &[&[u8]]| {
        let metadata = tagged(10, &[algorithm, &tagged(18, argon2)]);
        [metadata.as_slice(), ciphertext].concat()
    };
    let cases: [(&str, Vec<u8>); 24] = [
        ("as it was", whole(&[numbers, salt])),
        ("numbers after the salt", whole(&[salt, numbers])),
        ("ciphertext first", [ciphertext, &container[..2 + metadata.len()]].concat()),
        (
            "metadata in two messages",
            [&tagged(10, &[algorithm]), &tagged(10, &[&tagged(18, &[argon2])]), ciphertext]
                .concat(),
        ),
        (
            "parameters in two messages",
            [&tagged(10, &[algorithm, &tagged(18, &[numbers]), &tagged(18, &[salt])]), ciphertext]
                .concat(),
        ),
        ("numbers repeated", whole(&[&[8, 7, 16, 1, 24, 9, 32, 200, 1], numbers, salt])),
        ("salt repeated", whole(&[numbers, &[42, 1, 9], salt])),
        ("salt repeated, empty at last", whole(&[numbers, salt, &[42, 0]])),
        ("ciphertext repeated", [&container, &[18, 1, 0][..]].concat()),
        ("memory of 2^32 + 8", whole(&[numbers, salt, &[16, 0x88, 0x80, 0x80, 0x80, 0x10]])),
        ("memory of 2^32", whole(&[numbers, salt, &[16, 0x80, 0x80, 0x80, 0x80, 0x10]])),
        ("version of 2^32 + 19", whole(&[numbers, salt, &[8, 0x93, 0x80, 0x80, 0x80, 0x10]])),
        ("numbers not minimal", whole(&[&[8, 0x93, 0, 16, 0x88, 0x80, 0, 24, 1, 32, 1], salt])),
        ("memory as fixed32", whole(&[&[8, 19, 21, 8, 0, 0, 0, 24, 1, 32, 1], salt])),
        ("memory as fixed32, too", whole(&[numbers, salt, &[21, 9, 0, 0, 0]])),
        ("salt as a number", whole(&[numbers, &[40, 7]])),
        ("unknown group", whole(&[numbers, salt, &[51, 8, 1, 52]])),
        ("open group", whole(&[numbers, salt, &[51, 8, 1]])),
        ("unknown fields", [&container, &[26, 0, 0xa0, 6, 1][..]].concat()),
        ("field number 0", [&container, &[2, 0][..]].concat()),
        ("trailing zero", [&container, &[0][..]].concat()),
        ("varint of 11 bytes", whole(&[numbers, salt, &[16], &[0x80; 10], &[0]])),
        (
            "algorithm twice, last not UTF-8",
            [&tagged(10, &[metadata, &[10, 1, 0xff]]), ciphertext].concat(),
        ),
        (
            "algorithm twice, first not UTF-8",
            [&tagged(10, &[&[10, 1, 0xff], metadata]), ciphertext].concat(),
        ),
    ];
    let mut accepted = 0;
    for (what, container) in cases {
        let file = vector::pem("NEBULA ED25519 ENCRYPTED PRIVATE KEY", &container);
        tool.write("ca.key", &file);
        let theirs = tool.sign(PASSPHRASE);
        let ours = EncryptedKey::from_pem(&file).and_then(|key| key.open(PASSPHRASE.as_bytes()));
        assert_eq!(ours.is_ok(), theirs.status.success(), "{what}: {ours:?}, {theirs:?}");
        if let Ok(key) = ours {
            assert_eq!(key.public_key(), public, "{what}");
            accepted += 1;
        }
    }
    assert_eq!(accepted, 13);
}

fn authority(key: SigningKey) -> Certificate {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let now = i64::try_from(now).unwrap();
    let validity = Validity { not_before: now - 3_600, not_after: now + 86_400 };
    let parameters = CaParameters::new("ours", validity);
    Issuer::self_signed(Version::V1, parameters, key).unwrap().certificate().clone()
}

/// A release of the reference tool, and a directory for its files.
struct Tool {
    program: PathBuf,
    release: &'static str,
    files: TempDir,
}

/// The releases that know encrypted keys.
fn tools() -> impl Iterator<Item = Tool> {
    ["1.9.3", "1.11.0"].into_iter().filter_map(Tool::new)
}

impl Tool {
    fn new(release: &'static str) -> Option<Self> {
        let program = peer::nebula_cert(release)?;
        Some(Self { program, release, files: TempDir::new().unwrap() })
    }

    fn write(&self, name: &str, content: &[u8]) {
        fs::write(self.files.path().join(name), content).unwrap();
    }

    fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.files.path().join(name)).unwrap()
    }

    /// The tool refuses to overwrite.
    fn remove(&self, names: &[&str]) {
        for name in names {
            match fs::remove_file(self.files.path().join(name)) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => panic!("{error}"),
                _ => {}
            }
        }
    }

    fn sign(&self, passphrase: &str) -> Output {
        self.remove(&["host.key", "host.crt"]);
        self.run(&["sign", "-name", "host", "-ip", "10.1.2.3/16"], passphrase)
    }

    /// Runs the tool among its files. Releases before 1.10 ask a terminal for the passphrase, which
    /// util-linux's `script` gives them.
    fn run(&self, arguments: &[&str], passphrase: &str) -> Output {
        let mut command;
        if self.release == "1.9.3" {
            let line = format!("{} {}", self.program.display(), arguments.join(" "));
            command = Command::new("script");
            command.args(["-qec", &line, "/dev/null"]);
        } else {
            command = Command::new(&self.program);
            command.args(arguments).env("NEBULA_CA_PASSPHRASE", passphrase);
        }
        let mut child = command
            .current_dir(self.files.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        if self.release == "1.9.3" {
            let mut input = child.stdin.take().unwrap();
            input.write_all(format!("{passphrase}\n").as_bytes()).unwrap();
        }
        child.wait_with_output().unwrap()
    }
}
