//! What a node needs to start `nebula`: its CAs, its certificate, its `nebula.yml` and a note for
//! the person who unpacks them, rendered from typed inputs and packed into a deterministic ZIP or
//! `tar.gz`.
//!
//! ```
//! use nebula_bundle::{Certificates, Network, Node, RENDERING, Renderer, Tun};
//! use nebula_pki::key::{AgreementKey, SigningKey};
//! use nebula_pki::{
//!     CaParameters, Curve, HostParameters, Issuer, SystemRandom, Validity, Version,
//! };
//!
//! let mut random = SystemRandom;
//! let validity = Validity { not_before: 1_800_000_000, not_after: 1_800_086_400 };
//! let ca = CaParameters::new("example", validity);
//! let ca_key = SigningKey::generate(Curve::Curve25519, &mut random)?;
//! let issuer = Issuer::self_signed(Version::V2, ca, ca_key)?;
//!
//! // The device keeps this key; the bundle only ever names the file it is in.
//! let key = AgreementKey::generate(Curve::Curve25519, &mut random)?;
//! let host = HostParameters::new("laptop", vec!["10.1.0.7/16".parse()?], key.public_key(), validity);
//! let certificate = issuer.issue(Version::V2, &host)?;
//!
//! let network = Network {
//!     rendering: RENDERING,
//!     cas: vec![issuer.certificate().clone()],
//!     lighthouses: vec![],
//!     relays: vec![],
//!     blocklist: Default::default(),
//!     tun: Tun::default(),
//!     initiating_version: Version::V1,
//! };
//! let bundle = Renderer::new(network)?.render(&Node::new(Certificates::new([certificate])?))?;
//! assert!(bundle.file("nebula.yml").is_some_and(|yaml| yaml.contains("key: 'node.key'")));
//! let (zip, tar_gz) = (bundle.to_zip()?, bundle.to_tar_gz()?);
//! assert!(zip.starts_with(b"PK") && tar_gz.starts_with(b"\x1f\x8b"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![forbid(unsafe_code)]

mod archive;
mod bundle;
mod certificates;
mod check;
pub mod config;
mod endpoint;
mod endpoints;
mod error;
mod inline;
mod inputs;
mod install;
mod local;
mod readme;
mod render;
mod unpack;
mod value;
mod yaml;

pub use bundle::{Bundle, Digest};
pub use certificates::Certificates;
pub use check::{CheckedBundle, check};
pub use config::Tun;
pub use endpoint::{Endpoint, Host};
pub use endpoints::Endpoints;
pub use error::{
    ArchiveDefect, CertificateField, DiskAction, EndpointDefect, Error, FileDefect, GroupDefect,
    InstallDefect, LocalDefect,
};
pub use inline::KEY_PLACE;
pub use inputs::{Lighthouse, Network, Node, RENDERING, Relay};
pub use install::{InstallFiles, InstallOptions, listen_host};
#[cfg(unix)]
pub use install::{Installation, Installed};
pub use local::{Allowed, LOCAL_LIMIT, LocalFile};
pub use render::Renderer;
pub use unpack::{ARCHIVE_LIMIT, Files, RECEIPT_LIMIT, unpack};

/// The package's front page, so that it is tested.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod front_page {}
