//! What the tests share: the running server, devices, and the real Nebula.

pub mod api;
pub mod check;
pub mod client;
pub mod device;
pub mod flow;
pub mod machine;
pub mod mount;
pub mod native;
pub mod node;
pub mod past;
pub mod peers;
pub mod pings;
pub mod plane;
pub mod random;
pub mod server;
pub mod stream;
pub mod underlay;
pub mod unpack;
