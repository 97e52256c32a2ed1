//! Decides whether a peer may be talked to: from its certificate as a file, from what it sends in a
//! handshake, and again and again while it is connected.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program for people")]

use std::error::Error;
use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::Parser;
use nebula_pki::key::{AgreementKey, SigningKey};
use nebula_pki::{
    Blocklist, CaParameters, CaPool, Certificate, Curve, Fingerprint, HostParameters, Issuer,
    SystemRandom, Validity, VerifiedCertificate, Version,
};

const DAY: i64 = 86_400;

/// Verify a peer's certificate; exits with 1 if it is refused
#[derive(Parser)]
struct Arguments {
    /// The CAs that are trusted, as PEM; without it and --crt: some made for the occasion
    #[arg(long, value_name = "FILE", requires = "crt")]
    ca: Option<PathBuf>,
    /// The peer's certificate, as PEM
    #[arg(long, value_name = "FILE", requires = "ca")]
    crt: Option<PathBuf>,
    /// A fingerprint that is blocked; may be given several times
    #[arg(long, value_name = "FINGERPRINT")]
    block: Vec<Fingerprint>,
}

fn main() -> ExitCode {
    match run(Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("verify-peer: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(Arguments { ca, crt, block }: Arguments) -> Result<(), Box<dyn Error>> {
    let now = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs())?;
    let (ca_pem, peer_pem) = match (ca, crt) {
        (Some(ca), Some(crt)) => (fs::read(ca)?, fs::read(crt)?),
        _ => make_network(now)?,
    };

    // An expired CA is no reason to refuse the file: it verifies nothing, the others still do.
    let pool = CaPool::from_pem(&ca_pem)?;
    for ca in pool.expired(now) {
        println!("CA {:?} is expired or not yet valid", ca.unverified_details().name());
    }
    let mut blocklist: Blocklist = block.into_iter().collect();

    // A certificate that was only parsed can be asked for nothing without the word "unverified".
    let certificate = Certificate::from_pem(&peer_pem)?;
    let peer = pool.verify(&certificate, now, &blocklist)?;
    println!("verified   {}", describe(&peer));

    // In a handshake the public key comes from the Noise protocol, which proves that the peer has
    // the private one; the certificate comes without it, beside its version's number.
    let (version, payload) = (certificate.version().number(), certificate.to_handshake_bytes());
    let noise_static_key = certificate.public_key();
    let received = Certificate::from_handshake(
        Version::from_number(version.into())?,
        &payload,
        noise_static_key,
        certificate.curve(),
    )?;
    let peer = pool.verify(&received, now, &blocklist)?;
    println!("handshake  {} of {} bytes", peer.certificate().fingerprint(), payload.len());

    // While it is connected, ask every few seconds: no signature is computed, all else is looked up.
    pool.reverify(&peer, now + 5, &blocklist)?;
    println!("connected  still trusted");

    let after_its_end = peer.details().not_after() + 1;
    if let Err(reason) = pool.reverify(&peer, after_its_end, &blocklist) {
        println!("later      {reason}");
    }
    blocklist.insert(peer.certificate().fingerprint());
    if let Err(reason) = pool.reverify(&peer, now, &blocklist) {
        println!("blocked    {reason}");
    }
    Ok(())
}

/// What it permits; only a verified certificate can be asked.
fn describe(peer: &VerifiedCertificate) -> String {
    let details = peer.details();
    let networks: Vec<String> = details.networks().iter().map(ToString::to_string).collect();
    let groups: Vec<_> = details.groups().collect();
    format!("{:?} at {} in {groups:?}", details.name(), networks.join(", "))
}

/// The bundle of two CAs, one of which has expired, and the certificate of a peer.
fn make_network(now: i64) -> Result<(Vec<u8>, Vec<u8>), Box<dyn Error>> {
    let make_ca = |name: &str, not_before, not_after| {
        let parameters = CaParameters::new(name, Validity { not_before, not_after });
        let key = SigningKey::generate(Curve::Curve25519, &mut SystemRandom)?;
        Issuer::self_signed(Version::V2, parameters, key)
    };
    let retired = make_ca("Retired CA", now - 400 * DAY, now - 35 * DAY)?;
    let current = make_ca("Current CA", now - 40 * DAY, now + 325 * DAY)?;

    let key = AgreementKey::generate(Curve::Curve25519, &mut SystemRandom)?;
    let validity = Validity { not_before: now, not_after: now + 14 * DAY };
    let networks = vec!["10.42.0.7/16".parse()?, "fd42::7/64".parse()?];
    let host = HostParameters::new("peer", networks, key.public_key(), validity).groups(["staff"]);
    let peer = current.issue(Version::V2, &host)?;

    let bundle = retired.certificate().to_pem() + &current.certificate().to_pem();
    Ok((bundle.into_bytes(), peer.certificate().to_pem().into_bytes()))
}
