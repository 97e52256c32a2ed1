//! Two things measured in turn.

use std::time::{Duration, Instant};

use crate::samples::Outcome;

/// How long a block of repetitions takes. Short, so that what disturbs one block disturbs its
/// neighbour; long against the clock's resolution.
const BLOCK: Duration = Duration::from_micros(200);

pub(crate) const HEADER: &str =
    "                            ours    reference    ratio   quartiles      bar";

/// What the ratio has to be.
#[derive(Clone, Copy)]
pub(crate) enum Bar {
    /// Ours takes at most so many times as long as the reference.
    AtMost(f64),
    /// The reference takes at least so many times as long as ours.
    TimesFaster(f64),
}

impl Bar {
    pub(crate) fn holds(self, ratio: f64, tolerance: f64) -> bool {
        match self {
            Self::AtMost(bar) => ratio <= bar * tolerance,
            Self::TimesFaster(bar) => ratio * tolerance >= bar,
        }
    }

    fn ratio(self, ours: f64, reference: f64) -> f64 {
        match self {
            Self::AtMost(_) => ours / reference,
            Self::TimesFaster(_) => reference / ours,
        }
    }
}

/// What all rounds gave, each list in ascending order.
pub(crate) struct Comparison {
    bar: Bar,
    /// Seconds for one.
    ours: Vec<f64>,
    reference: Vec<f64>,
    ratios: Vec<f64>,
}

impl Comparison {
    /// Each closure does its thing once and says whether it worked.
    pub(crate) fn run(
        rounds: usize,
        bar: Bar,
        mut ours: impl FnMut() -> bool,
        mut reference: impl FnMut() -> bool,
    ) -> Outcome<Self> {
        let our_count = calibrate(&mut ours)?;
        let reference_count = calibrate(&mut reference)?;
        let slow = our_count == 1 || reference_count == 1;
        let rounds = if slow { rounds.div_ceil(10) } else { rounds };
        let mut comparison = Self { bar, ours: vec![], reference: vec![], ratios: vec![] };
        for round in 0..rounds {
            // Neither is always the one that finds the caches as the other left them.
            let (our_time, reference_time) = if round % 2 == 0 {
                let our_time = block(our_count, &mut ours)?;
                (our_time, block(reference_count, &mut reference)?)
            } else {
                let reference_time = block(reference_count, &mut reference)?;
                (block(our_count, &mut ours)?, reference_time)
            };
            comparison.ours.push(our_time);
            comparison.reference.push(reference_time);
            comparison.ratios.push(bar.ratio(our_time, reference_time));
        }
        for list in [&mut comparison.ours, &mut comparison.reference, &mut comparison.ratios] {
            list.sort_by(f64::total_cmp);
        }
        Ok(comparison)
    }

    /// The median.
    pub(crate) fn ratio(&self) -> f64 {
        quantile(&self.ratios, 2)
    }

    pub(crate) fn row(&self, name: &str, held: bool) -> String {
        let (ours, reference) = (time(quantile(&self.ours, 2)), time(quantile(&self.reference, 2)));
        let [low, median, high] = [1, 2, 3].map(|quarter| quantile(&self.ratios, quarter));
        let bar = match self.bar {
            Bar::AtMost(bar) => format!("<= {bar}"),
            Bar::TimesFaster(bar) => format!(">= {bar}"),
        };
        let missed = if held { "" } else { "  MISSED" };
        format!(
            "{name:<20} {ours:>12} {reference:>12} {median:>8.3}   {low:.3}-{high:.3}  {bar:>7}{missed}"
        )
    }
}

/// How many repetitions make a block, after enough of them to warm up.
fn calibrate(thing: &mut impl FnMut() -> bool) -> Outcome<u32> {
    let mut count = 1;
    loop {
        let once = block(count, thing)?;
        let wanted = BLOCK.as_secs_f64() / once;
        if wanted <= f64::from(count) {
            return Ok(count);
        }
        count *= 2;
    }
}

/// The mean of some repetitions, in seconds.
fn block(count: u32, thing: &mut impl FnMut() -> bool) -> Outcome<f64> {
    let mut worked = true;
    let start = Instant::now();
    for _ in 0..count {
        worked &= thing();
    }
    let elapsed = start.elapsed();
    if worked { Ok(elapsed.as_secs_f64() / f64::from(count)) } else { Err("it failed".into()) }
}

fn quantile(ascending: &[f64], quarter: usize) -> f64 {
    let index = ascending.len().saturating_sub(1) * quarter / 4;
    ascending.get(index).copied().unwrap_or(f64::NAN)
}

fn time(seconds: f64) -> String {
    match seconds {
        ..1e-6 => format!("{:.1} ns", seconds * 1e9),
        ..1e-3 => format!("{:.2} us", seconds * 1e6),
        _ => format!("{:.2} ms", seconds * 1e3),
    }
}
