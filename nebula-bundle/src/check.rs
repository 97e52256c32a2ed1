//! Checks a received bundle before it is installed.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnet::IpNet;
use nebula_pki::key::PublicKey;
use nebula_pki::{Blocklist, CaPool, Certificate, VerifiedCertificate};

use crate::archive::{CA, CERTIFICATE, CONFIG, File, README};
use crate::config::{Config, LighthouseSection, Listen, Pki, Punchy, RelaySection};
use crate::error::FileDefect;
use crate::inputs::USUAL_PORT;
use crate::render::{EVERYWHERE, INTERVAL, firewall};
use crate::{Certificates, Endpoint, Endpoints, Error, yaml};

pub(crate) const FILES: [&str; 4] = [CA, CERTIFICATE, CONFIG, README];
/// How long each of them may be, in bytes. A node's certificates travel in a handshake, and a blocklist
/// has room for 200,000 of them.
pub(crate) const LIMITS: [usize; FILES.len()] = [1 << 20, 64 << 10, 16 << 20, 64 << 10];
/// No network trusts more CAs at once: each costs a check of its signature.
const CA_LIMIT: usize = 64;

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
/// The installed files are rendered again from what was parsed, so that another reader of YAML or PEM
/// can't find more in them.
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
    if let Some(character) = readme.chars().find(|c| c.is_control() && *c != '\n') {
        return Err(refuse(README, FileDefect::ControlCharacter { character }));
    }
    let contents = [
        cas.iter().map(Certificate::to_pem).collect(),
        certificates.iter().map(|verified| verified.certificate().to_pem()).collect(),
        yaml::write(&config)?,
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

    /// The configuration of `nebula`.
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
        let mut places = FILES.iter().zip(LIMITS).zip(&mut found);
        let Some(((known, limit), place)) = places.find(|((known, _), _)| **known == name) else {
            return Err(Error::UnknownFile { name: name.chars().take(100).collect() });
        };
        if contents.len() > limit {
            return Err(refuse(known, FileDefect::TooLong { limit_kib: limit >> 10 }));
        }
        if place.replace(contents).is_some() {
            return Err(refuse(known, FileDefect::Repeated));
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
    // As Nebula reads it, which takes no block of more than 64 KiB.
    CaPool::from_pem(pem.as_bytes()).map_err(|source| Error::Certificate { file: CA, source })?;
    if cas.len() > CA_LIMIT {
        return Err(refuse(CA, FileDefect::TooManyCas { found: cas.len(), limit: CA_LIMIT }));
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
    let mut pool = CaPool::new();
    for ca in cas {
        pool.add(ca.clone()).map_err(|source| Error::Certificate { file: CA, source })?;
    }
    let blocklist: Blocklist = config.pki.blocklist.iter().copied().collect();
    let received = Certificate::from_pem_many(pem.as_bytes()).map_err(unusable)?;
    // Of more than two there is one version twice.
    let verified: Result<Vec<_>, _> = received
        .iter()
        .take(3)
        .map(|certificate| verify(certificate, &pool, &blocklist, key, now))
        .collect();
    Certificates::new(verified?)
}

/// Whether this is a host's certificate for the key, which nodes of the network believe.
fn verify(
    certificate: &Certificate,
    pool: &CaPool,
    blocklist: &Blocklist,
    key: &PublicKey,
    now: i64,
) -> Result<VerifiedCertificate, Error> {
    let certified =
        PublicKey::from_raw(certificate.curve(), certificate.public_key()).map_err(unusable)?;
    if certified != *key {
        return Err(refuse(CERTIFICATE, FileDefect::OtherKey));
    }
    let verified = pool.verify(certificate, now, blocklist).map_err(unusable)?;
    if verified.details().is_ca() {
        let name = verified.details().name().into_owned();
        return Err(unusable(nebula_pki::Error::CaAsHost { name }));
    }
    Ok(verified)
}

fn unusable(source: nebula_pki::Error) -> Error {
    Error::Certificate { file: CERTIFICATE, source }
}

/// Only what is rendered here may be read.
fn read_config(text: &str) -> Result<Config, Error> {
    yaml::read(text).map_err(|message| refuse(CONFIG, FileDefect::Syntax { message }))
}

/// Whether it is what is rendered here for this node: where it differs from that in more than the
/// network's lighthouses, relays, blocklist and device, the section is named.
fn check_config(config: &Config, certificates: &Certificates) -> Result<(), Error> {
    if let Some(version) = config.pki.initiating_version {
        let mut versions = certificates.iter().map(|verified| verified.certificate().version());
        if !versions.any(|found| found.number() == version) {
            return Err(refuse(CONFIG, FileDefect::InitiatingVersion { version }));
        }
    }
    config.tun.check()?;
    check_addresses(config, certificates)?;
    let rendered = rendered(config, certificates)?;
    let sections = [
        ("pki", config.pki == rendered.pki),
        ("punchy", config.punchy == rendered.punchy),
        ("static_host_map", config.static_host_map == rendered.static_host_map),
        ("lighthouse", config.lighthouse == rendered.lighthouse),
        ("listen", config.listen == rendered.listen),
        ("relay", config.relay == rendered.relay),
        ("tun", config.tun == rendered.tun),
        ("firewall", config.firewall == rendered.firewall),
    ];
    match sections.into_iter().find(|(_, is_same)| !is_same) {
        Some((section, _)) => Err(refuse(CONFIG, FileDefect::Section { section })),
        None => Ok(()),
    }
}

/// The configuration that is rendered here where it agrees with this one in what may differ.
fn rendered(config: &Config, certificates: &Certificates) -> Result<Config, Error> {
    let details = certificates.details();
    let networks = details.networks();
    let (am_lighthouse, am_relay) = (config.lighthouse.am_lighthouse, config.relay.am_relay);
    let port = match config.listen.port {
        // Others look for it there.
        0 if am_lighthouse || am_relay => USUAL_PORT,
        port => port,
    };
    let one = |(address, endpoints): (&IpAddr, &Vec<Endpoint>)| {
        let all = Endpoints::new(endpoints.iter().cloned()).ok()?;
        all.check_outside(networks).ok()?;
        Some((*address, endpoints.clone()))
    };
    let hosts: BTreeSet<_> = config.lighthouse.hosts.iter().collect();
    let asks_all = hosts.into_iter().eq(config.static_host_map.keys());
    Ok(Config {
        pki: Pki::rendered(config.pki.blocklist.clone(), config.pki.initiating_version),
        punchy: Punchy::rendered(),
        static_host_map: config.static_host_map.iter().filter_map(one).collect(),
        lighthouse: LighthouseSection {
            am_lighthouse,
            interval: INTERVAL,
            hosts: match am_lighthouse {
                true => vec![],
                false if asks_all => config.lighthouse.hosts.clone(),
                false => config.static_host_map.keys().copied().collect(),
            },
        },
        listen: Listen { host: EVERYWHERE.to_owned(), port },
        relay: RelaySection {
            am_relay,
            use_relays: !am_relay,
            relays: if am_relay { vec![] } else { config.relay.relays.clone() },
        },
        tun: config.tun.clone().for_networks(networks),
        firewall: firewall(details)?,
    })
}

/// Whoever is named by an overlay address is another, in a network of the node's.
fn check_addresses(config: &Config, certificates: &Certificates) -> Result<(), Error> {
    let networks = certificates.details().networks();
    let named = [
        ("static_host_map", config.static_host_map.keys().collect::<Vec<_>>()),
        ("lighthouse.hosts", config.lighthouse.hosts.iter().collect()),
        ("relay.relays", config.relay.relays.iter().collect()),
    ];
    for (key, addresses) in named {
        if let Some(&address) = addresses.into_iter().find(|address| !is_another(address, networks))
        {
            return Err(refuse(CONFIG, FileDefect::Address { key, address }));
        }
    }
    Ok(())
}

/// Whether the address is in one of the node's networks, and is not the node's own.
fn is_another(address: &IpAddr, networks: &[IpNet]) -> bool {
    networks.iter().any(|net| net.contains(address))
        && networks.iter().all(|net| net.addr() != *address)
}

fn refuse(file: &'static str, defect: FileDefect) -> Error {
    Error::File { file, defect }
}
