//! `ca`: a new CA, its certificate and its key.

use std::ffi::OsStr;

use ipnet::IpNet;
use nebula_pki::key::SigningKey;
use nebula_pki::{CaParameters, Curve, Issuer, Signer, SystemRandom, Validity, Version};

use crate::authority::CaKey;
use crate::clock::Now;
use crate::failure::{Failure, Failures};
use crate::flags::Values;
use crate::passphrase::Wording;
use crate::{authority, encryption, files, keygen, networks, passphrase, qr};

pub(crate) fn run(flags: &Values) -> Result<(), Failures> {
    let name = flags.text("name")?;
    flags.required("name")?;
    let token = authority::token(flags)?;
    let out_key = out_key(flags, token.is_some())?;
    let out_crt = flags.required("out-crt")?;
    let out_qr = flags.raw("out-qr");
    let parameters = match flags.switch("encrypt") && token.is_none() {
        true => Some(encryption::parameters(flags)?),
        false => None,
    };
    let duration = flags.duration("duration");
    if duration <= 0 {
        return Err(Failure::usage("-duration must be greater than 0").into());
    }
    let groups = networks::groups(flags.text("groups")?);
    let version = version(flags.number("version"))?;
    let networks = limits(flags, version, "networks", "ips")?;
    let unsafe_networks = limits(flags, version, "unsafe-networks", "subnets")?;
    files::claim_outputs(&[("out-key", out_key), ("out-crt", out_crt), ("out-qr", out_qr)])?;

    let encryption = match parameters {
        Some(parameters) => Some((
            parameters,
            passphrase::obtain(passphrase::VARIABLE, passphrase::PROMPT, &NO_PASSPHRASE)?,
        )),
        None => None,
    };
    let key = match token {
        Some(uri) => {
            let key = authority::open_token(uri)?;
            keygen::token_curve(flags, key.curve())?;
            key
        }
        None => CaKey::File(generate(keygen::curve(flags.text("curve")?)?)?),
    };
    let now = Now::read();
    let validity = Validity { not_before: now.seconds, not_after: now.plus(duration).seconds };
    let parameters = CaParameters::new(name, validity)
        .groups(groups)
        .networks(networks)
        .unsafe_networks(unsafe_networks);

    let exists = |what: &str, path: &OsStr| {
        let path = path.to_string_lossy();
        Failure::new("exists", format!("refusing to overwrite existing CA {what}: {path}"))
    };
    if files::exists(out_key) {
        return Err(exists("key", out_key).into());
    }
    if files::exists(out_crt) {
        return Err(exists("cert", out_crt).into());
    }

    let issuer = Issuer::self_signed(version, parameters, &key)
        .map_err(|error| Failure::library("error while signing: ", &error, version))?;
    let pem = issuer.certificate().to_pem();
    match (&key, encryption) {
        (CaKey::File(key), Some((parameters, passphrase))) => {
            let sealed = encryption::seal(key, &passphrase, parameters)?;
            write_key(out_key, sealed.as_bytes())?;
        }
        (CaKey::File(key), None) => write_key(out_key, key.to_pem().as_bytes())?,
        #[cfg(feature = "pkcs11")]
        (CaKey::Token(_), _) => {}
    }
    files::write_new(out_crt, pem.as_bytes())
        .map_err(|error| error.failure("error while writing out-crt: "))?;
    qr::write(out_qr, &pem)?;
    Ok(())
}

const NO_PASSPHRASE: Wording = Wording {
    no_terminal: "out-key must be encrypted interactively",
    unreadable: "error reading passphrase",
    empty: "no passphrase specified, remove -encrypt flag to write out-key in plaintext",
};

/// Where the key is to be written: nowhere if it is in a token.
fn out_key(flags: &Values, in_token: bool) -> Result<&OsStr, Failure> {
    match flags.required("out-key") {
        Ok(path) if in_token && path != "ca.key" => {
            Err(Failure::usage("cannot set -out-key with -pkcs11"))
        }
        _ if in_token => Ok(OsStr::new("")),
        path => path,
    }
}

fn write_key(path: &OsStr, pem: &[u8]) -> Result<(), Failure> {
    files::write_new(path, pem).map_err(|error| error.failure("error while writing out-key: "))
}

pub(crate) fn version(number: u64) -> Result<Version, Failure> {
    match number {
        1 => Ok(Version::V1),
        2 => Ok(Version::V2),
        _ => Err(Failure::usage("-version must be either 1 or 2")),
    }
}

/// The ranges that limit the CA. The flag's old name counts when the new one is empty.
fn limits(flags: &Values, version: Version, name: &str, old: &str) -> Result<Vec<IpNet>, Failure> {
    let list = flags.text_or(name, old)?;
    let mut networks = Vec::new();
    for entry in networks::entries(list) {
        let network = networks::prefix(entry)
            .ok_or_else(|| Failure::usage(format!("invalid -{name} definition: {entry}")))?;
        if version == Version::V1 && network.addr().is_ipv6() {
            return Err(Failure::usage(format!(
                "invalid -{name} definition: v1 certificates can only be ipv4, have {entry}"
            )));
        }
        networks.push(network);
    }
    Ok(networks)
}

fn generate(curve: Curve) -> Result<SigningKey, Failure> {
    SigningKey::generate(curve, &mut SystemRandom)
        .map_err(|error| Failure::library("error while generating keys: ", &error, Version::V2))
}
