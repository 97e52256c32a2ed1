//! Runs one Nebula as a child process: for the agent, and for lighthouses that a server runs itself.
//!
//! [`Nebula`] is the program, found and checked. [`Configuration`] is what it runs with, and
//! [`change_between`] two of them tells whether Nebula takes the new one over by a reload.

mod binary;
mod change;
mod command;
mod configuration;
mod release;

pub use self::{
    binary::{FindError, Nebula, TestError},
    change::{Change, RestartReason, change_between},
    configuration::{Configuration, ConfigurationError},
    release::{Release, ReleaseError},
};
