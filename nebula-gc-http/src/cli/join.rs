//! `nebula-gc join`: joins this device to a network.

mod identity;

use std::collections::BTreeMap;
use std::error::Error;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::builder::PossibleValuesParser;
use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Command};
use jiff::Timestamp;
use nebula_bundle::CheckedBundle;
use nebula_gc_http::client::{Client, ClientError, JoinLink, Problem, Request, printable};
use nebula_gc_http::shell_word;
use nebula_pki::Curve;
use nebula_pki::files::Replacement;
use serde::Deserialize;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use self::identity::Identity;
use crate::arguments::{ALLOW_PLAIN_HTTP, plain_http};
use crate::{now, terminal};

const LINK: &str = "link";
const NAME: &str = "name";
const OUT: &str = "out";
const ENDPOINT: &str = "endpoint";
const CURVE: &str = "curve";
/// The server's answer, as far as it is used.
#[derive(Deserialize)]
struct Enrolled {
    network: String,
    bundle: Files,
}

#[derive(Deserialize)]
struct Files {
    files: BTreeMap<String, String>,
}

pub(crate) fn command() -> Command {
    Command::new("join")
        .about("Join this device to a network")
        .long_about(
            "Join this device to a network\n\n\
             Creates a private key, which never leaves the device, and a node token, which identifies it \
             (node.key and node.token, mode 0600), sends the public key and the token, and writes the \
             files that nebula starts with. Joining again uses the same key and token, and gets the same \
             address; after a release it creates another token, and gets its address back.",
        )
        .after_help(
            "Example:\n  nebula-gc join 'https://nebula.example.org/join#token=…' --name laptop\n  \
             cd nebula-node && nebula -config nebula.yml",
        )
        .arg(Arg::new(LINK).value_name("LINK").required(true).help(
            "The join link, or - to read it from the standard input: other users of the machine can \
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
                .help("Directory for its files; created with mode 0700 if it does not exist"),
        )
        .arg(Arg::new(ENDPOINT).long(ENDPOINT).value_name("HOST:PORT").help(
            "Make this device a lighthouse, which others reach at this address by UDP. The join token \
             must allow it",
        ))
        .arg(
            Arg::new(CURVE)
                .long(CURVE)
                .value_name("CURVE")
                .default_value("25519")
                .value_parser(PossibleValuesParser::new(["25519", "P256"]))
                .help("The network's curve, for a new key"),
        )
        .arg(plain_http())
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
    let mut identity = Identity::load_or_make(&directory, curve)?;
    let kept = identity.key.curve();
    if kept != curve && matches.value_source(CURVE) == Some(ValueSource::CommandLine) {
        let key = identity::key_file(&directory);
        return Err(format!(
            "{}: is a key on {kept:?}; use another --out directory for a new key",
            key.display()
        )
        .into());
    }
    let is_plain = matches.get_flag(ALLOW_PLAIN_HTTP);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut enrolled =
        runtime.block_on(enroll(&link, is_plain, &request(matches, &identity, None)));
    let is_released = enrolled.as_ref().is_err_and(|error| code_of(&**error) == "node_released");
    if is_released {
        // It proves that it is the former holder of its address, and gets it back.
        let former = identity.succeed()?;
        enrolled =
            runtime.block_on(enroll(&link, is_plain, &request(matches, &identity, Some(&former))));
    }
    let enrolled = enrolled.map_err(|error| explained(error, &directory))?;
    let bundle = checked(&enrolled, &identity)?;
    if is_released {
        identity.save_token(&directory)?;
    }
    install(&bundle, &directory)?;
    let node = bundle.certificates().details();
    let (name, asked) = (node.name(), text(NAME));
    if name != asked {
        // It was in the network before.
        terminal::warn(&format!(
            "this device is already in the network as {:?}; an operator can rename it",
            printable(&name)
        ));
    }
    if let Some(endpoint) = matches.get_one::<String>(ENDPOINT)
        && !bundle.config().lighthouse.am_lighthouse
    {
        terminal::warn(&format!(
            "this device is already in the network, but not as a lighthouse at {endpoint}; an operator can \
             make it one"
        ));
    }
    let addresses: Vec<_> = node.networks().iter().map(ToString::to_string).collect();
    terminal::print(&format!(
        "{} is {} in {}\nStart it: cd {} && nebula -config nebula.yml\n",
        printable(&name),
        addresses.join(" and "),
        printable(&enrolled.network),
        shell_word(&directory.to_string_lossy())
    ))?;
    Ok(ExitCode::SUCCESS)
}

/// The bundle, if it passes this device's own checks: the server may be compromised.
fn checked(enrolled: &Enrolled, identity: &Identity) -> Result<CheckedBundle, Box<dyn Error>> {
    let files = enrolled.bundle.files.iter().map(|(name, text)| (name.as_str(), text.as_str()));
    let now = now()?;
    nebula_bundle::check(files, &identity.key.public_key(), now).map_err(|error| {
        let reason = wrong_time(&error, now).unwrap_or_else(|| error.to_string());
        format!("the server's answer can't be used, so nothing was installed: {reason}").into()
    })
}

/// The reason for a certificate that is not valid at this time, which may be a wrong clock.
fn wrong_time(error: &nebula_bundle::Error, now: i64) -> Option<String> {
    use nebula_pki::Error as Refusal;
    let nebula_bundle::Error::Certificate { file, source } = error else { return None };
    let (is, at) = match source {
        Refusal::NotYetValid { not_before, .. } | Refusal::CaNotYetValid { not_before, .. } => {
            ("is valid from", not_before)
        }
        Refusal::Expired { not_after, .. } | Refusal::CaExpired { not_after, .. } => {
            ("expired at", not_after)
        }
        _ => return None,
    };
    let (at, now) = (Timestamp::from_second(*at).ok()?, Timestamp::from_second(now).ok()?);
    Some(format!(
        "{file}: {is} {at}, and this machine's clock says {now}: if the clock is wrong, correct it and \
         join again"
    ))
}

/// Installs all files or none: existing ones stay until all new ones are on the disk.
fn install(bundle: &CheckedBundle, directory: &Path) -> Result<(), Box<dyn Error>> {
    let mut staged = vec![];
    for (name, contents) in bundle.files() {
        let path = directory.join(name);
        let file = Replacement::stage(&path, contents.as_bytes(), 0o644);
        staged.push(file.map_err(|error| format!("{}: {error}", path.display()))?);
    }
    staged
        .into_iter()
        .try_for_each(Replacement::commit)
        .map_err(|error| format!("{}: {error}; join again", directory.display()).into())
}

/// The body of the enrolment request.
fn request(matches: &ArgMatches, identity: &Identity, former_token: Option<&str>) -> Value {
    let mut body = json!({
        "name": matches.get_one::<String>(NAME),
        "publicKey": identity.key.public_key().to_pem(),
        "nodeToken": identity.token.as_str(),
    });
    let endpoint = matches.get_one::<String>(ENDPOINT);
    let more = [
        endpoint.map(|endpoint| ("lighthouse", json!({"endpoint": endpoint}))),
        former_token.map(|token| ("formerNodeToken", json!(token))),
    ];
    if let Some(body) = body.as_object_mut() {
        body.extend(more.into_iter().flatten().map(|(name, value)| (name.to_owned(), value)));
    }
    body
}

async fn enroll(link: &JoinLink, is_plain: bool, body: &Value) -> Result<Enrolled, Box<dyn Error>> {
    let mut client = Client::new(&link.server)?.with_key(&link.token);
    if is_plain {
        client = client.allow_plain_http();
    }
    if let Some(pin) = link.pin {
        client = client.with_pin(pin)?;
    }
    let answer = client.send(Request::post("/enroll", body.clone()).repeatable()).await?;
    serde_json::from_slice(&answer.body).map_err(|error| {
        format!(
            "the server's answer is not that of an enrolment, so nothing was installed: {error}"
        )
        .into()
    })
}

/// The code of a refusal.
fn code_of<'a>(error: &'a (dyn Error + 'static)) -> &'a str {
    problem_of(error).map_or("", |problem| &problem.code)
}

fn problem_of<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a Problem> {
    error.downcast_ref::<ClientError>()?.problem()
}

/// A refusal, with what to do about it on this device.
fn explained(error: Box<dyn Error>, directory: &Path) -> Box<dyn Error> {
    let directory = directory.display();
    let Some(problem) = problem_of(&*error) else { return error };
    match problem.code.as_str() {
        "invalid_public_key" => format!(
            "{problem}; on this device: join with --curve, and with another --out than {directory}, which \
             already contains a key"
        )
        .into(),
        "conflict" if problem.to_string().starts_with("nodeToken: ") => format!(
            "{problem}; on this device: {directory} contains the key and token of a node of another network; \
             use a separate --out for each network"
        )
        .into(),
        _ => error,
    }
}
