//! Do other programs read our QR codes, and are they as large as the reference's?

use std::fs;
use std::path::Path;
use std::process::Command;

use nebula_pki::{Certificate, Error, Random, Version, qr_png};
use zune_png::PngDecoder;
use zune_png::zune_core::bytestream::ZCursor;
use zune_png::zune_core::options::DecoderOptions;

use crate::support::peer;
use crate::support::random::Seeded;
use crate::support::vector;

#[test]
fn another_library_reads_it() {
    let mut count = 0;
    for text in texts() {
        if text.len() < 2_340 {
            assert_eq!(Image::new(&qr_png(&text).unwrap()).read().1, text);
            count += 1;
        }
    }
    assert_eq!(count, 107);
    for text in ["", "0", "HELLO 42", "größe €", "&<\n"] {
        assert_eq!(Image::new(&qr_png(text).unwrap()).read().1, text);
    }
}

/// Sizes at which the next larger symbol is needed, and the largest, lie within.
#[test]
fn as_large_as_the_reference_draws_it() {
    let Some(tool) = peer::nebula_cert("1.11.0") else { return };
    let (mut drawn, mut refused) = (0, 0);
    for text in texts() {
        match (reference(&tool, &text), qr_png(&text)) {
            (Ok(theirs), Ok(ours)) => {
                let (theirs, ours) = (Image::new(&theirs), Image::new(&ours));
                assert_eq!(ours.header, theirs.header, "{text}");
                // Both libraries agree on what it says and in which symbol.
                assert_eq!(ours.read(), theirs.read());
                drawn += 1;
            }
            (Err(message), Err(error)) => {
                assert_eq!(
                    message,
                    "Error: error while generating qr code: content too long to encode\n"
                );
                assert_eq!(error, Error::QrCodeTooLong { length: text.len() });
                refused += 1;
            }
            (theirs, ours) => panic!("{} {} {text}", theirs.is_ok(), ours.is_ok()),
        }
    }
    assert_eq!((drawn, refused), (110, 30));
}

#[test]
fn too_long() {
    assert!(qr_png(&"x".repeat(2_331)).is_ok());
    for length in [2_332, 5_000, 1_000_000] {
        let refused = Err(Error::QrCodeTooLong { length });
        assert_eq!(qr_png(&"x".repeat(length)), refused);
    }
    assert!(qr_png(&"7".repeat(5_596)).is_ok());
    assert_eq!(qr_png(&"7".repeat(5_597)), Err(Error::QrCodeTooLong { length: 5_597 }));
}

/// The recorded certificates, and ones with names of all lengths around the limit.
fn texts() -> Vec<String> {
    let files = vector::files();
    let recorded = files.iter().filter(|file| file["verify"]["accept"] == true).map(|file| {
        let pem = vector::read(vector::text(file, "path"));
        String::from_utf8(pem).unwrap()
    });
    let mut texts: Vec<_> = recorded.collect();
    texts.extend((1_550..1_590).map(|length| {
        let mut name = vec![0; length];
        Seeded(length as u64).fill(&mut name).unwrap();
        let name: Vec<u8> = name.iter().map(|byte| b'a' + byte % 26).collect();
        let details = [
            field(0x0a, &name),
            field(0x12, b"\x81\x82\x84\x08\x80\xfe\xff\xff\x0f"),
            field(0x3a, &name[..32]),
        ];
        let v1 = [field(0x0a, &details.concat()), field(0x12, &name[..64])].concat();
        Certificate::from_bytes(Version::V1, &v1).unwrap().to_pem()
    }));
    texts
}

/// A field of a protobuf message; lengths below 2^14.
fn field(key: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len();
    let (low, high) = (u8::try_from(length & 0x7f).unwrap(), u8::try_from(length >> 7).unwrap());
    let length = if high == 0 { vec![low] } else { vec![low | 0x80, high] };
    [&[key], &length[..], content].concat()
}

/// What `nebula-cert print -out-qr` writes, or says.
fn reference(tool: &Path, pem: &str) -> Result<Vec<u8>, String> {
    let directory = tempfile::tempdir().unwrap();
    let (crt, qr) = (directory.path().join("x.crt"), directory.path().join("x.png"));
    fs::write(&crt, pem).unwrap();
    let mut command = Command::new(tool);
    command.arg("print").arg("-path").arg(&crt).arg("-out-qr").arg(&qr);
    let output = command.output().unwrap();
    match output.status.success() {
        true => Ok(fs::read(qr).unwrap()),
        false => Err(String::from_utf8(output.stderr).unwrap()),
    }
}

struct Image {
    width: usize,
    /// Signature, IHDR and PLTE: dimensions, depth and palette.
    header: Vec<u8>,
    /// Whether each pixel is dark, row by row.
    pixels: Vec<bool>,
}

impl Image {
    fn new(png: &[u8]) -> Self {
        let options = DecoderOptions::default().set_strict_mode(true).png_set_confirm_crc(true);
        let mut decoder = PngDecoder::new_with_options(ZCursor::new(png), options);
        let rgb = decoder.decode_raw().unwrap();
        let (width, height) = decoder.dimensions().unwrap();
        assert_eq!(width, height);
        let pixels: Vec<_> = rgb.as_chunks::<3>().0.iter().map(|pixel| *pixel == [0; 3]).collect();
        assert!(
            rgb.as_chunks::<3>().0.iter().zip(&pixels).all(|(rgb, dark)| *dark || *rgb == [255; 3])
        );
        assert_eq!(pixels.len(), width * width);
        Self { width, header: png[..8 + 25 + 18].to_vec(), pixels }
    }

    /// The version of the symbol and the text, after checking the quiet zone.
    fn read(&self) -> (usize, String) {
        let border = 4 * 5;
        let light = (0..self.width * border).all(|at| !self.pixels[at]);
        assert!(light && self.pixels[self.width * border + border], "quiet zone");
        let module = |x: usize, y: usize| {
            self.pixels[(border + 5 * y + 2) * self.width + border + 5 * x + 2]
        };
        let size = self.width / 5 - 8;
        let grid = rqrr::SimpleGrid::from_func(size, module);
        let (metadata, text) = rqrr::Grid::new(grid).decode().unwrap();
        // Level M in the numbering of the format information.
        assert_eq!(metadata.ecc_level, 0);
        (metadata.version.0, text)
    }
}
