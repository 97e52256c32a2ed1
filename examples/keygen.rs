//! Makes a device's key pair: `node.key` (0600), which stays on the device, and `node.pub`, which
//! it registers with. Both are PEM, as `nebula-cert keygen` writes them.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program for people")]

use std::error::Error;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use nebula_pki::key::AgreementKey;
use nebula_pki::{Curve, SystemRandom};

/// Make a device's key pair: DIR/node.key and DIR/node.pub
#[derive(Parser)]
struct Arguments {
    /// Where to write; made if it is not there. An existing node.key is never overwritten.
    #[arg(value_name = "DIR")]
    directory: PathBuf,
}

fn main() -> ExitCode {
    match run(Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("keygen: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(Arguments { directory }: Arguments) -> Result<(), Box<dyn Error>> {
    let key = AgreementKey::generate(Curve::Curve25519, &mut SystemRandom)?;
    fs::create_dir_all(&directory)?;
    let write = |name: &str, mode, text: &str| {
        let path = directory.join(name);
        let mut options = OpenOptions::new();
        options
            .write(true)
            .create_new(true)
            .mode(mode)
            .open(&path)
            .and_then(|mut file| file.write_all(text.as_bytes()))
            .map_err(|error| format!("{}: {error}", path.display()))
    };
    write("node.key", 0o600, &key.to_pem())?;
    write("node.pub", 0o644, &key.public_key().to_pem())?;
    println!(
        "{} and {}",
        directory.join("node.key").display(),
        directory.join("node.pub").display()
    );
    Ok(())
}
