//! Checks the whole database for inconsistencies: for operators, and for tests after crashes.
//!
//! [`nebula_alloc::verify`] checks that addresses tile their pools and that events explain leases;
//! this checks that nodes, leases, certificates and blocklists agree with each other.

mod history;
mod ledger;
mod nodes;
mod pending;
mod quarantine;
mod rows;

use std::fmt;

use nebula_alloc::store::Transaction;
use nebula_alloc::verify::Violation as Address;

use self::quarantine::History;
use self::rows::Rows;
use crate::Error;

/// A rule that always holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Rule {
    /// An address, a name, a key and a token have one holder at most.
    OneHolder,
    /// An address is kept until no certificate that names it is accepted any more.
    Quarantine,
    /// A step leaves all of its rows, or none.
    AllOrNothing,
    /// Every certificate is in the ledger as it was signed, and says what its node's rows say.
    Ledger,
    /// Who is released, suspended or revoked has no certificate that others accept.
    Blocked,
    /// A change moves the revision or the generation once.
    OneMove,
}

/// An inconsistency: rows that contradict each other, or a missing row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Which rule is broken.
    pub rule: Rule,
    /// What is wrong, for people.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.rule, self.what)
    }
}

/// All inconsistencies at `now` (seconds since the Unix epoch) in one snapshot of a database that
/// the [`Service`](crate::Service) has written. Rows older than a change of their network's
/// settings are judged by the settings that have applied since. It reads all rows into memory.
///
/// # Errors
/// The engine's, and a row that can't be read at all.
pub fn verify(tx: &mut dyn Transaction, now: i64) -> Result<Vec<Violation>, Error> {
    let mut found = Found::default();
    for violation in nebula_alloc::verify::verify(tx)? {
        let rule = match violation {
            // A lease and its event are stored together.
            Address::Unexplained { .. }
            | Address::ImpossibleEvent { .. }
            | Address::NamelessEvent { .. } => Rule::AllOrNothing,
            Address::WrongTimes { .. } | Address::HeldBack { .. } | Address::EndedEarly { .. } => {
                Rule::Quarantine
            }
            _ => Rule::OneHolder,
        };
        found.add(rule, violation);
    }
    for (query, what) in STRAYS {
        let strays = tx.query(query, &[])?.len();
        found.unless(strays == 0, Rule::AllOrNothing, || format!("{strays} {what}"));
    }
    let rows = Rows::read(tx)?;
    for network in rows.networks.values().filter(|network| rows.deleted.contains(&network.id)) {
        found.add(
            Rule::AllOrNothing,
            format!("the network {:?} was deleted and is there", network.name),
        );
    }
    let history = History::read(&rows);
    let certificates = ledger::check(&rows, &mut found);
    nodes::check(&rows, &mut found);
    nodes::check_keys(&rows, &certificates, &mut found);
    nodes::check_blocked(&rows, &certificates, now, &mut found);
    quarantine::check(&rows, &history, &certificates, now, &mut found);
    pending::check(&rows, &history, now, &mut found);
    // Deleted events can't be compared.
    if rows.forgotten_before.is_none() {
        history::check(&rows, now, &mut found);
    }
    Ok(found.0)
}

/// Queries for rows that refer to missing rows.
const STRAYS: [(&str, &str); 6] = [
    (
        "SELECT id FROM gc_network WHERE deleting_at IS NOT NULL \
         AND id NOT IN (SELECT id FROM gc_deleted_network)",
        "networks are being removed and were never deleted",
    ),
    (
        "SELECT id FROM gc_network WHERE tenant NOT IN (SELECT id FROM gc_tenant)",
        "networks have no tenant",
    ),
    (
        "SELECT id FROM gc_ca WHERE network NOT IN (SELECT id FROM gc_network)",
        "CAs have no network",
    ),
    (
        // `NULL NOT IN` an empty set is true, so NULL is excluded explicitly.
        "SELECT id FROM gc_operator_key \
         WHERE tenant IS NOT NULL AND tenant NOT IN (SELECT id FROM gc_tenant) \
         OR network IS NOT NULL AND network NOT IN (SELECT id FROM gc_network)",
        "operator keys have no tenant or network",
    ),
    (
        "SELECT id FROM gc_join_token WHERE network NOT IN (SELECT id FROM gc_network)",
        "join tokens have no network",
    ),
    (
        "SELECT fingerprint FROM gc_blocklist WHERE network NOT IN (SELECT id FROM gc_network)",
        "entries of blocklists have no network",
    ),
];

#[derive(Default)]
struct Found(Vec<Violation>);

impl Found {
    fn add(&mut self, rule: Rule, what: impl fmt::Display) {
        self.0.push(Violation { rule, what: what.to_string() });
    }

    fn unless(&mut self, holds: bool, rule: Rule, what: impl FnOnce() -> String) {
        if !holds {
            self.add(rule, what());
        }
    }
}
