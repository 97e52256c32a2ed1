//! Four spawns of `nebula-cert`, each beside the call that replaces it: no process, no key or
//! certificate on disk in between, and errors that can be matched on.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program for people")]

use std::error::Error;
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use nebula_pki::key::{AgreementKey, PublicKey, SigningKey};
use nebula_pki::{
    Blocklist, CaParameters, CaPool, Certificate, Curve, HostParameters, Issuer, SystemRandom,
    Validity, Version, utc,
};

const HOUR: i64 = 3_600;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("replace-nebula-cert: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    // nebula-cert keygen -out-key device.key -out-pub device.pub
    let device_key = AgreementKey::generate(Curve::Curve25519, &mut SystemRandom)?;
    let device_pub = device_key.public_key().to_pem();

    let issuer = ca()?;
    let device_crt = sign(&issuer, device_pub.as_bytes())?;
    let ca_crt = issuer.certificate().to_pem();
    verify(ca_crt.as_bytes(), device_crt.as_bytes())?;
    let json = print(device_crt.as_bytes())?;

    print!("{ca_crt}{device_crt}");
    println!("{json}");
    Ok(())
}

/// ```sh
/// nebula-cert ca -name "Example CA" -duration 8760h -networks 10.42.0.0/16
/// ```
///
/// `issuer.certificate().to_pem()` is `ca.crt`; the signing key's `to_pem()` would be `ca.key`, and
/// `SigningKey::from_pem` with `Issuer::new` reads them back.
fn ca() -> Result<Issuer<SigningKey>, Box<dyn Error>> {
    let now = now()?;
    let validity = Validity { not_before: now, not_after: now + 8760 * HOUR };
    let parameters = CaParameters::new("Example CA", validity).networks(["10.42.0.0/16".parse()?]);
    let key = SigningKey::generate(Curve::Curve25519, &mut SystemRandom)?;
    Ok(Issuer::self_signed(Version::V2, parameters, key)?)
}

/// ```sh
/// nebula-cert sign -ca-crt ca.crt -ca-key ca.key -in-pub device.pub -out-crt device.crt \
///     -name device -networks 10.42.0.5/16 -groups attested,devices
/// ```
fn sign(issuer: &Issuer<SigningKey>, device_pub: &[u8]) -> Result<String, Box<dyn Error>> {
    // Without -duration, the certificate ends a second before its CA.
    let not_after = issuer.certificate().unverified_details().not_after() - 1;
    let validity = Validity { not_before: now()?, not_after };
    let public_key = PublicKey::from_pem(device_pub)?;
    let networks = vec!["10.42.0.5/16".parse()?];
    let device = HostParameters::new("device", networks, public_key, validity)
        .groups(["attested", "devices"]);
    Ok(issuer.issue(Version::V2, &device)?.certificate().to_pem())
}

/// ```sh
/// nebula-cert verify -ca ca.crt -crt device.crt
/// ```
fn verify(ca_crt: &[u8], device_crt: &[u8]) -> Result<(), Box<dyn Error>> {
    let pool = CaPool::from_pem(ca_crt)?;
    // The command can't be given a blocklist.
    let blocklist = Blocklist::new();
    for certificate in Certificate::from_pem_many(device_crt)? {
        pool.verify(&certificate, now()?, &blocklist)?;
    }
    Ok(())
}

/// ```sh
/// nebula-cert print -json -path device.crt
/// ```
///
/// Who parses this JSON for a field can ask the certificate instead.
fn print(device_crt: &[u8]) -> Result<String, Box<dyn Error>> {
    let certificates = Certificate::from_pem_many(device_crt)?;
    let shown: Result<Vec<_>, _> = certificates.iter().map(|one| one.to_json(utc)).collect();
    Ok(format!("[{}]", shown?.join(",")))
}

fn now() -> Result<i64, Box<dyn Error>> {
    Ok(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs().try_into()?)
}
