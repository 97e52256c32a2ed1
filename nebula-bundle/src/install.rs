//! Installs a checked bundle on a machine.

#[cfg(unix)]
mod directory;
#[cfg(unix)]
mod disk;
mod files;
mod listen;

#[cfg(unix)]
pub use directory::{Installation, Installed};
pub use files::{InstallFiles, InstallOptions};
pub use listen::listen_host;
