//! Do our `nebula-cert` and the real one do the same on every command line? Run side by side, in two
//! directories with the same files.
//!
//! Skipped without release 1.11.0 of the reference, unless `REQUIRE_PEERS=1`.
// The released reference is built without PKCS#11, whose flags stand in the usage texts.
#![cfg(all(unix, not(feature = "pkcs11")))]
#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "helpers of tests"
)]

#[allow(dead_code, reason = "shared by several tests")]
#[path = "support/command.rs"]
mod command;
#[allow(dead_code, reason = "shared by several tests")]
#[path = "support/vector.rs"]
mod vector;

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};

use command::{Outcome, Scratch, without_additions};
use nebula_pki::Certificate;
use vector::{cases, read, text};

/// Command lines: `VARIABLE=value` first, `< file` last, `%20` for a blank within an argument. An
/// argument may be empty: `''`.
const GLOBAL: &str = "
-version
--version
-version=true -h
-version=false
-version=x
-version ca
-h
--help
-h ca
-help sign
-h bogus
-h=false ca
-bogus
-bogus ca
---
-=x
-
''
--
-- ca
bogus
bogus -h
help
ca -h
ca --help
ca -h=x
sign -h -bogus
sign -help bogus
keygen -h
print -h
print -json -h
";

const CA: &str = "
ca
ca -name=
ca -name n -out-key=
ca -name n -out-crt=
ca -name n
ca -name n -out-crt c
ca -name n -out-key k
ca -name n -out-key k -out-crt c
ca -name n -out-key k -out-crt c extra -bogus
ca -name n -name m -out-key k -out-crt c
ca --name=n --out-key=k -out-crt=c
ca -name n -out-key - -out-crt c
ca -name n -out-key k -out-crt -
ca -name n -out-key - -out-crt -
ca -name n -out-key - -out-crt c -out-qr -
ca -name n -out-key - -out-crt - -duration 0
ca -name n -out-key - -out-crt - -version 3
ca -name n -out-key - -out-crt - -networks x
ca -name n -out-key - -out-crt - -encrypt -argon-memory 0
ca -name n -out-key - -out-crt - -encrypt
ca -name n -out-key - -out-crt - -curve z
ca -name n -out-key k -out-crt c -out-qr q
ca -name n -out-key k -out-crt c -out-qr no/q
ca -name n -out-key k -out-crt c -out-qr d
ca -name n -out-key k -out-crt c -out-qr open
ca -name n -out-key no/k -out-crt no/c
ca -name n -out-key k -out-crt no/c
ca -name n -out-key d -out-crt c
ca -name n -out-key k -out-crt d
ca -name n -out-key ca.key/k -out-crt c
ca -name n -out-key dangling -out-crt c
ca -name n -out-key d/k -out-crt d/c
ca -name n -out-key k -out-crt c -version 1
ca -name n -out-key k -out-crt c -version 0
ca -name n -out-key k -out-crt c -version 3 -duration 0
ca -name n -out-key k -out-crt c -version
ca -name n -out-key k -out-crt c -version x
ca -name n -out-key k -out-crt c -version -1
ca -name n -out-key k -out-crt c -version 0x2
ca -name n -out-key k -out-crt c -version 18446744073709551616
ca -name n -out-key k -out-crt c -version 2,1
ca -name n -out-key k -out-crt c -version 1,2
ca -name n -out-key k -out-crt c -curve P256
ca -name n -out-key k -out-crt c -curve P256 -version 1
ca -name n -out-key k -out-crt c -curve X25519
ca -name n -out-key k -out-crt c -curve p256
ca -name n -out-key k -out-crt c -curve=
ca -name n -out-key k -out-crt c -duration 1h30m
ca -name n -out-key k -out-crt c -duration -1h
ca -name n -out-key k -out-crt c -duration 1d
ca -name n -out-key k -out-crt c -duration=
ca -name n -out-key k -out-crt c -duration 2562047h47m16.854775807s
ca -name n -out-key k -out-crt c -duration 2562047h47m16.854775808s
ca -name n -out-key k -out-crt c -groups a,%20b%20,,c%20d,a
ca -name n -out-key k -out-crt c -groups ,,%20,
ca -name n -out-key k -out-crt c -networks 10.0.0.0/8,%20192.168.1.7/16,,
ca -name n -out-key k -out-crt c -networks fd00::1/8,10.0.0.0/8
ca -name n -out-key k -out-crt c -networks 10.0.0.0/8 -ips 11.0.0.0/8
ca -name n -out-key k -out-crt c -ips 11.0.0.0/8 -subnets 12.0.0.0/8,::/0
ca -name n -out-key k -out-crt c -networks 0.0.0.0/0
ca -name n -out-key k -out-crt c -networks 0.0.0.0/0 -version 1
ca -name n -out-key k -out-crt c -networks ::/0
ca -name n -out-key k -out-crt c -networks ::ffff:1.2.3.4/100
ca -name n -out-key k -out-crt c -networks ::ffff:1.2.3.4/100 -version 1
ca -name n -out-key k -out-crt c -networks 10.0.0.0/8,10.0.0.0/8
ca -name n -out-key k -out-crt c -networks 10.0.0.0/8,10.0.0.0/8 -version 1
ca -name n -out-key k -out-crt c -networks fd00::/8 -version 1
ca -name n -out-key k -out-crt c -unsafe-networks fd00::/8 -version 1
ca -name n -out-key k -out-crt c -unsafe-networks 0.0.0.0/0,::/0
ca -name n -out-key k -out-crt c -networks x -unsafe-networks y
ca -name n -out-key k -out-crt c -unsafe-networks y
ca -name n -out-key k -out-crt c -networks 1.2.3.4
ca -name n -out-key k -out-crt c -networks 1.2.3.4/+8
ca -name n -out-key k -out-crt c -networks 1.2.3.4/08
ca -name n -out-key k -out-crt c -networks 1.2.3.4/33
ca -name n -out-key k -out-crt c -networks 1.2.3/8
ca -name n -out-key k -out-crt c -networks fe80::1%eth0/64
ca -name n -out-key k -out-crt c -networks 1.2.3.4/8/8
ca -name n -out-key k -out-crt c -encrypt
ca -name n -out-key k -out-crt c -encrypt -curve z
ca -name n -out-key k -out-crt c -encrypt -networks z
ca -name n -out-key k -out-crt c -encrypt -argon-memory 0
ca -name n -out-key k -out-crt c -encrypt -argon-memory 4294967296
ca -name n -out-key k -out-crt c -encrypt -argon-parallelism 0
ca -name n -out-key k -out-crt c -encrypt -argon-parallelism 256
ca -name n -out-key k -out-crt c -encrypt -argon-iterations 0
ca -name n -out-key k -out-crt c -encrypt -argon-iterations 4294967296
ca -name n -out-key k -out-crt c -encrypt -argon-memory -1
ca -name n -out-key k -out-crt c -encrypt -argon-memory 1_0x
ca -name n -out-key k -out-crt c -encrypt=maybe
ca -name n -out-key k -out-crt c -argon-memory 0
NEBULA_CA_PASSPHRASE= ca -name n -out-key k -out-crt c -encrypt
NEBULA_CA_PASSPHRASE=x ca -name n -out-key k -out-crt c -encrypt -argon-memory 64
NEBULA_CA_PASSPHRASE=x ca -name n -out-key k -out-crt c -encrypt -argon-memory 1 -curve P256
NEBULA_CA_PASSPHRASE=x ca -name n -out-key - -out-crt c -encrypt -argon-memory 64 -argon-iterations 9
NEBULA_CA_PASSPHRASE=x ca -name n -out-key k -out-crt c -encrypt -argon-parallelism 255 -argon-memory 1
NEBULA_CA_PASSPHRASE=x ca -name n -out-key no/k -out-crt c -encrypt -argon-memory 64
NEBULA_CA_PASSPHRASE=x ca -name n -encrypt -argon-memory 64
NEBULA_CA_PASSPHRASE=x ca -name n -out-key k -out-crt c -encrypt -argon-memory 64 -networks ::/0
ca -name n -out-key k -out-crt c -pkcs11 x
ca -name n\"\\\t\u{e9} -out-key k -out-crt c
ca -name n -out-key k\u{e9} -out-crt c\u{2028} -duration \u{2028}1\"\\\t\u{7f}\u{e9}
";

const KEYGEN: &str = "
keygen
keygen -out-key=
keygen -out-key k
keygen -out-key k -out-pub=
keygen -out-pub p
keygen -out-key k -out-pub p
keygen -out-key k -out-pub p -curve P256
keygen -out-key k -out-pub p -curve 25519
keygen -out-key k -out-pub p -curve x
keygen -out-key - -out-pub - -curve x
keygen -out-key - -out-pub -
keygen -out-key - -out-pub p
keygen -out-key k -out-pub -
keygen -out-key h.key -out-pub h.pub
keygen -out-key open -out-pub p
keygen -out-key d -out-pub p
keygen -out-key k -out-pub d
keygen -out-key no/k -out-pub p
keygen -out-key k -out-pub p -pkcs11 x
";

const SIGN: &str = "
sign
sign -ca-key=
sign -ca-crt=
sign -name=
sign -name n
sign -name n -networks=
sign -name n -networks= -ip=
sign -name n -version 3
sign -name n -networks 10.1.1.1/24
sign -name n -networks 10.1.1.1/24 -version 3
sign -name n -networks 10.1.1.1/24 -version x
sign -name n -networks 10.1.1.1/24 -version 2,1
sign -name n -networks 10.1.1.1/24 -version 1
sign -name n -networks 10.1.1.1/24 -version 2
sign -name n -networks 10.1.1.1/24 -version 0
sign -name n -ip 10.1.1.1/24
sign -name n -ip 10.1.1.1/24 -networks 10.1.1.2/24
sign -name n -ip 10.1.1.1/24 -subnets 10.9.0.0/16
sign -name n -networks 10.1.1.1/24 -groups a,%20b%20,,a
sign -name n -networks 10.1.1.1/24 -in-pub h.pub
sign -name n -networks 10.1.1.1/24 -in-pub h.pub -out-key k
sign -name n -networks 10.1.1.1/24 -in-pub hp.pub
sign -name n -networks 10.1.1.1/24 -in-pub h.key
sign -name n -networks 10.1.1.1/24 -in-pub empty
sign -name n -networks 10.1.1.1/24 -in-pub no
sign -name n -networks 10.1.1.1/24 -in-pub d
sign -name n -networks 10.1.1.1/24 -in-pub - < h.pub
sign -name n -networks 10.1.1.1/24 -ca-key - < ca.key
sign -name n -networks 10.1.1.1/24 -ca-crt - < ca.crt
sign -name n -networks 10.1.1.1/24 -ca-key -
sign -name n -networks 10.1.1.1/24 -ca-key - -ca-crt -
sign -name n -networks 10.1.1.1/24 -ca-key - -in-pub -
sign -name n -networks 10.1.1.1/24 -ca-crt - -in-pub -
sign -name n -networks 10.1.1.1/24 -ca-key - -ca-crt - -in-pub - -out-crt - -out-qr -
sign -name n -networks 10.1.1.1/24 -out-crt -
sign -name n -networks 10.1.1.1/24 -out-key -
sign -name n -networks 10.1.1.1/24 -out-crt - -out-key -
sign -name n -networks 10.1.1.1/24 -out-crt - -out-qr -
sign -name n -networks 10.1.1.1/24 -out-key - -out-qr -
sign -name n -networks 10.1.1.1/24 -in-pub h.pub -out-crt -
sign -name - -networks 10.1.1.1/24
sign -name n -networks 10.1.1.1/24 -ca-key no
sign -name n -networks 10.1.1.1/24 -ca-key d
sign -name n -networks 10.1.1.1/24 -ca-key empty
sign -name n -networks 10.1.1.1/24 -ca-key ca.crt
sign -name n -networks 10.1.1.1/24 -ca-key h.key
sign -name n -networks 10.1.1.1/24 -ca-key p.key
sign -name n -networks 10.1.1.1/24 -ca-key no -ca-crt no
sign -name n -networks 10.1.1.1/24 -ca-crt no
sign -name n -networks 10.1.1.1/24 -ca-crt d
sign -name n -networks 10.1.1.1/24 -ca-crt empty
sign -name n -networks 10.1.1.1/24 -ca-crt cut
sign -name n -networks 10.1.1.1/24 -ca-crt ca.key
sign -name n -networks 10.1.1.1/24 -ca-crt p.crt
sign -name n -networks 10.1.1.1/24 -ca-crt a.crt
sign -name n -networks 10.1.1.1/24 -ca-crt expired.crt -ca-key expired.key
sign -name n -networks 10.1.1.1/24 -ca-crt p.crt -ca-key p.key
sign -name n -networks 10.1.1.1/24 -ca-crt p.crt -ca-key p.key -in-pub hp.pub
sign -name n -networks 10.1.1.1/24 -ca-crt p.crt -ca-key p.key -in-pub h.pub
sign -name n -networks 10.1.1.1/24 -ca-crt v1.crt -ca-key v1.key
sign -name n -networks 10.1.1.1/24 -ca-crt v1.crt -ca-key v1.key -version 2
sign -name n -networks 10.1.1.1/24,fd00::1/64 -ca-crt v1.crt -ca-key v1.key -version 2
sign -name n -networks 10.1.1.1/24,10.1.1.2/24 -version 1
sign -name n -networks 10.1.1.1/24,10.1.1.1/24 -version 1
sign -name n -networks 10.1.1.1/24,fd00::1/64 -version 1
sign -name n -networks fd00::1/64 -version 1
sign -name n -networks ::ffff:10.1.1.1/120 -version 1
sign -name n -networks , -version 1
sign -name n -networks 10.1.1.1/24 -version 1 -unsafe-networks fd00::/8,10.0.0.0/8
sign -name n -networks 10.1.1.1/24 -version 1 -unsafe-networks 10.0.0.0/8,10.0.0.0/8
sign -name n -networks 0.0.0.0/24 -version 1
sign -name n -networks ,
sign -name n -networks 0.0.0.0/0
sign -name n -networks ::/0
sign -name n -networks ::ffff:10.1.1.1/120
sign -name n -networks 10.1.1.1/24,10.1.1.1/24
sign -name n -networks 10.1.1.9/24,10.1.1.1/16,10.1.1.1/24,fd00::2/64,fd00::1/64
sign -name n -networks fd00::1/64 -unsafe-networks 10.0.0.0/8
sign -name n -networks 10.1.1.1/24 -unsafe-networks fd00::/8
sign -name n -networks 10.1.1.1/24 -unsafe-networks 10.9.0.0/16,10.9.0.0/16
sign -name n -networks x -unsafe-networks y
sign -name n -networks 10.1.1.1/24 -unsafe-networks y -in-pub no
sign -name n -networks 10.1.1.1 -ca-key no
sign -name n -networks 10.1.1.1/24 -duration 1h
sign -name n -networks 10.1.1.1/24 -duration -5s
sign -name n -networks 10.1.1.1/24 -duration 0
sign -name n -networks 10.1.1.1/24 -duration 5
sign -name n -networks 10.1.1.1/24 -duration 900000h
sign -name n -networks 10.1.1.1/24 -duration 900000h -groups x -ca-crt con.crt -ca-key con.key
sign -name n -networks 10.35.1.1/24 -ca-crt con.crt -ca-key con.key
sign -name n -networks 10.35.1.1/24 -ca-crt con.crt -ca-key con.key -groups alpha
sign -name n -networks 10.35.1.1/24 -ca-crt con.crt -ca-key con.key -groups alpha,x
sign -name n -networks 10.1.1.1/24 -ca-crt con.crt -ca-key con.key
sign -name n -networks 10.35.1.1/24 -ca-crt con.crt -ca-key con.key -unsafe-networks 8.8.8.0/24
sign -name n -networks 10.1.1.1/24 -out-crt a.crt -out-key a.key
sign -name n -networks 10.1.1.1/24 -out-key a.key
sign -name n -networks 10.1.1.1/24 -out-crt d
sign -name n -networks 10.1.1.1/24 -out-key d
sign -name n -networks 10.1.1.1/24 -out-crt no/c -out-key no/k
sign -name n -networks 10.1.1.1/24 -out-crt no/c
sign -name n -networks 10.1.1.1/24 -out-crt dangling
sign -name n -networks 10.1.1.1/24 -out-qr no/q
sign -name n -networks 10.1.1.1/24 -out-qr open
sign -name no/n -networks 10.1.1.1/24
sign -name d/n -networks 10.1.1.1/24
sign -name a -networks 10.1.1.1/24
sign -name n -networks 10.1.1.1/24,fd00::1/64 -version 1 -out-crt a.crt
sign -name n -networks 10.1.1.1/24 -ca-key e.key -ca-crt e.crt
sign -name n -networks 10.1.1.1/24 -ca-key e.key -ca-crt no
NEBULA_CA_PASSPHRASE=correct%20horse sign -name n -networks 10.1.1.1/24 -ca-key e.key -ca-crt e.crt
NEBULA_CA_PASSPHRASE=correct%20horse sign -name n -networks 10.1.1.1/24 -ca-key - -ca-crt e.crt < e.key
NEBULA_CA_PASSPHRASE=correct%20horse sign -name n -networks 10.1.1.1/24 -ca-key e.key
NEBULA_CA_PASSPHRASE=correct%20horse%20 sign -name n -networks 10.1.1.1/24 -ca-key e.key -ca-crt e.crt
NEBULA_CA_PASSPHRASE=x sign -name n -networks 10.1.1.1/24 -ca-key e.key -ca-crt no
NEBULA_CA_PASSPHRASE= sign -name n -networks 10.1.1.1/24 -ca-key e.key -ca-crt e.crt
sign -name n -networks 10.1.1.1/24 -pkcs11 x
";

const PRINT_AND_VERIFY: &str = "
print
print -path=
print -path a.crt
print -json -path a.crt
print -json=false -path a.crt
print -json=yes -path a.crt
print -path a.crt -json
print -path both
print -json -path both
print -path empty
print -path blank
print -path d
print -path no
print -path no/no
print -path a.crt/no
print -path ca.key
print -path cut
print -path good_cut
print -json -path good_cut
print -path a_nl
print -path -
print -path - < both
print -json -path - < a.crt
print -path a.crt -out-qr q
print -json -path a.crt -out-qr q
print -path a.crt -out-qr no/q
print -path a.crt -out-qr open
print -path good_cut -out-qr q
print -path good_cut -out-qr -
print -path p.crt
print -path v1.crt
print -json -path con.crt
print -path far
print -json -path far
TZ=Asia/Kolkata print -path both
TZ=America/New_York print -json -path both
TZ=Europe/London print -json -path both
TZ=:Europe/Paris print -json -path both
TZ= print -json -path a.crt
TZ=No/Where print -json -path a.crt
TZ=/usr/share/zoneinfo/Asia/Tokyo print -json -path a.crt
TZ=Australia/Lord_Howe print -json -path both
verify
verify -crt a.crt
verify -ca ca.crt
verify -ca= -crt a.crt
verify -ca - -crt -
verify -ca ca.crt -crt a.crt
verify -ca - -crt a.crt < ca.crt
verify -ca - -crt a.crt
verify -ca ca.crt -crt -
verify -ca ca.crt -crt - < a.crt
verify -ca ca.crt -crt - < ca.crt
verify -ca no -crt no
verify -ca ca.crt -crt no
verify -ca d -crt a.crt
verify -ca ca.crt -crt d
verify -ca empty -crt a.crt
verify -ca blank -crt a.crt
verify -ca p.crt -crt a.crt
verify -ca ca.crt -crt empty
verify -ca ca.crt -crt blank
verify -ca ca.crt -crt a_nl
verify -ca ca.crt -crt ca.crt
verify -ca ca.crt -crt both
verify -ca empty -crt both
verify -ca a.crt -crt a.crt
verify -ca ca.key -crt a.crt
verify -ca cut -crt a.crt
verify -ca good_cut -crt a.crt
verify -ca both -crt a.crt
verify -ca ca.crt -crt ca.key
verify -ca ca.crt -crt good_cut
verify -ca ca.crt -crt cut
verify -ca expired.crt -crt a.crt
verify -ca ca.crt -crt far
verify -ca v1.crt -crt far
TZ=Asia/Kolkata verify -ca ca.crt -crt ca.crt
";

#[test]
fn usage_and_modes() {
    assert_eq!(compare(GLOBAL), 31);
}

#[test]
fn ca() {
    assert_eq!(compare(CA), 102);
}

#[test]
fn keygen() {
    assert_eq!(compare(KEYGEN), 19);
}

#[test]
fn sign() {
    assert_eq!(compare(SIGN), 116);
}

#[test]
fn print_and_verify() {
    assert_eq!(compare(PRINT_AND_VERIFY), 78);
}

#[test]
fn each_opens_what_the_other_encrypted() {
    let Some(reference) = command::reference() else { return };
    let variables = [("NEBULA_CA_PASSPHRASE", "p\u{e4}ss ")];
    for (maker, signer) in [(command::ours(), reference.clone()), (reference, command::ours())] {
        for (curve, memory) in [("25519", "64"), ("P256", "1")] {
            let maker = Scratch::of(maker.clone());
            let ca = ["ca", "-name", "n", "-curve", curve, "-encrypt", "-argon-memory", memory];
            assert_eq!(maker.run_with(&ca, &variables, b"").exit, 0);
            let signer = Scratch::of(signer.clone());
            ["ca.crt", "ca.key"].iter().for_each(|name| signer.write(name, maker.read(name)));
            let sign = ["sign", "-name", "h", "-networks", "10.1.1.1/24"];
            assert_eq!(signer.run_with(&sign, &variables, b"").exit, 0);
            maker.write("h.crt", signer.read("h.crt"));
            maker.succeed(&["verify", "-ca", "ca.crt", "-crt", "h.crt"]);
        }
    }
}

/// Runs each command line with both programs and gives their number.
fn compare(lines: &str) -> usize {
    let lines: Vec<_> = lines.lines().filter(|line| !line.is_empty()).collect();
    let Some(reference) = command::reference() else { return lines.len() };
    let files = files();
    for line in &lines {
        let [ours, theirs] = [command::ours(), reference.clone()].map(|program| {
            let scratch = Scratch::of(program);
            files.iter().for_each(|(name, content)| scratch.write(name, content));
            fs::create_dir(scratch.path("d")).unwrap();
            symlink("target", scratch.path("dangling")).unwrap();
            fs::set_permissions(scratch.path("open"), Permissions::from_mode(0o644)).unwrap();
            (run(&scratch, line), written(&scratch))
        });
        assert_eq!(normal(&ours.0), normal(&theirs.0), "{line}");
        assert_eq!(ours.1.len(), theirs.1.len(), "{line}: {:?} {:?}", ours.1, theirs.1);
        for (ours, theirs) in ours.1.iter().zip(&theirs.1) {
            assert_eq!((&ours.name, ours.mode), (&theirs.name, theirs.mode), "{line}");
            assert_eq!(ours.content, theirs.content, "{line}: {}", ours.name);
            // The two ran one after the other.
            assert!((ours.lifetime - theirs.lifetime).abs() <= 5, "{line}: {ours:?} {theirs:?}");
        }
    }
    lines.len()
}

fn run(scratch: &Scratch, line: &str) -> Outcome {
    let (line, stdin) = match line.split_once(" < ") {
        Some((line, file)) => (line, fs::read(scratch.path(file)).unwrap()),
        None => (line, Vec::new()),
    };
    let words: Vec<_> = line.split(' ').map(|word| word.replace("%20", " ")).collect();
    let (variables, arguments): (Vec<_>, Vec<_>) =
        words.iter().map(|word| if word == "''" { "" } else { word }).partition(|word| {
            word.split_once('=')
                .is_some_and(|(name, _)| ["TZ", "NEBULA_CA_PASSPHRASE"].contains(&name))
        });
    let variables: Vec<_> = variables.iter().filter_map(|word| word.split_once('=')).collect();
    scratch.run_with(&arguments, &variables, &stdin)
}

/// The files that both directories begin with.
fn files() -> Vec<(&'static str, Vec<u8>)> {
    let far = cases("crafted-v1/25519.json");
    let far = far.iter().find(|case| case["id"] == "v1-25519-year-10000").unwrap();
    let [a, v1, ca] =
        ["v2-25519/basic.crt", "v1-25519/basic.crt", "v2-25519/ca-plain.crt"].map(read);
    vec![
        ("ca.crt", ca.clone()),
        ("ca.key", read("v2-25519/ca-plain.key")),
        ("v1.crt", read("v1-25519/ca-plain.crt")),
        ("v1.key", read("v1-25519/ca-plain.key")),
        ("p.crt", read("v2-p256/ca-plain.crt")),
        ("p.key", read("v2-p256/ca-plain.key")),
        ("con.crt", read("v2-25519/ca-constrained.crt")),
        ("con.key", read("v2-25519/ca-constrained.key")),
        ("expired.crt", read("expired/ca-short-v2-25519.crt")),
        ("expired.key", read("expired/ca-short-v2-25519.key")),
        ("e.crt", read("encrypted/low.crt")),
        ("e.key", read("encrypted/low.key")),
        ("a.key", read("v2-25519/basic.key")),
        ("h.key", read("v2-25519/basic.key")),
        ("h.pub", read("v2-25519/pre.pub")),
        ("hp.pub", read("v2-p256/pre.pub")),
        ("both", [&*a, &v1].concat()),
        ("a_nl", [&*a, b"\n"].concat()),
        ("good_cut", [&*a, &ca[..200]].concat()),
        ("cut", ca[..200].to_vec()),
        ("far", vector::pem("NEBULA CERTIFICATE", &vector::base64(text(far, "der_b64")))),
        ("empty", Vec::new()),
        ("blank", b"\n \n".to_vec()),
        ("open", b"x".to_vec()),
        ("a.crt", a),
    ]
}

/// An outcome without what differs by chance: keys, signatures, and the mask of QR codes.
fn normal(outcome: &Outcome) -> (i32, String, String) {
    let stdout = if outcome.stdout.starts_with(PNG) {
        png(&outcome.stdout)
    } else if outcome.stdout.starts_with(b"-----BEGIN") {
        describe(&outcome.stdout).0
    } else {
        outcome.stdout()
    };
    (outcome.exit, stdout, without_additions(&outcome.stderr))
}

/// A file that a run left.
#[derive(Debug)]
struct Written {
    name: String,
    mode: u32,
    content: String,
    /// Of the certificate in it, in seconds.
    lifetime: i64,
}

fn written(scratch: &Scratch) -> Vec<Written> {
    let files = scratch.files().into_iter().map(|(name, mode)| {
        // The link to nothing, unless something was written through it.
        let content = fs::read(scratch.path(&name)).unwrap_or_default();
        let (content, lifetime) = describe(&content);
        Written { name, mode, content, lifetime }
    });
    files.collect()
}

/// What a file holds, and how long the certificate in it lasts.
fn describe(content: &[u8]) -> (String, i64) {
    if content.starts_with(PNG) {
        return (png(content), 0);
    }
    if let Ok(certificates) = Certificate::from_pem_many(content) {
        let details = certificates[0].unverified_details();
        let lifetime = details.not_after() - details.not_before();
        return (certificates.iter().map(fields).collect(), lifetime);
    }
    let text = String::from_utf8_lossy(content);
    let shape = |line: &str| match line.starts_with("-----") {
        true => format!("{line}\n"),
        false => format!("{}\n", line.len()),
    };
    (text.lines().map(shape).collect(), 0)
}

fn fields(certificate: &Certificate) -> String {
    let mut printed = vector::printed(certificate);
    for name in ["fingerprint", "signature", "publicKey"] {
        printed[name].take();
    }
    for name in ["notAfter", "notBefore", "publicKey"] {
        printed["details"][name].take();
    }
    printed.to_string()
}

const PNG: &[u8] = b"\x89PNG";

/// The kind of a picture: bits per pixel and use of a palette. Its size depends on the digits that a
/// random key happens to have.
fn png(content: &[u8]) -> String {
    format!("picture of kind {:?}", &content[24..26])
}
