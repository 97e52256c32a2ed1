//! `nebula-gc join`.

use std::error::Error;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::builder::PossibleValuesParser;
use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Command};
use nebula_gc_http::Bearer;
use nebula_gc_http::client::{Client, ClientError, JoinLink, Request};
use nebula_pki::key::AgreementKey;
use nebula_pki::{Curve, SystemRandom};
use serde_json::{Value, json};
use zeroize::Zeroizing;

const LINK: &str = "link";
const NAME: &str = "name";
const OUT: &str = "out";
const ENDPOINT: &str = "endpoint";
const CURVE: &str = "curve";
const KEY: &str = "node.key";
const TOKEN: &str = "node.token";
/// What a bundle may hold; nothing else is written, whatever a server sends.
const FILES: [&str; 4] = ["ca.crt", "node.crt", "nebula.yml", "README.md"];

pub(crate) fn command() -> Command {
    Command::new("join")
        .about("Let this device join a network")
        .long_about(
            "Let this device join a network\n\n\
             Makes a key, which never leaves the device, and a token that the device is known by \
             (node.key and node.token, mode 0600), sends the public key, and writes the files that \
             nebula starts with. Doing it again uses the same key and token, and gets the same \
             address.",
        )
        .after_help(
            "Example:\n  nebula-gc join 'https://nebula.example.org/join#token=…' --name laptop\n  \
             cd nebula-node && nebula -config nebula.yml",
        )
        .arg(Arg::new(LINK).value_name("LINK").required(true).help(
            "The join link, or - to read it from the standard input: other users of the machine \
             see arguments",
        ))
        .arg(
            Arg::new(NAME)
                .long(NAME)
                .value_name("NAME")
                .required(true)
                .help("The device's name in the network"),
        )
        .arg(
            Arg::new(OUT)
                .long(OUT)
                .value_name("DIR")
                .default_value("nebula-node")
                .help("Where its files are kept; made with mode 0700 where it is not there"),
        )
        .arg(Arg::new(ENDPOINT).long(ENDPOINT).value_name("HOST:PORT").help(
            "This device is a lighthouse: the others find each other through it, and reach it at \
             this address, by UDP. The join token has to permit it",
        ))
        .arg(
            Arg::new(CURVE)
                .long(CURVE)
                .value_name("CURVE")
                .default_value("25519")
                .value_parser(PossibleValuesParser::new(["25519", "P256"]))
                .help("The network's curve, for a new key"),
        )
}

pub(crate) fn run(matches: &ArgMatches) -> Result<ExitCode, Box<dyn Error>> {
    let text = |name: &str| matches.get_one::<String>(name).cloned().unwrap_or_default();
    let link = match text(LINK).as_str() {
        "-" => Zeroizing::new(io::read_to_string(io::stdin())?),
        link => Zeroizing::new(link.to_owned()),
    };
    let link = JoinLink::parse(&link)?;
    let curve = if text(CURVE) == "P256" { Curve::P256 } else { Curve::Curve25519 };
    let directory = PathBuf::from(text(OUT));
    let identity = Identity::load_or_make(&directory, curve)?;
    let kept = identity.key.curve();
    if kept != curve && matches.value_source(CURVE) == Some(ValueSource::CommandLine) {
        let key = directory.join(KEY);
        return Err(format!(
            "{}: is on {kept:?} already; --out names another directory, for a new key",
            key.display()
        )
        .into());
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let enrolled = runtime.block_on(enroll(&link, &request(matches, &identity)));
    let enrolled = enrolled.map_err(|error| explained(error, &directory))?;
    let files = enrolled.pointer("/bundle/files").and_then(Value::as_object);
    let files = files.ok_or("the answer holds no bundle")?;
    for name in FILES {
        let contents = files.get(name).and_then(Value::as_str);
        let contents = contents.ok_or_else(|| format!("the answer's bundle lacks {name}"))?;
        write(&directory.join(name), contents.as_bytes(), 0o644)?;
    }
    let addresses = enrolled.get("addresses").and_then(Value::as_array).into_iter().flatten();
    let addresses: Vec<_> = addresses.filter_map(Value::as_str).collect();
    let text_of = |name: &str| enrolled.get(name).and_then(Value::as_str).unwrap_or_default();
    if text_of("name") != text(NAME) {
        // It is asked again, for a bundle as it is now.
        eprintln!(
            "nebula-gc: it is called {:?} already; an operator can change its name",
            text_of("name")
        );
    }
    println!("{} is {} in {}", text_of("name"), addresses.join(" and "), text_of("network"));
    println!("Start it: cd {} && nebula -config nebula.yml", directory.display());
    Ok(ExitCode::SUCCESS)
}

/// What is sent.
fn request(matches: &ArgMatches, identity: &Identity) -> Value {
    let mut body = json!({
        "name": matches.get_one::<String>(NAME),
        "publicKey": identity.key.public_key().to_pem(),
        "nodeToken": identity.token.as_str(),
    });
    if let (Some(endpoint), Some(body)) =
        (matches.get_one::<String>(ENDPOINT), body.as_object_mut())
    {
        body.insert("lighthouse".to_owned(), json!({"endpoint": endpoint}));
    }
    body
}

async fn enroll(link: &JoinLink, body: &Value) -> Result<Value, Box<dyn Error>> {
    let mut client = Client::new(&link.server)?.with_key(&link.token);
    if let Some(pin) = link.pin {
        client = client.with_pin(pin)?;
    }
    let answer = client.send(Request::post("/enroll", body.clone()).repeatable()).await?;
    Ok(answer.json()?)
}

/// A refusal, with what to do about it here.
fn explained(error: Box<dyn Error>, directory: &Path) -> Box<dyn Error> {
    let refused = match error.downcast_ref::<ClientError>() {
        Some(ClientError::Refused(problem)) => problem.code.as_str(),
        _ => return error,
    };
    match refused {
        "invalid_public_key" => format!(
            "{error}; here: join with --curve, and with another --out than {}, which has a key",
            directory.display()
        )
        .into(),
        _ => error,
    }
}

/// What a device is known by, and keeps.
struct Identity {
    key: AgreementKey,
    token: Zeroizing<String>,
}

impl Identity {
    fn load_or_make(directory: &Path, curve: Curve) -> Result<Self, Box<dyn Error>> {
        use std::os::unix::fs::DirBuilderExt as _;
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)
            .map_err(|error| format!("{}: {error}", directory.display()))?;
        let pem = secret(&directory.join(KEY), || {
            Ok(AgreementKey::generate(curve, &mut SystemRandom)?.to_pem())
        })?;
        let key = AgreementKey::from_pem(pem.as_bytes()).map_err(|error| {
            let path = directory.join(KEY);
            format!("{}: {error}; --out names another directory, for a new key", path.display())
        })?;
        let token = secret(&directory.join(TOKEN), || {
            Ok(Zeroizing::new([Bearer::new_node_token()?.expose(), "\n"].concat()))
        })?;
        Ok(Self { key, token: Zeroizing::new(token.trim().to_owned()) })
    }
}

/// The secret in a file, which is written first where there is none.
fn secret(
    path: &Path,
    make: impl FnOnce() -> Result<Zeroizing<String>, Box<dyn Error>>,
) -> Result<Zeroizing<String>, Box<dyn Error>> {
    match fs::read_to_string(path) {
        Ok(kept) => Ok(Zeroizing::new(kept)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let made = make()?;
            write(path, made.as_bytes(), 0o600)?;
            Ok(made)
        }
        Err(error) => Err(format!("{}: {error}", path.display()).into()),
    }
}

/// Writes so that after a crash there is either all of it or the former file.
fn write(path: &Path, contents: &[u8], mode: u32) -> Result<(), Box<dyn Error>> {
    let write = || {
        let new = path.with_extension("new");
        // Left behind by a crash.
        if let Err(error) = fs::remove_file(&new)
            && error.kind() != io::ErrorKind::NotFound
        {
            return Err(error);
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&new)?;
        file.write_all(contents)?;
        file.sync_all()?;
        fs::rename(&new, path)?;
        let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        File::open(directory.unwrap_or(Path::new(".")))?.sync_all()
    };
    write().map_err(|error: io::Error| format!("{}: {error}", path.display()).into())
}
