//! Whether a bundle that came from somewhere else is one to install.

use std::net::IpAddr;

use nebula_pki::key::PublicKey;
use nebula_pki::{Blocklist, CaPool, Certificate, VerifiedCertificate};

use crate::bundle::File;
use crate::config::{Config, Rule};
use crate::render::yaml;
use crate::{Certificates, Error};

const CA: &str = "ca.crt";
const CERTIFICATE: &str = "node.crt";
const KEY: &str = "node.key";
const CONFIG: &str = "nebula.yml";
const README: &str = "README.md";
const FILES: [&str; 4] = [CA, CERTIFICATE, CONFIG, README];
/// No file is longer, in bytes: room for a blocklist of 200,000 certificates.
const FILE_LIMIT: usize = 16 << 20;
/// No network trusts more CAs at once: each costs a check of its signature.
const CA_LIMIT: usize = 64;
/// An error's quotation of a file, in characters.
const QUOTED: usize = 300;

/// A bundle that is whole, for one key, certified by one of its own CAs, and configures `nebula` in
/// no way but the one that [`Renderer`](crate::Renderer) does. Only [`check`] makes one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckedBundle {
    files: Vec<File>,
    certificates: Certificates,
    config: Config,
}

/// Checks the files of a bundle, named as in its archive, before any of them is written.
///
/// It holds `ca.crt`, `node.crt`, `nebula.yml` and `README.md`, and nothing else. `node.crt` holds
/// one certificate for `key`, or one of each version, signed by a CA of `ca.crt`, valid `now` (Unix
/// seconds) and not in the bundle's own blocklist. `nebula.yml` has no key that is not rendered here
/// (such as `sshd`), names the files beside it and `node.key`, and agrees with the certificate.
///
/// What is then installed is written anew from what was understood, so that another reader of YAML
/// or PEM can't find more in it.
///
/// # Errors
/// [`Error::MissingFile`], [`Error::UnknownFile`], [`Error::File`], [`Error::Certificate`],
/// [`Error::TunDevice`], [`Error::TunMtu`], and those of [`Certificates::new`].
pub fn check<'n, 'c>(
    files: impl IntoIterator<Item = (&'n str, &'c str)>,
    key: &PublicKey,
    now: i64,
) -> Result<CheckedBundle, Error> {
    let [ca_crt, node_crt, nebula_yml, readme] = sorted(files)?;
    let config = read_config(nebula_yml)?;
    let cas = read_cas(ca_crt)?;
    let certificates = read_certificates(node_crt, &cas, &config, key, now)?;
    check_config(&config, &certificates)?;
    if let Some(c) = readme.chars().find(|c| c.is_control() && *c != '\n') {
        return Err(file(README, format!("holds the control character {c:?}")));
    }
    let contents = [
        cas.iter().map(Certificate::to_pem).collect(),
        certificates.iter().map(|verified| verified.certificate().to_pem()).collect(),
        yaml(&config)?,
        readme.to_owned(),
    ];
    let files = FILES.into_iter().zip(contents).map(|(name, contents)| File { name, contents });
    Ok(CheckedBundle { files: files.collect(), certificates, config })
}

impl CheckedBundle {
    /// Names and contents, as they are to be installed.
    pub fn files(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.files.iter().map(|file| (file.name, file.contents.as_str()))
    }

    /// Who the node is.
    #[must_use]
    pub fn certificates(&self) -> &Certificates {
        &self.certificates
    }

    /// What `nebula` is told.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }
}

/// The contents in the order of [`FILES`].
fn sorted<'n, 'c>(
    files: impl IntoIterator<Item = (&'n str, &'c str)>,
) -> Result<[&'c str; FILES.len()], Error> {
    let mut found = [None; FILES.len()];
    for (name, contents) in files {
        let place = FILES.iter().zip(&mut found).find(|(known, _)| **known == name);
        let Some((known, place)) = place else {
            return Err(Error::UnknownFile { name: name.chars().take(100).collect() });
        };
        if contents.len() > FILE_LIMIT {
            return Err(file(known, format!("is longer than {} MiB", FILE_LIMIT >> 20)));
        }
        if place.replace(contents).is_some() {
            return Err(file(known, "is in the bundle twice".to_owned()));
        }
    }
    let mut whole = [""; FILES.len()];
    for ((name, contents), place) in FILES.into_iter().zip(found).zip(&mut whole) {
        *place = contents.ok_or(Error::MissingFile { file: name })?;
    }
    Ok(whole)
}

fn read_cas(pem: &str) -> Result<Vec<Certificate>, Error> {
    let cas = Certificate::from_pem_many(pem.as_bytes())
        .map_err(|source| Error::Certificate { file: CA, source })?;
    if cas.len() > CA_LIMIT {
        return Err(file(CA, format!("holds {} certificates, more than {CA_LIMIT}", cas.len())));
    }
    Ok(cas)
}

fn read_certificates(
    pem: &str,
    cas: &[Certificate],
    config: &Config,
    key: &PublicKey,
    now: i64,
) -> Result<Certificates, Error> {
    let refuse = |name, source| Error::Certificate { file: name, source };
    let mut pool = CaPool::new();
    for ca in cas {
        pool.add(ca.clone()).map_err(|source| refuse(CA, source))?;
    }
    let blocklist: Blocklist = config.pki.blocklist.iter().copied().collect();
    let received =
        Certificate::from_pem_many(pem.as_bytes()).map_err(|source| refuse(CERTIFICATE, source))?;
    let verify = |certificate: &Certificate| -> Result<VerifiedCertificate, Error> {
        let certified = PublicKey::from_raw(certificate.curve(), certificate.public_key())
            .map_err(|source| refuse(CERTIFICATE, source))?;
        if certified != *key {
            return Err(file(CERTIFICATE, "is for another key than this device's".to_owned()));
        }
        let verified = pool
            .verify(certificate, now, &blocklist)
            .map_err(|source| refuse(CERTIFICATE, source))?;
        if verified.details().is_ca() {
            let name = verified.details().name().into_owned();
            return Err(refuse(CERTIFICATE, nebula_pki::Error::CaAsHost { name }));
        }
        Ok(verified)
    };
    // Of more than two there is one version twice.
    let mut verified = vec![];
    for certificate in received.iter().take(3) {
        verified.push(verify(certificate)?);
    }
    Certificates::new(verified)
}

/// Only what is rendered here may be read.
fn read_config(text: &str) -> Result<Config, Error> {
    let budget = serde_saphyr::budget! {
        max_anchors: 0,
        max_aliases: 0,
        max_merge_keys: 0,
        max_documents: 1,
        max_depth: 8,
    };
    let options = serde_saphyr::options! {
        budget: budget,
        with_snippet: false,
        strict_booleans: true,
    };
    serde_saphyr::from_str_with_options(text, options)
        .map_err(|error| file(CONFIG, error.to_string()))
}

fn check_config(config: &Config, certificates: &Certificates) -> Result<(), Error> {
    let refuse = |reason: String| Err(file(CONFIG, reason));
    let pki = &config.pki;
    for (key, value, usual) in
        [("ca", &pki.ca, CA), ("cert", &pki.cert, CERTIFICATE), ("key", &pki.key, KEY)]
    {
        if value != usual {
            return refuse(format!("pki.{key} is {value:?}, not {usual:?}"));
        }
    }
    if !pki.disconnect_invalid {
        return refuse("pki.disconnect_invalid is false".to_owned());
    }
    let has = |number| {
        certificates.iter().any(|verified| verified.certificate().version().number() == number)
    };
    if let Some(number) = pki.initiating_version.filter(|number| !has(*number)) {
        return refuse(format!(
            "pki.initiating_version is {number}, of which there is no certificate"
        ));
    }
    config.tun.check()?;
    if config.listen.host.parse::<IpAddr>().is_err() {
        return refuse(format!("listen.host {:?} is no address", config.listen.host));
    }
    check_addresses(config, certificates)?;
    let rules = config.firewall.inbound.iter().chain(&config.firewall.outbound);
    match rules.into_iter().find(|rule| !is_port(&rule.port)) {
        Some(Rule { port, .. }) => {
            refuse(format!("firewall: port {port:?} is neither any, a number, nor a range"))
        }
        None => Ok(()),
    }
}

/// Whoever is named by an overlay address is in a network of the node's.
fn check_addresses(config: &Config, certificates: &Certificates) -> Result<(), Error> {
    let networks = certificates.details().networks();
    let named = [
        ("static_host_map", config.static_host_map.keys().collect::<Vec<_>>()),
        ("lighthouse.hosts", config.lighthouse.hosts.iter().collect()),
        ("relay.relays", config.relay.relays.iter().collect()),
    ];
    for (key, addresses) in named {
        let is_outside = |address: &&&IpAddr| !networks.iter().any(|net| net.contains(**address));
        if let Some(address) = addresses.iter().find(is_outside) {
            return Err(file(
                CONFIG,
                format!("{key} names {address}, which is in no network of the certificate"),
            ));
        }
    }
    let is_nowhere = |address: &&IpAddr| !config.static_host_map.contains_key(*address);
    match config.lighthouse.hosts.iter().find(is_nowhere) {
        Some(address) => Err(file(
            CONFIG,
            format!("lighthouse.hosts names {address}, which static_host_map does not"),
        )),
        None => Ok(()),
    }
}

/// `any`, a number, or a range.
fn is_port(text: &str) -> bool {
    let number = |text: &str| text.parse::<u16>().ok();
    match text.split_once('-') {
        Some((first, last)) => {
            number(first).zip(number(last)).is_some_and(|(first, last)| first <= last)
        }
        None => text == "any" || number(text).is_some(),
    }
}

fn file(name: &'static str, reason: String) -> Error {
    let shown = |c: char| if c.is_control() { '\u{fffd}' } else { c };
    Error::File { file: name, reason: reason.chars().take(QUOTED).map(shown).collect() }
}
