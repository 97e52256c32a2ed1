//! The JSON types of the native API, which the server and the client share: what the OpenAPI document
//! calls them, they are called here.
//!
//! In answers, fields that are not known are ignored: the server may be newer. In requests the server
//! refuses them. Times are seconds since the Unix epoch ([`Timestamp`]); ids are texts as the server
//! writes them; states and kinds are words, of which newer servers may know more.

mod batch;
mod ca;
mod enroll;
mod event;
mod join_token;
mod member;
mod network;
mod node;
mod operator_key;
mod page;
mod pending;
mod pool;
mod servers;
mod tenant;
mod user;
mod values;

pub use self::batch::{
    BatchAction, BatchFilter, BatchNode, BatchOutcome, NodesBatch, NodesBatchBody,
};
pub use self::ca::{ActiveCa, Ca, ImportBody, ImportConflict, ImportReport, NewCa, RetireBody};
pub use self::enroll::{Bundle, Enrolled, EnrollmentBody, Lighthouse};
pub use self::event::{Event, EventOrder};
pub use self::join_token::{JoinToken, NewJoinTokenBody};
pub use self::member::{
    Applied, BlockReport, Blocked, Certificate, MoveBody, MovedNode, NewBlockedBody, Node,
    NodeChangeBody, NodeReport, NodeRole, NodeState, ReasonBody, RotatedNode, Unapplied,
};
pub use self::network::{
    Curve, DeletedNetwork, InitiatingVersion, Network, NetworkPatchBody, NewNetworkBody, SigningCa,
    Versions,
};
pub use self::node::{Desired, NodeToken, OwnCertificate, OwnNode, Renewal, Renewed, Report};
pub use self::operator_key::{NewOperatorKeyBody, OperatorKey, Role, Scope, ScopeBody};
pub use self::page::Page;
pub use self::pending::{
    ApprovalBody, PendingDevice, PendingEnrollment, PendingState, RefusalBody,
};
pub use self::pool::{
    AddressUse, Addresses, Block, EndedQuarantine, NewBlockBody, NewPoolBody, NewReservationBody,
    Pool, PoolPatchBody, Reservation, ReservedFor, Usage,
};
pub use self::servers::{ServerBody, Servers, ServersBody};
pub use self::tenant::{DeletedTenant, RenameBody, Tenant, TenantBody, TenantPatchBody};
pub use self::user::{EndAction, EndUserBody, EndedItem, EndedUser, NetworkRevision};
#[cfg(feature = "server")]
pub(crate) use self::values::Id;
pub use self::values::{Count, Secret, Timestamp};
