//! Is a certificate shown as `nebula-cert print` shows it?

use std::fs;
use std::path::Path;
use std::process::Command;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use nebula_pki::{Certificate, Error, Version, utc};
use serde_json::Value;

use crate::support::peer;
use crate::support::vector;

const FOLDERS: [&str; 8] = [
    "crafted-v1/25519",
    "crafted-v1/p256",
    "crafted-v2/25519",
    "crafted-v2/p256",
    "mutated-v1/mutated",
    "mutated-v2/mutated",
    "tampered/v1",
    "tampered/v2",
];

#[cfg(feature = "serde")]
#[test]
fn values_for_serde() {
    let certificate = Certificate::from_pem(&vector::read("v2-25519/basic.crt")).unwrap();
    let details = certificate.unverified_details();
    let (validity, fingerprint) = (details.validity(), certificate.fingerprint());
    let as_printed: Value = serde_json::from_str(&certificate.to_json(utc).unwrap()).unwrap();
    assert_eq!(serde_json::to_value(fingerprint).unwrap(), as_printed["fingerprint"]);
    let shown = serde_json::to_value(details).unwrap();
    for name in ["name", "networks", "isCa", "issuer"] {
        assert_eq!(shown[name], as_printed["details"][name], "{name}");
    }
    // Where there are none, the reference shows null.
    assert_eq!(
        (&shown["groups"], &shown["unsafeNetworks"]),
        (&Value::Array(vec![]), &Value::Array(vec![]))
    );
    assert_eq!(shown["notAfter"], details.not_after());
    let text = serde_json::to_string(&validity).unwrap();
    let times = (details.not_before(), details.not_after());
    assert_eq!(text, format!(r#"{{"notBefore":{},"notAfter":{}}}"#, times.0, times.1));

    let again = serde_json::from_str::<nebula_pki::Validity>(&text).unwrap();
    assert_eq!(again, validity);
    let read = |text: &str| serde_json::from_str::<nebula_pki::Fingerprint>(text);
    assert_eq!(read(&format!("\"{fingerprint}\"")).unwrap(), fingerprint);
    assert!(read("\"ab\"").is_err() && read("7").is_err());
}

/// The last second that JSON can show.
const LAST: i64 = 253_402_300_799;
/// The first one.
const FIRST: i64 = -62_167_219_200;

#[test]
fn every_recorded_certificate() {
    let files = recorded_files();
    let cases = recorded_cases();
    assert_eq!((files.len(), cases.len()), (158, 721));
    for (name, certificate, recorded) in files.iter().chain(&cases) {
        // The maps of `serde_json` are sorted by key, as Go's are.
        assert_eq!(certificate.to_json(utc).unwrap(), go(&recorded.to_string()), "{name}");
        let text: Value = serde_json::from_str(&certificate.to_text(utc).unwrap()).unwrap();
        assert_eq!(text, *recorded, "{name}");
    }
}

#[test]
fn byte_for_byte_in_three_time_zones() {
    let Some(tool) = peer::nebula_cert("1.11.0") else { return };
    let recorded = recorded_files().into_iter().chain(recorded_cases());
    let mut certificates: Vec<_> = recorded.map(|(_, certificate, _)| certificate).collect();
    certificates.extend(odd_certificates());
    assert_eq!(certificates.len(), 158 + 721 + 580);
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("all.crt");
    fs::write(&path, certificates.iter().map(Certificate::to_pem).collect::<String>()).unwrap();

    for name in ["UTC", "Asia/Kolkata", "America/St_Johns"] {
        let zone = zone(name);
        let json: Vec<_> = certificates.iter().map(|it| it.to_json(&zone).unwrap()).collect();
        let text: String =
            certificates.iter().map(|it| it.to_text(&zone).unwrap() + "\n").collect();
        assert_same(&print(&tool, &["-json"], &path, name), &format!("[{}]\n", json.join(",")));
        assert_same(&print(&tool, &[], &path, name), &text);
    }
}

#[test]
fn years_without_four_digits() {
    let tool = peer::nebula_cert("1.11.0");
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("odd.crt");
    let cases = [
        ("UTC", FIRST - 1),
        ("UTC", LAST + 1),
        ("UTC", i64::MIN),
        ("UTC", i64::MAX),
        // The local year counts.
        ("America/St_Johns", FIRST),
        ("Asia/Kolkata", LAST),
    ];
    for (name, time) in cases {
        let certificate = with_times(time, time);
        let offset = zone(name)(time);
        let refused = Err(Error::UnprintableTime { time, offset });
        assert_eq!(certificate.to_json(zone(name)), refused);
        assert_eq!(certificate.to_text(zone(name)), refused);
        if let Some(tool) = &tool {
            fs::write(&path, certificate.to_pem()).unwrap();
            assert_eq!(print(tool, &["-json"], &path, name), "\n", "{name} {time}");
            assert_eq!(
                print(tool, &[], &path, name),
                "<error marshalling certificate: json: error calling MarshalJSON for type \
                 time.Time: Time.MarshalJSON: year outside of range [0,9999]>\n",
                "{name} {time}"
            );
        }
    }
}

#[test]
fn offsets_from_utc() {
    let time = 1_800_000_000;
    let cases = [
        (0, "08:00:00Z"),
        (1, "08:00:01+00:00"),
        (-1, "07:59:59+00:00"),
        (-60, "07:59:00-00:01"),
        (19_800, "13:30:00+05:30"),
        (-12_652, "04:29:08-03:30"),
        (86_399, "07:59:59+23:59"),
    ];
    for (offset, shown) in cases {
        let json = with_times(time, time).to_json(|_| offset).unwrap();
        assert!(json.contains(&format!("T{shown}\",\"notBefore\"")), "{offset}: {json}");
    }
    for offset in [86_400, -86_400, i32::MAX, i32::MIN] {
        let refused = Err(Error::UnprintableTime { time, offset });
        assert_eq!(with_times(time, time).to_json(|_| offset), refused);
    }
}

/// Certificates that were printed when they were made.
fn recorded_files() -> Vec<(String, Certificate, Value)> {
    let files = vector::files();
    let printed = files.iter().filter(|file| file.get("parsed").is_some());
    printed
        .map(|file| {
            let name = vector::text(file, "path");
            let certificate = match file["der_hex"].as_str() {
                None => Certificate::from_pem(&vector::read(name)),
                Some(der) => Certificate::from_bytes(version(file), &unhex(der)),
            };
            (name.to_owned(), certificate.unwrap(), file["parsed"].clone())
        })
        .collect()
}

/// Those among the malformed and tampered certificates that were printed all the same.
fn recorded_cases() -> Vec<(String, Certificate, Value)> {
    let cases = FOLDERS.iter().flat_map(|folder| vector::cases(&format!("{folder}.json")));
    cases
        .filter(|case| case["der_b64"].is_string() && case["print"]["json"].is_object())
        .map(|case| {
            let der = vector::base64(vector::text(&case, "der_b64"));
            let certificate = Certificate::from_bytes(version(&case), &der).unwrap();
            (vector::text(&case, "id").to_owned(), certificate, case["print"]["json"].clone())
        })
        .collect()
}

fn version(case: &Value) -> Version {
    if vector::text(case, "banner").ends_with("V2") { Version::V2 } else { Version::V1 }
}

/// What Go escapes in JSON and `serde_json` does not.
fn go(json: &str) -> String {
    let escapes = ['<', '>', '&', '\u{2028}', '\u{2029}', '\u{fffd}'];
    json.chars().fold(String::new(), |mut json, character| {
        match escapes.contains(&character) {
            true => json.push_str(&format!("\\u{:04x}", u32::from(character))),
            false => json.push(character),
        }
        json
    })
}

/// Contents that nobody has recorded.
fn odd_certificates() -> Vec<Certificate> {
    let mut certificates = Vec::new();
    // Every character that JSON might escape, and every byte that is not UTF-8.
    let characters: String = (0..0x3000).filter_map(char::from_u32).collect();
    certificates.push(Details::default().groups(&[characters.as_bytes()]).build());
    certificates.push(Details::default().groups(&["\u{fffd}😀\u{10ffff}".as_bytes()]).build());
    let broken: [&[u8]; 6] = [
        b"\xe2\x82x",
        b"\xf0\x9f\x98",
        b"\xed\xa0\x80",
        b"\xf4\x90\x80\x80",
        b"\xc0\xaf",
        b"\xf0\x80\xe2\x82\xac",
    ];
    certificates.push(Details::default().groups(&broken).build());
    let bytes: Vec<Vec<u8>> = (0..=255).map(|byte| vec![b'a', byte, 0x80, b'z']).collect();
    let bytes: Vec<&[u8]> = bytes.iter().map(Vec::as_slice).collect();
    certificates.push(Details::default().groups(&bytes).build());

    // Every pattern of zero groups, and what is written with dots.
    for pattern in 0..256_u32 {
        for value in [0x1_u16, 0xabcd] {
            let group = |at: u32| if pattern >> at & 1 == 1 { value } else { 0 };
            let address: [u16; 8] = std::array::from_fn(|at| group(u32::try_from(at).unwrap()));
            let bits = u8::try_from(pattern % 129).unwrap();
            certificates.push(Details::default().unsafe_network(address, bits).build());
        }
    }
    let mapped = [
        [0, 0, 0, 0, 0, 0xffff, 0x0102, 0x0304],
        [0, 0, 0, 0, 0, 0xffff, 0, 0],
        [0, 0, 0, 0, 0, 0xfffe, 0x0102, 0x0304],
        [0, 0, 0, 0, 0xffff, 0, 0x0102, 0x0304],
        [0, 0, 0, 0, 0, 0, 0x0102, 0x0304],
        [0x64, 0xff9b, 0, 0, 0, 0, 0x0102, 0x0304],
    ];
    for address in mapped {
        certificates.push(Details::default().unsafe_network(address, 100).build());
    }

    // The ends of what can be shown in every zone, leap days, changes of the zones.
    let times = [
        FIRST + 86_400,
        LAST - 86_400,
        0,
        -1,
        951_782_399,
        951_868_799,
        -2_713_897_749,
        -2_713_897_748,
        -2_206_310_400,
        1_900_000_000,
        1_910_000_000,
        4_107_542_399,
        4_107_542_400,
    ];
    certificates.extend(times.map(|time| with_times(time, time + 1)));

    for length in [0, 1, 31, 33, 300] {
        certificates.push(Details { issuer: vec![0xab; length], ..Details::default() }.build());
    }
    certificates.extend((0..40).map(|curve| {
        Details { curve: if curve < 20 { curve } else { 215 + curve }, ..Details::default() }
            .build()
    }));
    certificates
}

fn with_times(not_before: i64, not_after: i64) -> Certificate {
    Details { not_before, not_after, ..Details::default() }.build()
}

/// What to write into a version 2 CA certificate; its signature is nonsense.
#[derive(Default)]
struct Details {
    unsafe_networks: Vec<u8>,
    groups: Vec<u8>,
    not_before: i64,
    not_after: i64,
    issuer: Vec<u8>,
    curve: u8,
}

impl Details {
    fn groups(mut self, groups: &[&[u8]]) -> Self {
        self.groups = groups.iter().flat_map(|group| element(0x0c, group)).collect();
        self
    }

    fn unsafe_network(mut self, address: [u16; 8], bits: u8) -> Self {
        let mut network = address.iter().flat_map(|group| group.to_be_bytes()).collect::<Vec<_>>();
        network.push(bits);
        self.unsafe_networks = element(0x04, &network);
        self
    }

    fn build(&self) -> Certificate {
        let details = [
            element(0x80, b"odd"),
            element(0xa2, &self.unsafe_networks),
            element(0xa3, &self.groups),
            element(0x84, &[0xff]),
            element(0x85, &integer(self.not_before)),
            element(0x86, &integer(self.not_after)),
            element(0x87, &self.issuer),
        ];
        let outer = [
            element(0xa0, &details.concat()),
            element(0x81, &[self.curve]),
            element(0x82, &[7; 32]),
            element(0x83, &[8; 64]),
        ];
        Certificate::from_bytes(Version::V2, &element(0x30, &outer.concat())).unwrap()
    }
}

fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let len = u16::try_from(content.len()).unwrap().to_be_bytes();
    let header = match content.len() {
        0..0x80 => vec![tag, len[1]],
        0x80..0x100 => vec![tag, 0x81, len[1]],
        _ => vec![tag, 0x82, len[0], len[1]],
    };
    [&header, content].concat()
}

/// Two's complement in as few bytes as can be.
fn integer(value: i64) -> Vec<u8> {
    let bytes = value.to_be_bytes();
    let spare = (1..8).take_while(|end| {
        let shifted = value << (8 * end) >> (8 * end);
        shifted == value
    });
    bytes[spare.count()..].to_vec()
}

fn unhex(text: &str) -> Vec<u8> {
    let digits = text.as_bytes().as_chunks::<2>().0;
    digits
        .iter()
        .map(|pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

/// The offsets of a time zone. Its library ends a day before the year 9999 does.
fn zone(name: &str) -> impl Fn(i64) -> i32 {
    let zone = TimeZone::get(name).unwrap();
    move |unix| {
        let unix = unix.clamp(Timestamp::MIN.as_second(), Timestamp::MAX.as_second());
        zone.to_offset(Timestamp::from_second(unix).unwrap()).seconds()
    }
}

fn print(tool: &Path, flags: &[&str], path: &Path, zone: &str) -> String {
    let mut command = Command::new(tool);
    command.arg("print").args(flags).arg("-path").arg(path).env("TZ", zone);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// Quotes the first line that differs instead of a megabyte.
fn assert_same(theirs: &str, ours: &str) {
    let lines = |text: &str| text.replace("},{", "},\n{").lines().map(String::from).collect();
    let (theirs, ours): (Vec<_>, Vec<_>) = (lines(theirs), lines(ours));
    for (theirs, ours) in theirs.iter().zip(&ours) {
        assert_eq!(theirs, ours);
    }
    assert_eq!(theirs.len(), ours.len());
}
