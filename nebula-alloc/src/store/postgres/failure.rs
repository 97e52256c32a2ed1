//! What the server or the driver reports, as variants.

use std::error::Error as _;
use std::io;

use tokio_postgres::error::Severity;

use super::channel::UnsafeMethod;
use crate::error::{Contention, EngineFault, Error, Outage};

/// SQLSTATE codes as variants;
/// <https://www.postgresql.org/docs/current/errcodes-appendix.html>.
pub(super) fn failure(error: &tokio_postgres::Error) -> Error {
    if let Some(UnsafeMethod { method }) =
        io_cause(error).and_then(|error| error.get_ref()?.downcast_ref())
    {
        return Error::Setting {
            name: "authentication",
            expected: "scram-sha-256, or sslmode=verify-full",
            found: (*method).into(),
        };
    }
    let Some(server) = error.as_db_error() else {
        let fault = EngineFault::uncoded(&with_causes(error));
        return match error.is_closed() || is_io(error) {
            true => Error::Unavailable(Outage::Engine(fault)),
            false => Error::Database(fault),
        };
    };
    let code = server.code().code();
    let message = format!("{} ({code})", server.message());
    let fault = EngineFault { code: Some(code.to_owned()), message };
    match code {
        "23505" => Error::Unique,
        // Serialisation, deadlock, a lock not had in time.
        "40001" | "40P01" | "55P03" => Error::Contended(Contention::Engine(fault)),
        // Cancelled from outside, idle for too long, a standby, damaged.
        "57014" | "25P03" | "25006" | "XX001" | "XX002" => {
            Error::Unavailable(Outage::Engine(fault))
        }
        // Connection, resources, operator intervention, the system below.
        _ if ["08", "53", "57P", "58"].iter().any(|class| code.starts_with(class)) => {
            Error::Unavailable(Outage::Engine(fault))
        }
        _ => Error::Database(fault),
    }
}

/// Whether the connection is over with this error.
pub(super) fn ends_session(error: &tokio_postgres::Error) -> bool {
    error.is_closed()
        || is_io(error)
        || error.as_db_error().is_some_and(|server| {
            matches!(server.parsed_severity(), Some(Severity::Fatal | Severity::Panic))
        })
}

/// The driver's own words leave out why.
fn with_causes(error: &tokio_postgres::Error) -> String {
    let mut reason = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let words = inner.to_string();
        if !reason.ends_with(&words) {
            reason = format!("{reason}: {words}");
        }
        cause = inner.source();
    }
    reason
}

fn is_io(error: &tokio_postgres::Error) -> bool {
    io_cause(error).is_some()
}

fn io_cause(error: &tokio_postgres::Error) -> Option<&io::Error> {
    let mut cause = error.source();
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref() {
            return Some(error);
        }
        cause = error.source();
    }
    None
}
