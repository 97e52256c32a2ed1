//! A server: its data directory, and serving until asked to stop.

mod addresses;
mod clock;
mod data;
mod dumps;
mod file;
mod limits;
mod own_answers;
mod secrets;
mod serve;
mod signals;
mod taken_in_time;
#[cfg(feature = "tls")]
mod tls;
mod upkeep;

use std::io;
use std::path::PathBuf;

pub use self::data::DataDirectory;
pub use self::dumps::forbid_dumps;
pub use self::limits::{Limits, raise_file_limit};
pub use self::secrets::SecretsFile;
pub use self::serve::{Server, serve};
pub use self::signals::Signals;
#[cfg(feature = "tls")]
pub use self::tls::Tls;
pub use self::upkeep::keep_up;
use crate::Error;

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
    Database(String),
    /// The service could not start.
    #[error("{}", told(.0))]
    Service(#[from] Error),
    /// The listener failed.
    #[error("serving: {0}")]
    Serve(io::Error),
}

/// Who starts a server is told what its clients are not.
fn told(error: &Error) -> String {
    match error {
        Error::Unavailable { internal } => internal.clone(),
        error => error.to_string(),
    }
}
