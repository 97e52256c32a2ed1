//! What the control plane keeps: one file per table. Statements are written for both engines of
//! [`nebula_alloc::store`] and run inside a transaction that the service opened.

pub(crate) mod blocklist;
pub(crate) mod ca;
pub(crate) mod certificate;
pub(crate) mod database;
pub(crate) mod duty;
pub(crate) mod event;
pub(crate) mod former_key;
pub(crate) mod history;
pub(crate) mod idempotency;
pub(crate) mod join_token;
pub(crate) mod lent;
pub(crate) mod network;
pub(crate) mod node;
pub(crate) mod operator_key;
pub(crate) mod pending;
mod schema;
pub(crate) mod secret_check;
pub(crate) mod tenant;

use nebula_alloc::store::{Row, Transaction};

pub use schema::COMPONENT;

/// An enum that is stored as a word. The words are the same in the table's own CHECK.
macro_rules! stored_words {
    ($(#[$doc:meta])* $vis:vis enum $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $word:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        $vis enum $name { $($(#[$variant_doc])* $variant,)* }

        impl $name {
            /// The stored word.
            #[must_use]
            $vis fn word(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }

            #[allow(dead_code, reason = "some words are only ever written")]
            pub(crate) fn from_word(word: &str) -> Result<Self, crate::Error> {
                match word {
                    $($word => Ok(Self::$variant),)*
                    _ => Err(crate::error::Unavailable::UnknownWord {
                        kind: stringify!($name),
                        word: word.to_owned(),
                    }
                    .into()),
                }
            }
        }
    };
}
pub(crate) use stored_words;

/// The number that a query for one answers, where it answers a row.
fn one_integer(rows: &[Row]) -> Result<Option<i64>, crate::Error> {
    Ok(rows.first().map(|row| row.columns().integer()).transpose()?)
}

/// The id that a query for one answers, where it answers a row.
fn one_id<T: From<[u8; 16]>>(rows: &[Row]) -> Result<Option<T>, crate::Error> {
    Ok(rows.first().map(|row| row.columns().array()).transpose()?.map(T::from))
}

/// The ids that a query for them answers.
fn ids<T: From<[u8; 16]>>(rows: &[Row]) -> Result<Vec<T>, crate::Error> {
    rows.iter().map(|row| Ok(row.columns().array()?.into())).collect()
}

/// How many rows are protected by each of the server's keys: what a query for key ids, each with a
/// count, answers.
fn counts_by_key(tx: &mut dyn Transaction, sql: &str) -> Result<Vec<(i64, i64)>, crate::Error> {
    let rows = tx.query(sql, &[])?;
    rows.iter()
        .map(|row| {
            let mut columns = row.columns();
            Ok((columns.integer()?, columns.integer()?))
        })
        .collect()
}

pub(crate) fn version(number: i64) -> Result<nebula_pki::Version, crate::Error> {
    match number {
        1 => Ok(nebula_pki::Version::V1),
        2 => Ok(nebula_pki::Version::V2),
        _ => Err(damaged("certificate version")),
    }
}

/// A prefix is stored as the text an operator would write.
fn prefix(text: Option<&str>) -> Result<Option<ipnet::IpNet>, crate::Error> {
    text.map(|text| text.parse().map_err(|_| damaged("prefix"))).transpose()
}

/// Of what can't be written as JSON.
pub(crate) fn unwritable(error: serde_json::Error) -> crate::Error {
    crate::error::Unavailable::system("writing JSON", error).into()
}

pub(crate) fn damaged(what: &'static str) -> crate::Error {
    crate::error::Unavailable::Unreadable { what }.into()
}
