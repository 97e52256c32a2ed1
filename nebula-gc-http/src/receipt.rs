//! Receipts: what a server gave to a node, in a form that proves it to the server alone.
//!
//! A node keeps the receipt of the bundle that it applied, and sends it back with its reports. It is all
//! that a server believes of what it does not remember itself. A node reads it to know the order of what
//! it was given.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use nebula_pki::Fingerprint;
use sha2::{Digest as _, Sha256};

/// How long the text of a receipt may be, in bytes.
pub const LONGEST_RECEIPT: usize = 512;
/// The first byte.
const VERSION: u8 = 1;
/// How many certificates a node has at most: one of each version.
const MOST_CERTIFICATES: usize = 2;
const MAC_LENGTH: usize = 32;

/// A receipt as it was received: what it says, and what is to prove it. Only a server that has the key
/// can tell whether that is true.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// What it says.
    pub statement: Statement,
    mac: [u8; MAC_LENGTH],
}

/// What a receipt says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// The id of the server's key that proves it.
    pub key_id: i64,
    /// The store's random id.
    pub store: [u8; 16],
    /// The network's id.
    pub network: [u8; 16],
    /// The node's id.
    pub node: [u8; 16],
    /// Of what the bundle is.
    pub position: Position,
    /// When it was given, in seconds since the Unix epoch.
    pub time: i64,
    /// The fingerprints of the node's certificates, the older version first; at most two.
    pub certificates: Vec<Fingerprint>,
    /// SHA-256 of the sorted fingerprints of the trusted CAs.
    pub cas: [u8; 32],
    /// SHA-256 of the sorted fingerprints of the blocklist.
    pub blocklist: [u8; 32],
}

/// Which of two bundles of a node is the newer one: compared by epoch, then revision, then generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Position {
    /// The store's epoch, which rises when it is recovered from a backup.
    pub epoch: i64,
    /// The network's revision.
    pub revision: i64,
    /// The node's generation.
    pub generation: i64,
}

/// SHA-256 of fingerprints in their order, each once, as a receipt has it of the CAs and of the blocklist.
#[must_use]
pub fn digest_of<'f>(fingerprints: impl IntoIterator<Item = &'f Fingerprint>) -> [u8; 32] {
    let sorted: BTreeSet<&Fingerprint> = fingerprints.into_iter().collect();
    let mut hash = Sha256::new();
    sorted.into_iter().for_each(|fingerprint| hash.update(fingerprint.as_bytes()));
    hash.finalize().into()
}

/// The text is not that of a receipt of this version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a receipt that this version reads")]
pub struct ReceiptError;

impl Statement {
    /// The bytes that are proved. Every part has its length from what stands before it.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = vec![VERSION];
        bytes.extend(self.key_id.to_be_bytes());
        for id in [self.store, self.network, self.node] {
            bytes.extend(id);
        }
        let Position { epoch, revision, generation } = self.position;
        for number in [epoch, revision, generation, self.time] {
            bytes.extend(number.to_be_bytes());
        }
        let certificates = self.certificates.iter().take(MOST_CERTIFICATES);
        bytes.push(u8::try_from(certificates.len()).unwrap_or_default());
        bytes.extend(certificates.flat_map(Fingerprint::as_bytes));
        bytes.extend(self.cas);
        bytes.extend(self.blocklist);
        bytes
    }

    /// The receipt that says this.
    #[cfg(feature = "service")]
    pub(crate) fn proved_by(self, mac: [u8; MAC_LENGTH]) -> Receipt {
        Receipt { statement: self, mac }
    }
}

impl Receipt {
    /// What is to prove it.
    #[cfg(feature = "service")]
    pub(crate) fn mac(&self) -> &[u8; MAC_LENGTH] {
        &self.mac
    }
}

impl FromStr for Receipt {
    type Err = ReceiptError;

    fn from_str(text: &str) -> Result<Self, ReceiptError> {
        if text.len() > LONGEST_RECEIPT {
            return Err(ReceiptError);
        }
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| ReceiptError)?;
        let mut left = Reader(&bytes);
        if left.array()? != [VERSION] {
            return Err(ReceiptError);
        }
        let key_id = left.number()?;
        let (store, network, node) = (left.array()?, left.array()?, left.array()?);
        let (epoch, revision) = (left.number()?, left.number()?);
        let position = Position { epoch, revision, generation: left.number()? };
        let time = left.number()?;
        let [count] = left.array()?;
        if usize::from(count) > MOST_CERTIFICATES {
            return Err(ReceiptError);
        }
        let certificates: Result<_, _> =
            (0..count).map(|_| left.array().map(Fingerprint::from_bytes)).collect();
        let statement = Statement {
            key_id,
            store,
            network,
            node,
            position,
            time,
            certificates: certificates?,
            cas: left.array()?,
            blocklist: left.array()?,
        };
        let mac = left.array()?;
        match left.0 {
            [] => Ok(Self { statement, mac }),
            _ => Err(ReceiptError),
        }
    }
}

impl fmt::Display for Receipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = [self.statement.to_bytes().as_slice(), &self.mac].concat();
        f.write_str(&URL_SAFE_NO_PAD.encode(bytes))
    }
}

/// What is left to read.
struct Reader<'b>(&'b [u8]);

impl Reader<'_> {
    fn array<const N: usize>(&mut self) -> Result<[u8; N], ReceiptError> {
        let (array, rest) = self.0.split_first_chunk().ok_or(ReceiptError)?;
        self.0 = rest;
        Ok(*array)
    }

    fn number(&mut self) -> Result<i64, ReceiptError> {
        self.array().map(i64::from_be_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn receipt(certificates: usize) -> Receipt {
        let position = Position { epoch: 1, revision: 2, generation: i64::MAX };
        let statement = Statement {
            key_id: 7,
            store: [1; 16],
            network: [2; 16],
            node: [3; 16],
            position,
            time: 1_800_000_000,
            certificates: vec![Fingerprint::from_bytes([4; 32]); certificates],
            cas: [5; 32],
            blocklist: [6; 32],
        };
        Receipt { statement, mac: [8; 32] }
    }

    #[test]
    fn it_reads_back_and_is_short() {
        for certificates in 0..=2 {
            let text = receipt(certificates).to_string();
            assert!(text.len() <= LONGEST_RECEIPT && text.is_ascii(), "{}", text.len());
            assert_eq!(text.parse(), Ok(receipt(certificates)));
        }
    }

    #[test]
    fn whatever_is_not_exactly_one_is_refused() {
        let text = receipt(2).to_string();
        for length in 0..text.len() {
            assert_eq!(text[..length].parse::<Receipt>(), Err(ReceiptError), "{length}");
        }
        let mut bytes = URL_SAFE_NO_PAD.decode(&text).unwrap();
        bytes.push(0);
        for (place, byte) in [(0, 2), (9 + 48 + 32, 1), (9 + 48 + 32, 3)] {
            let mut other = bytes.clone();
            other.pop();
            other[place] = byte;
            let other = URL_SAFE_NO_PAD.encode(other);
            assert_eq!(other.parse::<Receipt>(), Err(ReceiptError), "{place}");
        }
        let longer = URL_SAFE_NO_PAD.encode(bytes);
        assert_eq!(longer.parse::<Receipt>(), Err(ReceiptError));
        for text in ["", "=", "A\n", &"A".repeat(513)] {
            assert_eq!(text.parse::<Receipt>(), Err(ReceiptError));
        }
    }

    #[test]
    fn epochs_come_before_revisions_and_these_before_generations() {
        let at = |epoch, revision, generation| Position { epoch, revision, generation };
        assert!(at(1, 0, 0) > at(0, 9, 9));
        assert!(at(0, 1, 0) > at(0, 0, 9));
        assert!(at(0, 0, 1) > at(0, 0, 0));
    }
}
