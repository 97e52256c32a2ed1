//! The older flow's core: `nebula-cert sign -in-pub`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::Outcome;

/// The older flow's core: a process for each certificate, given the device's public key.
pub(crate) struct SigningPeer {
    nebula_cert: PathBuf,
    directory: PathBuf,
}

impl SigningPeer {
    pub(crate) fn prepare(nebula_cert: PathBuf, work: &Path) -> Outcome<Self> {
        let directory = work.join("peer");
        fs::create_dir(&directory)?;
        let nebula_cert = fs::canonicalize(nebula_cert)?;
        let peer = Self { nebula_cert, directory };
        peer.call(&["ca", "-name", "bench", "-duration", "87600h"])?;
        peer.call(&["keygen", "-out-key", "node.key", "-out-pub", "node.pub"])?;
        Ok(peer)
    }

    fn call(&self, arguments: &[&str]) -> Outcome<()> {
        let output = Command::new(&self.nebula_cert)
            .args(arguments)
            .current_dir(&self.directory)
            .stdin(Stdio::null())
            .output()?;
        if output.status.success() {
            Ok(())
        } else {
            Err(String::from_utf8_lossy(&output.stderr).into())
        }
    }

    pub(crate) fn run(&self, at_once: usize, signatures: usize) -> Outcome<Vec<Duration>> {
        let next = AtomicUsize::new(0);
        let worker = || {
            let mut latencies = vec![];
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= signatures {
                    return Outcome::Ok(latencies);
                }
                let file = format!("{number}.crt");
                let name = format!("device-{number}");
                let start = Instant::now();
                self.call(&[
                    "sign",
                    "-name",
                    &name,
                    "-ip",
                    "10.0.0.1/8",
                    "-groups",
                    "servers",
                    "-in-pub",
                    "node.pub",
                    "-out-crt",
                    &file,
                ])?;
                latencies.push(start.elapsed());
                fs::remove_file(self.directory.join(file))?;
            }
        };
        thread::scope(|scope| {
            let workers: Vec<_> = (0..at_once).map(|_| scope.spawn(worker)).collect();
            let mut latencies = vec![];
            for worker in workers {
                latencies.extend(worker.join().map_err(|_| "a worker panicked")??);
            }
            Ok(latencies)
        })
    }
}

/// The peer: as given, else the newest release in NEBULA_BIN_DIR, else that of PATH.
pub(crate) fn find_nebula_cert(given: Option<&Path>) -> Outcome<PathBuf> {
    if let Some(given) = given {
        return Ok(given.to_owned());
    }
    if let Some(directory) = std::env::var_os("NEBULA_BIN_DIR") {
        let version = |path: &Path| -> Vec<u32> {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            name.split('.').filter_map(|part| part.parse().ok()).collect()
        };
        let mut releases: Vec<PathBuf> = fs::read_dir(directory)?
            .filter_map(|entry| entry.ok().map(|entry| entry.path()))
            .collect();
        releases.sort_by_key(|path| version(path));
        if let Some(newest) = releases.pop() {
            return Ok(newest.join("nebula-cert"));
        }
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .map(|directory| directory.join("nebula-cert"))
        .find(|file| file.is_file())
        .ok_or_else(|| "nebula-cert is in neither --nebula-cert, NEBULA_BIN_DIR nor PATH".into())
}
