//! The integration tests of this crate: one module for each question.
#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a failure here is a failed test"
)]

#[cfg(unix)]
mod command;
mod differential;
mod encrypted_keys;
mod handshake;
mod inventory;
mod issuing;
mod key_files;
mod keys;
mod laws;
mod pem;
mod pkcs11;
mod qr;
mod reference;
mod reissue;
mod resuming;
mod rule_order;
mod show;
mod support;
mod vectors;
mod verification;
