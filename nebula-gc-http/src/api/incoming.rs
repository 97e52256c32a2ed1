//! What both dialects read from a request: its credential, its query and its body.

use std::net::SocketAddr;
use std::time::Duration;

use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::request::Parts;
use axum::http::{Extensions, HeaderMap, header};
use http_body_util::BodyExt as _;
use zeroize::{Zeroize as _, Zeroizing};

use super::bodies::{Held, NoRoom};
use crate::error::{Fault, Field, Unauthorized};
use crate::service::context::Origin;
use crate::{Bearer, Context, Error};

/// The largest body, in bytes, unless the route allows more.
pub(super) const BODY_LIMIT: usize = 64 * 1024;
/// How long a client may take to send its body.
const BODY_TIME: Duration = Duration::from_secs(10);

/// A request's origin, as the outermost layer noted it.
pub(super) fn origin(extensions: &Extensions) -> Origin {
    extensions.get().copied().unwrap_or_else(Origin::local)
}

/// Who asks, by the header `Authorization: Bearer …`, and from where.
pub(super) fn context(parts: &Parts) -> Result<Context, Error> {
    Ok(Context::bearer(credential(&parts.headers)?).at(origin(&parts.extensions)))
}

fn credential(headers: &HeaderMap) -> Result<Bearer, Error> {
    let mut given = headers.get_all(header::AUTHORIZATION).iter();
    let header = given.next().ok_or(Unauthorized::Missing)?;
    if given.next().is_some() {
        // It is ambiguous which one was meant.
        return Err(Fault::Repeated.of(Field::Authorization));
    }
    let parts = header.to_str().ok().and_then(|text| text.split_once(' '));
    let (scheme, secret) = parts.ok_or(Unauthorized::Malformed)?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(Unauthorized::Scheme.into());
    }
    Bearer::from_client(secret.trim_matches(' ')).ok_or(Unauthorized::Unknown.into())
}

/// Whether a query is UTF-8, as written and decoded: a reader would put other characters in the place of
/// what is not.
pub(super) fn is_text(query: &str) -> bool {
    let hex = |digit: Option<u8>| digit.and_then(|digit| char::from(digit).to_digit(16));
    let mut decoded = Vec::with_capacity(query.len());
    let mut rest = query.bytes();
    while let Some(byte) = rest.next() {
        let mut behind = rest.clone();
        let byte = match (byte, hex(behind.next()), hex(behind.next())) {
            (b'%', Some(high), Some(low)) => {
                rest = behind;
                u8::try_from(high << 4 | low).unwrap_or(byte)
            }
            _ => byte,
        };
        decoded.push(byte);
    }
    std::str::from_utf8(&decoded).is_ok()
}

/// Why a body was not read.
pub(super) enum BodyError {
    /// It is not said to be JSON.
    ContentType,
    /// It is compressed.
    ContentEncoding,
    /// It has more bytes than this.
    TooLarge(usize),
    /// It did not arrive within this many seconds.
    Late(u64),
    /// It ended before it was complete.
    Cut,
    /// The source address has too many bytes in progress.
    Busy,
    /// All requests together have.
    Full,
}

impl BodyError {
    /// What to change.
    pub(super) fn detail(&self) -> String {
        match self {
            Self::ContentType => "must be sent with \"Content-Type: application/json\"".to_owned(),
            Self::ContentEncoding => {
                "must be sent uncompressed, without \"Content-Encoding\"".to_owned()
            }
            Self::TooLarge(limit) => format!("the body may have {limit} bytes at most"),
            Self::Late(seconds) => format!("did not arrive within {seconds} s"),
            Self::Cut => "ended before it was complete".to_owned(),
            Self::Busy => format!(
                "too many bodies are under way from this address; ask again in {BUSY_SECONDS} s"
            ),
            Self::Full => {
                "too many bodies are under way; nothing is lost by asking again".to_owned()
            }
        }
    }
}

/// When to retry after a lack of memory for bodies, in seconds.
pub(super) const BUSY_SECONDS: i64 = 1;

/// A body. It may contain secrets, so its bytes are wiped when dropped, and so are the buffers that
/// they arrived in, unless those are shared.
pub(super) struct Read {
    pub(super) bytes: Zeroizing<Vec<u8>>,
    /// Its share of the memory for bodies.
    pub(super) held: Held,
}

/// Reads a body of JSON, of at most `limit` bytes.
pub(super) async fn body(parts: &Parts, body: Body, limit: usize) -> Result<Read, BodyError> {
    let headers = &parts.headers;
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = text(header::CONTENT_TYPE).split(';').next().unwrap_or_default().trim();
    if !essence.eq_ignore_ascii_case("application/json") {
        return Err(BodyError::ContentType);
    }
    if !["", "identity"].contains(&text(header::CONTENT_ENCODING)) {
        return Err(BodyError::ContentEncoding);
    }
    let declared = text(header::CONTENT_LENGTH).parse::<usize>().ok();
    if declared.is_some_and(|length| length > limit) {
        return Err(BodyError::TooLarge(limit));
    }
    let from = parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|from| from.0.ip());
    let held = Held::none(parts.extensions.get().cloned(), from);
    match tokio::time::timeout(BODY_TIME, collect(body, limit, held)).await {
        Ok(read) => read,
        Err(_) => Err(BodyError::Late(BODY_TIME.as_secs())),
    }
}

async fn collect(mut body: Body, limit: usize, mut held: Held) -> Result<Read, BodyError> {
    let mut bytes = Zeroizing::new(Vec::new());
    while let Some(frame) = body.frame().await {
        // Trailers are ignored.
        let Ok(data) = frame.map_err(|_| BodyError::Cut)?.into_data() else { continue };
        if data.len() > limit - bytes.len() {
            return Err(BodyError::TooLarge(limit));
        }
        held.grow(data.len()).map_err(|full| match full {
            NoRoom::Share => BodyError::Busy,
            NoRoom::All => BodyError::Full,
        })?;
        if bytes.capacity() - bytes.len() < data.len() {
            // A buffer that grows would leave a copy behind.
            let room = (bytes.len() + data.len()).max(bytes.capacity() * 2).min(limit);
            let mut larger = Zeroizing::new(Vec::with_capacity(room));
            larger.extend_from_slice(&bytes);
            bytes = larger;
        }
        bytes.extend_from_slice(&data);
        if let Ok(mut data) = data.try_into_mut() {
            data.as_mut().zeroize();
        }
    }
    Ok(Read { bytes, held })
}

#[cfg(test)]
mod tests {
    use super::is_text;

    #[test]
    fn a_query_is_text_where_what_is_decoded_is() {
        for query in
            ["", "a=b", "a=%C3%A9", "a=%c3%a9&b=é", "a=%", "a=%F", "a=%2", "%25FF", "a=100%"]
        {
            assert!(is_text(query), "{query}");
        }
        for query in ["a=%FF", "%C3=1", "a=%C3%", "a=%c3b", "a=%ED%A0%80", "a=b&c=%80"] {
            assert!(!is_text(query), "{query}");
        }
    }
}
