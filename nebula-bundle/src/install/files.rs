//! What is written to the machine: a bundle's files with the machine's paths and choices.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::archive::{CA, CERTIFICATE, CONFIG, File, README};
use crate::config::{Config, LEAST_IPV6_MTU, Pki};
use crate::error::{FileDefect, InstallDefect};
use crate::local::{self, FIREWALL};
use crate::value::Value;
use crate::{Allowed, CheckedBundle, Digest, Error, LocalFile, Tun, readme, yaml};

/// A key that Nebula does not know. A changed one under `firewall` makes each reload end with a line
/// to wait for, and connections in use be judged anew.
const GENERATION: &str = "x_generation";

/// Where a bundle is installed, and what the machine chooses itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstallOptions {
    /// The absolute path that `nebula` reads the files through, which is the link `current` of an
    /// [`Installation`](crate::Installation).
    pub directory: PathBuf,
    /// The absolute path of the node's key.
    pub key: PathBuf,
    /// The tun device's name, where it is not to be the network's.
    pub tun_device: Option<String>,
    /// The address to listen on, where it is not to be every one of both families.
    pub listen_host: Option<String>,
    /// The machine's own settings, in the order in which they are merged behind the bundle's.
    pub local: Vec<LocalFile>,
    /// What those may hold.
    pub allowed: Allowed,
    /// Written as `firewall.x_generation`. To see whether a bundle differs from what is installed,
    /// it is rendered with the number that is installed; to install it, with another.
    pub firewall_generation: u64,
}

/// The files to install, which name each other by absolute paths.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstallFiles {
    files: Vec<File>,
    overridden: Vec<String>,
}

impl CheckedBundle {
    /// The bundle as it is installed: with absolute paths, the machine's choices, and its own
    /// settings merged behind the bundle's. Mappings merge, lists and scalars are replaced; `pki`,
    /// `static_host_map`, `lighthouse` and `relay` are always the bundle's.
    ///
    /// # Errors
    /// [`Error::Install`] for a path that is not absolute; [`Error::Local`], [`Error::TunDevice`],
    /// [`Error::Ipv6Mtu`].
    pub fn to_install(&self, options: &InstallOptions) -> Result<InstallFiles, Error> {
        let mut config = self.config().clone();
        config.pki = Pki {
            ca: text_of(&options.directory, CA)?,
            cert: text_of(&options.directory, CERTIFICATE)?,
            key: text_of(&options.key, "")?,
            ..config.pki
        };
        if let Some(device) = &options.tun_device {
            config.tun = Tun { dev: device.clone(), ..config.tun };
            config.tun.check()?;
        }
        if let Some(host) = &options.listen_host {
            if host.parse::<IpAddr>().is_err() {
                let path = PathBuf::from(host);
                return Err(Error::Install { path, defect: InstallDefect::NotAnAddress });
            }
            config.listen.host.clone_from(host);
        }
        let mut overridden = Vec::new();
        let mut local = local::merged(&options.local, options.allowed)?;
        let mut nebula_yml = sections(&config, &mut local, options, &mut overridden)?;
        self.check_mtu(&nebula_yml, &overridden)?;
        for (section, value) in local {
            overridden.push(section.clone());
            nebula_yml.push_str(&one_section(&section, &value)?);
        }
        overridden.sort();
        let kept = |name| self.file(name).to_owned();
        let files = vec![
            File { name: CA, contents: kept(CA) },
            File { name: CERTIFICATE, contents: kept(CERTIFICATE) },
            File { name: CONFIG, contents: nebula_yml },
            File { name: README, contents: readme::installed(&options.directory) },
        ];
        Ok(InstallFiles { files, overridden })
    }

    fn file(&self, name: &str) -> &str {
        self.files().find(|(found, _)| *found == name).map_or("", |(_, contents)| contents)
    }

    /// A device with an IPv6 address keeps the MTU that it needs, whoever sets it.
    fn check_mtu(&self, nebula_yml: &str, overridden: &[String]) -> Result<(), Error> {
        let has_ipv6 =
            self.certificates().details().networks().iter().any(|net| net.addr().is_ipv6());
        if !has_ipv6 || !overridden.iter().any(|path| path == "tun.mtu") {
            return Ok(());
        }
        let config = read(nebula_yml)?;
        let mtu = match config.member("tun").and_then(|tun| tun.member("mtu")) {
            Some(Value::Integer(mtu)) => Some(*mtu),
            Some(Value::Text(mtu)) => mtu.parse().ok(),
            _ => None,
        };
        // Nebula takes what is no number for its own default, which is large enough.
        match mtu {
            Some(mtu) if mtu < i64::from(LEAST_IPV6_MTU) => {
                Err(Error::Ipv6Mtu { mtu: u32::try_from(mtu).unwrap_or(0) })
            }
            _ => Ok(()),
        }
    }
}

impl InstallFiles {
    #[cfg(unix)]
    pub(crate) fn new(files: Vec<File>) -> Self {
        Self { files, overridden: vec![] }
    }

    /// Names and contents.
    pub fn files(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.files.iter().map(|file| (file.name, file.contents.as_str()))
    }

    /// Of what is written; the name of its directory.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest::of(0, &self.files)
    }

    /// The keys that the machine's own settings set otherwise than the bundle, as
    /// `section.key`, sorted. Not known of what was read from a disk.
    #[must_use]
    pub fn overridden(&self) -> &[String] {
        &self.overridden
    }

    /// `firewall.x_generation` as it is written in these.
    ///
    /// # Errors
    /// [`Error::File`] where the configuration can't be read.
    pub fn firewall_generation(&self) -> Result<u64, Error> {
        let config = read(self.file(CONFIG))?;
        match config.member(FIREWALL).and_then(|firewall| firewall.member(GENERATION)) {
            Some(Value::Integer(generation)) => Ok(u64::try_from(*generation).unwrap_or(0)),
            _ => Ok(0),
        }
    }

    /// What to go back to when `nebula` refuses a newer bundle: these files, with the CAs and the
    /// blocklist of the newer ones, so that going back never trusts anyone again who was blocked.
    ///
    /// # Errors
    /// [`Error::File`] where the configuration of these can't be read.
    pub fn with_trust_of(
        &self,
        newer: &CheckedBundle,
        firewall_generation: u64,
    ) -> Result<Self, Error> {
        let mut config = read(self.file(CONFIG))?;
        let blocked = newer.config().pki.blocklist.iter();
        let blocklist =
            Value::List(blocked.map(|blocked| Value::Text(blocked.to_string())).collect());
        if let Value::Map(sections) = &mut config {
            if let Some(pki) = sections.get_mut("pki") {
                pki.set("blocklist", blocklist);
            }
            if let Some(firewall) = sections.get_mut(FIREWALL) {
                firewall.set(GENERATION, number(firewall_generation));
            }
        }
        let mut files = self.files.clone();
        for file in &mut files {
            match file.name {
                CA => newer.file(CA).clone_into(&mut file.contents),
                CONFIG => file.contents = yaml::write(&config)?,
                _ => {}
            }
        }
        Ok(Self { files, overridden: self.overridden.clone() })
    }

    fn file(&self, name: &str) -> &str {
        self.files().find(|(found, _)| *found == name).map_or("", |(_, contents)| contents)
    }
}

/// The sections that a bundle has, with those of the machine taken out of `local` and merged. What
/// is the bundle's alone, such as a long blocklist, is written as it is.
fn sections(
    config: &Config,
    local: &mut BTreeMap<String, Value>,
    options: &InstallOptions,
    overridden: &mut Vec<String>,
) -> Result<String, Error> {
    let generation = number(options.firewall_generation);
    let rendered = [
        ("pki", one_section("pki", &config.pki)?),
        ("punchy", one_section("punchy", &config.punchy)?),
        ("static_host_map", one_section("static_host_map", &config.static_host_map)?),
        ("lighthouse", one_section("lighthouse", &config.lighthouse)?),
        ("listen", one_section("listen", &config.listen)?),
        ("relay", one_section("relay", &config.relay)?),
        ("tun", one_section("tun", &config.tun)?),
        (FIREWALL, one_section(FIREWALL, &config.firewall)?),
    ];
    let mut written = String::new();
    for (name, text) in rendered {
        let over = local.remove(name);
        if over.is_none() && name != FIREWALL {
            written.push_str(&text);
            continue;
        }
        let mut section = read(&text)?.member(name).cloned().unwrap_or(Value::Null);
        if let Some(over) = over {
            section.merge(over, name, overridden);
        }
        if name == FIREWALL {
            section.set(GENERATION, generation.clone());
        }
        written.push_str(&one_section(name, &section)?);
    }
    Ok(written)
}

/// One section as text. The texts of two mappings, one after the other, are one mapping.
fn one_section(name: &str, section: &impl Serialize) -> Result<String, Error> {
    yaml::write(&BTreeMap::from([(name, section)]))
}

fn read(nebula_yml: &str) -> Result<Value, Error> {
    yaml::read(nebula_yml)
        .map_err(|message| Error::File { file: CONFIG, defect: FileDefect::Syntax { message } })
}

/// A counter that begins at 0 with each machine does not leave the range.
fn number(generation: u64) -> Value {
    Value::Integer(i64::try_from(generation).unwrap_or(i64::MAX))
}

/// An absolute path as text.
fn text_of(directory: &Path, file: &str) -> Result<String, Error> {
    let path = if file.is_empty() { directory.to_owned() } else { directory.join(file) };
    if !path.is_absolute() {
        return Err(Error::Install { path, defect: InstallDefect::NotAbsolute });
    }
    match path.to_str() {
        Some(text) => Ok(text.to_owned()),
        None => Err(Error::Install { path, defect: InstallDefect::NotUtf8 }),
    }
}
