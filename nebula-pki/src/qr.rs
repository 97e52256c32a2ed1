//! QR codes as `nebula-cert -out-qr` draws them.

use std::iter::repeat_n;
use std::ops::Range;

use miniz_oxide::deflate::compress_to_vec_zlib;
use qrcodegen::{QrCode, QrCodeEcc, QrSegment, Version};

use crate::Error;

/// Pixels along the edge of a module.
const SCALE: usize = 5;
/// Modules of white on each side.
const QUIET_ZONE: i32 = 4;
/// What the largest symbol holds if all of it is digits: longer texts are not even tried.
const MAX_LEN: usize = 7_089;

/// Draws a text, meant for the PEM of one or more certificates, as a QR code: a PNG of one bit per
/// pixel, 5 pixels per module, with a border of 4 modules, at error correction level M.
///
/// The symbol has the same size and data as the reference's; it may be masked otherwise.
///
/// ```
/// # let pem = include_str!("../tests/vectors/v2-25519/basic.crt");
/// let png = nebula_pki::qr_png(pem)?;
/// assert!(png.starts_with(b"\x89PNG"));
/// # Ok::<(), nebula_pki::Error>(())
/// ```
///
/// # Errors
///
/// [`Error::QrCodeTooLong`] where the reference says the same: for about 2,340 characters of PEM,
/// 2,331 of a text without runs of digits or capital letters.
pub fn qr_png(text: &str) -> Result<Vec<u8>, Error> {
    let too_long = Error::QrCodeTooLong { length: text.len() };
    if text.len() > MAX_LEN {
        return Err(too_long);
    }
    SIZES.iter().find_map(|size| size.encode(text)).as_ref().map(draw).ok_or(too_long)
}

/// A kind of segment, from the most compact to the most general.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Mode {
    Numeric,
    Alphanumeric,
    Byte,
}

impl Mode {
    /// The most compact one for a byte.
    fn of(byte: u8) -> Self {
        match byte {
            b'0'..=b'9' => Self::Numeric,
            b'A'..=b'Z' | b' ' | b'$' | b'%' | b'*' | b'+' | b'-' | b'.' | b'/' | b':' => {
                Self::Alphanumeric
            }
            _ => Self::Byte,
        }
    }
}

/// Versions of symbols that write the length of a segment in the same number of bits.
struct Size {
    versions: (u8, u8),
    numeric_bits: usize,
    alphanumeric_bits: usize,
    byte_bits: usize,
}

const SIZES: [Size; 3] = [
    Size { versions: (1, 9), numeric_bits: 10, alphanumeric_bits: 9, byte_bits: 8 },
    Size { versions: (10, 26), numeric_bits: 12, alphanumeric_bits: 11, byte_bits: 16 },
    Size { versions: (27, 40), numeric_bits: 14, alphanumeric_bits: 13, byte_bits: 16 },
];

impl Size {
    /// The smallest symbol of this size that holds the text.
    fn encode(&self, text: &str) -> Option<QrCode> {
        let segments: Option<Vec<_>> = self
            .segments(text.as_bytes())?
            .into_iter()
            .map(|(mode, range)| {
                let part = text.get(range.clone());
                Some(match mode {
                    Mode::Numeric => QrSegment::make_numeric(part?),
                    Mode::Alphanumeric => QrSegment::make_alphanumeric(part?),
                    Mode::Byte => QrSegment::make_bytes(text.as_bytes().get(range)?),
                })
            })
            .collect();
        let (first, last) = self.versions;
        let (first, last) = (Version::new(first), Version::new(last));
        QrCode::encode_segments_advanced(&segments?, QrCodeEcc::Medium, first, last, None, false)
            .ok()
    }

    /// Cuts a text as the reference's library does, so that the same texts fit the same symbols:
    /// each run of characters of one mode takes in the runs after it that need no more general one,
    /// as long as that is shorter. None if a length does not fit its field.
    fn segments(&self, text: &[u8]) -> Option<Vec<(Mode, Range<usize>)>> {
        let mut runs: Vec<(Mode, Range<usize>)> = Vec::new();
        for (at, byte) in text.iter().enumerate() {
            match runs.last_mut() {
                Some((mode, range)) if *mode == Mode::of(*byte) => range.end = at + 1,
                _ => runs.push((Mode::of(*byte), at..at + 1)),
            }
        }
        let mut segments: Vec<(Mode, Range<usize>)> = Vec::new();
        for (mode, range) in runs {
            if let Some((before, joined)) = segments.last_mut()
                && mode <= *before
            {
                let together = self.bits(*before, range.end - joined.start)?;
                let apart = self.bits(*before, joined.len())? + self.bits(mode, range.len())?;
                if together < apart {
                    joined.end = range.end;
                    continue;
                }
            }
            segments.push((mode, range));
        }
        Some(segments)
    }

    /// The bits of a segment with its header.
    fn bits(&self, mode: Mode, length: usize) -> Option<usize> {
        let (header, content) = match mode {
            Mode::Numeric => (self.numeric_bits, (10 * length).div_ceil(3)),
            Mode::Alphanumeric => (self.alphanumeric_bits, (11 * length).div_ceil(2)),
            Mode::Byte => (self.byte_bits, 8 * length),
        };
        (length >> header == 0).then_some(4 + header + content)
    }
}

/// A palette of white and black, one bit per pixel, rows unfiltered: ISO/IEC 15948 (PNG).
fn draw(code: &QrCode) -> Vec<u8> {
    let modules = -QUIET_ZONE..code.size() + QUIET_ZONE;
    let edge = modules.len() * SCALE;
    let mut rows = Vec::with_capacity(edge * (1 + edge.div_ceil(8)));
    for y in modules.clone() {
        let line = modules.clone().map(|x| code.get_module(x, y));
        let line: Vec<bool> = line.flat_map(|dark| repeat_n(dark, SCALE)).collect();
        let unfiltered = [0];
        let pixels = line.chunks(8).map(|eight| {
            eight.iter().enumerate().fold(0, |byte, (at, dark)| byte | u8::from(*dark) << (7 - at))
        });
        let row: Vec<u8> = unfiltered.into_iter().chain(pixels).collect();
        rows.extend(repeat_n(row, SCALE).flatten());
    }

    let (depth, indexed) = (1, 3);
    let header = [&be32(edge)[..], &be32(edge), &[depth, indexed, 0, 0, 0]].concat();
    let mut image = b"\x89PNG\r\n\x1a\n".to_vec();
    image.extend(chunk(b"IHDR", &header));
    image.extend(chunk(b"PLTE", &[0xff, 0xff, 0xff, 0, 0, 0]));
    image.extend(chunk(b"IDAT", &compress_to_vec_zlib(&rows, 9)));
    image.extend(chunk(b"IEND", &[]));
    image
}

fn chunk(kind: &[u8; 4], content: &[u8]) -> Vec<u8> {
    let checked = [kind, content].concat();
    [&be32(content.len())[..], &checked, &crc32(&checked).to_be_bytes()].concat()
}

/// The low 32 bits; no image here comes near them.
fn be32(value: usize) -> [u8; 4] {
    let [.., a, b, c, d] = value.to_be_bytes();
    [a, b, c, d]
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0xedb8_8320 * (crc & 1)))
    })
}
