//! What a process uses, as Linux tells: `proc_pid_stat(5)`, `proc_pid_status(5)`.

use std::fs;
use std::time::{Duration, Instant};

use crate::Outcome;

/// Processor time that a process has used so far. Ticks are 10 ms.
pub(crate) fn used(pid: u32) -> Outcome<Duration> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name, in parentheses, may have spaces; user and system time are the 12th and 13th field
    // behind it.
    let (_, fields) = stat.rsplit_once(')').ok_or("a stat without name")?;
    let times = fields.split_ascii_whitespace().skip(11).take(2);
    let ticks: Outcome<u64> = times.map(|ticks| Ok(ticks.parse::<u64>()?)).sum();
    Ok(Duration::from_millis(ticks? * 10))
}

/// How much of a core a process uses on average during this time, in per cent.
pub(crate) async fn share(pid: u32, length: Duration) -> Outcome<f64> {
    let (before, started) = (used(pid)?, Instant::now());
    tokio::time::sleep(length).await;
    let time = used(pid)?.saturating_sub(before);
    Ok(100.0 * time.as_secs_f64() / started.elapsed().as_secs_f64())
}

/// How much of its memory is in RAM, in bytes.
pub(crate) fn resident(pid: u32) -> Outcome<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().next()).ok_or("no VmRSS")?;
    Ok(kilobytes.parse::<u64>()? * 1024)
}
