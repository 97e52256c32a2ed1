//! `ca`: a new CA, its certificate and its key.

use std::ffi::OsStr;

use ipnet::IpNet;
use nebula_pki::key::SigningKey;
use nebula_pki::{CaParameters, Curve, Issuer, SystemRandom, Validity, Version};
use zeroize::Zeroizing;

use crate::clock::Now;
use crate::failure::{Failure, Failures};
use crate::flags::Values;
use crate::passphrase::Wording;
use crate::{encryption, files, keygen, networks, passphrase, qr};

pub(crate) fn run(flags: &Values) -> Result<(), Failures> {
    let name = flags.text("name")?;
    flags.required("name")?;
    let (out_key, out_crt) = (flags.required("out-key")?, flags.required("out-crt")?);
    let out_qr = flags.raw("out-qr");
    let encrypt = flags.switch("encrypt");
    if encrypt {
        encryption::parameters(flags)?;
    }
    let duration = flags.duration("duration");
    if duration <= 0 {
        return Err(Failure::usage("-duration must be greater than 0").into());
    }
    let groups = networks::groups(flags.text("groups")?);
    let version = version(flags.number("version"))?;
    let networks = limits(flags, version, "networks", "ips")?;
    let unsafe_networks = limits(flags, version, "unsafe-networks", "subnets")?;
    files::claim_outputs(&[("out-key", out_key), ("out-crt", out_crt), ("out-qr", out_qr)])?;

    if encrypt {
        passphrase::obtain(passphrase::VARIABLE, passphrase::PROMPT, &NO_PASSPHRASE)?;
        return Err(Failure::new("refused", "encrypted keys are not supported yet").into());
    }
    let curve = keygen::curve(flags.text("curve")?)?;
    let key = generate(curve)?;
    let key_pem = key.to_pem();
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

    let issuer = Issuer::self_signed(version, parameters, key)
        .map_err(|error| Failure::library("error while signing: ", &error, version))?;
    write(out_key, &key_pem, out_crt, &issuer.certificate().to_pem())?;
    qr::write(out_qr, &issuer.certificate().to_pem())?;
    Ok(())
}

const NO_PASSPHRASE: Wording = Wording {
    no_terminal: "out-key must be encrypted interactively",
    unreadable: "error reading passphrase",
    empty: "no passphrase specified, remove -encrypt flag to write out-key in plaintext",
};

fn write(
    out_key: &OsStr,
    key: &Zeroizing<String>,
    out_crt: &OsStr,
    certificate: &str,
) -> Result<(), Failure> {
    files::write_new(out_key, key.as_bytes())
        .map_err(|error| error.failure("error while writing out-key: "))?;
    files::write_new(out_crt, certificate.as_bytes())
        .map_err(|error| error.failure("error while writing out-crt: "))
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
