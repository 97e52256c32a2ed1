//! What the tests of `nebula-alloc` share with those of the control plane: a PostgreSQL server,
//! child processes, random choices and the simulated loss of power.

pub mod child;
pub mod encrypted;
pub mod postgres;
pub mod power_loss;
pub mod random;
