//! A disk that is full, and one that can't be written to.

use std::fs;
use std::io::Write as _;
use std::process::Command;
use std::time::{Duration, Instant};

use super::device::{Device, until};

#[path = "../../../../examples/tests/support/mount.rs"]
#[allow(dead_code, reason = "the examples' tests use the rest")]
mod mount;

use mount::SmallDisk;

#[test]
fn a_full_disk_is_told_at_once_and_nothing_is_lost() {
    let Some(disk) = SmallDisk::mount("2m") else { return };
    let mut device = Device::join(disk.path(), str::to_owned);
    device.start();
    device.is_healthy_soon();
    let (before, starts) = (device.kept(), device.starts());

    let filler = disk.path().join("filler");
    let mut file = fs::File::create(&filler).unwrap();
    while file.write_all(&[7; 4096]).is_ok() {}
    drop(file);
    assert_eq!(device.findings(), (Some(1), vec!["disk".to_owned()]));
    // What can't be installed is tried again, each time later.
    let tries = || device.logged(0).matches("can't be brought up to date").count();
    device.change("sales");
    let begun = Instant::now();
    until("it is tried again", || tries() >= 4);
    assert!(begun.elapsed() > Duration::from_secs(1), "{:?}", begun.elapsed());
    assert!(device.has("disk"));
    assert_eq!(device.kept(), before);

    fs::remove_file(filler).unwrap();
    device.applies_soon("sales");
    device.is_healthy_soon();
    assert_eq!(device.starts(), starts, "nebula was started again");
    for name in ["node.key", "node.token", "node.json"] {
        assert_eq!(device.kept()[name], before[name], "{name}");
    }
}

#[test]
fn a_disk_that_is_read_only_is_told_and_taken_once_it_is_not() {
    let Some(disk) = SmallDisk::mount("2m") else { return };
    let mut device = Device::join(disk.path(), str::to_owned);
    device.start();
    device.is_healthy_soon();
    device.stop();
    let before = device.kept();
    let remount = |how: &str| {
        let options = format!("remount,{how}");
        let done = Command::new("mount").args(["-o", &options]).arg(disk.path()).status();
        assert!(done.unwrap().success());
    };
    remount("ro");
    device.start();
    until("it is logged", || device.logged(0).contains("the network is not kept"));
    assert!(device.has("disk"), "{:?}", device.findings());
    device.change("sales");
    remount("rw");
    device.applies_soon("sales");
    device.is_healthy_soon();
    assert_eq!(device.logged(0).matches("the network is not kept").count(), 1, "once is enough");
    for name in ["node.key", "node.token", "node.json"] {
        assert_eq!(device.kept()[name], before[name], "{name}");
    }
}
