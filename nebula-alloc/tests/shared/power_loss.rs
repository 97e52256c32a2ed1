//! A simulated loss of power: calls are recorded under a child process, their log is cut, and what a
//! disk may have kept of it is looked at.

pub mod cuts;
pub mod disk;
pub mod library;
pub mod log;
pub mod pieces;
