//! What nebula-pki adds to the primitives that it cannot do without.
//!
//! Everything is measured against its primitive in the same run, in short blocks that take turns, so
//! that a machine that is slow for a while is slow for both. The median of the blocks' ratios counts.
#![allow(clippy::print_stdout, reason = "a program for people")]

mod compare;
mod primitives;
mod samples;

use std::collections::HashMap;
use std::hint::black_box;
use std::process::ExitCode;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::Parser;
use nebula_pki::{CaPool, Certificate, Curve, Version};

use compare::{Bar, Comparison};
use primitives::{BACKEND, BareSigner, BareVerifier};
use samples::{AT, Authorities, Authority, Outcome};

/// How many CAs a pool holds, and how many fingerprints a blocklist.
const ENTRIES: usize = 1_000;

/// Measure nebula-pki against the primitives beneath it
#[derive(Parser)]
struct Arguments {
    /// How often each comparison is made; the median counts. Pools take a tenth
    #[arg(long, default_value_t = 300)]
    rounds: usize,
    /// Only the comparisons whose name contains this
    #[arg(long, value_name = "TEXT", default_value = "")]
    only: String,
    /// Never fail for a missed bar
    #[arg(long)]
    no_bars: bool,
    /// How far beyond its bar a comparison may be, in per cent, on a machine that is not quiet
    #[arg(long, value_name = "PER CENT", default_value_t = 0)]
    tolerance: u32,
}

fn main() -> Outcome<ExitCode> {
    let arguments = Arguments::parse();
    let mut bench = Bench { arguments, missed: 0 };
    println!("signatures by {BACKEND}\n\n{}", compare::HEADER);

    for (curve, name) in [(Curve::Curve25519, "Ed25519"), (Curve::P256, "P256")] {
        let authority = Authority::new(curve)?;
        for version in [Version::V1, Version::V2] {
            let label = |what| format!("{what} v{} {name}", version.number());
            bench.issue(&label("issue"), &authority, version)?;
            bench.verify(&label("verify"), &authority, version)?;
        }
    }
    for (curve, name) in [(Curve::Curve25519, "Ed25519"), (Curve::P256, "P256")] {
        bench.reverify(&format!("verify again {name}"), curve)?;
    }
    let authority = Authority::new(Curve::Curve25519)?;
    for version in [Version::V1, Version::V2] {
        bench.parse(&format!("parse PEM v{}", version.number()), &authority, version)?;
    }
    bench.pool("pool of 1,000 CAs")?;

    if bench.missed > 0 {
        println!("\nbars missed: {}", bench.missed);
    }
    let failed = bench.missed > 0 && !bench.arguments.no_bars;
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

struct Bench {
    arguments: Arguments,
    missed: usize,
}

impl Bench {
    /// A certificate, and a bare signature of its message.
    fn issue(&mut self, name: &str, authority: &Authority, version: Version) -> Outcome<()> {
        let host = authority.host()?;
        let message = authority.issuer.prepare(version, &host)?.to_be_signed().to_vec();
        let bare = BareSigner::new(&authority.key)?;
        self.compare(
            name,
            Bar::AtMost(1.15),
            || black_box(authority.issuer.issue(version, black_box(&host))).is_ok(),
            || black_box(bare.sign(black_box(&message))),
        )
    }

    /// A certificate, and its bare signature under an already decoded key.
    fn verify(&mut self, name: &str, authority: &Authority, version: Version) -> Outcome<()> {
        let (certificate, message) = authority.certificate(version)?;
        let pool = CaPool::from_pem(authority.issuer.certificate().to_pem().as_bytes())?;
        let blocklist = samples::blocklist(ENTRIES)?;
        let bare = BareVerifier::new(authority.issuer.certificate())?;
        let signature = certificate.signature().to_vec();
        self.compare(
            name,
            Bar::AtMost(1.1),
            || black_box(pool.verify(black_box(&certificate), AT, &blocklist)).is_ok(),
            || black_box(bare.verify(black_box(&message), black_box(&signature))),
        )
    }

    /// Certificates of all CAs in turn, and a look-up in std's map of as many keys.
    fn reverify(&mut self, name: &str, curve: Curve) -> Outcome<()> {
        if !self.wanted(name) {
            return Ok(());
        }
        let Authorities { pool, hosts, .. } = Authorities::new(ENTRIES, curve)?;
        let blocklist = samples::blocklist(ENTRIES)?;
        let verified: Vec<_> = hosts
            .iter()
            .map(|certificate| pool.verify(certificate, AT, &blocklist))
            .collect::<Result<_, _>>()?;
        let keys: Vec<[u8; 32]> =
            pool.certificates().map(|ca| *ca.fingerprint().as_bytes()).collect();
        let map: HashMap<[u8; 32], usize> = keys.iter().copied().zip(0..).collect();
        let mut verified = verified.iter().cycle();
        let mut keys = keys.iter().cycle();
        self.compare(
            name,
            Bar::AtMost(5.0),
            || {
                verified.next().is_some_and(|verified| {
                    black_box(pool.reverify(black_box(verified), AT, &blocklist)).is_ok()
                })
            },
            || keys.next().is_some_and(|key| black_box(map.get(black_box(key))).is_some()),
        )
    }

    /// A PEM file, and the base64 in it.
    fn parse(&mut self, name: &str, authority: &Authority, version: Version) -> Outcome<()> {
        let (certificate, _) = authority.certificate(version)?;
        let pem = certificate.to_pem();
        let digits: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
        self.compare(
            name,
            Bar::AtMost(4.0),
            || black_box(Certificate::from_pem(black_box(pem.as_bytes()))).is_ok(),
            || black_box(STANDARD.decode(black_box(&digits))).is_ok(),
        )
    }

    /// A bundle, and its certificates parsed and added one by one.
    fn pool(&mut self, name: &str) -> Outcome<()> {
        if !self.wanted(name) {
            return Ok(());
        }
        let Authorities { certificates, .. } = Authorities::new(ENTRIES, Curve::Curve25519)?;
        let pems: Vec<String> = certificates.iter().map(Certificate::to_pem).collect();
        let bundle = pems.concat();
        let one_by_one = || {
            let mut pool = CaPool::new();
            let added = pems.iter().all(|pem| {
                Certificate::from_pem(pem.as_bytes()).and_then(|ca| pool.add(ca)).is_ok()
            });
            added && black_box(pool).certificates().len() == ENTRIES
        };
        self.compare(
            name,
            Bar::TimesFaster(1.6),
            || {
                let pool = black_box(CaPool::from_pem(black_box(bundle.as_bytes())));
                pool.is_ok_and(|pool| pool.certificates().len() == ENTRIES)
            },
            one_by_one,
        )
    }

    fn wanted(&self, name: &str) -> bool {
        name.contains(&self.arguments.only)
    }

    fn compare(
        &mut self,
        name: &str,
        bar: Bar,
        ours: impl FnMut() -> bool,
        reference: impl FnMut() -> bool,
    ) -> Outcome<()> {
        if !self.wanted(name) {
            return Ok(());
        }
        let comparison = Comparison::run(self.arguments.rounds, bar, ours, reference)?;
        let tolerance = 1.0 + f64::from(self.arguments.tolerance) / 100.0;
        let held = bar.holds(comparison.ratio(), tolerance);
        self.missed += usize::from(!held);
        println!("{}", comparison.row(name, held));
        Ok(())
    }
}
