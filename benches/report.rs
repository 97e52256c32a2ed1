//! Medians, bars, and how they are written.

use std::time::Duration;

/// What a figure has to be.
#[derive(Clone, Copy)]
pub(crate) enum Bar {
    AtMost(f64),
    AtLeast(f64),
}

/// The bars of a run, and whether they were met.
pub(crate) struct Bars {
    tolerance: f64,
    lines: Vec<String>,
    missed: bool,
}

impl Bars {
    /// The tolerance in per cent.
    pub(crate) fn new(tolerance: u32) -> Self {
        Self { tolerance: 1.0 + f64::from(tolerance) / 100.0, lines: vec![], missed: false }
    }

    /// Holds the median of one figure, a ratio in each round, against its bar.
    pub(crate) fn hold(&mut self, name: &str, ratios: &[f64], bar: Bar) {
        let [low, median, high] = quartiles(ratios);
        // NaN, of a measurement that gave nothing, meets no bar.
        let (sign, value, met, near) = match bar {
            Bar::AtMost(bar) => ("<=", bar, median <= bar, median <= bar * self.tolerance),
            Bar::AtLeast(bar) => (">=", bar, median >= bar, median * self.tolerance >= bar),
        };
        let figure = format!("{median:.2} ({low:.2}-{high:.2})");
        self.line(name, &figure, &format!("{sign} {value}"), met, near);
    }

    /// Holds a number that must be the same everywhere against that.
    pub(crate) fn hold_equal(&mut self, name: &str, values: &[f64]) {
        let least = values.iter().copied().fold(f64::INFINITY, f64::min);
        let most = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        // No machine is too noisy to count.
        let met = least.to_bits() == most.to_bits();
        self.line(name, &format!("{least:.2} to {most:.2}"), "equal", met, met);
    }

    /// Writes all of them. Answers whether one was missed beyond the tolerance.
    pub(crate) fn conclude(&self) -> bool {
        println!("\nbars");
        for line in &self.lines {
            println!("{line}");
        }
        self.missed
    }

    fn line(&mut self, name: &str, figure: &str, bar: &str, met: bool, near: bool) {
        let verdict = match (met, near) {
            (true, _) => "met",
            (false, true) => "missed, within the tolerance",
            (false, false) => "MISSED",
        };
        self.missed |= !met && !near;
        self.lines.push(format!("  {name:<66} {figure:<22} {bar:<6} {verdict}"));
    }
}

pub(crate) fn quartiles(values: &[f64]) -> [f64; 3] {
    let mut ascending = values.to_vec();
    ascending.sort_by(f64::total_cmp);
    [1, 2, 3].map(|quarter| {
        let index = ascending.len().saturating_sub(1) * quarter / 4;
        ascending.get(index).copied().unwrap_or(f64::NAN)
    })
}

pub(crate) fn median(values: &[f64]) -> f64 {
    let [_, median, _] = quartiles(values);
    median
}

/// What each round of one was, as a multiple of the same round of another.
pub(crate) fn ratios(of: &[f64], against: &[f64]) -> Vec<f64> {
    of.iter().zip(against).map(|(of, against)| of / against).collect()
}

pub(crate) fn time(seconds: f64) -> String {
    match seconds {
        ..1e-3 => format!("{:.1} us", seconds * 1e6),
        ..1.0 => format!("{:.2} ms", seconds * 1e3),
        _ => format!("{seconds:.2} s"),
    }
}

/// The duration that `per_mille` of them do not exceed; they are sorted.
pub(crate) fn percentile(sorted: &[Duration], per_mille: usize) -> String {
    let index = sorted.len().saturating_sub(1) * per_mille / 1000;
    time(sorted.get(index).copied().unwrap_or_default().as_secs_f64())
}

/// With commas.
pub(crate) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
