use std::fmt;

use serde::Deserialize;

use super::printable;

/// Why there is no answer, or none to use.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// The server's address, a link or a path is not one.
    #[error("{text}: {reason}")]
    Address {
        /// What was given.
        text: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The bearer secret can't be sent.
    #[error("the key {reason}")]
    Key {
        /// What is wrong with it.
        reason: &'static str,
    },
    /// There is no connection: nothing was asked.
    #[error("can't reach {server}: {reason}")]
    Unreachable {
        /// The server.
        server: String,
        /// Why.
        reason: String,
    },
    /// The connection ended before the answer: what was asked may have been done.
    #[error("the connection to {server} broke: {reason}")]
    Broken {
        /// The server.
        server: String,
        /// How.
        reason: String,
    },
    /// The answer took too long: what was asked may have been done.
    #[error("{server} did not answer within {seconds} s")]
    Timeout {
        /// The server.
        server: String,
        /// How long it had.
        seconds: u64,
    },
    /// The server says no.
    #[error("{0}")]
    Refused(Box<Problem>),
    /// The answer is none of this API: another server, or another version.
    #[error("the answer (status {status}) is not one of this API: {reason}")]
    Unexpected {
        /// Its status.
        status: u16,
        /// What is wrong with it.
        reason: String,
    },
}

impl ClientError {
    /// Whether asking again may help without anything else being changed.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Broken { .. } => true,
            Self::Refused(problem) => problem.status == 503,
            _ => false,
        }
    }
}

/// A refusal, as the API words it (RFC 9457).
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Problem {
    /// The answer's status.
    pub status: u16,
    /// What is wrong, for programs.
    pub code: String,
    /// What is wrong with this request, for people.
    pub detail: String,
    /// The field or parameter that is meant.
    pub field: Option<String>,
    /// What the server's log calls the request.
    pub request_id: Option<String>,
    /// The addresses of leases that stand in the way.
    #[serde(default)]
    pub leases: Vec<String>,
    /// Seconds after which to ask again.
    #[serde(skip)]
    pub retry_after: Option<u64>,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(field) = &self.field
            && !self.detail.starts_with(field.as_str())
        {
            write!(f, "{}: ", printable(field))?;
        }
        write!(f, "{} ({})", printable(&self.detail), printable(&self.code))?;
        for lease in &self.leases {
            write!(f, "\n  {}", printable(lease))?;
        }
        Ok(())
    }
}
