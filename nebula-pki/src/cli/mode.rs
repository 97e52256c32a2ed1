//! A mode of the program: what it is called, what it takes, and what runs it.

use crate::failure::Failures;
use crate::flags::{Flag, Values};

/// One of the program's modes.
pub(crate) struct Mode {
    pub(crate) name: &'static str,
    /// What stands for its arguments in usage texts.
    pub(crate) takes: &'static str,
    pub(crate) about: &'static str,
    /// What else the manual page says of it.
    pub(crate) details: &'static str,
    pub(crate) flags: &'static [Flag],
    /// What its argument may be, if it takes one.
    pub(crate) arguments: &'static [&'static str],
    pub(crate) run: fn(&Values) -> Result<(), Failures>,
}
