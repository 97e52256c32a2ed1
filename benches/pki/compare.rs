//! Two things measured in turn.

use std::time::{Duration, Instant};

use crate::samples::Outcome;

/// How long a block of repetitions takes, unless one takes longer. Short, so that what disturbs one
/// block disturbs its neighbour; long against the clock's resolution.
const BLOCK: Duration = Duration::from_micros(200);

/// What takes longer than this is repeated a tenth as often.
const SLOW: Duration = Duration::from_millis(2);

pub(crate) const HEADER: &str =
    "                             ours    reference    ratio    quartiles      bar";

/// What the ratio has to be.
#[derive(Clone, Copy)]
pub(crate) enum Bar {
    /// Ours takes at most so many times as long as the reference.
    AtMost(f64),
    /// The reference takes at least so many times as long as ours.
    TimesFaster(f64),
}

/// One thing of ours and what it is held against.
pub(crate) struct Comparison {
    name: String,
    bar: Bar,
    ours: Side,
    reference: Side,
    ratios: Vec<f64>,
}

impl Comparison {
    /// Each closure does its thing once and says whether it worked.
    pub(crate) fn new(
        name: String,
        bar: Bar,
        ours: impl FnMut() -> bool + 'static,
        reference: impl FnMut() -> bool + 'static,
    ) -> Outcome<Self> {
        let (ours, reference) = (Side::new(ours)?, Side::new(reference)?);
        Ok(Self { name, bar, ours, reference, ratios: vec![] })
    }

    pub(crate) fn run(&mut self, rounds: usize) -> Outcome<()> {
        let slow = self.ours.slow || self.reference.slow;
        for round in 0..if slow { rounds.div_ceil(10) } else { rounds } {
            // Neither is always the one that finds the caches as the other left them.
            let (ours, reference) = if round % 2 == 0 {
                let ours = self.ours.measure()?;
                (ours, self.reference.measure()?)
            } else {
                let reference = self.reference.measure()?;
                (self.ours.measure()?, reference)
            };
            self.ratios.push(match self.bar {
                Bar::AtMost(_) => ours / reference,
                Bar::TimesFaster(_) => reference / ours,
            });
        }
        Ok(())
    }

    /// Whether the median is within the bar, or by how much it may be beyond.
    pub(crate) fn holds(&self, tolerance: f64) -> bool {
        let [_, ratio, _] = quartiles(&self.ratios);
        match self.bar {
            Bar::AtMost(bar) => ratio <= bar * tolerance,
            Bar::TimesFaster(bar) => ratio * tolerance >= bar,
        }
    }

    pub(crate) fn row(&self) -> String {
        let [ours, reference] = [&self.ours, &self.reference].map(|side| {
            let [_, median, _] = quartiles(&side.seconds);
            time(median)
        });
        let [low, median, high] = quartiles(&self.ratios);
        let bar = match self.bar {
            Bar::AtMost(bar) => format!("<= {bar}"),
            Bar::TimesFaster(bar) => format!(">= {bar}"),
        };
        let name = &self.name;
        format!("{name:<20} {ours:>12} {reference:>12} {median:>8.3}  {low:.3}-{high:.3}  {bar:>7}")
    }
}

type Block = dyn FnMut(u32) -> Outcome<f64>;

struct Side {
    /// Does it so often, and gives the mean in seconds.
    block: Box<Block>,
    /// How many repetitions make a block.
    count: u32,
    slow: bool,
    seconds: Vec<f64>,
}

impl Side {
    fn new(mut thing: impl FnMut() -> bool + 'static) -> Outcome<Self> {
        let mut block: Box<Block> = Box::new(move |count| {
            let mut worked = true;
            let start = Instant::now();
            for _ in 0..count {
                worked &= thing();
            }
            let elapsed = start.elapsed().as_secs_f64();
            if worked { Ok(elapsed / f64::from(count)) } else { Err("it failed".into()) }
        });
        // Warms up, too.
        let (mut count, mut once) = (1, block(1)?);
        while once * f64::from(count) < BLOCK.as_secs_f64() {
            count *= 2;
            once = block(count)?;
        }
        Ok(Self { block, count, slow: once > SLOW.as_secs_f64(), seconds: vec![] })
    }

    fn measure(&mut self) -> Outcome<f64> {
        let seconds = (self.block)(self.count)?;
        self.seconds.push(seconds);
        Ok(seconds)
    }
}

fn quartiles(values: &[f64]) -> [f64; 3] {
    let mut ascending = values.to_vec();
    ascending.sort_by(f64::total_cmp);
    [1, 2, 3].map(|quarter| {
        let index = ascending.len().saturating_sub(1) * quarter / 4;
        ascending.get(index).copied().unwrap_or(f64::NAN)
    })
}

fn time(seconds: f64) -> String {
    match seconds {
        ..1e-6 => format!("{:.1} ns", seconds * 1e9),
        ..1e-3 => format!("{:.1} us", seconds * 1e6),
        _ => format!("{:.1} ms", seconds * 1e3),
    }
}
