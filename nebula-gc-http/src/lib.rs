//! The control plane for Nebula overlay networks: a device sends its public key; in one durable
//! step it gets an address that nobody else has, a certificate signed here, and a bundle it can
//! start `nebula` with. Its private key never leaves it.
//!
//! ```
//! use nebula_gc_http::{AddPool, Change, Context, DeviceId, NodeName, DeviceEnrollment};
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
//! let pool = AddPool { network: None, prefix: "10.1.0.0/16".parse()?, version: None };
//! let pool = AddPool { network: Some(nebula_gc_http::NetworkRef::new("example")?), ..pool };
//! service.add_pool(Context::local(), pool).await?;
//!
//! let device = DeviceEnrollment {
//!     network: None, // there is only one
//!     device: DeviceId::new("laptop-7")?,
//!     name: NodeName::new("laptop")?,
//!     public_key: AgreementKey::generate(Curve::Curve25519, &mut SystemRandom)?.public_key(),
//!     groups: Change::Keep,
//!     lighthouse: Change::Keep,
//! };
//! let enrolled = service.enroll_device(Context::local(), device).await?;
//! assert_eq!(enrolled.networks, ["10.1.0.1/16".parse()?]);
//! # Ok(())
//! # }
//! ```
#![forbid(unsafe_code)]

#[cfg(feature = "agent")]
pub mod agent;
#[cfg(feature = "server")]
pub mod api;
#[cfg(feature = "client")]
pub mod client;
#[cfg(any(feature = "agent", feature = "server"))]
mod dumps;
#[cfg(feature = "service")]
pub mod error;
#[cfg(feature = "service")]
mod id;
#[cfg(any(feature = "client", feature = "service"))]
mod key_fingerprint;
#[cfg(feature = "server")]
mod log_limit;
#[cfg(feature = "server")]
mod machine;
#[cfg(feature = "service")]
mod names;
#[cfg(feature = "service")]
mod node_addresses;
#[cfg(feature = "agent")]
pub mod process;
#[cfg(any(feature = "client", feature = "service"))]
pub mod receipt;
#[cfg(feature = "service")]
mod secret;
#[cfg(feature = "server")]
pub mod server;
#[cfg(any(feature = "client", feature = "service"))]
pub mod server_list;
#[cfg(feature = "service")]
mod service;
#[cfg(feature = "cli")]
pub mod settings;
#[cfg(feature = "service")]
mod signers;
#[cfg(feature = "service")]
mod store;
#[cfg(feature = "service")]
mod stored_words;
#[cfg(any(feature = "client", feature = "service"))]
mod text;
#[cfg(feature = "service")]
mod verify;
#[cfg(any(feature = "client", feature = "server"))]
pub mod wire;

#[cfg(any(feature = "agent", feature = "server"))]
pub use self::dumps::forbid_dumps;
#[cfg(any(feature = "client", feature = "service"))]
pub use self::key_fingerprint::KeyFingerprint;
#[cfg(any(feature = "client", feature = "service"))]
pub use self::text::shell_word;
#[cfg(feature = "service")]
pub use self::{
    error::Error,
    id::{CaId, CertificateId, JoinTokenId, NodeId, OperatorKeyId, PendingJoinId, TenantId},
    names::{
        DeviceId, Groups, Label, NetworkRef, NodeName, StateReason, UserName, check_name,
        is_same_name,
    },
    node_addresses::NodeAddresses,
    secret::{Bearer, ServerSecrets},
    service::{
        Action, AddPool, Addresses, BatchAction, BatchEntry, BatchOutcome, Change, Condition,
        Context, Created, Deleted, DeletedTenant, Deletion, Desired, Destination, DeviceEnrollment,
        Enrolled, Enrollment, EventPage, Expected, Expiry, LastReport, MovedNode, NetworkPatch,
        NetworkSettings, NewBlock, NewJoinToken, NewNetwork, NewOperatorKey, NodeBundle,
        NodeChange, NodeDetails, NodePage, NodeReport, NodeStatus, NumberedEvent, Options,
        OwnCertificate, OwnNode, Pace, PendingOutcome, PoolAdded, PoolUsage, Reach, Remaining,
        Renewed, Repeat, ReportDetails, ReservationDetails, ReservationRef, ReservedTo, Room,
        Rotated, Servers, Service, Tag, Unapplied, Upkeep,
    },
    service::{
        ActiveCa, BlockReport, CaDetails, CaFiles, CaSource, CaStanding, CaWarnings, HostImport,
        ImportConflict, ImportReport, NetworkCa,
    },
    service::{EndOutcome, EndedKey, EndedNode, EndedToken, UserEnd, UserEnded, check_prefixes},
    signers::{OpenSigner, SignerCommand, SignerTenant, Signers},
    store::COMPONENT,
    store::blocklist::Blocked,
    store::ca::CaState,
    store::certificate::{CertificateState, LedgerEntry, Reason},
    store::database::Database,
    store::event::EventFilter,
    store::join_token::JoinToken,
    store::network::{Network, Revision, Versions},
    store::node::{NodeFilter, NodeRole, NodeState},
    store::operator_key::{KeptKey, OperatorKey, Role, Scope},
    store::pending_join::{Asked, PendingJoin},
    store::report::ReceiptStanding,
    store::tenant::Tenant,
    stored_words::PendingState,
    verify::{Rule, Violation, verify},
};

/// The package's front page, so that it is tested.
#[cfg(all(doctest, feature = "server"))]
#[doc = include_str!("../README.md")]
mod front_page {}
