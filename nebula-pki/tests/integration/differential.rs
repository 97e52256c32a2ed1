//! Do generated certificates, sound and broken, get the verdict of the real `nebula-cert`?
//!
//! `DIFFERENTIAL_CASES` says how many (2,000), `DIFFERENTIAL_SEED` which: the same seed makes the
//! same cases. What `print` shows and the words of each refusal are compared, too.

mod authority;
mod case;
mod der;
mod dice;
mod draft;
mod judge;
mod protobuf;
mod signature;
mod text;
#[path = "../../src/cli/wording.rs"]
#[allow(dead_code, reason = "shared with the command")]
mod wording;

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

use authority::Authority;
use case::{Case, Kind};
use judge::{Judge, Judgement, Verdict};
use nebula_pki::CaPool;

#[cfg(all(feature = "graviola", debug_assertions))]
use crate::support::other_processor;
use crate::support::peer;

/// How many cases one process of the reference may get together.
const BATCH: usize = 250;

#[test]
fn generated_certificates_get_the_references_verdict() {
    let Some(tool) = peer::nebula_cert("1.11.0") else { return };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let cases = number("DIFFERENTIAL_CASES").unwrap_or(2_000) as usize;
    let seed = number("DIFFERENTIAL_SEED").unwrap_or(now);
    println!("{cases} cases of DIFFERENTIAL_SEED={seed}");

    let cas = authority::all(seed);
    let bundle: String = cas.iter().map(|ca| ca.certificate.to_pem()).collect();
    let directory = tempfile::tempdir().unwrap();
    let ca_file = directory.path().join("ca.crt");
    fs::write(&ca_file, &bundle).unwrap();
    let pool = CaPool::from_pem(bundle.as_bytes()).unwrap();

    let next = AtomicUsize::new(0);
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let mut total = Tally::default();
    thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|worker| {
                let own = directory.path().join(worker.to_string());
                fs::create_dir(&own).unwrap();
                let judge = Judge {
                    tool: &tool,
                    directory: own,
                    ca_file: &ca_file,
                    pool: &pool,
                    now: now as i64,
                };
                let (next, cas) = (&next, &cas[..]);
                scope.spawn(move || work(&judge, next, cases, seed, cas))
            })
            .collect();
        for worker in workers {
            total.add(worker.join().unwrap());
        }
    });

    total.print();
    assert_eq!(total.compared, cases);
    for disagreement in total.disagreements.iter().take(10) {
        println!("{disagreement}");
    }
    let count = total.disagreements.len();
    assert_eq!(count, 0, "disagreements in {cases} cases of DIFFERENTIAL_SEED={seed}");
    if cases >= 1_000 {
        total.assert_balanced();
    }
}

/// The half that a processor without ADX judges; skipped as the other is.
#[cfg(all(feature = "graviola", debug_assertions))]
#[test]
fn generated_certificates_get_it_without_what_graviola_needs_too() {
    if peer::nebula_cert("1.11.0").is_some() {
        other_processor::run_the_others(
            module_path!(),
            "generated_certificates_get_it_without_what_graviola_needs_too",
        );
    }
}

fn number(variable: &str) -> Option<u64> {
    env::var(variable).ok().map(|text| text.parse().unwrap())
}

/// Takes batches until none is left.
fn work(judge: &Judge<'_>, next: &AtomicUsize, end: usize, seed: u64, cas: &[Authority]) -> Tally {
    let mut tally = Tally::default();
    loop {
        let first = next.fetch_add(BATCH, Ordering::Relaxed);
        if first >= end {
            return tally;
        }
        let cases: Vec<_> = (first..end.min(first + BATCH))
            .map(|number| case::generate(seed, number, cas))
            .collect();
        judge.judge(&cases).iter().for_each(|judgement| tally.count(judgement));
    }
}

/// What was compared.
#[derive(Default)]
struct Tally {
    compared: usize,
    /// By kind, version and curve: unreadable, refused, verified.
    verdicts: BTreeMap<String, [usize; 3]>,
    flaws: BTreeMap<&'static str, usize>,
    deliberate: usize,
    disagreements: Vec<String>,
}

impl Tally {
    fn count(&mut self, judgement: &Judgement<'_>) {
        let Judgement { case, verdict, deliberate, disagreements } = judgement;
        self.compared += 1;
        self.deliberate += usize::from(*deliberate);
        self.verdicts.entry(quadrant(case)).or_default()[*verdict as usize] += 1;
        for flaw in &case.flaws {
            *self.flaws.entry(flaw).or_default() += 1;
        }
        for disagreement in disagreements {
            self.disagreements.push(describe(case, *verdict, disagreement));
        }
    }

    fn add(&mut self, other: Self) {
        self.compared += other.compared;
        self.deliberate += other.deliberate;
        for (quadrant, verdicts) in other.verdicts {
            let sums = self.verdicts.entry(quadrant).or_default();
            sums.iter_mut().zip(verdicts).for_each(|(sum, count)| *sum += count);
        }
        for (flaw, count) in other.flaws {
            *self.flaws.entry(flaw).or_default() += count;
        }
        self.disagreements.extend(other.disagreements);
    }

    fn print(&self) {
        println!("{:24} {:>10} {:>10} {:>10}", "", "unreadable", "refused", "verified");
        for (quadrant, [unreadable, refused, verified]) in &self.verdicts {
            println!("{quadrant:24} {unreadable:10} {refused:10} {verified:10}");
        }
        for (flaw, count) in &self.flaws {
            println!("{flaw:32} {count:6}");
        }
        println!("deliberately loaded: {}", self.deliberate);
    }

    /// A run of rubbish only, or of sound certificates only, would agree and prove nothing.
    fn assert_balanced(&self) {
        assert_eq!(self.verdicts.len(), 2 * 4 + 1);
        for (quadrant, verdicts) in &self.verdicts {
            let least = verdicts.iter().sum::<usize>() / 20;
            assert!(verdicts.iter().all(|count| *count > least), "{quadrant}: {verdicts:?}");
        }
    }
}

fn quadrant(case: &Case) -> String {
    let kind = match case.kind {
        Kind::Text => return "text".to_owned(),
        Kind::Host => "host",
        Kind::Ca { .. } => "CA",
    };
    format!("{kind} v{} {}", case.version.number(), case.curve)
}

fn describe(case: &Case, verdict: Verdict, disagreement: &str) -> String {
    let host = match &case.kind {
        Kind::Ca { host: Some(host) } => &host[..],
        _ => &[],
    };
    let pem = [&case.pem, host].concat();
    let pem = String::from_utf8_lossy(&pem[..pem.len().min(10_000)]);
    let (number, quadrant, flaws) = (case.number, quadrant(case), &case.flaws);
    format!("case {number} {quadrant} with {flaws:?}, ours: {verdict:?}; {disagreement}\n{pem}")
}
