//! Enrols a device with the client library: makes its key and its node token here, sends the public key
//! and the token, checks what comes back, and writes the files that `nebula` starts with.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program for people")]

use std::error::Error;
use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::Parser;
use nebula_gc_http::client::{Client, EnrollmentAnswer, JoinLink, new_node_token};
use nebula_gc_http::wire::EnrollmentBody;
use nebula_pki::key::AgreementKey;
use nebula_pki::{Curve, SystemRandom, files};

/// Enrol this device, and write its key, its token and its bundle
#[derive(Parser)]
struct Arguments {
    /// The join link, as `nebula-gc admin join-tokens create` prints it
    #[arg(value_name = "LINK")]
    link: String,
    /// The device's name in the network
    #[arg(value_name = "NAME")]
    name: String,
    /// Where to write; an enrolment that was interrupted goes on with what is there
    #[arg(value_name = "DIR", default_value = "node")]
    directory: PathBuf,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run(Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("enrol-with-client: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(Arguments { link, name, directory }: Arguments) -> Result<(), Box<dyn Error>> {
    let link = JoinLink::parse(&link)?;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(&directory)?;
    // Both are stored before they are sent: if the answer is lost, asking again gets the same address.
    let curve = if link.curve.as_deref() == Some("P256") { Curve::P256 } else { Curve::Curve25519 };
    let key = kept(&directory.join("node.key"), || {
        Ok(AgreementKey::generate(curve, &mut SystemRandom)?.to_pem().to_string())
    })?;
    let key = AgreementKey::from_pem(key.as_bytes())?;
    let token = kept(&directory.join("node.token"), || Ok(new_node_token()?.expose().to_owned()))?;

    let mut client = Client::new(&link.server)?;
    if let Some(pin) = link.pin {
        client = client.with_pin(pin)?;
    }
    let device = EnrollmentBody {
        name,
        public_key: key.public_key().to_pem(),
        node_token: token.as_str().into(),
        ..EnrollmentBody::default()
    };
    let client = client.with_key(&link.token);
    let enrolled = loop {
        match client.enroll_node(&device).await? {
            EnrollmentAnswer::Enrolled(enrolled) => break enrolled,
            EnrollmentAnswer::Pending { pending, retry_after } => {
                println!("Waiting for approval; key fingerprint {}", pending.key_fingerprint);
                tokio::time::sleep(retry_after).await;
            }
        }
    };

    // The server could be compromised: certificates for our key, nothing that is not a bundle's.
    let now = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs())?;
    let received = enrolled.bundle.files.iter().map(|(name, text)| (name.as_str(), text.as_str()));
    let bundle = nebula_bundle::check(received, &key.public_key(), now)?;
    for (name, contents) in bundle.files() {
        files::replace(&directory.join(name), contents.as_bytes(), 0o644)?;
    }

    println!("{} is {} in {}", enrolled.name, enrolled.addresses.join(" and "), enrolled.network);
    println!("Start it: cd {} && nebula -config nebula.yml", directory.display());
    // Once Nebula runs with them, a client with the node's own token reports that.
    Ok(())
}

/// A secret from a file that nobody else may read, made first if there is none.
fn kept(
    path: &Path,
    make: impl FnOnce() -> Result<String, Box<dyn Error>>,
) -> Result<String, Box<dyn Error>> {
    if !path.exists() {
        files::replace(path, make()?.as_bytes(), 0o600)?;
    }
    Ok(fs::read_to_string(path)?.trim().to_owned())
}
