//! Nebula's output: always read, because a full pipe freezes its traffic and a closed one kills it.

use std::io::{self, PipeReader, PipeWriter, Read};
use std::sync::mpsc::{self, SyncSender};
use std::thread;

use tokio::sync::watch;

use super::line::{ACTIVE, FIREWALL, LINE_LIMIT, Line, RELOADING, is_panic};
use super::tunnels::{TunnelCount, Tunnels};

/// How many lines wait to be logged; what comes while so many do is left out.
const WAITING: usize = 512;

/// What a Nebula has said of itself since its start.
#[derive(Debug, Clone, Default)]
pub(super) struct Seen {
    pub(super) active: Option<Active>,
    /// How often it has begun to reload.
    pub(super) reloads: u64,
    /// How often it has put a firewall in the place of another.
    pub(super) firewalls: u64,
    /// How many errors could mean that it did not take something over.
    pub(super) refusals: u64,
    /// The last of them.
    pub(super) refusal: Option<String>,
    /// The last error that is not about another node.
    pub(super) error: Option<String>,
    /// Whether the last line was none of the log, as each of a panic is but for the first.
    is_outside: bool,
}

/// What it says when it is active.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Active {
    /// The network device's real name.
    pub(super) interface: String,
    /// The real UDP port.
    pub(super) port: Option<u16>,
}

/// Begins to read: what is written into the pipe is watched and logged, each line under the name. A
/// thread reads and another logs, so that a log that is not taken from us doesn't stop the first.
///
/// # Errors
/// There are no more file descriptors or threads.
pub(super) fn read(name: String) -> io::Result<(PipeWriter, watch::Receiver<Seen>, TunnelCount)> {
    let (reader, writer) = io::pipe()?;
    let (seen, watched) = watch::channel(Seen::default());
    let tunnels = Tunnels::default();
    let count = tunnels.count();
    let (log, lines) = mpsc::sync_channel::<Line>(WAITING);
    let logging = thread::Builder::new().name("nebula-log".to_owned()).stack_size(256 << 10);
    logging.spawn(move || lines.into_iter().for_each(|line| tell(&name, &line)))?;
    let reading = thread::Builder::new().name("nebula-output".to_owned()).stack_size(256 << 10);
    reading.spawn(move || follow(reader, &seen, tunnels, &log))?;
    Ok((writer, watched, count))
}

/// Reads to the end, which comes when the process has ended.
fn follow(
    mut pipe: PipeReader,
    seen: &watch::Sender<Seen>,
    mut tunnels: Tunnels,
    log: &SyncSender<Line>,
) {
    let mut log = Log { lines: log, left_out: 0 };
    let mut buffer = [0; 4096];
    let mut line = Vec::new();
    loop {
        let read = match pipe.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => buffer.get(..count).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(_) => break,
        };
        for part in read.split_inclusive(|byte| *byte == b'\n') {
            let room = LINE_LIMIT.saturating_sub(line.len());
            line.extend_from_slice(part.get(..room).unwrap_or(part));
            if part.ends_with(b"\n") {
                take(&line, seen, &mut tunnels, &mut log);
                line.clear();
            }
        }
    }
    take(&line, seen, &mut tunnels, &mut log);
}

fn take(bytes: &[u8], seen: &watch::Sender<Seen>, tunnels: &mut Tunnels, log: &mut Log<'_>) {
    let Some(line) = Line::read(bytes) else { return };
    seen.send_if_modified(|seen| seen.take(&line));
    tunnels.take(&line);
    log.take(line);
}

/// The lines that wait to be logged.
struct Log<'a> {
    lines: &'a SyncSender<Line>,
    /// How many there was no room for, since the last that there was.
    left_out: u64,
}

impl Log<'_> {
    fn take(&mut self, line: Line) {
        if self.left_out > 0 && self.lines.try_send(Line::left_out(self.left_out)).is_ok() {
            self.left_out = 0;
        }
        if self.lines.try_send(line).is_err() {
            self.left_out += 1;
        }
    }
}

impl Seen {
    /// Whether the line changes what is known.
    fn take(&mut self, line: &Line) -> bool {
        let goes_on = self.is_outside && !line.is_entry;
        self.is_outside = !line.is_entry;
        match line.message.as_str() {
            ACTIVE => {
                let port = line.field("udpAddr").and_then(port_of);
                let interface = line.field("interface").unwrap_or_default().to_owned();
                self.active = Some(Active { interface, port });
            }
            RELOADING => self.reloads += 1,
            FIREWALL => self.firewalls += 1,
            // The first line says why, the stack below it only where.
            _ if goes_on && !is_panic(&line.message) => return false,
            _ if line.level == tracing::Level::ERROR && !line.is_of_others() => {
                self.error = Some(line.summary());
                if line.is_refusal() {
                    self.refusals += 1;
                    self.refusal.clone_from(&self.error);
                }
            }
            _ => return false,
        }
        true
    }
}

/// Of `0.0.0.0:4242`, and of 1.9's JSON `{"ip":"0.0.0.0","port":4242}`.
fn port_of(address: &str) -> Option<u16> {
    let (_, port) = address.rsplit_once(':')?;
    port.trim_end_matches('}').parse().ok()
}

/// Tells a line as an event of our own log.
fn tell(name: &str, line: &Line) {
    let text = line.in_full();
    match line.logged_level() {
        tracing::Level::ERROR => tracing::error!(target: "nebula", nebula = name, "{text}"),
        tracing::Level::WARN => tracing::warn!(target: "nebula", nebula = name, "{text}"),
        tracing::Level::INFO => tracing::info!(target: "nebula", nebula = name, "{text}"),
        _ => tracing::debug!(target: "nebula", nebula = name, "{text}"),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    /// What is seen once these bytes have been printed and the pipe is closed.
    async fn seen(bytes: &[u8]) -> Seen {
        let (mut pipe, mut watched, _) = read("test".to_owned()).unwrap();
        pipe.write_all(bytes).unwrap();
        drop(pipe);
        while watched.changed().await.is_ok() {}
        watched.borrow().clone()
    }

    #[tokio::test]
    async fn what_a_nebula_says_of_itself_is_seen() {
        let text = "level=info msg=\"Nebula interface is active\" interface=neb1 udpAddr=\"[::]:4242\"\n\
            level=info msg=\"Caught HUP, reloading config\"\n\
            level=error msg=\"Failed to load ca from config\" error=\"no file\"\n\
            level=info msg=\"New firewall has been installed\"\n\
            level=error msg=\"Invalid certificate from host\" udpAddr=\"192.0.2.1:1\"";
        let seen = seen(text.as_bytes()).await;
        assert_eq!(seen.active, Some(Active { interface: "neb1".to_owned(), port: Some(4242) }));
        assert_eq!((seen.reloads, seen.firewalls, seen.refusals), (1, 1, 1));
        assert_eq!(seen.refusal.as_deref(), Some("Failed to load ca from config: no file"));
        assert_eq!(seen.error, seen.refusal, "not the one about another node");
    }

    #[tokio::test]
    async fn of_a_panic_its_reason_is_kept_and_not_its_stack() {
        let panic =
            "panic: runtime error: index out of range [1]\n\ngoroutine 7 [running]:\nmain.main()\n";
        let before = "level=error msg=\"Failed to load ca from config\"\nruntime: a hint\n";
        for text in [panic.to_owned(), format!("{before}{panic}\t/nebula/main.go:27 +0x1d")] {
            let seen = seen(text.as_bytes()).await;
            let error = seen.error.unwrap();
            assert_eq!(error, "panic: runtime error: index out of range [1]");
        }
        let seen = seen(format!("{panic}level=error msg=later").as_bytes()).await;
        assert_eq!(seen.error.as_deref(), Some("later"));
    }

    #[tokio::test]
    async fn a_line_without_end_takes_no_memory() {
        let mut text = vec![b'x'; 1 << 20];
        text.extend(b"\nlevel=info msg=\"Caught HUP, reloading config\"\n");
        assert_eq!(seen(&text).await.reloads, 1);
    }

    #[test]
    fn a_log_that_is_not_taken_stops_nothing_and_is_told_what_it_missed() {
        let (lines, waiting) = mpsc::sync_channel(1);
        let mut log = Log { lines: &lines, left_out: 0 };
        for _ in 0..5 {
            log.take(Line::read(b"level=info msg=a").unwrap());
        }
        assert_eq!(waiting.recv().unwrap().message, "a");
        log.take(Line::read(b"level=info msg=b").unwrap());
        assert_eq!(waiting.recv().unwrap().message, "4 lines were left out");
    }

    #[test]
    fn the_port_is_read_in_every_form() {
        for address in ["0.0.0.0:4242", "[::]:4242", r#"{"ip":"0.0.0.0","port":4242}"#] {
            assert_eq!(port_of(address), Some(4242), "{address}");
        }
        assert_eq!(port_of("nothing"), None);
    }
}
