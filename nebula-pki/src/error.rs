//! The errors of this crate.

mod code;
mod defects;

use std::io::ErrorKind;

use ipnet::IpNet;

pub use defects::{
    Argon2Field, CertificateDefect, EncryptedKeyDefect, KeyKind, NetworkList, PairDefect,
    PemContents, TokenKeyDefect, UriDefect,
};

use crate::{Curve, Fingerprint};

/// Why something was refused.
///
/// Variants carry the offending value, so that tests and callers match on them instead of on text.
/// None of them ever holds secret key material.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    // reading PEM
    /// The input holds no PEM block that can be decoded.
    #[error("no valid PEM block")]
    NoPemBlock,
    /// The input is text in UTF-16, as Windows PowerShell writes it with `>`, which no reader of PEM
    /// understands.
    #[error("UTF-16 text, where PEM has to be ASCII: save it as UTF-8")]
    Utf16,
    /// The PEM block is of another kind than asked for.
    #[error("wrong PEM banner: expected {expected}, found {found:?}")]
    WrongBanner {
        /// What would have been accepted.
        expected: PemContents,
        /// The banner found, cut to 64 characters.
        found: String,
    },

    // reading a certificate
    /// The bytes are not an encoded certificate of the version asked for.
    #[error("malformed certificate: {defect}")]
    Malformed {
        /// What is wrong with them.
        defect: CertificateDefect,
    },
    /// A certificate has an empty public key.
    #[error("certificate without a public key")]
    NoPublicKey,
    /// A host certificate has no network.
    #[error("host certificate without a network")]
    NoNetworks,
    /// A network's prefix length does not fit its address.
    #[error("invalid {field} entry: prefix length {prefix_len}")]
    InvalidPrefix {
        /// The list that it is in.
        field: NetworkList,
        /// The length as encoded.
        prefix_len: u8,
    },
    /// A version 1 certificate names an IPv6 network.
    #[error("version 1 certificates cannot hold IPv6 {field}: {network}")]
    Ipv6InV1 {
        /// The list that it is in.
        field: NetworkList,
        /// The network.
        network: IpNet,
    },
    /// A network has the address `0.0.0.0` or `::`.
    #[error("the zero address cannot be a network: {network}")]
    ZeroAddress {
        /// The network.
        network: IpNet,
    },
    /// A network is an IPv4 address written as IPv6 (`::ffff:0:0/96`).
    #[error("IPv4-mapped networks are not allowed: {network}")]
    MappedNetwork {
        /// The network.
        network: IpNet,
    },
    /// A version 2 certificate names one network twice.
    #[error("duplicate {field} entry: {network}")]
    DuplicateNetwork {
        /// The list that it is in.
        field: NetworkList,
        /// The network.
        network: IpNet,
    },
    /// A version 2 host certificate routes a family in which it has no address.
    #[error("unsafe network {network} needs a network of the same family")]
    UnsafeNetworkFamily {
        /// The unsafe network.
        network: IpNet,
    },

    /// A number is not a version of certificates.
    #[error("unknown certificate version {number}")]
    UnknownVersion {
        /// The number.
        number: u64,
    },
    /// A certificate from a handshake contains a public key, which belongs into the handshake.
    #[error("certificate of a handshake contains a public key")]
    UnexpectedPublicKey,

    /// Nodes do not take two certificates in one file.
    #[error("nodes refuse the two certificates in one file because of their {field}")]
    NotBeside {
        /// What keeps them apart.
        field: PairDefect,
    },

    // showing a certificate
    /// A time lies outside of the years 0 to 9999 in its zone, or the zone is a day or more from UTC.
    #[error("time {time} at offset {offset} s has no date of four digits")]
    UnprintableTime {
        /// The time in Unix seconds.
        time: i64,
        /// The zone's offset from UTC, in seconds east.
        offset: i32,
    },
    /// A text is too long for a QR code.
    #[error("{length} bytes are too long for a QR code")]
    QrCodeTooLong {
        /// Its length in bytes.
        length: usize,
    },

    // keys
    /// A key has another length than its kind and curve require.
    #[error("wrong length of {key}: expected {expected} bytes, found {found}")]
    KeyLength {
        /// Which key.
        key: KeyKind,
        /// Bytes required.
        expected: usize,
        /// Bytes found.
        found: usize,
    },
    /// A Curve25519 public key is one of the points of small order, so that the shared secret would
    /// be known to everybody.
    #[error("public key is a point of small order")]
    SmallOrderKey,
    /// A P256 public key is not an uncompressed point.
    #[error("public key is not an uncompressed point: first byte {first:#04x}")]
    PointFormat {
        /// The byte that should be 4.
        first: u8,
    },
    /// A P256 public key is not a point of the curve.
    #[error("public key is not a point of the curve P256")]
    PointNotOnCurve,
    /// A P256 private key is zero, or not below the order of the group.
    #[error("{key} is zero or not below the order of the group")]
    ScalarRange {
        /// Which key.
        key: KeyKind,
    },
    /// A private key does not belong to the certificate.
    #[error("private key is not the certificate's")]
    KeyMismatch,
    /// The public half stored in a signing key does not belong to its seed.
    #[error("public half of the signing key does not match its seed")]
    CorruptSigningKey,
    /// The private key is encrypted with a passphrase.
    #[error("private key is encrypted")]
    EncryptedKey,
    /// The operation is not available on this curve.
    #[error("unsupported curve {curve}")]
    UnsupportedCurve {
        /// The curve.
        curve: Curve,
    },
    /// The source of randomness failed.
    #[error("no randomness available: {reason}")]
    Randomness {
        /// What it reported.
        reason: String,
    },
    /// A signer could not sign. For implementations of [`Signer`](crate::Signer).
    #[error("signer failed: {reason}")]
    Signer {
        /// What it reported.
        reason: String,
    },

    // keys in PKCS#11 tokens
    /// A PKCS#11 URI cannot be used.
    #[error("PKCS#11 URI: {attribute}: {defect}")]
    Pkcs11Uri {
        /// The attribute, cut to 64 characters.
        attribute: String,
        /// What is wrong with it.
        defect: UriDefect,
    },
    /// The file that should hold a token's PIN cannot be read.
    #[error("cannot read the PIN from {path}: {kind}")]
    PinSource {
        /// The file.
        path: String,
        /// Why not.
        kind: ErrorKind,
    },
    /// The file that should hold a token's PIN is empty.
    #[error("cannot read the PIN from {path}: the file is empty")]
    EmptyPinSource {
        /// The file.
        path: String,
    },
    /// The token shows its private keys to those who log in, and the PKCS#11 URI has no PIN.
    #[error("the token asks for a PIN: the PKCS#11 URI needs pin-value or pin-source")]
    NoPin,
    /// A PKCS#11 module refused something.
    #[error("cannot {action}: {reason}")]
    Pkcs11 {
        /// What it was asked to do.
        action: &'static str,
        /// The name of the code it returned.
        reason: String,
    },
    /// Not exactly one token matches a PKCS#11 URI.
    #[error("{found} tokens match, not one")]
    TokenSelection {
        /// How many do.
        found: usize,
    },
    /// Not exactly one private key in the token matches a PKCS#11 URI; or, for a new key, there is
    /// one with its label already.
    #[error("{found} private keys match")]
    TokenKeySelection {
        /// How many do.
        found: usize,
    },
    /// The key in the token cannot sign certificates.
    #[error("unsuitable key in the token: {defect}")]
    TokenKey {
        /// What is wrong with it.
        defect: TokenKeyDefect,
    },

    // encrypted keys
    /// The contents of an encrypted key's PEM block are not what they should be.
    #[error("malformed encrypted key: {defect}")]
    MalformedEncryptedKey {
        /// What is wrong with them.
        defect: EncryptedKeyDefect,
    },
    /// Argon2 has no such parameter.
    #[error("Argon2 parameter {field} must be 1 to {max}, not {found}")]
    Argon2Range {
        /// Which parameter.
        field: Argon2Field,
        /// The largest possible.
        max: u32,
        /// What was asked for.
        found: u32,
    },
    /// A passphrase would cost more memory or time than is spent on one. The limits are constants of
    /// `key::Argon2Parameters`.
    #[error("Argon2 parameter {field} of {found} exceeds the limit of {limit}")]
    Argon2Limit {
        /// Which parameter, or the product of memory and iterations.
        field: Argon2Field,
        /// The limit.
        limit: u64,
        /// What was asked for.
        found: u64,
    },
    /// A key is encrypted with another algorithm than AES-256-GCM.
    #[error("unsupported encryption algorithm {found:?}")]
    UnsupportedCipher {
        /// Its name, cut to 64 characters.
        found: String,
    },
    /// An encrypted key uses another version of Argon2 than 1.3, which has the number 19.
    #[error("unsupported version {found} of Argon2")]
    Argon2Version {
        /// The version's number.
        found: i32,
    },
    /// An encrypted key's salt has fewer than 16 bytes.
    #[error("salt must have at least 16 bytes, not {found}")]
    SaltLength {
        /// Bytes found.
        found: usize,
    },
    /// An encrypted key's ciphertext has no more bytes than the nonce that it begins with.
    #[error("ciphertext must have more than 12 bytes, not {found}")]
    CiphertextLength {
        /// Bytes found.
        found: usize,
    },
    /// A key is not encrypted under the empty passphrase.
    #[error("empty passphrase")]
    EmptyPassphrase,
    /// The passphrase does not open the key, or the encrypted key was damaged.
    #[error("wrong passphrase, or damaged key")]
    WrongPassphrase,
    /// A key could not be encrypted or decrypted because the passphrase is longer than 4 GiB, the most
    /// that Argon2 takes.
    #[error("encryption failed: a passphrase has at most 4 GiB")]
    Encryption,
    /// There is not enough memory for Argon2.
    #[error("not enough memory: {kib} KiB are needed")]
    OutOfMemory {
        /// KiB asked for.
        kib: usize,
    },

    // issuing
    /// A name is empty or longer than [`MAX_NAME_LEN`](crate::MAX_NAME_LEN) bytes.
    #[error("name must have 1 to 253 bytes, not {found}")]
    NameLength {
        /// Bytes found.
        found: usize,
    },
    /// A group is the empty string.
    #[error("group {index} is empty")]
    EmptyGroup {
        /// Its position, from 0.
        index: usize,
    },
    /// A validity ends before it begins, or, for a CA, does not end after it begins.
    #[error("validity ends at {not_after}, which is too early for its beginning {not_before}")]
    InvalidValidity {
        /// First valid second.
        not_before: i64,
        /// Last valid second.
        not_after: i64,
    },
    /// A version 1 host certificate was asked for with more than one network; older nodes would
    /// use only the first.
    #[error("version 1 host certificates hold exactly one network, not {found}")]
    TooManyNetworks {
        /// Networks asked for.
        found: usize,
    },
    /// The certificate would be larger than readers accept.
    #[error("certificate of {size} bytes exceeds the limit of {limit}")]
    TooLarge {
        /// Its size.
        size: usize,
        /// What readers accept.
        limit: usize,
    },
    /// A key or a certificate is on another curve than the certificate it is to go with.
    #[error("curve {found} does not match {expected}")]
    CurveMismatch {
        /// The curve of the CA, of the certificate that a key is compared with, or of the node that
        /// a handshake is with.
        expected: Curve,
        /// The other one.
        found: Curve,
    },
    /// The signer holds another key than the CA certificate names.
    #[error("signer's key is not the CA certificate's")]
    SignerMismatch,

    // constraints of the CA, when issuing and when verifying
    /// The certificate would outlive its CA.
    #[error("certificate expires at {not_after}, after its CA at {ca_not_after}")]
    ExpiresAfterCa {
        /// The certificate's last valid second.
        not_after: i64,
        /// The CA's last valid second.
        ca_not_after: i64,
    },
    /// The certificate would be valid before its CA.
    #[error("certificate is valid from {not_before}, before its CA from {ca_not_before}")]
    ValidBeforeCa {
        /// The certificate's first valid second.
        not_before: i64,
        /// The CA's first valid second.
        ca_not_before: i64,
    },
    /// The CA is limited to certain groups, and this is not one of them.
    #[error("group {group:?} is not permitted by the CA")]
    GroupNotPermitted {
        /// The group; bytes that are not UTF-8 are replaced.
        group: String,
    },
    /// The CA is limited to certain networks, and this is in none of them.
    #[error("network {network} is not permitted by the CA")]
    NetworkNotPermitted {
        /// The network.
        network: IpNet,
    },
    /// The CA is limited to certain unsafe networks, and this is in none of them.
    #[error("unsafe network {network} is not permitted by the CA")]
    UnsafeNetworkNotPermitted {
        /// The unsafe network.
        network: IpNet,
    },

    // trusting
    /// A certificate offered as CA is not one.
    #[error("{name:?} is not a CA certificate")]
    NotCa {
        /// Its name.
        name: String,
    },
    /// A CA certificate is not signed by its own key.
    #[error("CA certificate {name:?} is not self-signed")]
    NotSelfSigned {
        /// Its name.
        name: String,
    },
    /// The certificate is on the blocklist.
    #[error("certificate {fingerprint} is blocked")]
    Blocked {
        /// Its fingerprint.
        fingerprint: Fingerprint,
    },
    /// The certificate names no issuer.
    #[error("certificate names no issuer")]
    NoIssuer,
    /// The certificate's issuer is not in the pool.
    #[error("unknown CA {issuer}")]
    UnknownCa {
        /// The issuer as the certificate names it, in hex.
        issuer: String,
    },
    /// The CA ended before the time asked about.
    #[error("CA {issuer} is expired: valid from {not_before} to {not_after}")]
    CaExpired {
        /// The CA's fingerprint.
        issuer: Fingerprint,
        /// First valid second.
        not_before: i64,
        /// Last valid second.
        not_after: i64,
    },
    /// The CA begins after the time asked about.
    #[error("CA {issuer} is not yet valid: valid from {not_before} to {not_after}")]
    CaNotYetValid {
        /// The CA's fingerprint.
        issuer: Fingerprint,
        /// First valid second.
        not_before: i64,
        /// Last valid second.
        not_after: i64,
    },
    /// The certificate ended before the time asked about.
    #[error("certificate is expired: valid from {not_before} to {not_after}")]
    Expired {
        /// First valid second.
        not_before: i64,
        /// Last valid second.
        not_after: i64,
    },
    /// The certificate begins after the time asked about: perhaps a clock is wrong.
    #[error("certificate is not yet valid: valid from {not_before} to {not_after}")]
    NotYetValid {
        /// First valid second.
        not_before: i64,
        /// Last valid second.
        not_after: i64,
    },
    /// The signature was not made by the key in question over these bytes.
    #[error("signature does not match")]
    SignatureMismatch,
    /// A CA certificate is used as a host's; only strict verification refuses it.
    #[error("{name:?} is a CA certificate, not a host's")]
    CaAsHost {
        /// Its name.
        name: String,
    },
    /// A P256 signature has the larger of the two values of s that verify; only strict verification
    /// refuses it.
    #[error("signature has a high s")]
    HighS,
    /// A string is not a fingerprint: 64 lower-case hexadecimal digits.
    #[error("not a fingerprint: expected 64 lower-case hexadecimal digits")]
    InvalidFingerprint,
}
