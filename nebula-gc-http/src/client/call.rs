//! What the typed calls have in common.

use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hyper::Method;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::error::AnswerFault;
use super::{Answer, Client, ClientError, Pages, Request};

/// A resource and its ETag, by which a change says which state of it is meant, and a read what is
/// known already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tagged<T> {
    /// The resource.
    pub value: T,
    /// Its ETag, quotes included.
    pub etag: String,
    /// What remains to be done, after a change of a network or of its nodes.
    pub remaining: Option<Remaining>,
}

/// How far the revision of a network has come, as the answer to a change tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Remaining {
    /// The network's revision now.
    pub revision: i64,
    /// How many active nodes report and have not reported it.
    pub unapplied: i64,
}

impl Remaining {
    /// What an answer tells of it, if anything.
    #[must_use]
    pub fn of(answer: &Answer) -> Option<Self> {
        let number = |name: &str| answer.header(name)?.parse().ok();
        Some(Self { revision: number("nebula-revision")?, unapplied: number("nebula-unapplied")? })
    }
}

impl<T> Deref for Tagged<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

/// A list, read page by page.
pub struct List<'a, T> {
    pages: Pages<'a>,
    of: PhantomData<fn() -> T>,
}

impl<T: DeserializeOwned> List<'_, T> {
    /// The items of the next page; nothing after the last. A page may be empty and yet be followed
    /// by others.
    ///
    /// # Errors
    /// As [`Client::send`]. Asking again asks for the same page.
    pub async fn next(&mut self) -> Result<Option<Vec<T>>, ClientError> {
        let before = self.pages.place();
        let Some((items, _, answer)) = self.pages.turn_over().await? else { return Ok(None) };
        let items = items.into_iter().map(serde_json::from_value::<T>);
        items.collect::<Result<_, _>>().map(Some).map_err(|error| {
            self.pages.go_back_to(before);
            let (line, column) = (error.line(), error.column());
            answer.unexpected(AnswerFault::Form { line, column, reason: error.to_string() })
        })
    }
}

impl<T> fmt::Debug for List<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("List").field(&self.pages).finish()
    }
}

/// The path of these segments.
pub(super) fn path(segments: &[&str]) -> String {
    segments.iter().flat_map(|segment| ["/".to_owned(), Request::segment(segment)]).collect()
}

impl Client {
    pub(super) async fn read<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        self.send(Request::get(path)).await?.read_as()
    }

    pub(super) async fn read_tagged<T: DeserializeOwned>(
        &self,
        path: &str,
    ) -> Result<Tagged<T>, ClientError> {
        tagged(&self.send(Request::get(path)).await?)
    }

    /// Creates something, with a key by which the server recognises a repeat.
    pub(super) async fn create<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, ClientError> {
        let request = Request::new(Method::POST, path).json(body)?;
        self.send(request.idempotency_key(&new_key()?)?).await?.read_as()
    }

    /// Changes something, if it has this ETag.
    pub(super) async fn change<T: DeserializeOwned>(
        &self,
        request: Request,
        if_match: Option<&str>,
    ) -> Result<Tagged<T>, ClientError> {
        tagged(&self.send(matching(request, if_match)?).await?)
    }

    pub(super) async fn delete(
        &self,
        path: &str,
        if_match: Option<&str>,
    ) -> Result<(), ClientError> {
        let request = matching(Request::new(Method::DELETE, path), if_match)?;
        self.send(request).await.map(drop)
    }

    pub(super) fn list<T>(&self, request: Request) -> List<'_, T> {
        // Pages of the API's maximum size.
        List { pages: self.pages(request.query("limit", "500")), of: PhantomData }
    }
}

pub(super) fn matching(request: Request, if_match: Option<&str>) -> Result<Request, ClientError> {
    match if_match {
        Some(etag) => request.if_match(etag),
        None => Ok(request),
    }
}

pub(super) fn tagged<T: DeserializeOwned>(answer: &Answer) -> Result<Tagged<T>, ClientError> {
    let (value, etag) = (answer.read_as()?, answer.text("etag")?);
    Ok(Tagged { value, etag, remaining: Remaining::of(answer) })
}

/// A new idempotency key, of 128 random bits.
fn new_key() -> Result<String, ClientError> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)
        .map_err(|_| ClientError::Randomness { what: "an idempotency key" })?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}
