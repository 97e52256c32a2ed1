//! Running a server: its data directory, its listener and TLS, its signals, and a clean stop.

mod addresses;
mod client_stream;
mod clock;
mod data;
mod file;
mod process;
mod secrets;
mod serve;
#[cfg(feature = "tls")]
mod tls;

use std::io;
use std::path::PathBuf;

pub use self::data::DataDirectory;
pub use self::process::{Signals, raise_file_limit};
pub use self::secrets::SecretsFile;
pub use self::serve::{Limits, Server, keep_up, serve};
#[cfg(feature = "tls")]
pub use self::tls::Tls;
use crate::Error;
pub use crate::dumps::forbid_dumps;

/// Why a server could not start or had to stop.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServerError {
    /// A file or directory could not be used.
    #[error("{}: {reason}", path.display())]
    Path {
        /// Which.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The database server can't be used.
    #[error("database: {0}")]
    Database(nebula_alloc::Error),
    /// This program was built without PostgreSQL.
    #[error("database: this program was built without PostgreSQL")]
    NoPostgres,
    /// The service could not start.
    #[error("{}", full_reason(.0))]
    Service(#[from] Error),
    /// The listener failed.
    #[error("serving: {0}")]
    Serve(io::Error),
}

/// The operator who starts a server sees the internal reason, which its clients do not.
fn full_reason(error: &Error) -> String {
    match error {
        Error::Unavailable(cause) => cause.to_string(),
        error => error.to_string(),
    }
}
