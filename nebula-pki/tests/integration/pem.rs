//! Is PEM cut as the reference's reader cuts it, where blocks are broken? Verdicts are those of
//! `nebula-cert print` 1.11.0.

use nebula_pki::{Certificate, CertificateDefect, Curve, Error, PemKind, Version};

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
    assert_eq!(verdict, Err(Error::Malformed { defect: CertificateDefect::Empty }));
}

#[test]
fn headers_that_run_over_the_end_end_the_search() {
    let input = format!("{BEGIN}A: b\n{END}: c\nmore\n{}", good());
    assert_eq!(Certificate::from_pem(input.as_bytes()), Err(Error::NoPemBlock));
}

#[test]
fn what_is_in_a_file_is_told_by_its_banners() {
    let block = |banner: &str| format!("-----BEGIN {banner}-----\nAAAA\n-----END {banner}-----\n");
    let kinds = [
        ("NEBULA CERTIFICATE", PemKind::Certificate(Version::V1)),
        ("NEBULA CERTIFICATE V2", PemKind::Certificate(Version::V2)),
        ("NEBULA ED25519 PRIVATE KEY", PemKind::SigningKey(Curve::Curve25519)),
        ("NEBULA ECDSA P256 PRIVATE KEY", PemKind::SigningKey(Curve::P256)),
        ("NEBULA ED25519 ENCRYPTED PRIVATE KEY", PemKind::EncryptedSigningKey(Curve::Curve25519)),
        ("NEBULA ECDSA P256 ENCRYPTED PRIVATE KEY", PemKind::EncryptedSigningKey(Curve::P256)),
        ("NEBULA X25519 PRIVATE KEY", PemKind::AgreementKey(Curve::Curve25519)),
        ("NEBULA P256 PRIVATE KEY", PemKind::AgreementKey(Curve::P256)),
        ("NEBULA X25519 PUBLIC KEY", PemKind::PublicKey(Curve::Curve25519)),
        ("NEBULA P256 PUBLIC KEY", PemKind::PublicKey(Curve::P256)),
        ("RSA PRIVATE KEY", PemKind::Other("RSA PRIVATE KEY".to_owned())),
    ];
    let file: String = kinds.iter().map(|(banner, _)| block(banner) + "text\n").collect();
    let expected: Vec<_> = kinds.into_iter().map(|(_, kind)| kind).collect();
    assert_eq!(PemKind::all(file.as_bytes()), Ok(expected));

    assert_eq!(PemKind::all(b"no PEM"), Err(Error::NoPemBlock));
    let wide: Vec<u8> = file.encode_utf16().flat_map(u16::to_le_bytes).collect();
    assert_eq!(PemKind::all(&wide), Err(Error::Utf16));
}

fn good() -> String {
    include_str!("../vectors/bundles/one.pem").to_owned()
}
