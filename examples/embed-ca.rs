//! A CA inside a program: made at the first start, loaded at the next ones, and asked for a
//! certificate for a device of our own. All files are for their owner alone (0600).
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program for people")]

use std::error::Error;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::Parser;
use nebula_pki::key::{AgreementKey, SigningKey};
use nebula_pki::{
    CaParameters, Certificate, Curve, HostParameters, Issuer, SystemRandom, Validity, Version,
    files,
};

const DAY: Duration = Duration::from_secs(86_400);

/// Keep a CA in DIR (ca.crt, ca.key) and have it certify laptop.key as laptop.crt
#[derive(Parser)]
struct Arguments {
    /// Where to keep everything; made if it is not there
    #[arg(value_name = "DIR", default_value = "embed-ca-data")]
    directory: PathBuf,
}

fn main() -> ExitCode {
    match run(&Arguments::parse().directory) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("embed-ca: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(directory: &Path) -> Result<(), Box<dyn Error>> {
    let now = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs())?;
    fs::create_dir_all(directory)?;
    let issuer = load_or_make_ca(directory, now)?;

    // The device's key stays as it is; each run renews its certificate.
    let key_path = directory.join("laptop.key");
    let key = if key_path.exists() {
        AgreementKey::from_pem(&read(&key_path)?)?
    } else {
        let key = AgreementKey::generate(issuer.certificate().curve(), &mut SystemRandom)?;
        write_new(&key_path, &key.to_pem())?;
        key
    };
    // The prefix length is the overlay network's: with /32 two nodes could not talk.
    let networks = vec!["10.42.0.5/16".parse()?, "fd42::5/64".parse()?];
    let validity = Validity::starting(now, 14 * DAY, issuer.certificate())?;
    let laptop = HostParameters::new("laptop", networks, key.public_key(), validity)
        .groups(["staff", "laptops"]);
    let certificate = issuer.issue(Version::V2, &laptop)?.into_certificate();
    // Readers see the old file or the new one, nothing between, and it stays theirs to read.
    let path = directory.join("laptop.crt");
    files::replace(&path, certificate.to_pem().as_bytes(), 0o600)
        .map_err(|error| format!("{}: {error}", path.display()))?;

    println!("CA      {}", issuer.certificate().fingerprint());
    println!("laptop  {}", certificate.fingerprint());
    Ok(())
}

/// Pairing a certificate with its key is where a wrong or damaged key is found out.
fn load_or_make_ca(directory: &Path, now: i64) -> Result<Issuer<SigningKey>, Box<dyn Error>> {
    let (key_path, certificate_path) = (directory.join("ca.key"), directory.join("ca.crt"));
    if certificate_path.exists() {
        let certificate = Certificate::from_pem(&read(&certificate_path)?)?;
        let key = SigningKey::from_pem(&read(&key_path)?)?;
        return Ok(Issuer::new(certificate, key)?);
    }
    let ten_years = i64::try_from((3650 * DAY).as_secs())?;
    let validity = Validity { not_before: now, not_after: now + ten_years };
    let key = SigningKey::generate(Curve::Curve25519, &mut SystemRandom)?;
    write_new(&key_path, &key.to_pem())?;
    let parameters = CaParameters::new("Example CA", validity);
    let issuer = Issuer::self_signed(Version::V2, parameters, key)?;
    write_new(&certificate_path, &issuer.certificate().to_pem())?;
    Ok(issuer)
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    fs::read(path).map_err(|error| format!("{}: {error}", path.display()))
}

/// Never overwrites: what is there may be the only copy of a key.
fn write_new(path: &Path, text: &str) -> Result<(), String> {
    let write = || {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()
    };
    write().map_err(|error| format!("{}: {error}", path.display()))
}
