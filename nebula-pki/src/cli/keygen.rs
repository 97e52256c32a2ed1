//! `keygen`: a host's key pair.

use nebula_pki::key::AgreementKey;
use nebula_pki::{Curve, SystemRandom, Version};

use crate::authority;
use crate::failure::{Failure, Failures};
use crate::files;
use crate::flags::Values;

pub(crate) fn run(flags: &Values) -> Result<(), Failures> {
    if let Some(uri) = authority::token(flags)? {
        return public_key_of_token(flags, uri);
    }
    let (out_key, out_pub) = (flags.required("out-key")?, flags.required("out-pub")?);
    let curve = curve(flags.text("curve")?)?;
    let outputs = [("out-key", out_key), ("out-pub", out_pub)];
    files::claim_outputs(&outputs)?;
    let key = generate(curve)?;
    files::write(out_key, key.to_pem().as_bytes())
        .map_err(|error| error.failure("error while writing out-key: "))?;
    // Where names that differ in case are one file, it shows only now.
    files::claim_outputs(&outputs)?;
    files::write(out_pub, key.public_key().to_pem().as_bytes())
        .map_err(|error| error.failure("error while writing out-pub: "))?;
    Ok(())
}

/// Writes the public half of a key that a node has in a token.
fn public_key_of_token(flags: &Values, uri: &str) -> Result<(), Failures> {
    let out_pub = flags.required("out-pub")?;
    token_curve(flags, Curve::P256)?;
    let public_key = authority::token_public_key(uri)?;
    files::write(out_pub, public_key.to_pem().as_bytes())
        .map_err(|error| error.failure("error while writing out-pub: "))?;
    Ok(())
}

/// The curve asked for must be that of the key in the token. What nodes agree with is on P256.
pub(crate) fn token_curve(flags: &Values, curve: Curve) -> Result<(), Failure> {
    let name = flags.text("curve")?;
    match self::curve(name) {
        Ok(asked) if asked == curve => Ok(()),
        _ => Err(Failure::new("usage", format!("invalid curve for PKCS#11: {name}"))),
    }
}

/// The curve with one of the names that the reference knows.
pub(crate) fn curve(name: &str) -> Result<Curve, Failure> {
    match name {
        "25519" | "X25519" | "Curve25519" | "CURVE25519" => Ok(Curve::Curve25519),
        "P256" => Ok(Curve::P256),
        other => Err(Failure::new("usage", format!("invalid curve: {other}"))),
    }
}

/// A new key pair of a host.
pub(crate) fn generate(curve: Curve) -> Result<AgreementKey, Failure> {
    AgreementKey::generate(curve, &mut SystemRandom)
        .map_err(|error| Failure::library("error while generating keys: ", &error, Version::V2))
}
