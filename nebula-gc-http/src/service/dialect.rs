//! The requests of clients of the older register endpoint, in terms of the native ones.

pub(super) mod add_pool;
pub(super) mod register;
mod release;
