//! The flag by which a secret is sent over plain HTTP to another machine.

use clap::{Arg, ArgAction};

/// Its name.
pub(crate) const ALLOW_PLAIN_HTTP: &str = "allow-plain-http";

/// The flag.
pub(crate) fn plain_http() -> Arg {
    Arg::new(ALLOW_PLAIN_HTTP).long(ALLOW_PLAIN_HTTP).action(ArgAction::SetTrue).help(
        "Send the secret over plain HTTP to another machine, though everyone on the way can read it",
    )
}
