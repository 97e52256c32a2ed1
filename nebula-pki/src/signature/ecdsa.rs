//! The two numbers of an ECDSA signature on P-256, and their DER form.

use crate::der::{self, Reader};

/// The order n of the group (SEC 2, section 2.4.2), and half of it, rounded down; big-endian.
pub(super) const ORDER: [u8; 32] = [
    0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xbc, 0xe6,
    0xfa, 0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
];
const HALF_ORDER: [u8; 32] = [
    0x7f, 0xff, 0xff, 0xff, 0x80, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xde,
    0x73, 0x7d, 0x56, 0xd3, 0x8b, 0xcf, 0x42, 0x79, 0xdc, 0xe5, 0x61, 0x7e, 0x31, 0x92, 0xa8,
];

const SEQUENCE: u8 = 0x30;
const INTEGER: u8 = 0x02;

/// Big-endian numbers, each from 1 to n − 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Signature {
    r: [u8; 32],
    s: [u8; 32],
}

impl Signature {
    /// Reads the one encoding that Go's `crypto/ecdsa` takes: two minimal positive integers and
    /// nothing else.
    pub(crate) fn from_der(bytes: &[u8]) -> Option<Self> {
        let mut outer = Reader::new(bytes);
        let mut inner = Reader::new(outer.read(SEQUENCE)?);
        let r = positive(inner.read(INTEGER)?)?;
        let s = positive(inner.read(INTEGER)?)?;
        if !inner.is_empty() || !outer.is_empty() {
            return None;
        }
        Self::new(r, s)
    }

    /// From r ‖ s, the form of PKCS#11 and IEEE P1363.
    pub(crate) fn from_fixed(bytes: &[u8; 64]) -> Option<Self> {
        let (r, s) = bytes.split_first_chunk::<32>()?;
        Self::new(*r, s.try_into().ok()?)
    }

    fn new(r: [u8; 32], s: [u8; 32]) -> Option<Self> {
        let in_range = |number: &[u8; 32]| *number != [0; 32] && *number < ORDER;
        (in_range(&r) && in_range(&s)).then_some(Self { r, s })
    }

    pub(crate) fn to_der(&self) -> Vec<u8> {
        let mut numbers = Vec::with_capacity(70);
        for number in [&self.r, &self.s] {
            let mut positive = [0; 33];
            if let Some((_, digits)) = positive.split_first_mut() {
                digits.copy_from_slice(number);
            }
            der::push(&mut numbers, INTEGER, der::minimal(&positive));
        }
        let mut encoded = Vec::with_capacity(72);
        der::push(&mut encoded, SEQUENCE, &numbers);
        encoded
    }

    pub(crate) fn to_fixed(&self) -> [u8; 64] {
        let mut fixed = [0; 64];
        for (digit, value) in fixed.iter_mut().zip(self.r.iter().chain(&self.s)) {
            *digit = *value;
        }
        fixed
    }

    /// Whether s is the larger of the two values that verify.
    pub(crate) fn is_high_s(&self) -> bool {
        self.s > HALF_ORDER
    }

    /// The other signature that verifies: n − s in place of s.
    pub(crate) fn negated(&self) -> Self {
        let mut difference = [0; 32];
        let mut borrow = false;
        for (digit, (n, s)) in difference.iter_mut().zip(ORDER.iter().zip(&self.s)).rev() {
            let (value, first) = n.overflowing_sub(*s);
            let (value, second) = value.overflowing_sub(borrow.into());
            *digit = value;
            borrow = first || second;
        }
        Self { r: self.r, s: difference }
    }
}

/// The number in a DER integer, if it is positive, minimal and has at most 256 bits.
fn positive(content: &[u8]) -> Option<[u8; 32]> {
    let negative = content.first()? & 0x80 != 0;
    if negative || der::minimal(content).len() != content.len() {
        return None;
    }
    let digits = content.strip_prefix(&[0]).unwrap_or(content);
    let mut number = [0; 32];
    let start = number.len().checked_sub(digits.len())?;
    number.get_mut(start..)?.copy_from_slice(digits);
    Some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_of_the_order_is_the_last_low_s() {
        let mut one = [0; 32];
        one[31] = 1;
        let low = Signature::new(one, HALF_ORDER).unwrap();
        let high = low.negated();
        assert!(!low.is_high_s());
        assert!(high.is_high_s());
        assert_eq!(high.negated(), low);
        // n is odd, so the two halves are neighbours.
        let mut next = HALF_ORDER;
        next[31] += 1;
        assert_eq!(high.s, next);
    }

    #[test]
    fn der_takes_one_encoding_only() {
        let good = [0x30, 6, 2, 1, 1, 2, 1, 1];
        let signature = Signature::from_der(&good).unwrap();
        assert_eq!(signature.to_der(), good);
        for (what, bad) in [
            ("nothing", &[][..]),
            ("bytes after the sequence", &[0x30, 6, 2, 1, 1, 2, 1, 1, 0]),
            ("bytes after s", &[0x30, 7, 2, 1, 1, 2, 1, 1, 0]),
            ("no s", &[0x30, 3, 2, 1, 1]),
            ("long form of the length", &[0x30, 0x81, 6, 2, 1, 1, 2, 1, 1]),
            ("padded r", &[0x30, 7, 2, 2, 0, 1, 2, 1, 1]),
            ("negative r", &[0x30, 6, 2, 1, 0x81, 2, 1, 1]),
            ("r = 0", &[0x30, 6, 2, 1, 0, 2, 1, 1]),
            ("s = 0", &[0x30, 6, 2, 1, 1, 2, 1, 0]),
            ("empty r", &[0x30, 5, 2, 0, 2, 1, 1]),
        ] {
            assert_eq!(Signature::from_der(bad), None, "{what}");
        }
        let mut too_large = vec![0x30, 38, 2, 33, 0];
        too_large.extend(ORDER);
        too_large.extend([2, 1, 1]);
        assert_eq!(Signature::from_der(&too_large), None, "r = n");
        *too_large.get_mut(36).unwrap() -= 1;
        let largest = Signature::from_der(&too_large).unwrap();
        assert_eq!(largest.to_der(), too_large);
        assert_eq!(Signature::from_fixed(&largest.to_fixed()), Some(largest));
    }
}
