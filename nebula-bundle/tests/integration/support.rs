//! What several of the tests need.

pub mod cases;
pub mod inputs;
pub mod peers;
