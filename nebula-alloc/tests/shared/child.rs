//! The test binary once more as another process, running one of its tests as its program.
#![allow(clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]
#![allow(dead_code, unreachable_pub)]

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{ChildStdout, Command, Stdio};
use std::thread;
use std::time::Duration;

const ARGUMENT: &str = "NEBULA_ALLOC_TEST_CHILD";

/// What lines of the program, as opposed to those of the test harness, begin with.
const MARK: &str = "child: ";

/// The program's argument; `None` when this process is not a child.
pub fn argument() -> Option<PathBuf> {
    std::env::var_os(ARGUMENT).map(PathBuf::from)
}

/// Sends one line to the parent.
pub fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "\n{MARK}{line}").and_then(|()| out.flush()).unwrap();
}

/// Waits for the parent to go away.
pub fn wait() {
    std::io::stdin().lines().for_each(drop);
}

/// What the parent tells, line by line, until it goes away.
pub fn told() -> impl Iterator<Item = String> {
    std::io::stdin().lines().map(Result::unwrap)
}

/// What a line of the program's output says; `None` for one of the test harness.
pub fn said(line: &str) -> Option<&str> {
    line.strip_prefix(MARK)
}

pub struct Child {
    process: std::process::Child,
    output: BufReader<ChildStdout>,
}

impl Child {
    pub fn start(test: &str, argument: &Path) -> Self {
        Self::start_in(test, argument, &[])
    }

    /// With these in its environment.
    pub fn start_in(test: &str, argument: &Path, environment: &[(&str, PathBuf)]) -> Self {
        let mut program = Command::new(std::env::current_exe().unwrap());
        program.envs(environment.iter().map(|(name, value)| (name, value)));
        Self::start_by(program, test, argument)
    }

    /// By a program that ends in this one.
    pub fn start_by(mut program: Command, test: &str, argument: &Path) -> Self {
        let mut process = program
            .args(["--exact", test, "--nocapture", "--test-threads=1"])
            .env(ARGUMENT, argument)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = BufReader::new(process.stdout.take().unwrap());
        Self { process, output }
    }

    /// Tells it a line, and answers the next that it says.
    pub fn ask(&mut self, line: &str) -> String {
        writeln!(self.process.stdin.as_mut().unwrap(), "{line}").unwrap();
        self.line().unwrap()
    }

    /// The next line that it said.
    pub fn line(&mut self) -> Option<String> {
        next(&mut self.output)
    }

    /// Kills it after `moment`, and answers what it said until then.
    pub fn kill_after(&mut self, moment: Duration) -> Vec<String> {
        // Its answers are taken meanwhile, so that it never waits for us.
        thread::scope(|scope| {
            let Self { process, output } = self;
            let lines = scope.spawn(|| lines(output));
            thread::sleep(moment);
            process.kill().unwrap();
            process.wait().unwrap();
            lines.join().unwrap()
        })
    }

    /// What it said until its end, which was a good one.
    pub fn finish(mut self) -> Vec<String> {
        let lines = lines(&mut self.output);
        let status = self.process.wait().unwrap();
        assert!(status.success(), "the child ended with {status}; it said last {:?}", lines.last());
        lines
    }

    /// SIGSTOP: it stands still, and keeps what it has.
    pub fn pause(&self) {
        self.signal("STOP");
    }

    /// Lets it go on, without a parent to wait for.
    pub fn resume(&mut self) {
        drop(self.process.stdin.take());
        self.signal("CONT");
    }

    fn signal(&self, signal: &str) {
        let pid = self.process.id().to_string();
        assert!(Command::new("kill").args(["-s", signal, &pid]).status().unwrap().success());
    }

    /// SIGKILL, and waits until it is gone.
    pub fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn next(output: &mut BufReader<ChildStdout>) -> Option<String> {
    loop {
        let mut line = String::new();
        if output.read_line(&mut line).unwrap() == 0 || !line.ends_with('\n') {
            return None;
        }
        if let Some(said) = said(line.trim_end()) {
            return Some(said.to_owned());
        }
    }
}

fn lines(output: &mut BufReader<ChildStdout>) -> Vec<String> {
    std::iter::from_fn(|| next(output)).collect()
}
