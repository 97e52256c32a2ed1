//! `nebula-cert`: a drop-in for the reference tool of the same name, release 1.11.0, and more.
//!
//! Only this program reads the clock, files, the terminal and the environment; what a certificate
//! may say is decided by the library.

#![forbid(unsafe_code)]

mod authority;
mod blocklist;
mod ca;
mod certificates;
mod clock;
mod command;
mod completions;
mod encryption;
mod failure;
mod files;
mod flags;
mod inspect;
mod keygen;
mod manual;
mod modes;
mod networks;
mod passphrase;
mod print;
mod qr;
mod quote;
mod rekey;
mod renew;
mod sign;
mod terms;
mod usage;
mod verify;
mod wording;

use std::process::ExitCode;

fn main() -> ExitCode {
    let mut arguments = std::env::args_os();
    let program = arguments.next().unwrap_or_else(|| "nebula-cert".into());
    command::run(&program.to_string_lossy(), &arguments.collect::<Vec<_>>())
}
