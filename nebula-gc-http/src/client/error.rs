use std::fmt;
use std::time::Duration;

use serde::Deserialize;

use super::printable;

/// Why there is no answer, or none to use.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// The server's address or a path is not one.
    #[error("{text}: {fault}")]
    Address {
        /// What was given.
        text: String,
        /// What is wrong with it.
        fault: AddressFault,
    },
    /// The join link is not one. The link, which holds a secret, is not told.
    #[error("the join link: {0}")]
    Link(LinkFault),
    /// The bearer secret can't be sent.
    #[error("the key holds characters that no key has")]
    Key,
    /// A value can't be sent as a header.
    #[error("{value}: can't be sent as {name}")]
    Header {
        /// The header.
        name: String,
        /// The value.
        value: String,
    },
    /// There is no server to ask.
    #[error("the list of servers is empty")]
    NoServers,
    /// A body can't be written as JSON.
    #[error("{path}: the body can't be written: {reason}")]
    Body {
        /// The path of the request.
        path: String,
        /// Why.
        reason: String,
    },
    /// The system has no randomness for a secret.
    #[error("no randomness for {what}")]
    Randomness {
        /// What it is needed for.
        what: &'static str,
    },
    /// The secret would go over plain HTTP to another machine: nothing was asked.
    #[error(
        "{server} is plain HTTP: everyone on the way could read the secret; use https://, or allow it"
    )]
    PlainHttp {
        /// The server.
        server: String,
    },
    /// The server's public key is none of the pins: the pin is older than its key, or somebody else
    /// answers. Nothing was asked.
    #[error("{server}: the server has another key; ask for a new link")]
    OtherKey {
        /// The server.
        server: String,
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
    #[error("{server}: {problem}")]
    Refused {
        /// The server.
        server: String,
        /// What it says is wrong.
        problem: Box<Problem>,
    },
    /// The answer is none of this API: another server, or another version.
    #[error("the answer of {server} (status {status}) is not one of this API: {fault}")]
    Unexpected {
        /// The server.
        server: String,
        /// Its status.
        status: u16,
        /// What is wrong with it.
        fault: AnswerFault,
    },
    /// No server of several has answered.
    #[error("{}", one_after_the_other(failures))]
    AllFailed {
        /// Why, for each that was asked.
        failures: Vec<ClientError>,
    },
}

fn one_after_the_other(failures: &[ClientError]) -> String {
    failures.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

/// What is wrong with an address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AddressFault {
    /// It has another form.
    #[error("must be an address like https://host")]
    Form,
    /// Its port is none.
    #[error("must have a port from 1 to 65535, or none")]
    Port,
    /// A path has a segment that servers and proxies would take away.
    #[error("must have no segment that is empty, . or ..")]
    Segment,
    /// It has a user or a query.
    #[error("must have no user and no query")]
    UserOrQuery,
    /// No certificate can name its host.
    #[error("has a host that no certificate can name")]
    Host,
    /// It begins otherwise.
    #[error("must begin with https:// or http://")]
    Scheme,
    /// There is a pin, and no TLS.
    #[error("a pin needs https://: over plain HTTP the server has no key")]
    PinWithoutTls,
    /// It can't be asked for over HTTP.
    #[error("can't be asked for with {method}: {words}")]
    Request {
        /// The request's method.
        method: String,
        /// The words of the library that refused it.
        words: String,
    },
}

/// What is wrong with a join link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LinkFault {
    /// It has another form.
    #[error("must look like https://host/join#token=…")]
    Form,
    /// Its pin can't be read.
    #[error("its pin is damaged")]
    Pin,
    /// It holds no token.
    #[error("holds no token")]
    NoToken,
}

/// What is wrong with an answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AnswerFault {
    /// It is a refusal, but not in this API's words.
    #[error("it is a refusal, but not in this API's words")]
    Refusal,
    /// It is not JSON.
    #[error("not JSON: line {line}, column {column}")]
    NotJson {
        /// The line that can't be read, from 1.
        line: usize,
        /// The column.
        column: usize,
    },
    /// It is JSON, but not what this request is answered with.
    #[error("{reason}")]
    Form {
        /// The line that can't be read, from 1.
        line: usize,
        /// The column.
        column: usize,
        /// The words of the library that refused it.
        reason: String,
    },
    /// It is larger than an answer may be.
    #[error("larger than {limit} bytes")]
    TooLarge {
        /// How large it may be, in bytes.
        limit: usize,
    },
    /// A field or header is missing or has another form.
    #[error("{name}: missing, or of another form")]
    Field {
        /// Its name.
        name: &'static str,
    },
    /// A list without items.
    #[error("a list without items")]
    NoItems,
    /// A list whose next page is the same again.
    #[error("a list whose next page is the same again")]
    SamePage,
}

impl ClientError {
    /// Whether asking again may help without anything else being changed.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Broken { .. } => true,
            Self::Refused { problem, .. } => matches!(problem.status, 429 | 503),
            // What a proxy answers whose server is away.
            Self::Unexpected { status, .. } => (502..=504).contains(status),
            Self::AllFailed { failures } => failures.iter().any(Self::is_passing),
            _ => false,
        }
    }

    /// After what time to ask again, where a server has said so.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Refused { problem, .. } => problem.retry_after.map(Duration::from_secs),
            Self::AllFailed { failures } => failures.iter().filter_map(Self::retry_after).min(),
            _ => None,
        }
    }

    /// What the server says is wrong, if it has refused.
    #[must_use]
    pub fn problem(&self) -> Option<&Problem> {
        match self {
            Self::Refused { problem, .. } => Some(problem),
            _ => None,
        }
    }

    /// Whether the server may have got the request.
    pub(super) fn was_asked(&self) -> bool {
        matches!(
            self,
            Self::Broken { .. }
                | Self::Timeout { .. }
                | Self::Refused { .. }
                | Self::Unexpected { .. }
        )
    }

    /// Whether every other server would say the same: it is about the request, or it is the answer
    /// of the control plane, whose servers are equal.
    pub(super) fn is_of_the_request(&self) -> bool {
        match self {
            Self::Refused { problem, .. } => problem.status != 503,
            Self::Unreachable { .. }
            | Self::Broken { .. }
            | Self::Timeout { .. }
            | Self::OtherKey { .. }
            | Self::PlainHttp { .. }
            | Self::Unexpected { .. } => false,
            _ => true,
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
