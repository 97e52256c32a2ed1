//! A row of a result, and the cursor that reads its columns in order.

use std::net::IpAddr;

use super::value::Value;
use crate::{Error, address};

/// One row of a result. Columns are counted from 0.
///
/// # Errors
///
/// All of its methods answer [`Error::Column`] when the column is absent, null where that is not
/// asked for, or of another type.
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
        Columns { row: self, next: 0 }
    }

    /// The number in column `index`.
    #[allow(clippy::missing_errors_doc)]
    pub fn integer(&self, index: usize) -> Result<i64, Error> {
        self.optional_integer(index)?.ok_or_else(|| self.unexpected(index, "an integer"))
    }

    /// The text in column `index`.
    #[allow(clippy::missing_errors_doc)]
    pub fn text(&self, index: usize) -> Result<&str, Error> {
        self.optional_text(index)?.ok_or_else(|| self.unexpected(index, "a text"))
    }

    /// The bytes in column `index`.
    #[allow(clippy::missing_errors_doc)]
    pub fn blob(&self, index: usize) -> Result<&[u8], Error> {
        self.optional_blob(index)?.ok_or_else(|| self.unexpected(index, "a blob"))
    }

    /// The bytes in column `index`, of a fixed length: an id, a digest.
    #[allow(clippy::missing_errors_doc)]
    pub fn array<const N: usize>(&self, index: usize) -> Result<[u8; N], Error> {
        let bytes = self.blob(index)?;
        bytes.try_into().map_err(|_| Error::Column {
            index,
            expected: "a blob of fixed length",
            found: "a blob of another length",
        })
    }

    /// The address in column `index`.
    #[allow(clippy::missing_errors_doc)]
    pub fn address(&self, index: usize) -> Result<IpAddr, Error> {
        address::from_octets(self.blob(index)?).ok_or(Error::Column {
            index,
            expected: "an address of 4 or 16 bytes",
            found: "a blob of another length",
        })
    }

    /// The number in column `index`, if it is not null.
    #[allow(clippy::missing_errors_doc)]
    pub fn optional_integer(&self, index: usize) -> Result<Option<i64>, Error> {
        match self.0.get(index) {
            Some(Value::Integer(value)) => Ok(Some(*value)),
            Some(Value::Null) => Ok(None),
            _ => Err(self.unexpected(index, "an integer")),
        }
    }

    /// The text in column `index`, if it is not null.
    #[allow(clippy::missing_errors_doc)]
    pub fn optional_text(&self, index: usize) -> Result<Option<&str>, Error> {
        match self.0.get(index) {
            Some(Value::Text(value)) => Ok(Some(value)),
            Some(Value::Null) => Ok(None),
            _ => Err(self.unexpected(index, "a text")),
        }
    }

    /// The bytes in column `index`, if it is not null.
    #[allow(clippy::missing_errors_doc)]
    pub fn optional_blob(&self, index: usize) -> Result<Option<&[u8]>, Error> {
        match self.0.get(index) {
            Some(Value::Blob(value)) => Ok(Some(value)),
            Some(Value::Null) => Ok(None),
            _ => Err(self.unexpected(index, "a blob")),
        }
    }

    fn unexpected(&self, index: usize, expected: &'static str) -> Error {
        let found = match self.0.get(index) {
            None => "absent",
            Some(Value::Null) => "null",
            Some(Value::Integer(_)) => "an integer",
            Some(Value::Text(_)) => "a text",
            Some(Value::Blob(_)) => "a blob",
        };
        Error::Column { index, expected, found }
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
    row: &'a Row,
    next: usize,
}

#[allow(clippy::missing_errors_doc)] // one word on errors for all of them, above
impl<'a> Columns<'a> {
    /// The next column: a number.
    pub fn integer(&mut self) -> Result<i64, Error> {
        let index = self.advance();
        self.row.integer(index)
    }

    /// The next column: a text.
    pub fn text(&mut self) -> Result<&'a str, Error> {
        let index = self.advance();
        self.row.text(index)
    }

    /// The next column: bytes.
    pub fn blob(&mut self) -> Result<&'a [u8], Error> {
        let index = self.advance();
        self.row.blob(index)
    }

    /// The next column: bytes of a fixed length, such as an id or a digest.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        let index = self.advance();
        self.row.array(index)
    }

    /// The next column: an address.
    pub fn address(&mut self) -> Result<IpAddr, Error> {
        let index = self.advance();
        self.row.address(index)
    }

    /// The next column: a number or null.
    pub fn optional_integer(&mut self) -> Result<Option<i64>, Error> {
        let index = self.advance();
        self.row.optional_integer(index)
    }

    /// The next column: a text or null.
    pub fn optional_text(&mut self) -> Result<Option<&'a str>, Error> {
        let index = self.advance();
        self.row.optional_text(index)
    }

    /// The next column: bytes or null.
    pub fn optional_blob(&mut self) -> Result<Option<&'a [u8]>, Error> {
        let index = self.advance();
        self.row.optional_blob(index)
    }

    /// The next column: bytes of a fixed length or null.
    pub fn optional_array<const N: usize>(&mut self) -> Result<Option<[u8; N]>, Error> {
        let index = self.advance();
        self.row.optional_blob(index)?.map(|_| self.row.array(index)).transpose()
    }

    /// The next column: an address or null.
    pub fn optional_address(&mut self) -> Result<Option<IpAddr>, Error> {
        let index = self.advance();
        self.row.optional_blob(index)?.map(|_| self.row.address(index)).transpose()
    }

    /// Leaves out the next column, which this reader has no use for.
    pub fn skip(&mut self) {
        self.advance();
    }

    fn advance(&mut self) -> usize {
        let index = self.next;
        self.next += 1;
        index
    }
}
