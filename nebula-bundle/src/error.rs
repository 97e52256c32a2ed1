//! Why a bundle is refused.

use std::net::IpAddr;
use std::path::PathBuf;
use std::{fmt, io};

use nebula_pki::Fingerprint;

/// Why a bundle could not be made, or is not one to install.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A lighthouse's underlay address is not `host:port`.
    #[error("endpoint {value:?}: {defect}")]
    Endpoint {
        /// What was given, cut to 300 characters.
        value: String,
        /// What is wrong with it.
        defect: EndpointDefect,
    },
    /// A lighthouse has no endpoint, or too many.
    #[error("a lighthouse has 1 to {most} endpoints")]
    EndpointCount {
        /// How many it may have.
        most: usize,
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
        field: CertificateField,
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
    /// A group that no firewall rule can name.
    #[error("group {group:?} can't be named in a firewall rule: {defect}")]
    Group {
        /// The group, with what is not UTF-8 replaced.
        group: String,
        /// What is wrong with it.
        defect: GroupDefect,
    },
    /// The tun device's name is not one that Linux takes.
    #[error(
        "tun device {device:?}: a name has 1 to 15 bytes, without '/', ':', '%' and white space, and is not reserved"
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
    /// The tun device's MTU is too small for an IPv6 address (RFC 8200, section 5).
    #[error("tun mtu {mtu}: must be at least 1280 bytes where there is IPv6")]
    Ipv6Mtu {
        /// What was given, in bytes.
        mtu: u32,
    },
    /// `nebula.yml` could not be written.
    #[error("nebula.yml cannot be written")]
    Yaml,
    /// A file is too large for the archive's format.
    #[error("a file is too large for the archive")]
    Archive,
    /// A received bundle lacks one of its files.
    #[error("the bundle lacks {file}")]
    MissingFile {
        /// The file's name.
        file: &'static str,
    },
    /// A received bundle holds a file that no bundle has.
    #[error("unknown file {name:?} in the bundle")]
    UnknownFile {
        /// The file's name, cut to 100 characters.
        name: String,
    },
    /// A file of a received bundle holds something that no bundle of this version has.
    #[error("{file}: {defect}")]
    File {
        /// The file's name.
        file: &'static str,
        /// What is wrong with it.
        defect: FileDefect,
    },
    /// A received certificate is not one that this node can use.
    #[error("{file}: {source}")]
    Certificate {
        /// The file's name.
        file: &'static str,
        /// What is wrong with it.
        source: nebula_pki::Error,
    },
    /// An archive from elsewhere is not one that holds a bundle.
    #[error("the archive {defect}")]
    Unpack {
        /// What is wrong with it.
        defect: ArchiveDefect,
    },
    /// A file with settings of the machine's own can't be merged with the bundle's.
    #[error("local file {file:?}: {defect}")]
    Local {
        /// The file's name, cut to 100 characters.
        file: String,
        /// What is wrong with it.
        defect: LocalDefect,
    },
    /// A bundle can't be installed so.
    #[error("{path}: {defect}")]
    Install {
        /// The path that it is about.
        path: PathBuf,
        /// What is wrong with it.
        defect: InstallDefect,
    },
    /// The system refused to read or write a path.
    #[error("can't {action} {path}: {kind}")]
    Disk {
        /// What was to be done.
        action: DiskAction,
        /// With what.
        path: PathBuf,
        /// The system's reason.
        kind: io::ErrorKind,
    },
}

impl Error {
    /// A stable identifier for the kind of error. New kinds get new identifiers.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Endpoint { .. } => "endpoint",
            Self::EndpointCount { .. } => "endpoint_count",
            Self::ForeignIssuer { .. } => "foreign_issuer",
            Self::NoCertificate => "no_certificate",
            Self::DoubledVersion { .. } => "doubled_version",
            Self::Differing { .. } => "differing_certificates",
            Self::Rendering { .. } => "unknown_rendering",
            Self::NoNetwork => "no_network",
            Self::Group { .. } => "group",
            Self::TunDevice { .. } => "tun_device",
            Self::TunMtu { .. } => "tun_mtu",
            Self::Ipv6Mtu { .. } => "ipv6_mtu",
            Self::Yaml => "yaml",
            Self::Archive => "archive",
            Self::MissingFile { .. } => "missing_file",
            Self::UnknownFile { .. } => "unknown_file",
            Self::File { .. } => "invalid_file",
            Self::Certificate { source, .. } => source.code(),
            Self::Unpack { .. } => "invalid_archive",
            Self::Local { .. } => "local_file",
            Self::Install { .. } => "install",
            Self::Disk { .. } => "disk",
        }
    }
}

/// What is wrong with an underlay address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EndpointDefect {
    /// There is no colon.
    #[error("must be host:port, as in 192.0.2.1:4242")]
    NoPort,
    /// What follows the last colon is not a port.
    #[error("the port must be a number from 1 to 65535")]
    Port,
    /// There is something else in brackets.
    #[error("the text in brackets is not an IPv6 address")]
    NotIpv6,
    /// The host has a colon, but no brackets.
    #[error("an IPv6 address must be in brackets, as in [2001:db8::1]:4242")]
    NoBrackets,
    /// An unspecified, multicast, broadcast, loopback or link-local address.
    #[error("the address must be one that other nodes can send to")]
    Unreachable,
    /// An address of the overlay itself.
    #[error("the address is inside the overlay, so packets to it would need the tunnel they make")]
    Overlay,
    /// The same endpoint twice.
    #[error("given more than once")]
    Repeated,
    /// An empty or too long name.
    #[error("the host must be an address or a DNS name of 1 to 253 bytes")]
    NameLength,
    /// A name that RFC 1123 does not allow.
    #[error("the host is neither an address nor a DNS name")]
    Name,
    /// A name whose last label is a number: some resolvers would read it as an IPv4 address.
    #[error("the host looks like an IPv4 address but is not one")]
    NumericName,
}

/// Why no firewall rule can name a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GroupDefect {
    /// Nebula takes `any` for every host.
    #[error("it would admit every host")]
    AdmitsAll,
    /// YAML holds UTF-8 alone.
    #[error("it is not UTF-8")]
    NotUtf8,
}

/// What the certificates of one node have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum CertificateField {
    /// The public key.
    PublicKey,
    /// Its curve.
    Curve,
    /// The node's name.
    Name,
    /// Its groups.
    Groups,
    /// The first network.
    FirstNetwork,
}

impl fmt::Display for CertificateField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::PublicKey => "public key",
            Self::Curve => "curve",
            Self::Name => "name",
            Self::Groups => "groups",
            Self::FirstNetwork => "first network",
        })
    }
}

/// What is wrong with a file of a received bundle.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FileDefect {
    /// It is too long.
    #[error("longer than {limit_kib} KiB")]
    TooLong {
        /// How long it may be, in KiB.
        limit_kib: usize,
    },
    /// The bundle has it more than once.
    #[error("more than once in the bundle")]
    Repeated,
    /// It is not as long as the archive says.
    #[error("not as long as the archive says, which is {declared} bytes")]
    Length {
        /// How long the archive says that it is, in bytes.
        declared: u64,
    },
    /// It is not text.
    #[error("not UTF-8")]
    NotUtf8,
    /// It holds a control character.
    #[error("control character {character:?}")]
    ControlCharacter {
        /// The first one.
        character: char,
    },
    /// It holds more CAs than a network trusts at once.
    #[error("{found} certificates, more than {limit}")]
    TooManyCas {
        /// How many there are.
        found: usize,
        /// How many there may be.
        limit: usize,
    },
    /// The certificate is for another device.
    #[error("its public key is not this device's")]
    OtherKey,
    /// It is not YAML, or holds a key that is never rendered.
    #[error("{message}")]
    Syntax {
        /// The parser's message, cut to 300 characters. It may quote the file, but holds no control
        /// characters.
        message: String,
    },
    /// The version that begins handshakes has no certificate.
    #[error("pki.initiating_version is {version}, but there is no certificate of that version")]
    InitiatingVersion {
        /// The version.
        version: u8,
    },
    /// A section is not as it is rendered here.
    #[error("section {section} is not as this version renders it; a newer version may know it")]
    Section {
        /// The section's name.
        section: &'static str,
    },
    /// An overlay address is the node's own, or in none of its networks.
    #[error("{key} names {address}, which is not another node in the certificate's networks")]
    Address {
        /// Where it is named.
        key: &'static str,
        /// The address.
        address: IpAddr,
    },
}

/// What is wrong with an archive.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ArchiveDefect {
    /// It is neither of the formats.
    #[error("is neither a zip nor a tar.gz")]
    Format,
    /// It is longer than any bundle, packed or unpacked.
    #[error("holds more than {limit_kib} KiB")]
    TooLong {
        /// How much it may hold, in KiB.
        limit_kib: usize,
    },
    /// It has more entries than a bundle has files.
    #[error("has more than {limit} entries")]
    TooMany {
        /// How many it may have.
        limit: usize,
    },
    /// It is cut off, damaged, or says different things in two places.
    #[error("is damaged")]
    Unreadable,
    /// An entry is a directory, a link, a device or the like.
    #[error("holds {name:?}, which is not a regular file")]
    NotAFile {
        /// The entry's name, cut to 100 characters.
        name: String,
    },
    /// An entry is compressed or encrypted.
    #[error("holds {name:?} compressed or encrypted; only stored entries are read")]
    NotStored {
        /// The entry's name, cut to 100 characters.
        name: String,
    },
}

/// What is wrong with a file of the machine's own settings.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LocalDefect {
    /// It is too long.
    #[error("longer than {limit_kib} KiB")]
    TooLong {
        /// How long it may be, in KiB.
        limit_kib: usize,
    },
    /// It is not YAML, or uses anchors.
    #[error("{message}")]
    Syntax {
        /// The parser's message, cut to 300 characters. It may quote the file, but holds no control
        /// characters.
        message: String,
    },
    /// It is YAML, but not a mapping of sections.
    #[error("not a mapping of sections")]
    NotSections,
    /// A section that is the bundle's alone, or needs a permission that was not given.
    #[error("section {section} can't be set here")]
    Section {
        /// The section's name, cut to 100 characters.
        section: String,
    },
    /// The name of the tun device is none that Linux takes.
    #[error("tun.dev: {device:?} is no name of a device")]
    Device {
        /// The name, cut to 100 characters.
        device: String,
    },
    /// The name of the tun device is not a text.
    #[error("tun.dev: must be a text, the name of a device")]
    DeviceNotText,
    /// A section that is a mapping is to be replaced by something else.
    #[error("section {section} must be a mapping")]
    NotAMapping {
        /// The section's name.
        section: String,
    },
}

/// Why a bundle can't be installed in a place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InstallDefect {
    /// The path is relative.
    #[error("not an absolute path")]
    NotAbsolute,
    /// No text file can name the path.
    #[error("not a path in UTF-8")]
    NotUtf8,
    /// The address to listen on is none.
    #[error("not an IP address to listen on")]
    NotAnAddress,
    /// What lies there is not what was installed.
    #[error("changed since it was installed")]
    Damaged,
}

/// What the system was asked to do with a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum DiskAction {
    /// Make a directory.
    CreateDirectory,
    /// Write a file.
    Write,
    /// Wait until it is on the disk.
    Sync,
    /// Give it its name.
    Rename,
    /// Make a symbolic link.
    Link,
    /// Read it.
    Read,
    /// Remove it.
    Remove,
}

impl fmt::Display for DiskAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::CreateDirectory => "create directory",
            Self::Write => "write",
            Self::Sync => "sync",
            Self::Rename => "rename",
            Self::Link => "link",
            Self::Read => "read",
            Self::Remove => "remove",
        })
    }
}
