//! How values are written in the texts of errors.

use std::fmt::Display;

use nebula_pki::Curve;

/// As RFC 3339 writes it.
pub(crate) fn time(at: i64) -> String {
    jiff::Timestamp::from_second(at).map_or_else(|_| at.to_string(), |time| time.to_string())
}

/// Its name, and what `nebula-cert keygen -curve` calls it.
pub(super) fn curve(curve: Curve) -> (&'static str, &'static str) {
    match curve {
        Curve::P256 => ("P256", "P256"),
        _ => ("Curve25519", "25519"),
    }
}

/// All of them in one sentence.
pub(super) fn joined<T: Display>(all: &[T]) -> String {
    all.iter().map(T::to_string).collect::<Vec<_>>().join(" and ")
}

/// The first few names.
pub(super) fn names(all: &[String], more: bool) -> String {
    const SHOWN: usize = 5;
    let shown = all.iter().take(SHOWN).map(|name| format!("{name:?}")).collect::<Vec<_>>();
    let is_cut = more || all.len() > SHOWN;
    shown.join(", ") + if is_cut { " and others" } else { "" }
}
