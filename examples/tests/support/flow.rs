//! A flow of UDP datagrams over an overlay: sent without a pause, each answered by an echo.

use std::collections::BTreeSet;
use std::net::UdpSocket;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::underlay::Host;

const INTERVAL: Duration = Duration::from_millis(50);
/// An answer that takes longer counts as lost.
const LATE: u64 = 10;

/// Sends back what it gets at a port of a host; dropping it ends it.
pub struct Echo(Ending);

impl Echo {
    pub fn start(host: &Host, port: u16) -> Self {
        let (enter, stop) = (host.entering(), Arc::new(AtomicBool::new(false)));
        let ended = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            enter();
            let socket = UdpSocket::bind(("0.0.0.0", port)).expect("it is free");
            socket.set_read_timeout(Some(INTERVAL)).expect("an option");
            let mut buffer = [0; 64];
            while !ended.load(Ordering::Relaxed) {
                if let Ok((length, from)) = socket.recv_from(&mut buffer) {
                    let _ = socket.send_to(&buffer[..length], from);
                }
            }
        });
        Self(Ending { stop, thread: Some(thread) })
    }
}

/// One flow from a socket of a host; dropping it ends it.
pub struct Flow {
    sent: Arc<AtomicU64>,
    answered: Arc<Mutex<BTreeSet<u64>>>,
    _ending: Ending,
}

impl Flow {
    pub fn start(host: &Host, address: &str, port: u16) -> Self {
        let (enter, stop) = (host.entering(), Arc::new(AtomicBool::new(false)));
        let (sent, answered) =
            (Arc::<AtomicU64>::default(), Arc::<Mutex<BTreeSet<u64>>>::default());
        let to = (address.to_owned(), port);
        let (ended, number, answers) =
            (Arc::clone(&stop), Arc::clone(&sent), Arc::clone(&answered));
        let thread = std::thread::spawn(move || {
            enter();
            let socket = UdpSocket::bind("0.0.0.0:0").expect("a free port");
            socket.connect((to.0.as_str(), to.1)).expect("an address");
            let mut buffer = [0; 64];
            while !ended.load(Ordering::Relaxed) {
                let next = number.fetch_add(1, Ordering::Relaxed);
                let _ = socket.send(&next.to_be_bytes());
                let end = Instant::now() + INTERVAL;
                while let Some(left) = end.checked_duration_since(Instant::now()) {
                    let _ = socket.set_read_timeout(Some(left.max(Duration::from_millis(1))));
                    if let Ok(8) = socket.recv(&mut buffer) {
                        let mut bytes = [0; 8];
                        bytes.copy_from_slice(&buffer[..8]);
                        let mut answers = answers.lock().unwrap_or_else(PoisonError::into_inner);
                        answers.insert(u64::from_be_bytes(bytes));
                    }
                }
            }
        });
        Self { sent, answered, _ending: Ending { stop, thread: Some(thread) } }
    }

    /// How many were sent.
    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Whether one of the last second was answered.
    pub fn is_answered(&self) -> bool {
        let from = self.sent().saturating_sub(20);
        self.answers().range(from..).next().is_some()
    }

    /// How many from this number on have not been answered in time.
    pub fn lost_since(&self, from: u64) -> u64 {
        let to = self.sent().saturating_sub(LATE);
        let answers = self.answers();
        let answered = answers.range(from..to.max(from)).count();
        to.saturating_sub(from) - u64::try_from(answered).expect("in range")
    }

    fn answers(&self) -> std::sync::MutexGuard<'_, BTreeSet<u64>> {
        self.answered.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Ending {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Ending {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
