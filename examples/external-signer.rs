//! A CA whose key is held by another program: a client of a key service, a card, a colder machine.
//!
//! `external-signer DIR` makes a CA (`ca.crt`) and a host certificate (`node.crt`, `node.key`)
//! without ever seeing the CA's private key. Whatever holds it is a command that is run as
//!
//! * `COMMAND... public-key`, which prints the public key, and
//! * `COMMAND... sign`, which reads the bytes to be signed and prints the signature,
//!
//! all of it raw: 32 and 64 bytes for Ed25519. Unless another one is given after `--`, the command is
//! this program itself, as `external-signer --hold DIR/ca.key`, which makes the key at first use.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program for people")]

use std::error::Error;
use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use clap::Parser;
use nebula_pki::key::{AgreementKey, SigningKey};
use nebula_pki::{
    CaParameters, Curve, HostParameters, Issuer, Signer, SystemRandom, Validity, Version,
};

/// Make a CA and a host certificate with a key that another program holds
#[derive(Parser)]
struct Arguments {
    /// Where to write; made if it is not there
    #[arg(value_name = "DIR", required_unless_present = "hold")]
    directory: Option<PathBuf>,
    /// Be the other program, with the key in this file, and do what REQUEST says
    #[arg(long, value_name = "FILE", conflicts_with = "directory")]
    hold: Option<PathBuf>,
    /// The command that holds the key; with --hold the request: `public-key` or `sign`
    #[arg(value_name = "COMMAND", last = true)]
    command: Vec<String>,
}

fn main() -> ExitCode {
    let Arguments { directory, hold, command } = Arguments::parse();
    let result = match (directory, hold) {
        (Some(directory), _) => issue(&directory, command),
        (None, Some(file)) => answer(&file, &command),
        (None, None) => Ok(()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("external-signer: {error}");
            ExitCode::FAILURE
        }
    }
}

fn issue(directory: &Path, mut command: Vec<String>) -> Result<(), Box<dyn Error>> {
    fs::create_dir_all(directory)?;
    let directory = directory.canonicalize()?;
    if command.is_empty() {
        let key = directory.join("ca.key");
        let this = std::env::current_exe()?;
        command = [&this, Path::new("--hold"), &key, Path::new("--")]
            .map(|argument| argument.display().to_string())
            .to_vec();
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs().try_into()?;
    let year = 365 * 86_400;

    // In-process, as far as the library can see. The issuer checks what it is given: a CA that is
    // not signed by its own key is never made.
    let signer = External::new(command)?;
    let validity = Validity { not_before: now, not_after: now + 10 * year };
    let parameters = CaParameters::new("Example CA", validity);
    let issuer = Issuer::self_signed(Version::V2, parameters, &signer)?;

    // In two steps, between which the bytes may travel for days, or the caller may await an answer.
    // Completing verifies the signature.
    let node_key = AgreementKey::generate(Curve::Curve25519, &mut SystemRandom)?;
    let validity = Validity { not_before: now, not_after: now + year };
    let networks = vec!["10.99.1.5/16".parse()?];
    let host = HostParameters::new("node", networks, node_key.public_key(), validity);
    let prepared = issuer.prepare(Version::V2, &host)?;
    let signature = signer.run("sign", prepared.to_be_signed())?;
    let certificate = prepared.complete(&signature)?.into_certificate();

    write(&directory.join("ca.crt"), 0o644, issuer.certificate().to_pem().as_bytes())?;
    write(&directory.join("node.crt"), 0o644, certificate.to_pem().as_bytes())?;
    write(&directory.join("node.key"), 0o600, node_key.to_pem().as_bytes())?;
    println!("{}", directory.join("node.crt").display());
    Ok(())
}

/// The program that holds the key.
struct External {
    command: Vec<String>,
    public_key: Vec<u8>,
}

impl External {
    fn new(command: Vec<String>) -> io::Result<Self> {
        let mut external = Self { command, public_key: Vec::new() };
        external.public_key = external.run("public-key", &[])?;
        Ok(external)
    }

    fn run(&self, request: &str, input: &[u8]) -> io::Result<Vec<u8>> {
        let failed = |reason: String| io::Error::other(format!("{:?}: {reason}", self.command));
        let (program, arguments) =
            self.command.split_first().ok_or_else(|| failed("no command".to_owned()))?;
        let mut child = Command::new(program)
            .args(arguments)
            .arg(request)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| failed(error.to_string()))?;
        // Dropped at the end of the statement, which ends the input.
        let written = child.stdin.take().map_or(Ok(()), |mut stdin| stdin.write_all(input));
        let output = child.wait_with_output()?;
        if !output.status.success() {
            return Err(failed(output.status.to_string()));
        }
        written.map(|()| output.stdout)
    }
}

impl Signer for External {
    fn curve(&self) -> Curve {
        Curve::Curve25519
    }

    fn public_key(&self) -> &[u8] {
        &self.public_key
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, nebula_pki::Error> {
        self.run("sign", message)
            .map_err(|error| nebula_pki::Error::Signer { reason: error.to_string() })
    }
}

/// The other side: answers one request.
fn answer(file: &Path, request: &[String]) -> Result<(), Box<dyn Error>> {
    let key = match fs::read(file) {
        Ok(pem) => SigningKey::from_pem(&pem)?,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let key = SigningKey::generate(Curve::Curve25519, &mut SystemRandom)?;
            write(file, 0o600, key.to_pem().as_bytes())?;
            key
        }
        Err(error) => return Err(format!("{}: {error}", file.display()).into()),
    };
    let answer = match request {
        [request] if request == "public-key" => key.public_key().to_vec(),
        [request] if request == "sign" => {
            let mut message = Vec::new();
            io::stdin().read_to_end(&mut message)?;
            key.sign(&message)?
        }
        other => return Err(format!("unknown request {other:?}").into()),
    };
    io::stdout().write_all(&answer)?;
    Ok(())
}

/// Writes a file that must not be there yet.
fn write(path: &Path, mode: u32, content: &[u8]) -> io::Result<()> {
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)
        .and_then(|mut file| file.write_all(content))
        .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))
}
