//! Failures that a real database does not give on demand.
