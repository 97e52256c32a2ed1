//! Does the pool answer as the reference does: when, in which order, and for whom?

use std::collections::HashSet;

use nebula_pki::Version::{V1, V2};
use nebula_pki::key::{AgreementKey, SigningKey};
use nebula_pki::{
    Blocklist, CaParameters, CaPool, Certificate, Curve, Error, Fingerprint, HostParameters,
    Issuer, Validity,
};

#[cfg(all(feature = "graviola", debug_assertions))]
use crate::support::other_processor;
use crate::support::random::Seeded;
use crate::support::vector;
use crate::support::vector::read;

const NOW: i64 = 1_800_000_000;

#[test]
fn both_ends_of_the_validity_are_inclusive() {
    let issuer = issuer(NOW, NOW + 1_000);
    let certificate = issue(&issuer, NOW + 10, NOW + 20);
    let pool = pool(&issuer);
    let verify = |at| pool.verify(&certificate, at, &Blocklist::new());
    let (not_before, not_after) = (NOW + 10, NOW + 20);
    let early = Error::NotYetValid { not_before, not_after };
    assert_eq!(verify(NOW + 9).unwrap_err(), early);
    verify(NOW + 10).unwrap();
    verify(NOW + 20).unwrap();
    let late = Error::Expired { not_before, not_after };
    assert_eq!(verify(NOW + 21).unwrap_err(), late);
    assert_eq!((early.code(), late.code()), ("not_yet_valid", "expired"));
    assert_eq!(certificate.check_validity(NOW + 9), Err(early));
    assert_eq!(certificate.check_validity(NOW + 21), Err(late));

    // So with the CA, before which nobody is asked.
    let (not_before, not_after) = (NOW, NOW + 1_000);
    let ca = issuer.certificate().fingerprint();
    let early = Error::CaNotYetValid { issuer: ca, not_before, not_after };
    let late = Error::CaExpired { issuer: ca, not_before, not_after };
    assert_eq!((early.code(), late.code()), ("ca_not_yet_valid", "ca_expired"));
    assert_eq!(verify(NOW - 1).unwrap_err(), early);
    assert_eq!(verify(NOW + 1_001).unwrap_err(), late);
}

/// As `nebula-cert verify` takes them for CAs. Found by generated certificates: aws-lc refuses what
/// is not canonical.
#[test]
fn a_ca_key_is_read_in_every_encoding_of_its_point() {
    // The neutral point with and without a sign, and with p added to y. Of it R = 1 and S = 0 sign
    // any message.
    let p_plus_1 = |last| [&[0xee][..], &[0xff; 30], &[last]].concat();
    let neutral = |last| [&[0x01][..], &[0; 30], &[last]].concat();
    for key in [neutral(0), neutral(0x80), p_plus_1(0x7f), p_plus_1(0xff)] {
        let details = [b"\x0a\x03odd\x3a\x20", &key[..], b"\x40\x01"].concat();
        let signature = [neutral(0), vec![0; 32]].concat();
        let bytes = [b"\x0a\x29", &details[..], b"\x12\x40", &signature].concat();
        let certificate = Certificate::from_bytes(V1, &bytes).unwrap();
        CaPool::new().add(certificate.clone()).unwrap();
        CaPool::from_pem(certificate.to_pem().as_bytes()).unwrap();
    }
}

#[test]
fn an_expired_ca_stays_and_verifies_nothing() {
    let issuer = issuer(NOW, NOW + 10);
    let certificate = issue(&issuer, NOW, NOW + 10);
    let pool = pool(&issuer);
    assert_eq!(pool.expired(NOW + 5).count(), 0);
    assert_eq!(pool.expired(NOW - 1).count(), 1);
    assert_eq!(pool.expired(NOW + 11).next(), Some(issuer.certificate()));
    let ca = issuer.certificate().fingerprint();
    let verdict = pool.verify(&certificate, NOW + 11, &Blocklist::new());
    let (not_before, not_after) = (NOW, NOW + 10);
    let expired = Error::CaExpired { issuer: ca, not_before, not_after };
    assert_eq!(verdict.unwrap_err(), expired);
}

#[test]
fn blocked_is_said_before_anything_else() {
    let issuer = issuer(NOW, NOW + 10);
    let certificate = issue(&issuer, NOW, NOW + 10);
    let fingerprint = certificate.fingerprint();
    let blocklist: Blocklist = [fingerprint].into_iter().collect();
    for pool in [pool(&issuer), CaPool::new()] {
        let verdict = pool.verify(&certificate, NOW + 99, &blocklist);
        assert_eq!(verdict.unwrap_err(), Error::Blocked { fingerprint });
    }
}

#[test]
fn the_other_form_is_looked_up_last_and_again_first() {
    let issuer = issuer_on(Curve::P256, NOW, NOW + 10);
    let certificate = issue(&issuer, NOW + 1, NOW + 10);
    let pool = pool(&issuer);
    let fingerprint = certificate.alternate_fingerprint().unwrap();
    let blocklist: Blocklist = [fingerprint].into_iter().collect();
    let verify = |at| pool.verify(&certificate, at, &blocklist).map(drop);
    let (not_before, not_after) = (NOW + 1, NOW + 10);
    assert_eq!(verify(NOW), Err(Error::NotYetValid { not_before, not_after }));
    assert_eq!(verify(NOW + 1), Err(Error::Blocked { fingerprint }));

    let verified = pool.verify(&certificate, NOW + 1, &Blocklist::new()).unwrap();
    for at in [NOW, NOW + 1] {
        assert_eq!(pool.reverify(&verified, at, &blocklist), Err(Error::Blocked { fingerprint }));
    }
}

#[test]
fn blocking_a_ca_does_not_block_its_certificates() {
    let issuer = issuer(NOW, NOW + 10);
    let certificate = issue(&issuer, NOW, NOW + 10);
    let mut blocklist = Blocklist::new();
    assert!(blocklist.insert(issuer.certificate().fingerprint()));
    assert!(!blocklist.insert(issuer.certificate().fingerprint()));
    pool(&issuer).verify(&certificate, NOW, &blocklist).unwrap();
}

#[test]
fn only_self_signed_cas_are_trusted() {
    let issuer = issuer(NOW, NOW + 10);
    let mut pool = CaPool::new();
    let name = "host".to_owned();
    assert_eq!(pool.add(issue(&issuer, NOW, NOW)), Err(Error::NotCa { name }));
    assert_eq!(pool.certificates().len(), 0);
}

#[test]
fn a_verified_certificate_says_who_vouches_for_it() {
    let issuer = issuer(NOW, NOW + 10);
    let certificate = issue(&issuer, NOW, NOW + 10);
    let verified = pool(&issuer).verify(&certificate, NOW, &Blocklist::new()).unwrap();
    assert_eq!(verified.details().name(), "host");
    assert_eq!(verified.issuer(), issuer.certificate().fingerprint());
    assert_eq!(verified.certificate(), &certificate);
}

#[test]
fn a_ca_is_found_by_its_fingerprint() {
    let issuer = issuer(NOW, NOW + 10);
    let certificate = issuer.certificate();
    let pool = pool(&issuer);
    assert_eq!(pool.get(&certificate.fingerprint()), Some(certificate));
    assert_eq!(CaPool::new().get(&certificate.fingerprint()), None);
}

#[test]
fn an_unknown_ca_is_named() {
    let issuer = issuer(NOW, NOW + 10);
    let certificate = issue(&issuer, NOW, NOW + 10);
    let verdict = CaPool::new().verify(&certificate, NOW, &Blocklist::new());
    let issuer = issuer.certificate().fingerprint().to_string();
    assert_eq!(verdict.unwrap_err(), Error::UnknownCa { issuer });
}

#[test]
fn trust_is_asked_for_again_without_the_signature() {
    for curve in [Curve::Curve25519, Curve::P256] {
        let issuer = issuer_on(curve, NOW, NOW + 1_000);
        let certificate = issue(&issuer, NOW + 10, NOW + 20);
        let pool = pool(&issuer);
        let verified = pool.verify(&certificate, NOW + 10, &Blocklist::new()).unwrap();
        let ask = |pool: &CaPool, at| pool.reverify(&verified, at, &Blocklist::new());
        ask(&pool, NOW + 20).unwrap();
        let (not_before, not_after) = (NOW + 10, NOW + 20);
        assert_eq!(ask(&pool, NOW + 21), Err(Error::Expired { not_before, not_after }));
        let ca = issuer.certificate().fingerprint();
        let (not_before, not_after) = (NOW, NOW + 1_000);
        let expired = Err(Error::CaExpired { issuer: ca, not_before, not_after });
        assert_eq!(ask(&pool, NOW + 1_001), expired);
        let issuer = ca.to_string();
        assert_eq!(ask(&CaPool::new(), NOW + 10), Err(Error::UnknownCa { issuer }));

        let fingerprint = certificate.fingerprint();
        let blocklist = [fingerprint].into_iter().collect();
        let blocked = Err(Error::Blocked { fingerprint });
        assert_eq!(pool.reverify(&verified, NOW + 10, &blocklist), blocked);
    }
}

#[test]
fn a_ca_certificate_is_a_host_s_unless_asked_strictly() {
    // Signed by another CA, as no tool does; the recorded cases hold one.
    let case = vector::cases("crafted-v2/25519.json")
        .into_iter()
        .find(|case| vector::text(case, "id") == "v2-25519-isca-ff")
        .unwrap();
    let bytes = vector::base64(vector::text(&case, "der_b64"));
    let certificate = Certificate::from_bytes(V2, &bytes).unwrap();
    assert!(certificate.unverified_details().is_ca());
    let pool = CaPool::from_pem(&read("v2-25519/ca-plain.crt")).unwrap();
    let at = vector::recorded_at();
    pool.verify(&certificate, at, &Blocklist::new()).unwrap();
    let name = certificate.unverified_details().name().into_owned();
    let verdict = pool.verify_strict(&certificate, at, &Blocklist::new());
    assert_eq!(verdict, Err(Error::CaAsHost { name }));
}

#[test]
fn the_first_bad_ca_of_a_bundle_is_reported() {
    let good = String::from_utf8(read("v2-25519/ca-plain.crt")).unwrap();
    let bad = String::from_utf8(read("bundles/badself.pem")).unwrap();
    let p256 = String::from_utf8(read("v1-p256/ca-plain.crt")).unwrap();
    assert_eq!(
        CaPool::from_pem(format!("{good}{p256}").as_bytes()).unwrap().certificates().len(),
        2
    );
    for bundle in
        [format!("{good}{bad}{good}"), format!("{good}{bad}{p256}"), format!("{bad}not a block")]
    {
        let verdict = CaPool::from_pem(bundle.as_bytes());
        assert!(matches!(verdict, Err(Error::NotSelfSigned { .. })), "{verdict:?}");
    }
    let verdict = CaPool::from_pem(format!("{good}not a block").as_bytes());
    assert_eq!(verdict.unwrap_err(), Error::NoPemBlock);
}

#[test]
fn a_ca_file_cut_short_is_refused() {
    let file = read("bundles/three.pem");
    let last = file.windows(10).rposition(|window| window == b"-----BEGIN").unwrap();
    assert_eq!(CaPool::from_pem(&file[..last]).unwrap().certificates().len(), 2);
    for end in last + 1..file.len() - 5 {
        assert_eq!(CaPool::from_pem(&file[..end]).unwrap_err(), Error::NoPemBlock, "at {end}");
    }
}

#[test]
fn a_step_of_the_pool_reader_has_64_kib() {
    let ca = read("bundles/one.pem");
    let with_text =
        |len: usize, ca: &[u8]| CaPool::from_pem(&[&vec![b'x'; len - ca.len()], ca].concat());
    with_text(65_536, &ca).unwrap();
    assert_eq!(with_text(65_537, &ca).unwrap_err(), Error::NoPemBlock);
    // Without a last newline the end of the file has to fit too.
    with_text(65_535, ca.trim_ascii_end()).unwrap();
    assert_eq!(with_text(65_536, ca.trim_ascii_end()).unwrap_err(), Error::NoPemBlock);
}

#[test]
fn cas_and_blocked_certificates_come_and_go() {
    let [one, other] = [issuer(NOW, NOW + 10), issuer_on(Curve::P256, NOW, NOW + 10)];
    let certificate = issue(&other, NOW, NOW + 10);
    let mut trusted = pool(&one);
    let mut blocklist = Blocklist::new();
    let unknown = Err(Error::UnknownCa { issuer: other.certificate().fingerprint().to_string() });
    assert_eq!(trusted.verify(&certificate, NOW, &blocklist).map(drop), unknown);
    trusted.extend(pool(&other));
    let verified = trusted.verify(&certificate, NOW, &blocklist).unwrap();
    assert_ne!(trusted, pool(&one));

    let fingerprint = certificate.fingerprint();
    assert!(blocklist.insert(fingerprint) && !blocklist.is_empty());
    assert!(blocklist.remove(&fingerprint) && !blocklist.remove(&fingerprint));
    trusted.reverify(&verified, NOW, &blocklist).unwrap();

    let ca = other.certificate().fingerprint();
    assert_eq!(trusted.remove(&ca).as_ref(), Some(other.certificate()));
    assert_eq!(trusted.remove(&ca), None);
    assert_eq!(trusted.reverify(&verified, NOW, &blocklist), unknown);
    assert_eq!(trusted, pool(&one));
}

#[test]
#[allow(clippy::mutable_key_type, reason = "what changes in it is computed once, and hashed")]
fn equal_certificates_are_one_in_a_set() {
    let issuer = issuer(NOW, NOW + 10);
    let certificate = issue(&issuer, NOW, NOW + 10);
    let again = Certificate::from_pem(certificate.to_pem().as_bytes()).unwrap();
    let other = issue(&issuer, NOW, NOW + 9);
    let set: HashSet<_> = [certificate, again, other].into_iter().collect();
    assert_eq!(set.len(), 2);
    let details: HashSet<_> = set.iter().map(Certificate::unverified_details).collect();
    assert_eq!(details.len(), 2);
}

#[test]
fn fingerprints_are_lower_case_hex() {
    let text = "fddcc38b418b3ab5362a4c3d7fd4c8f6c2160f64be9aa725fdd045e0d385707e";
    let fingerprint: Fingerprint = text.parse().unwrap();
    assert_eq!(fingerprint.to_string(), text);
    assert_eq!(fingerprint.as_bytes()[..2], [0xfd, 0xdc]);
    let wrong = [&text[1..], &text[2..], &text.to_uppercase(), &text.replace('f', "g"), ""];
    for wrong in wrong {
        assert_eq!(wrong.parse::<Fingerprint>(), Err(Error::InvalidFingerprint), "{wrong}");
    }
}

#[cfg(all(feature = "graviola", debug_assertions))]
#[test]
fn all_of_it_without_what_graviola_needs() {
    other_processor::run_the_others(module_path!(), "all_of_it_without_what_graviola_needs");
}

fn issuer(not_before: i64, not_after: i64) -> Issuer<SigningKey> {
    issuer_on(Curve::Curve25519, not_before, not_after)
}

fn issuer_on(curve: Curve, not_before: i64, not_after: i64) -> Issuer<SigningKey> {
    let key = SigningKey::generate(curve, &mut Seeded(1)).unwrap();
    let parameters = CaParameters::new("ca", Validity { not_before, not_after });
    Issuer::self_signed(V1, parameters, key).unwrap()
}

fn issue(issuer: &Issuer<SigningKey>, not_before: i64, not_after: i64) -> Certificate {
    let curve = issuer.certificate().curve();
    let key = AgreementKey::generate(curve, &mut Seeded(2)).unwrap().public_key();
    let networks = vec!["10.0.0.1/8".parse().unwrap()];
    let validity = Validity { not_before, not_after };
    issuer
        .issue(V2, &HostParameters::new("host", networks, key, validity))
        .unwrap()
        .into_certificate()
}

fn pool(issuer: &Issuer<SigningKey>) -> CaPool {
    let mut pool = CaPool::new();
    pool.add(issuer.certificate().clone()).unwrap();
    pool
}
