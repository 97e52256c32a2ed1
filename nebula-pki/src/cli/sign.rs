//! `sign`: a host's certificate, and its key unless a public key is given.

use std::ffi::{OsStr, OsString};

use ipnet::IpNet;
use nebula_pki::key::{AgreementKey, PublicKey};
use nebula_pki::{Certificate, Curve, HostParameters, Issuer, VerifiedCertificate, Version};

use crate::authority::{self, CaKey};
use crate::clock::Now;
use crate::failure::{Failure, Failures};
use crate::flags::Values;
use crate::terms::Terms;
use crate::{ca, files, keygen, networks, qr, wording};

pub(crate) fn run(flags: &Values) -> Result<(), Failures> {
    let token = authority::token(flags)?;
    let ca_key = if token.is_some() { OsStr::new("") } else { flags.required("ca-key")? };
    let ca_crt = flags.required("ca-crt")?;
    flags.required("name")?;
    let (in_pub, out_qr) = (flags.raw("in-pub"), flags.raw("out-qr"));
    if !in_pub.is_empty() && !flags.raw("out-key").is_empty() {
        return Err(Failure::usage("cannot set both -in-pub and -out-key").into());
    }
    if token.is_some() && in_pub.is_empty() {
        // The reference would certify the CA's own key as the host's.
        return Err(Failure::usage("-in-pub is required with -pkcs11").into());
    }
    if flags.text_or("networks", "ip")?.is_empty() {
        return Err(Failure::required("networks").into());
    }
    let versions = versions(flags)?;
    let out_key = or_named(flags, "out-key", ".key");
    let out_crt = or_named(flags, "out-crt", ".crt");
    let inputs = [("ca-key", ca_key), ("ca-crt", ca_crt), ("in-pub", in_pub)];
    files::claim_inputs(&inputs)?;
    files::claim_outputs(&[("out-key", &out_key), ("out-crt", &out_crt), ("out-qr", out_qr)])?;
    files::claim_apart(&[("out-qr", out_qr)], &inputs)?;

    let (issuer, _) = authority::read(ca_key, token, ca_crt)?;
    authority::check_time(issuer.certificate(), Now::read())?;
    let host = Host::read(flags)?;
    let (public_key, private_key) = key_pair(in_pub, issuer.certificate().curve())?;
    if files::exists(&out_crt) {
        return Err(exists("cert", &out_crt).into());
    }
    let terms = Terms::new(Now::read(), flags.duration("duration"), issuer.certificate());
    let certificates = match versions {
        Versions::Pair => vec![
            host.issue(&issuer, Version::V1, host.first_of_pair()?, &public_key, &terms)?,
            host.issue(&issuer, Version::V2, host.all(), &public_key, &terms)?,
        ],
        Versions::One(version) => {
            let version = version.unwrap_or(issuer.certificate().version());
            let networks = if version == Version::V1 { host.only_ipv4()? } else { host.all() };
            vec![host.issue(&issuer, version, networks, &public_key, &terms)?]
        }
    };
    let pem: String = certificates.iter().map(Certificate::to_pem).collect();

    if let Some(key) = private_key {
        if files::exists(&out_key) {
            return Err(exists("key", &out_key).into());
        }
        files::write_new(&out_key, key.to_pem().as_bytes())
            .map_err(|error| error.failure("error while writing out-key: "))?;
    }
    files::write_new(&out_crt, pem.as_bytes())
        .map_err(|error| error.failure("error while writing out-crt: "))?;
    qr::write(out_qr, &pem)?;
    Ok(())
}

/// Networks and unsafe networks.
type Networks = (Vec<IpNet>, Vec<IpNet>);

/// What the certificate is to say, but for its key and its validity.
struct Host {
    name: String,
    networks: Vec<IpNet>,
    unsafe_networks: Vec<IpNet>,
    groups: Vec<String>,
}

impl Host {
    fn read(flags: &Values) -> Result<Self, Failure> {
        Ok(Self {
            name: flags.text("name")?.to_owned(),
            networks: networks(flags, "networks", "ip")?,
            unsafe_networks: networks(flags, "unsafe-networks", "subnets")?,
            groups: networks::groups(flags.text("groups")?),
        })
    }

    fn issue(
        &self,
        issuer: &Issuer<CaKey>,
        version: Version,
        (networks, unsafe_networks): Networks,
        public_key: &PublicKey,
        terms: &Terms,
    ) -> Result<Certificate, Failure> {
        let host = HostParameters::new(&self.name, networks, public_key.clone(), terms.validity)
            .unsafe_networks(unsafe_networks)
            .groups(&self.groups);
        terms
            .issue(issuer, version, &host)
            .map(VerifiedCertificate::into_certificate)
            .map_err(|error| Failure::library("error while signing: ", &error, version))
    }

    fn all(&self) -> Networks {
        (self.networks.clone(), self.unsafe_networks.clone())
    }

    /// The networks and unsafe networks of a version 1 certificate: all there are.
    fn only_ipv4(&self) -> Result<Networks, Failure> {
        let is_ipv6 = |network: &IpNet| network.addr().is_ipv6();
        if self.networks.iter().filter(|network| !is_ipv6(network)).count() != 1 {
            return Err(v1("networks", "have a single ipv4 address"));
        }
        if self.networks.iter().any(is_ipv6) {
            return Err(v1("networks", "contain ipv4 addresses"));
        }
        if self.unsafe_networks.iter().any(is_ipv6) {
            return Err(v1("unsafe-networks", "contain ipv4 addresses"));
        }
        Ok(self.all())
    }

    /// Those of a version 1 certificate that is beside one of version 2. A node takes the two
    /// only when both have the same first network, and version 2 sorts its own.
    fn first_of_pair(&self) -> Result<Networks, Failure> {
        let is_ipv4 = |network: &&IpNet| network.addr().is_ipv4();
        let first = self
            .networks
            .iter()
            .filter(is_ipv4)
            .min_by_key(|network| (network.addr(), network.prefix_len()))
            .ok_or_else(|| {
                Failure::usage(
                    "invalid -networks definition: a pair of v1 and v2 certificates needs an ipv4 \
                     address",
                )
            })?;
        Ok((vec![*first], self.unsafe_networks.iter().filter(is_ipv4).copied().collect()))
    }
}

fn v1(flag: &str, rule: &str) -> Failure {
    Failure::usage(format!("invalid -{flag} definition: v1 certificates can only {rule}"))
}

/// The versions to be made.
enum Versions {
    /// This one, or the CA's.
    One(Option<Version>),
    /// Version 1, then version 2.
    Pair,
}

fn versions(flags: &Values) -> Result<Versions, Failure> {
    if flags.is_pair("version") {
        return Ok(Versions::Pair);
    }
    match flags.number("version") {
        0 => Ok(Versions::One(None)),
        number => ca::version(number).map(|version| Versions::One(Some(version))),
    }
}

/// The flag's path, or one made of the certificate's name.
fn or_named(flags: &Values, flag: &str, suffix: &str) -> OsString {
    let path = flags.raw(flag);
    if !path.is_empty() {
        return path.to_owned();
    }
    let mut path = flags.raw("name").to_owned();
    path.push(suffix);
    path
}

fn networks(flags: &Values, name: &str, old: &str) -> Result<Vec<IpNet>, Failure> {
    networks::parse(flags.text_or(name, old)?)
        .map_err(|entry| Failure::usage(format!("invalid -{name} definition: {entry}")))
}

/// The public key to be certified, and its private key if it is new.
fn key_pair(in_pub: &OsStr, curve: Curve) -> Result<(PublicKey, Option<AgreementKey>), Failure> {
    if in_pub.is_empty() {
        let key = keygen::generate(curve)?;
        return Ok((key.public_key(), Some(key)));
    }
    let pem = files::read(in_pub).map_err(|error| error.failure("error while reading in-pub: "))?;
    let key = PublicKey::from_pem(&pem).map_err(|error| {
        let reason = wording::of_key(&error, "public key");
        Failure::new(error.code(), format!("error while parsing in-pub: {reason}"))
    })?;
    if key.curve() != curve {
        return Err(Failure::new("curve_mismatch", "curve of in-pub does not match ca"));
    }
    Ok((key, None))
}

pub(crate) fn exists(what: &str, path: &OsStr) -> Failure {
    let path = path.to_string_lossy();
    Failure::new("exists", format!("refusing to overwrite existing {what}: {path}"))
}
