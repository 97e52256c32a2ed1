//! A row of a result, and the cursor that reads its columns in order.

use std::net::IpAddr;

use super::value::Value;
use crate::{Error, address};

/// One row of a result, which is read through its [columns](Self::columns).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row(Vec<Value>);

impl Row {
    /// A row of these values; for engines.
    #[must_use]
    pub fn new(values: Vec<Value>) -> Self {
        Self(values)
    }

    /// Takes the last column off; for engines that put a column of their own behind a query's.
    #[cfg(feature = "postgres")]
    pub(super) fn pop(&mut self) -> Option<Value> {
        self.0.pop()
    }

    /// Its columns, to be taken one after the other.
    #[must_use]
    pub fn columns(&self) -> Columns<'_> {
        Columns { values: &self.0, taken: 0 }
    }
}

/// The columns of a row, taken one after the other in the order of the `SELECT`. Where a struct is
/// filled from it, the fields are read in the order in which they are written.
///
/// # Errors
///
/// All of its methods answer [`Error::Column`], with the column's number counted from 0, when the
/// column is absent, null where that is not asked for, or of another type.
#[derive(Debug)]
pub struct Columns<'a> {
    values: &'a [Value],
    /// How many were taken.
    taken: usize,
}

#[allow(clippy::missing_errors_doc)] // one word on errors for all of them, above
impl<'a> Columns<'a> {
    /// The next column: a number.
    pub fn integer(&mut self) -> Result<i64, Error> {
        self.optional_integer()?.ok_or_else(|| self.unexpected(INTEGER, "null"))
    }

    /// The next column: a text.
    pub fn text(&mut self) -> Result<&'a str, Error> {
        self.optional_text()?.ok_or_else(|| self.unexpected(TEXT, "null"))
    }

    /// The next column: bytes.
    pub fn blob(&mut self) -> Result<&'a [u8], Error> {
        self.optional_blob()?.ok_or_else(|| self.unexpected(BLOB, "null"))
    }

    /// The next column: bytes of a fixed length, such as an id or a digest.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        self.optional_array()?.ok_or_else(|| self.unexpected(BLOB, "null"))
    }

    /// The next column: an address.
    pub fn address(&mut self) -> Result<IpAddr, Error> {
        self.optional_address()?.ok_or_else(|| self.unexpected(BLOB, "null"))
    }

    /// The next column: a number or null.
    pub fn optional_integer(&mut self) -> Result<Option<i64>, Error> {
        match self.next() {
            Some(Value::Integer(number)) => Ok(Some(*number)),
            other => self.null(INTEGER, other),
        }
    }

    /// The next column: a text or null.
    pub fn optional_text(&mut self) -> Result<Option<&'a str>, Error> {
        match self.next() {
            Some(Value::Text(text)) => Ok(Some(text)),
            other => self.null(TEXT, other),
        }
    }

    /// The next column: bytes or null.
    pub fn optional_blob(&mut self) -> Result<Option<&'a [u8]>, Error> {
        match self.next() {
            Some(Value::Blob(bytes)) => Ok(Some(bytes)),
            other => self.null(BLOB, other),
        }
    }

    /// The next column: bytes of a fixed length or null.
    pub fn optional_array<const N: usize>(&mut self) -> Result<Option<[u8; N]>, Error> {
        let Some(bytes) = self.optional_blob()? else { return Ok(None) };
        let array = bytes.try_into().map_err(|_| self.unexpected("a blob of fixed length", LONG));
        array.map(Some)
    }

    /// The next column: an address or null.
    pub fn optional_address(&mut self) -> Result<Option<IpAddr>, Error> {
        let Some(bytes) = self.optional_blob()? else { return Ok(None) };
        let address = address::from_octets(bytes);
        address.map(Some).ok_or_else(|| self.unexpected("an address of 4 or 16 bytes", LONG))
    }

    /// Leaves out the next column, which this reader has no use for.
    pub fn skip(&mut self) {
        self.taken += 1;
    }

    fn next(&mut self) -> Option<&'a Value> {
        let value = self.values.get(self.taken);
        self.taken += 1;
        value
    }

    /// That the column just taken is null.
    fn null<T>(&self, expected: &'static str, value: Option<&Value>) -> Result<Option<T>, Error> {
        let found = match value {
            Some(Value::Null) => return Ok(None),
            Some(Value::Integer(_)) => INTEGER,
            Some(Value::Text(_)) => TEXT,
            Some(Value::Blob(_)) => BLOB,
            None => "absent",
        };
        Err(self.unexpected(expected, found))
    }

    /// The column just taken is not what it should be.
    fn unexpected(&self, expected: &'static str, found: &'static str) -> Error {
        Error::Column { index: self.taken.saturating_sub(1), expected, found }
    }
}

const INTEGER: &str = "an integer";
const TEXT: &str = "a text";
const BLOB: &str = "a blob";
const LONG: &str = "a blob of another length";
