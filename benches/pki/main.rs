//! What nebula-pki adds to the primitives that it cannot do without.
//!
//! Everything is measured against its primitive in short blocks that take turns, and all comparisons
//! take turns too, so that a machine that is slow for a while is slow for both sides and for few
//! blocks. The median of the blocks' ratios counts.
#![allow(clippy::print_stdout, reason = "a program for people")]

mod compare;
mod primitives;
mod samples;

use std::collections::HashMap;
use std::hint::black_box;
use std::process::ExitCode;
use std::rc::Rc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::Parser;
use nebula_pki::{CaPool, Certificate, Curve, Version};

use compare::{Bar, Comparison};
use primitives::{BACKEND, BareSigner, BareVerifier};
use samples::{AT, Authorities, Authority, Outcome};

/// How many CAs a pool holds, and how many fingerprints a blocklist.
const ENTRIES: usize = 1_000;

/// How many rounds of a comparison follow one another before the next has its turn.
const TURN: usize = 20;

/// Measure nebula-pki against the primitives beneath it
#[derive(Parser)]
struct Arguments {
    /// How often each comparison is made; the median counts. Pools take a tenth
    #[arg(long, default_value_t = 400)]
    rounds: usize,
    /// Only the comparisons whose name contains this
    #[arg(long, value_name = "TEXT", default_value = "")]
    only: String,
    /// How far beyond its bar a ratio may be, in per cent, on a machine that is not quiet
    #[arg(long, value_name = "PERCENT", default_value_t = 0)]
    tolerance: u32,
    /// Succeed whatever the ratios
    #[arg(long)]
    no_bars: bool,
}

fn main() -> Outcome<ExitCode> {
    let arguments = Arguments::parse();
    let mut plan = Plan { only: arguments.only, comparisons: vec![] };
    let curves = [(Curve::Curve25519, "Ed25519"), (Curve::P256, "P256")];
    for (curve, name) in curves {
        let authority = Rc::new(Authority::new(curve)?);
        for version in [Version::V1, Version::V2] {
            let number = version.number();
            plan.issue(format!("issue v{number} {name}"), &authority, version)?;
            plan.verify(format!("verify v{number} {name}"), &authority, version)?;
        }
    }
    for (curve, name) in curves {
        plan.reverify(format!("verify again {name}"), curve)?;
    }
    for version in [Version::V1, Version::V2] {
        plan.parse(format!("parse PEM v{}", version.number()), version)?;
    }
    plan.pool(format!("pool of {ENTRIES} CAs"))?;

    for done in (0..arguments.rounds).step_by(TURN) {
        for comparison in &mut plan.comparisons {
            comparison.run(TURN.min(arguments.rounds - done))?;
        }
    }
    println!("signatures by {BACKEND}\n\n{}", compare::HEADER);
    let tolerance = 1.0 + f64::from(arguments.tolerance) / 100.0;
    let mut missed = 0;
    for comparison in &plan.comparisons {
        let held = comparison.holds(tolerance);
        missed += usize::from(!held);
        println!("{}{}", comparison.row(), if held { "" } else { "  MISSED" });
    }
    let failed = missed > 0 && !arguments.no_bars;
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// The comparisons that are wanted.
struct Plan {
    only: String,
    comparisons: Vec<Comparison>,
}

impl Plan {
    /// A certificate, and a bare signature of its message.
    fn issue(&mut self, name: String, authority: &Rc<Authority>, version: Version) -> Outcome<()> {
        let (authority, host) = (Rc::clone(authority), authority.host()?);
        let message = authority.issuer.prepare(version, &host)?.to_be_signed().to_vec();
        let bare = BareSigner::new(&authority.key)?;
        self.add(
            name,
            Bar::AtMost(1.15),
            move || black_box(authority.issuer.issue(version, black_box(&host))).is_ok(),
            move || bare.sign(black_box(&message)),
        )
    }

    /// A certificate, and its bare signature under an already decoded key.
    fn verify(&mut self, name: String, authority: &Authority, version: Version) -> Outcome<()> {
        let (certificate, message) = authority.certificate(version)?;
        let pool = CaPool::from_pem(authority.issuer.certificate().to_pem().as_bytes())?;
        let blocklist = samples::blocklist(ENTRIES)?;
        let bare = BareVerifier::new(authority.issuer.certificate())?;
        let signature = certificate.signature().to_vec();
        self.add(
            name,
            Bar::AtMost(1.1),
            move || black_box(pool.verify(black_box(&certificate), AT, &blocklist)).is_ok(),
            move || bare.verify(black_box(&message), black_box(&signature)),
        )
    }

    /// Certificates of all CAs in turn, and a look-up in std's map of as many keys.
    fn reverify(&mut self, name: String, curve: Curve) -> Outcome<()> {
        if !self.wants(&name) {
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
        let mut next = (0..ENTRIES).cycle();
        let mut next_key = (0..ENTRIES).cycle();
        self.add(
            name,
            Bar::AtMost(3.0),
            move || {
                let verified = next.next().and_then(|index| verified.get(index));
                verified.is_some_and(|verified| {
                    black_box(pool.reverify(black_box(verified), AT, &blocklist)).is_ok()
                })
            },
            move || {
                let key = next_key.next().and_then(|index| keys.get(index));
                key.is_some_and(|key| black_box(map.get(black_box(key))).is_some())
            },
        )
    }

    /// A PEM file, and the base64 in it.
    fn parse(&mut self, name: String, version: Version) -> Outcome<()> {
        let (certificate, _) = Authority::new(Curve::Curve25519)?.certificate(version)?;
        let pem = certificate.to_pem();
        let digits: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
        self.add(
            name,
            Bar::AtMost(4.0),
            move || black_box(Certificate::from_pem(black_box(pem.as_bytes()))).is_ok(),
            move || black_box(STANDARD.decode(black_box(&digits))).is_ok(),
        )
    }

    /// A bundle, and its certificates parsed and added one by one.
    fn pool(&mut self, name: String) -> Outcome<()> {
        if !self.wants(&name) {
            return Ok(());
        }
        let Authorities { certificates, .. } = Authorities::new(ENTRIES, Curve::Curve25519)?;
        let pems: Vec<String> = certificates.iter().map(Certificate::to_pem).collect();
        let bundle = pems.concat();
        self.add(
            name,
            Bar::TimesFaster(1.6),
            move || black_box(CaPool::from_pem(black_box(bundle.as_bytes()))).is_ok(),
            move || {
                let mut pool = CaPool::new();
                let added = black_box(&pems).iter().all(|pem| {
                    Certificate::from_pem(pem.as_bytes()).is_ok_and(|ca| pool.add(ca).is_ok())
                });
                black_box(pool);
                added
            },
        )
    }

    fn wants(&self, name: &str) -> bool {
        name.contains(&self.only)
    }

    fn add(
        &mut self,
        name: String,
        bar: Bar,
        ours: impl FnMut() -> bool + 'static,
        reference: impl FnMut() -> bool + 'static,
    ) -> Outcome<()> {
        if self.wants(&name) {
            self.comparisons.push(Comparison::new(name, bar, ours, reference)?);
        }
        Ok(())
    }
}
