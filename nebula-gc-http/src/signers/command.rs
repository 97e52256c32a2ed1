//! Signers that are programs.

use std::fmt;
use std::io::{self, Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use nebula_pki::{Curve, Error, Signer};
use rustix::process::{Pid, Signal, kill_process_group};

/// How long a command may take by default.
const TIME: Duration = Duration::from_secs(10);
/// The longest public key or signature, in bytes.
const OUTPUT_LIMIT: u64 = 128;
/// How often to check whether a command has ended after its output.
const PAUSE: Duration = Duration::from_millis(2);

/// A program that holds a key, run once for each request:
///
/// * `COMMAND… public-key` prints the public key: 32 bytes for Ed25519, the 65 of an uncompressed
///   point for P256,
/// * `COMMAND… sign` reads the bytes to be signed and prints the signature: 64 bytes for Ed25519,
///   DER for ECDSA over their SHA-256,
///
/// all of it raw. Its standard error is ours. It is killed with its process group if it takes too
/// long or prints too much.
#[derive(Clone)]
pub struct SignerCommand {
    command: Vec<String>,
    time: Duration,
}

impl SignerCommand {
    /// The program and its arguments. No shell is involved.
    #[must_use]
    pub fn new(command: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self { command: command.into_iter().map(Into::into).collect(), time: TIME }
    }

    /// How long one request may take. Default: 10 s.
    #[must_use]
    pub fn with_time(self, time: Duration) -> Self {
        Self { time, ..self }
    }

    /// Runs the command for the public key.
    pub(super) fn open(&self) -> Result<CommandSigner, Error> {
        let public_key = self.run("public-key", vec![])?;
        let curve = match public_key.len() {
            32 => Curve::Curve25519,
            65 => Curve::P256,
            found => return Err(failed(format!("its public key has {found} bytes, not 32 or 65"))),
        };
        Ok(CommandSigner { command: self.clone(), curve, public_key })
    }

    fn run(&self, request: &str, input: Vec<u8>) -> Result<Vec<u8>, Error> {
        let started = Instant::now();
        let (program, arguments) =
            self.command.split_first().ok_or_else(|| failed("there is no command"))?;
        let child = Command::new(program)
            .args(arguments)
            .arg(request)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .process_group(0)
            .spawn()
            .map_err(|error| failed(format!("can't be started: {error}")))?;
        let mut running = Running(child);
        let (stdin, stdout) = (running.0.stdin.take(), running.0.stdout.take());
        let (answer, outcome) = mpsc::sync_channel(1);
        // On a separate thread, because a pipe has no time limit; it ends with the process.
        thread::Builder::new()
            .name("nebula-gc-signer-pipe".to_owned())
            .spawn(move || answer.send(converse(stdin, input, stdout)))
            .map_err(failed)?;
        let output = match outcome.recv_timeout(self.time) {
            Ok(output) => output.map_err(failed)?,
            Err(RecvTimeoutError::Timeout) => return Err(self.too_slow()),
            Err(RecvTimeoutError::Disconnected) => return Err(failed("its pipe broke")),
        };
        if u64::try_from(output.len()).unwrap_or(u64::MAX) > OUTPUT_LIMIT {
            return Err(failed(format!("prints more than {OUTPUT_LIMIT} bytes")));
        }
        let status = loop {
            match running.0.try_wait().map_err(failed)? {
                Some(status) => break status,
                None if started.elapsed() >= self.time => return Err(self.too_slow()),
                None => thread::sleep(PAUSE),
            }
        };
        if status.success() { Ok(output) } else { Err(failed(status)) }
    }

    fn too_slow(&self) -> Error {
        failed(format!("was killed after {} s", self.time.as_secs_f32()))
    }
}

/// The arguments may be secrets.
impl fmt::Debug for SignerCommand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignerCommand")
            .field("program", &self.command.first())
            .field("time", &self.time)
            .finish_non_exhaustive()
    }
}

/// A command whose public key is known.
pub(super) struct CommandSigner {
    command: SignerCommand,
    curve: Curve,
    public_key: Vec<u8>,
}

impl Signer for CommandSigner {
    fn curve(&self) -> Curve {
        self.curve
    }

    fn public_key(&self) -> &[u8] {
        &self.public_key
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        self.command.run("sign", message.to_vec())
    }
}

/// A process that is killed when dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It is not reaped yet, so its process id and group still exist.
        if let Ok(None) = self.0.try_wait()
            && let Ok(number) = i32::try_from(self.0.id())
            && let Some(group) = Pid::from_raw(number)
        {
            // It may have ended meanwhile.
            let _ = kill_process_group(group, Signal::KILL);
            let _ = self.0.wait();
        }
    }
}

/// Writes all of the input, then reads the output, up to one byte more than the limit.
fn converse(
    stdin: Option<impl Write>,
    input: Vec<u8>,
    stdout: Option<impl Read>,
) -> io::Result<Vec<u8>> {
    if let Some(mut stdin) = stdin {
        match stdin.write_all(&input) {
            // The program may end without reading everything.
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => return Err(error),
            _ => drop(stdin),
        }
    }
    let mut output = vec![];
    if let Some(stdout) = stdout {
        stdout.take(OUTPUT_LIMIT + 1).read_to_end(&mut output)?;
    }
    Ok(output)
}

fn failed(reason: impl ToString) -> Error {
    Error::Signer { reason: reason.to_string() }
}
