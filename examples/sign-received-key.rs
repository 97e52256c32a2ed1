//! Signs public keys that were received from elsewhere, as enrolment and attestation services do.
//! Each is checked before anything is signed, and a bad one is refused with the reason.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program for people")]

use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::Parser;
use nebula_pki::key::{AgreementKey, PublicKey, SigningKey};
use nebula_pki::{
    CaParameters, Certificate, Curve, HostParameters, Issuer, SystemRandom, Validity, Version,
};

const DAY: i64 = 86_400;

/// Sign public keys with CAs made for the occasion; exits with 1 if any is refused
#[derive(Parser)]
struct Arguments {
    /// Public keys as `nebula-cert keygen -out-pub` writes them; without any: samples, good and bad
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
}

fn main() -> ExitCode {
    match run(Arguments::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("sign-received-key: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(Arguments { files }: Arguments) -> Result<ExitCode, Box<dyn Error>> {
    let now = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs())?;
    // A certificate is on its CA's curve, so who admits devices of both curves has two CAs.
    let authorities = [make_ca(Curve::Curve25519, now)?, make_ca(Curve::P256, now)?];
    for authority in &authorities {
        println!("The CA for {}:", authority.certificate().curve());
        print!("{}", authority.certificate().to_pem());
    }

    let received = match files.as_slice() {
        [] => samples()?,
        files => files
            .iter()
            .map(|path| Ok((path.display().to_string(), std::fs::read(path)?)))
            .collect::<Result<_, std::io::Error>>()?,
    };
    let mut code = ExitCode::SUCCESS;
    for (number, (from, pem)) in (1..).zip(&received) {
        match sign(&authorities, pem, number, now) {
            Ok(certificate) => print!("{from}: signed\n{}", certificate.to_pem()),
            Err(reason) => {
                println!("{from}: refused: {reason}");
                // The samples are meant to be refused.
                if !files.is_empty() {
                    code = ExitCode::FAILURE;
                }
            }
        }
    }
    Ok(code)
}

/// A [`PublicKey`] is one that was checked: banner, length, on its curve, not of small order.
/// The reference signs points that are not on the curve and keys whose secret everybody knows.
fn sign(
    authorities: &[Issuer<SigningKey>],
    pem: &[u8],
    number: u8,
    now: i64,
) -> Result<Certificate, Box<dyn Error>> {
    let public_key = PublicKey::from_pem(pem)?;
    let authority = authorities
        .iter()
        .find(|authority| authority.certificate().curve() == public_key.curve())
        .ok_or_else(|| format!("no CA for {}", public_key.curve()))?;
    // Name, address and groups come from what we know of the device, never from its request.
    let name = format!("device-{number}");
    let networks = vec![format!("10.42.0.{number}/16").parse()?];
    let validity = Validity { not_before: now, not_after: now + 14 * DAY };
    let host = HostParameters::new(name, networks, public_key, validity).groups(["devices"]);
    Ok(authority.issue(Version::V1, &host)?.into_certificate())
}

fn make_ca(curve: Curve, now: i64) -> Result<Issuer<SigningKey>, nebula_pki::Error> {
    let validity = Validity { not_before: now, not_after: now + 365 * DAY };
    let parameters = CaParameters::new(format!("Devices on {curve}"), validity);
    Issuer::self_signed(Version::V1, parameters, SigningKey::generate(curve, &mut SystemRandom)?)
}

/// What may arrive: two good keys, and what goes wrong.
fn samples() -> Result<Vec<(String, Vec<u8>)>, nebula_pki::Error> {
    let x25519 = AgreementKey::generate(Curve::Curve25519, &mut SystemRandom)?;
    let p256 = AgreementKey::generate(Curve::P256, &mut SystemRandom)?;
    let zero = "-----BEGIN NEBULA X25519 PUBLIC KEY-----\n\
                AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n\
                -----END NEBULA X25519 PUBLIC KEY-----\n";
    let short = "-----BEGIN NEBULA X25519 PUBLIC KEY-----\n\
                 AAAAAAAAAAAAAAAAAAAAAA==\n\
                 -----END NEBULA X25519 PUBLIC KEY-----\n";
    let off_curve = "-----BEGIN NEBULA P256 PUBLIC KEY-----\n\
                     BAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n\
                     AAAAAAAAAAAAAAAAAAAAAAA=\n\
                     -----END NEBULA P256 PUBLIC KEY-----\n";
    let sample = |name: &str, pem: &str| (name.to_owned(), pem.as_bytes().to_vec());
    Ok(vec![
        sample("an X25519 key", &x25519.public_key().to_pem()),
        sample("a P256 key", &p256.public_key().to_pem()),
        sample("a private key, sent by mistake", &x25519.to_pem()),
        sample("a key of zeros", zero),
        sample("half a key", short),
        sample("a point that is not on P256", off_curve),
        sample("something else", "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5 someone@example\n"),
    ])
}
