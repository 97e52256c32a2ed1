//! Is PEM cut as the reference's reader cuts it, where blocks are broken? Verdicts are those of
//! `nebula-cert print` 1.11.0.

use nebula_pki::{Certificate, Error};

const BEGIN: &str = "-----BEGIN NEBULA CERTIFICATE-----\n";
const END: &str = "-----END NEBULA CERTIFICATE-----";

#[test]
fn a_block_of_headers_only_is_skipped() {
    let input = format!("{BEGIN}A: b\n{END}\n{}", good());
    assert_eq!(Certificate::from_pem(input.as_bytes()).unwrap().to_pem(), good());
}

#[test]
fn a_block_of_nothing_is_an_empty_certificate() {
    let input = format!("{BEGIN}{END}\n{}", good());
    let verdict = Certificate::from_pem(input.as_bytes());
    assert_eq!(verdict, Err(Error::Malformed { reason: "no bytes" }));
}

#[test]
fn headers_that_run_over_the_end_end_the_search() {
    let input = format!("{BEGIN}A: b\n{END}: c\nmore\n{}", good());
    assert_eq!(Certificate::from_pem(input.as_bytes()), Err(Error::NoPemBlock));
}

fn good() -> String {
    include_str!("vectors/bundles/one.pem").to_owned()
}
