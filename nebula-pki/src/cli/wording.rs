//! The library's errors in the reference's words; in the library's own where the reference has none.

use ipnet::IpNet;
use nebula_pki::{Argon2Field, CertificateDefect, EncryptedKeyDefect, Error, NetworkList, Version};

const NO_BLOCK: &str = "input did not contain a valid PEM encoded block";

/// What the reference says of this error. The version is that of the certificate it is about.
pub(crate) fn of(error: &Error, version: Version) -> String {
    match error {
        Error::NoPemBlock => NO_BLOCK.to_owned(),
        Error::Utf16 => format!("{NO_BLOCK}: {error}"),
        Error::WrongBanner { .. } => "bytes did not contain a proper certificate banner".to_owned(),
        Error::Malformed { defect } => malformed(version, *defect),
        Error::NoPublicKey => "invalid public key".to_owned(),
        Error::NoNetworks if version == Version::V1 => {
            "non-CA certificates must contain exactly one network".to_owned()
        }
        Error::NoNetworks => "non-CA certificate must contain at least 1 network".to_owned(),
        Error::InvalidPrefix { field, .. } => format!("invalid {}: invalid Prefix", one(*field)),
        Error::Ipv6InV1 { field, network } => {
            format!("certificate may not contain IPv6 {}s: {network}", one(*field))
        }
        Error::ZeroAddress { network } => {
            format!("non-CA certificates must not use the zero address as a network: {network}")
        }
        Error::MappedNetwork { network } => format!("4in6 networks are not allowed: {network}"),
        Error::DuplicateNetwork { network, .. } => {
            format!("duplicate network detected: {network}")
        }
        Error::UnsafeNetworkFamily { network: network @ IpNet::V4(_) } => {
            format!("IPv4 unsafe networks require an IPv4 address assignment: {network}")
        }
        Error::UnsafeNetworkFamily { network } => {
            format!("IPv6 unsafe networks require an IPv6 address assignment: {network}")
        }
        Error::ExpiresAfterCa { .. } => "certificate expires after signing certificate".to_owned(),
        Error::ValidBeforeCa { .. } => {
            "certificate is valid before the signing certificate".to_owned()
        }
        Error::GroupNotPermitted { group } => {
            format!("certificate contained a group not present on the signing ca: {group}")
        }
        Error::NetworkNotPermitted { network } => format!(
            "certificate contained a network assignment outside the limitations of the signing \
             ca: {network}"
        ),
        Error::UnsafeNetworkNotPermitted { network } => format!(
            "certificate contained an unsafe network assignment outside the limitations of the \
             signing ca: {network}"
        ),
        Error::NotCa { name } => format!("{name}: certificate is not a CA"),
        Error::NotSelfSigned { name } => format!("{name}: certificate is not self-signed"),
        Error::Blocked { .. } => "certificate is in the block list".to_owned(),
        Error::NoIssuer => "no issuer in certificate".to_owned(),
        Error::UnknownCa { .. } => "could not find ca for the certificate".to_owned(),
        Error::CurveMismatch { .. } => "certificate curve does not match CA".to_owned(),
        // It says the same before the beginning and after the end; codes and times tell them apart.
        Error::CaExpired { .. } | Error::CaNotYetValid { .. } => {
            "root certificate is expired".to_owned()
        }
        Error::Expired { .. } | Error::NotYetValid { .. } => "certificate is expired".to_owned(),
        Error::SignatureMismatch => "certificate signature did not match".to_owned(),
        Error::QrCodeTooLong { .. } => "content too long to encode".to_owned(),
        other => other.to_string(),
    }
}

/// What the reference says of a key that it cannot read.
pub(crate) fn of_key(error: &Error, kind: &str) -> String {
    match error {
        Error::NoPemBlock => NO_BLOCK.to_owned(),
        Error::Utf16 => format!("{NO_BLOCK}: {error}"),
        Error::WrongBanner { .. } => format!("bytes did not contain a proper {kind} banner"),
        Error::KeyLength { key, expected, .. } => {
            // The reference names keys for agreement by their curve.
            let key = key.to_string().replace("X25519", "CURVE25519");
            format!("key was not {expected} bytes, is invalid {key}")
        }
        Error::MalformedEncryptedKey { defect } => match defect {
            EncryptedKeyDefect::Empty => "nil byte array".to_owned(),
            EncryptedKeyDefect::NoMetadata => "encoded EncryptionMetadata was nil".to_owned(),
            EncryptedKeyDefect::NoArgon2 => "encoded Argon2Parameters was nil".to_owned(),
            EncryptedKeyDefect::WireFormat => {
                "proto: cannot parse invalid wire-format data".to_owned()
            }
            EncryptedKeyDefect::AlgorithmNotUtf8 => {
                "string field contains invalid UTF-8".to_owned()
            }
            other => other.to_string(),
        },
        Error::Argon2Range { field: Argon2Field::Memory, max, .. } => {
            argon_range("Argon2Parameters Memory", *max, " KiB")
        }
        Error::Argon2Range { field: Argon2Field::Parallelism, max, .. } => {
            argon_range("Argon2Parameters Parallelism", *max, "")
        }
        Error::Argon2Range { max, .. } => argon_range("-argon-iterations", *max, ""),
        Error::UnsupportedCipher { found } => format!("unsupported encryption algorithm: {found}"),
        Error::Argon2Version { found } => format!("incompatible Argon2 version: {found}"),
        // The reference draws a salt where there is none, and then cannot decrypt.
        Error::SaltLength { found: 0 } | Error::WrongPassphrase => {
            "invalid passphrase or corrupt private key".to_owned()
        }
        Error::SaltLength { .. } => "salt must be at least 128  bits".to_owned(),
        Error::CiphertextLength { .. } => {
            "invalid ciphertext blob - blob shorter than nonce length".to_owned()
        }
        other => other.to_string(),
    }
}

/// What the reference says of a parameter of Argon2.
pub(crate) fn argon_range(what: &str, most: u32, unit: &str) -> String {
    format!("{what} must be be greater than 0 and no more than {most}{unit}")
}

/// What one entry of the list is called.
fn one(list: NetworkList) -> &'static str {
    if list == NetworkList::Networks { "network" } else { "unsafe network" }
}

fn malformed(version: Version, defect: CertificateDefect) -> String {
    if version == Version::V2 {
        return "bad wire format".to_owned();
    }
    match defect {
        CertificateDefect::Empty => "nil byte array",
        CertificateDefect::NoDetails => "encoded Details was nil",
        CertificateDefect::OddNetworks => "encoded IPs should be in pairs, an odd number was found",
        CertificateDefect::OddUnsafeNetworks => {
            "encoded Subnets should be in pairs, an odd number was found"
        }
        CertificateDefect::WireFormat => "proto: cannot parse invalid wire-format data",
        CertificateDefect::NotUtf8 => "string field contains invalid UTF-8",
        other => return other.to_string(),
    }
    .to_owned()
}
