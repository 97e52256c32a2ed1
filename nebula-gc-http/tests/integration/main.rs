//! What the control plane promises, as its users see it: one module for each question.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a failure here is a failed test"
)]
#![allow(unreachable_pub, reason = "they are for the modules here")]

#[path = "../../../nebula-alloc/tests/shared/mod.rs"]
#[allow(dead_code, reason = "nebula-alloc uses the rest")]
mod shared;
#[macro_use]
mod support;

mod admin;
mod approving;
mod architecture;
mod authorization;
mod bad_input;
mod choosing_addresses;
mod client;
mod command;
mod conditions;
mod crash;
mod declaring;
mod deleting;
mod dialect;
mod dialect_and_native;
mod dialect_words;
mod docs;
mod encrypted_database;
mod enroll;
mod event_names;
mod every_route;
mod frame;
mod growing;
mod importing;
mod imports_api;
mod join_page;
mod joining;
#[cfg(target_os = "linux")]
mod keeping;
mod letting_in;
mod lists;
mod many;
mod moving;
mod networks;
mod node_api;
mod nodes;
mod nodes_api;
mod one_look;
mod only_network;
mod openapi;
mod operators;
mod own_node;
mod packages;
mod pkcs11;
#[cfg(target_os = "linux")]
mod process;
mod quarantines;
mod receipts;
mod rehash;
mod remaining;
mod renaming;
mod servers;
mod serving;
mod settings;
mod shell;
mod signer_tenants;
mod signers;
mod tls;
mod updating;
mod upkeep;
mod users;
mod verifying;
mod version_1;
