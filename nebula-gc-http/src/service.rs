//! The operations of the control plane, independent of HTTP.

mod access;
pub(crate) mod asker;
mod audit;
mod authority;
mod blocklist;
mod bundles;
mod cas;
mod consistency;
pub(crate) mod context;
mod core;
mod dialect;
mod enroll;
mod events;
mod exclusive;
mod exclusive_step;
pub(crate) mod first_start;
mod heartbeat;
mod import;
mod issuance;
mod join_tokens;
mod look;
mod networks;
mod node_change;
mod nodes;
mod operator_keys;
mod pace;
mod pending;
mod pending_joins;
mod pools;
mod precondition;
mod principal;
mod receipts;
mod reserved_device;
mod revision;
mod revocation;
pub(crate) mod secrets;
mod self_service;
mod server_list;
mod shared;
mod tenants;
mod terms;
mod turns;
mod update;
pub(crate) mod upkeep;
mod users;
mod views;
mod waiting;
mod watch;

pub use self::blocklist::BlockReport;
pub use self::bundles::NodeBundle;
pub use self::cas::{ActiveCa, CaDetails, CaFiles, CaSource, CaStanding, CaWarnings, NetworkCa};
pub use self::context::Context;
pub use self::core::{Options, Service};
pub use self::dialect::NodeStatus;
pub use self::dialect::add_pool::{AddPool, PoolAdded};
pub use self::enroll::Enrolled;
pub use self::enroll::device::DeviceEnrollment;
pub use self::enroll::request::Enrollment;
pub use self::events::{EventPage, NumberedEvent};
pub use self::exclusive::{Created, Repeat};
pub use self::import::{HostImport, ImportConflict, ImportReport};
pub use self::join_tokens::{Expiry, NewJoinToken};
pub use self::networks::change::NetworkPatch;
pub use self::networks::create::NewNetwork;
pub use self::networks::delete::{Deleted, Deletion};
pub use self::networks::prefixes::check_prefixes;
pub use self::networks::settings::NetworkSettings;
pub use self::node_change::{Change, NodeChange};
pub use self::nodes::{
    BatchAction, BatchEntry, BatchOutcome, Condition, Destination, LastReport, MovedNode,
    NodeDetails, NodePage, Remaining, Rotated, Unapplied,
};
pub use self::operator_keys::{NewOperatorKey, Reach};
pub use self::pace::Pace;
pub use self::pending::PendingOutcome;
#[cfg(feature = "server")]
pub(crate) use self::pools::{AddressEntry, Held, QuarantineEnd, QuarantineEnded};
pub use self::pools::{
    Addresses, NewBlock, PoolUsage, ReservationDetails, ReservationRef, ReservedTo, Room,
};
pub use self::precondition::{Expected, Tag};
pub use self::principal::Action;
pub use self::self_service::renew::Renewed;
pub use self::self_service::report::{NodeReport, ReportDetails};
pub use self::self_service::{OwnCertificate, OwnNode};
pub use self::server_list::Servers;
pub use self::tenants::DeletedTenant;
pub use self::upkeep::Upkeep;
pub use self::users::{EndOutcome, EndedKey, EndedNode, EndedToken, UserEnd, UserEnded};
pub use self::views::Desired;
