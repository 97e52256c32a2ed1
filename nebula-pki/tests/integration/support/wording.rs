//! How the reference words the errors that it has in common with us.

use ipnet::IpNet;
use nebula_pki::{CertificateDefect, Error, NetworkList, PemContents};

/// What its message about a certificate contains, with the offending value where it names that.
pub(crate) fn of_certificate(error: &Error) -> String {
    let fixed = match error {
        Error::ZeroAddress { network } => {
            return format!("must not use the zero address as a network: {network}");
        }
        Error::MappedNetwork { network } => {
            return format!("4in6 networks are not allowed: {network}");
        }
        Error::DuplicateNetwork { network, .. } => {
            return format!("duplicate network detected: {network}");
        }
        Error::UnsafeNetworkFamily { network } => {
            let family = if matches!(network, IpNet::V4(_)) { "IPv4" } else { "IPv6" };
            return format!(
                "{family} unsafe networks require an {family} address assignment: {network}"
            );
        }
        Error::NotCa { name } => return format!("{name}: certificate is not a CA"),
        Error::NotSelfSigned { name } => {
            return format!("{name}: certificate is not self-signed");
        }
        Error::UnknownCa { issuer } => {
            return format!("with issuer {issuer}: could not find ca for the certificate");
        }
        Error::GroupNotPermitted { group } => {
            return format!("contained a group not present on the signing ca: {group}");
        }
        Error::NetworkNotPermitted { network } => {
            return format!(
                "a network assignment outside the limitations of the signing ca: {network}"
            );
        }
        Error::UnsafeNetworkNotPermitted { network } => {
            return format!(
                "an unsafe network assignment outside the limitations of the signing ca: {network}"
            );
        }
        Error::NoPemBlock => "input did not contain a valid PEM encoded block",
        Error::WrongBanner { .. } => "bytes did not contain a proper certificate banner",
        Error::Malformed { defect: CertificateDefect::Empty } => "nil byte array",
        Error::Malformed { defect: CertificateDefect::NoDetails } => "encoded Details was nil",
        Error::Malformed { defect: CertificateDefect::WireFormat } => {
            "proto: cannot parse invalid wire-format data"
        }
        Error::Malformed { defect: CertificateDefect::NotUtf8 } => {
            "string field contains invalid UTF-8"
        }
        Error::Malformed { defect: CertificateDefect::OddNetworks } => {
            "encoded IPs should be in pairs, an odd number was found"
        }
        Error::Malformed { defect: CertificateDefect::OddUnsafeNetworks } => {
            "encoded Subnets should be in pairs, an odd number was found"
        }
        Error::Malformed { .. } => "bad wire format",
        Error::NoPublicKey => "invalid public key",
        Error::NoNetworks => "non-CA certificate",
        Error::InvalidPrefix { field: NetworkList::Networks, .. } => {
            ": invalid network: invalid Prefix"
        }
        Error::InvalidPrefix { .. } => ": invalid unsafe network: invalid Prefix",
        Error::NoIssuer => "no issuer in certificate",
        Error::CurveMismatch { .. } => "certificate curve does not match CA",
        Error::CaExpired { .. } | Error::CaNotYetValid { .. } => "root certificate is expired",
        Error::Expired { .. } | Error::NotYetValid { .. } => ": certificate is expired",
        Error::SignatureMismatch => "certificate signature did not match",
        Error::ExpiresAfterCa { .. } => "certificate expires after signing certificate",
        Error::ValidBeforeCa { .. } => "certificate is valid before the signing certificate",
        other => panic!("the reference has no such error: {other:?}"),
    };
    fixed.to_owned()
}

/// What its message about a key to sign with, or to be signed, contains.
pub(crate) fn of_key(error: &Error) -> String {
    let fixed = match error {
        Error::KeyLength { key, expected, .. } => {
            let key = key.to_string().replace("X25519", "CURVE25519");
            return format!("key was not {expected} bytes, is invalid {key}");
        }
        Error::WrongBanner { expected: PemContents::PublicKey, .. } => {
            "bytes did not contain a proper public key banner"
        }
        Error::WrongBanner { .. } => "bytes did not contain a proper Ed25519/ECDSA private key",
        Error::NoPemBlock => "input did not contain a valid PEM encoded block",
        Error::CurveMismatch { .. } => "curve of in-pub does not match ca",
        // It compares what it derives from the scalar, or finds beside the seed.
        Error::CorruptSigningKey | Error::ScalarRange { .. } | Error::SignerMismatch => {
            "refusing to sign, root certificate does not match private key"
        }
        other => panic!("the reference has no such error: {other:?}"),
    };
    fixed.to_owned()
}
