//! What several of the tests need.

pub(crate) mod assemble;
#[cfg(unix)]
pub(crate) mod command;
pub(crate) mod deliberate;
#[cfg(all(feature = "graviola", debug_assertions))]
pub(crate) mod other_processor;
pub(crate) mod peer;
pub(crate) mod random;
pub(crate) mod recipe;
pub(crate) mod tool;
pub(crate) mod vector;
pub(crate) mod wording;
