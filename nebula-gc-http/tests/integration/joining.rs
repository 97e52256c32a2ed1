//! `nebula-gc join`, at a server that somebody took over.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::support::requests;
use crate::support::shell::{PROGRAM, text};
use nebula_bundle::{Bundle, Certificates, Network, Node, RENDERING, Renderer, Tun};
use nebula_pki::key::{AgreementKey, PublicKey, SigningKey};
use nebula_pki::{
    Curve, HostParameters, Issuer, SystemRandom, Validity, VerifiedCertificate, Version,
};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

const CLEAR_SCREEN: &str = "\u{1b}[2J\u{9b}2J\u{202e}";

/// What is written back, whole.
type Reply = Vec<u8>;
/// What is replied to a device by its key.
type Replies = Box<dyn Fn(&PublicKey) -> Reply + Send>;

/// Answers each enrolment as it is told to, over plain HTTP on loopback.
struct Server {
    link: String,
    reply: Arc<Mutex<Replies>>,
    /// What a node that asks for its bundle gets.
    bundle: Arc<Mutex<Reply>>,
}

impl Server {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let link = format!("http://{}/join#token=nebula-join-x", listener.local_addr().unwrap());
        let reply: Arc<Mutex<Replies>> = Arc::new(Mutex::new(Box::new(|_: &PublicKey| vec![])));
        let bundle = Arc::<Mutex<Reply>>::default();
        let (told, packed) = (Arc::clone(&reply), Arc::clone(&bundle));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let stream = stream.unwrap();
                let reply = match asked(&stream) {
                    (_, Some(key)) => told.lock().unwrap()(&key),
                    (path, None) if path.contains("/node/bundle") => packed.lock().unwrap().clone(),
                    // A report.
                    _ => b"HTTP/1.1 204 X\r\nconnection: close\r\n\r\n".to_vec(),
                };
                // Who has read enough of it hangs up.
                let _ = (&stream).write_all(&reply);
            }
        });
        Self { link, reply, bundle }
    }

    fn answers(&self, reply: impl Fn(&PublicKey) -> Reply + Send + 'static) {
        *self.reply.lock().unwrap() = Box::new(reply);
    }
}

/// The first line of a request, and the public key that a device enrols with.
fn asked(stream: &TcpStream) -> (String, Option<PublicKey>) {
    let mut reader = BufReader::new(stream);
    let (mut length, mut first) = (0, String::new());
    reader.read_line(&mut first).unwrap();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        if line.trim().is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    let body = serde_json::from_slice::<Value>(&body).unwrap_or_default();
    let key = body["publicKey"].as_str().map(|pem| PublicKey::from_pem(pem.as_bytes()).unwrap());
    (first, key)
}

fn http(status: u16, body: &str) -> Reply {
    let kind = "content-type: application/json\r\nconnection: close";
    format!("HTTP/1.1 {status} X\r\n{kind}\r\ncontent-length: {}\r\n\r\n{body}", body.len()).into()
}

fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs().try_into().unwrap()
}

fn validity() -> Validity {
    Validity { not_before: now() - 300, not_after: now() + 86_400 }
}

fn issuer() -> Issuer<SigningKey> {
    requests::ca(Version::V2, now() - 300).0
}

/// What an honest server answers.
fn honest(key: &PublicKey) -> Value {
    enrolled(&issuer(), "laptop", key, validity())
}

fn enrolled(issuer: &Issuer<SigningKey>, name: &str, key: &PublicKey, valid: Validity) -> Value {
    let host = HostParameters::new(name, vec!["10.1.0.7/16".parse().unwrap()], key.clone(), valid);
    let certificate = issuer.issue(Version::V2, &host).unwrap();
    let pem = certificate.certificate().to_pem();
    let bundle = rendered(issuer, certificate);
    let files: BTreeMap<_, _> = bundle.files().collect();
    json!({"node": "019a0000-0000-7000-8000-000000000000", "name": name, "device": name,
        "network": "office", "addresses": ["10.1.0.7/16"], "certificates": [pem], "revision": 1,
        "generation": 1, "bundle": {"digest": bundle.digest().to_string(), "files": files, "receipt": ""}})
}

/// The bundle of a certificate as a control plane renders it.
fn rendered(issuer: &Issuer<SigningKey>, certificate: VerifiedCertificate) -> Bundle {
    let network = Network {
        rendering: RENDERING,
        cas: vec![issuer.certificate().clone()],
        lighthouses: vec![],
        relays: vec![],
        blocklist: Default::default(),
        tun: Tun::default(),
        initiating_version: Version::V1,
    };
    let node = Node::new(Certificates::new([certificate]).unwrap());
    Renderer::new(network).unwrap().render(&node).unwrap()
}

/// With the digest of the files that it has now, so that they are refused for what they say.
fn resealed(mut answer: Value) -> String {
    let mut hash = Sha256::new();
    hash.update(RENDERING.to_be_bytes());
    for name in ["ca.crt", "node.crt", "nebula.yml", "README.md"] {
        let contents = answer["bundle"]["files"][name].as_str().unwrap_or_default();
        for part in [name, contents] {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
    }
    if answer["bundle"].is_object() {
        let digits = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        answer["bundle"]["digest"] = digits.into();
    }
    answer.to_string()
}

/// An honest answer, one file of which was changed.
fn changed(name: &'static str, change: impl Fn(&str) -> String + Send + 'static) -> Replies {
    Box::new(move |key| {
        let mut answer = honest(key);
        let file = &mut answer["bundle"]["files"][name];
        *file = change(file.as_str().unwrap()).into();
        http(201, &resealed(answer))
    })
}

fn join(place: &Path, server: &Server) -> Output {
    let mut command = Command::new(PROGRAM);
    command.env_clear().current_dir(place);
    command.args(["join", &server.link, "--name", "laptop", "--out", "device"]).output().unwrap()
}

/// Names, contents, modes and times of everything in a directory, but the state of things.
fn everything(directory: &Path) -> BTreeMap<String, (Vec<u8>, u32, i64)> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(directory).into_iter().flatten() {
        let entry = entry.unwrap();
        let about = entry.metadata().unwrap();
        let name = entry.file_name().into_string().unwrap();
        let contents = match about.file_type() {
            kind if kind.is_dir() => {
                let inside = everything(&entry.path()).into_iter();
                found.extend(inside.map(|(inner, about)| (format!("{name}/{inner}"), about)));
                continue;
            }
            kind if kind.is_symlink() => {
                let target = std::fs::read_link(entry.path()).unwrap();
                target.into_os_string().into_encoded_bytes()
            }
            _ => std::fs::read(entry.path()).unwrap(),
        };
        found.insert(name, (contents, about.mode(), about.mtime_nsec()));
    }
    found
}

/// What a joined device has: its secrets, what was settled, what is known, and the installed bundle.
const JOINED: usize = 11;

/// Every way in which an answer may be wrong.
fn hostile() -> Vec<(&'static str, Replies)> {
    let answer = |change: fn(&mut Value)| -> Replies {
        Box::new(move |key| {
            let mut answer = honest(key);
            change(&mut answer);
            http(201, &resealed(answer))
        })
    };
    let yaml = |what: &'static str, by: &'static str| {
        changed("nebula.yml", move |text| {
            assert!(text.contains(what), "{what}");
            text.replacen(what, by, 1)
        })
    };
    let others = || AgreementKey::generate(Curve::Curve25519, &mut SystemRandom).unwrap();
    vec![
        (
            "another key",
            Box::new(move |_: &PublicKey| http(201, &honest(&others().public_key()).to_string())),
        ),
        (
            "another CA",
            Box::new(|key: &PublicKey| {
                let mut answer = honest(key);
                answer["bundle"]["files"]["ca.crt"] = issuer().certificate().to_pem().into();
                http(201, &resealed(answer))
            }),
        ),
        (
            "no longer valid",
            Box::new(|key: &PublicKey| {
                let over = Validity { not_before: now() - 200, not_after: now() - 100 };
                http(201, &enrolled(&issuer(), "laptop", key, over).to_string())
            }),
        ),
        (
            "another digest",
            Box::new(|key: &PublicKey| {
                let mut answer = honest(key);
                answer["bundle"]["digest"] = "00".repeat(32).into();
                http(201, &answer.to_string())
            }),
        ),
        ("no CA", changed("ca.crt", |_| String::new())),
        (
            "a missing file",
            answer(|it| {
                it["bundle"]["files"].as_object_mut().unwrap().remove("node.crt");
            }),
        ),
        (
            "a missing note",
            answer(|it| {
                it["bundle"]["files"].as_object_mut().unwrap().remove("README.md");
            }),
        ),
        ("one file more", answer(|it| it["bundle"]["files"]["node.key"] = "mine".into())),
        ("a path", answer(|it| it["bundle"]["files"]["../../ca.crt"] = "mine".into())),
        ("no bundle", answer(|it| it["bundle"] = Value::Null)),
        ("numbers for files", answer(|it| it["bundle"]["files"]["ca.crt"] = 1.into())),
        ("sshd", yaml("punchy:", "sshd:\n  enabled: true\npunchy:")),
        ("sshd in a merged mapping", yaml("punchy:", "<<: {sshd: {enabled: true}}\npunchy:")),
        ("an unknown key", yaml("  punch: true", "  punch: true\n  target_all_remotes: true")),
        ("another key file", yaml("'node.key'", "'/etc/ssl/private.key'")),
        ("another CA file", yaml("'ca.crt'", "'/tmp/ca.crt'")),
        ("no YAML", changed("nebula.yml", |_| "\t\u{1b}[2J".to_owned())),
        ("escapes in the note", changed("README.md", |text| format!("{text}{CLEAR_SCREEN}"))),
        ("escapes for a bundle", answer(|it| it["bundle"] = CLEAR_SCREEN.into())),
        (
            "escapes in a file's name",
            answer(|it| {
                it["bundle"]["files"][CLEAR_SCREEN] = "x".into();
            }),
        ),
        (
            "a refusal with escapes",
            Box::new(|_: &PublicKey| {
                let texts = [CLEAR_SCREEN, "\nnebula-gc: all is well"].concat();
                let problem = json!({"status": 403, "code": CLEAR_SCREEN, "detail": texts,
                "field": texts, "leases": [texts]});
                http(403, &problem.to_string())
            }),
        ),
        (
            "a redirection",
            Box::new(|_: &PublicKey| {
                b"HTTP/1.1 302 X\r\nlocation: file:///etc/passwd\r\ncontent-length: 0\r\n\r\n"
                    .to_vec()
            }),
        ),
        ("no JSON", Box::new(|_: &PublicKey| http(201, CLEAR_SCREEN))),
        ("JSON without end", Box::new(|_: &PublicKey| http(201, &"[".repeat(100_000)))),
        ("nothing", Box::new(|_: &PublicKey| http(201, ""))),
        ("no HTTP", Box::new(|_: &PublicKey| CLEAR_SCREEN.as_bytes().to_vec())),
        (
            "a body without end",
            Box::new(|_: &PublicKey| {
                let mut reply =
                    b"HTTP/1.1 201 X\r\nconnection: close\r\n\r\n{\"name\": \"".to_vec();
                reply.resize(65 << 20, b'x');
                reply
            }),
        ),
        (
            "headers without end",
            Box::new(|_: &PublicKey| {
                let mut reply = b"HTTP/1.1 201 X\r\nx: ".to_vec();
                reply.resize(2 << 20, b'x');
                reply
            }),
        ),
    ]
}

#[test]
fn a_hostile_answer_leaves_nothing_but_the_devices_own_secrets() {
    let place = tempfile::tempdir().unwrap();
    refuse_all(&Server::start(), &place);
}

#[test]
fn a_hostile_answer_changes_nothing_of_a_node_that_joined() {
    let (server, place) = (Server::start(), tempfile::tempdir().unwrap());
    server.answers(|key| http(201, &honest(key).to_string()));
    let output = join(place.path(), &server);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(everything(&place.path().join("device")).len(), JOINED);
    refuse_all(&server, &place);
}

/// Lets the server answer in every wrong way.
fn refuse_all(server: &Server, place: &TempDir) {
    for (what, reply) in hostile() {
        server.answers(reply);
        let device = place.path().join("device");
        let before = everything(&device);
        let output = join(place.path(), server);
        let said = [text(&output.stdout), text(&output.stderr)].concat();
        assert_eq!(output.status.code(), Some(1), "{what}: {said}");
        assert!(said.starts_with("nebula-gc: "), "{what}: {said}");
        assert!(said.trim_end().lines().skip(1).all(|line| line.starts_with("  ")), "{said}");
        let commands = |c: char| c != '\n' && (c.is_control() || c == '\u{202e}');
        assert!(!said.contains(commands), "{what}: {said:?}");
        let after = everything(&device);
        if before.is_empty() {
            // They are made before anything is asked, and are what a repeat is known by.
            let own = ["joining", "lock", "node.key", "node.token"];
            assert!(after.keys().eq(own), "{what}: {:?}", after.keys());
        } else {
            assert!(after == before, "{what}");
        }
        assert!(everything_else_is_untouched(place), "{what}");
    }
}

fn everything_else_is_untouched(place: &TempDir) -> bool {
    let names: Vec<_> = std::fs::read_dir(place.path()).unwrap().flatten().collect();
    matches!(&names[..], [only] if only.file_name() == "device")
}

/// A bundle as a server sends it.
fn sent(archive: &[u8], digest: &str, revision: &str) -> Reply {
    let kind = "content-type: application/gzip\r\nconnection: close\r\netag: \"x\"";
    let counters = format!("nebula-revision: {revision}\r\nnebula-generation: 1");
    let length = archive.len();
    let head = format!(
        "HTTP/1.1 200 X\r\n{kind}\r\n{counters}\r\nnebula-digest: {digest}\r\ncontent-length: {length}\r\n\r\n"
    );
    [head.as_bytes(), archive].concat()
}

#[test]
fn a_hostile_answer_to_an_update_changes_nothing() {
    let (server, place) = (Server::start(), tempfile::tempdir().unwrap());
    // The same answer each time, and the archive of it.
    let kept = Arc::new(Mutex::new(None));
    let given = Arc::clone(&kept);
    server.answers(move |key| {
        *given.lock().unwrap() = Some(key.clone());
        http(201, &honest(key).to_string())
    });
    assert!(join(place.path(), &server).status.success());
    let key = kept.lock().unwrap().clone().unwrap();
    let other = AgreementKey::generate(Curve::Curve25519, &mut SystemRandom).unwrap().public_key();
    let device = place.path().join("device");
    let before = everything(&device);
    let (own, own_digest) = packed(&key);
    let (foreign, foreign_digest) = packed(&other);
    let link = "../../etc/cron.d/x";
    let swapped = String::from_utf8_lossy(&own[..64]).into_owned().replace("ca.crt", link);
    for (what, reply) in [
        ("an older revision", sent(&own, &own_digest, "0")),
        ("no revision", sent(&own, &own_digest, "many")),
        ("another digest", sent(&own, &foreign_digest, "2")),
        ("another key", sent(&foreign, &foreign_digest, "2")),
        ("a path", sent(swapped.as_bytes(), &own_digest, "2")),
        ("half of it", sent(&own[..own.len() / 2], &own_digest, "2")),
        ("no archive", sent(CLEAR_SCREEN.as_bytes(), &own_digest, "2")),
        ("nothing", sent(b"", &own_digest, "2")),
        ("too much", sent(&vec![b'x'; 65 << 20], &own_digest, "2")),
        ("no HTTP", CLEAR_SCREEN.as_bytes().to_vec()),
    ] {
        *server.bundle.lock().unwrap() = reply;
        let mut command = Command::new(PROGRAM);
        let output = command
            .env_clear()
            .current_dir(place.path())
            .args(["update", "device"])
            .output()
            .unwrap();
        let said = [text(&output.stdout), text(&output.stderr)].concat();
        assert_eq!(output.status.code(), Some(1), "{what}: {said}");
        assert!(!said.contains('\u{1b}'), "{what}: {said:?}");
        let mut after = everything(&device);
        // It says what was wrong.
        after.remove("state.json");
        let mut unchanged = before.clone();
        unchanged.remove("state.json");
        assert!(after == unchanged, "{what}: {said}");
    }
}

/// An honest bundle of a key as an archive, and its digest.
fn packed(key: &PublicKey) -> (Vec<u8>, String) {
    let issuer = issuer();
    let host = HostParameters::new(
        "laptop",
        vec!["10.1.0.7/16".parse().unwrap()],
        key.clone(),
        validity(),
    );
    let certificate = issuer.issue(Version::V2, &host).unwrap();
    let bundle = rendered(&issuer, certificate);
    (bundle.to_tar_gz().unwrap(), bundle.digest().to_string())
}

#[test]
fn a_clock_that_is_wrong_is_named() {
    let (server, place) = (Server::start(), tempfile::tempdir().unwrap());
    for (from, to) in [(-200, -100), (100, 200)] {
        server.answers(move |key| {
            let valid = Validity { not_before: now() + from, not_after: now() + to };
            http(201, &enrolled(&issuer(), "laptop", key, valid).to_string())
        });
        let said = text(&join(place.path(), &server).stderr);
        assert!(said.contains("this machine's clock says 20"), "{said}");
    }
}

#[test]
fn a_name_from_a_server_commands_no_terminal() {
    let server = Server::start();
    server.answers(|key| {
        let name = ["lap", CLEAR_SCREEN, "top"].concat();
        let mut answer = enrolled(&issuer(), &name, key, validity());
        answer["network"] = CLEAR_SCREEN.into();
        // Its note can't name it.
        answer["bundle"]["files"]["README.md"] = "".into();
        http(201, &resealed(answer))
    });
    let place = tempfile::tempdir().unwrap();
    let output = join(place.path(), &server);
    let said = [text(&output.stdout), text(&output.stderr)].concat();
    assert!(output.status.success(), "{said}");
    assert!(said.contains("lap\\u{1b}[2J"), "{said}");
    assert!(!said.contains(|c: char| c != '\n' && (c.is_control() || c == '\u{202e}')), "{said:?}");
}

#[test]
fn a_key_that_is_open_to_others_is_closed_with_a_word() {
    let server = Server::start();
    server.answers(|key| http(201, &honest(key).to_string()));
    let place = tempfile::tempdir().unwrap();
    assert!(join(place.path(), &server).status.success());
    for (name, mode) in [("node.key", 0o644), ("node.token", 0o640), ("node.key", 0o600)] {
        let file = place.path().join("device").join(name);
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
        let output = join(place.path(), &server);
        let said = text(&output.stderr);
        assert!(output.status.success(), "{said}");
        let is_told = said.contains(&format!("device/{name}: was accessible to other users"));
        assert_eq!(is_told, mode != 0o600, "{said}");
        assert_eq!(std::fs::metadata(&file).unwrap().mode() & 0o7777, 0o600);
    }
}

#[test]
fn a_reader_that_is_gone_is_no_failure() {
    let server = Server::start();
    server.answers(|key| http(201, &honest(key).to_string()));
    let place = tempfile::tempdir().unwrap();
    for closed in ["stdout", "stderr"] {
        let mut command = Command::new(PROGRAM);
        command.env_clear().current_dir(place.path());
        // Another name than the certificate's: there is something to say on both streams.
        command.args(["join", &server.link, "--name", "other", "--out", "device"]);
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        match closed {
            "stdout" => command.stdout(writer).stderr(Stdio::piped()),
            _ => command.stderr(writer).stdout(Stdio::piped()),
        };
        let output = command.output().unwrap();
        let said = [text(&output.stdout), text(&output.stderr)].concat();
        assert!(output.status.success() && !said.contains("panic"), "{closed}: {said}");
        let installed = everything(&place.path().join("device"));
        assert!(installed.contains_key("node.json"), "{closed}: {:?}", installed.keys());
    }
}
