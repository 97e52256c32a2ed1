//! Do passphrases open and seal CA keys as the reference does?

mod crossed;

use nebula_pki::key::{Argon2Parameters, EncryptedKey, SigningKey};
use nebula_pki::{
    Argon2Field, Certificate, Curve, EncryptedKeyDefect, Error, KeyKind, PemContents, Random,
    Signer,
};
use proptest::prelude::*;
use serde_json::Value;

use crate::support::random::Seeded;
use crate::support::vector::{base64, cases, files, hex, pem, read, text};

const ED25519_BANNER: &str = "NEBULA ED25519 ENCRYPTED PRIVATE KEY";
const ECDSA_BANNER: &str = "NEBULA ECDSA P256 ENCRYPTED PRIVATE KEY";

/// Quick, and within RFC 9106.
const QUICK: Argon2Parameters = Argon2Parameters { memory_kib: 8, iterations: 1, parallelism: 1 };

#[test]
fn keys_of_the_reference_open_and_are_written_alike() {
    let mut count = 0;
    for file in encrypted_files().filter(|file| file.get("heavy").is_none()) {
        let key = opens_and_is_written_alike(&file);
        seals_alike(&file, &key);

        let encrypted = EncryptedKey::from_pem(&read(text(&file, "path"))).unwrap();
        let wrong = format!("{} ", text(&file, "passphrase"));
        assert_eq!(encrypted.open(wrong.as_bytes()).unwrap_err(), Error::WrongPassphrase);
        assert_eq!(encrypted.open(b"").unwrap_err(), Error::WrongPassphrase);
        count += 1;
    }
    assert_eq!(count, 15);
}

/// Takes 2 GiB and some seconds; sealing would take as much again.
#[test]
fn keys_with_the_reference_s_default_parameters() {
    let mut count = 0;
    for file in encrypted_files().filter(|file| file.get("heavy").is_some()) {
        let encrypted = EncryptedKey::from_pem(&read(text(&file, "path"))).unwrap();
        assert_eq!(encrypted.parameters(), Argon2Parameters::default());
        opens_and_is_written_alike(&file);
        count += 1;
    }
    assert_eq!(count, 1);
}

fn encrypted_files() -> impl Iterator<Item = Value> {
    files().into_iter().filter(|file| file["encrypted"] == true)
}

fn opens_and_is_written_alike(file: &Value) -> SigningKey {
    let name = text(file, "path");
    let (content, argon2) = (read(name), &file["argon"]);
    let encrypted = EncryptedKey::from_pem(&content).unwrap();
    let curve = if text(file, "banner") == ECDSA_BANNER { Curve::P256 } else { Curve::Curve25519 };
    let number = |field: &str| u32::try_from(argon2[field].as_u64().unwrap()).unwrap();
    let parameters = Argon2Parameters {
        memory_kib: number("memory_kib"),
        iterations: number("iterations"),
        parallelism: number("parallelism"),
    };
    assert_eq!(encrypted.curve(), curve, "{name}");
    assert_eq!(encrypted.parameters(), parameters, "{name}");
    assert_eq!(encrypted.to_pem().as_bytes(), content, "{name}");
    assert_eq!(SigningKey::from_pem(&content).unwrap_err(), Error::EncryptedKey, "{name}");

    let passphrase = text(file, "passphrase").as_bytes();
    let key = encrypted.open(passphrase).unwrap_or_else(|error| panic!("{name}: {error}"));
    let certificate = Certificate::from_pem(&read(&name.replace(".key", ".crt"))).unwrap();
    assert_eq!(key.curve(), curve, "{name}");
    assert_eq!(key.public_key(), certificate.public_key(), "{name}");
    // Not recorded where other implementations of Argon2 refuse.
    if let Some(plaintext) = file.get("plaintext_hex") {
        assert_eq!(hex(&key.to_bytes()), plaintext.as_str().unwrap(), "{name}");
    }
    key
}

/// With the salt and the nonce that the reference drew, we write its file.
fn seals_alike(file: &Value, key: &SigningKey) {
    let (name, argon2) = (text(file, "path"), &file["argon"]);
    let content = read(name);
    let parameters = EncryptedKey::from_pem(&content).unwrap().parameters();
    let passphrase = text(file, "passphrase").as_bytes();
    let mut drawn = Replayed(unhex(text(argon2, "salt_hex")));
    drawn.0.extend(unhex(text(argon2, "nonce_hex")));
    let sealed = EncryptedKey::seal(key, passphrase, parameters, &mut drawn).unwrap();
    assert_eq!(sealed.to_pem().as_bytes(), content, "{name}");
    assert!(drawn.0.is_empty(), "{name}");
}

#[test]
fn malformed_keys_get_the_reference_s_verdict() {
    let corpus = cases("encrypted/malformed.json");
    for case in &corpus {
        let id = text(case, "id");
        let container = base64(text(case, "container_b64"));
        let file = pem(text(case, "banner"), &container);
        let ca = Certificate::from_pem(&read(text(case, "ca"))).unwrap();

        let opened = EncryptedKey::from_pem(&file)
            .and_then(|encrypted| encrypted.open(text(case, "passphrase").as_bytes()));
        match (case["accept"].as_bool().unwrap(), opened) {
            (true, opened) => assert_eq!(opened.unwrap().public_key(), ca.public_key(), "{id}"),
            // What the reference refuses only when it compares it with the CA certificate.
            (false, Ok(key)) => {
                assert_eq!(id, "banner-p256-32");
                assert_ne!(key.public_key(), ca.public_key());
            }
            (false, Err(error)) => assert_eq!(error, expected(id), "{id}"),
        }
    }
    assert_eq!(corpus.len(), 38);
}

fn expected(id: &str) -> Error {
    let malformed = |defect| Error::MalformedEncryptedKey { defect };
    let cipher = |found: &str| Error::UnsupportedCipher { found: found.to_owned() };
    let range = |field, max, found| Error::Argon2Range { field, max, found };
    let length = |key, expected, found| Error::KeyLength { key, expected, found };
    match id {
        "empty" => malformed(EncryptedKeyDefect::Empty),
        "garbage" | "trunc" => malformed(EncryptedKeyDefect::WireFormat),
        "no-meta" => malformed(EncryptedKeyDefect::NoMetadata),
        "no-argon" => malformed(EncryptedKeyDefect::NoArgon2),
        "mem0" => range(Argon2Field::Memory, u32::MAX, 0),
        "par0" => range(Argon2Field::Parallelism, 255, 0),
        "par256" => range(Argon2Field::Parallelism, 255, 256),
        "it0" => range(Argon2Field::Iterations, u32::MAX, 0),
        "alg-empty" => cipher(""),
        "alg-other" => cipher("AES-128-GCM"),
        "alg-lower" => cipher("aes-256-gcm"),
        "ver0" => Error::Argon2Version { found: 0 },
        "ver16" => Error::Argon2Version { found: 16 },
        "ver-neg" => Error::Argon2Version { found: -1 },
        "salt15" => Error::SaltLength { found: 15 },
        "salt-missing" | "salt-emptyfield" => Error::SaltLength { found: 0 },
        "ct-missing" => Error::CiphertextLength { found: 0 },
        "ct-12" => Error::CiphertextLength { found: 12 },
        "pt63" => length(KeyKind::Ed25519Private, 64, 63),
        "pt32" => length(KeyKind::Ed25519Private, 64, 32),
        "banner-p256" => length(KeyKind::EcdsaPrivate, 32, 64),
        "pt-mismatch" => Error::CorruptSigningKey,
        "banner-plain" => Error::WrongBanner {
            expected: PemContents::EncryptedSigningKey,
            found: "NEBULA ED25519 PRIVATE KEY".to_owned(),
        },
        "mem-wrong" | "ct-13" | "ct-tag" | "ct-nonce" | "ct-trail" | "dup-ct" => {
            Error::WrongPassphrase
        }
        _ => panic!("{id} is refused by us alone"),
    }
}

/// Each check is made before those that the reference makes after it.
#[test]
fn several_defects_are_reported_in_the_reference_s_order() {
    // From the last check to the first: each row adds a defect.
    let mut fields = Fields::of(&sealed(Curve::Curve25519));
    let mut refused = |change: fn(&mut Fields), error| {
        change(&mut fields);
        assert_eq!(EncryptedKey::from_pem(&fields.pem()).unwrap_err(), error);
    };
    let range = |field, max| Error::Argon2Range { field, max, found: 0 };
    refused(|f| f.salt.clear(), Error::SaltLength { found: 0 });
    refused(|f| f.ciphertext.truncate(12), Error::CiphertextLength { found: 12 });
    refused(|f| f.salt = vec![7; 15], Error::SaltLength { found: 15 });
    refused(|f| f.version = 20, Error::Argon2Version { found: 20 });
    refused(|f| f.algorithm = "x", Error::UnsupportedCipher { found: "x".to_owned() });
    refused(|f| f.iterations = 0, range(Argon2Field::Iterations, u32::MAX));
    refused(|f| f.parallelism = 0, range(Argon2Field::Parallelism, 255));
    refused(|f| f.memory_kib = 0, range(Argon2Field::Memory, u32::MAX));
}

#[test]
fn no_changed_or_cut_byte_goes_unnoticed() {
    for curve in [Curve::Curve25519, Curve::P256] {
        let container = Fields::of(&sealed(curve)).encode();
        let banner = if curve == Curve::P256 { ECDSA_BANNER } else { ED25519_BANNER };
        let opens = |container: &[u8]| {
            let encrypted = EncryptedKey::from_pem(&pem(banner, container))?;
            // Some changes ask for more memory; a second would be spent on each.
            let affordable = encrypted.parameters().memory_kib <= 1_024;
            if affordable { encrypted.open(b"passphrase") } else { Err(Error::WrongPassphrase) }
        };
        opens(&container).unwrap();
        for at in 0..container.len() {
            for bit in 0..8 {
                let mut changed = container.clone();
                changed[at] ^= 1 << bit;
                assert!(opens(&changed).is_err(), "byte {at}, bit {bit}");
            }
            assert!(opens(&container[..at]).is_err(), "cut to {at}");
        }
    }
}

#[test]
fn a_key_of_one_curve_is_not_taken_for_one_of_the_other() {
    for (curve, other) in [(Curve::Curve25519, ECDSA_BANNER), (Curve::P256, ED25519_BANNER)] {
        let fields = Fields::of(&sealed(curve));
        let encrypted = EncryptedKey::from_pem(&pem(other, &fields.encode())).unwrap();
        let refused = encrypted.open(b"passphrase").unwrap_err();
        assert!(matches!(refused, Error::KeyLength { .. }), "{refused}");
    }
}

/// The limits are looked at before any memory is taken: there is none for the first of these.
#[test]
fn what_would_cost_too_much_is_refused() {
    let key = SigningKey::generate(Curve::Curve25519, &mut Seeded(1)).unwrap();
    let cases = [
        ((u32::MAX, 1, 1), (Argon2Field::Memory, u32::MAX.into(), 4 << 20)),
        ((4 << 20 | 1, 1, 4), (Argon2Field::Memory, 4 << 20 | 1, 4 << 20)),
        ((8, u32::MAX, 1), (Argon2Field::Iterations, u32::MAX.into(), 1 << 16)),
        ((8, 1 << 16 | 1, 1), (Argon2Field::Iterations, 1 << 16 | 1, 1 << 16)),
        ((1 << 20, 65, 4), (Argon2Field::Work, 65 << 20, 64 << 20)),
        // As much memory is used as for 2040 KiB.
        ((1, 1 << 16, 255), (Argon2Field::Work, 2_040 << 16, 64 << 20)),
    ];
    for ((memory_kib, iterations, parallelism), (field, found, limit)) in cases {
        let parameters = Argon2Parameters { memory_kib, iterations, parallelism };
        let refused = Err(Error::Argon2Limit { field, found, limit });
        let sealed = EncryptedKey::seal(&key, b"passphrase", parameters, &mut Seeded(2));
        assert_eq!(sealed, refused.clone().map(|()| unreachable!()));

        let mut fields = Fields::of(&self::sealed(Curve::Curve25519));
        (fields.memory_kib, fields.iterations) = (memory_kib.into(), iterations.into());
        fields.parallelism = parallelism.into();
        let encrypted = EncryptedKey::from_pem(&fields.pem()).unwrap();
        assert_eq!(encrypted.parameters(), parameters);
        assert_eq!(encrypted.open(b"passphrase").map(drop), refused);
    }
}

#[test]
fn nothing_is_sealed_that_could_not_be_opened() {
    let key = SigningKey::generate(Curve::P256, &mut Seeded(1)).unwrap();
    let seal = |passphrase: &[u8], parameters| {
        EncryptedKey::seal(&key, passphrase, parameters, &mut Seeded(2)).unwrap_err()
    };
    assert_eq!(seal(b"", QUICK), Error::EmptyPassphrase);
    let range = |field, max, found| Error::Argon2Range { field, max, found };
    let none = Argon2Parameters { memory_kib: 0, ..QUICK };
    assert_eq!(seal(b"p", none), range(Argon2Field::Memory, u32::MAX, 0));
    let none = Argon2Parameters { iterations: 0, ..QUICK };
    assert_eq!(seal(b"p", none), range(Argon2Field::Iterations, u32::MAX, 0));
    for parallelism in [0, 256, u32::MAX] {
        let parameters = Argon2Parameters { parallelism, ..QUICK };
        assert_eq!(seal(b"p", parameters), range(Argon2Field::Parallelism, 255, parallelism));
    }
}

#[test]
fn a_changed_passphrase_is_the_only_one() {
    let stronger = Argon2Parameters { memory_kib: 64, iterations: 2, parallelism: 3 };
    for (curve, parameters) in [(Curve::Curve25519, QUICK), (Curve::P256, stronger)] {
        let before = sealed(curve);
        let mut random = Seeded(9);
        let after =
            before.change_passphrase(b"passphrase", b"other", parameters, &mut random).unwrap();
        assert_eq!((after.curve(), after.parameters()), (curve, parameters));
        assert_eq!(after.open(b"passphrase").unwrap_err(), Error::WrongPassphrase);
        let (old, new) = (before.open(b"passphrase").unwrap(), after.open(b"other").unwrap());
        assert_eq!(new.to_bytes(), old.to_bytes());

        let (before_fields, after_fields) = (Fields::of(&before), Fields::of(&after));
        assert_ne!(after_fields.salt, before_fields.salt);
        assert_ne!(after_fields.ciphertext[..12], before_fields.ciphertext[..12]);

        let refused = before.change_passphrase(b"other", b"new", parameters, &mut random);
        assert_eq!(refused, Err(Error::WrongPassphrase));
        let refused = before.change_passphrase(b"passphrase", b"", parameters, &mut random);
        assert_eq!(refused, Err(Error::EmptyPassphrase));
    }
}

#[test]
fn failing_randomness_seals_nothing() {
    struct Broken(usize);
    impl Random for Broken {
        fn fill(&mut self, bytes: &mut [u8]) -> Result<(), Error> {
            self.0 = self.0.checked_sub(1).ok_or(broken())?;
            bytes.fill(1);
            Ok(())
        }
    }
    fn broken() -> Error {
        Error::Randomness { reason: "broken".to_owned() }
    }
    let key = SigningKey::generate(Curve::Curve25519, &mut Seeded(1)).unwrap();
    for calls in 0..2 {
        let sealed = EncryptedKey::seal(&key, b"passphrase", QUICK, &mut Broken(calls));
        assert_eq!(sealed, Err(broken()));
    }
}

#[test]
fn a_printed_key_shows_nothing_to_guess_with() {
    let shown = format!("{:?}", sealed(Curve::P256));
    assert_eq!(
        shown,
        "EncryptedKey { curve: P256, parameters: Argon2Parameters \
         { memory_kib: 8, iterations: 1, parallelism: 1 }, .. }"
    );
}

proptest! {
    #[test]
    fn what_is_sealed_opens_with_its_passphrase_alone(
        seed: u64,
        p256: bool,
        passphrase in prop::collection::vec(any::<u8>(), 1..80),
        other in prop::collection::vec(any::<u8>(), 0..80),
        memory_kib in 1_u32..200,
        iterations in 1_u32..4,
        parallelism in 1_u32..10,
    ) {
        let curve = if p256 { Curve::P256 } else { Curve::Curve25519 };
        let mut random = Seeded(seed);
        let key = SigningKey::generate(curve, &mut random).unwrap();
        let parameters = Argon2Parameters { memory_kib, iterations, parallelism };
        let sealed = EncryptedKey::seal(&key, &passphrase, parameters, &mut random).unwrap();
        let read = EncryptedKey::from_pem(sealed.to_pem().as_bytes()).unwrap();
        prop_assert_eq!(&read, &sealed);
        prop_assert_eq!(read.open(&passphrase).unwrap().to_bytes(), key.to_bytes());
        if other != passphrase {
            prop_assert_eq!(read.open(&other).unwrap_err(), Error::WrongPassphrase);
        }
    }
}

/// A key under the passphrase "passphrase".
fn sealed(curve: Curve) -> EncryptedKey {
    let mut random = Seeded(5);
    let key = SigningKey::generate(curve, &mut random).unwrap();
    EncryptedKey::seal(&key, b"passphrase", QUICK, &mut random).unwrap()
}

/// The fields of a container, to be written with other values.
struct Fields {
    banner: &'static str,
    algorithm: &'static str,
    version: u64,
    memory_kib: u64,
    iterations: u64,
    parallelism: u64,
    salt: Vec<u8>,
    ciphertext: Vec<u8>,
}

impl Fields {
    /// Of what we sealed: all numbers and lengths are below 128.
    fn of(encrypted: &EncryptedKey) -> Self {
        let text = encrypted.to_pem();
        let body: String = text.lines().filter(|line| !line.starts_with('-')).collect();
        let bytes = base64(&body);
        let metadata_len = usize::from(bytes[1]);
        let parameters = encrypted.parameters();
        let fields = Self {
            banner: if encrypted.curve() == Curve::P256 { ECDSA_BANNER } else { ED25519_BANNER },
            algorithm: "AES-256-GCM",
            version: 19,
            memory_kib: parameters.memory_kib.into(),
            iterations: parameters.iterations.into(),
            parallelism: parameters.parallelism.into(),
            salt: bytes[2 + metadata_len - 32..][..32].to_vec(),
            ciphertext: bytes[2 + metadata_len + 2..].to_vec(),
        };
        if parameters == QUICK {
            assert_eq!(fields.encode(), bytes);
        }
        fields
    }

    fn encode(&self) -> Vec<u8> {
        let mut argon2 = Vec::new();
        for (number, value) in
            (1..).zip([self.version, self.memory_kib, self.iterations, self.parallelism])
        {
            argon2.extend([number << 3]);
            argon2.extend(varint(value));
        }
        argon2.extend(message(5, &self.salt));
        let metadata = [message(1, self.algorithm.as_bytes()), message(2, &argon2)].concat();
        [message(1, &metadata), message(2, &self.ciphertext)].concat()
    }

    fn pem(&self) -> Vec<u8> {
        pem(self.banner, &self.encode())
    }
}

fn message(number: u8, contents: &[u8]) -> Vec<u8> {
    [&[number << 3 | 2, u8::try_from(contents.len()).unwrap()], contents].concat()
}

fn varint(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 128 {
        bytes.push(value.to_le_bytes()[0] | 128);
        value >>= 7;
    }
    bytes.extend([value.to_le_bytes()[0]]);
    bytes
}

/// Gives recorded bytes instead of random ones.
struct Replayed(Vec<u8>);

impl Random for Replayed {
    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), Error> {
        let rest = self.0.split_off(bytes.len());
        bytes.copy_from_slice(&self.0);
        self.0 = rest;
        Ok(())
    }
}

fn unhex(hex: &str) -> Vec<u8> {
    (0..hex.len() / 2).map(|at| u8::from_str_radix(&hex[2 * at..][..2], 16).unwrap()).collect()
}
