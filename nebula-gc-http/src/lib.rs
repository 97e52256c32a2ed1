//! The control plane for Nebula overlay networks: a device sends its public key; in one durable
//! step it gets an address that nobody else has, a certificate signed here, and a bundle it can
//! start `nebula` with. Its private key never leaves it.
//!
//! ```
//! use nebula_gc_http::{AddPool, Caller, Change, DeviceId, NodeName, Origin, Registration};
//! use nebula_gc_http::{ServerSecrets, Service};
//! use nebula_pki::{Curve, SystemRandom};
//! use nebula_pki::key::AgreementKey;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let directory = tempfile::tempdir()?;
//! let store = nebula_alloc::Sqlite::open(directory.path().join("example.db"))?;
//! let clock = || 1_800_000_000; // seconds since the Unix epoch
//! let service = Service::start(store, ServerSecrets::generate()?, clock, |_root_key| Ok(()))?;
//!
//! let pool = AddPool { project: None, prefix: "10.1.0.0/16".parse()?, version: None };
//! let pool = AddPool { project: Some(nebula_gc_http::ProjectId::new("example")?), ..pool };
//! service.add_pool(Caller::Local, Origin::local(), pool).await?;
//!
//! let device = Registration {
//!     project: None, // there is only one
//!     device: DeviceId::new("laptop-7")?,
//!     name: NodeName::new("laptop")?,
//!     public_key: AgreementKey::generate(Curve::Curve25519, &mut SystemRandom)?.public_key(),
//!     groups: Change::Keep,
//!     lighthouse: Change::Keep,
//! };
//! let enrolled = service.register(Caller::Local, Origin::local(), device).await?;
//! assert_eq!(enrolled.networks, ["10.1.0.1/16".parse()?]);
//! # Ok(())
//! # }
//! ```
#![forbid(unsafe_code)]

#[cfg(feature = "server")]
pub mod api;
#[cfg(feature = "client")]
pub mod client;
mod error;
mod id;
mod names;
mod secret;
#[cfg(feature = "server")]
pub mod server;
mod service;
#[cfg(feature = "cli")]
pub mod settings;
mod signers;
mod store;
mod verify;

pub use error::Error;
pub use id::{CaId, CertificateId, JoinTokenId, NodeId, OperatorKeyId, TenantId};
pub use names::{DeviceId, Groups, Label, NodeName, ProjectId, StateReason};
pub use secret::{Bearer, ServerSecrets};
pub use service::{
    Action, AddPool, Addresses, Caller, Change, Created, Desired, Enrolled, Enrollment,
    EventFilter, Expected, Expiry, NetworkPatch, NetworkSettings, NewBlock, NewJoinToken,
    NewNetwork, NewOperatorKey, NodeBundle, NodeChange, NodeDetails, NodeStatus, NumberedEvent,
    Origin, OwnCertificate, OwnNode, PoolAdded, PoolUsage, Reach, Registration, Renewed, Repeat,
    Room, Rotated, Service, Settlement, Tag, Unapplied, Upkeep,
};
pub use service::{ActiveCa, CaSource, HostImport, ImportConflict, ImportReport, ImportedCa};
pub use signers::{OpenSigner, SignerCommand, Signers};
pub use store::COMPONENT;
pub use store::blocklist::Blocked;
pub use store::certificate::{CertificateState, LedgerEntry, Reason};
pub use store::database::Database;
pub use store::join_token::JoinToken;
pub use store::network::{Network, Revision, Versions};
pub use store::node::{NodeFilter, NodeRole, NodeState};
pub use store::operator_key::{KeptKey, OperatorKey, Role, Scope};
pub use store::tenant::Tenant;
pub use verify::{Rule, Violation, verify};
