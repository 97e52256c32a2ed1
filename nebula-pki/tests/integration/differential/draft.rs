//! What a generated certificate says, before it is encoded: something its CA may sign, then flaws.

use ipnet::IpNet;
use nebula_pki::{Certificate, Curve, Version};

use super::authority::Authority;
use super::dice::Dice;

#[derive(Clone)]
pub(crate) struct Network {
    pub(crate) address: Vec<u8>,
    pub(crate) prefix: u8,
    /// In version 1, in place of the netmask that the prefix length makes.
    pub(crate) mask: Option<u32>,
}

#[derive(Clone)]
pub(crate) struct Draft {
    pub(crate) version: Version,
    pub(crate) name: Vec<u8>,
    pub(crate) networks: Vec<Network>,
    pub(crate) unsafe_networks: Vec<Network>,
    pub(crate) groups: Vec<Vec<u8>>,
    pub(crate) is_ca: bool,
    pub(crate) not_before: i64,
    pub(crate) not_after: i64,
    pub(crate) issuer: Vec<u8>,
    pub(crate) curve: i32,
    pub(crate) public_key: Vec<u8>,
}

const DAY: i64 = 86_400;
pub(crate) const Y2000: i64 = 946_684_800;
/// After this Go's seconds since the year 1 wrap.
pub(crate) const LAST: i64 = i64::MAX - 62_135_596_800;
/// Years 0 and 9999, the first and the last that JSON shows.
const FIRST_SHOWN: i64 = -62_167_219_200;
const LAST_SHOWN: i64 = 253_402_300_799;

/// Texts that JSON, UTF-8 or a terminal care about.
const TEXTS: [&[u8]; 12] = [
    b"\0",
    b"\x7f\x1b[0m",
    b"line\nfeed\r\t",
    b"<&>\"\\/",
    "\u{2028}\u{2029}\u{feff}".as_bytes(),
    "žluťoučký 猫 😀".as_bytes(),
    b"\xff\xfe",
    b"cut \xe2\x82",
    b"\xed\xa0\x80 surrogate",
    b"\xc0\x80 overlong",
    b"\xf4\x90\x80\x80 beyond",
    b" ",
];

impl Draft {
    /// A host that the CA may sign.
    pub(crate) fn host(dice: &mut Dice, ca: &Certificate, version: Version) -> Self {
        let limits = ca.unverified_details();
        let v4 = version == Version::V1 || !dice.one_in(4);
        let v6 = version != Version::V1 && (!v4 || dice.one_in(2));
        let mut networks = inside(dice, limits.networks(), v4, v6);
        networks.dedup_by(|one, other| one.address == other.address);
        let mut unsafe_networks = Vec::new();
        if dice.one_in(3) {
            let v4 = networks.iter().any(|network| network.address.len() == 4);
            let v6 = networks.iter().any(|network| network.address.len() == 16);
            unsafe_networks = inside(dice, limits.unsafe_networks(), v4, v6);
        }
        let allowed: Vec<_> = limits.groups_bytes().to_vec();
        let groups = (0..dice.below(4))
            .map(|_| {
                if allowed.is_empty() {
                    let len = dice.within(1, 12);
                    dice.word(len)
                } else {
                    dice.pick(&allowed)
                }
            })
            .collect();
        let name_len = dice.within(1, 20);
        let (first, last) = (limits.not_before(), limits.not_after());
        let room = (last.saturating_sub(first) / 4).clamp(0, 5 * 365 * DAY) as usize;
        Self {
            version,
            name: dice.word(name_len),
            networks,
            unsafe_networks,
            groups,
            is_ca: false,
            not_before: first.saturating_add(dice.below(room + 1) as i64),
            not_after: last.saturating_sub(dice.below(room + 1) as i64),
            issuer: ca.fingerprint().as_bytes().to_vec(),
            curve: ca.curve().number(),
            public_key: host_key(dice, ca.curve()),
        }
    }

    /// A CA without flaws.
    pub(crate) fn ca(dice: &mut Dice, curve: Curve, public_key: Vec<u8>, version: Version) -> Self {
        let mut limits = |chances: usize| {
            if !dice.one_in(chances) {
                return Vec::new();
            }
            let v6 = version != Version::V1 && dice.one_in(2);
            inside(dice, &[], true, v6)
        };
        let (networks, unsafe_networks) = (limits(3), limits(4));
        let groups = if dice.one_in(4) { vec![dice.word(3), dice.word(5)] } else { Vec::new() };
        let name_len = dice.within(1, 20);
        Self {
            version,
            name: dice.word(name_len),
            networks,
            unsafe_networks,
            groups,
            is_ca: true,
            not_before: Y2000 + dice.below(20 * 365) as i64 * DAY,
            not_after: Y2000 + (50 * 365 + dice.below(40 * 365) as i64) * DAY,
            issuer: Vec::new(),
            curve: curve.number(),
            public_key,
        }
    }

    /// Spoils one field, and says which.
    pub(crate) fn spoil(&mut self, dice: &mut Dice, others: &[Authority]) -> &'static str {
        match dice.below(9) {
            0 => self.spoil_name(dice),
            1 | 2 => {
                let v1 = self.version == Version::V1;
                spoil_networks(&mut self.networks, dice, v1);
                "networks"
            }
            3 => {
                let v1 = self.version == Version::V1;
                spoil_networks(&mut self.unsafe_networks, dice, v1);
                "unsafe networks"
            }
            4 => self.spoil_groups(dice),
            5 => self.spoil_times(dice),
            6 => {
                self.is_ca = !self.is_ca;
                if dice.one_in(2) {
                    self.networks.clear();
                }
                "is CA"
            }
            7 => {
                let other = &others[dice.below(others.len())];
                self.issuer = match dice.below(6) {
                    0 => Vec::new(),
                    1 => dice.bytes(31),
                    2 => dice.bytes(33),
                    3 => dice.bytes(32),
                    4 => dice.bytes(300),
                    _ => other.certificate.fingerprint().as_bytes().to_vec(),
                };
                "issuer"
            }
            _ if dice.one_in(2) => {
                self.curve = dice.pick(&[0, 1, 2, 127, 128, 255, -1, i32::MIN, i32::MAX]);
                "curve"
            }
            _ => {
                let len = dice.pick(&[0, 1, 31, 32, 33, 64, 65, 66, 200]);
                self.public_key = dice.bytes(len);
                "public key"
            }
        }
    }

    fn spoil_name(&mut self, dice: &mut Dice) -> &'static str {
        let len = dice.pick(&[0, 1, 127, 128, 252, 253, 254, 255, 256, 300]);
        self.name = match dice.below(3) {
            0 => dice.word(len),
            1 => dice.bytes(len.min(20)),
            _ => dice.pick(&TEXTS).to_vec(),
        };
        "name"
    }

    fn spoil_groups(&mut self, dice: &mut Dice) -> &'static str {
        match dice.below(5) {
            0 => self.groups.push(Vec::new()),
            1 => self.groups.push(dice.pick(&TEXTS).to_vec()),
            2 => self.groups.extend(self.groups.clone()),
            3 => {
                let len = dice.pick(&[1, 127, 128, 1_000]);
                self.groups.push(dice.word(len));
            }
            _ => self.groups = (0..dice.within(20, 60)).map(|_| dice.word(2)).collect(),
        }
        "groups"
    }

    fn spoil_times(&mut self, dice: &mut Dice) -> &'static str {
        let around = dice.pick(&[
            i64::MIN,
            i64::MAX,
            LAST,
            FIRST_SHOWN,
            LAST_SHOWN,
            0,
            1 << 31,
            1 << 32,
            1 << 15,
            -129,
            Y2000,
            self.not_before,
            self.not_after,
        ]);
        let time = around.saturating_add(dice.below(5) as i64 - 2);
        match dice.below(3) {
            0 => self.not_before = time,
            1 => self.not_after = time,
            _ => (self.not_before, self.not_after) = (self.not_after, self.not_before),
        }
        "times"
    }
}

/// What looks like a host's key. On P-256 it is no point; certificates don't care.
fn host_key(dice: &mut Dice, curve: Curve) -> Vec<u8> {
    match curve {
        Curve::P256 => [vec![4], dice.bytes(64)].concat(),
        _ => dice.bytes(32),
    }
}

/// Networks within the ranges, or within any if there are none.
fn inside(dice: &mut Dice, ranges: &[IpNet], v4: bool, v6: bool) -> Vec<Network> {
    let default = ["10.0.0.0/8".parse().unwrap(), "fd00::/8".parse().unwrap()];
    let ranges = if ranges.is_empty() { &default[..] } else { ranges };
    let mut networks = Vec::new();
    for (wanted, is_v4) in [(v4, true), (v6, false)] {
        let ranges: Vec<_> =
            ranges.iter().filter(|range| range.addr().is_ipv4() == is_v4).copied().collect();
        let count = if wanted && !ranges.is_empty() { dice.pick(&[1, 1, 1, 2]) } else { 0 };
        networks.extend((0..count).map(|_| {
            let range = dice.pick(&ranges);
            inside_one(dice, range)
        }));
    }
    networks
}

fn inside_one(dice: &mut Dice, range: IpNet) -> Network {
    let (start, bits) = match range {
        IpNet::V4(range) => (range.network().octets().to_vec(), 32),
        IpNet::V6(range) => (range.network().octets().to_vec(), 128),
    };
    let fixed = usize::from(range.prefix_len());
    let mut address = dice.bytes(start.len());
    for (at, byte) in address.iter_mut().enumerate() {
        let mask = match fixed.saturating_sub(at * 8) {
            0 => 0,
            bits @ 1..8 => 0xff << (8 - bits),
            _ => 0xff_u8,
        };
        *byte = start[at] & mask | *byte & !mask;
    }
    Network { address, prefix: dice.within(fixed, bits) as u8, mask: None }
}

fn spoil_networks(networks: &mut Vec<Network>, dice: &mut Dice, v1: bool) {
    let network =
        |address: &[u8], prefix| Network { address: address.to_vec(), prefix, mask: None };
    let mapped = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 1, 2, 3];
    let any = inside(dice, &[], true, !v1);
    match dice.below(if v1 { 8 } else { 12 }) {
        0 => networks.clear(),
        1 => networks.push(network(&[0; 4], dice.below(33) as u8)),
        2 => networks.extend(networks.clone()),
        3 => {
            // The same address with another prefix length is no duplicate.
            let mut again = networks.clone();
            again.iter_mut().for_each(|network| network.prefix ^= 1);
            networks.extend(again);
        }
        4 => networks.extend(any),
        5 => {
            let address = dice.pick(&[[224, 0, 0, 1], [255; 4], [127, 0, 0, 1], [169, 254, 1, 1]]);
            networks.push(network(&address, dice.below(33) as u8));
        }
        6 => {
            let count = dice.within(10, 40);
            for _ in 0..count {
                networks.extend(inside(dice, &[], true, !v1));
            }
        }
        7 if v1 => {
            let mask = dice.pick(&[0xff00_ff00, 0x00ff_ffff, 1, 0x7fff_ffff, 0xffff_fffe]);
            let mut spoilt = any;
            spoilt.iter_mut().for_each(|network| network.mask = Some(mask));
            networks.extend(spoilt);
        }
        7 => networks.push(network(&[0; 16], dice.below(129) as u8)),
        8 => networks.push(network(&mapped, dice.below(129) as u8)),
        9 => {
            let prefix = dice.pick(&[32, 33, 128, 129, 255]);
            networks.iter_mut().for_each(|network| network.prefix = prefix);
        }
        10 => {
            let len = dice.pick(&[0, 1, 2, 3, 5, 8, 15, 17, 32]);
            let address = dice.bytes(len);
            networks.push(network(&address, dice.below(33) as u8));
        }
        _ => {
            let address = dice.bytes(16);
            networks.push(network(&address, dice.below(129) as u8));
        }
    }
}
