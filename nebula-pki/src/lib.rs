//! Signs and verifies the certificates of [Nebula](https://github.com/slackhq/nebula) overlay
//! networks, byte-exact with the reference tool `nebula-cert` (releases 1.6 to 1.11).
//!
//! A [`Certificate`] is parsed, but not trusted. Only [`CaPool::verify`] turns it
//! into a [`VerifiedCertificate`], and only that one can be asked what it permits. An [`Issuer`]
//! pairs a CA certificate with the [`Signer`] that holds its key, and makes certificates of both
//! [`Version`]s.
//!
//! The crate reads no clock and no socket, and files only with the features `pkcs11` and `files`: time
//! (signed Unix seconds) and randomness ([`Random`]) are arguments. The [`guide`] has a section for
//! each task.
//!
//! ```
//! use nebula_pki::key::{AgreementKey, SigningKey};
//! use nebula_pki::{
//!     Blocklist, CaParameters, CaPool, Curve, HostParameters, Issuer, Validity, Version,
//! };
//! # use nebula_pki::{Error, Random};
//! # struct Counter(u8);
//! # impl Random for Counter {
//! #     fn fill(&mut self, bytes: &mut [u8]) -> Result<(), Error> {
//! #         bytes.iter_mut().for_each(|byte| { self.0 = self.0.wrapping_add(41); *byte = self.0 });
//! #         Ok(())
//! #     }
//! # }
//! # let mut random = Counter(7); // `SystemRandom` outside of examples
//! let now = 1_800_000_000;
//! let year = 365 * 86_400;
//!
//! // The authority: a CA certificate and its key.
//! let ca_validity = Validity { not_before: now, not_after: now + 10 * year };
//! let ca = CaParameters::new("Example CA", ca_validity);
//! let issuer = Issuer::self_signed(Version::V2, ca, SigningKey::generate(Curve::Curve25519, &mut random)?)?;
//!
//! // The device keeps its private key and sends the public one.
//! let device_key = AgreementKey::generate(Curve::Curve25519, &mut random)?;
//! let validity = Validity { not_before: now, not_after: now + year };
//! let networks = vec!["10.99.1.5/16".parse()?, "fd99::1:5/64".parse()?];
//! let host = HostParameters::new("laptop", networks, device_key.public_key(), validity)
//!     .groups(["staff"]);
//! let certificate = issuer.issue(Version::V2, &host)?.into_certificate();
//!
//! // Anybody who trusts the CA can verify it.
//! let mut pool = CaPool::new();
//! pool.add(issuer.certificate().clone())?;
//! let verified = pool.verify(&certificate, now + 60, &Blocklist::new())?;
//! assert_eq!(verified.details().name(), "laptop");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![forbid(unsafe_code)]

mod blocklist;
mod ca_pool;
mod certificate;
mod constraints;
mod curve;
mod der;
mod display;
mod error;
#[cfg(feature = "files")]
pub mod files;
mod fingerprint;
#[cfg(doc)]
pub mod guide;
mod issuer;
pub mod key;
mod parameters;
mod pem;
mod protobuf;
#[cfg(feature = "qr")]
mod qr;
mod random;
#[cfg(feature = "serde")]
mod serialization;
mod signature;
mod signer;
mod validity;
mod verification;

pub use blocklist::Blocklist;
pub use ca_pool::CaPool;
pub use certificate::{Certificate, Details, MAX_ENCODED_LEN, MAX_NAME_LEN, Version};
pub use curve::Curve;
pub use display::utc;
pub use error::{
    Argon2Field, CertificateDefect, EncryptedKeyDefect, Error, KeyKind, NetworkList, PairDefect,
    PemContents, TokenKeyDefect, UriDefect,
};
pub use fingerprint::Fingerprint;
pub use issuer::{Issuer, Prepared};
pub use parameters::{CaParameters, HostParameters};
pub use pem::PemKind;
#[cfg(feature = "qr")]
pub use qr::qr_png;
pub use random::Random;
#[cfg(feature = "system-random")]
pub use random::SystemRandom;
pub use signer::Signer;
#[cfg(feature = "pkcs11")]
pub use signer::pkcs11::{Pkcs11Signer, Pkcs11Uri};
pub use validity::Validity;
pub use verification::VerifiedCertificate;
