//! PEM as Go's `encoding/pem` reads and writes it.
//!
//! Certificates and public keys are written by the `pem` crate. Reading is our own: that crate finds
//! BEGIN in the middle of a line, drops a block cut short without a word, stops at the first bad
//! block where the reference goes on to the next, and reads headers only before an empty line.
//! Private keys are written here too, because the crate leaves copies of them in memory.

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use zeroize::Zeroizing;

use crate::Error;

/// One decoded block. The contents may be a private key.
pub(crate) struct Block {
    pub(crate) banner: String,
    pub(crate) contents: Zeroizing<Vec<u8>>,
}

impl Block {
    /// The error for a block that is of the wrong kind.
    pub(crate) fn wrong_banner(&self, expected: &'static str) -> Error {
        Error::WrongBanner { expected, found: self.banner.chars().take(64).collect() }
    }
}

/// The first block, and what follows it; `None` if there is no block.
///
/// A line that says END closes the last BEGIN before it. When that pair is not a block, the search
/// goes on after it. Go reads in this order since 1.25, older releases from BEGIN to END; release
/// 1.11.0 of the reference is built with Go 1.26. The difference shows only among broken blocks.
pub(crate) fn decode(input: &[u8]) -> Option<(Block, &[u8])> {
    let mut rest = input;
    loop {
        let end = find(rest, LINE_END)?;
        let (before, from_end) = rest.split_at_checked(end)?;
        let trailer = from_end.get(LINE_END.len()..)?;
        if let Some(begin) = rfind(before, BEGIN)
            && (begin == 0 || before.get(begin - 1) == Some(&b'\n'))
            && let Some(block) = rest.get(begin + BEGIN.len()..)
        {
            match block_at(block, trailer) {
                Outcome::Block(block) => return Some((block, next_line(trailer).1)),
                Outcome::Malformed => {}
                Outcome::PastEnd => return None,
            }
        }
        rest = trailer;
    }
}

/// Writes a block that is not secret: LF, 64 columns.
pub(crate) fn encode(banner: &str, contents: &[u8]) -> String {
    let config = pem::EncodeConfig::new().set_line_ending(pem::LineEnding::LF);
    pem::encode_config(&pem::Pem::new(banner, contents), config)
}

/// Writes a secret block of the same form, leaving no copy behind.
pub(crate) fn encode_secret(banner: &str, contents: &[u8]) -> Zeroizing<String> {
    // 48 bytes make a line of 64 characters. The buffer never grows, so nothing is moved.
    let lines = contents.len().div_ceil(48);
    let mut text =
        Zeroizing::new(String::with_capacity(2 * (banner.len() + 17) + lines * (64 + 1)));
    text.push_str("-----BEGIN ");
    text.push_str(banner);
    text.push_str("-----\n");
    for line in contents.chunks(48) {
        BASE64.encode_string(line, &mut text);
        text.push('\n');
    }
    text.push_str("-----END ");
    text.push_str(banner);
    text.push_str("-----\n");
    text
}

pub(crate) const BEGIN: &[u8] = b"-----BEGIN ";
pub(crate) const END: &[u8] = b"-----END ";
const LINE_END: &[u8] = b"\n-----END ";
const DASHES: &[u8] = b"-----";

/// Padding must be exact, but like Go's decoder we do not look at the unused bits before it.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::RequireCanonical),
);

enum Outcome {
    Block(Block),
    /// Not a block; there may be one after its END line.
    Malformed,
    /// The headers ran over the END line: Go gives up on the whole input.
    PastEnd,
}

/// Reads the block whose text starts behind `-----BEGIN `; `trailer` is what follows the `-----END `
/// that closes it, a suffix of the same input.
fn block_at(text: &[u8], trailer: &[u8]) -> Outcome {
    let (type_line, mut rest) = next_line(text);
    let Some(banner) = type_line.strip_suffix(DASHES) else { return Outcome::Malformed };

    let mut headers = false;
    loop {
        if rest.is_empty() {
            return Outcome::PastEnd;
        }
        let (line, next) = next_line(rest);
        if !line.contains(&b':') {
            break;
        }
        headers = true;
        rest = next;
    }
    // All three are suffixes of one input, so their lengths are positions in it.
    if rest.len() < trailer.len() {
        return Outcome::PastEnd;
    }
    // One less than none: without a body the END marker's newline is the one that ended BEGIN.
    let body = match (rest.len() - trailer.len()).checked_sub(LINE_END.len()) {
        Some(len) => rest.get(..len).unwrap_or_default(),
        None if headers => return Outcome::Malformed,
        None => &[],
    };

    let Some(after_banner) = trailer.strip_prefix(banner) else { return Outcome::Malformed };
    let Some(after_dashes) = after_banner.strip_prefix(DASHES) else { return Outcome::Malformed };
    if !next_line(after_dashes).0.is_empty() {
        return Outcome::Malformed;
    }

    let mut digits = Zeroizing::new(Vec::with_capacity(body.len()));
    digits.extend(body.iter().filter(|byte| !b" \t\r\n".contains(byte)));
    let mut contents = Zeroizing::new(Vec::with_capacity(body.len()));
    match BASE64.decode_vec(&*digits, &mut contents) {
        Ok(()) => {
            Outcome::Block(Block { banner: String::from_utf8_lossy(banner).into_owned(), contents })
        }
        Err(_) => Outcome::Malformed,
    }
}

/// The first line without its end and the blanks before that, and what follows it.
fn next_line(text: &[u8]) -> (&[u8], &[u8]) {
    let mut parts = text.splitn(2, |byte| *byte == b'\n');
    let line = parts.next().unwrap_or_default();
    let (line, rest) = match parts.next() {
        Some(rest) => (line.strip_suffix(b"\r").unwrap_or(line), rest),
        None => (line, &[][..]),
    };
    let blanks = line.iter().rev().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
    (line.get(..line.len() - blanks).unwrap_or_default(), rest)
}

/// Where `needle` begins in `haystack` for the first time.
pub(crate) fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

fn rfind(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).rposition(|window| window == needle)
}
