//! Does any input make a parser take more memory, or more time, than a small multiple of its size?
#![allow(
    clippy::cast_possible_truncation,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "helpers of tests"
)]

mod counting;
#[path = "../integration/support/vector.rs"]
#[allow(dead_code, reason = "shared with the integration tests, which have another allocator")]
mod vector;

use std::fs;
use std::hint::black_box;
#[cfg(unix)]
use std::time::Duration;

use counting::Usage;
use nebula_pki::key::{AgreementKey, EncryptedKey, PublicKey, SigningKey};
use nebula_pki::{CaPool, Certificate, Curve, Fingerprint, PemKind, Version};
#[cfg(unix)]
use rustix::time::{ClockId, clock_gettime};

/// What `Certificate::from_bytes` documents: bytes held at once for each byte of input, and for any.
const MULTIPLE: usize = 32;
const CONSTANT: usize = 4_096;

const MEGABYTE: usize = 1 << 20;

/// What it is, and the input.
type Inputs = Vec<(String, Vec<u8>)>;
type Parser = (&'static str, fn(&[u8]));

const OF_BYTES: [Parser; 4] = [
    ("version 1", |input| drop(black_box(Certificate::from_bytes(Version::V1, input)))),
    ("version 2", |input| drop(black_box(Certificate::from_bytes(Version::V2, input)))),
    ("handshake, version 1", |input| drop(black_box(handshake(Version::V1, input)))),
    ("handshake, version 2", |input| drop(black_box(handshake(Version::V2, input)))),
];

const OF_TEXT: [Parser; 8] = [
    ("certificates", |input| drop(black_box(Certificate::from_pem_many(input)))),
    ("kinds", |input| drop(black_box(PemKind::all(input)))),
    ("CA pool", |input| drop(black_box(CaPool::from_pem(input)))),
    ("signing key", |input| drop(black_box(SigningKey::from_pem(input)))),
    ("agreement key", |input| drop(black_box(AgreementKey::from_pem(input)))),
    ("public key", |input| drop(black_box(PublicKey::from_pem(input)))),
    ("encrypted key", |input| drop(black_box(EncryptedKey::from_pem(input)))),
    ("fingerprint", |input| {
        drop(black_box(str::from_utf8(input).map(str::parse::<Fingerprint>)));
    }),
];

fn handshake(version: Version, input: &[u8]) -> Result<Certificate, nebula_pki::Error> {
    Certificate::from_handshake(version, input, &[1; 32], Curve::Curve25519)
}

#[test]
fn memory_is_bounded_by_the_input() {
    let inputs = vectors();
    assert!(inputs.len() > 1_800, "{} vectors", inputs.len());
    let of_bytes = [encoded(MEGABYTE), encoded(60_000)].concat();
    let of_text = [texts(MEGABYTE), texts(60_000)].concat();
    let mut worst = (0, String::new());
    for (inputs, parsers) in [
        (&inputs, &OF_BYTES[..]),
        (&inputs, &OF_TEXT[..]),
        (&of_bytes, &OF_BYTES[..]),
        (&of_text, &OF_TEXT[..]),
    ] {
        for ((what, input), (parser, parse)) in pairs(inputs, parsers) {
            let Usage { peak, sum } = counting::usage(|| parse(input));
            let len = input.len();
            let case = format!("{parser}, given {what} of {len} bytes: {peak}, in sum {sum}");
            assert!(peak <= MULTIPLE * len + CONSTANT, "{case}");
            // Copying the rest for each block, say, would be bounded at each moment.
            assert!(sum <= 2 * (MULTIPLE * len + CONSTANT), "{case}");
            if len >= 1_000 {
                worst = worst.max((peak.saturating_sub(CONSTANT).div_ceil(len), case));
            }
        }
    }
    println!("at most {} times the input: {}", worst.0, worst.1);
}

/// Four times the input takes four times as long, where quadratic effort would take sixteen.
#[cfg(unix)]
#[test]
fn time_is_linear() {
    const SIZE: usize = 30_000;
    for (small, large, parsers) in [
        (encoded(SIZE), encoded(4 * SIZE), &OF_BYTES[..]),
        (texts(SIZE), texts(4 * SIZE), &OF_TEXT[..]),
    ] {
        for (at, (what, small)) in small.iter().enumerate() {
            for (parser, parse) in parsers {
                assert_linear(&format!("{parser}, given {what}"), parse, small, &large[at].1);
            }
        }
    }
    // What is done again for each of many blocks shows late.
    let certificates = |count| vector::pem("NEBULA CERTIFICATE", &small_ca()).repeat(count);
    let (parser, parse) = OF_TEXT[0];
    assert_linear(parser, &parse, &certificates(10_000), &certificates(40_000));
}

#[cfg(unix)]
fn assert_linear(case: &str, parse: &fn(&[u8]), small: &[u8], large: &[u8]) {
    let (mut short, mut long) = (Duration::MAX, Duration::MAX);
    // The fastest of several runs, for the first may be slow.
    let linear = (0..20).any(|_| {
        short = short.min(time(parse, small));
        long = long.min(time(parse, large));
        // What is too fast to be measured is not quadratic.
        long < 9 * short.max(Duration::from_micros(100))
    });
    assert!(linear, "{case}: {short:?}, then {long:?}");
}

/// The time that this thread computes: the machine may be busy.
#[cfg(unix)]
fn time(parse: &fn(&[u8]), input: &[u8]) -> Duration {
    let now = || Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap();
    let start = now();
    parse(input);
    now() - start
}

fn pairs<'a, A, B>(inputs: &'a [A], parsers: &'a [B]) -> impl Iterator<Item = (&'a A, &'a B)> {
    inputs.iter().flat_map(move |input| parsers.iter().map(move |parser| (input, parser)))
}

/// Everything in the vectors: files, and what the corpora hold.
fn vectors() -> Inputs {
    let mut inputs = Vec::new();
    let mut folders = vec![vector::path("")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let contents = fs::read(&path).unwrap();
            let name = path.display().to_string();
            if name.ends_with(".json")
                && let Ok(serde_json::Value::Array(cases)) = serde_json::from_slice(&contents)
            {
                for case in cases {
                    let id = format!("{name} {}", case["id"]);
                    let bytes = ["der_b64", "container_b64"]
                        .into_iter()
                        .filter_map(|key| case[key].as_str().map(vector::base64));
                    let text = case["pem"].as_str().map(|pem| pem.as_bytes().to_vec());
                    inputs.extend(bytes.chain(text).map(|input| (id.clone(), input)));
                }
            }
            inputs.push((name, contents));
        }
    }
    inputs
}

/// Certificates of about this size that consist of what costs most, or repeats most.
fn encoded(size: usize) -> Inputs {
    let bytes = |part: &[u8]| part.repeat(size / part.len());
    let v1 = |details: &[u8]| protobuf(1, &[&protobuf(7, b"k"), details].concat());
    let v2 = |list: u8, item: &[u8]| {
        // At most what the parser takes.
        let items = item.repeat(size.min(65_000) / item.len());
        let times = [0x85, 1, 0, 0x86, 1, 0];
        let details = [&der(0x80, b"n")[..], &der(list, &items), &times].concat();
        der(0x30, &[der(0xa0, &details), der(0x82, b"k"), der(0x83, b"s")].concat())
    };
    named([
        ("one-byte groups", v1(&bytes(&[0x22, 1, b'g']))),
        ("empty groups", v1(&bytes(&[0x22, 0]))),
        ("details with empty groups", bytes(&[0x0a, 2, 0x22, 0])),
        ("packed networks", v1(&protobuf(2, &bytes(&[1])))),
        ("packed unsafe networks", v1(&[&[0x40, 1], &protobuf(3, &bytes(&[1]))[..]].concat())),
        ("long packed networks", v1(&protobuf(2, &bytes(&[0xff, 0xff, 0xff, 0xff, 0x0f])))),
        ("networks, not packed", v1(&bytes(&[0x10, 1]))),
        ("empty packed fields", v1(&bytes(&[0x12, 0]))),
        ("a long name", v1(&protobuf(1, &bytes(b"n")))),
        ("repeated names", v1(&bytes(&[0x0a, 1, b'n']))),
        ("a long public key", v1(&protobuf(7, &bytes(b"k")))),
        ("a long issuer", v1(&protobuf(9, &bytes(b"i")))),
        ("a long signature", [v1(&[0x40, 1]), protobuf(2, &bytes(b"s"))].concat()),
        ("empty details", bytes(&[0x0a, 0])),
        ("begun groups", bytes(&[0x53])),
        ("nested groups", [vec![0x53; 9_999], bytes(&[0x53, 0x54]), vec![0x54; 9_999]].concat()),
        ("unknown fields", v1(&bytes(&[0x50, 1]))),
        ("a length of 4 GB", [&[0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f], &bytes(b"x")[..]].concat()),
        (
            "a DER length of 4 GB",
            [&[0x30, 0x84, 0xff, 0xff, 0xff, 0xff], &bytes(b"x")[..]].concat(),
        ),
        ("one-byte groups in DER", v2(0xa3, &[0x0c, 1, b'g'])),
        ("networks in DER", v2(0xa1, &[4, 5, 10, 0, 0, 1, 8])),
        ("short networks in DER", v2(0xa1, &[4, 1, 8])),
        ("unsafe networks in DER", v2(0xa2, &[4, 5, 10, 0, 0, 1, 8])),
        ("bytes after DER", [v2(0xa3, &[0x0c, 1, b'g']), bytes(&[0])].concat()),
    ])
}

/// The same in PEM, encrypted keys, and text that is no PEM.
fn texts(size: usize) -> Inputs {
    let text = |part: &str| part.repeat(size / part.len()).into_bytes();
    let bytes = |part: &[u8]| part.repeat(size / part.len());
    let argon2 = |fields: &[u8]| protobuf(1, &protobuf(2, fields));
    let container = [argon2(&protobuf(5, &bytes(b"s"))), protobuf(2, &bytes(b"c"))].concat();
    let encrypted =
        named([("a long salt", container), ("repeated metadata", bytes(&argon2(&[8, 1])))]);
    let pem = |banner: &'static str, inputs: Inputs| {
        inputs
            .into_iter()
            .map(move |(what, input)| (format!("{what} as {banner}"), vector::pem(banner, &input)))
    };
    let begin = "-----BEGIN NEBULA CERTIFICATE-----\n";
    let end = "\n-----END NEBULA CERTIFICATE-----\n";
    let block = |body: &str| format!("{begin}{body}{end}").into_bytes();
    let certificate = vector::pem("NEBULA CERTIFICATE", &small_ca());
    let ca = vector::read("v2-25519/ca-plain.crt");
    let texts = named([
        ("BEGIN again and again", text("-----BEGIN ")),
        ("lines with BEGIN", text("-----BEGIN A-----\n")),
        ("END again and again", text("\n-----END ")),
        (
            "BEGIN, then END again and again",
            [b"-----BEGIN A-----\n", &text("\n-----END ")[..]].concat(),
        ),
        ("BEGIN again and again, then END", [&text("\n-----BEGIN ")[..], b"\n-----END "].concat()),
        ("BEGIN and END in turn", text("\n-----BEGIN A-----\n-----END B-----")),
        ("BEGIN without newline and END", text("-----BEGIN \n-----END ")),
        ("empty blocks", text(&format!("{begin}{end}"))),
        ("headers", block(&"a:b\n".repeat(size / 4))),
        ("headers without an end", format!("{begin}{}", "a:b\n".repeat(size / 4)).into_bytes()),
        ("headers that run on", text("-----BEGIN A-----\na:\n-----END B:")),
        (
            "a long banner",
            format!("-----BEGIN {}-----\n-----END A-----\n", "\u{fffd}".repeat(size / 3))
                .into_bytes(),
        ),
        (
            "a banner that is no text",
            [b"-----BEGIN ", &bytes(&[0xff])[..], b"-----\n-----END ", &bytes(&[0xff]), b"-----\n"]
                .concat(),
        ),
        ("one long line", block(&"A".repeat(size / 4 * 4))),
        ("one long line of blanks", block(&" ".repeat(size))),
        ("one digit a line", block(&"A\n".repeat(size / 8 * 4))),
        ("empty lines", text("\n")),
        ("blanks", text(" \t")),
        ("Unicode's blanks", text("\u{2003}")),
        ("small certificates", certificate.repeat(size / certificate.len())),
        (
            "blanks after small certificates",
            [certificate.repeat(size / 2 / certificate.len()), vec![b' '; size / 2]].concat(),
        ),
        ("CAs", ca.repeat(size / ca.len())),
        ("zeros", bytes(&[0])),
        ("hexadecimal digits", text("0")),
    ]);
    texts
        .into_iter()
        .chain(pem("NEBULA CERTIFICATE", encoded(size)))
        .chain(pem("NEBULA CERTIFICATE V2", encoded(size)))
        .chain(pem("NEBULA ED25519 ENCRYPTED PRIVATE KEY", encrypted))
        .collect()
}

fn named<const N: usize>(inputs: [(&str, Vec<u8>); N]) -> Inputs {
    inputs.map(|(what, input)| (what.to_owned(), input)).into()
}

/// About as small as a certificate of version 1 can be.
fn small_ca() -> Vec<u8> {
    protobuf(1, &[protobuf(7, b"k"), vec![0x40, 1]].concat())
}

/// A length-delimited field.
fn protobuf(number: u8, contents: &[u8]) -> Vec<u8> {
    let mut field = vec![number << 3 | 2];
    let mut len = contents.len();
    while len >= 0x80 {
        field.push((len & 0x7f) as u8 | 0x80);
        len >>= 7;
    }
    field.push(len as u8);
    [&field, contents].concat()
}

fn der(tag: u8, content: &[u8]) -> Vec<u8> {
    let len = content.len().to_be_bytes();
    let zeros = len.iter().take_while(|byte| **byte == 0).count();
    let header = match content.len() {
        len @ 0..0x80 => vec![len as u8],
        _ => [&[0x80 | (8 - zeros) as u8], &len[zeros..]].concat(),
    };
    [&[tag][..], &header, content].concat()
}
