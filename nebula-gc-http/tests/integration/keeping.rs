//! Does an agent keep a node whatever happens to its machine, its server or its Nebula: with a clear
//! state, nothing lost, and nothing done again and again?

mod clock;
mod device;
mod disk;
mod nebula;
mod proxy;
mod server;
