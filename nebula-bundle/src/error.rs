//! Why a bundle is refused.

use nebula_pki::Fingerprint;

/// Why a bundle could not be made, or is not one to install.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A lighthouse's underlay address is not `host:port`.
    #[error("endpoint {value:?}: {reason}")]
    Endpoint {
        /// What was given.
        value: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The node's certificate was issued by a CA that the bundle would not carry.
    #[error("the node's certificate was issued by {issuer}, which is not among the network's CAs")]
    ForeignIssuer {
        /// The CA that signed it.
        issuer: Fingerprint,
    },
    /// A node without any certificate.
    #[error("a node needs a certificate")]
    NoCertificate,
    /// More than one certificate of one version.
    #[error("more than one certificate of version {version}")]
    DoubledVersion {
        /// The version.
        version: u8,
    },
    /// Certificates of two versions that are not of the same node.
    #[error("the certificates of version 1 and version 2 differ in their {field}")]
    Differing {
        /// Where they differ.
        field: &'static str,
    },
    /// A way of rendering that this version does not have.
    #[error("unknown rendering {number}; this version has 1 to {newest}")]
    Rendering {
        /// The number asked for.
        number: u32,
        /// The newest that this version has: [`RENDERING`](crate::RENDERING).
        newest: u32,
    },
    /// The certificate holds no address, so a node could not use it.
    #[error("the node's certificate names no network")]
    NoNetwork,
    /// A group that no firewall rule can name, because it is not UTF-8 or means "every host".
    #[error("group {group:?} can't be named in a firewall rule: {reason}")]
    Group {
        /// The group, with what is not UTF-8 replaced.
        group: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The tun device's name is not one that Linux takes.
    #[error(
        "tun device {device:?}: a name has 1 to 15 bytes, without '/', ':', '%' and white space, and is no other device's"
    )]
    TunDevice {
        /// What was given.
        device: String,
    },
    /// The tun device's MTU is outside what Nebula can carry.
    #[error("tun mtu {mtu}: must be from 500 to 65535 bytes")]
    TunMtu {
        /// What was given, in bytes.
        mtu: u32,
    },
    /// `nebula.yml` could not be written.
    #[error("nebula.yml: {reason}")]
    Yaml {
        /// The serializer's own words.
        reason: String,
    },
    /// The archive could not be written.
    #[error("archive: {reason}")]
    Archive {
        /// The archiver's own words.
        reason: String,
    },
    /// A received bundle lacks one of its files.
    #[error("the bundle lacks {file}")]
    MissingFile {
        /// The file's name.
        file: &'static str,
    },
    /// A received bundle holds a file that no bundle has.
    #[error("the bundle holds {name:?}, which is no file of a bundle")]
    UnknownFile {
        /// The file's name, cut to 100 characters.
        name: String,
    },
    /// A file of a received bundle holds something that no bundle of this version has.
    #[error("{file}: {reason}")]
    File {
        /// The file's name.
        file: &'static str,
        /// What is wrong with it. It may quote the file, but holds no control characters.
        reason: String,
    },
    /// A received certificate is not one that this node can use.
    #[error("{file}: {source}")]
    Certificate {
        /// The file's name.
        file: &'static str,
        /// What is wrong with it.
        source: nebula_pki::Error,
    },
}
