//! The agent: keeps the nodes of a machine as their control planes want them (feature `agent`).
//!
//! Each network that the machine has joined has a directory of its own:
//!
//! | file | what |
//! |---|---|
//! | `node.key`, `node.token` | the node's two secrets, made here |
//! | `node.token.next`, `node.key.next` | those of a rotation or renewal that is under way |
//! | `node.json` | what joining settled: see [`Membership`] |
//! | `state.json` | what is known at the moment: see [`State`] |
//! | `lock` | held by whoever changes the directory |
//! | `bundles/DIGEST/` | `ca.crt`, `node.crt` and `nebula.yml` as they are installed |
//! | `current`, `previous` | links to the installed bundle, and to the one before |
//! | `local.d/*.yml` | the user's own files, merged behind the bundle |
//!
//! Nebula runs as `nebula -config DIR/current/nebula.yml`.

mod applied;
mod directory;
mod disk;
mod enrolment;
mod error;
mod exchange;
mod identity;
mod keeper;
mod leaving;
mod local_files;
mod machine;
mod membership;
mod node;
mod notify;
#[cfg(target_os = "linux")]
mod owner;
mod pace;
mod round;
mod servers;
mod state;
pub mod status;

pub use self::applied::Applied;
pub use self::directory::{DirectoryLock, Exposed, NodeDirectory};
pub use self::enrolment::{Joined, Joining, Place, join};
pub use self::error::{AgentError, FileFault};
pub use self::identity::Identity;
pub use self::keeper::KeepOptions;
pub use self::leaving::leave;
pub use self::machine::run;
pub use self::membership::{KnownServer, LocalChoices, Membership, directory_name};
pub use self::node::{Installing, Node, Offer};
#[cfg(target_os = "linux")]
pub use self::owner::become_owner_of;
pub use self::round::{RoundOptions, RoundOutcome};
pub use self::state::{Awaited, Contact, NebulaState, Problem, ProblemKind, State};
