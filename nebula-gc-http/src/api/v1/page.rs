//! Lists in pages.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use utoipa::IntoParams;

use super::ask::checked;
use super::problem::Problem;
pub(in crate::api) use crate::wire::Page;
use crate::{Context, Service};

/// The default size of a page.
const DEFAULT: u16 = 100;
/// The maximum size of a page.
const MOST: u16 = 500;

/// The query of a list that has no filters.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub(in crate::api) struct Paging {
    /// Where to continue: `next` of the previous page.
    #[param(value_type = Option<String>)]
    pub(in crate::api) cursor: Option<Cursor>,
    /// How many items to return at most.
    #[serde(default)]
    #[param(value_type = Option<u16>, minimum = 1, maximum = 500, default = 100)]
    pub(in crate::api) limit: Limit,
}

/// How many items a page may have: 1 to 500.
#[derive(Debug, Clone, Copy)]
pub(in crate::api) struct Limit(u16);

impl Default for Limit {
    fn default() -> Self {
        Self(DEFAULT)
    }
}

impl<'de> Deserialize<'de> for Limit {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        let digits = text.bytes().all(|byte| byte.is_ascii_digit());
        let limit = text.parse().ok().filter(|limit| digits && (1..=MOST).contains(limit));
        limit
            .map(Self)
            .ok_or_else(|| D::Error::custom(format!("must be a number from 1 to {MOST}")))
    }
}

impl Limit {
    /// One more than fits on the page tells whether there is a next one.
    pub(in crate::api) fn and_one(self) -> i64 {
        i64::from(self.0) + 1
    }
}

/// The position where a page ended, opaque to clients.
#[derive(Debug, Clone)]
pub(in crate::api) struct Cursor(Vec<u8>);

impl<'de> Deserialize<'de> for Cursor {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        let bytes = URL_SAFE_NO_PAD.decode(text).ok().filter(|bytes| bytes.len() <= 256);
        bytes.map(Self).ok_or_else(|| D::Error::custom(FOREIGN))
    }
}

const FOREIGN: &str = "must be the next of a page of this list";

/// The item of the list named `list` after which the page begins.
pub(in crate::api) async fn after<const N: usize>(
    service: &Service,
    context: &Context,
    cursor: Option<Cursor>,
    list: &str,
) -> Result<Option<[u8; N]>, Problem> {
    let Some(Cursor(bytes)) = cursor else { return Ok(None) };
    let place = bytes.strip_prefix(list.as_bytes()).and_then(|rest| rest.strip_prefix(b"\0"));
    let place = place.and_then(|place| place.try_into().ok());
    let found = place.ok_or_else(|| Problem::invalid("cursor", FOREIGN));
    checked(service, context, found).await.map(Some)
}

impl<T> Page<T> {
    /// A page of what was read with [`Limit::and_one`]. `place` tells an item's place in `list`.
    pub(in crate::api) fn new<I: Into<T>>(
        read: Vec<I>,
        limit: Limit,
        list: &str,
        place: impl Fn(&I) -> Vec<u8>,
    ) -> Self {
        Self::cut_short(read, None, limit, list, place)
    }

    /// As [`new`](Self::new), for a search that may have ended early, at a position to continue
    /// from.
    pub(in crate::api) fn cut_short<I: Into<T>>(
        mut read: Vec<I>,
        go_on: Option<Vec<u8>>,
        limit: Limit,
        list: &str,
        place: impl Fn(&I) -> Vec<u8>,
    ) -> Self {
        let fits = usize::from(limit.0);
        let has_more = read.len() > fits;
        read.truncate(fits);
        let last = if has_more { read.last().map(place) } else { go_on };
        let next = last.map(|place| {
            URL_SAFE_NO_PAD.encode([list.as_bytes(), b"\0", place.as_slice()].concat())
        });
        Self { items: read.into_iter().map(Into::into).collect(), next }
    }
}
