//! What Linux tells about a process, in `/proc`.

use std::fs;
use std::time::Duration;

/// What a process has used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// Time on processors, since its start.
    pub cpu: Duration,
    /// Memory that is in RAM (resident set), in bytes.
    pub memory: u64,
}

/// A process, told from others that had or will have the same id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Started {
    /// In ticks since the boot of the machine.
    pub(super) ticks: u64,
}

impl Usage {
    /// Of a process; nothing where there is none, or no `/proc`.
    pub(super) fn of(pid: u32) -> Option<Self> {
        let stat = Stat::of(pid)?;
        let memory = fs::read_to_string(format!("/proc/{pid}/statm")).ok()?;
        let pages: u64 = memory.split(' ').nth(1)?.parse().ok()?;
        let ticks = rustix::param::clock_ticks_per_second().max(1);
        let page_size = u64::try_from(rustix::param::page_size()).ok()?;
        Some(Self {
            cpu: Duration::from_millis(stat.cpu.saturating_mul(1000) / ticks),
            memory: pages.saturating_mul(page_size),
        })
    }
}

impl Started {
    /// When this process started; nothing where there is none, or where it has ended and is not reaped.
    pub(super) fn of(pid: u32) -> Option<Self> {
        let stat = Stat::of(pid)?;
        (stat.state != "Z").then_some(Self { ticks: stat.started })
    }
}

/// Which boot of the machine this is.
pub(super) fn boot() -> Option<String> {
    let id = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(id.trim().to_owned())
}

struct Stat {
    state: String,
    /// In ticks.
    cpu: u64,
    /// In ticks since boot.
    started: u64,
}

impl Stat {
    fn of(pid: u32) -> Option<Self> {
        Self::read(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
    }

    /// proc_pid_stat(5): behind the program's name in brackets, which may hold brackets, come the fields
    /// from the third on.
    fn read(text: &str) -> Option<Self> {
        let (_, fields) = text.rsplit_once(") ")?;
        let fields: Vec<&str> = fields.split(' ').collect();
        let number = |field: usize| fields.get(field - 3)?.parse::<u64>().ok();
        Some(Self {
            state: (*fields.first()?).to_owned(),
            cpu: number(14)?.saturating_add(number(15)?),
            started: number(22)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_a_start_and_uses_memory() {
        let pid = std::process::id();
        assert_eq!(Started::of(pid), Started::of(pid));
        assert!(Usage::of(pid).unwrap().memory > 1 << 20);
        assert_eq!(Started::of(u32::MAX), None);
    }

    #[test]
    fn a_name_with_brackets_is_no_field() {
        let fields: Vec<String> = (4..=30).map(|field| field.to_string()).collect();
        let stat = Stat::read(&format!("1 (a) R (b)) S {}", fields.join(" "))).unwrap();
        assert_eq!((stat.state.as_str(), stat.cpu, stat.started), ("S", 14 + 15, 22));
    }
}
