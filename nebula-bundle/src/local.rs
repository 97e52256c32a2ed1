//! The machine's own settings, which are merged behind a bundle's.

use std::collections::BTreeMap;

use crate::error::LocalDefect;
use crate::value::Value;
use crate::yaml;
use crate::{Error, Tun};

/// How long a file of the machine's own settings may be, in bytes.
pub const LOCAL_LIMIT: usize = 64 << 10;

/// Sections that are the bundle's alone: who the node is, and whom it finds how.
const RESERVED: [&str; 4] = ["lighthouse", "pki", "relay", "static_host_map"];
/// Sections that a bundle has, too. They stay mappings.
const MAPPINGS: [&str; 4] = [FIREWALL, "listen", "punchy", "tun"];
pub(crate) const FIREWALL: &str = "firewall";
const SSHD: &str = "sshd";

/// A file with settings of the machine's own. Its owner, mode and kind are for the caller to check
/// when it is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalFile {
    /// Its name, for errors.
    pub name: String,
    /// What it holds: a mapping in YAML, without anchors.
    pub contents: String,
}

/// What the machine's own settings may hold beside what they always may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Allowed {
    /// The section `firewall`, where the network allows it.
    pub firewall: bool,
    /// The section `sshd`, where the device allows it.
    pub sshd: bool,
}

/// The sections of all files, by name, the later file's over the earlier's.
pub(crate) fn merged(
    files: &[LocalFile],
    allowed: Allowed,
) -> Result<BTreeMap<String, Value>, Error> {
    let mut all = Value::Map(BTreeMap::new());
    for file in files {
        let sections = read(file)?;
        for (section, value) in &sections {
            let section_allowed = match section.as_str() {
                FIREWALL => allowed.firewall,
                SSHD => allowed.sshd,
                other => !RESERVED.contains(&other),
            };
            if !section_allowed {
                return Err(refuse(file, LocalDefect::Section { section: short(section) }));
            }
            if MAPPINGS.contains(&section.as_str()) && !matches!(value, Value::Map(_)) {
                return Err(refuse(file, LocalDefect::NotAMapping { section: short(section) }));
            }
            if let ("tun", Some(device)) = (section.as_str(), value.member("dev")) {
                check_device(device).map_err(|defect| refuse(file, defect))?;
            }
        }
        all.merge(Value::Map(sections), "", &mut Vec::new());
    }
    match all {
        Value::Map(sections) => Ok(sections),
        _ => Ok(BTreeMap::new()),
    }
}

/// `nebula -test` takes any name of a device, with which Nebula does not start then.
fn check_device(device: &Value) -> Result<(), LocalDefect> {
    let Value::Text(device) = device else { return Err(LocalDefect::DeviceNotText) };
    let tun = Tun { dev: device.clone(), ..Tun::default() };
    tun.check().map_err(|_| LocalDefect::Device { device: short(device) })
}

fn read(file: &LocalFile) -> Result<BTreeMap<String, Value>, Error> {
    if file.contents.len() > LOCAL_LIMIT {
        return Err(refuse(file, LocalDefect::TooLong { limit_kib: LOCAL_LIMIT >> 10 }));
    }
    // Nothing but comments.
    let is_empty = |line: &str| line.trim_start().is_empty() || line.trim_start().starts_with('#');
    if file.contents.lines().all(is_empty) {
        return Ok(BTreeMap::new());
    }
    match yaml::read(&file.contents) {
        Ok(Value::Map(sections)) => Ok(sections),
        Ok(_) => Err(refuse(file, LocalDefect::NotSections)),
        Err(message) => Err(refuse(file, LocalDefect::Syntax { message })),
    }
}

fn refuse(file: &LocalFile, defect: LocalDefect) -> Error {
    Error::Local { file: short(&file.name), defect }
}

fn short(text: &str) -> String {
    text.chars().take(100).collect()
}
