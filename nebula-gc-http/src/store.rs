//! The control plane's tables: one file for each. Statements are written for both engines of
//! [`nebula_alloc::store`] and run in a transaction that the service opened.

pub(crate) mod blocklist;
pub(crate) mod ca;
pub(crate) mod certificate;
pub(crate) mod database;
pub(crate) mod deleted_network;
pub(crate) mod device_reservation;
pub(crate) mod duty;
pub(crate) mod event;
pub(crate) mod event_names;
pub(crate) mod former_key;
pub(crate) mod former_name;
pub(crate) mod history;
pub(crate) mod idempotency;
pub(crate) mod identity;
pub(crate) mod join_token;
pub(crate) mod lent;
pub(crate) mod network;
pub(crate) mod node;
pub(crate) mod operator_key;
pub(crate) mod pending;
pub(crate) mod pending_join;
pub(crate) mod report;
mod schema;
pub(crate) mod secret_check;
pub(crate) mod server_list;
pub(crate) mod tenant;
pub(crate) mod user;

use nebula_alloc::store::{Row, Transaction};

pub use schema::COMPONENT;

/// The only column of the first row, a number, if there is a row.
fn one_integer(rows: &[Row]) -> Result<Option<i64>, crate::Error> {
    Ok(rows.first().map(|row| row.columns().integer()).transpose()?)
}

/// The only column of the first row, an id, if there is a row.
fn one_id<T: From<[u8; 16]>>(rows: &[Row]) -> Result<Option<T>, crate::Error> {
    Ok(rows.first().map(|row| row.columns().array()).transpose()?.map(T::from))
}

/// The only column of all rows, ids.
fn ids<T: From<[u8; 16]>>(rows: &[Row]) -> Result<Vec<T>, crate::Error> {
    rows.iter().map(|row| Ok(row.columns().array()?.into())).collect()
}

/// How many rows are hashed or sealed under each of the server's keys: the rows of a query for key
/// ids and counts.
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

/// Prefixes are stored as text.
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
