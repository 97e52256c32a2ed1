//! The stable code of each error.

use super::Error;

impl Error {
    /// A stable identifier for the kind of error, as `nebula-cert` has it in its errors as JSON. New
    /// kinds get new identifiers.
    ///
    /// ```
    /// use nebula_pki::{Certificate, Error};
    ///
    /// let refused = Certificate::from_pem(b"").unwrap_err();
    /// assert_eq!((refused.code(), refused), ("no_pem_block", Error::NoPemBlock));
    /// ```
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::NoPemBlock => "no_pem_block",
            Self::Utf16 => "utf_16",
            Self::WrongBanner { .. } => "wrong_banner",
            Self::Malformed { .. }
            | Self::NoPublicKey
            | Self::NoNetworks
            | Self::InvalidPrefix { .. }
            | Self::Ipv6InV1 { .. }
            | Self::ZeroAddress { .. }
            | Self::MappedNetwork { .. }
            | Self::DuplicateNetwork { .. }
            | Self::UnsafeNetworkFamily { .. }
            | Self::NameLength { .. }
            | Self::EmptyGroup { .. }
            | Self::InvalidValidity { .. }
            | Self::TooManyNetworks { .. }
            | Self::TooLarge { .. } => "invalid_certificate",
            Self::KeyLength { .. }
            | Self::SmallOrderKey
            | Self::PointFormat { .. }
            | Self::PointNotOnCurve
            | Self::ScalarRange { .. }
            | Self::CorruptSigningKey => "invalid_key",
            Self::EncryptedKey => "encrypted_key",
            Self::EmptyPassphrase => "empty_passphrase",
            Self::WrongPassphrase => "wrong_passphrase",
            Self::Encryption => "encryption",
            Self::MalformedEncryptedKey { .. }
            | Self::Argon2Range { .. }
            | Self::UnsupportedCipher { .. }
            | Self::Argon2Version { .. }
            | Self::SaltLength { .. }
            | Self::CiphertextLength { .. } => "invalid_encrypted_key",
            Self::Argon2Limit { .. } => "argon2_limit",
            Self::Randomness { .. } => "no_randomness",
            Self::Signer { .. } => "signer",
            Self::Pkcs11Uri { .. } => "pkcs11_uri",
            Self::NoPin => "no_pin",
            Self::PinSource { .. } | Self::EmptyPinSource { .. } => "pin_source",
            Self::Pkcs11 { .. } => "pkcs11",
            Self::TokenSelection { .. } => "token_selection",
            Self::TokenKeySelection { .. } => "token_key_selection",
            Self::TokenKey { .. } => "token_key",
            Self::OutOfMemory { .. } => "out_of_memory",
            Self::UnsupportedCurve { .. } => "unsupported_curve",
            Self::CurveMismatch { .. } => "curve_mismatch",
            Self::KeyMismatch | Self::SignerMismatch => "key_mismatch",
            Self::ExpiresAfterCa { .. } => "expires_after_ca",
            Self::ValidBeforeCa { .. } => "valid_before_ca",
            Self::GroupNotPermitted { .. } => "group_not_permitted",
            Self::NetworkNotPermitted { .. } => "network_not_permitted",
            Self::UnsafeNetworkNotPermitted { .. } => "unsafe_network_not_permitted",
            Self::NotCa { .. } => "not_ca",
            Self::NotSelfSigned { .. } => "not_self_signed",
            Self::Blocked { .. } => "blocked",
            Self::NoIssuer => "no_issuer",
            Self::UnknownCa { .. } => "unknown_ca",
            Self::CaExpired { .. } => "ca_expired",
            Self::CaNotYetValid { .. } => "ca_not_yet_valid",
            Self::Expired { .. } => "expired",
            Self::NotYetValid { .. } => "not_yet_valid",
            Self::SignatureMismatch => "signature_mismatch",
            Self::CaAsHost { .. } => "ca_as_host",
            Self::HighS => "high_s",
            Self::InvalidFingerprint => "invalid_fingerprint",
            Self::UnknownVersion { .. } => "unknown_version",
            Self::UnexpectedPublicKey => "unexpected_public_key",
            Self::NotBeside { .. } => "not_beside",
            Self::UnprintableTime { .. } => "unprintable_time",
            Self::QrCodeTooLong { .. } => "too_long_for_qr",
        }
    }
}
