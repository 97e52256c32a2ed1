//! Signatures that are not what the key made.

use nebula_pki::key::SigningKey;
use nebula_pki::{Curve, Signer};

use super::dice::Dice;

/// The orders of the groups: of Ed25519 little-endian (RFC 8032), of P-256 big-endian (SEC 2).
const ED25519_ORDER: [u8; 32] = [
    0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
];
const P256_ORDER: [u8; 32] = [
    0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xbc, 0xe6,
    0xfa, 0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
];

/// A point of small order on Ed25519, or an encoding of one that is not canonical.
pub(crate) fn small_order_point(dice: &mut Dice) -> Vec<u8> {
    const ORDER_8: [[u8; 32]; 2] = [
        [
            0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef,
            0x98, 0xf0, 0xd5, 0xdf, 0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88,
            0x6d, 0x53, 0xfc, 0x05,
        ],
        [
            0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10,
            0x67, 0x0f, 0x2a, 0x20, 0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77,
            0x92, 0xac, 0x03, 0x7a,
        ],
    ];
    // y = 0, 1, p − 1, p, p + 1 for p = 2^255 − 19.
    let near = |low: u8, fill: u8| {
        let mut point = [fill; 32];
        point[0] = low;
        point[31] = fill & 0x7f;
        point
    };
    let mut point = dice.pick(&[
        near(0, 0),
        near(1, 0),
        near(1, 0),
        near(0xec, 0xff),
        near(0xed, 0xff),
        near(0xee, 0xff),
        ORDER_8[0],
        ORDER_8[1],
    ]);
    if dice.one_in(3) {
        point[31] |= 0x80;
    }
    point.to_vec()
}

/// The signature that verifies under the key that is the neutral point, and with luck under others
/// of small order.
pub(crate) fn of_small_order(dice: &mut Dice) -> Vec<u8> {
    let mut signature =
        if dice.one_in(2) { [vec![1], vec![0; 31]].concat() } else { small_order_point(dice) };
    signature.extend([0; 32]);
    signature
}

/// Spoils a signature that the key just made over the message.
pub(crate) fn spoil(
    signature: &mut Vec<u8>,
    dice: &mut Dice,
    key: &SigningKey,
    message: &[u8],
) -> &'static str {
    match dice.below(10) {
        0 => dice.edit(signature),
        1 => {
            let len = dice.pick(&[0, 1, 63, 65, 70, 200]);
            signature.resize(len, 0);
            return "signature of another length";
        }
        2 => *signature = key.sign(&[message, b"x"].concat()).unwrap(),
        3 => *signature = dice.bytes(64),
        _ if key.curve() == Curve::P256 => return spoil_ecdsa(signature, dice),
        _ => return spoil_ed25519(signature, dice),
    }
    "signature changed"
}

fn spoil_ed25519(signature: &mut Vec<u8>, dice: &mut Dice) -> &'static str {
    match dice.below(4) {
        0 => {
            let mut carry = 0;
            for (digit, order) in signature[32..].iter_mut().zip(ED25519_ORDER) {
                let sum = u16::from(*digit) + u16::from(order) + carry;
                (*digit, carry) = (sum as u8, sum >> 8);
            }
            "S not below the order"
        }
        1 => {
            signature[63] |= dice.pick(&[0x20, 0x40, 0x80, 0xe0]);
            "S with high bits"
        }
        2 => {
            signature[..32].copy_from_slice(&small_order_point(dice));
            "R of small order"
        }
        _ => {
            *signature = of_small_order(dice);
            "S zero"
        }
    }
}

fn spoil_ecdsa(signature: &mut Vec<u8>, dice: &mut Dice) -> &'static str {
    let (mut r, mut s) = numbers(signature);
    let high_s = minus(&P256_ORDER, &s);
    match dice.below(12) {
        0..4 => {
            s = high_s;
            *signature = sequence(&[integer(&r), integer(&s)].concat());
            return "s in the other half";
        }
        4 => r.insert(0, 0),
        5 => s.insert(0, 0),
        6 => s = dice.pick(&[vec![0], vec![], P256_ORDER.to_vec(), vec![0xff; 32], vec![0; 32]]),
        7 => r = dice.pick(&[vec![0], vec![], P256_ORDER.to_vec(), vec![1], vec![0xff; 33]]),
        8 => {
            *signature = [fixed(&r), fixed(&s)].concat();
            return "r and s without DER";
        }
        9 => {
            let inner = [integer(&r), integer(&s), dice.bytes(2)].concat();
            *signature = sequence(&inner);
            return "bytes after s";
        }
        10 => {
            signature.extend(dice.bytes(1));
            return "bytes after the signature";
        }
        _ => {
            signature.insert(1, 0x81);
            return "length in the long form";
        }
    }
    // As they are, without the zero that keeps a number positive.
    let number = |number: &[u8]| [&[2, number.len() as u8], number].concat();
    *signature = sequence(&[number(&r), number(&s)].concat());
    "other numbers"
}

/// The two numbers of a DER signature, without leading zeros.
fn numbers(signature: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let r_len = usize::from(signature[3]);
    let (r, s) = (&signature[4..4 + r_len], &signature[6 + r_len..]);
    let trim = |number: &[u8]| number.iter().copied().skip_while(|byte| *byte == 0).collect();
    (trim(r), trim(s))
}

fn minus(order: &[u8; 32], number: &[u8]) -> Vec<u8> {
    let number = fixed(number);
    let mut borrow = 0;
    let mut difference = vec![0; 32];
    for at in (0..32).rev() {
        let digit = i16::from(order[at]) - i16::from(number[at]) - borrow;
        borrow = i16::from(digit < 0);
        difference[at] = digit as u8;
    }
    difference.into_iter().skip_while(|byte| *byte == 0).collect()
}

fn fixed(number: &[u8]) -> Vec<u8> {
    [vec![0; 32 - number.len()], number.to_vec()].concat()
}

fn integer(number: &[u8]) -> Vec<u8> {
    let sign: &[u8] = if number.first().is_some_and(|first| *first >= 0x80) { &[0] } else { &[] };
    [&[2, (sign.len() + number.len()) as u8], sign, number].concat()
}

fn sequence(content: &[u8]) -> Vec<u8> {
    [&[0x30, content.len() as u8], content].concat()
}
