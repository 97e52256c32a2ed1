//! The stable code of each error.

use super::Error;

impl Error {
    /// What went wrong, as a word that does not change: for logs and for programs.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::PoolExhausted { .. } => "pool_exhausted",
            Self::NoPool { .. } => "no_pool",
            Self::AddressTaken { .. } => "address_taken",
            Self::AddressQuarantined { .. } => "address_quarantined",
            Self::AddressOutsidePools { .. } => "address_outside_pools",
            Self::AddressReserved { .. } => "address_reserved",
            Self::AddressInAnotherPool { .. } => "address_in_another_pool",
            Self::OwnerHoldsElsewhere { .. } => "owner_holds_elsewhere",
            Self::NoLease { .. } => "no_lease",
            Self::LeaseEnded { .. } => "lease_ended",
            Self::NoSuchPool { .. } => "no_such_pool",
            Self::NoSuchReservation { .. } => "no_such_reservation",
            Self::LeasesStand { .. } => "leases_stand",
            Self::BlockStands { .. } => "block_stands",
            Self::OutsidePool { .. } => "outside_pool",
            Self::ReservationOverlaps { .. } => "reservation_overlaps",
            Self::PinnedAlready { .. } => "pinned_already",
            Self::WrongFamily { .. } => "wrong_family",
            Self::OwnerHasAnother { .. } => "owner_has_another",
            Self::Overlap { .. } => "overlap",
            Self::UnusableText { .. } => "unusable_text",
            Self::TooMany { .. } => "too_many",
            Self::RangeForOwner { .. } => "range_for_owner",
            Self::InvalidRange(_) => "invalid_range",
            Self::AnotherTime { .. } => "another_time",
            Self::ReservedKind { .. } => "reserved_kind",
            Self::Unique => "unique",
            Self::Contended(_) => "contended",
            Self::Overtaken { .. } => "overtaken",
            Self::Unavailable(_) => "unavailable",
            Self::OutcomeUnknown(_) => "outcome_unknown",
            Self::Database(_) => "database",
            Self::Aborted(_) => "aborted",
            Self::Column { .. } => "column",
            Self::Statement { .. } => "statement",
            Self::Inconsistent { .. } => "inconsistent",
            Self::QueueFull { .. } => "queue_full",
            Self::WaitsInside => "waits_inside",
            Self::Panicked { .. } => "panicked",
            Self::SecondWriter { .. } => "second_writer",
            Self::SchemaTooNew { .. } => "schema_too_new",
            Self::SchemaTooOld { .. } => "schema_too_old",
            Self::ForeignSchema { .. } => "foreign_schema",
            Self::MissingRight { .. } => "missing_right",
            Self::Setting { .. } => "setting",
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    /// The arms above are the codes: the compiler sees that each variant has one.
    #[test]
    fn each_variant_has_a_code_of_its_own() {
        let arms = include_str!("code.rs").lines().filter_map(|line| line.split_once(" => \""));
        let codes: Vec<_> = arms.filter(|(arm, _)| arm.contains("Self::")).collect();
        let distinct: HashSet<_> = codes.iter().map(|(_, code)| code).collect();
        assert!(codes.len() > 43, "{}", codes.len());
        assert_eq!(distinct.len(), codes.len());
    }
}
