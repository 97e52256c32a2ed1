//! The command `nebula-cert`.

mod beyond;
mod cases;
mod passphrase;
mod pkcs11;
mod reference;
mod verdicts;
