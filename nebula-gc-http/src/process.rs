//! Runs one Nebula as a child process: for the agent, and for lighthouses that a server runs itself.
//!
//! [`Nebula`] is the program, found and checked. [`Configuration`] is what it runs with, and
//! [`change_between`] two of them tells whether Nebula takes the new one over by a reload. These two
//! are the same everywhere. A [`Supervisor`] starts, reloads, restarts and ends the process; it is for
//! Linux alone.

#[cfg(target_os = "linux")]
mod actor;
#[cfg(target_os = "linux")]
mod backoff;
mod binary;
mod change;
#[cfg(target_os = "linux")]
mod child;
mod command;
mod configuration;
#[cfg(target_os = "linux")]
mod leftover;
#[cfg(target_os = "linux")]
mod line;
#[cfg(target_os = "linux")]
mod output;
#[cfg(target_os = "linux")]
mod place;
#[cfg(target_os = "linux")]
mod preflight;
#[cfg(target_os = "linux")]
mod proc;
mod release;
#[cfg(target_os = "linux")]
mod state;
#[cfg(target_os = "linux")]
mod supervisor;
mod tunnels;

pub use self::{
    binary::{FindError, Nebula, TestError},
    change::{Change, RestartReason, change_between},
    configuration::{Configuration, ConfigurationError},
    release::{Release, ReleaseError},
};
#[cfg(target_os = "linux")]
pub use self::{
    place::{Place, Times},
    preflight::Obstacle,
    proc::Usage,
    state::{Applied, ApplyError, Ended, Failure, Restart, Running, State},
    supervisor::Supervisor,
};
