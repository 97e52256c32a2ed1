//! PEM as Go's `encoding/pem` reads and writes it.
//!
//! Certificates and public keys are written by the `pem` crate. Reading is our own: that crate finds
//! BEGIN in the middle of a line, silently drops a truncated block, stops at the first bad
//! block where the reference goes on to the next, and reads headers only before an empty line.
//! Private keys are written here too, because the crate leaves copies of them in memory.

mod kind;

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
use std::sync::LazyLock;

use base64::Engine;
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
use base64::engine::GeneralPurpose;
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
use base64::engine::Simd;
use base64::engine::{DecodePaddingMode, GeneralPurposeConfig};
use memchr::{memchr, memchr_iter, memrchr_iter};
use zeroize::{Zeroize, Zeroizing};

pub use kind::PemKind;

use crate::Error;
use crate::error::PemContents;

/// One decoded block. The contents may be a private key, and are wiped unless they are known to be
/// a certificate.
pub(crate) struct Block<'a> {
    banner: &'a [u8],
    pub(crate) contents: Vec<u8>,
}

impl Block<'_> {
    /// The banner; empty, and so unknown, if it is not UTF-8.
    pub(crate) fn banner(&self) -> &str {
        std::str::from_utf8(self.banner).unwrap_or_default()
    }

    /// The error for a block that is of the wrong kind.
    pub(crate) fn wrong_banner(&self, expected: PemContents) -> Error {
        Error::WrongBanner { expected, found: self.shown_banner() }
    }

    /// The banner, cut to 64 characters.
    fn shown_banner(&self) -> String {
        String::from_utf8_lossy(self.banner).chars().take(64).collect()
    }

    /// Decodes the body; false if it is not base64.
    fn fill(&mut self, body: &[u8]) -> bool {
        // As everybody writes them, lines have 64 digits, and without their ends all is digits.
        let mut digits = Vec::with_capacity(body.len());
        for line in body.chunks(65) {
            digits.extend_from_slice(line.strip_suffix(b"\n").unwrap_or(line));
        }
        let mut decoded = BASE64.decode_vec(&digits, &mut self.contents);
        if decoded.is_err() {
            // But white space is allowed anywhere.
            digits.retain(|byte| !b" \t\r\n".contains(byte));
            self.contents.clear();
            decoded = BASE64.decode_vec(&digits, &mut self.contents);
        }
        if self.is_secret() {
            digits.zeroize();
        }
        decoded.is_ok()
    }

    fn is_secret(&self) -> bool {
        !self.banner.starts_with(b"NEBULA CERTIFICATE")
    }
}

impl Drop for Block<'_> {
    fn drop(&mut self) {
        if self.is_secret() {
            self.contents.zeroize();
        }
    }
}

/// The first block, and what follows it; `None` if there is no block.
///
/// A line that says END closes the last BEGIN before it. When that pair is not a block, the search
/// goes on after it. Go reads in this order since 1.25, older releases from BEGIN to END; release
/// 1.11.0 of the reference is built with Go 1.26. The difference shows only among broken blocks.
pub(crate) fn decode(input: &[u8]) -> Option<(Block<'_>, &[u8])> {
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

/// The error for an input without a block.
pub(crate) fn no_block(input: &[u8]) -> Error {
    match input {
        // Its byte order mark, or an ASCII character and its other half.
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => Error::Utf16,
        [0x01..=0x7f, 0, 0x01..=0x7f, 0, ..] | [0, 0x01..=0x7f, 0, 0x01..=0x7f, ..] => Error::Utf16,
        _ => Error::NoPemBlock,
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
const CONFIG: GeneralPurposeConfig = GeneralPurposeConfig::new()
    .with_decode_allow_trailing_bits(true)
    .with_decode_padding_mode(DecodePaddingMode::RequireCanonical);

/// Several times as fast as the general engine, which it falls back to on older processors.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
static BASE64: LazyLock<Simd> = LazyLock::new(|| Simd::standard(CONFIG));
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
static BASE64: GeneralPurpose = GeneralPurpose::new(&base64::alphabet::STANDARD, CONFIG);

enum Outcome<'a> {
    Block(Block<'a>),
    /// Not a block; there may be one after its END line.
    Malformed,
    /// The headers ran over the END line: Go gives up on the whole input.
    PastEnd,
}

/// Reads the block whose text starts behind `-----BEGIN `; `trailer` is what follows the `-----END `
/// that closes it, a suffix of the same input.
fn block_at<'a>(text: &'a [u8], trailer: &[u8]) -> Outcome<'a> {
    let (type_line, mut rest) = next_line(text);
    let Some(banner) = type_line.strip_suffix(DASHES) else { return Outcome::Malformed };

    let mut headers = false;
    loop {
        if rest.is_empty() {
            return Outcome::PastEnd;
        }
        let (line, next) = next_line(rest);
        if memchr(b':', line).is_none() {
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

    let mut block = Block { banner, contents: Vec::new() };
    if block.fill(body) { Outcome::Block(block) } else { Outcome::Malformed }
}

/// The first line without its end and the blanks before that, and what follows it.
fn next_line(text: &[u8]) -> (&[u8], &[u8]) {
    let (mut line, rest) = match memchr(b'\n', text).and_then(|end| text.split_at_checked(end)) {
        Some((line, rest)) => {
            (line.strip_suffix(b"\r").unwrap_or(line), rest.get(1..).unwrap_or_default())
        }
        None => (text, &[][..]),
    };
    while let [before @ .., b' ' | b'\t'] = line {
        line = before;
    }
    (line, rest)
}

/// Where a marker begins for the first time. All end with a space, which is rare where they are.
pub(crate) fn find(text: &[u8], marker: &[u8]) -> Option<usize> {
    memchr_iter(b' ', text).find_map(|space| begin_of(text, marker, space))
}

fn rfind(text: &[u8], marker: &[u8]) -> Option<usize> {
    memrchr_iter(b' ', text).find_map(|space| begin_of(text, marker, space))
}

fn begin_of(text: &[u8], marker: &[u8], space: usize) -> Option<usize> {
    text.get(..=space)?.strip_suffix(marker).map(<[u8]>::len)
}

/// Whether this is white space in the sense of Go's `bytes.TrimSpace`, Unicode's included. Stops at
/// the first other character: this is called with the rest of a file after each of its blocks.
pub(crate) fn is_blank(mut text: &[u8]) -> bool {
    while let Some(first) = text.first() {
        let len = match first {
            ..0x80 => 1,
            ..0xe0 => 2,
            ..0xf0 => 3,
            _ => 4,
        };
        match text.split_at_checked(len) {
            Some((character, rest)) if is_white_space(character) => text = rest,
            _ => return false,
        }
    }
    true
}

fn is_white_space(character: &[u8]) -> bool {
    str::from_utf8(character).is_ok_and(|text| text.chars().all(char::is_whitespace))
}

#[cfg(test)]
mod tests {
    use super::is_blank;

    #[test]
    fn white_space_has_characters_of_one_to_three_bytes() {
        for blank in ["", " \r\n\t", "\u{85}", "\u{a0}\u{85} ", "\u{1680}", "\u{2003}\n\u{3000}"] {
            assert!(is_blank(blank.as_bytes()), "{blank:?}");
        }
        for text in [" x", "\u{a0}\u{e9}", "\u{3000}\u{4e00}", "\u{200b}", "\u{1f600}"] {
            assert!(!is_blank(text.as_bytes()), "{text:?}");
        }
        for cut in [&b"\xc2"[..], b"\xe3\x80", b" \xe3"] {
            assert!(!is_blank(cut));
        }
    }
}
