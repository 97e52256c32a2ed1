//! Cuts in pieces, each with a log of its own: a run of a million can be killed and goes on.
//!
//! `POWER_CUTS` are made, from the seed `POWER_SEED` on. With `POWER_RESUME=FILE` what is done is
//! kept in that file, and a later run with the same settings begins behind it. A cut that fails
//! leaves its log behind; `POWER_LOG` repeats it.

use std::fs::{self, File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::Instant;

use super::super::random::setting;
use super::cuts::{Check, lose_power};
use super::{library, log};

/// Cuts of one log in the long form.
const PIECE: u64 = 1_000;

/// Makes `short` cuts where the environment says nothing else. `record` is given a number that is
/// another for each piece, and answers nothing where the recorder is missing.
pub fn cut(short: u64, record: impl Fn(u64) -> Option<Vec<u8>>, check: Check<'_>) {
    let (first, cuts) = (setting("POWER_SEED", 1), setting("POWER_CUTS", short));
    if let Some(log) = std::env::var_os("POWER_LOG") {
        return piece(&fs::read(log).unwrap(), first, cuts, check);
    }
    let file = std::env::var_os("POWER_RESUME").map(PathBuf::from);
    let mut progress = Progress::of(file.as_deref(), &format!("from {first}, {cuts} cuts"));
    let before = progress.pieces * PIECE;
    let begin = Instant::now();
    while progress.pieces * PIECE < cuts {
        let done = progress.pieces * PIECE;
        let these = PIECE.min(cuts - done);
        let Some(log) = record(progress.pieces) else { return };
        piece(&log, first + done, these, check);
        progress.advance(these);
        if cuts > PIECE {
            tell(done + these, cuts, done + these - before, begin);
        }
    }
}

fn piece(log: &[u8], first: u64, cuts: u64, check: Check<'_>) {
    let records = log::parse(log);
    let found = lose_power(&records, 0, first, cuts, check);
    let Some((seed, wrong)) = found.first() else { return };
    let kept = PathBuf::from(env!("CARGO_TARGET_TMPDIR"))
        .join(format!("{}-{seed}.log", env!("CARGO_PKG_NAME")));
    // Repeated, it may be this one.
    if std::env::var_os("POWER_LOG").is_none() {
        fs::write(&kept, log).unwrap();
    }
    panic!(
        "{} of {cuts} cuts, the first of seed {seed}: {wrong}\nrepeat it with POWER_LOG={} \
         POWER_SEED={seed} POWER_CUTS=1 cargo test -p {} --test {} after_a_loss_of_power",
        found.len(),
        kept.display(),
        env!("CARGO_PKG_NAME"),
        env!("CARGO_CRATE_NAME"),
    );
}

/// Past the test harness, which shows what passes only afterwards.
fn tell(done: u64, cuts: u64, here: u64, begin: Instant) {
    let seconds = begin.elapsed().as_secs().max(1);
    let left = (cuts - done) * seconds / here;
    let (hours, minutes) = (left / 3600, left / 60 % 60);
    let line = format!(
        "{}.{} %: {done} of {cuts} cuts, {} a second, {hours} h {minutes:02} min left\n",
        done * 100 / cuts,
        done * 1000 / cuts % 10,
        here / seconds,
    );
    std::io::stderr().write_all(line.as_bytes()).unwrap();
}

/// How many pieces are done, kept in a file where there is one: a line of what it is of, then a
/// line for each piece.
struct Progress {
    pieces: u64,
    file: Option<File>,
}

impl Progress {
    fn of(path: Option<&Path>, run: &str) -> Self {
        let Some(path) = path else { return Self { pieces: 0, file: None } };
        let open = OpenOptions::new().create(true).read(true).append(true).open(path);
        let mut file = open.unwrap();
        let mut text = String::new();
        file.read_to_string(&mut text).unwrap();
        // A line that a kill cut off doesn't count.
        text.truncate(text.rfind('\n').map_or(0, |end| end + 1));
        file.set_len(u64::try_from(text.len()).unwrap()).unwrap();
        let mut lines = text.lines();
        match lines.next() {
            Some(begun) => assert_eq!(begun, run, "{} is of another run", path.display()),
            None => writeln!(file, "{run}").unwrap(),
        }
        Self { pieces: u64::try_from(lines.count()).unwrap(), file: Some(file) }
    }

    fn advance(&mut self, cuts: u64) {
        self.pieces += 1;
        let Some(file) = &mut self.file else { return };
        writeln!(file, "piece {}: {cuts} cuts", self.pieces).unwrap();
        file.sync_all().unwrap();
    }
}

#[test]
fn a_killed_run_goes_on_where_it_was() {
    let directory = library::directory();
    let file = directory.path().join("progress");
    let mut progress = Progress::of(Some(&file), "a run");
    progress.advance(7);
    progress.advance(7);
    // Killed while it noted the third.
    let mut text = fs::read_to_string(&file).unwrap();
    text.push_str("piece 3: 7 cu");
    fs::write(&file, text).unwrap();
    let mut progress = Progress::of(Some(&file), "a run");
    assert_eq!(progress.pieces, 2);
    progress.advance(7);
    assert_eq!(Progress::of(Some(&file), "a run").pieces, 3);
}
